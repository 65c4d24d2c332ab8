"""What ``python -m evo.round`` does once its arguments are known."""

from __future__ import annotations

import math
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext

import optuna
from sqlalchemy import make_url

from analysis.frames import truth_of
from analysis.verdict import verdicts
from analysis.words import unmeasured
from evo import console
from evo.runs import arms, configuration, find, run_name
from spaces.space import SearchSpace
from studies.config import BlockwiseSection, OneShotSection, StudyConfig, TabularSection, Training, of_round
from studies.leases import held
from studies.records import COSTS, Evaluation, Round, complete
from studies.store import RoundRow, Run, Store, opened
from studies.units import short
from studies.urls import files_of

HEADINGS = (
    "round", "space", "trials", "distinct", "front", "best acc", "its cost", "hypervolume", "tau",
    "kept", "dropped", "refilled", "seconds",
)  # fmt: skip
WIDTHS = tuple(max(7, len(heading)) for heading in HEADINGS)


def bring(args: Namespace) -> int:
    """Bring the runs that the command line asks for to the end of round N; compare them where there are control arms."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    say = console.nothing if args.quiet else console.say
    with opened(args.storage) as store:
        wanted = list(arms(store, args))
        runs = [find(store, name, config) or _begun(store, name, config) for name, config in wanted]
        done = [_brought(store, run, args, say) for run in runs]
        say(closing(store, runs[0], args) if any(done) else nothing_to_do(runs[0], args))
        if args.control:
            _judge_alone(store, runs, args)
            say("\n" + "\n".join(words for found in verdicts(store, runs[0]) for words in found.sentences()))
    return 0


def _brought(store: Store, run: Run, args: Namespace, say: Callable[[str], None]) -> bool:
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
        for row in _finished(store, run, todo, args) if todo else ():
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


def _judge_alone(store: Store, runs: Sequence[Run], args: Namespace) -> None:
    """Let the fronts of runs with different supernets be trained alone, as the configuration allows."""
    from evo.executors import workers
    from evo.loop import front_alone, workshop

    track = console.untracked if args.quiet else console.bar
    say = console.nothing if args.quiet else console.say
    for run in runs:
        limited = run.config.evaluator.timeout is not None
        with held(store, run, say), workers(args.workers, run.config.threads, limited) as evaluate:
            front_alone(workshop(run, store, files_of(args.storage), evaluate, track, args.workers), args.n)


def _finished(store: Store, run: Run, todo: list[int], args: Namespace) -> Iterator[RoundRow]:
    """The rounds ``todo``, each as it ends. torch is imported here, when there is work."""
    from evo.executors import workers
    from evo.loop import run_round, workshop

    track = console.untracked if args.quiet else console.bar
    limited = run.config.evaluator.timeout is not None
    with workers(args.workers, run.config.threads, limited) as evaluate:
        shop = workshop(run, store, files_of(args.storage), evaluate, track, args.workers, args.accept_data_change)
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
    counts = [math.prod(layer.size for layer in space.layers[start:stop]) for start, stop in space.blocks]
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
    return "\n".join(
        f"{name:{width}}  {layer.shape.c_in:>4} -> {layer.shape.c_out:<4} stride {layer.shape.stride} at "
        f"{layer.shape.size:>3} px  {' '.join(layer.candidates)}"
        for name, layer in zip(space.names, space.layers, strict=True)
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
    return console.row([cell for cell, _ in told], [width for _, width in told])


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
    shown = make_url(args.storage).render_as_string(hide_password=True)
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
    return (
        f"\n{said}front of round {last.number}: {len(members)} networks, from {members[0].accuracy:.2%} at "
        f"{short(members[0].cost(cost))} to {members[-1].accuracy:.2%} at {short(members[-1].cost(cost))} {cost}\n"
        f"results: {shown} (view results, run {run.name!r}); weights: {files_of(args.storage) / run.name}\n"
        f"next: python -m analysis.report {run.name}{_storage_flag(args)}\n"
        f"      optuna-dashboard {shown}\n"
        f"      python -m evo.deliver {run.name}{_storage_flag(args)}"
    )


def _storage_flag(args: Namespace) -> str:
    return "" if args.storage == "sqlite:///evo.db" else f" --storage {make_url(args.storage).render_as_string()}"
