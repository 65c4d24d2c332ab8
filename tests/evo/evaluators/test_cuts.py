"""A trained network is fine-tuned once and judges its own cuts; a delivered network begins with their weights."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from analysis.answers.both import answers
from evo.alone.charge import round_macs
from evo.alone.selection import Criteria
from evo.alone.start import Start
from evo.alone.trainer import Trainer
from evo.console import Reporter, untracked
from evo.data.fingerprint import fingerprint
from evo.data.loading import load_dataset
from evo.deliver.against import compare_with_no_search
from evo.deliver.pipeline import deliver_network
from evo.evaluators.cuts.evaluator import Cuts
from evo.evaluators.cuts.judge import CutsJudge
from evo.evaluators.cuts.network import cut_out
from evo.round.algorithm import run_round
from evo.round.context import RunContext, fit_context, open_round, run_context
from evo.round.new_run import begin_run
from evo.workers.executors import local_executor, map_inline
from spaces import load_network
from spaces.architecture import Architecture
from spaces.costs.table import cost_table, count_costs
from spaces.errors import SpaceError, UserError
from spaces.export.baselines import contender
from spaces.export.network_folder import WEIGHTS
from spaces.layer import Layer
from spaces.networks.network import Network
from spaces.networks.supernet import inherit_weights
from spaces.pretrained.cut_space import whole_network
from studies.config import StudyConfig, check_config
from studies.database.store import Store, open_store
from studies.records import EvoError
from tests.evo.conftest import interrupted_at
from tests.evo.evaluators.cut_examples import MADE, judge_of, network_folder, recalibrated_probabilities, settings


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network_folder(tmp_path_factory)


@pytest.fixture
def begun(network: Path, tmp_path: Path) -> Iterator[RunContext]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "cuts", settings(network))
        yield run_context(run, store, tmp_path / "files", map_inline)


@pytest.fixture(scope="module")
def searched(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """Two finished rounds."""
    folder = tmp_path_factory.mktemp("searched")
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        shared = run_context(begin_run(store, "cuts", settings(network)), store, folder / "files", map_inline)
        for n in (1, 2):
            run_round(shared, n)
        yield shared


def test_the_space_is_that_of_the_network_for_the_images(begun: RunContext) -> None:
    space = begun.run.space
    assert [layer.candidates[0] for layer in space.layers] == [layer.candidates[0] for layer in MADE.layers]
    assert space.layers[0].candidates == ("mb_k5_e3", "mb_k3_e3", "mb_k5_e2", "mb_k3_e2", "mb_k5_h8", "mb_k3_h8", "id")
    assert space.layers[1].candidates == (
        "mb_k3_e4_se25_swish",
        "mb_k3_e3_se25_swish",
        "mb_k3_e2_se25_swish",
        "mb_k3_h8_se25_swish",
    )


def test_the_network_is_fine_tuned_once_and_judges_in_all_rounds(searched: RunContext) -> None:
    rows = searched.store.rounds(searched.run)
    assert rows[0].judge == rows[1].judge
    assert len(list(searched.folder.glob("network-*.safetensors"))) == 1
    assert not list(searched.folder.glob("*.progress"))
    proposals = searched.store.proposals(rows[0])
    assert {proposal.origin for proposal in proposals} >= {"combined"}
    whole = next(p.evaluation for p in proposals if p.arch == whole_network(searched.run.space))
    assert whole.accuracy > 0.5  # it has learned something: a tenth would be chance


def test_what_it_costs_is_counted(searched: RunContext) -> None:
    """By hand: three epochs of 256 of 280 images, three passes each; every network on 120 + 128 images. What single cuts cost
    stands beside torch's own counter in ``test_charge``."""
    first, second = (row.stats["macs"] for row in searched.store.rounds(searched.run))
    space, images = searched.run.space, load_dataset(searched.config.data, "cpu")
    measured = sum(p.evaluation.macs for p in searched.store.proposals(searched.store.rounds(searched.run)[0]))
    assert first["training"] == 3 * 3 * 256 * count_costs(space, whole_network(space)).macs
    single_cuts = round_macs(searched.config, space, 1, [], {}, [], images)
    assert single_cuts is not None
    assert first["scoring"] == single_cuts.scoring + measured * (120 + 128)
    assert second["training"] == 0
    again = sum(p.evaluation.macs for p in searched.store.proposals(searched.store.rounds(searched.run)[1]) if p.is_new)
    assert second["scoring"] == again * (120 + 128)


def test_a_score_is_that_of_the_network_with_weights_cut_out(searched: RunContext) -> None:
    """Built by itself, its normalisations recalibrated layer by layer on the same images."""
    judge, config = judge_of(searched), searched.config
    images = load_dataset(config.data, "cpu")
    arch = Architecture(("mb_k3_h8", "mb_k3_e2_se25_swish", "id"))
    (found,) = judge([arch])
    alone = Network(arch, judge.space)
    inherit_weights(alone, cut_out(config, judge.origin, judge.space, judge.checkpoint, images))
    with torch.no_grad():
        for norm in (part for part in alone.modules() if isinstance(part, torch.nn.BatchNorm2d)):
            alone.eval()
            norm.train()
            norm.reset_running_stats()
            norm.momentum = None
            for x, _ in list(images.train.batches(64))[:2]:
                alone(x)
        scores = alone.eval()(torch.cat([x for x, _ in images.validation.batches(64)]))
    nll = float(torch.nn.functional.cross_entropy(scores, images.validation.y))
    assert found.nll == pytest.approx(nll, rel=0.02)


def test_losses_are_those_of_one_cut_at_a_time(searched: RunContext) -> None:
    judge = judge_of(searched)
    whole = whole_network(judge.origin)
    choice = (0, "mb_k3_h8")
    base, cut = judge([whole, Architecture((choice[1], *whole.genes[1:]))])
    assert base.nll is not None
    assert cut.nll is not None
    assert judge.losses[choice] == pytest.approx(cut.nll - base.nll, abs=1e-6)
    assert all(judge.losses[i, op] == pytest.approx(0, abs=1e-6) for i, op in enumerate(whole.genes))
    assert judge.ratings[choice] == -judge.losses[choice]


def test_a_space_that_lacks_the_network_itself_is_judged_alike(searched: RunContext) -> None:
    """Later rounds may drop what is dear: losses stay those beside the whole network."""
    context = open_round(searched, 1)
    space = context.space.replace_layers(
        replace(layer, candidates=layer.candidates[1:]) for layer in context.space.layers
    )
    later = searched.evaluator.fit(space, replace(fit_context(context), n=3, table=cost_table(space)))
    assert isinstance(later, CutsJudge)
    first = judge_of(searched)
    assert later.losses == {
        choice: loss for choice, loss in first.losses.items() if choice[1] in space.layers[choice[0]].candidates
    }
    arch = Architecture(tuple(layer.candidates[0] for layer in space.layers))
    assert later([arch])[0].nll == pytest.approx(first([arch])[0].nll, abs=1e-6)
    assert later.name == first.name


@pytest.mark.parametrize("stop_at", [1, 9, 20])
def test_an_interrupted_fine_tuning_ends_with_the_same_bits(
    network: Path, searched: RunContext, tmp_path: Path, stop_at: int
) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "cuts", settings(network))
        killed = run_context(run, store, tmp_path / "files", map_inline, interrupted_at(stop_at))
        with pytest.raises(KeyboardInterrupt):
            judge_of(killed)
        judge = judge_of(run_context(run, store, tmp_path / "files", map_inline, untracked))
    assert judge.sha256 == judge_of(searched).sha256


def test_workers_change_nothing(network: Path, searched: RunContext, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store, local_executor(2, 1) as evaluate:
        shared = run_context(
            begin_run(store, "cuts", settings(network)), store, tmp_path / "files", evaluate, workers=2
        )
        run_round(shared, 1)
        assert scores(store, shared) == scores(searched.store, searched)


def scores(store: Store, shared: RunContext) -> list[tuple[str, float]]:
    return [(str(p.arch), p.evaluation.accuracy) for p in store.proposals(store.rounds(shared.run)[0])]


# -- delivery ---------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unexported")
def test_a_delivered_network_begins_with_its_cut_weights(searched: RunContext, tmp_path: Path) -> None:
    """With a learning rate of zero its weights stay those that were cut out, the last layer's and the statistics apart."""
    store, run, config = searched.store, searched.run, searched.config
    arch = Architecture(("mb_k3_h8", "mb_k3_e2_se25_swish", "conv_k3_h16"))
    said = deliver_network(store, run, config, Criteria({}, arch=arch), tmp_path / "net")
    judge, images = judge_of(searched), load_dataset(config.data, "cpu")
    assert said["start"] == judge.sha256
    expected = cut_out(config, judge.origin, judge.space.restrict_to(arch), judge.checkpoint, images)
    found = dict(load_network(tmp_path / "net").named_parameters())
    assert len(found) > 20
    assert all(torch.equal(found[name], expected[name]) for name in found)


@pytest.mark.usefixtures("unexported")
def test_a_network_of_other_widths_is_trained_from_fresh_weights(searched: RunContext, tmp_path: Path) -> None:
    """An operation that says its channels cannot be scaled at all; others are no cuts any more, with another head, too."""
    with pytest.raises(SpaceError, match="conv_k3_h32 of .* says how many channels it has inside"):
        deliver_network(searched.store, searched.run, searched.config, Criteria({}, scale_to=600_000), tmp_path / "net")
    arch = Architecture(("mb_k3_e2", "mb_k3_e4_se25_swish", "id"))
    said = deliver_network(
        searched.store, searched.run, searched.config, Criteria({}, arch=arch, scale_to=600_000), tmp_path / "net"
    )
    assert "start" not in said
    start = Start.of(searched.store, searched.run, load_dataset(searched.config.data, "cpu"))
    assert start is not None
    space = searched.run.space
    assert start.weights(arch, space) is not None
    assert start.weights(arch, replace(space, head=replace(space.head, features=24))) is None
    assert start.weights(arch, replace(space, head=replace(space.head, classes=3))) is not None


def test_finalists_begin_with_their_cut_weights(searched: RunContext) -> None:
    images = load_dataset(searched.config.data, "cpu")
    trainer = Trainer.of(searched.store, searched.run, searched.config, images)
    one = contender("one", whole_network(searched.run.space), searched.run.space, "macs")
    assert trainer.train(one, 0, lambda steps: None).accuracy > 0.4  # with a learning rate of zero
    assert trainer.identity(one, 0) != Trainer(*list(vars(trainer).values())[:5]).identity(one, 0)


@pytest.mark.usefixtures("unexported")
def test_the_whole_network_teaches_its_cuts(searched: RunContext, tmp_path: Path) -> None:
    """Its probabilities are those of the fine-tuned file, on images as they were normalised for it; it costs its MACs."""
    store, run, config = searched.store, searched.run, with_deliver(searched.config, teacher="whole", teacher_share=1.0)
    arch = Architecture(("mb_k3_h8", "mb_k3_e2_se25_swish", "conv_k3_h16"))
    said = deliver_network(store, run, config, Criteria({}, arch=arch), tmp_path / "net")
    judge, images = judge_of(searched), load_dataset(config.data, "cpu")
    whole = whole_network(run.space)
    macs = count_costs(run.space, whole).macs
    assert said["teacher"] == {"name": "whole", "sha256": judge.sha256, "arch": str(whole), "macs": macs}
    assert said["start"] == judge.sha256
    assert (
        "epochs; distilled from the network that the run has fine-tuned ("
        in (tmp_path / "net" / "README.md").read_text()
    )
    network = Network(whole, run.space)
    network.load_state_dict(load_file(judge.checkpoint))
    x = images.validation.take(torch.arange(20))[0]
    with torch.no_grad():
        expected = network.eval()(x).softmax(1)
    for given in (images, replace(images, mean=(images.mean[0] + 0.2,), std=(images.std[0] * 2,))):
        teacher = Trainer.of(store, run, config, given).teacher
        assert teacher is not None
        raw = x * images.std[0] + images.mean[0]
        torch.testing.assert_close(teacher((raw - given.mean[0]) / given.std[0]), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.usefixtures("unexported")
def test_from_scratch_ignores_the_weights_that_were_trained(searched: RunContext, tmp_path: Path) -> None:
    """They need not even be there; nothing is said of widths, which may change."""
    store, run, config = searched.store, searched.run, searched.config
    arch, said = Architecture(("mb_k3_e2", "mb_k3_e4_se25_swish", "id")), list[str]()
    wish, reporter = Criteria({}, arch=arch, scale_to=600_000), Reporter(said.append)
    started = deliver_network(store, run, config, Criteria({}, arch=arch), tmp_path / "started")
    with pytest.raises(EvoError, match="holds another network, with other start"):
        deliver_network(store, run, config, Criteria({}, arch=arch), tmp_path / "started", from_scratch=True)
    fresh = deliver_network(store, run, config, Criteria({}, arch=arch), tmp_path / "fresh", from_scratch=True)
    assert "start" in started
    assert "start" not in fresh
    weights = [dict(load_network(tmp_path / name).named_parameters()) for name in ("started", "fresh")]
    assert not torch.equal(
        weights[0]["layers.0.ops.mb_k3_e2.0.0.weight"], weights[1]["layers.0.ops.mb_k3_e2.0.0.weight"]
    )
    deliver_network(store, run, config, wish, tmp_path / "wide", reporter, from_scratch=True)
    assert said == []
    deliver_network(store, run, config, wish, tmp_path / "as before", reporter)
    assert said == ["its widths are not those of the run's network: it is trained from fresh weights"]


def test_nothing_is_added_to_weights_that_were_trained_without(searched: RunContext) -> None:
    store, run, images = searched.store, searched.run, load_dataset(searched.config.data, "cpu")
    config = with_deliver(searched.config, add=("se", "swish"))
    with pytest.raises(
        EvoError, match=r"deliver.add is \['se', 'swish'\], and networks of run 'cuts' begin with the weights"
    ):
        Trainer.of(store, run, config, images)
    fresh = Trainer.of(store, run, config, images, from_scratch=True)
    one = contender("one", Architecture(("mb_k3_e2", "mb_k3_e4_se25_swish", "id")), run.space, "macs")
    assert str(fresh.as_trained(one).arch) == "mb_k3_e2_seh25_swish|mb_k3_e4_se25_swish|id"


def test_from_scratch_a_run_of_cuts_may_have_a_teacher_and_be_compared(searched: RunContext) -> None:
    store, run = searched.store, searched.run
    config, images = with_deliver(searched.config, teacher="whole"), load_dataset(searched.config.data, "cpu")
    fresh, started = (Trainer.of(store, run, config, images, from_scratch=asked) for asked in (True, False))
    one = contender("one", whole_network(run.space), run.space, "macs")
    assert fresh.start is None
    assert fresh.teacher is not None
    assert fresh.identity(one, 0) != started.identity(one, 0)
    arch = Architecture(("mb_k3_e2", "mb_k3_e4_se25_swish", "id"))
    found = compare_with_no_search(
        run.name, store.url, ["mobilenet_v2"], Criteria({}, arch=arch), ["deliver.epochs=1"], from_scratch=True
    )
    assert [arm.name for arm in (found.pick, *found.baselines)] == ["pick", "mobilenet_v2"]


def with_deliver(config: StudyConfig, **changes: object) -> StudyConfig:
    return config.model_copy(update={"deliver": config.deliver.model_copy(update=changes)})


def test_weights_that_are_gone_are_told(network: Path, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        shared = run_context(begin_run(store, "cuts", settings(network)), store, tmp_path / "files", map_inline)
        images = load_dataset(shared.config.data, "cpu")
        assert Start.of(store, shared.run, images) is None
        path = judge_of(shared).checkpoint
        assert Start.of(store, shared.run, images) is not None
        data = path.read_bytes()
        path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(EvoError, match="is another file by now: expected sha256"):
            Start.of(store, shared.run, images)
        path.unlink()
        with pytest.raises(EvoError, match="is not there: expected sha256"):
            Start.of(store, shared.run, images)


# -- what cannot be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"space": {"name": "digits"}}, "expected space.name = 'pretrained', found 'digits'"),
        ({"space": {"name": "pretrained", "add_operations": ["mb_k3_e1"]}}, "leave out space.add_operations"),
        ({"space": {"name": "pretrained", "size": 16}}, "leave out space.size"),
        ({"evolution": {"method": "nse"}}, "expected evidence, pad_nas or fixed"),
        (
            {"evolution": {"method": "evidence", "k": 5, "zoom": True}},
            "evolution.zoom tries operations that cannot be cut out",
        ),
        ({"evaluator": {"kind": "cuts", "joint": {}}}, "expected evaluator.importance = 'taylor', found 'scale'"),
        (
            {
                "data": {"name": "images", "labels": False},
                "evaluator": {"kind": "cuts", "importance": "taylor", "joint": {}},
            },
            "data.labels is false: leave one of them out",
        ),
        ({"ground_truth": {"sample": 4}}, "ground_truth.sample trains networks from fresh ones"),
        ({"evaluator": {"kind": "cuts", "epochs": [1, 5]}}, "evaluator.epochs"),
        ({"evaluator": {"kind": "cuts", "network": "n" * 5000}}, "no network 'nnn"),
        ({"evaluator": {"kind": "scratch"}}, "space.name is 'pretrained', which needs evaluator.kind = 'cuts'"),
        ({"evaluator": {"kind": "cuts", "network": "resnet999"}}, "no network 'resnet999'"),
        ({"evaluator": {"kind": "cuts", "network": "resnet18"}}, "resnet18 needs a file with its weights"),
    ],
)
def test_settings_that_do_not_fit(sections: dict[str, dict[str, Any]], said: str, tmp_path: Path) -> None:
    known: dict[str, dict[str, Any]] = {
        "space": {"name": "pretrained"}, "data": {"name": "digits"}, "evaluator": {"kind": "cuts"},
        "evolution": {"method": "evidence"},
    }  # fmt: skip
    with pytest.raises(UserError, match=said), open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        begin_run(store, "cuts", check_config(known | sections, "test"))


def test_other_images_are_seen_as_those_of_the_run(searched: RunContext) -> None:
    """A stem for images that are brought to another mean and deviation gives the same outputs, but for the margins."""
    images = load_dataset(searched.config.data, "cpu")
    others = replace(images, mean=(images.mean[0] + 0.2,), std=(images.std[0] * 2,))
    arch, space = whole_network(searched.run.space), searched.run.space
    outputs = []
    for given in (images, others):
        start = Start.of(searched.store, searched.run, given)
        assert start is not None
        network = Network(arch, space).eval()
        inherit_weights(network, start.weights(arch, space) or {})
        x = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            outputs.append(network.stem((x - given.mean[0]) / given.std[0])[:, :, 1:-1, 1:-1])
    assert torch.allclose(*outputs, atol=1e-4)


def test_losses_are_measured_again_on_other_images(searched: RunContext) -> None:
    context = fit_context(open_round(searched, 1))
    for sources, made in (dict(context.sources), 0), ({"data": "other"}, 1):
        before = set(searched.folder.glob("cuts-*"))
        searched.evaluator.fit(searched.run.space, replace(context, sources=sources))
        assert len(set(searched.folder.glob("cuts-*")) - before) == made


def test_a_folder_that_changes_is_noticed(network: Path, tmp_path: Path) -> None:
    mine = tmp_path / "network"
    shutil.copytree(network, mine)
    before = fingerprint(settings(mine))
    tensors = load_file(mine / WEIGHTS)
    save_file({name: tensor + 1 for name, tensor in tensors.items()}, mine / WEIGHTS)
    assert fingerprint(settings(mine)) != before


def test_arms_that_begin_with_fresh_weights_are_refused(searched: RunContext) -> None:
    with pytest.raises(EvoError, match="begin with trained weights, and uniform would be trained from fresh ones"):
        compare_with_no_search(searched.run.name, searched.store.url, ["uniform"], Criteria({}))


def test_a_report_asks_for_nothing_that_is_refused(searched: RunContext) -> None:
    said = " ".join(answers(searched.store, searched.run).sentences())
    assert "Networks that need no search are trained by: " in said
    assert "--control pretrained" in said
    assert "--control uniform" not in said


def test_an_operation_that_is_no_cut_begins_with_fresh_weights(searched: RunContext) -> None:
    images = load_dataset(searched.config.data, "cpu")
    evaluator, judge = searched.evaluator, judge_of(searched)
    assert isinstance(evaluator, Cuts)
    space = judge.space.replace_layers(
        Layer(layer.shape, ("dual_k3_e1",), block=layer.block) for layer in judge.space.layers
    )
    arch = Architecture(("dual_k3_e1",) * 3)
    assert evaluator.starting_weights(arch, space, judge.checkpoint, images) is None


def test_judges_that_cut_otherwise_have_other_names(searched: RunContext) -> None:
    judge, names = judge_of(searched), set()
    for changed in ({}, {"importance": "weight"}, {"refit": True}, {"calibration_batches": 1}):
        section = judge.config.evaluator.model_copy(update=changed)
        names.add(replace(judge, config=judge.config.model_copy(update={"evaluator": section})).name)
    assert len(names) == 4
    assert judge.name == f"cuts:{judge.sha256[:12]}" or judge.config.evaluator.eval_batch_size != 256  # type: ignore[attr-defined]


def test_what_a_cut_loses_may_be_its_divergence_from_the_whole(network: Path, tmp_path: Path) -> None:
    """Beside the definition, the sum of p log(p / q), of both networks as they are built alone and recalibrated alike."""
    config = settings(network, evaluator={"loss": "divergence", "importance": "taylor", "refit": True, "shares": [0.5]})
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        shared = run_context(begin_run(store, "divergence", config), store, tmp_path / "files", map_inline)
        judge, images = judge_of(shared), load_dataset(config.data, config.device)
    whole = whole_network(judge.space)
    said = recalibrated_probabilities(judge, whole, images, 64)
    assert all(judge.losses[i, op] == 0 for i, op in enumerate(whole.genes))
    assert min(judge.losses.values()) >= 0
    for i, op in ((0, "mb_k3_e3"), (1, "mb_k3_e2_se25_swish"), (2, "id")):
        cut = Architecture((*whole.genes[:i], op, *whole.genes[i + 1 :]))
        q = recalibrated_probabilities(judge, cut, images, 64)
        assert judge.losses[i, op] == pytest.approx(float((said * (said / q).log()).sum(1).mean()), rel=0.02)
    (score,) = judge([whole])
    assert 0 < score.accuracy < 1  # networks themselves are scored by labels
