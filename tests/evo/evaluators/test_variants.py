"""Blocks with rows, for real: distilled, scored by the trie, combined exactly, searched, evolved, and trained alone."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import torch

from evo.alone.selection import Criteria, select_network
from evo.data.loading import load_dataset as load_images
from evo.deliver.pipeline import plan_delivery
from evo.evaluators import FitContext
from evo.evaluators.blockwise.evaluator import Blockwise, BlockwiseJudge
from evo.evaluators.blockwise.teacher import largest_architecture
from evo.evaluators.oneshot.scoring import BlockScorer
from evo.evaluators.registry import EVALUATORS
from evo.methods.evolution import Best
from evo.methods.nse import RandomSubset
from evo.round.algorithm import run_round
from evo.round.context import run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from spaces.architecture import Architecture
from spaces.costs.table import cost_table, count_costs
from spaces.export.network_folder import build_described
from spaces.export.scaling import scale_to_macs
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import BlockSupernet
from studies.config import StudyConfig, check_config
from studies.database.store import open_store
from studies.records import EvoError
from tests.evo.evaluators.test_blockwise import Pairs, one_by_one

pytestmark = pytest.mark.usefixtures("unpublished")


SPACE = load_space("digits_rows")
TABLE = cost_table(SPACE)
QUICK = {"epochs": 1, "batch_size": 50, "calibration_batches": 1, "eval_batch_size": 60}


def study(evaluator: dict[str, Any] | None = None, **search: Any) -> StudyConfig:
    evaluator = evaluator or {"kind": "blockwise", **QUICK, "epochs": 2, "teacher": {"epochs": 2}}
    return check_config(
        {
            "space": {"name": "digits_rows"},
            "data": {"name": "digits", "max_images": 250, "validation_fraction": 0.4},
            "evaluator": evaluator,
            "search": {"evaluations": 40, "population": 8, **search},
            "evolution": {"method": "dna"} if evaluator["kind"] == "blockwise" else {"method": "pad_nas"},
        },
        "test",
    )


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> BlockwiseJudge:
    found = Blockwise(study(), SPACE).fit(SPACE, FitContext(1, 0, TABLE, tmp_path_factory.mktemp("run")))
    assert isinstance(found, BlockwiseJudge)
    return found


# -- distillation -----------------------------------------------------------------------------------------------------


def test_the_candidates_of_a_block_are_those_of_all_its_rows(judge: BlockwiseJudge) -> None:
    known = [judge.block_losses(i) for i in range(3)]
    assert [len(losses) for losses in known] == [4 + 16 + 16, 16 + 64 + 16, 4 + 16 + 16]
    assert {part.genes[0] for part in known[1]} == {"row_d2_w16", "row_d3_w16", "row_d2_w24"}
    assert all(loss > 0 for losses in known for loss in losses.values())


def test_the_combined_front_is_that_of_all_124_416_combinations(judge: BlockwiseJudge) -> None:
    losses, macs = np.zeros(1), np.full(1, TABLE.fixed[0])
    for block, (start, stop) in enumerate(SPACE.blocks):
        known = judge.block_losses(block)
        costs = [sum(float(TABLE.layers[start + i].cost_of(gene)[0]) for i, gene in enumerate(genes))
                 for genes in map(SPACE.slice(start, stop).qualified_genes, known)]  # fmt: skip
        losses = np.add.outer(losses, list(known.values())).ravel()
        macs = np.add.outer(macs, costs).ravel()
    assert len(losses) == SPACE.size
    order = np.lexsort((losses, macs))
    best = list(accumulate(losses[order], min))
    expected = [(macs[i], losses[i]) for place, i in enumerate(order) if place == 0 or losses[i] < best[place - 1]]
    front = judge.front("macs")
    assert all(arch in SPACE for arch in front)
    found = list(zip(TABLE.count(front)[:, 0], judge.losses(front), strict=True))
    assert np.allclose(found, expected, rtol=1e-12)


def test_the_trie_loses_what_one_by_one_loses_over_all_rows() -> None:
    torch.manual_seed(0)
    start, stop = SPACE.blocks[1]
    net = BlockSupernet(SPACE, start, stop, 12, 20, zero_init=False)
    calibration, x = [torch.randn(20, 12, 8, 8)], torch.randn(20, 12, 8, 8)
    target = 3 * torch.randn(20, 20, 4, 4) + 1
    archs = list(SPACE.slice(start, stop).enumerate())
    scorer = BlockScorer(net, calibration, Pairs(x, target), 20)
    losses = scorer(archs)
    deviation = target.double().std(unbiased=False).item()
    for arch, loss in list(zip(archs, losses, strict=True))[::7]:
        lost = (one_by_one(net, calibration, x, arch, 20) - target).abs().sum(dtype=torch.float64).item()
        assert loss == pytest.approx(lost / target.numel() / (deviation + 1e-9), rel=1e-12)
    rows = (
        3 + (4 + 16 + 16) + (4 + 16 + 64) + (4 + 16 + 16)
    )  # the choice, and per row every prefix; a third layer is passed
    assert (scorer.naive, scorer.computed) == (96 * 4 * 2, rows * 2)


def test_rows_are_rated_by_the_best_candidate_that_has_them_and_go_like_operations(judge: BlockwiseJudge) -> None:
    place = SPACE.names.index("stage2.row")
    for row in SPACE.layers[place].candidates:
        assert judge.ratings[place, row] == -min(loss for a, loss in judge.block_losses(1).items() if a.genes[0] == row)
    after = Best(1)(SPACE, judge.ratings)
    best = max(SPACE.layers[place].candidates, key=lambda row: judge.ratings[place, row])
    assert after.layers[place].candidates == (best,)
    assert after.size == 1
    assert next(after.enumerate()) in SPACE


def test_a_block_is_trained_over_all_its_rows_alike() -> None:
    alone, rng = SPACE.slice(*SPACE.blocks[1]), Random(0)
    rows = [alone.sample(rng).genes[0] for _ in range(3000)]
    assert all(900 < rows.count(row) < 1100 for row in alone.layers[0].candidates)


def test_a_block_with_rows_and_too_many_candidates_is_searched(judge: BlockwiseJudge, tmp_path: Path) -> None:
    config = study({"kind": "blockwise", **QUICK, "epochs": 2, "teacher": {"epochs": 2}, "candidates": 12})
    searched = Blockwise(config, SPACE).fit(SPACE, FitContext(1, 0, TABLE, tmp_path))
    assert isinstance(searched, BlockwiseJudge)
    for i in range(3):
        assert len(searched.block_losses(i)) == 12
        assert {part: judge.block_losses(i)[part] for part in searched.block_losses(i)} == pytest.approx(
            searched.block_losses(i), rel=1e-12
        )


def test_the_teacher_is_the_dearest_network_of_the_dearest_rows() -> None:
    arch = largest_architecture(SPACE)
    assert TABLE.count([arch])[0, 0] == TABLE.bounds()[1, 0]
    assert arch.genes[0] == "row_d2_w16"


# -- rounds, and what is made of them ---------------------------------------------------------------------------------


def test_rounds_search_rows_drop_them_and_deliver_a_network(tmp_path: Path) -> None:
    config = study(surrogate=True, evaluations=24)
    config = config.model_copy(update={"evolution": config.evolution.model_copy(update={"keep": 2})})
    url = f"sqlite:///{tmp_path}/evo.db"
    with open_store(url) as store:
        run = begin_run(store, "rows", config)
        shared = run_context(run, store, tmp_path, map_inline)
        for n in (1, 2):
            run_round(shared, n)
        first, second = store.rounds(run)
        proposals = store.proposals(first)
        assert len(proposals) == 24
        assert all(proposal.arch in SPACE for proposal in proposals)
        assert {"combined", "screened"} <= {proposal.origin for proposal in proposals}
        fates = store.frame("SELECT layer, op, fate FROM choices JOIN rounds ON rounds.id = round_id WHERE number = 1")
        rows = fates[fates["layer"] == "stage2.row"]
        assert sorted(rows["fate"]) == ["dropped", "kept", "kept"]
        assert set(rows["op"]) == {"row_d2_w16", "row_d3_w16", "row_d2_w24"}
        assert set(second.space.layers[SPACE.names.index("stage2.row")].candidates) < set(rows["op"])
        assert all(proposal.arch in second.space for proposal in store.proposals(second))
        chosen = select_network(store, run, Criteria({}))
        images = load_images(config.data, config.device)
        for scaled in (None, scale_to_macs(chosen.space, chosen.arch, 1e6)):
            said = plan_delivery(run, config, chosen, scaled, images)
            assert sum(weight.numel() for weight in build_described(said).parameters()) == said["costs"]["params"]
            assert said["arch"].startswith("mb" if scaled else "row")


def test_a_supernet_of_rows_scores_together_what_it_scores_alone(tmp_path: Path) -> None:
    judge = EVALUATORS["oneshot"](study({"kind": "oneshot", **QUICK}), SPACE).fit(
        SPACE, FitContext(1, 0, TABLE, tmp_path)
    )
    rng = Random(0)
    archs = [SPACE.sample(rng) for _ in range(3)]
    together = [(e.accuracy, e.nll, e.macs) for e in judge(archs)]
    assert [(e.accuracy, e.nll, e.macs) for arch in archs[::-1] for e in judge([arch])] == together[::-1]


def test_a_network_of_rows_is_trained_alone(tmp_path: Path) -> None:
    judge = EVALUATORS["scratch"](study({"kind": "scratch", "epochs": 8, "batch_size": 20}), SPACE)
    arch = Architecture.parse("row_d2_w16|mb_k3_e3|mb_k5_e1|row_d2_w24|mb_k3_e3|mb_k3_e3|skip|row_d1|mb_k5_e3|skip")
    (found,) = judge.fit(SPACE, FitContext(1, 0, TABLE, tmp_path))([SPACE.check(arch)])
    assert found.accuracy > 0.5  # of ten classes
    assert (found.macs, found.params) == (count_costs(SPACE, arch).macs, count_costs(SPACE, arch).params)


# -- what does not go with rows ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [{"gates": {}}, {"sampling": "fair"}])
def test_what_takes_every_layer_by_itself_refuses_rows(other: dict[str, Any]) -> None:
    with pytest.raises(EvoError, match="'digits_rows' has blocks with rows, and evaluator.gates"):
        EVALUATORS["oneshot"](study({"kind": "oneshot", **QUICK, **other}), SPACE)


def test_methods_that_fill_layers_refuse_rows() -> None:
    with pytest.raises(EvoError, match="'digits_rows' has blocks with rows, whose layers are no cells of branches"):
        RandomSubset(3)(SPACE, Random(0))
