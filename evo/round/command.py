"""What ``python -m evo.round`` does once its arguments are known."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

import optuna

from analysis.verdict import verdicts
from evo import console
from evo.round.arms import arms, configuration, find, run_name
from evo.round.printing import closing, headings, line, nothing_to_do, row_values, space_lines
from studies.config import StudyConfig
from studies.leases import held
from studies.records import COSTS, EvoError
from studies.store import RoundRow, Run, Store, opened
from studies.units import short
from studies.urls import files_of

if TYPE_CHECKING:
    from evo.executors import Evaluate

    Hands = tuple[Evaluate, int]


def bring(args: Namespace) -> int:
    """Bring the runs that the command line asks for to the end of round N; compare them where there are control arms."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    say = console.nothing if args.quiet else console.say
    with opened(args.storage) as store, ExitStack() as stack:
        wanted = list(arms(store, args))
        runs = [find(store, name, config) or _begun(store, name, config) for name, config in wanted]
        settings = runs[0].config
        limited = settings.evaluator.timeout is not None
        hands = cache(lambda: stack.enter_context(_hands(args, settings.threads, limited)))
        done = [_brought(store, run, args, hands, say) for run in runs]
        say(closing(store, runs[0], args) if any(done) else nothing_to_do(runs[0], args))
        if args.control:
            _judge_alone(store, runs, args, hands)
            say("\n" + "\n".join(words for found in verdicts(store, runs[0]) for words in found.sentences()))
    return 0


@contextmanager
def _hands(args: Namespace, threads: int, limited: bool) -> Iterator[Hands]:
    """Who evaluates for this command, and how many architectures at once. torch is imported here, when there is work."""
    from evo.executors import workers

    if args.cluster is None:
        with workers(args.workers, threads, limited) as evaluate:
            yield evaluate, args.workers
        return
    try:
        from evo.cluster import cluster
    except ImportError as error:
        raise EvoError(f"--cluster needs Dask ({error}): pip install '.[cluster]'") from None
    with cluster(args.cluster, threads) as found:
        yield found, len(found)


def _brought(store: Store, run: Run, args: Namespace, hands: Callable[[], Hands], say: Callable[[str], None]) -> bool:
    """Bring one run to the end of round N, telling each round in one line; whether there was anything to do."""
    control = ", a control arm: its space never changes" if run.config.control else ""
    method, kind = run.config.evolution.method, run.config.evaluator.kind
    scored = "" if run.config.score == "accuracy" else f" (score: {run.config.score})"
    say(f"run {run.name}: {method} on {run.space.name}, judged by {kind}{scored}{control}")
    if _todo(store, run, args.n):
        store.examine()
    with held(store, run, say) if _todo(store, run, args.n) else nullcontext():
        todo = _todo(store, run, args.n)  # whoever held the run until now may have done it
        say(line(run, headings(run)))
        for row in store.rounds(run)[: args.n - len(todo)]:
            say(line(run, row_values(store, run, row)))
        for row in _finished(store, run, todo, args, hands) if todo else ():
            say(line(run, row_values(store, run, row)))
    return bool(todo)


def _todo(store: Store, run: Run, last: int) -> list[int]:
    """The rounds up to ``last`` that are not finished."""
    rows = store.rounds(run)
    return [n for n in range(1, last + 1) if n > len(rows) or not rows[n - 1].finished]


def _begun(store: Store, name: str, config: StudyConfig) -> Run:
    """A run that begins now."""
    from evo.round.new_run import begin

    return begin(store, name, config)


def _judge_alone(store: Store, runs: Sequence[Run], args: Namespace, hands: Callable[[], Hands]) -> None:
    """Let the fronts of runs with different supernets be trained alone, as the configuration allows."""
    from evo.round.algorithm import front_alone
    from evo.round.context import run_context

    track = console.untracked if args.quiet else console.bar
    say = console.nothing if args.quiet else console.say
    for run in runs:
        if run.config.ground_truth.sample:
            evaluate, count = hands()
            with held(store, run, say):
                front_alone(run_context(run, store, files_of(args.storage), evaluate, track, count), args.n)


def _finished(
    store: Store, run: Run, todo: list[int], args: Namespace, hands: Callable[[], Hands]
) -> Iterator[RoundRow]:
    """The rounds ``todo``, each as it ends."""
    from evo.round.algorithm import run_round
    from evo.round.context import run_context

    track = console.untracked if args.quiet else console.bar
    evaluate, count = hands()
    shared = run_context(run, store, files_of(args.storage), evaluate, track, count, args.accept_data_change)
    for n in todo:
        yield run_round(shared, n)


def plan(args: Namespace) -> int:
    """Print what would run; touch nothing."""
    from evo.round.costs import costs_of
    from evo.round.new_run import prepared

    config = configuration(args)
    space = prepared(config)
    least, most = costs_of(config, space).bounds()
    lines = [
        f"run {run_name(args, config.seed)}: {config.evolution.method} on {space.name}, seed {config.seed}\n",
        space_lines(space),
        f"\n{short(space.size)} architectures of {len(space.layers)} layers",
        *(f"{name}: {short(least[i])} to {short(most[i])}" for i, name in enumerate(COSTS) if most[i]),
        f"{args.n} rounds of {config.search.evaluations} evaluations, in generations of {config.search.population}",
        *config.evolution.plan(space),
        *config.evaluator.plan(space, args.n),
    ]
    if config.ground_truth.sample:
        how = (
            f"from {config.ground_truth.table.path}" if config.ground_truth.table else "by training each of them alone"
        )
        lines.append(f"the truth about {config.ground_truth.sample} architectures of each round {how}")
    console.say("\n".join(lines))
    return 0
