"""Runs are brought to the end of a round: the work behind ``evo.search`` and ``python -m evo.round``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import optuna

from evo import console
from evo.console import Reporter
from evo.round.arms import check_arms, find_run, runs_to_make
from evo.round.in_flight import planned_workers, settle_in_flight, with_in_flight
from evo.round.options import RunOptions
from evo.round.printing import format_line, row_values, run_headings
from studies.config import DataSection, StudyConfig
from studies.database.leases import hold_lease
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.database.urls import files_folder
from studies.records import EvoError
from studies.run_names import check_name

if TYPE_CHECKING:
    from evo.round.context import RunContext
    from evo.workers.protocol import Evaluate

    Hands = tuple[Evaluate, int]


@dataclass(frozen=True)
class FinishedRuns:
    """Runs that have reached the end of their last round: the run itself first, then its other seeds and control arms.

    Attributes:
        worked: whether anything was left to do.
    """

    runs: tuple[StoredRun, ...]
    worked: bool


@dataclass(frozen=True)
class Session:
    """What the runs of one call share.

    Attributes:
        executor: what evaluates, and how many architectures at once; it starts when it is first asked for.
        inspect: looks at the data of a configuration, and says what was found, once.
    """

    store: Store
    options: RunOptions
    reporter: Reporter
    executor: Callable[[], Hands]
    inspect: Callable[[StudyConfig], None]

    def context(self, run: StoredRun) -> RunContext:
        """What the rounds of a run share. torch is imported here, when there is work."""
        from evo.round.context import run_context

        options, (evaluate, count) = self.options, self.executor()
        files, track = files_folder(options.storage), self.reporter.track
        return run_context(run, self.store, files, evaluate, track, count, options.accept_data_change)


def finish_rounds(options: RunOptions, reporter: Reporter) -> FinishedRuns:
    """Bring all runs that ``options`` mean to the end of their last round.

    Finished rounds are skipped and an interrupted one goes on, so a second call changes nothing.

    Raises:
        EvoError: something the user must do first; all that was measured before is kept.
        KeyboardInterrupt: the same.
    """
    if loaded := sys.modules.get("evo.data.fingerprint"):  # else there is nothing to forget
        loaded.forget_data()
    with quiet_optuna(), open_store(options.storage) as store, ExitStack() as stack:
        wanted = list(runs_to_make(store, options))
        check_arms(options, wanted[0][1])
        inspect, here = _data_inspector(reporter), 0 if options.cluster else options.workers
        first = wanted[0][1]
        limited = first.evaluator.timeout is not None
        hands = cache(lambda: stack.enter_context(_open_executor(options, first.threads, limited)))
        beginning = Beginning(store, inspect, here, lambda: planned_workers(options) or hands()[1])
        runs = list[StoredRun]()
        for name, config in wanted:
            runs.append(find_run(store, name, config) or beginning.begin(name, config, runs[0] if runs else None))
        session = Session(store, options, reporter, hands, inspect)
        worked = [_finish_run(session, run) for run in runs]
        if options.control_runs:
            _train_fronts_alone(session, runs)
        evolving = runs[:: 1 + len(options.control_runs)]
        worked += [_compare_with_no_search(session, run) for run in evolving if options.no_search]
    return FinishedRuns(tuple(runs), any(worked))


@contextmanager
def quiet_optuna() -> Iterator[None]:
    """Optuna logs warnings only, in the body."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def _open_executor(options: RunOptions, threads: int, limited: bool) -> Iterator[Hands]:
    """What evaluates, and how many architectures at once. torch is imported here, when there is work."""
    from evo.workers.executors import local_executor

    if options.cluster is None:
        with local_executor(options.workers, threads, limited) as evaluate:
            yield evaluate, options.workers
        return
    try:
        from evo.workers.dask_cluster import cluster_executor
    except ImportError as error:
        raise EvoError(f"--cluster needs Dask ({error}): pip install '.[cluster]'") from None
    with cluster_executor(options.cluster, threads) as executor:
        yield executor, len(executor)


def _data_inspector(reporter: Reporter) -> Callable[[StudyConfig], None]:
    """What looks at the images of a configuration that reads some; of the same images once."""

    @cache
    def inspect(section: DataSection, device: str) -> None:
        from evo.data.inspection import inspect_data, tell

        tell(inspect_data(section, device, reporter.track), reporter.say, console.warn)

    def inspect_if_read(config: StudyConfig) -> None:
        from evo.data.fingerprint import reads_images

        if reads_images(config):
            inspect(config.data, config.device)

    return inspect_if_read


@dataclass(frozen=True)
class Beginning:
    """How the runs of one call begin.

    Attributes:
        inspect: looks at the data of a configuration.
        here: processes that evaluate on this machine, whose memory is looked at; 0: others do.
        workers: how many there will be.
    """

    store: Store
    inspect: Callable[[StudyConfig], None]
    here: int
    workers: Callable[[], int]

    def begin(self, name: str, config: StudyConfig, first: StoredRun | None) -> StoredRun:
        """A run that begins now; as many generations are in flight as in the ``first`` of this call, with which it will be
        compared."""
        check_name(name)
        from evo.data.inspection import settle_data
        from evo.round.new_run import begin_run
        from evo.training.precision import settle_precision

        predecessor = self.store.find_run(config.evolution.predecessor) if config.evolution.predecessor else None
        config = settle_precision(settle_data(config, predecessor.config if predecessor else None))
        if first is not None:
            config = with_in_flight(config, first.config.search.in_flight)
        elif config.search.in_flight is None:
            config = settle_in_flight(config, self.workers())
        self.inspect(config)
        return begin_run(self.store, name, config, console.warn if self.here else None, self.here or 1)


def _finish_run(session: Session, run: StoredRun) -> bool:
    """Bring one run to the end of its last round, a line for each; whether there was anything to do."""
    store, say, last = session.store, session.reporter.say, session.options.rounds
    if unfinished_rounds(store, run, last):
        session.inspect(run.config)
        _decode_ahead(run.config, session.reporter)
        store.examine()
    say(introduction(run))
    with hold_lease(store, run, say) if unfinished_rounds(store, run, last) else nullcontext():
        todo = unfinished_rounds(store, run, last)  # whatever held the run until now may have finished some
        if todo[:1] == [1]:
            _take_over_first_round(session, run)
        say(format_line(run, run_headings(run)))
        for row in store.rounds(run)[: last - len(todo)]:
            say(format_line(run, row_values(store, run, row)))
        for row in _run_rounds(session, run, todo) if todo else ():
            say(format_line(run, row_values(store, run, row)))
    return bool(todo)


def _decode_ahead(config: StudyConfig, reporter: Reporter) -> None:
    """Decode what all rounds need again and again, and what is not kept yet."""
    from evo.data.fingerprint import reads_images
    from evo.data.inspection import decode_ahead

    if reads_images(config):
        decode_ahead(config.data, config.device, reporter.track)


def introduction(run: StoredRun) -> str:
    """A run in a line: its method, its space, its evaluator."""
    control = ", a control arm: its space never changes" if run.config.control else ""
    method, kind = run.config.evolution.method, run.config.evaluator.kind
    scored = "" if run.config.score == "accuracy" else f" (score: {run.config.score})"
    precision = ", in bf16" if run.config.precision == "bf16" else ""
    return f"run {run.name}: {method} on {run.space.name}, judged by {kind}{scored}{precision}{control}"


def unfinished_rounds(store: Store, run: StoredRun, last: int) -> list[int]:
    """The rounds up to ``last`` that are not finished."""
    rows = store.rounds(run)
    return [n for n in range(1, last + 1) if n > len(rows) or not rows[n - 1].finished]


def _run_rounds(session: Session, run: StoredRun, todo: Sequence[int]) -> Iterator[StoredRound]:
    """The rounds ``todo``, each as it ends."""
    from evo.round.algorithm import run_round

    shared = session.context(run)
    for n in todo:
        yield run_round(shared, n)


def _take_over_first_round(session: Session, run: StoredRun) -> None:
    """Let a control arm begin with the round that it shares with its run."""
    from evo.round.shared_round import take_over_first_round

    if run.config.control and (twin := take_over_first_round(session.context(run))):
        session.reporter.say(
            f"its round 1 is that of run {twin} (same space, judge and seed): it is not computed again"
        )


def _train_fronts_alone(session: Session, runs: Sequence[StoredRun]) -> None:
    """Let the fronts of runs with different supernets be trained alone, as the configuration allows."""
    for run in runs:
        if run.config.ground_truth.sample:
            from evo.round.ground_truth import train_front_alone

            with hold_lease(session.store, run, session.reporter.say):
                train_front_alone(session.context(run), session.options.rounds)


def _compare_with_no_search(session: Session, run: StoredRun) -> bool:
    """Compare a run's picks with networks that need no search; whether there was anything to do."""
    from evo.alone.budgets import is_complete

    store, options = session.store, session.options
    row = store.rounds(run)[options.rounds - 1]
    if is_complete(store, run, row, options.no_search):
        return False
    from evo.alone.contest import hold_contest

    session.inspect(run.config)
    with hold_lease(store, run, session.reporter.say):
        hold_contest(store, run, row, options.no_search, session.reporter, options.accept_data_change)
    return True
