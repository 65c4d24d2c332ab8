"""An architecture is a tuple of strings: one gene per layer.

``str(arch)`` joins the genes with ``|`` and is the architecture's identity everywhere: in SQL, in plots, on the
command line. A gene is one operation (``mb_k5_e6``), or several parallel branches joined by ``+``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from spaces.errors import SpaceError

Op = str
"""An operation, as one string that a person can read: ``mb_k5_e6``, ``id``. Grammar: ``spaces.operations``."""

IDENTITIES = frozenset({"id", "skip"})
"""The genes that pass their input on unchanged and cost nothing."""


@dataclass(frozen=True, order=True, slots=True)
class Architecture:
    """One gene per layer, first layer first. Frozen, ordered, hashable."""

    genes: tuple[str, ...]

    def __post_init__(self) -> None:
        if set(map(type, self.genes)) <= {str} and "" not in self.genes:
            return  # in a hundredth of a millisecond less
        if not all(isinstance(gene, str) and gene for gene in self.genes):
            raise SpaceError(f"expected one non-empty string per layer, found {self.genes!r}")

    def __str__(self) -> str:
        return "|".join(self.genes)

    @classmethod
    def parse(cls, text: str) -> Architecture:
        """The architecture that ``str(arch)`` wrote.

        Raises:
            SpaceError: a gene is empty; the message names its position.
        """
        genes = tuple(gene.strip() for gene in text.split("|"))
        for position, gene in enumerate(genes, start=1):
            if not gene or not all(gene.split("+")):
                raise SpaceError(
                    f"gene {position} of {text!r} is empty: expected operations joined by '|', branches by '+'"
                )
        return cls(genes)


def operations(gene: str) -> tuple[Op, ...]:
    """The parallel branches of a gene, as written: ``"a+b"`` -> ``("a", "b")``."""
    return tuple(gene.split("+"))


def join(ops: Iterable[Op]) -> str:
    """One gene of several branches. Parallel branches have no order, so they are sorted; no branch at all is ``skip``."""
    return "+".join(sorted(ops)) or "skip"
