"""Did evolving the space help? What the control arms of a run say."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.verdict import Verdict
from evo.html import block, heading, paragraph, table

COLUMNS = ("control", "what", "mean", "low", "high", "seeds", "conclusion")


@dataclass(frozen=True)
class Verdicts:
    """A run against its control arms.

    Attributes:
        run: the run's name.
        verdicts: one per kind of control arm that the database holds; empty where none was run.
    """

    run: str
    verdicts: tuple[Verdict, ...]

    def sentences(self) -> list[str]:
        """The verdicts in words; what they rest on comes first."""
        if not self.verdicts:
            return [f'Run {self.run} has no finished control arm beside it: evo.search(..., control="fixed") runs one.']
        return [sentence for verdict in self.verdicts for sentence in verdict.sentences()]

    def differences(self) -> pd.DataFrame:
        """The run minus its control arm, a row per control arm and measure.

        Returns:
            Columns ``control``, ``what`` (hypervolume, tau), ``mean`` (positive: the run is better), ``low`` and ``high``
            (its 95 % interval; missing where there are too few seeds), ``seeds``, ``conclusion``.
        """
        rows = [
            (
                verdict.control,
                difference.what,
                difference.mean,
                *(difference.interval or (None, None)),
                difference.pairs,
                difference.conclusion,
            )
            for verdict in self.verdicts
            for difference in (verdict.hypervolume, verdict.tau)
            if difference is not None
        ]
        return pd.DataFrame(rows, columns=COLUMNS).astype({"mean": float, "low": float, "high": float})

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def _repr_html_(self) -> str:
        rows = [
            (
                control,
                what,
                f"{mean:+.4f}",
                "-" if pd.isna(low) else f"{low:+.4f} to {high:+.4f}",
                str(seeds),
                conclusion,
            )
            for control, what, mean, low, high, seeds, conclusion in self.differences().itertuples(index=False)
        ]
        headings = ("control arm", "measure", "difference", "95 % interval", "seeds", "conclusion")
        blocks = [table(headings, rows)] if rows else []
        return block(heading("Verdict", f"on run {self.run}"), *blocks, *map(paragraph, self.sentences()))
