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


def test_pairs_are_of_both_spaces_at_equal_cost_and_spread_over_it() -> None:
    a, b = (StartPopulations(Alphabet(), 4, 4, 1)(load_space("digits"), Random(seed)) for seed in (0, 1))
    pairs = at_equal_cost(a, b, 12, seed=0)
    assert len(pairs) == 12
    assert all(one in a and other in b for one, other in pairs)
    macs = [cost_table(space).count([pair[i] for pair in pairs])[:, 0] for i, space in enumerate((a, b))]
    assert macs[0] == pytest.approx(macs[1], rel=0.05)
    assert np.all(np.diff(macs[0]) > 0)
    assert macs[0][-1] > 1.5 * macs[0][0]
