"""Images without labels: blocks imitate a trained network, and a delivered network learns what that says of the images."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from analysis.compare import main as compare
from analysis.report import main as report
from evo.alone.features import require_hints
from evo.alone.images import require_fitting_images
from evo.alone.teacher import find_teacher
from evo.alone.trainer import Trainer
from evo.api.delivered import Delivered
from evo.data.fingerprint import forget_data
from evo.data.loading import load_dataset
from evo.data.source import Images
from evo.deliver.__main__ import main as deliver
from evo.deliver.manifest import read_manifest
from evo.deliver.session import training_settings
from evo.evaluators.blockwise.classes import classes_of_teacher
from evo.round.__main__ import main as search
from evo.training.checkpoints import share_checkpoint
from spaces import load_network, torchvision_shim
from spaces.architecture import Architecture
from spaces.export.baselines import contender
from spaces.export.network_folder import DESCRIPTION, WEIGHTS, build_described, describe_network
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import DeliverSection, StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.records import EvoError

pytestmark = pytest.mark.usefixtures("unpublished")

NAMES = ("ant", "bee", "cat", "dog", "eel")
ARCH = Architecture(("mb_k5_e3", "mb_k3_e4", "mb_k3_e3"))
SHAPES = (Shape(8, 8, 1, 8), Shape(8, 16, 2, 8), Shape(16, 32, 2, 4))
MADE = SearchSpace(
    "made",
    tuple(
        Layer(shape, (op,), block=f"stage{i}") for i, (shape, op) in enumerate(zip(SHAPES, ARCH.genes, strict=True), 1)
    ),
    Stem(8, 1, activation="relu", c_in=3, size=8),
    Head(0, len(NAMES)),
)
"""The teacher's; its blocks have the names and channels of the space ``digits``."""

IMAGES = 72


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The teacher: a folder with a network of five classes, as ``evo.deliver`` makes them."""
    folder = tmp_path_factory.mktemp("network")
    described = describe_network(ARCH, MADE, [0.4] * 3, [0.3] * 3) | {"classes": list(NAMES)}
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
        pixels = rng.integers(0, 200, 3) + rng.integers(0, 56, (8, 8, 3))  # of one colour each, nearly
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{i:03}.png")
    return folder


def words(network: Path, flat: Path, storage: str) -> list[str]:
    """A small search; nothing says that there are no labels."""
    settings: dict[str, object] = {
        "data.name": "images", "data.path": flat, "data.size": 8, "data.workers": 0, "data.validation_fraction": 0.3,
        "evaluator.epochs": 2, "evaluator.batch_size": 16, "evaluator.candidates": 20, "ground_truth.sample": 0,
        "evaluator.teacher": f"{{ weights = '{network}' }}", "search.evaluations": 8, "search.population": 4,
    }  # fmt: skip
    given = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
    return ["--config", "dna_digits", "--run", "flat", "--storage", storage, *given]


@pytest.fixture(scope="module")
def storage(network: Path, flat: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished round, by the command line."""
    url = f"sqlite:///{tmp_path_factory.mktemp('searched')}/evo.db"
    assert search(["1", *words(network, flat, url)]) == 0
    return url


@pytest.fixture
def searched(storage: str) -> Iterator[tuple[Store, StoredRun]]:
    with open_store(storage) as store:
        yield store, store.run("flat")


# -- the search -------------------------------------------------------------------------------------------------------


def test_networks_have_the_classes_of_the_teacher(searched: tuple[Store, StoredRun]) -> None:
    store, run = searched
    assert run.config.data.labels is False
    assert run.space.head.classes == len(NAMES)
    assert run.classes == NAMES
    scores = [proposal.evaluation.accuracy for proposal in store.proposals(store.rounds(run)[0])]
    assert len(set(scores)) > 3
    assert all(0 < score < 1 for score in scores)


def test_a_run_goes_on_and_what_is_done_stays(
    network: Path, flat: Path, storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted after its first block, a run has the scores of one that was not."""
    assert search(["1", *words(network, flat, storage)]) == 0
    assert "nothing to do: run flat has finished round 1" in capsys.readouterr().out
    url = f"sqlite:///{tmp_path}/evo.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evo.evaluators.blockwise.distillation.share_checkpoint", share_one())
        assert search(["1", *words(network, flat, url)]) == 130
    assert search(["1", *words(network, flat, url)]) == 0
    assert scores_in(url) == scores_in(storage)


def share_one() -> Callable[[Path, Path], None]:
    """What shares a block, and presses Ctrl-C in place of the next."""
    shared: list[Path] = []

    def share(draft: Path, path: Path) -> None:
        if shared:
            raise KeyboardInterrupt
        shared.append(path)
        share_checkpoint(draft, path)

    return share


def scores_in(url: str) -> dict[str, float]:
    with open_store(url) as store:
        found = [proposal.evaluation for proposal in store.proposals(store.rounds(store.run("flat"))[0])]
        return {str(one.arch): one.accuracy for one in found}


# -- delivery ---------------------------------------------------------------------------------------------------------


QUICK = ["--max-macs", "100k", "--set", "deliver.epochs=20", "--set", "deliver.batch_size=16"]


@pytest.fixture(scope="module")
def delivered(storage: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("delivered") / "net"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evo.deliver.exporting.export_program", lambda *_: None)
        for writer in ("write_onnx", "write_program"):
            patch.setattr(f"evo.deliver.exporting.{writer}", lambda *given: given[3].touch())
        assert deliver(["flat", "--storage", storage, "--out", str(folder), *QUICK]) == 0
    return folder


def test_the_network_that_the_blocks_imitate_alone_teaches(delivered: Path, network: Path) -> None:
    said = read_manifest(delivered)
    assert said["teacher"]["name"] == str(network)
    assert said["training"]["settings"]["teacher"] == "imitated"
    assert said["training"]["settings"]["teacher_share"] == 1
    assert said["classes"] == list(NAMES)
    assert said["provenance"]["summed_over"] == "blocks"


def test_the_test_says_how_well_it_agrees_with_the_teacher(delivered: Path, network: Path, flat: Path) -> None:
    """The two folders' networks, on the very files that nothing has seen."""
    files = sorted(flat.iterdir())[5::6]
    x = torch.stack([torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1) for file in files]).float() / 255
    with torch.no_grad():
        ours, teacher = (load_network(folder)(x).double() for folder in (delivered, network))
    test, p = read_manifest(delivered)["test"], teacher.softmax(1)
    assert test["images"] == len(files) == 12
    assert test["agreement"] == pytest.approx(float((ours.argmax(1) == teacher.argmax(1)).double().mean()))
    divergence = float((p * (p.log() - ours.log_softmax(1))).sum(1).mean())
    assert test["divergence"] == pytest.approx(divergence, rel=1e-3)
    with pytest.raises(EvoError, match="were measured for agreement, and accuracy is not known: expected .agreement"):
        _ = Delivered(delivered, read_manifest(delivered)).accuracy


def test_a_delivery_is_made_once(delivered: Path, storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    """And with the same bits where its weights are lost."""
    again, before = ["flat", "--storage", storage, "--out", str(delivered), *QUICK], load_file(delivered / WEIGHTS)
    assert deliver(again) == 0
    assert "nothing to do" in capsys.readouterr().out
    (delivered / WEIGHTS).unlink()
    assert deliver(again) == 0
    after = load_file(delivered / WEIGHTS)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_learning_from_the_teacher_makes_it_agree(searched: tuple[Store, StoredRun]) -> None:
    """Beside a network that learns nothing; and the teacher's blocks are imitated where that is asked for."""
    store, run = searched
    one = contender("one", Architecture(tuple(layer.candidates[0] for layer in run.space.layers)), run.space)
    found = []
    for more in ("deliver.learning_rate=0", "deliver.learning_rate=0.1", "deliver.teacher_features=0.5"):
        known = ("deliver.epochs=40", "deliver.batch_size=8", "deliver.mixup=0", "deliver.augment=[]")
        config = training_settings(run, (*known, more))
        images = require_fitting_images(load_dataset(config.data, "cpu"), run.space, run.classes)
        found.append(Trainer.of(store, run, config, images).train(one, 0, lambda steps: None).nll or 0.0)
    assert found[1] < 0.7 * found[0]
    assert found[2] not in found[:2]


# -- words ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unexported")
def test_what_is_shown_is_a_score_or_an_agreement(
    network: Path, flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Plan, terminal, report as text and as JSON; the delivery's lines, its folder and its JSON. The one sentence that has the
    word says that none was measured."""
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/evo.db"
    given = words(network, flat, url)
    assert search(["1", "--plan", *given]) == 0
    assert search(["1", *given]) == 0
    said = [capsys.readouterr().out]
    assert report(["flat", "--storage", url]) == 0
    said.append(" ".join(capsys.readouterr().out.split()))
    assert "learns to give what the teacher gives" in said[1]
    assert report(["flat", "--storage", url, "--json"]) == 0
    said.append(capsys.readouterr().out)
    assert {"score", "macs"} < json.loads(said[2])["front"][0].keys()
    quick = ["--set", "deliver.epochs=1", "--finalists", "2", "--out", "net"]
    assert deliver(["flat", "--storage", url, *quick]) == 0
    assert deliver(["flat", "--storage", url, *quick, "--json"]) == 0
    said.append(capsys.readouterr().out)
    assert "agreement" in said[3]
    said += [(tmp_path / "net" / name).read_text() for name in ("README.md", "architecture.json", "model.py")]
    assert "| agreement with its teacher on test images |" in said[4]
    assert "whole network" not in said[4]
    found = [text.replace("No accuracy was measured", "") for text in said]
    assert [line for text in found for line in text.splitlines() if "accura" in line.lower()] == []
    page = (tmp_path / "flat.html").read_text()
    assert "best exp(-block loss)" in page
    assert "best accuracy" not in page


def test_runs_are_compared_as_json(storage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    again = tmp_path / "evo.db"
    shutil.copy(storage.removeprefix("sqlite:///"), again)
    assert compare(["flat", "--storage", storage, "--storage", f"sqlite:///{again}", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["fronts"][0].keys() > {"score", "macs"}
    assert said["runs"][0]["best_score"] == pytest.approx(max(row["score"] for row in said["fronts"]))


# -- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("evaluator.teacher={}", "evaluator.teacher names no trained network: expected evaluator.teacher.weights"),
        ("ground_truth.sample=8", "ground_truth.sample is 8, which trains networks with labels"),
        ("space.classes=7", "networks learn the 5 classes of their teacher, and space 'digits' is made for 7"),
        ("deliver.teacher=folder", "without labels the network that evaluator.teacher names teaches"),
    ],
)
def test_what_cannot_be_without_labels_is_answered(
    more: str, said: str, network: Path, flat: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(["1", *words(network, flat, f"sqlite:///{tmp_path}/evo.db"), "--set", more]) == 1
    assert said in " ".join(capsys.readouterr().err.split())


def test_accuracies_are_not_compared(storage: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert deliver(["flat", "--storage", storage, "--against", "uniform"]) == 1
    assert "as its images have no labels, and --against compares accuracies" in capsys.readouterr().err


# -- teachers of torchvision, and where there are labels --------------------------------------------------------------


def study(flat: Path, teacher: dict[str, str], **sections: object) -> StudyConfig:
    forget_data()
    known = {
        "space": {"name": "digits"},
        "data": {"name": "images", "path": str(flat), "size": 8, "workers": 0, "labels": False},
        "evaluator": {"kind": "blockwise", "teacher": teacher},
        "evolution": {"method": "dna"},
    }
    return check_config(known | sections, "test")


def first_four(images: Images) -> torch.Tensor:
    return next(iter(images.test.batches(4)))[0]


def test_published_weights_know_their_classes_by_name(flat: Path, tmp_path: Path) -> None:
    """Nothing is downloaded to ask. A file has no names, and as many classes as the model."""
    published = classes_of_teacher(study(flat, {"model": "mobilenet_v2", "weights": "DEFAULT"}))
    assert (len(published), published[0]) == (1000, "tench")
    model = torchvision_shim.torchvision.models.mobilenet_v2(weights=None)
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    mine = classes_of_teacher(study(flat, {"model": "mobilenet_v2", "weights": str(tmp_path / "mine.safetensors")}))
    assert mine == tuple(map(str, range(1000)))
    for other in ("r3d_18", "raft_small"):
        with pytest.raises(EvoError, match=f"'{other}' gives no scores of classes that networks could learn: expected"):
            classes_of_teacher(study(flat, {"model": other, "weights": "DEFAULT"}))


def test_a_model_of_torchvision_says_what_it_was_trained_to_say(flat: Path, tmp_path: Path) -> None:
    """It sees images normalised by its own mean and deviation; MACs are torch's."""
    torch.manual_seed(0)
    model = torchvision_shim.torchvision.models.mobilenet_v2(weights=None).eval()
    save_file(model.state_dict(), tmp_path / "mine.safetensors")
    given = {"model": "mobilenet_v2", "weights": str(tmp_path / "mine.safetensors")}
    config = study(flat, given, deliver={"teacher": "imitated"})
    images = replace(load_dataset(config.data, "cpu"), class_names=tuple(map(str, range(1000))))
    teacher = find_teacher(config, None, images)
    assert teacher is not None
    x = first_four(images)
    raw = x * torch.tensor(images.std).view(-1, 1, 1) + torch.tensor(images.mean).view(-1, 1, 1)
    with torch.no_grad():
        expected = model(torchvision_shim.transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])(raw))
    torch.testing.assert_close(teacher(x), expected.softmax(1), rtol=1e-4, atol=1e-6)
    assert 1e6 < teacher.macs < 1e7
    assert teacher.to_dict() == {"name": "mobilenet_v2", "sha256": teacher.sha256, "macs": teacher.macs}
    one = contender("one", ARCH, MADE)
    with pytest.raises(
        EvoError, match="'mobilenet_v2' is a model of torchvision, which has no blocks of this program's"
    ):
        require_hints(one, teacher, DeliverSection(teacher="imitated", teacher_features=0.5))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("oneshot", "the evaluator.teacher of a run of evaluator 'blockwise', and evaluator.kind is 'oneshot'"),
        ("blockwise", "the network that evaluator.teacher names, and found none there: give evaluator.teacher.weights"),
    ],
)
def test_what_nothing_imitates_teaches_nothing(kind: str, said: str) -> None:
    given = {"space": {"name": "digits"}, "evaluator": {"kind": kind}, "evolution": {"method": "fixed"}}
    with pytest.raises(EvoError, match=said):
        check_config(given | {"deliver": {"teacher": "imitated"}}, "test")


def test_with_labels_it_teaches_a_share(network: Path, flat: Path, tmp_path: Path) -> None:
    """The same images in folders of the teacher's classes; with other classes it is refused."""
    for i, file in enumerate(sorted(flat.iterdir())):
        (tmp_path / NAMES[i % 5]).mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / NAMES[i % 5])
    data = {"name": "images", "path": str(tmp_path), "size": 8, "workers": 0}
    config = study(flat, {"weights": str(network)}, data=data, deliver={"teacher": "imitated"})
    images = load_dataset(config.data, "cpu")
    teacher = find_teacher(config, None, images)
    assert teacher is not None
    assert teacher.network is not None
    assert teacher.network.arch == ARCH
    torch.testing.assert_close(teacher(first_four(images)).sum(1), torch.ones(4))
    other = replace(images, class_names=(*NAMES[:4], "fox"))
    with pytest.raises(EvoError, match="whose class 4 is 'eel', and class 4 of the images is 'fox'"):
        find_teacher(config, None, other)
