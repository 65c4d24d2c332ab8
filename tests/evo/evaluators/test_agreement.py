"""Images without labels: a trained network is cut, and cuts are judged by how well they agree with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from analysis.answers.both import answers
from analysis.frames import load
from analysis.report import main as report
from analysis.sentences import summary
from evo.alone.charge import run_macs
from evo.alone.contest import hold_contest
from evo.alone.images import require_fitting_images
from evo.alone.selection import Criteria
from evo.alone.trainer import Trainer
from evo.api.delivered import Delivered
from evo.console import SILENT
from evo.data.loading import load_dataset
from evo.data.source import Images, ImageSet
from evo.deliver.__main__ import main as deliver
from evo.deliver.manifest import read_manifest
from evo.deliver.pipeline import deliver_network
from evo.deliver.session import training_settings
from evo.evaluators.cuts.agreement import measure_agreement
from evo.evaluators.cuts.judge import CutsJudge
from evo.round.__main__ import main as search
from evo.round.algorithm import fit_judge
from evo.round.clock import Clock
from evo.round.context import RunContext, open_round, run_context
from evo.workers.executors import map_inline
from spaces import load_network
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.export.baselines import contender
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.pretrained.cut_space import whole_network
from spaces.space import SearchSpace
from studies.controls import Control
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.evaluators.cut_examples import recalibrated_probabilities

NAMES = ("ant", "bee", "cat", "dog", "eel")
MADE = SearchSpace(
    "made",
    (Layer(Shape(8, 8, 1, 8), ("mb_k5_e3",)), Layer(Shape(8, 16, 2, 8), ("mb_k3_e4",))),
    Stem(8, 1, activation="relu", c_in=3, size=8),
    Head(0, len(NAMES)),
)
IMAGES = 72


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network of five classes, as ``evo.deliver`` makes them."""
    folder = tmp_path_factory.mktemp("network")
    described = describe_network(whole_network(MADE), MADE, [0.4] * 3, [0.3] * 3) | {"classes": list(NAMES)}
    (folder / DESCRIPTION).write_text(json.dumps(described))
    torch.manual_seed(0)
    module = build_described(described)
    nn.init.normal_([part for part in module.modules() if isinstance(part, nn.Linear)][-1].weight)  # it has opinions
    with torch.no_grad():
        for part in module.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.momentum = None  # the mean over the batches
        module.train()(torch.rand(200, 3, 8, 8))
    save_file(module.state_dict(), folder / WEIGHTS)
    return folder


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, without class folders."""
    folder, rng = tmp_path_factory.mktemp("flat"), np.random.default_rng(0)
    for i in range(IMAGES):
        pixels = rng.integers(0, 256, (8, 8, 3)) // (1 + i % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


def words(network: Path, flat: Path, storage: str) -> list[str]:
    settings = {
        "data.path": flat, "data.size": 8, "data.workers": 0, "data.validation_fraction": 0.3, "data.augment": "[]",
        "evaluator.network": network, "evaluator.eval_batch_size": 16,
        "evaluator.resolutions": "[]", "evaluator.calibration_batches": 2,
        "evaluator.importance": "scale", "evaluator.refit": "false", "evaluator.loss": "likelihood",
        "search.evaluations": 8, "search.population": 4,
    }  # fmt: skip
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["--config", "pretrained", "--run", "flat", "--storage", storage, *given]


@pytest.fixture(scope="module")
def storage(network: Path, flat: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two finished rounds, by the command line; nothing says that there are no labels."""
    url = f"sqlite:///{tmp_path_factory.mktemp('searched')}/evo.db"
    assert search(["2", *words(network, flat, url)]) == 0
    return url


@pytest.fixture
def searched(storage: str, tmp_path: Path) -> Iterator[RunContext]:
    with open_store(storage) as store:
        yield run_context(store.run("flat"), store, tmp_path, map_inline)


def judge_of(shared: RunContext) -> CutsJudge:
    judge = fit_judge(open_round(shared, 1), Clock({}))
    assert isinstance(judge, CutsJudge)
    return judge


def seen(images: Images, part: ImageSet) -> Tensor:
    """The images of a part as floats from 0 to 1."""
    return part.x * torch.tensor(images.std).view(-1, 1, 1) + torch.tensor(images.mean).view(-1, 1, 1)


# -- the search -------------------------------------------------------------------------------------------------------


def test_the_network_keeps_its_weights_and_its_classes(searched: RunContext, network: Path) -> None:
    assert searched.config.data.labels is False
    assert searched.run.space.head.classes == len(NAMES)
    assert searched.run.classes == NAMES
    kept, own = load_file(judge_of(searched).checkpoint), load_file(network / WEIGHTS)
    assert {name: tensor for name, tensor in own.items() if not name.startswith("preprocessing.")}.keys() == kept.keys()
    assert all(torch.equal(tensor, own[name]) for name, tensor in kept.items())


def test_the_whole_network_agrees_with_itself(searched: RunContext) -> None:
    (found,) = judge_of(searched)([whole_network(searched.run.space)])
    assert found.accuracy == 1
    assert found.nll == pytest.approx(0, abs=1e-6)


def test_a_cut_scores_its_agreement_and_its_divergence(searched: RunContext) -> None:
    """Both networks built by themselves, their normalisations recalibrated on the same batches, all at once; the divergence
    by its definition, the sum of p log(p / q)."""
    judge, config = judge_of(searched), searched.config
    images, whole = load_dataset(config.data, "cpu"), whole_network(searched.run.space)
    cut = Architecture(("mb_k3_h8", "mb_k3_e2"))
    (found,) = judge([cut])
    p, q = (recalibrated_probabilities(judge, arch, images, 16) for arch in (whole, cut))
    assert found.accuracy == pytest.approx(float((p.argmax(1) == q.argmax(1)).double().mean()), abs=0.051)  # one image
    assert found.nll == pytest.approx(float((p * (p / q).log()).sum(1).mean()), rel=0.02)
    assert (found.nll or 0) > 0.01


def test_nothing_is_charged_for_fine_tuning(searched: RunContext) -> None:
    first = searched.store.rounds(searched.run)[0].stats["macs"]
    assert first["training"] == 0
    assert first["scoring"] > count_costs(searched.run.space, whole_network(searched.run.space)).macs
    images = load_dataset(searched.config.data, "cpu")
    assert run_macs(searched.store, searched.run, 1, images) == first["scoring"]


def test_a_space_without_the_whole_network_is_judged_alike(searched: RunContext) -> None:
    judge = judge_of(searched)
    space = judge.space.replace_layers(replace(layer, candidates=layer.candidates[1:]) for layer in judge.space.layers)
    arch = Architecture(tuple(layer.candidates[0] for layer in space.layers))
    (narrow,), (found,) = replace(judge, space=space)([arch]), judge([arch])
    assert narrow.nll == pytest.approx(found.nll, abs=1e-6)


def test_the_run_goes_on_without_its_images(
    network: Path, flat: Path, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was found out when it began is not asked again."""
    assert search(["2", *words(network, flat, storage)]) == 0
    assert "nothing to do: run flat has finished round 2" in capsys.readouterr().out
    hidden = flat.rename(flat.with_name("elsewhere"))
    try:
        assert search(["2", *words(network, flat, storage)]) == 0
    finally:
        hidden.rename(flat)
    assert "nothing to do" in capsys.readouterr().out


# -- words ------------------------------------------------------------------------------------------------------------


def test_everywhere_it_is_called_agreement(
    network: Path, flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Terminal, plan, sentences, report as text and as JSON; the delivery's lines, its folder and its JSON."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/evo.db"
    given = words(network, flat, url)
    assert search(["1", "--plan", *given]) == 0
    said = [capsys.readouterr().out]
    assert "cuts agree with" in said[0]
    assert search(["1", *given]) == 0
    assert report(["flat", "--storage", url]) == 0
    said.append(capsys.readouterr().out)
    assert "macs (agreement)" in said[1]
    assert "Nothing is known of what is right: agreement is the share of images" in " ".join(said[1].split())
    assert report(["flat", "--storage", url, "--json"]) == 0
    said.append(capsys.readouterr().out)
    assert {"agreement", "macs"} < json.loads(said[2])["front"][0].keys()
    quick = ["--set", "deliver.epochs=1", "--finalists", "2", "--out", "net"]
    assert deliver(["flat", "--storage", url, *quick]) == 0
    assert deliver(["flat", "--storage", url, *quick, "--json"]) == 0
    said.append(capsys.readouterr().out)
    assert "agreement" in said[3]
    said += [(tmp_path / "net" / name).read_text() for name in ("README.md", "architecture.json", "model.py")]
    assert "| agreement with the whole network on test images |" in said[4]
    assert [text for text in said if "accura" in text.lower()] == []
    page = (tmp_path / "flat.html").read_text()
    assert "The network of most agreement, layer by layer" in page
    assert "best agreement" in page
    with open_store(url) as store:
        assert not [line for line in summary(load(store, store.run("flat"))) if "accura" in line.lower()]


# -- delivery ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def delivered(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivered") / "net"
    patch = pytest.MonkeyPatch()
    patch.setattr("evo.deliver.exporting.export_program", lambda *_: None)
    for writer in ("write_onnx", "write_program"):
        patch.setattr(f"evo.deliver.exporting.{writer}", lambda *given: given[3].touch())
    quick = ["--set", "deliver.epochs=40", "--set", "deliver.batch_size=16", "--arch", "mb_k3_e3|mb_k3_e3"]
    assert deliver(["flat", "--storage", storage, "--out", str(folder), *quick]) == 0
    patch.undo()
    return folder


def test_the_whole_network_alone_teaches(delivered: Path, searched: RunContext) -> None:
    said = read_manifest(delivered)
    assert said["teacher"]["name"] == "whole"
    assert said["teacher"]["sha256"] == said["start"] == judge_of(searched).sha256
    assert said["training"]["settings"]["teacher_share"] == 1
    assert said["classes"] == list(NAMES)
    assert said["training"]["images"] == 60


def test_the_test_says_how_well_it_agrees_on_images_that_nothing_has_seen(
    delivered: Path, network: Path, flat: Path
) -> None:
    """The two folders' networks, on the very files."""
    files = sorted(flat.iterdir())[5::6]
    x = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files]).float() / 255
    with torch.no_grad():
        ours, whole = (load_network(folder)(x) for folder in (delivered, network))
    test = read_manifest(delivered)["test"]
    assert test["images"] == len(files) == 12
    assert test["agreement"] == pytest.approx(float((ours.argmax(1) == whole.argmax(1)).double().mean()))
    p = whole.double().softmax(1)
    assert test["divergence"] == pytest.approx(
        float((p * (p.log() - ours.double().log_softmax(1))).sum(1).mean()), rel=1e-3
    )
    assert test["low"] < test["agreement"] <= test["high"]
    found = Delivered(delivered, read_manifest(delivered))
    assert found.agreement == test["agreement"]
    with pytest.raises(EvoError, match="were measured for agreement, and accuracy is not known: expected .agreement"):
        _ = found.accuracy


def trainer_of(searched: RunContext, *settings: str, from_scratch: bool = False) -> Trainer:
    config, run = training_settings(searched.run, settings), searched.run
    images = require_fitting_images(load_dataset(config.data, "cpu"), run.space, run.classes)
    return Trainer.of(searched.store, run, config, images, from_scratch=from_scratch)


def test_imitating_makes_it_agree_more(delivered: Path, searched: RunContext) -> None:
    """Beside the same cut before it was trained."""
    trainer = trainer_of(searched)
    assert trainer.start is not None
    assert trainer.teacher is not None
    arch = Architecture(("mb_k3_e3", "mb_k3_e3"))
    before = Network(arch, searched.run.space)
    inherit_weights(before, trainer.start.weights(arch, searched.run.space) or {})
    _, divergence = measure_agreement(before.eval(), trainer.teacher, trainer.images.test)
    assert read_manifest(delivered)["test"]["divergence"] < 0.8 * divergence


def test_blocks_are_imitated_without_labels_too(searched: RunContext) -> None:
    """Nobody names the teacher: it is the whole network, and its share of the targets stays whole."""
    quick = ("deliver.epochs=1", "deliver.batch_size=16")
    plain, drawn = trainer_of(searched, *quick), trainer_of(searched, *quick, "deliver.teacher_features=0.5")
    one = contender("one", Architecture(("mb_k3_e3", "mb_k3_e3")), searched.run.space)
    trained = [trainer.train(one, 0, lambda steps: None) for trainer in (plain, drawn)]
    assert trained[0].sha256 != trained[1].sha256
    assert trained[0].nll != trained[1].nll
    assert trained[1].settings["settings"].items() >= {"teacher": "whole", "teacher_share": 1}.items()


def test_finalists_are_compared_by_their_agreement(searched: RunContext) -> None:
    trainer = trainer_of(searched, "deliver.epochs=1", "deliver.learning_rate=0", "deliver.ema=0")
    one = contender("one", whole_network(searched.run.space), searched.run.space, "macs")
    trained = trainer.train(one, 0, lambda steps: None)
    assert trained.images == len(trainer.images.validation)
    assert trained.nll is not None
    assert 0 <= trained.nll < 1  # its weights are the teacher's; its statistics have moved
    assert trained.accuracy > 0.5


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (
            ["--against", "uniform"],
            "imitate another one, as its images have no labels, and --against compares accuracies",
        ),
        (["--set", "deliver.teacher=folder"], "without labels the whole network teaches, and is imitated"),
    ],
)
def test_what_needs_labels_is_refused(
    more: list[str], said: str, storage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deliver(["flat", "--storage", storage, *more]) == 1
    assert said in capsys.readouterr().err


def test_from_scratch_it_imitates_with_fresh_weights(searched: RunContext) -> None:
    fresh: Any = trainer_of(searched, from_scratch=True)
    assert fresh.start is None
    assert fresh.teacher.name == "whole"


def test_sizes_importance_and_a_pool_need_no_labels_either(network: Path, flat: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/evo.db"
    more = ("evaluator.resolutions=[0.5]", "evaluator.importance=taylor", "evaluator.pool.operations=['mb_k3_e1']")
    given = [
        word for key in (*more, "evaluator.pool.at_once=true", "evaluator.loss_images=18") for word in ("--set", key)
    ]
    assert search(["1", *words(network, flat, url), *given]) == 0
    with open_store(url) as store:
        shared = run_context(store.run("flat"), store, tmp_path / "flat", map_inline)
        judge = judge_of(shared)
        whole = whole_network(shared.run.space)
        (itself,) = judge([whole])
        assert itself.accuracy == 1
        assert itself.nll == pytest.approx(0, abs=1e-6)
        assert judge.made == len(shared.run.space.layers) - 1
        smaller = Architecture(("size_4", *whole.genes[1:]))
        assert (judge([smaller])[0].nll or 0) > 0.01
        assert judge.losses[0, "size_4"] == pytest.approx(judge([smaller])[0].nll, abs=1e-6)


def test_accuracies_are_not_compared_where_nobody_knows_them(searched: RunContext) -> None:
    row = searched.store.rounds(searched.run)[1]
    with pytest.raises(EvoError, match="the images of run 'flat' have no labels: leave out --control pretrained"):
        hold_contest(searched.store, searched.run, row, (Control.PRETRAINED,), SILENT)
    said = " ".join(answers(searched.store, searched.run).sentences())
    assert "the images have no labels, so nobody knows how right a network is" in said
    assert "--control pretrained" not in said


def test_the_whole_network_is_delivered_as_it_is(searched: RunContext, tmp_path: Path) -> None:
    """It would learn to give what it gives, and lose by it."""
    run, folder = searched.run, tmp_path / "net"
    arch = whole_network(run.space)
    description = deliver_network(searched.store, run, training_settings(run, ()), Criteria({}, arch=arch), folder)
    assert description["test"]["agreement"] > 0.9  # it sees zeros beyond the margins where it saw its own mean
    assert not list(folder.glob("*.progress*"))
