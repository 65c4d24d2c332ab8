"""What the search of cuts is charged for, beside torch's own counter while it works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from evo.alone.charge import round_macs
from evo.data.loading import load_dataset
from evo.evaluators.cuts.judge import CutsJudge
from evo.round.algorithm import run_round
from evo.round.context import run_context
from evo.round.new_run import begin_run
from evo.workers.executors import map_inline
from evo.workers.protocol import R, T, Work
from studies.database.store import open_store
from tests.evo.evaluators.cut_examples import judge_of, network_folder, settings

network = pytest.fixture(scope="module")(network_folder)


@pytest.mark.parametrize("resolutions", [[], [0.5]])
@pytest.mark.parametrize(("loss", "images"), [("likelihood", None), ("divergence", 32), ("divergence", 200)])
def test_cuts_that_are_measured_by_themselves_cost_what_runs(
    network: Path, tmp_path: Path, resolutions: list[float], loss: str, images: int | None
) -> None:
    """What lies before a cut is the whole network's, and runs once."""
    evaluator = {"loss": loss, "loss_images": images, "resolutions": resolutions, "calibration_batches": 1}
    config = settings(network, evaluator=evaluator, search={"macs_convention": "torch", "evaluations": 10})
    counter = FlopCounterMode(display=False)

    def counting(work: Work[T, R], items: Sequence[T]) -> list[R]:
        with counter:
            return map_inline(work, items)

    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "counted", config)
        judge_of(run_context(run, store, tmp_path / "files", counting))
        spent = round_macs(config, run.space, 1, [], {}, [], load_dataset(config.data, "cpu"))
    assert spent is not None
    assert counter.get_total_flops() == 2 * spent.scoring > 0


def test_what_was_made_is_measured_for_what_it_costs_in_later_rounds(network: Path, tmp_path: Path) -> None:
    pool = {"operations": ["mb_k3_e1"], "epochs": 1}
    config = settings(
        network,
        evaluator={"loss": "divergence", "loss_images": 48, "calibration_batches": 1, "shares": [0.5], "pool": pool},
        evolution={"method": "evidence", "make": 2},
        search={"macs_convention": "torch", "evaluations": 6},
    )
    counter = FlopCounterMode(display=False)

    def counting(work: Work[T, R], items: Sequence[T]) -> list[R]:
        if not isinstance(work, CutsJudge):
            return map_inline(work, items)
        with counter:
            return map_inline(work, items)

    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        run = begin_run(store, "counted", config)
        run_round(run_context(run, store, tmp_path / "files" / "counted", map_inline), 1)
        judge = judge_of(run_context(run, store, tmp_path / "files" / "counted", counting), 2)
        images = load_dataset(config.data, "cpu")
        spent = round_macs(config, judge.space, 2, [], judge.stats([]), [], images)
    assert spent is not None
    assert judge.made == 2
    assert counter.get_total_flops() == 2 * spent.scoring > 0
    assert spent.training == judge.pool_macs > 0
