"""How many workers one coordinator keeps busy: measured with workers that sleep, simulated for up to 1,000 of them.

Workers cost nothing here, so all that is measured is the coordinator: it proposes a generation, hands it out through Dask,
takes the answers in, and records it. With these costs, a simulation of events says what share of their time workers work,
and how much of the rest the generation's end takes, at which the quick ones wait for the slow.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import multiprocessing
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from benchmarks.comparison import Table
    from evo.workers.dask_cluster import DaskExecutor
    from spaces.architecture import Architecture
    from studies.records import Evaluation

EXAMPLES = """examples:
  python benchmarks/scale.py
  python benchmarks/scale.py --workers 1,8,64 --sleep 0.1 --generations 20,100 --screened 20 --markdown
"""
SPREAD = (0.5, 1.5)
"""Times of evaluations, as shares of their mean: networks of one space differ by a factor of three."""

LASTING = (1.0, 60.0, 3600.0)
"""Mean seconds of an evaluation, simulated."""

FLEETS = (10, 100, 300, 1000)
"""Workers, simulated."""

ROUNDS = 20
"""Generations, simulated."""


def parser() -> argparse.ArgumentParser:
    """The command line. Nothing heavy is imported before it has been read."""
    command = argparse.ArgumentParser(
        prog="python benchmarks/scale.py",
        description="What the coordinator of a cluster costs per trial, and how busy up to 1,000 workers are.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--workers", type=_numbers, default="1,4,16,64,128", metavar="N,N", help="that sleep, measured"
    )
    command.add_argument("--sleep", type=float, default=1.0, metavar="SECONDS", help="that an evaluation takes them")
    command.add_argument(
        "--generations", type=_numbers, default="20,100,300,1000", metavar="N,N", help="sizes of a generation"
    )
    command.add_argument(
        "--screened",
        type=_numbers,
        default="20,100,300",
        metavar="N,N",
        help="sizes at which the surrogate is timed, too",
    )
    command.add_argument("--markdown", action="store_true", help="the tables in Markdown")
    return command


def _numbers(text: str) -> list[int]:
    words = text.split(",")
    if not all(word.isdecimal() and int(word) >= 1 for word in words):
        raise argparse.ArgumentTypeError(f"expected whole numbers from 1, found {text!r}")
    return sorted({int(word) for word in words})


def main(argv: Sequence[str] | None = None) -> int:
    """0: done; 130: interrupted."""
    args = parser().parse_args(argv)
    from evo.console import say

    try:
        for table in measured(args.workers, args.sleep, args.generations, args.screened):
            say(table.markdown() + "\n") if args.markdown else table.show()
    except KeyboardInterrupt:
        return 130
    return 0


def measured(workers: Sequence[int], sleep: float, sizes: Sequence[int], screened: Sequence[int]) -> Iterator[Table]:
    """All tables, each as it is ready."""
    import optuna

    from benchmarks.comparison import Table

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    crews = [crewed(count, sleep) for count in workers]
    yield Table(
        f"Trials per second by the clock, workers sleep {sleep:g} s for each, and CPU time of the coordinator",
        ("workers", "at most", "measured", "simulated", "workers busy, %", "CPU ms per trial"),
        tuple(
            (
                str(crew.workers),
                f"{crew.workers / sleep:.0f}",
                f"{crew.rate:.0f}",
                f"{simulated(crew.workers, sleep, crew.trials, Costs(0, 0, crew.cpu), spread=(1, 1)).rate:.0f}",
                f"{100 * crew.rate * sleep / crew.workers:.0f}",
                f"{1000 * crew.cpu:.2f}",
            )
            for crew in crews
        ),
    )
    handing = min(crew.cpu for crew in crews)
    costs = {(size, False): spent(size, False, handing) for size in sizes}
    costs |= {(size, True): spent(size, True, handing) for size in screened}
    yield Table(
        "CPU ms per trial of the coordinator, by the size of a generation (its second one)",
        ("generation", "propose", "propose, screened", "store", "hand out and take in"),
        tuple(
            (
                f"{size:,}",
                f"{1000 * costs[size, False].propose:.2f}",
                f"{1000 * costs[size, True].propose:.1f}" if (size, True) in costs else "",
                f"{1000 * costs[size, False].store:.2f}",
                f"{1000 * handing:.2f}",
            )
            for size in sizes
        ),
    )
    for lasting in LASTING:
        yield Table(
            f"Workers busy, % (trials per hour), simulated, evaluations of {lasting:g} s ± half",
            ("generation", *(f"{fleet:,} workers" for fleet in FLEETS)),
            tuple(
                (
                    f"{size:,}{', screened' if screen else ''}",
                    *(str(simulated(fleet, lasting, size, cost)) for fleet in FLEETS),
                )
                for (size, screen), cost in sorted(costs.items())
            ),
        )


# -- workers that sleep ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sleeper:
    """A judge that takes its time and knows nothing."""

    seconds: float

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        from studies.records import Evaluation

        time.sleep(self.seconds * len(archs))
        return [Evaluation(arch, "asleep", 0.5, macs=0.0, params=0.0) for arch in archs]


@dataclass(frozen=True)
class Crew:
    """What so many workers brought about: trials in each generation, trials per second, CPU seconds per trial here."""

    workers: int
    trials: int
    rate: float
    cpu: float


def crewed(workers: int, sleep: float) -> Crew:
    """Three generations of four trials for each worker, at least 100; the first is not timed."""
    from benchmarks.overhead import a_space

    space, rng, trials = a_space(), Random(0), max(100, 4 * workers)
    with _crew(workers) as hands:
        judge = Sleeper(sleep)
        generations = [[space.sample(rng) for _ in range(trials)] for _ in range(3)]
        hands(judge, generations[0])
        hands.pace.clear()  # pieces of one trial, as with evaluations that take long
        began, spent = time.perf_counter(), time.process_time()
        for generation in generations[1:]:
            hands(judge, generation)
            hands.pace.clear()
        wall, cpu = time.perf_counter() - began, time.process_time() - spent
    return Crew(workers, trials, 2 * trials / wall, cpu / (2 * trials))


@contextmanager
def _crew(workers: int) -> Iterator[DaskExecutor]:
    """A cluster whose workers are many in one other process; the scheduler is in this one, as with a queue's jobs."""
    from distributed import Scheduler, SpecCluster

    from evo.workers.cluster_spec import quiet_dask
    from evo.workers.dask_cluster import cluster_executor

    options = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with quiet_dask(), SpecCluster(workers={}, scheduler={"cls": Scheduler, "options": options}) as found:
        address = found.scheduler_address
        process = multiprocessing.get_context("spawn").Process(target=_asleep, args=(address, workers), daemon=True)
        process.start()
        try:
            while len(found.scheduler_info["workers"]) < workers:
                time.sleep(0.1)
            with cluster_executor(address, 1) as hands:
                yield hands
        finally:
            process.terminate()
            process.join()


def _asleep(address: str, workers: int) -> None:
    """So many workers, until this process is ended."""
    from distributed import Worker

    from evo.workers import dask_cluster
    from evo.workers.cluster_spec import quiet_dask

    dask_cluster._one_at_a_time = nullcontext()  # type: ignore[assignment]  # those who sleep may do so side by side

    async def work() -> None:
        options = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        crew = [Worker(address, **options) for _ in range(workers)]
        await asyncio.gather(*crew)
        await asyncio.gather(*(worker.finished() for worker in crew))

    with quiet_dask():
        asyncio.run(work())


# -- the coordinator ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Costs:
    """CPU seconds of the coordinator per trial: proposing, storing, and handing out and taking in a piece of one trial."""

    propose: float
    store: float
    hand: float


def spent(size: int, screen: bool, hand: float) -> Costs:
    """What a trial of the second generation of ``size`` costs."""
    from benchmarks.overhead import searched

    with TemporaryDirectory() as folder:
        marks = searched(f"sqlite:///{folder}/scale.db", 2 * size, size, screen)
    first, second = (next(mark for mark in marks if mark.trials >= size * n) for n in (1, 2))
    store = second.storing - first.storing
    propose = second.now - first.now - store - (second.evaluating - first.evaluating)
    return Costs(float(propose[1]) / size, float(store[1]) / size, hand)


# -- more workers than there are ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """The share of their time that workers evaluate, and trials per second."""

    busy: float
    rate: float

    def __str__(self) -> str:
        return f"{100 * self.busy:.0f} ({3600 * self.rate:,.0f})"


def simulated(
    workers: int, seconds: float, size: int, costs: Costs, spread: tuple[float, float] = SPREAD, seed: int = 0
) -> Outcome:
    """A run of ``ROUNDS`` generations, event by event: the coordinator does one thing at a time, and so does a worker."""
    from evo.workers.dask_cluster import chunk_size

    rng, clock, busy = Random(seed), 0.0, 0.0
    per_piece = chunk_size(seconds, size, workers)
    for _ in range(ROUNDS):
        clock += size * costs.propose
        trials = [seconds * rng.uniform(*spread) for _ in range(size)]
        pieces = [sum(trials[start : start + per_piece]) for start in range(0, size, per_piece)]
        free, ends = [clock] * workers, []
        for piece in pieces:
            clock += costs.hand / 2
            end = max(heapq.heappop(free), clock) + piece
            heapq.heappush(free, end)
            ends.append(end)
        for end in sorted(ends):
            clock = max(clock, end) + costs.hand / 2
        clock += size * costs.store
        busy += sum(trials)
    return Outcome(busy / (workers * clock), ROUNDS * size / clock)


if __name__ == "__main__":
    sys.exit(main())
