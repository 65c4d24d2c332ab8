"""A run and the runs beside it: the data behind its page, its figures and the commands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import plotly.graph_objects as go

from analysis import comparison, frames, page
from analysis.answers.both import Answers, answers
from analysis.comparison import RunComparison
from analysis.frames import Frames
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
        answers: what is known of the run beside its control arms and networks that need no search.
    """

    runs: Sequence[Frames]
    answers: Sequence[Answers] = ()

    @property
    def frames(self) -> Frames:
        """The frames of the run itself."""
        return self.runs[0]

    @cached_property
    def compared(self) -> RunComparison:
        """The run beside those with the same two objectives, whose fronts can share a figure."""
        aims = (self.frames.objective, self.frames.costs)
        return comparison.compare([run for run in self.runs if (run.objective, run.costs) == aims])

    @property
    def several(self) -> bool:
        return len(self.compared.runs) > 1

    def html(self) -> str:
        """The run's page as HTML."""
        return page.render(self.frames, self.compared, paragraphs(self.answers), comparison.rank_agreements(self.runs))

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


def comparison_page(compared: RunComparison, answers: Sequence[Answers]) -> str:
    """The page of a comparison as HTML."""
    return page.render_comparison(compared, paragraphs(answers))


def paragraphs(answers: Sequence[Answers]) -> list[str]:
    """One paragraph for each question; where several runs are asked about, each names its run."""
    if len(answers) == 1:
        return answers[0].paragraphs()
    return [f"{one.run}: {words}" for one in answers for words in one.paragraphs()]


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


def answers_at(places: Iterable[Place]) -> list[Answers]:
    """What is known of runs beside their control arms and networks that need no search; runs that differ in seed and control
    alone have one answer.

    Raises:
        EvoError: a database or a run is missing.
    """
    distinct: list[Answers] = []
    for name, url in places:
        with open_store(require_existing(url), read_only=True) as store:
            found = answers(store, store.run(name))
        distinct += [found] if found not in distinct else []
    return distinct
