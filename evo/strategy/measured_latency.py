"""Latency in a search whose networks are timed on a device: what was timed, and what that teaches about all other networks.

A table of parts says beforehand what networks will take. With every whole network that is timed the table is corrected anew
(``spaces.latency.correction``), so candidates are chosen and limited by what the device says, not by sums of parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.latency.correction import LEAST, Correction, learn_correction
from spaces.latency.measure import LatencyTable, Part
from spaces.latency.networks import parts_of
from spaces.space import SearchSpace, canonical_arch
from studies.records import Evaluation


@dataclass
class MeasuredLatency:
    """Milliseconds of a space's networks: measured where they were, else predicted.

    Attributes:
        table: of parts, which knows all of the space.
    """

    space: SearchSpace
    table: LatencyTable
    _timed: dict[Architecture, float] = field(default_factory=dict)
    _parts: list[list[Part]] = field(default_factory=list)
    _learned: tuple[int, Correction | None] = (0, None)

    def tell(self, evaluations: Iterable[Evaluation]) -> None:
        """Remember what was timed: networks of the space, whatever became of their accuracy."""
        for evaluation in evaluations:
            if evaluation.latency_ms is None or evaluation.arch not in self.space:
                continue
            form = canonical_arch(evaluation.arch, self.space)
            if form not in self._timed:
                self._timed[form] = evaluation.latency_ms
                self._parts.append(parts_of(form, self.space))

    def __call__(self, archs: Sequence[Architecture]) -> NDArray[np.float64]:
        """``(n,)``: milliseconds of each network."""
        forms = [canonical_arch(arch, self.space) for arch in archs]
        return np.array([self._timed[form] if form in self._timed else self._predicted(form) for form in forms])

    @property
    def correction(self) -> Correction | None:
        """What was learned; None while fewer than ``LEAST`` networks were timed."""
        if self._learned[0] != len(self._timed):
            found = None
            if len(self._timed) >= LEAST:
                found = learn_correction(self._parts, list(self._timed.values()), self.table.entries)
            self._learned = len(self._timed), found
        return self._learned[1]

    def report(self) -> dict[str, Any]:
        """How well it is known, as JSON: ``networks`` that were timed, and how far off the table's sums (``before``)
        and what was learned (``after``, each network by the others) are; these two only where anything was learned."""
        found = self.correction
        known = {} if found is None else {"before": asdict(found.before), "after": asdict(found.after)}
        return {"networks": len(self._timed), **known}

    def _predicted(self, arch: Architecture) -> float:
        parts = parts_of(arch, self.space)
        try:
            if self.correction is None:
                return sum(self.table.entries[part] for part in parts)
            return self.correction.of_network(parts, self.table.entries)
        except KeyError as missing:
            raise SpaceError(f"the latency table {self.table.name} has no {missing}") from None
