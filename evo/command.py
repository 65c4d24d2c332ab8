"""What ``python -m evo.round`` does once its arguments are known."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from functools import cache
from typing import TYPE_CHECKING

import optuna

from analysis.frames import truth_of
from analysis.verdict import verdicts
from analysis.words import unmeasured
from evo import console
from evo.methods import nse_rounds
from evo.runs import arms, configuration, find, run_name
from spaces import columns
from spaces.overview import widths
from spaces.space import SearchSpace
from spaces.units import short
from studies.config import (
    BlockwiseSection,
    NseEvolution,
    OneShotSection,
    StudyConfig,
    TabularSection,
    Training,
    of_round,
)
from studies.leases import held
from studies.records import COSTS, Evaluation, EvoError, Round, complete
from studies.store import RoundRow, Run, Store, opened
from studies.urls import database, files_of, shown

if TYPE_CHECKING:
    from evo.executors import Evaluate

    Hands = tuple[Evaluate, int]

HEADINGS = (
    "round", "space", "trials", "distinct", "front", "best acc", "its cost", "hypervolume", "tau",
    "kept", "dropped", "refilled", "seconds",
)  # fmt: skip
WIDTHS = tuple(max(7, len(heading)) for heading in HEADINGS)


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
            say(line(run, cells(store, run, row)))
        for row in _finished(store, run, todo, args, hands) if todo else ():
            say(line(run, cells(store, run, row)))
    return bool(todo)


def _todo(store: Store, run: Run, last: int) -> list[int]:
    """The rounds up to ``last`` that are not finished."""
    rows = store.rounds(run)
    return [n for n in range(1, last + 1) if n > len(rows) or not rows[n - 1].finished]


def _begun(store: Store, name: str, config: StudyConfig) -> Run:
    """A run that begins now."""
    from evo.start import begin

    return begin(store, name, config)


def _judge_alone(store: Store, runs: Sequence[Run], args: Namespace, hands: Callable[[], Hands]) -> None:
    """Let the fronts of runs with different supernets be trained alone, as the configuration allows."""
    from evo.loop import front_alone, workshop

    track = console.untracked if args.quiet else console.bar
    say = console.nothing if args.quiet else console.say
    for run in runs:
        if run.config.truth.sample:
            evaluate, count = hands()
            with held(store, run, say):
                front_alone(workshop(run, store, files_of(args.storage), evaluate, track, count), args.n)


def _finished(
    store: Store, run: Run, todo: list[int], args: Namespace, hands: Callable[[], Hands]
) -> Iterator[RoundRow]:
    """The rounds ``todo``, each as it ends."""
    from evo.loop import run_round, workshop

    track = console.untracked if args.quiet else console.bar
    evaluate, count = hands()
    shop = workshop(run, store, files_of(args.storage), evaluate, track, count, args.accept_data_change)
    for n in todo:
        yield run_round(shop, n)


def plan(args: Namespace) -> int:
    """Print what would run; touch nothing."""
    from evo.loop import table_of
    from evo.start import prepared

    config = configuration(args)
    space = prepared(config)
    least, most = table_of(config, space).bounds()
    name = run_name(args, config.seed)
    console.say(f"run {name}: {config.evolution.method} on {space.name}, seed {config.seed}\n")
    console.say(spelled(space))
    console.say(f"\n{short(space.size)} architectures of {len(space.layers)} layers")
    for i, name in enumerate(COSTS):
        if most[i]:
            console.say(f"{name}: {short(least[i])} to {short(most[i])}")
    console.say(f"{args.n} rounds of {config.search.trials} evaluations, in generations of {config.search.population}")
    if isinstance(config.evolution, NseEvolution):
        pool = max(len(layer.candidates) + len(layer.pending) for layer in space.layers)
        rounds = nse_rounds(pool, config.evolution.k)
        console.say(f"a pool of {pool} operations per layer needs {rounds} rounds")
    if isinstance(config.evaluator, OneShotSection) and (cells := config.evaluator.cells) is not None:
        epochs = ", ".join(f"{of_round(cells.epochs, n):g}" for n in range(1, args.n + 1))
        console.say(f"breeding cells, {cells.active} side by side: {epochs} epochs in rounds 1 to {args.n}")
    if isinstance(config.evaluator, Training):
        epochs = ", ".join(f"{of_round(config.evaluator.epochs, n):g}" for n in range(1, args.n + 1))
        what = "the supernet" if config.evaluator.kind == "oneshot" else "every architecture"
        console.say(f"training {what}: {epochs} epochs in rounds 1 to {args.n}")
    elif isinstance(config.evaluator, BlockwiseSection):
        console.say(distilled(config.evaluator, space))
    elif isinstance(config.evaluator, TabularSection):
        console.say(f"accuracies from {config.evaluator.path}")
    if config.truth.sample:
        how = f"from {config.truth.table.path}" if config.truth.table else "by training each of them alone"
        console.say(f"the truth about {config.truth.sample} architectures of each round {how}")
    return 0


def distilled(section: BlockwiseSection, space: SearchSpace) -> str:
    """The teacher, the blocks, and how many candidates each has."""
    teacher = section.teacher
    whose = (
        teacher.model or teacher.weights or f"a network of the space, {teacher.width:g} times as wide, trained first"
    )
    counts = [space.part(start, stop).size for start, stop in space.blocks]
    scored = ", ".join(
        short(count) if count <= section.candidates else f"{section.candidates} of {short(count)}" for count in counts
    )
    epochs = ", ".join(f"{of_round(section.epochs, n):g}" for n in range(1, len(counts) + 1))
    return (
        f"training {len(counts)} blocks by themselves: {epochs} epochs; teacher: {whose}; candidates scored: {scored}"
    )


def spelled(space: SearchSpace) -> str:
    """The space, a line per layer."""
    width = max(map(len, space.names))
    channels = [(widths(space.shapes(i), "c_in"), widths(space.shapes(i), "c_out")) for i in range(len(space.layers))]
    wide = [max(4, *map(len, column)) for column in zip(*channels, strict=True)]
    return "\n".join(
        f"{name:{width}}  {c_in:>{wide[0]}} -> {c_out:<{wide[1]}} stride {layer.shape.stride} at "
        f"{layer.shape.size:>3} px  {' '.join(layer.candidates)}"
        for name, layer, (c_in, c_out) in zip(space.names, space.layers, channels, strict=True)
    )


def headings(run: Run) -> Sequence[str]:
    """``HEADINGS``, without the word accuracy where none is measured."""
    return HEADINGS if run.config.measured == "accuracy" else [h.replace("best acc", "best") for h in HEADINGS]


def line(run: Run, cells: Sequence[str]) -> str:
    """Cells under ``HEADINGS``; ``tau`` only where the run asks for the truth."""
    told = [
        (cell, width)
        for heading, cell, width in zip(HEADINGS, cells, WIDTHS, strict=True)
        if heading != "tau" or run.config.truth.sample
    ]
    return columns.row([cell for cell, _ in told], [width for _, width in told])


def cells(store: Store, run: Run, row: RoundRow) -> Sequence[str]:
    """A finished round, one cell for each of ``HEADINGS``."""
    assert row.next_space is not None
    changes = row.space.diff(row.next_space)
    best = max(front(store, run, row), key=lambda e: e.score(run.config.search.objective))
    truth = truth_of(row)
    return (
        str(row.number),
        short(row.space.size),
        str(row.stats["trials"]),
        str(row.stats["distinct"]),
        str(row.stats["front"]),
        f"{best.accuracy:.2%}",
        short(best.cost(run.config.search.cost)),
        f"{row.hypervolume:.4f}",
        "-" if truth is None or truth.found.tau is None else f"{truth.found.tau:.2f}",
        str(sum(len(change.kept) for change in changes)),
        str(sum(len(change.dropped) for change in changes)),
        str(sum(len(change.refilled) for change in changes)),
        f"{sum(row.stats['seconds'].values()):.1f}",
    )


def front(store: Store, run: Run, row: RoundRow) -> tuple[Evaluation, ...]:
    """The Pareto front of a round, cheapest first."""
    evaluations = complete(proposal.evaluation for proposal in store.proposals(row))
    return Round(
        row.number, row.space, evaluations, cost=run.config.search.cost, objective=run.config.search.objective
    ).front


def nothing_to_do(run: Run, args: Namespace) -> str:
    """Why nothing ran."""
    return f"\nnothing to do: run {run.name} has finished round {args.n}; next: python -m evo.round {args.n + 1}"


def closing(store: Store, run: Run, args: Namespace) -> str:
    """Where the results are, and the next commands."""
    rows = store.rounds(run)[: args.n]
    last = rows[-1]
    members = front(store, run, last)
    cost = run.config.search.cost
    storage = _storage(args)
    remarks = []
    if last.stats["exhausted"]:
        remarks.append("the space was exhausted before the budget was")
    if unscreened := last.stats.get("unscreened"):
        remarks.append(
            f"the surrogate was no better than chance in {unscreened} generations: NSGA-II chose alone there"
        )
    remarks += [f"round {row.number}: {said}" for row in rows for said in unmeasured(row.stats.get("failed", {}))]
    truth = truth_of(last)
    if truth and truth.found.warning:
        remarks.append(truth.found.warning)
    said = "".join(f"{remark}\n" for remark in remarks)
    hidden = "\n(*** is the password; it need not be in the URL: see README, PostgreSQL)" if "***" in storage else ""
    return (
        f"\n{said}front of round {last.number}: {len(members)} networks, from {members[0].accuracy:.2%} at "
        f"{short(members[0].cost(cost))} to {members[-1].accuracy:.2%} at {short(members[-1].cost(cost))} {cost}\n"
        f"results: {storage} (view results, run {run.name!r}); weights: {files_of(args.storage) / run.name}\n"
        f"next: python -m analysis.report {run.name}{_storage_flag(args)}\n"
        f"      optuna-dashboard {storage}\n"
        f"      python -m evo.deliver {run.name}{_storage_flag(args)}{hidden}"
    )


def _storage_flag(args: Namespace) -> str:
    return "" if args.storage == "sqlite:///evo.db" else f" --storage {_storage(args)}"


def _storage(args: Namespace) -> str:
    """The database, as it may be shown and typed again."""
    return shown(database(args.storage).render_as_string(hide_password=True))
