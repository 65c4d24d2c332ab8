"""Several runs side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go

from analysis import comparison, findings, page
from analysis.answers.both import Answers
from analysis.comparison import RunComparison
from evo.api.figures import figure_named
from evo.api.pages import Page
from evo.html import block, heading, paragraph, table


@dataclass(frozen=True)
class Comparison:
    """Runs side by side, in one common box, after equally many evaluations.

    Attributes:
        compared: what was computed.
        answers: did searching and evolving pay in these runs?
    """

    compared: RunComparison = field(repr=False)
    answers: Sequence[Answers] = field(repr=False)

    def table(self) -> pd.DataFrame:
        """A row per run.

        Returns:
            Columns ``run``, ``method``, ``rounds``, ``evaluations``, ``seconds``, ``best_accuracy``, and a column
            ``hypervolume_at_N`` for each number of evaluations at which all runs can be compared.
        """
        frame = pd.DataFrame(comparison.rows(self.compared)).drop(columns="hypervolumes")
        volumes = self.compared.equal.pivot(index="run", columns="evaluations", values="hypervolume")
        return frame.merge(volumes.add_prefix("hypervolume_at_"), on="run")

    def fronts(self) -> pd.DataFrame:
        """The final Pareto front of each run, as ``Run.front`` gives it; the column ``run`` names the run."""
        return self.compared.fronts

    def settings(self) -> pd.DataFrame:
        """The settings that differ: a row each, and a column per run."""
        return self.compared.settings

    def sentences(self) -> list[str]:
        """What the comparison found, in words."""
        return [*comparison.describe_comparison(self.compared), *findings.paragraphs(self.answers)]

    def plot(self, name: str = "runs-fronts") -> go.Figure:
        """One of the figures of the page.

        Args:
            name: ``runs-fronts``, ``runs-hypervolume-evaluations``, or, of runs that took seconds,
                ``runs-hypervolume-seconds``.

        Raises:
            EvoError: there is no such figure.
        """
        return figure_named(page.comparison_figures(self.compared), name)

    def report(self, path: str | Path | None = None) -> Page:
        """The page of the comparison.

        Args:
            path: the file to write it to; None: it is not written.

        Raises:
            EvoError: the file cannot be written.
        """
        page = Page(findings.comparison_page(self.compared, self.answers))
        return page if path is None else page.save(path)

    def __repr__(self) -> str:
        return f"Comparison of {', '.join(self.compared.labels)}"

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def _repr_html_(self) -> str:
        frame = self.table()
        rows = [
            [f"{value:.4f}" if isinstance(value, float) else str(value) for value in row]
            for row in frame.values.tolist()
        ]
        title = heading("Comparison", f"of {', '.join(self.compared.labels)}")
        return block(title, table(list(frame.columns), rows), *map(paragraph, self.sentences()))
