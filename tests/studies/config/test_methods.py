"""How many evaluations a published rule needs to see anything: the numbers, against the rules themselves."""

from __future__ import annotations

import numpy as np
import pytest

from evo.methods.pad_nas import pad_nas
from spaces.architecture import Architecture
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import check_config
from studies.config.methods import BY_CHANCE, NseEvolution, PadNasEvolution
from studies.pareto import on_front
from studies.records import Evaluation, Round

SPACE = SearchSpace("one", (Layer(Shape(8, 8, 1, 8), ("a", "b")),) * 2, Stem(8, stride=1, c_in=1, size=8), Head(0, 10))
CONFIG = check_config(
    {"space": {"name": "digits"}, "evaluator": {"kind": "oneshot"}, "evolution": {"method": "pad_nas"}}, "test"
)


def kept_though_seldom(section: PadNasEvolution, evaluations: int) -> bool:
    """Whether PAD-NAS keeps an operation that one network of a round carries, all of them on the front."""
    archs = [Architecture(("b" if i == 0 else "a", "a")) for i in range(evaluations)]
    measured = tuple(Evaluation(arch, "x", (i + 1) / 1e4, float(i + 1), 1.0) for i, arch in enumerate(archs))
    evolution = pad_nas(section, CONFIG)
    finished = Round(1, SPACE, measured)
    return "b" in evolution.keep(SPACE, evolution.rate(finished)).layers[0].candidates


@pytest.mark.parametrize("share", [0.01, 0.03, 0.07, 0.1, 0.25, 1 / 3])
def test_pad_nas_can_drop_what_is_measured_from_its_number_on_and_not_below(share: float) -> None:
    section = PadNasEvolution(method="pad_nas", share=share)
    assert kept_though_seldom(section, section.fewest_evaluations - 1)
    assert not kept_though_seldom(section, section.fewest_evaluations)


def test_the_papers_numbers_ask_for_a_hundred_evaluations() -> None:
    section = PadNasEvolution(method="pad_nas")
    (doubt,) = section.doubts(50)
    assert "with 50 evaluations a round, PAD-NAS's rule sees little: few have nondomination rank 10 or more" in doubt
    assert doubt.endswith(
        "has a share of 1/50 or more, above evolution.share = 0.01, and stays; 100 evaluations would do"
    )
    assert "all have nondomination rank < 10" in section.doubts(9)[0]
    assert section.doubts(100) == []
    assert PadNasEvolution(method="pad_nas", rank=4, share=0).fewest_evaluations == 4


@pytest.mark.parametrize(("k", "branches"), [(5, None), (3, None), (4, 2)])
def test_nse_misses_an_operation_by_chance_about_as_seldom_as_it_says(k: int, branches: int | None) -> None:
    """Networks whose accuracy and cost are unrelated, drawn by numpy; sets of branches drawn one by one."""
    section = NseEvolution(method="nse", k=k, branches=branches)
    number, rng = section.fewest_evaluations, np.random.default_rng(0)
    sets = [s for s in range(1, 2**k) if s.bit_count() <= (branches or k)]
    missing = []
    for _ in range(400):
        front = on_front(rng.random(number), rng.random(number))
        drawn = rng.choice(sets, int(np.count_nonzero(front)))
        missing.append(not np.any(drawn & 1))
    assert np.mean(missing) == pytest.approx(BY_CHANCE, abs=0.03)
    assert section.doubts(number) == []
    assert f"of the cases with {number} evaluations" in section.doubts(number - 1)[0]


def test_hopeless_numbers_are_not_counted_out() -> None:
    section = NseEvolution(method="nse", k=5, branches=1)
    assert "with more than 10,000 evaluations" in section.doubts(200)[0]
