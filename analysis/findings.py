"""A run and the runs beside it: the data behind its page, its figures and the commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import plotly.graph_objects as go

from analysis import comparison, frames, page
from analysis.comparison import RunComparison
from analysis.frames import Frames
from analysis.verdict import Verdict, verdicts
from studies.database.store import open_store
from studies.database.urls import require_existing
from studies.records import EvoError

Place = tuple[str, str]
"""A run's name, and the URL of its database."""


@dataclass(frozen=True)
class Findings:
    """A run, and others beside it.

    Attributes:
        runs: the run itself, then the others.
        verdicts: on the run, against its control arms.
    """

    runs: Sequence[Frames]
    verdicts: Sequence[Verdict] = ()

    @property
    def frames(self) -> Frames:
        """The frames of the run itself."""
        return self.runs[0]

    @cached_property
    def compared(self) -> RunComparison:
        """The run beside those with the same two objectives, whose fronts can share a figure."""
        aims = (self.frames.objective, self.frames.cost)
        return comparison.compare([run for run in self.runs if (run.objective, run.cost) == aims])

    @property
    def several(self) -> bool:
        return len(self.compared.runs) > 1

    def html(self) -> str:
        """The run's page as HTML."""
        return page.render(self.frames, self.compared, paragraphs(self.verdicts), comparison.rank_agreements(self.runs))

    def figures(self) -> dict[str, go.Figure]:
        """All figures of the page, and the operations of each round as heat maps, by name."""
        beside = page.comparison_figures(self.compared) if self.several else {}
        return page.figures(self.frames, self.compared) | page.operation_figures(self.frames) | beside


def side_by_side(runs: Sequence[Frames]) -> RunComparison:
    """Compare runs.

    Raises:
        EvoError: there are fewer than two runs, or their objectives differ.
    """
    compared = comparison.compare(runs)
    if len(compared.runs) < 2 and compared.references.empty:
        raise EvoError("expected two runs or more, found one: name another, or a second database by --storage")
    return compared


def comparison_page(compared: RunComparison, verdicts: Sequence[Verdict]) -> str:
    """The page of a comparison as HTML."""
    return page.render_comparison(compared, paragraphs(verdicts))


def paragraphs(verdicts: Sequence[Verdict]) -> list[str]:
    """One paragraph per verdict."""
    return [" ".join(verdict.sentences()) for verdict in verdicts]


def frames_at(places: Iterable[Place]) -> list[Frames]:
    """The frames of runs, in their order.

    Raises:
        EvoError: a database or a run is missing, or a run has measured nothing.
    """
    loaded = []
    for name, url in places:
        with open_store(require_existing(url), read_only=True) as store:
            loaded.append(frames.load(store, store.run(name)))
    return loaded


def verdicts_at(places: Iterable[Place]) -> list[Verdict]:
    """The verdicts on runs whose databases hold control arms, each verdict once.

    Raises:
        EvoError: a database or a run is missing.
    """
    distinct: list[Verdict] = []
    for name, url in places:
        with open_store(require_existing(url), read_only=True) as store:
            distinct += [verdict for verdict in verdicts(store, store.run(name)) if verdict not in distinct]
    return distinct
