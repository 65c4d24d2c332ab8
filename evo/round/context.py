"""What the rounds of a run share, and what one round rests on, computed once and handed down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evo.console import Track, untracked
from evo.data.fingerprint import check_fingerprint
from evo.data.paths import file_hash
from evo.evaluators import LIBRARY, Evaluator, FitContext
from evo.evaluators.registry import evaluator_of, reference_evaluator
from evo.methods.evolution import Evolution
from evo.methods.registry import evolution_of
from evo.plugins import plugin_sources
from evo.round.costs import costs_of
from evo.seeds import derive_seed
from evo.strategy.generations import check_limits
from evo.training.checkpoints import DamagedError
from evo.workers.protocol import Evaluate
from evo.workers.ranks import current_group
from spaces.architecture import Op
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from studies.config import StudyConfig
from studies.database.mirror import study_attrs
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store
from studies.records import Proposal
from studies.run_names import run_folder


@dataclass(frozen=True)
class RunContext:
    """What a run's rounds share.

    Attributes:
        folder: where the run keeps its files; ``files``: where all runs do.
        evaluate: does work on workers; ``workers``: on how many architectures at once. ``track`` shows progress.
        reference: judges a sample of architectures for comparison; None where the configuration asks for none.
        accept_data_change: whether the run goes on when its data are no longer those it began with.
    """

    run: StoredRun
    store: Store
    folder: Path
    files: Path
    evaluate: Evaluate
    track: Track
    evaluator: Evaluator
    evolution: Evolution
    reference: Evaluator | None
    workers: int
    accept_data_change: bool = False

    @property
    def config(self) -> StudyConfig:
        return self.run.config


def run_context(
    run: StoredRun,
    store: Store,
    folder: Path,
    evaluate: Evaluate,
    track: Track = untracked,
    workers: int = 1,
    accept_data_change: bool = False,
) -> RunContext:
    """The context of a run, as its configuration says; ``folder`` holds the files of all runs."""
    config = run.config
    return RunContext(
        run,
        store,
        run_folder(folder, run.name),
        folder,
        evaluate,
        track,
        evaluator_of(config, run.space),
        evolution_of(config),
        reference_evaluator(config, run.space),
        workers,
        accept_data_change,
    )


@dataclass(frozen=True)
class RoundContext:
    """What one round rests on.

    Attributes:
        shared: what it shares with the run's other rounds.
        n: the round, from 1.
        space: the space that it searches; ``costs``: exact costs of its architectures.
        row: the round in the database; ``earlier``: the rounds before it.
        done: what the round had proposed before this process began it.
        data: the fingerprint of the data.
    """

    shared: RunContext
    n: int
    space: SearchSpace
    costs: CostTable
    row: StoredRound
    earlier: Sequence[StoredRound]
    done: Sequence[Proposal]
    data: str

    @property
    def config(self) -> StudyConfig:
        return self.shared.config


def open_round(shared: RunContext, n: int) -> RoundContext:
    """The context of round ``n``, which exists in the database afterwards.

    Raises:
        EvoError: no architecture lies inside the limits, or the data have changed.
    """
    store = shared.store
    run = store.run(shared.run.name)  # the round before may have accepted other data
    rows = store.rounds(run)
    last = rows[n - 2].next_space if n > 1 else None
    space = last or run.space
    costs = costs_of(run.config, space)
    check_limits(space, costs, run.config.limits)
    data = check_fingerprint(run, shared.accept_data_change)
    row = rows[n - 1] if len(rows) >= n else store.open_round(run, n, space, study_attrs(run, n))
    if len(rows) >= n and not row.finished:
        row = store.mirror_round(run, row)
    if data != run.data_sha256:
        row = store.record_data_hash(run, row, data)
    return RoundContext(shared, n, space, costs, row, tuple(rows[: n - 1]), tuple(store.proposals(row)), data)


def reopen_round(context: RoundContext, n: int) -> RoundContext:
    """The context of an earlier round, whose files have to be made again."""
    row = context.earlier[n - 1]
    costs = costs_of(context.config, row.space)
    done = tuple(context.shared.store.proposals(row))
    return RoundContext(context.shared, n, row.space, costs, row, context.earlier[: n - 1], done, context.data)


def fit_context(context: RoundContext) -> FitContext:
    """What the evaluator is given in this round, with the weights of the round before.

    Raises:
        DamagedError: these are missing, or are not what was recorded.
    """
    shared, n = context.shared, context.n
    parent = shared.store.checkpoint(shared.run, n - 1, "weights")
    if parent is not None and not parent[0].exists():
        raise DamagedError(parent[0], "is missing")
    if parent is not None and file_hash(parent[0]) != parent[1]:
        raise DamagedError(parent[0], "is damaged: its sha256 is not the one that was recorded")
    return FitContext(
        n,
        derive_seed(context.config.seed, "fit", n),
        context.costs,
        shared.folder,
        parent[0] if parent else None,
        inherited_operations(context),
        shared.track,
        shared.evaluate,
        replace(current_group(), sync=context.config.sync_batchnorm),
        {"data": context.data, **plugin_sources(context.config, shared.run.space)},
        _may_have_legacy_files(context),
        shared.files / LIBRARY,
    )


def inherited_operations(context: RoundContext) -> tuple[frozenset[Op], ...]:
    """Per layer, the operations that came from the round before: before the first round, those that came from the run that this
    one continues; empty where there is neither. Release 0.1 knew none in a first round, and its runs go on so.

    Raises:
        EvoError: the run that this one continues is gone.
    """
    run, store = context.shared.run, context.shared.store
    if context.earlier:
        last = context.earlier[-1]
        return tuple(frozenset(change.kept) for change in last.space.diff(last.next_space)) if last.next_space else ()
    predecessor = context.config.evolution.predecessor
    if predecessor is None or run.version.startswith("0.1."):
        return ()
    known = store.run(predecessor).space
    return tuple(
        frozenset(layer.candidates) & frozenset(old.candidates + old.pending)
        for layer, old in zip(context.space.layers, known.layers, strict=True)
    )


def _may_have_legacy_files(context: RoundContext) -> bool:
    """Whether files that release 0.1 named lie in the run's folder, and are of the data of today."""
    changed = any("data_changed" in row.stats for row in (*context.earlier, context.row))
    return context.shared.run.version.startswith("0.1.") and not changed
