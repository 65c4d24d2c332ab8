"""What is known of a run, beside others: what its page, its figures and the commands are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import plotly.graph_objects as go

from analysis import comparison, frames, page
from analysis.comparison import Compared
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
        runs: the run itself first; ``verdicts``: on it, against its control arms.
    """

    runs: Sequence[Frames]
    verdicts: Sequence[Verdict] = ()

    @property
    def frames(self) -> Frames:
        """Of the run itself."""
        return self.runs[0]

    @cached_property
    def compared(self) -> Compared:
        """The run beside those that weigh the same two objectives, whose fronts may stand in one picture."""
        aims = (self.frames.objective, self.frames.cost)
        return comparison.compare([run for run in self.runs if (run.objective, run.cost) == aims])

    @property
    def several(self) -> bool:
        return len(self.compared.runs) > 1

    def html(self) -> str:
        """The run's page, whole."""
        return page.render(self.frames, self.compared, paragraphs(self.verdicts), comparison.trusted(self.runs))

    def figures(self) -> dict[str, go.Figure]:
        """All figures of the page, and the operations of each round as pictures, by name."""
        beside = page.comparison_figures(self.compared) if self.several else {}
        return page.figures(self.frames, self.compared) | page.operation_figures(self.frames) | beside


def side_by_side(runs: Sequence[Frames]) -> Compared:
    """Runs as equals.

    Raises:
        EvoError: there are fewer than two, or their objectives differ.
    """
    compared = comparison.compare(runs)
    if len(compared.runs) < 2 and compared.references.empty:
        raise EvoError("expected two runs or more, found one: name another, or a second database by --storage")
    return compared


def comparison_page(compared: Compared, verdicts: Sequence[Verdict]) -> str:
    """The page of runs as equals, whole."""
    return page.render_comparison(compared, paragraphs(verdicts))


def paragraphs(verdicts: Sequence[Verdict]) -> list[str]:
    """A verdict in a paragraph."""
    return [" ".join(verdict.sentences()) for verdict in verdicts]


def frames_at(places: Iterable[Place]) -> list[Frames]:
    """The frames of runs, in their order.

    Raises:
        EvoError: a database or a run is missing, or nothing has been measured in it.
    """
    found = []
    for name, url in places:
        with open_store(require_existing(url)) as store:
            found.append(frames.load(store, store.run(name)))
    return found


def verdicts_at(places: Iterable[Place]) -> list[Verdict]:
    """What the control arms of runs say, wherever a database holds some; each verdict once.

    Raises:
        EvoError: a database or a run is missing.
    """
    found: list[Verdict] = []
    for name, url in places:
        with open_store(require_existing(url)) as store:
            found += [verdict for verdict in verdicts(store, store.run(name)) if verdict not in found]
    return found
