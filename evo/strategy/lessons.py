"""What other runs have measured informs the surrogate: a Gaussian process of several tasks.

A run on other data, on another device or with another judge has measured networks of the same genes. The score here is taken
as ``sum of weight * source + remainder``: the source's own process predicts ``source``, and the remainder is a process of this
run's measurements. This is a linear model of coregionalisation that is conditioned task after task (Kennedy & O'Hagan,
Biometrika 87(1), 2000), with the source's uncertainty left to the remainder.

A source is on probation. Its weight is the most probable one given this run's measurements, and it is used where it raises what
they say of each other by more than ``MARGIN``: the leave-one-out log-likelihood (Rasmussen & Williams 2006, eq. 5.11). Where
its weight would be negative, or it lowers that as much, and measurements are not few, it is ignored from then on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from evo.strategy.encoding import Encoding, Floats
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, CostTable
from spaces.space import canonical_arch

if TYPE_CHECKING:
    from evo.strategy.kernel import Networks
    from evo.strategy.surrogate import Surrogate

ENOUGH = 8
"""With fewer measurements nothing can be told of a source: it has ``CAUTIOUS`` weight, all of them together."""

CERTAIN = 16
"""With fewer, a source that does not help is not used, and may help later."""

CAUTIOUS = 0.5

MARGIN = 2.0
"""By so much (in nats) a source must raise the log-likelihood: its weight was chosen on the same measurements."""


@dataclass(frozen=True)
class Lesson:
    """What one other run has measured.

    Attributes:
        source: its name; ``archs``: networks of the run that learns; ``score``: theirs, in any unit, higher is better.
    """

    source: str
    archs: tuple[Architecture, ...]
    score: tuple[float, ...]


@dataclass(frozen=True)
class Verdict:
    """How much one source helps.

    Attributes:
        networks: that it has measured.
        own: how many of this run's measurements it was held against.
        weight: of its predictions; 0: it is not used.
        gain: by how much it alone raises the leave-one-out log-likelihood of them, in nats; None: too few to tell.
        ignored: whether it is not asked any more.
    """

    source: str
    networks: int
    own: int
    weight: float
    gain: float | None
    ignored: bool


@dataclass
class Lessons:
    """The sources of one round's search, and what became of them so far.

    Attributes:
        table: costs of a space with all operations of the run, by which networks are encoded; ``cost``: which of its columns.
        ignored: sources that are not asked any more.
        verdicts: the last on each source.
    """

    lessons: Sequence[Lesson]
    table: CostTable
    cost: str
    ignored: set[str] = field(default_factory=set)
    verdicts: dict[str, Verdict] = field(default_factory=dict)

    def predictions(self, archs: Sequence[Architecture]) -> dict[str, Floats]:
        """What each source that is not ignored predicts of networks, ``(n,)`` in units of its spread; 0 where it cannot."""
        known = [i for i, arch in enumerate(archs) if arch in self.table.space]
        x = self._encoded([archs[i] for i in known])
        found = {}
        for name, process in self._processes.items():
            if name not in self.ignored:
                found[name] = np.zeros(len(archs))
                found[name][known] = process.predict(x).mean if known else 0.0
        return found

    def review(self, verdicts: Mapping[str, Verdict]) -> None:
        """Remember what a generation's measurements say of the sources; those that do not help are ignored from now on."""
        self.verdicts |= verdicts
        self.ignored |= {name for name, verdict in verdicts.items() if verdict.ignored}

    def report(self) -> list[dict[str, Any]]:
        """The last verdict on each source, as JSON."""
        return [asdict(self.verdicts[one.source]) for one in self.lessons if one.source in self.verdicts]

    def size(self, source: str) -> int:
        """How many networks a source has measured."""
        return next(len(one.archs) for one in self.lessons if one.source == source)

    @cached_property
    def _processes(self) -> dict[str, Surrogate]:
        """A process of each source; a source whose scores are all alike has none."""
        from evo.strategy.surrogate import fit_kernel, learn

        found = {}
        for one in self.lessons:
            networks, score = self._encoded(one.archs), np.array(one.score)
            if (kernel := fit_kernel(self._encoding, networks, score)) is not None:
                found[one.source] = learn(kernel, networks, score)
        return found

    @cached_property
    def _encoding(self) -> Encoding:
        return Encoding(self.table, COLUMNS.index(self.cost))

    def _encoded(self, archs: Sequence[Architecture]) -> Networks:
        from evo.strategy.kernel import Networks

        encoded = self._encoding([canonical_arch(arch, self.table.space) for arch in archs])
        return Networks(encoded, self.table.count(archs)[:, COLUMNS.index(self.cost)])


@dataclass(frozen=True)
class Taught:
    """A surrogate, and what sources add to its predictions: ``weights`` of theirs, which are taken from ``centres``."""

    surrogate: Surrogate
    weights: Mapping[str, float] = field(default_factory=dict)
    centres: Mapping[str, float] = field(default_factory=dict)

    def prior(self, predicted: Mapping[str, Floats]) -> Floats | None:
        """What sources add to predictions of networks, ``(n,)``; None: nothing.

        Args:
            predicted: what each of them predicts of these.
        """
        added = [weight * (predicted[name] - self.centres[name]) for name, weight in self.weights.items()]
        return np.sum(added, axis=0) if added else None


def weigh_sources(
    plain: Surrogate, predicted: Mapping[str, Floats], sizes: Mapping[str, int]
) -> tuple[Taught, dict[str, Verdict]]:
    """The surrogate of a run's measurements with those sources that help, and a verdict on each. The kernel stays the same.

    Sources are taken one after the other, the one that helps most first.

    Args:
        plain: learned without them.
        predicted: source -> what it predicts of the measured networks, ``(n,)``; ``sizes``: how many it has measured.
    """
    centres = {name: float(given.mean()) for name, given in predicted.items()}
    own = len(plain.value)

    def with_weights(weights: Mapping[str, float]) -> Taught:
        prior = Taught(plain, weights, centres).prior(predicted)
        return Taught(plain if prior is None else plain.with_prior(prior), weights, centres)

    if own < ENOUGH:
        weights = dict.fromkeys(predicted, CAUTIOUS / len(predicted)) if predicted else {}
        verdicts = {name: Verdict(name, sizes[name], own, w, None, ignored=False) for name, w in weights.items()}
        return with_weights(weights), verdicts

    best, alone, left, useless = Taught(plain), dict[str, float](), dict(predicted), set[str]()
    while left:
        before, tried = best.surrogate.leave_one_out_likelihood(), dict[str, tuple[float, Taught]]()
        for name, given in left.items():
            weight = best.surrogate.most_probable_weight(given - centres[name])
            taught = with_weights({**best.weights, name: weight}) if weight > 0 else best
            gain = taught.surrogate.leave_one_out_likelihood() - before
            tried[name] = gain, taught
            if name not in alone:
                alone[name] = gain
                useless |= {name} if weight <= 0 or gain < -MARGIN else set()
        name = max(tried, key=lambda one: tried[one][0])
        if tried[name][0] <= MARGIN:
            break
        best = tried[name][1]
        left = {other: given for other, given in left.items() if other != name and alone[other] > 0}
    return best, {
        name: Verdict(
            name, sizes[name], own, best.weights.get(name, 0.0), gain, ignored=name in useless and own >= CERTAIN
        )
        for name, gain in alone.items()
    }
