"""Is the fitness of a bred cell a property of the cell? The same cells are trained anew, and how they are ordered is compared.

Per layer eight random cells run side by side, four at a time, as in breeding (AutoSpace-style), but nothing is bred. Trainings
differ in weights, images and networks, not in the cells. Told is Spearman's correlation of two trainings' fitness, the mean
over layers, for both ways to score: by weights of the sum, learned by gradient, and by networks.

python benchmarks/fitness.py --trainings 5
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

if TYPE_CHECKING:
    from spaces.architecture import Op
    from spaces.space import SearchSpace
    from studies.config import StudyConfig

Fitness = list[dict["Op", float]]
"""Per layer the fitness of each cell."""

SCORES = ("weights", "networks")


def main(argv: Sequence[str] | None = None) -> int:
    """Print, per draw of cells, how far trainings agree, and how far fitness follows cost."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--config", default="autospace_digits", help="preset or file (default: %(default)s)")
    command.add_argument("--cells", type=int, default=8, help="per layer (default: %(default)s)")
    command.add_argument("--draws", type=int, default=1, help="of the cells (default: %(default)s)")
    command.add_argument("--trainings", type=int, default=5, help="of each draw (default: %(default)s)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the run")
    args = command.parse_args(argv)
    import torch

    from spaces.costs.table import cost_table
    from studies.config import load_config

    torch.set_num_threads(1)
    print(
        "| draw | score | Spearman between trainings | with MACs | seconds each |\n"
        + "| ---: | --- | ---: | ---: | ---: |"
    )
    for draw in range(args.draws):
        for score in SCORES:
            config = load_config(args.config, (*args.set, f"evaluator.cells.score={score}"))
            space = random_cells(config, args.cells, draw)
            started = time.process_time()
            trained = [train_cells(config, space, seed) for seed in range(args.trainings)]
            seconds = (time.process_time() - started) / args.trainings
            layers = zip(cost_table(space).layers, trained[0], strict=True)
            macs = [{op: float(layer.cost_of(op)[0]) for op in own} for layer, own in layers]
            between = spread([agreement(one, other) for one, other in combinations(trained, 2)])
            by_macs = spread([agreement(one, macs) for one in trained])
            print(f"| {draw} | {score} | {between} | {by_macs} | {seconds:.0f} |", flush=True)
    return 0


def random_cells(config: StudyConfig, count: int, draw: int) -> SearchSpace:
    """A space of ``count`` random cells per layer."""
    from evo.evaluators.autospace.population import alphabet_of
    from evo.methods.autospace import StartPopulations
    from evo.seeds import derive_seed
    from spaces.library.named_spaces import load_space
    from studies.config import OneShotSection

    assert isinstance(config.evaluator, OneShotSection)
    assert config.evaluator.cells is not None
    start = StartPopulations(alphabet_of(config.evaluator.cells), k=count, size=count, references=1)
    return start(load_space(str(config.space.name)), Random(derive_seed(draw, "cells")))


def train_cells(config: StudyConfig, space: SearchSpace, seed: int) -> Fitness:
    """The fitness of the cells after one round's training."""
    import torch

    from evo.data.loading import load_dataset
    from evo.evaluators.autospace.fitness import Breeding
    from evo.evaluators.autospace.population import Population
    from evo.seeds import derive_seed
    from evo.training.loop import schedule_of, train
    from spaces.costs.table import cost_table
    from spaces.networks.cell_supernet import CellSupernet
    from spaces.operations.cells import parse_cell
    from studies.config import OneShotSection

    class FixedCells(Breeding):
        """Nothing is bred: those cells run that have run least."""

        def next_population(self, layer: int, population: Population) -> Population:
            rng = Random(derive_seed(self.seed, "run", self.iteration, layer))
            runs = {op: len(population.bred_cells[op].fitness) for op in population.fitness}
            active = sorted(runs, key=lambda op: (runs[op], rng.random()))[: self.settings.parallel_cells]
            return replace(population, active=tuple(active))

    assert isinstance(config.evaluator, OneShotSection)
    section = config.evaluator.cells
    assert section is not None
    torch.manual_seed(derive_seed(seed, "cells"))
    cells = {op for layer in space.layers for op in layer.candidates if op.startswith("cell:")}
    model, images = CellSupernet(space, map(parse_cell, sorted(cells))), load_dataset(config.data, config.device)
    breeding = FixedCells(
        space, cost_table(space), images.validation, section.model_copy(update={"cost_target": None}),
        cost="macs", n=1, seed=derive_seed(seed, "breeding"),
    )  # fmt: skip
    schedule = schedule_of(section, config.data, 1)
    train(model, images.train, schedule, seed=derive_seed(seed, "cells"), paths=breeding.paths(), between=breeding)
    breeding.finish(model)
    return [dict(layer.fitness) for layer in breeding.layers]


def agreement(one: Fitness, other: Fitness) -> float:
    """Spearman's correlation, the mean over layers."""
    import numpy as np
    from scipy.stats import spearmanr

    found = [
        spearmanr(list(a.values()), [b[op] for op in a]).statistic
        for a, b in zip(one, other, strict=True)
        if len(a) > 2
    ]
    return float(np.mean(found))


def spread(values: Sequence[float]) -> str:
    """Mean, least and most."""
    return f"{sum(values) / len(values):.2f} ({min(values):.2f} to {max(values):.2f})"


if __name__ == "__main__":
    sys.exit(main())
