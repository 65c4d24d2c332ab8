"""The kinds of generated problems, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.problems.cells import cell, halves, rugged
from benchmarks.problems.chains import deep, topology, unordered, unrelated
from benchmarks.problems.generated import GeneratedProblem

KINDS: dict[str, Callable[[int], GeneratedProblem]] = {
    "deep20": partial(deep, layers=20),
    "deep30": partial(deep, layers=30),
    "deep40": partial(deep, layers=40),
    "topology": topology,
    "unrelated": unrelated,
    "unordered": unordered,
    "halves": halves,
    "cell": cell,
    "rugged": rugged,
    "missing": partial(cell, missing=0.5),
}
