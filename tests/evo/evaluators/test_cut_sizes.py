"""Cuts of a trained network on smaller images, and beside what needs no search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from analysis.answers.both import answers
from evo.alone.budgets import find_budgets, is_complete
from evo.alone.contest import hold_contest
from evo.alone.rivals import Task, cut_without_search
from evo.alone.selection import Criteria
from evo.alone.start import Start
from evo.console import SILENT
from evo.data.loading import load_dataset
from evo.deliver.pipeline import deliver_network
from evo.round.algorithm import run_round
from evo.round.arms import check_arms
from evo.round.context import RunContext, run_context
from evo.round.new_run import begin_run
from evo.round.options import RunOptions
from evo.workers.executors import map_inline
from spaces import load_network
from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.layer import Head
from spaces.pretrained.cut_space import whole_network
from spaces.space import resolve_variants
from studies.config import load_config
from studies.controls import Control
from studies.database.no_search import results_of
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.evaluators.cut_examples import MADE, judge_of, network_folder, recalibrated_probabilities, settings


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return network_folder(tmp_path_factory)


@pytest.fixture(scope="module")
def sized(network: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """A finished round of networks that choose the size of their images."""
    folder = tmp_path_factory.mktemp("sized")
    config = settings(
        network, evaluator={"resolutions": [0.75, 0.5], "importance": "taylor"}, search={"evaluations": 30}
    )
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        shared = run_context(begin_run(store, "sized", config), store, folder / "files", map_inline)
        run_round(shared, 1)
        yield shared


def test_the_size_of_the_images_is_a_choice_like_any_other(sized: RunContext) -> None:
    space = sized.run.space
    assert space.layers[0].candidates == ("size_8", "size_6", "size_4")
    judge = judge_of(sized)
    assert judge.losses[0, "size_8"] == 0.0
    assert {op for place, op in judge.losses if place == 0} == {"size_8", "size_6", "size_4"}
    measured = sized.store.proposals(sized.store.rounds(sized.run)[0])
    assert {proposal.evaluation.arch.genes[0] for proposal in measured} == {"size_8", "size_6", "size_4"}
    assert len({str(proposal.evaluation.arch) for proposal in measured}) == len(measured)


def test_a_network_of_smaller_images_begins_with_the_same_weights_and_is_delivered_for_its_size(
    sized: RunContext, tmp_path: Path
) -> None:
    run, store = sized.run, sized.store
    arch = Architecture(("size_6", *whole_network(run.space).genes[1:]))
    description = deliver_network(store, run, run.config, Criteria({}, arch=arch), tmp_path / "net")
    network = load_network(tmp_path / "net")
    assert description["preprocessing"]["size"] == 6
    assert description["costs"]["macs"] == count_costs(run.space, arch).macs
    with torch.no_grad():
        assert network(torch.rand(2, 1, 6, 6)).shape == (2, 10)
    whole = load_file(sorted(sized.folder.glob("network-*.safetensors"))[0])
    own = dict(network.state_dict())
    assert torch.equal(
        own["layers.0.ops.mb_k5_e3.0.0.weight"], whole["layers.0.ops.mb_k5_e3.0.0.weight"]
    )  # learning_rate 0


@pytest.fixture(scope="module")
def narrowed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunContext]:
    """A finished round of networks that choose the channels of their stages, too."""
    folder = tmp_path_factory.mktemp("narrowed")
    network = network_folder(tmp_path_factory, replace(MADE, head=Head(24, 10)))
    evaluator = {"resolutions": [0.5], "widths": [0.5], "importance": "taylor", "refit": True}
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        run = begin_run(store, "narrowed", settings(network, evaluator=evaluator, search={"evaluations": 30}))
        shared = run_context(run, store, folder / "files", map_inline)
        run_round(shared, 1)
        yield shared


def test_the_channels_of_stages_are_chosen_with_the_size(narrowed: RunContext) -> None:
    judge, inputs = judge_of(narrowed), narrowed.run.space.layers[0].candidates
    assert inputs == ("size_8", "size_8_c8-8", "size_4", "size_4_c8-8")  # the first stage adds what the stem gives
    assert {op for place, op in judge.losses if place == 0} == set(inputs)
    measured = narrowed.store.proposals(narrowed.store.rounds(narrowed.run)[0])
    assert {proposal.evaluation.arch.genes[0] for proposal in measured} == set(inputs)


def test_a_network_with_fewer_channels_is_scored_as_it_is_built_alone(narrowed: RunContext) -> None:
    """Beside the network of its own shapes, built and recalibrated by itself."""
    judge, images = judge_of(narrowed), load_dataset(narrowed.run.config.data, "cpu")
    arch = Architecture(("size_8_c8-8", "mb_k5_h24", "mb_k3_h16_se25_swish", "conv_k3_h32"))
    genes, alone = resolve_variants(narrowed.run.space.check(arch), narrowed.run.space)
    assert [(layer.shape.c_in, layer.shape.c_out) for layer in alone.layers] == [(8, 8), (8, 8), (8, 8)]
    (score,) = judge([arch])
    said = recalibrated_probabilities(replace(judge, space=alone.restrict_to(genes)), genes, images, 64)
    assert score.accuracy == pytest.approx(float((said.argmax(1) == images.validation.y).double().mean()), abs=0.02)
    assert score.nll == pytest.approx(float(-said[range(len(said)), images.validation.y].log().mean()), rel=1e-3)


def test_a_network_with_fewer_channels_is_delivered_with_the_weights_that_were_searched(
    narrowed: RunContext, tmp_path: Path
) -> None:
    run, store = narrowed.run, narrowed.store
    arch = Architecture(("size_8_c8-8", *whole_network(run.space).genes[1:]))
    description = deliver_network(store, run, run.config, Criteria({}, arch=arch), tmp_path / "net")
    assert description["costs"]["macs"] == count_costs(run.space, arch).macs
    network, genes = load_network(tmp_path / "net"), whole_network(run.space).genes
    whole = load_file(sorted(narrowed.folder.glob("network-*.safetensors"))[0])
    name = f"layers.1.ops.{genes[2]}"
    kernel, scale, variance = (whole[f"{name}.3.{part}"].double() for part in ("0.weight", "1.weight", "1.running_var"))
    into = whole["stages.1.stream_into"].double()[:8]
    expected = torch.einsum("kc,coij->koij", into * scale / (variance + 1e-5).sqrt(), kernel)
    assert torch.allclose(dict(network.state_dict())[f"{name}.3.0.weight"].double(), expected, atol=1e-5)


def test_would_fine_tuning_have_done(sized: RunContext) -> None:
    store, run = sized.store, sized.run
    row = store.rounds(run)[0]
    arms = (Control.PRETRAINED, Control.WHOLE)
    hold_contest(store, run, row, arms, SILENT)
    assert is_complete(store, run, row, arms)
    found = {(one.arm, one.place): one for one in results_of(store, run, 1)}
    whole = count_costs(run.space, whole_network(run.space)).macs
    budgets = find_budgets(store, run, row)
    for budget in budgets:
        assert found["pick", budget.place].macs == budget.macs  # it keeps the widths that its weights have
        assert found["whole", budget.place].macs == whole
        if ("pretrained", budget.place) in found:
            assert found["pretrained", budget.place].macs <= budget.macs
            assert found["pretrained", budget.place].network in ("the same share of every layer", "smaller images")
    said = " ".join(answers(store, run).sentences())
    assert "Would fine-tuning the whole network have done?" in said
    assert "against the best of uniform cuts and smaller images" in said


def test_where_stages_can_give_fewer_channels_so_can_a_cut_without_a_search(
    narrowed: RunContext, sized: RunContext
) -> None:
    run = narrowed.run
    macs = 0.6 * count_costs(run.space, whole_network(run.space)).macs
    cuts = {cut.name: cut for cut in cut_without_search(Task(run.space, macs, run.config, 1))}
    assert list(cuts) == ["the same share of every layer", "the same share of every layer and stage", "smaller images"]
    narrow = cuts["the same share of every layer and stage"]
    whole = run.space.layers[1:]
    assert [layer.shape.c_out for layer in narrow.space.layers] < [layer.shape.c_out for layer in whole]
    start = Start.of(narrowed.store, run, load_dataset(run.config.data, "cpu"))
    assert start is not None and all(start.weights(cut.arch, cut.space) for cut in cuts.values())
    assert len(cut_without_search(Task(sized.run.space, macs, sized.run.config, 1))) == 2


@pytest.mark.parametrize(("kind", "control"), [("cuts", "uniform"), ("oneshot", "pretrained"), ("oneshot", "whole")])
def test_an_arm_that_begins_otherwise_is_refused_before_anything_runs(network: Path, kind: str, control: str) -> None:
    trained = settings(network)
    config = trained if kind == "cuts" else load_config("digits")
    with pytest.raises(EvoError, match=f"control {control} .*: expected fixed or random"):
        check_arms(RunOptions(1, control=(control,)), config)


def test_the_whole_network_is_asked_for_with_its_cuts() -> None:
    assert RunOptions(1, control=("pretrained",)).no_search == (Control.PRETRAINED, Control.WHOLE)


@pytest.mark.parametrize("part", [0.99, 0.1])
def test_sizes_that_are_none_are_refused(network: Path, tmp_path: Path, part: float) -> None:
    config = settings(network, evaluator={"resolutions": [part]})
    with (
        open_store(f"sqlite:///{tmp_path}/evo.db") as store,
        pytest.raises(SpaceError, match="are no choice beside 8: exp"),
    ):
        begin_run(store, "sizes", config)
