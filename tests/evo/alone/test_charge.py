"""What the search of cuts is charged for, beside torch's own counter while it works."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from torch.utils.flop_counter import FlopCounterMode

from evo.alone.charge import round_macs
from evo.data.loading import load_dataset
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
