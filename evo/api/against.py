"""Did searching pay? A run's pick beside networks that need no search."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.no_search import HEADINGS, NoSearch
from evo.html import block, heading, paragraph, table


@dataclass(frozen=True)
class Against:
    """A run's pick and networks that need no search, all at its MACs, trained alone and alike.

    Attributes:
        compared: what was computed.
    """

    compared: NoSearch

    def table(self) -> pd.DataFrame:
        """A row per network, the pick first.

        Returns:
            Columns ``name`` (what was asked for), ``network``, ``arch``, ``macs``, ``params``, ``accuracies`` (one per seed, on
            the validation images), ``accuracy`` (their mean), ``low`` and ``high`` (its 95 % interval), ``difference`` (the
            pick's accuracy minus this one's, paired by seed), ``difference_low`` and ``difference_high`` (its 95 % interval),
            ``conclusion`` (``better``: the pick is). Intervals are missing where there are too few seeds.
        """
        frame = pd.DataFrame(self.compared.rows())
        numbers = ("low", "high", "difference", "difference_low", "difference_high")
        return frame.astype(dict.fromkeys(numbers, float))

    def sentences(self) -> list[str]:
        """The conclusion, and what it rests on and has cost."""
        return self.compared.sentences()

    def __str__(self) -> str:
        return str(self.compared)

    def _repr_html_(self) -> str:
        title = heading("Did searching pay?", f"run {self.compared.run}")
        return block(title, table(HEADINGS, self.compared.cells()), *map(paragraph, self.sentences()))
