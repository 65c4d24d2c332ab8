"""How many workers one coordinator keeps busy: measured with workers that sleep, simulated for up to 1,000 of them.

Workers cost nothing here, so the coordinator alone is measured: it proposes a generation, hands it out through Dask,
collects the answers, and records them. From these costs, a discrete-event simulation computes the fraction of time in which
workers evaluate. With one generation in flight the rest includes its end, when idle workers wait for the slowest one; with
several (``search.in_flight``) the start of a round, when little is known and little is proposed, and its end.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

if __package__ in (None, ""):  # run as a file: the packages stand one folder up
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.simulated import SPREAD, Costs, Outcome, simulate, simulate_in_flight

if TYPE_CHECKING:
    from benchmarks.comparison import Table
    from evo.workers.dask_cluster import DaskExecutor
    from spaces.architecture import Architecture
    from studies.records import Evaluation

EXAMPLES = """examples:
  python benchmarks/scale.py
  python benchmarks/scale.py --workers 1,8,64 --sleep 0.1 --generations 20,100 --screened 20 --markdown
"""
EVALUATION_SECONDS = (1.0, 60.0, 3600.0)
"""Mean seconds of an evaluation, simulated."""

SIMULATED_WORKERS = (10, 100, 300, 1000)
"""Workers, simulated."""

SMALL = (20, 50)
"""Sizes of a generation of which several are in flight, simulated."""

PER_WORKER = (20, 50, 200)
"""Evaluations of a round, for each worker, simulated where several generations are in flight."""

SEARCHED = 10
"""The same in searches that are run for real."""


def parser() -> argparse.ArgumentParser:
    """The command line. Heavy imports come after it has been parsed."""
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
    command.add_argument(
        "--searching",
        type=_numbers,
        default="16,64",
        metavar="N,N",
        help="workers that sleep while the search runs, in generations of 20",
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
        for table in make_tables(args.workers, args.sleep, args.generations, args.screened, args.searching):
            say(table.markdown() + "\n") if args.markdown else table.show()
    except KeyboardInterrupt:
        return 130
    return 0


def make_tables(
    workers: Sequence[int],
    sleep: float,
    sizes: Sequence[int],
    screened: Sequence[int],
    searching: Sequence[int] = (),
) -> Iterator[Table]:
    """Yield the tables of measured throughput, of costs per trial, and of simulated workers, each as it is ready."""
    import optuna

    from benchmarks.comparison import Table

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    throughputs = [measure_throughput(count, sleep) for count in workers]
    yield Table(
        f"Trials per second by the clock, workers sleep {sleep:g} s for each, and CPU time of the coordinator",
        ("workers", "at most", "measured", "simulated", "workers busy, %", "CPU ms per trial"),
        tuple(
            (
                str(throughput.workers),
                f"{throughput.workers / sleep:.0f}",
                f"{throughput.rate:.0f}",
                f"{_simulate_measured(throughput, sleep).rate:.0f}",
                f"{100 * throughput.rate * sleep / throughput.workers:.0f}",
                f"{1000 * throughput.cpu:.2f}",
            )
            for throughput in throughputs
        ),
    )
    hand_out = min(throughput.cpu for throughput in throughputs)
    costs = {(size, False): measure_costs(size, False, hand_out) for size in sizes}
    costs |= {(size, True): measure_costs(size, True, hand_out) for size in screened}
    yield Table(
        "CPU ms per trial of the coordinator, by the size of a generation (its second one)",
        ("generation", "propose", "propose, screened", "store", "hand out and take in"),
        tuple(
            (
                f"{size:,}",
                f"{1000 * costs[size, False].propose:.2f}",
                f"{1000 * costs[size, True].propose:.1f}" if (size, True) in costs else "",
                f"{1000 * costs[size, False].store:.2f}",
                f"{1000 * hand_out:.2f}",
            )
            for size in sizes
        ),
    )
    for seconds in EVALUATION_SECONDS:
        yield Table(
            f"Workers busy, % (trials per hour), simulated, evaluations of {seconds:g} s ± half",
            ("generation", *(f"{count:,} workers" for count in SIMULATED_WORKERS)),
            tuple(
                (
                    f"{size:,}{', screened' if screen else ''}",
                    *(str(simulate(count, seconds, size, cost)) for count in SIMULATED_WORKERS),
                )
                for (size, screen), cost in sorted(costs.items())
            ),
        )

    if searching:
        yield searching_table(searching, sleep)
    for seconds in EVALUATION_SECONDS:
        yield in_flight_table(
            seconds, {size: cost for (size, screen), cost in costs.items() if screen} or costs_of(costs)
        )


def costs_of(costs: Mapping[tuple[int, bool], Costs]) -> dict[int, Costs]:
    """By the size of a generation alone."""
    return {size: cost for (size, _), cost in costs.items()}


def searching_table(workers: Sequence[int], sleep: float) -> Table:
    """Searches for real, whose workers sleep from half to one and a half times ``sleep`` for each evaluation."""
    from benchmarks.comparison import Table
    from evo.round.in_flight import generations_in_flight

    rows = []
    for count in workers:
        for in_flight in dict.fromkeys((1, generations_in_flight(count, SMALL[0]))):
            measured = measure_search(count, sleep, SMALL[0], in_flight)
            trials = SEARCHED * count
            expected = (
                simulate(count, sleep, SMALL[0], Costs(0, 0, 0))
                if in_flight == 1
                else simulate_in_flight(count, sleep, SMALL[0], in_flight, trials, Costs(0, 0, 0))
            )
            rows.append((str(count), str(in_flight), f"{100 * measured.busy:.0f}", f"{100 * expected.busy:.0f}"))
    return Table(
        f"Workers busy, %, in a search in generations of {SMALL[0]}, {SEARCHED} evaluations per worker of {sleep:g} s ± half",
        ("workers", "generations in flight", "measured", "simulated"),
        tuple(rows),
    )


def in_flight_table(seconds: float, costs: Mapping[int, Costs]) -> Table:
    """How busy workers are in a whole round with as many generations in flight as a run begins with.

    Args:
        costs: of the coordinator by the size of a generation; the nearest counts.
    """
    from benchmarks.comparison import Table
    from evo.round.in_flight import generations_in_flight

    def cell(workers: int, size: int, each: int) -> str:
        nearest = costs[min(costs, key=lambda known: abs(known - size))]
        in_flight = generations_in_flight(workers, size)
        outcome = simulate_in_flight(workers, seconds, size, in_flight, each * workers, nearest)
        return f"{100 * outcome.busy:.0f} [{in_flight}]"

    return Table(
        f"Workers busy, % [generations in flight], simulated, no barrier, a whole round, evaluations of {seconds:g} s ± half",
        ("generation", "evaluations per worker", *(f"{count:,} workers" for count in SIMULATED_WORKERS)),
        tuple(
            (str(size), str(each), *(cell(count, size, each) for count in SIMULATED_WORKERS))
            for size in SMALL
            for each in PER_WORKER
        ),
    )


def _simulate_measured(throughput: Throughput, sleep: float) -> Outcome:
    """The simulation of the cluster that ``throughput`` was measured on."""
    return simulate(throughput.workers, sleep, throughput.trials, Costs(0, 0, throughput.cpu), spread=(1, 1))


# -- workers that sleep ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sleeper:
    """A judge that sleeps ``seconds`` per architecture and answers 0.5."""

    seconds: float

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        from studies.records import Evaluation

        time.sleep(self.seconds * len(archs))
        return [Evaluation(arch, "asleep", 0.5, macs=0.0, params=0.0) for arch in archs]


@dataclass(frozen=True)
class VariedSleeper:
    """A judge that sleeps from half to one and a half times ``seconds`` per architecture, and answers by chance: both follow
    from the architecture alone."""

    seconds: float

    def sleeps(self, arch: Architecture) -> float:
        """Seconds that it sleeps."""
        return self.seconds * Random(f"{arch}").uniform(*SPREAD)

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        from studies.records import Evaluation

        time.sleep(sum(map(self.sleeps, archs)))
        return [Evaluation(arch, "asleep", Random(f"{arch} score").random(), macs=0.0, params=0.0) for arch in archs]


def measure_search(workers: int, sleep: float, population: int, in_flight: int) -> Outcome:
    """Run a search without a surrogate on workers that sleep, after a first generation that is not timed."""
    from functools import partial

    from benchmarks.overhead import a_space
    from evo.evaluators import with_costs
    from evo.strategy.generations import SearchTask, search_in_flight
    from evo.workers.flights import launcher
    from spaces.costs.table import cost_table
    from studies.config import LimitsSection, SearchSection

    space = a_space()
    table, judge, trials = cost_table(space), VariedSleeper(sleep), SEARCHED * workers
    settings = SearchSection(population=population, evaluations=trials, in_flight=in_flight, surrogate=False)
    with _sleeping_cluster(workers) as evaluate, launcher(evaluate, in_flight) as launch:
        evaluate(Sleeper(0.0), [space.sample(Random(0)) for _ in range(4 * workers)])

        def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
            return with_costs(evaluate(judge, archs), table)

        def begin(archs: Sequence[Architecture], earlier: Sequence[Evaluation]) -> Callable[[], list[Evaluation]]:
            return launch(partial(measure, archs))

        started = time.perf_counter()
        task = SearchTask(space, table, settings, LimitsSection(), seed=0)
        proposals, _ = search_in_flight(task, begin, record=lambda generation: None)
        wall = time.perf_counter() - started
    slept = sum(judge.sleeps(proposal.arch) for proposal in proposals)
    return Outcome(slept / (workers * wall), len(proposals) / wall)


@dataclass(frozen=True)
class Throughput:
    """Measured with ``workers``: trials per generation, trials per second, and the coordinator's CPU seconds per trial."""

    workers: int
    trials: int
    rate: float
    cpu: float


def measure_throughput(workers: int, sleep: float) -> Throughput:
    """Time three generations of four trials per worker, at least 100 trials each; the first is a warm-up."""
    from benchmarks.overhead import a_space

    space, rng, trials = a_space(), Random(0), max(100, 4 * workers)
    with _sleeping_cluster(workers) as evaluate:
        judge = Sleeper(sleep)
        generations = [[space.sample(rng) for _ in range(trials)] for _ in range(3)]
        evaluate(judge, generations[0])
        evaluate.pace.clear()  # pieces of one trial, as with evaluations that take long
        wall_before, cpu_before = time.perf_counter(), time.process_time()
        for generation in generations[1:]:
            evaluate(judge, generation)
            evaluate.pace.clear()
        wall, cpu = time.perf_counter() - wall_before, time.process_time() - cpu_before
    return Throughput(workers, trials, 2 * trials / wall, cpu / (2 * trials))


@contextmanager
def _sleeping_cluster(workers: int) -> Iterator[DaskExecutor]:
    """A cluster whose workers share one other process; the scheduler runs in this one, as with a queue's jobs."""
    from distributed import Scheduler, SpecCluster

    from evo.workers.cluster_spec import quiet_dask
    from evo.workers.dask_cluster import cluster_executor
    from evo.workers.pool import CONTEXT, IMPORTED

    options = {"host": "127.0.0.1", "port": 0, "dashboard": False, "dashboard_address": "127.0.0.1:0"}
    with quiet_dask(), SpecCluster(workers={}, scheduler={"cls": Scheduler, "options": options}) as cluster:
        address = cluster.scheduler_address
        CONTEXT.set_forkserver_preload(list(IMPORTED))
        process = CONTEXT.Process(target=_run_sleepers, args=(address, workers), daemon=True)
        process.start()
        try:
            while len(cluster.scheduler_info["workers"]) < workers:
                time.sleep(0.1)
            with cluster_executor(address, 1) as evaluate:
                yield evaluate
        finally:
            process.terminate()
            process.join()


def _run_sleepers(address: str, workers: int) -> None:
    """Run ``workers`` Dask workers until this process is ended."""
    from distributed import Worker

    from evo.workers import dask_cluster
    from evo.workers.cluster_spec import quiet_dask

    dask_cluster._one_at_a_time = nullcontext()  # type: ignore[assignment]  # sleeping tasks may overlap

    async def work() -> None:
        options = {"nthreads": 1, "host": "127.0.0.1", "dashboard": False, "dashboard_address": "127.0.0.1:0"}
        sleepers = [Worker(address, **options) for _ in range(workers)]
        await asyncio.gather(*sleepers)
        await asyncio.gather(*(worker.finished() for worker in sleepers))

    with quiet_dask():
        asyncio.run(work())


# -- the coordinator ---------------------------------------------------------------------------------------------------


def measure_costs(size: int, screen: bool, hand: float) -> Costs:
    """The coordinator's costs per trial, in the second generation of ``size`` trials."""
    from benchmarks.overhead import time_search

    with TemporaryDirectory() as folder:
        marks = time_search(f"sqlite:///{folder}/scale.db", 2 * size, size, screen)
    first, second = (next(mark for mark in marks if mark.trials >= size * n) for n in (1, 2))
    store = second.storing - first.storing
    propose = second.now - first.now - store - (second.evaluating - first.evaluating)
    return Costs(float(propose[1]) / size, float(store[1]) / size, hand)


if __name__ == "__main__":
    sys.exit(main())
