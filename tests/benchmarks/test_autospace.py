"""The benchmark of bred spaces compares networks of equal cost."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from benchmarks.autospace import at_equal_cost
from evo.methods.autospace import StartPopulations
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.operations.cells import Alphabet


def test_networks_are_of_all_spaces_at_equal_cost_and_spread_over_it() -> None:
    spaces = [StartPopulations(Alphabet(), 4, 4, 1)(load_space("digits"), Random(seed)) for seed in range(3)]
    drawn = at_equal_cost(spaces, 12, seed=0)
    assert all(len(own) == 12 and all(arch in space for arch in own) for space, own in zip(spaces, drawn, strict=True))
    macs = [cost_table(space).count(own)[:, 0] for space, own in zip(spaces, drawn, strict=True)]
    assert macs[0] == pytest.approx(macs[1], rel=0.05)
    assert macs[0] == pytest.approx(macs[2], rel=0.05)
    assert np.all(np.diff(macs[0]) > 0)
    assert macs[0][-1] > 1.5 * macs[0][0]
