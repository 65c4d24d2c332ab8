"""Networks that need no search, as one side of a comparison: which networks take part for what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from random import Random

from evo.seeds import derive_seed
from spaces.errors import SpaceError
from spaces.export.baselines import (
    PUBLISHED,
    Contender,
    contender,
    published_network,
    random_network,
    uniform_networks,
)
from spaces.pretrained.cut_space import whole_alone
from spaces.pretrained.uniform import Cut, smaller_images, uniform_cut
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.records import EvoError


@dataclass(frozen=True)
class Rival:
    """Networks that stand for one side of the comparison.

    Attributes:
        name: what was asked for.
        networks: one is trained with all seeds: the only one, or the best of several on the held-out images of the first seed.
        one_per_seed: whether each seed has the network of its place instead.
    """

    name: str
    networks: tuple[Contender, ...]
    one_per_seed: bool = False

    def trainings(self, seeds: int) -> int:
        """How many trainings it takes."""
        return seeds if self.one_per_seed else len(self.networks) + seeds - 1


@dataclass(frozen=True)
class Task:
    """What a baseline has to match.

    Attributes:
        space: the run's first space, before it was evolved.
        macs: what it may cost; its widths are filled up to it.
    """

    space: SearchSpace
    macs: float
    config: StudyConfig
    seeds: int

    @property
    def convention(self) -> str:
        return self.config.search.macs_convention


Baseline = Callable[[Task], Rival]


def parse_baseline(text: str) -> Baseline:
    """What ``uniform``, ``random``, ``random:6`` or the name of a published network means.

    Raises:
        EvoError: it is none of these.
    """
    name, _, number = text.strip().partition(":")
    if name == "random" and number.isdecimal() and int(number) > 0:
        return lambda task: Rival(f"random:{number}", random_networks(task, int(number)))
    if name in BASELINES and name == text.strip():
        return BASELINES[name]
    raise EvoError(f"--against {text!r}: expected one of {KNOWN}")


def random_networks(task: Task, number: int) -> tuple[Contender, ...]:
    """Networks drawn at random, the same ones for a run whatever else is asked for."""
    drawn = (
        random_network(
            task.space, task.macs, Random(derive_seed(task.config.seed, "random network", i)), task.convention
        )
        for i in range(number)
    )
    return tuple(drawn)


def cut_without_search(task: Task) -> tuple[Contender, ...]:
    """What is cut out of a trained network without a search, at most at the task's MACs: the same share of every layer, of what
    stages give, too, where the run cuts that, and smaller images. What another one already is, is left out.

    Raises:
        SpaceError: none can be had.
    """
    whole, sizes = whole_alone(task.space), task.space.input_sizes
    found, problems = list[Contender](), list[str]()
    for name, cut in PLAIN_CUTS.items():
        if name == WITH_STAGES and not (sizes is not None and sizes.has_channels):
            continue
        try:
            new = contender(name, *cut(whole, task.macs, task.convention), task.convention)
        except SpaceError as error:
            problems.append(str(error))
            continue
        if all((new.arch, new.space) != (other.arch, other.space) for other in found):
            found.append(new)
    if not found:
        raise SpaceError("; ".join(problems))
    return tuple(found)


WITH_STAGES = "the same share of every layer and stage"

PLAIN_CUTS: dict[str, Callable[[Cut, float, str], Cut]] = {
    "the same share of every layer": uniform_cut,
    WITH_STAGES: partial(uniform_cut, stages=True),
    "smaller images": smaller_images,
}
"""Name -> (the whole network, MACs, their convention) -> what is cut out of it."""


def published(name: str) -> Baseline:
    """The published network of this name, for the images of the run."""

    def rival(task: Task) -> Rival:
        stem, head = task.space.stem, task.space.head
        network = published_network(
            name, task.macs, task.convention, channels=stem.c_in, size=stem.size, classes=head.classes
        )
        return Rival(name, (network,))

    return rival


BASELINES: dict[str, Baseline] = {
    "uniform": lambda task: Rival("uniform", tuple(uniform_networks(task.space, task.macs, task.convention))),
    "random": lambda task: Rival("random", random_networks(task, task.seeds), one_per_seed=True),
    **{name: published(name) for name in PUBLISHED},
}
"""Name -> what makes its networks."""

KNOWN = ", ".join([*BASELINES, "random:N (the best of N)"])
