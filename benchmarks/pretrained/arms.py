"""The arms: each makes a network for a budget, or the whole one, before all are fine-tuned and tested alike."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.pretrained.bench import Bench, Made
from benchmarks.pretrained.rivals import fastnas, torch_pruning
from evo.alone.candidates import find_candidates
from evo.alone.selection import Criteria
from spaces.export.baselines import Contender
from spaces.pretrained.uniform import smaller_images, uniform_cut

Arm = Callable[[Bench, float], Made]
"""(what all have in common, the MACs that a network may have) -> a network."""


def whole(bench: Bench, budget: float) -> Made:
    """The network as the run has fine-tuned it; what that has cost is its search, as it is no training of the recipe."""
    return Made(bench.whole_module(), bench.images, shared=bench.fine_tuned(), longer=0)


def whole_longer(bench: Bench, budget: float) -> Made:
    """It, fine-tuned once more as all others are."""
    return Made(bench.whole_module(), bench.images)


def picked(bench: Bench, budget: float) -> Contender:
    """What the program would deliver."""
    (found,) = find_candidates(bench.store, bench.run, Criteria({"macs": budget}))
    return found.contender("ours", bench.config.search.macs_convention)


def ours(bench: Bench, budget: float) -> Made:
    """The run's pick, cut out of the fine-tuned network."""
    found = picked(bench, budget)
    return Made(bench.cut(found.arch, found.space), bench.images, shared=bench.searched())


def uniform(bench: Bench, budget: float) -> Made:
    """The same share of hidden channels in all layers."""
    return Made(bench.cut(*uniform_cut(bench.whole, budget, bench.config.search.macs_convention)), bench.images)


def uniform_stages(bench: Bench, budget: float) -> Made:
    """The same share of hidden channels in all layers, and of what stages give."""
    cut = uniform_cut(bench.whole, budget, bench.config.search.macs_convention, stages=True)
    return Made(bench.cut(*cut), bench.images)


def input_size(bench: Bench, budget: float) -> Made:
    """The whole network on smaller images."""
    return Made(bench.cut(*smaller_images(bench.whole, budget, bench.config.search.macs_convention)), bench.images)


def scratch(bench: Bench, budget: float, longer: int = 1) -> Made:
    """The run's pick with fresh weights."""
    found = picked(bench, budget)
    torch.manual_seed(bench.seed)
    return Made(bench.fresh(found.arch, found.space), bench.images, longer=longer)


def scratch3(bench: Bench, budget: float) -> Made:
    """It, trained three times as long."""
    return scratch(bench, budget, 3)


WHOLE: dict[str, Arm] = {"whole": whole, "whole+": whole_longer}
"""Arms without a budget."""

CUT: dict[str, Arm] = {
    "ours": ours,
    "uniform": uniform,
    "uniform_stages": uniform_stages,
    "input_size": input_size,
    "torch_pruning": torch_pruning,
    "fastnas": fastnas,
    "scratch": scratch,
    "scratch3": scratch3,
}
