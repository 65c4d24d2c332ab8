"""The arms of the comparison: searches of one table of architectures, each with its default settings.

An arm asks ``Answers`` for architectures until the budget is spent. Only new networks count, by canonical form; asking for
one again is free for every arm.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Protocol

import optuna

from evo.strategy.generations import SearchTask, search_round
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import TableColumns, additive_costs, opaque_space, read_benchmark_table, split_key
from spaces.costs.sampling import sample_stratified
from spaces.costs.table import CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch
from studies.config import LimitsSection, SearchSection
from studies.database.trials import distributions
from studies.pareto import evenly_spaced, hypervolume
from studies.records import Evaluation

GP_BUDGET = 100
"""Evaluations for Optuna's Gaussian process, which takes about a second per proposal and gets slower."""

PATIENCE = 500
"""An arm that repeats itself so many times in a row is stopped."""

START = 10
"""Architectures that local search draws by chance before it looks at neighbours."""


@dataclass(frozen=True)
class Problem:
    """A table to search: accuracy up, cost down.

    Attributes:
        costs: per layer and operation, known to an arm before it asks; ``priced`` says how well they fit the table.
        rows: how many architectures the table has.
        answers: canonical form -> accuracy (a fraction) and cost, as the table has them.
        floor: accuracy above which hypervolume counts.
        measurable: the architectures that may be asked for; None: all of the space.
    """

    space: SearchSpace
    costs: CostTable
    priced: str
    rows: int
    answers: Mapping[Architecture, tuple[float, float]]
    floor: float
    measurable: Collection[Architecture] | None = None

    @cached_property
    def max_cost(self) -> float:
        """The reference point's cost: the table's largest."""
        return max(cost for _, cost in self.answers.values())

    @cached_property
    def volume(self) -> float:
        """Hypervolume of the table's true front, as ``studies.pareto.hypervolume`` counts it."""
        accuracy, cost = zip(*self.answers.values(), strict=True)
        return hypervolume(cost, accuracy, max_cost=self.max_cost, min_accuracy=self.floor)

    def answer(self, arch: Architecture) -> tuple[float, float]:
        """Accuracy and cost from the table; a network that it lacks has accuracy 0 and the sum of its operations' costs."""
        known = self.answers.get(canonical_arch(arch, self.space))
        return known or (0.0, float(self.costs.count([arch])[0, 0]))


def problem(
    path: Path, columns: TableColumns, *, separator: str, scale: float, floor: float, library: str | None = None
) -> Problem:
    """The problem that a table poses.

    Args:
        separator: between an architecture's genes; "" where each is one character.
        scale: 0.01 where accuracy is in percent.
        library: the name of the space whose candidates the genes count; without one the space is read off the table.

    Raises:
        ValueError: the table is not as the arguments say; the message says where.
    """
    frame = read_benchmark_table(path, columns)
    keys, (accuracy, cost) = frame[columns.arch].tolist(), frame[[columns.accuracy, columns.macs]].to_numpy().T
    if library is None:
        space = opaque_space(path.name, keys, separator)
        archs = [Architecture(split_key(key, separator)) for key in keys]
    else:
        space = load_space(library)
        archs = [_from_indices(key, space, separator) for key in keys]
    additive = additive_costs(space, archs, cost)
    priced = "exact sums of one number per layer and operation"
    if not additive.is_exact:
        priced = f"least squares, one number per layer and operation: off by at most {additive.error:.2%} of the mean"
    answers: dict[Architecture, tuple[float, float]] = {}
    for arch, pair in zip(archs, zip((accuracy * scale).tolist(), cost.tolist(), strict=True), strict=True):
        answers.setdefault(canonical_arch(arch, space), pair)
    if not any(floor < a <= 1 for a, _ in answers.values()):
        best = max(a for a, _ in answers.values())
        raise ValueError(
            f"the best accuracy in {columns.accuracy} is {best:g} after scaling, and the floor is {floor:g}: expected a "
            "fraction above the floor; for percent give --accuracy-scale 0.01, and the floor as a fraction"
        )
    return Problem(space, additive.table if library is None else cost_table(space), priced, len(archs), answers, floor)


def _from_indices(key: str, space: SearchSpace, separator: str) -> Architecture:
    """The architecture whose genes a key names by their places among each layer's candidates."""
    tokens = split_key(key, separator)
    if len(tokens) != len(space.layers):
        raise ValueError(f"{key!r} has {len(tokens)} genes, and {space.name!r} has {len(space.layers)} layers")
    for name, layer, token in zip(space.names, space.layers, tokens, strict=True):
        if not token.isdecimal() or int(token) >= len(layer.candidates):
            raise ValueError(
                f"{key!r} has {token!r} for {name} of {space.name!r}: expected 0 to {len(layer.candidates) - 1}, the "
                f"place of one of {', '.join(layer.candidates)}"
            )
    return Architecture(tuple(layer.candidates[int(t)] for layer, t in zip(space.layers, tokens, strict=True)))


class Posed(Protocol):
    """What an arm may know of a problem."""

    @property
    def space(self) -> SearchSpace: ...

    @property
    def costs(self) -> CostTable: ...

    @property
    def floor(self) -> float: ...

    @property
    def measurable(self) -> Collection[Architecture] | None: ...

    def answer(self, arch: Architecture) -> tuple[float, float]:
        """Accuracy and cost."""
        ...


class SpentError(Exception):
    """The budget is spent."""


class Answers:
    """Answers an arm and counts: ``results`` maps every network that was asked for, in order, to accuracy and cost."""

    def __init__(self, problem: Posed, budget: int) -> None:
        self.problem = problem
        self.budget = budget
        self.repeats = 0
        self.results: dict[Architecture, tuple[float, float]] = {}

    def __call__(self, arch: Architecture) -> tuple[float, float]:
        """Accuracy and cost.

        Raises:
            SpentError: the budget is spent, or the arm only repeats itself.
        """
        form = canonical_arch(arch, self.problem.space)
        if form in self.results:
            self.repeats += 1
        elif len(self.results) < self.budget:
            self.repeats = 0
            self.results[form] = self.problem.answer(arch)
        else:
            raise SpentError
        if self.repeats > PATIENCE:
            raise SpentError
        return self.results[form]


def random(answers: Answers, seed: int) -> None:
    """Uniformly, without repeats."""
    rng = Random(seed)
    while True:
        answers(_by_chance(answers.problem, rng))


def _by_chance(posed: Posed, rng: Random) -> Architecture:
    """An architecture that can be measured."""
    while (arch := posed.space.sample(rng)) and posed.measurable is not None and arch not in posed.measurable:
        pass
    return arch


def local(answers: Answers, seed: int) -> None:
    """Pareto local search: a random neighbour, one gene away, of a random architecture on the front; from a few by chance.

    White et al., "Exploring the loss landscape in NAS" (2021), with a front in place of the best, as Archai's
    ``LocalSearch``. A front without new neighbours is answered by chance.
    """
    _local(answers, Random(seed), [])


def local_spread(answers: Answers, seed: int) -> None:
    """The same, from networks that are spread evenly over what they cost, which is known."""
    posed, rng = answers.problem, Random(seed)
    spread = sample_stratified(posed.costs, 8 * START, rng)
    able = [arch for arch in spread if posed.measurable is None or arch in posed.measurable]
    _local(answers, rng, evenly_spaced(able, START))


def _local(answers: Answers, rng: Random, given: list[Architecture]) -> None:
    posed = answers.problem
    points: list[tuple[float, float, Architecture]] = []
    while True:
        around = [] if len(answers.results) < START else _neighbours(points, posed, answers, rng)
        arch = given.pop() if given else around[0] if around else _by_chance(posed, rng)
        accuracy, cost = answers(arch)
        if not any(a >= accuracy and c <= cost for a, c, _ in points):
            points = [(a, c, other) for a, c, other in points if a > accuracy or c < cost]
            points.append((accuracy, cost, arch))


def _neighbours(
    points: list[tuple[float, float, Architecture]], posed: Posed, answers: Answers, rng: Random
) -> list[Architecture]:
    """New architectures one gene away from one random point, shuffled; of another point where it has none left."""
    space, able = posed.space, posed.measurable
    for _, _, arch in rng.sample(points, len(points)):
        around = [
            Architecture((*arch.genes[:i], gene, *arch.genes[i + 1 :]))
            for i, layer in enumerate(space.layers)
            for gene in layer.genes
            if gene != arch.genes[i]
        ]
        around = [other for other in around if able is None or other in able]
        if new := [other for other in around if canonical_arch(other, space) not in answers.results]:
            return rng.sample(new, len(new))
    return []


def sampler(make: Callable[[int], optuna.samplers.BaseSampler]) -> Callable[[Answers, int], None]:
    """An Optuna sampler on two objectives, one trial at a time."""

    def run(answers: Answers, seed: int) -> None:
        space = answers.problem.space
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study = optuna.create_study(directions=["maximize", "minimize"], sampler=make(seed))
        options: dict[str, Any] = distributions(space)
        while True:
            trial = study.ask(options)
            study.tell(trial, answers(Architecture(tuple(trial.params[name] for name in space.names))))

    return run


def pymoo(answers: Answers, seed: int) -> None:
    """pymoo's NSGA-II, population 20, with its operators for categorical variables."""
    from pymoo.algorithms.moo.nsga2 import NSGA2, binary_tournament
    from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating, MixedVariableSampling
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.core.variable import Choice
    from pymoo.operators.selection.tournament import TournamentSelection
    from pymoo.optimize import minimize

    space = answers.problem.space

    class Table(ElementwiseProblem):  # type: ignore[misc]
        def _evaluate(self, x: Mapping[str, str], out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
            accuracy, cost = answers(Architecture(tuple(x[name] for name in space.names)))
            out["F"] = [-accuracy, cost]

    choices = {name: Choice(options=list(layer.genes)) for name, layer in zip(space.names, space.layers, strict=True)}
    distinct = MixedVariableDuplicateElimination()
    mating = MixedVariableMating(
        selection=TournamentSelection(func_comp=binary_tournament), eliminate_duplicates=distinct
    )
    algorithm = NSGA2(pop_size=20, sampling=MixedVariableSampling(), mating=mating, eliminate_duplicates=distinct)
    minimize(Table(vars=choices, n_obj=2), algorithm, ("n_gen", math.inf), seed=seed)


def product(**settings: Any) -> Callable[[Answers, int], None]:
    """This program's search, as ``python -m evo.round`` runs it inside a round."""

    def run(answers: Answers, seed: int) -> None:
        table = answers.problem
        section = SearchSection(evaluations=answers.budget, min_accuracy=table.floor, **settings)

        def measure(archs: Any) -> list[Evaluation]:
            results = [(arch, *answers(arch)) for arch in archs]
            return [Evaluation(arch, "table", accuracy, cost, params=0.0) for arch, accuracy, cost in results]

        task = SearchTask(table.space, table.costs, section, LimitsSection(), seed, measurable=table.measurable)
        search_round(task, measure, record=lambda generation: None)

    return run


@dataclass(frozen=True)
class Arm:
    """One search.

    Attributes:
        limit: the most evaluations it is given, whatever the budget.
        missing: why it cannot run here; empty when it can.
    """

    label: str
    run: Callable[[Answers, int], None]
    limit: int | None = None
    missing: str = ""


ARMS: dict[str, Arm] = {
    "random": Arm("random", random),
    "nsga2-50": Arm(
        "Optuna NSGA-II, population 50",
        sampler(lambda seed: optuna.samplers.NSGAIISampler(population_size=50, seed=seed)),
    ),
    "nsga2-20": Arm(
        "Optuna NSGA-II, population 20",
        sampler(lambda seed: optuna.samplers.NSGAIISampler(population_size=20, seed=seed)),
    ),
    "tpe": Arm("Optuna TPE", sampler(lambda seed: optuna.samplers.TPESampler(seed=seed))),
    "gp": Arm(
        f"Optuna GPSampler, to {GP_BUDGET}", sampler(lambda seed: optuna.samplers.GPSampler(seed=seed)), limit=GP_BUDGET
    ),
    "pymoo": Arm(
        "pymoo NSGA-II, population 20",
        pymoo,
        missing="" if find_spec("pymoo") else "pymoo is not here: pip install pymoo",
    ),
    "local": Arm("Pareto local search", local),
    "local-spread": Arm("Pareto local search, start spread over cost", local_spread),
    "ours": Arm(
        "ours, not screened", product(surrogate=False) if "surrogate" in SearchSection.model_fields else product()
    ),
    "ours-screened": Arm(
        "ours, screened",
        product(surrogate=True),
        missing="" if "surrogate" in SearchSection.model_fields else "this version has no [search] surrogate",
    ),
}


def trace(problem: Posed, name: str, seed: int, budget: int) -> Answers:
    """Run an arm to the end of its budget."""
    arm = ARMS[name]
    answers = Answers(problem, min(budget, arm.limit or budget))
    with suppress(SpentError):
        arm.run(answers, seed)
    return answers
