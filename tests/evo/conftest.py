"""A tiny space with a made-up accuracy, for tests of everything around training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from evo.console import Advance, Track
from spaces.architecture import Architecture
from spaces.costs.table import CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from studies.records import Evaluation


@pytest.fixture(scope="session")
def space() -> SearchSpace:
    return load_space("digits")


@pytest.fixture(scope="session")
def table(space: SearchSpace) -> CostTable:
    return cost_table(space)


def made_up(table: CostTable, archs: Sequence[Architecture], judge: str = "made-up") -> list[Evaluation]:
    """Accuracy rises with kernels and MACs, smoothly; the same architecture always gets the same."""
    costs = table.count(archs)
    return [
        Evaluation(arch, judge, (macs / 1e6) ** 0.3 * 0.8 + 0.01 * str(arch).count("k5"), macs, params)
        for arch, (macs, params, _) in zip(archs, costs.tolist(), strict=True)
    ]


def interrupted_at(stop_at: int | None) -> Track:
    """A watcher that presses Ctrl-C when so many steps have been made; None: never."""

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        steps = 0

        def advance(n: int) -> None:
            nonlocal steps
            steps += n
            if steps == stop_at:
                raise KeyboardInterrupt

        yield advance

    return track
