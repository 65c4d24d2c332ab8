"""Two questions about a run: did searching pay, did evolving pay? With the command that finds out where nobody knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analysis.answers.searching import Searching, describe_searching, searching_of
from analysis.verdict import Verdict, kin_of, verdicts_of_kin
from studies.config import StudyConfig
from studies.controls import Control
from studies.database.rows import StoredRun
from studies.database.store import Store
from studies.database.urls import command_on

NO_SEARCH = ("--control", "uniform", "--control", "random-networks")
PRETRAINED = ("--control", "pretrained")


@dataclass(frozen=True)
class Answers:
    """What is known about a run and its other seeds.

    Attributes:
        run: the run's name.
        searching: against networks that need no search; ``verdicts``: against control arms. Empty where none was run.
        ask_searching: how to find out what the first is; ``ask_evolving``: the same of a space that never changes.
    """

    run: str
    searching: tuple[Searching, ...]
    verdicts: tuple[Verdict, ...]
    ask_searching: str
    ask_evolving: str

    def sentences(self) -> list[str]:
        """Both answers, a sentence each."""
        return [sentence for part in (self._searching(), self._evolving()) for sentence in part]

    def paragraphs(self) -> list[str]:
        """One paragraph for each question."""
        return [" ".join(self._searching()), " ".join(self._evolving())]

    def _searching(self) -> list[str]:
        searched = describe_searching(self.searching) or [self.ask_searching]
        drawn = [one for one in self.verdicts if one.control is Control.RANDOM]
        return ["Did searching pay?", *searched, *(words for one in drawn for words in one.sentences())]

    def _evolving(self) -> list[str]:
        fixed = [one for one in self.verdicts if one.control is Control.FIXED]
        return [
            "Did evolving pay?",
            *(words for one in fixed for words in one.sentences()),
            *(() if fixed else [self.ask_evolving]),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The answers as plain data, for ``--json``."""
        return {
            "run": self.run,
            "searching": [one.to_dict() for one in self.searching],
            "verdicts": [one.to_dict() for one in self.verdicts],
            "sentences": self.sentences(),
        }


def answers(store: Store, run: StoredRun) -> Answers:
    """What the database knows about a run, over all its seeds. The same for the run and for its control arms."""
    kin = kin_of(store, run)
    first = next(iter(dict(sorted(kin[None].items())).values()), run)
    return Answers(
        first.name,
        tuple(searching_of(store, kin[None].values())),
        tuple(verdicts_of_kin(store, kin)),
        _ask_searching(store, first),
        _ask_evolving(store, first),
    )


def _ask_searching(store: Store, run: StoredRun) -> str:
    if not run.config.evaluator.uses_images:
        return (
            "That is not known: networks that need no search are trained on images, and this run uses none. "
            f"Random search is another yardstick: {_command(store, run, '--control', 'random')}"
        )
    if run.config.data.labels is False:
        return (
            "That is not known: the images have no labels, so nobody knows how right a network is. Random search is another "
            f"yardstick: {_command(store, run, '--control', 'random')}"
        )
    arms = PRETRAINED if run.config.evaluator.starts_networks else NO_SEARCH
    return f"That is not known. Networks that need no search are trained by: {_command(store, run, *arms)}"


def _ask_evolving(store: Store, run: StoredRun) -> str:
    if _never_evolves(run.config):
        return "The space of this run never changes."
    return (
        f"That is not known. A run whose space never changes is made by: {_command(store, run, '--control', 'fixed')}"
    )


def _never_evolves(config: StudyConfig) -> bool:
    return config.control or config.evolution.method == "fixed"


def _command(store: Store, run: StoredRun, *arms: str) -> str:
    """The command that runs arms beside what there is."""
    finished = max(1, sum(row.finished for row in store.rounds(run)))
    return command_on(store.url, "evo.round", str(finished), "--run", run.name, *arms, "--seeds", "5")
