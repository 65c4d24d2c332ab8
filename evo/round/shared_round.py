"""The first round of a control arm is that of its run: same space, same judge, same seed. It is taken over, not computed again.

Files, proposals with their scores, and networks that were trained alone are copied before the round begins; the round then goes
on as one that was interrupted at its end does. So all that follows has the same bits as without.
"""

from __future__ import annotations

import shutil
from itertools import groupby
from pathlib import Path

from analysis.frames import truth_of
from evo.data.paths import file_hash
from evo.round.context import RoundContext, RunContext, open_round
from studies.controls import Control, control_kind
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import Evaluation
from studies.run_names import run_folder

WEIGHTS = "*.safetensors"
LATER = "round-"
"""How the names of files begin that hold one round's weights; a number follows."""


def take_over_first_round(shared: RunContext) -> str | None:
    """Take over what is missing of a control arm's first round from the run that it is the arm of; that run's name, or None
    where there is none whose round is finished and whole."""
    found = find_twin(shared)
    if found is None:
        return None
    twin, theirs = found
    copy_files(run_folder(shared.files, twin.name), shared.folder)
    context = open_round(shared, 1)
    proposals = shared.store.proposals(theirs)
    if [p.arch for p in context.done] != [p.arch for p in proposals[: len(context.done)]]:
        return None
    for _, generation in groupby(proposals[len(context.done) :], key=lambda p: p.generation):
        shared.store.record(shared.run, context.row, list(generation))
    shared.store.record_evaluations(shared.run, context.space, find_truth(context, twin, theirs))
    shared.store.add_stats(context.row, {"shared_with": twin.name, "seconds": theirs.stats["seconds"]})
    return twin.name


def find_twin(shared: RunContext) -> tuple[StoredRun, StoredRound] | None:
    """The run that differs from a control arm by its evolution alone, with its first round, whose weights are there."""
    run, store = shared.run, shared.store
    if control_kind(run.config) is not Control.FIXED or run.config.search.time_limit_seconds is not None:
        return None  # a search that ends by the clock cannot be gone on with
    for other in store.readable_runs():
        arm = other.config.model_copy(update={"control": True})
        if not other.config.control and arm == run.config and _same_start(run, other):
            first = next(iter(store.rounds(other)), None)
            if first is not None and first.finished and _is_whole(store, other, first):
                return other, first
    return None


def _same_start(run: StoredRun, other: StoredRun) -> bool:
    """Whether both began in one space, on the same data, with the same program and plugins."""
    mine, theirs = ([one.space, one.data_sha256, one.version, _digests(one)] for one in (run, other))
    return mine == theirs


def _digests(run: StoredRun) -> dict[str, str]:
    return {name: plugin["sha256"] for name, plugin in run.plugins.items()}


def _is_whole(store: Store, run: StoredRun, row: StoredRound) -> bool:
    """Whether the round's data did not change while it ran, and its weights, where it has any, are what was written."""
    weights = store.checkpoint(run, row.number, "weights")
    intact = weights is None or (weights[0].is_file() and file_hash(weights[0]) == weights[1])
    return intact and "data_changed" not in row.stats


def copy_files(source: Path, target: Path) -> None:
    """Copy finished files but those of later rounds; what is there stays. Their names tell all that they depend on."""
    for path in sorted(source.glob(WEIGHTS)):
        place = target / path.name
        if place.exists() or (path.name.startswith(LATER) and not path.name.startswith(f"{LATER}01.")):
            continue
        target.mkdir(parents=True, exist_ok=True)
        draft = place.with_suffix(".draft")
        shutil.copyfile(path, draft)
        draft.replace(place)


def find_truth(context: RoundContext, twin: StoredRun, row: StoredRound) -> list[Evaluation]:
    """What ``twin`` trained alone, or looked up, to check the scores of its first round."""
    truth = truth_of(row)
    if truth is None:
        return []
    asked = {witness.arch for witness in truth.witnesses}
    return [e for e in context.shared.store.evaluations(twin, truth.judge) if str(e.arch) in asked]
