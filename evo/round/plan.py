"""What a run would do: its first space, what its architectures cost, the work to come. Nothing is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from analysis.sentences import count
from evo.html import block, calls, heading, paragraph, table
from evo.round.arms import check_arms, read_settings, run_name
from evo.round.in_flight import planned_workers, settle_in_flight
from evo.round.options import RunOptions
from evo.round.printing import space_lines
from spaces.costs.table import CostTable
from spaces.space import SearchSpace
from spaces.units import format_number
from studies.config import StudyConfig
from studies.records import EvoError

if TYPE_CHECKING:
    from evo.data.source import DataReport
    from evo.memory.machine import Machine
    from evo.memory.step import StepMemory


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes:
        name: of the run; ``rounds``: how many it would have.
        space: the first one, as the method wants it.
        costs: least and most of each cost among the space's architectures, of those that are known.
        data: what was found where images are read; None: none are.
        plugins: sha256 of each file of a user's own; ``notes``: what is to be known of their operations.
        memory: what each kind of step takes; ``machine``: where it is to fit; None: nobody knows.
        found: how many networks other runs of the database have measured with the first round's judge, by the run.
    """

    name: str
    rounds: int
    config: StudyConfig
    space: SearchSpace
    costs: dict[str, tuple[float, float]]
    data: DataReport | None = None
    plugins: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    memory: tuple[StepMemory, ...] = ()
    machine: Machine | None = None
    found: dict[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return f"run {self.name}: {self.config.evolution.method} on {self.space.name}, seed {self.config.seed}"

    @property
    def work(self) -> list[str]:
        """The work to come and what the space holds, a line each."""
        from evo.memory.fitting import lines as memory_lines

        config, search = self.config, self.config.search
        return [
            *self._data(),
            f"{format_number(self.space.size)} architectures of {self.space.layers_in_words}",
            *(f"{name}: {format_number(least)} to {format_number(most)}" for name, (least, most) in self.costs.items()),
            f"{count(self.rounds, 'round')} of {self._evaluations} evaluations, in generations of "
            f"{search.population}{self._flights}",
            *config.evolution.plan(self.space),
            *(() if config.control else config.evolution.doubts(min(self._counts))),
            *config.judging.plan(self.space, self.rounds),
            *self._other_runs(),
            *self._truth(),
            *memory_lines(self.memory, self.machine),
            *(f"{name} (sha256 {digest[:12]})" for name, digest in self.plugins.items()),
            *self.notes,
        ]

    def to_dict(self) -> dict[str, Any]:
        """For programs: what JSON can hold."""
        from evo.memory.fitting import too_large

        fits = None if self.machine is None else not too_large(self.memory, self.machine)
        return {
            "run": self.name,
            "rounds": self.rounds,
            "space": self.space.name,
            "architectures": self.space.size,
            "costs": {name: list(ends) for name, ends in self.costs.items()},
            "work": self.work,
            "found": self.found,
            "memory": [asdict(step) | {"total": step.total} for step in self.memory],
            "machine": self.machine and asdict(self.machine),
            "fits": fits,
        }

    @property
    def _counts(self) -> list[int]:
        """Evaluations of each round."""
        return [self.config.search.measurements(n) for n in range(1, self.rounds + 1)]

    @property
    def _evaluations(self) -> str:
        """``200``, or ``90, 40, 20`` where rounds differ."""
        counts = self._counts
        return ", ".join(map(str, counts if len(set(counts)) > 1 else counts[:1]))

    @property
    def _flights(self) -> str:
        """How many generations are in flight, where it is more than one."""
        if self.config.search.in_flight is None:
            return ", of which as many are in flight as keep the workers busy with which the run begins"
        return f", {self.config.search.in_flight} of them in flight" if self.config.search.in_flight > 1 else ""

    def _data(self) -> list[str]:
        if self.data is None:
            return []
        from evo.data.report import summary

        return [summary(self.data)]

    def _other_runs(self) -> list[str]:
        runs, taught = (
            ", ".join(f"{name} ({number})" for name, number in self.found.items()),
            self.config.search.learn_from,
        )
        return [
            *([f"what other runs have measured so is not measured again: {runs}"] if runs else []),
            *([f"the surrogate learns from {', '.join(taught)}, as far as that helps"] if taught else []),
        ]

    def _truth(self) -> list[str]:
        ground_truth = self.config.ground_truth
        if not ground_truth.sample:
            return []
        how = f"from {ground_truth.table.path}" if ground_truth.table else "by training each of them alone"
        use = "; the search maximises an estimate that is learned from them" if ground_truth.calibrates else ""
        return [f"ground truth of {ground_truth.sample} architectures per round, {how}{use}"]

    def __str__(self) -> str:
        return "\n".join([self.title, "", space_lines(self.space), "", *self.work])

    def __repr__(self) -> str:
        return f"Plan({self.title})"

    def _repr_html_(self) -> str:
        rows = [
            (name, str(layer.shape.stride), f"{layer.shape.size} px", " ".join(layer.candidates))
            for name, layer in zip(self.space.names, self.space.layers, strict=True)
        ]
        layers = table(("layer", "stride", "at", "candidates"), rows)
        name, _, about = self.title.partition(": ")
        lines = [*self.work, *(f"Warning: {text}" for text in (self.data.warnings if self.data else ()))]
        return block(heading(f"{name}:", about), layers, *map(paragraph, lines), calls("evo.search(...)"))


def make_plan(options: RunOptions, memory: str | None = None) -> Plan:
    """What ``options`` would begin.

    Args:
        memory: that of the device on which it would run, e.g. ``80GB``; None: that of this machine.

    Raises:
        EvoError: a setting cannot be, or a file is missing.
    """
    from evo.data.fingerprint import reads_images
    from evo.data.inspection import inspect_data, settle_data
    from evo.memory.machine import Machine, machine_of, parse_memory
    from evo.plugins import plugin_sources
    from evo.round.costs import check_costs, costs_of
    from evo.round.other_runs.found import found_before
    from evo.round.own_operations import notes_on_own_operations
    from evo.training.precision import settle_precision

    config = settle_precision(settle_data(read_settings(options)))
    if (workers := planned_workers(options)) is not None:
        config = settle_in_flight(config, workers)
    check_arms(options, config)
    data = inspect_data(config.data, config.device) if reads_images(config) else None
    space, told = _planned_space(options.storage, config)
    costs = costs_of(config, space)
    check_costs(config, space, costs)
    least, most = costs.bounds().tolist()
    known = {name: (least[i], most[i]) for i, name in enumerate(costs.columns) if most[i]}
    machine = machine_of(config.device) if memory is None else Machine("the device", parse_memory(memory), given=True)
    steps, reason = _counted(config, space, costs, options.workers)
    name, notes = run_name(options, config.seed), (*told, *notes_on_own_operations(space), *reason)
    sources = plugin_sources(config, space)
    found = found_before(options.storage, name, config, space, costs, sources)
    return Plan(name, options.rounds, config, space, known, data, sources, notes, steps, machine, found)


def _counted(
    config: StudyConfig, space: SearchSpace, costs: CostTable, workers: int
) -> tuple[tuple[StepMemory, ...], list[str]]:
    """What each kind of step takes; and why it is not known, if it is not."""
    from evo.memory.counting import Uncounted, memory_of_run

    try:
        return memory_of_run(config, space, costs, workers), []
    except Uncounted as error:
        return (), [str(error)]


def _planned_space(storage: str, config: StudyConfig) -> tuple[SearchSpace, list[str]]:
    """The run's first space, and what is to be known of it: where a run that it continues is not there, its own pool stands."""
    from evo.round.new_run import continued_space, prepared_space
    from studies.database.store import open_store
    from studies.database.urls import require_existing

    space, earlier = prepared_space(config), config.evolution.predecessor
    if earlier is None:
        return space, []
    try:
        with open_store(require_existing(storage), read_only=True) as store:
            return continued_space(store, space, config), []
    except EvoError as error:
        return space, [f"the space is planned as if evolution.continue_from = {earlier!r} were not given: {error}"]
