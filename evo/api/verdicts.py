"""Did searching pay, did evolving pay? What control arms and networks that need no search say of a run."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from analysis.answers.both import Answers
from analysis.answers.searching import Searching
from analysis.verdict import Difference, Verdict
from evo.html import block, heading, paragraph, table

COLUMNS = ("control", "what", "mean", "low", "high", "seeds", "conclusion")


@dataclass(frozen=True)
class Verdicts:
    """A run against networks that need no search, and against its control arms.

    Attributes:
        run: the run's name.
        answers: what was computed.
    """

    run: str
    answers: Answers

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Did evolving pay? One per kind of control arm that the database holds; empty where none was run."""
        return self.answers.verdicts

    @property
    def searching(self) -> tuple[Searching, ...]:
        """Did searching pay? One per arm that needs no search; empty where none was run."""
        return self.answers.searching

    def sentences(self) -> list[str]:
        """The answers in words; where one is not known, the command that finds out."""
        return self.answers.sentences()

    def differences(self) -> pd.DataFrame:
        """The run minus what it is compared with, a row per arm and measure.

        Returns:
            Columns ``control``, ``what`` (``hypervolume`` and ``tau`` of control arms; of networks that need no search
            ``accuracy``, the mean over the budgets, and that at each), ``mean`` (positive: the run is better), ``low`` and
            ``high`` (its 95 % interval; missing where there are too few seeds), ``seeds``, ``conclusion``.
        """
        rows = [_row(one.control, found) for one in self.searching for found in one.differences()]
        rows += [
            _row(verdict.control, found)
            for verdict in self.verdicts
            for found in (verdict.hypervolume, verdict.tau)
            if found is not None
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
        headings = ("against", "measure", "difference", "95 % interval", "seeds", "conclusion")
        blocks = [table(headings, rows)] if rows else []
        return block(heading("Verdict", f"on run {self.run}"), *blocks, *map(paragraph, self.sentences()))


def _row(control: str, found: Difference) -> tuple[object, ...]:
    """A difference as a row of ``COLUMNS``."""
    return control, found.what, found.mean, *(found.interval or (None, None)), found.pairs, found.conclusion
