"""Is the network that a search picks better than networks that need no search, at equal total cost?

    python -m benchmarks.winner search --images fashion_mnist --path DATA --seeds 0 1 2 3 4
    python -m benchmarks.winner grow --images fashion_mnist --path DATA --seeds 0 1 2 3 4
    python -m benchmarks.winner supernet --images fashion_mnist --path DATA --seeds 0 1 2 3 4
    python -m benchmarks.winner rivals --images fashion_mnist --path DATA --seeds 0 1 2 3 4
    python -m benchmarks.winner show

CIFAR-10 is an ``.npz`` file of ``x_train``, ``y_train`` (the training images 8,001 to 16,000) and ``x_test``, ``y_test`` (those
behind them).

At three budgets of multiply-accumulates, the pick of ``evidence`` is compared with that of the same search in the space
unchanged, with a random network of the space, with the best of N random ones, with the best of N that have one operation and
one row everywhere, with the best network that has one operation everywhere and the deepest rows (``uniform``), and with
MobileNetV2 and EfficientNet-B0 whose strides suit the images. All are widened to the budget and trained alike. N is as many as
can be trained for what the search and its finalists have cost. Held-out images choose wherever several networks stand for an
arm; then the one that was chosen is trained anew with other seeds, and the **test images**, which nothing has looked at, say
how good it is. ``grow`` begins with the library's coarse operations, lets ``evidence`` add the others, and compares its pick
with that of the same search in the coarse space unchanged, and with those above, which had all operations from the start.
``supernet`` searches the same space by the scores of a supernet, for the same cost.

A seed is that of the search, of the random networks, and of all trainings. The networks of ``uniform`` are few and need no
chance: one training of each chooses among them for all seeds. Everything is kept in ``--out``, one database per seed: the same
command again continues, and several may run beside each other. ``benchmarks/results`` has the results so far:
``python -m benchmarks.winner show --out benchmarks/results``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

import pandas as pd

from analysis.verdict import student_half
from evo.alone.budgets import FINALISTS
from evo.alone.charge import run_macs
from evo.alone.contest import CHOOSING, JUDGING
from evo.alone.rivals import BASELINES, Task, random_networks
from evo.alone.selection import Criteria, Selected, select_finalists
from evo.alone.trainer import PASSES, Trainer
from evo.console import bar
from evo.data.loading import load_dataset
from evo.round.algorithm import run_round
from evo.round.context import run_context
from evo.round.new_run import begin_run
from evo.round.shared_round import take_over_first_round
from evo.seeds import derive_seed
from evo.workers.executors import deterministic_torch, local_executor
from evo.workers.protocol import Evaluate
from spaces.errors import SpaceError
from spaces.export.baselines import (
    Contender,
    coarsely_scaled,
    filled_contender,
    uniform_arch,
    uniform_operations,
)
from spaces.layer import Head, Stem
from spaces.library.named_spaces import COARSE_OPS, RICH_OPS, RICH_ROWS, stage_layers, with_variants
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config
from studies.controls import Control, control_settings
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store


@dataclass(frozen=True)
class Problem:
    """Images, and where in their space networks are compared.

    Attributes:
        data: the section ``data``: 5,000 images to train on, 3,000 held out.
        width: channels of the stem and of the first stage; the others have two and four times as many.
        budgets: MACs of one image. There two trainings of ten random networks agreed by a tau of .78 and .58 on held-out images
            (``evo.headroom``); at four times the budgets those of Fashion-MNIST hardly differed (-.02).
    """

    data: Mapping[str, Any]
    channels: int
    width: int
    budgets: tuple[float, float, float]


IMAGES: dict[str, Any] = {"max_images": 8_000, "validation_fraction": 3 / 8, "augment": ["flip"], "size": 20}
PROBLEMS = {
    "cifar10": Problem({**IMAGES, "name": "arrays"}, 3, 16, (400e3, 530e3, 700e3)),
    "fashion_mnist": Problem({**IMAGES, "name": "fashion_mnist"}, 1, 8, (90e3, 120e3, 160e3)),
}

POOR_OPS = ("proj", "mb_k7_e1", "mb_k11_e1", "rec_k7_e1")
"""A convolution that sees no neighbours, and kernels as large as the maps or larger."""


@dataclass(frozen=True)
class Plan:
    """A search: the sections ``evaluator`` and ``evolution``, evaluations per round, and the operations that it begins with."""

    evaluator: Mapping[str, Any]
    evaluations: tuple[int, ...]
    evolution: Mapping[str, Any]
    first: tuple[str, ...]


EVERY_OP = (*RICH_OPS, *POOR_OPS)
PLANS = {
    "search": Plan({"kind": "scratch", "epochs": [1, 2]}, (72, 24), {"method": "evidence"}, EVERY_OP),
    "grow": Plan({"kind": "scratch", "epochs": [1, 1, 2]}, (48, 24, 24), {"method": "evidence", "k": 7}, COARSE_OPS),
    "supernet": Plan({"kind": "oneshot", "epochs": [40, 24, 16]}, (80, 60, 60), {"method": "evidence"}, EVERY_OP),
}
"""They train for 120 epochs in all; 200 scores by a supernet cost as much as 40 of them. A space may grow to seven operations a
layer, as in ``benchmarks.evolving``."""

PICK, GROWN, JUDGED = "pick", "pick of the space that grew", "pick by a supernet"
UNCHANGED, COARSE = "the same search, space unchanged", "the same search, coarse space unchanged"

TRAININGS = 2
"""How many trainings of what an arm has chosen are judged, and how many random networks stand for one."""

CHOOSER = 0
"""The seed of the trainings by which uniform networks are chosen."""


def space_for(problem: Problem, first: Sequence[str] = EVERY_OP) -> SearchSpace:
    """Three stages at 10, 5 and 3 pixels: a row of each, its depth and width, and good and poor operations in all layers.

    Args:
        first: what is a candidate; the other operations wait.
    """
    width = problem.width
    stem = Stem(width, 2, activation="relu", c_in=problem.channels, size=IMAGES["size"])
    plan = ((width, 3, 1), (2 * width, 5, 2), (4 * width, 3, 2))
    waiting = tuple(op for op in EVERY_OP if op not in first)
    layers = [replace(layer, pending=waiting) for layer in stage_layers(stem, plan, first=first, rest=first)]
    rows = {
        f"stage{number}": [(depth, int(width * c_out)) for depth, width in RICH_ROWS if depth <= deepest]
        for number, (c_out, deepest, _) in enumerate(plan, start=1)
    }
    return SearchSpace("good_and_poor", with_variants(layers, rows), stem, Head(0, 10, activation="relu"))


@dataclass(frozen=True)
class Result:
    """What one arm has reached at one budget with one seed.

    Attributes:
        accuracy: on the test images; ``held_out``: of the training that chose it, on the validation images.
        tried: among how many it was chosen; ``spent``: MACs of all that led to it, over all budgets for the pick.
    """

    images: str
    seed: int
    arm: str
    budget: float
    arch: str
    macs: int
    accuracy: float
    held_out: float | None
    tried: int
    spent: float


def settings(args: argparse.Namespace, seed: int, space: Path, plan: Plan) -> StudyConfig:
    """The search, and how all networks are trained in the end."""
    problem = PROBLEMS[args.images]
    return check_config(
        {
            "seed": seed,
            "threads": 1,
            "space": {"name": "good_and_poor", "path": str(space)},
            "data": {**problem.data, "path": str(args.path)},
            "evaluator": {**plan.evaluator, "batch_size": 64},
            "search": {"evaluations": list(plan.evaluations), "population": 12},
            "limits": {"macs": [0, problem.budgets[-1]]},
            "evolution": dict(plan.evolution),
            "deliver": {"epochs": 4, "batch_size": 64, "mixup": 0, "ema": 0},
        },
        "benchmarks.winner",
    )  # fmt: skip


@dataclass(frozen=True)
class Table:
    """What is needed to train and to judge networks of one seed.

    Attributes:
        chooser: measures on the validation images, ``judge`` on the test images.
    """

    args: argparse.Namespace
    store: Store
    run: StoredRun
    folder: Path
    plan: Plan
    chooser: Trainer
    judge: Trainer

    @property
    def one_each(self) -> float:
        """MACs of one training at every budget."""
        return PASSES * sum(self.budgets) * self.chooser.images_seen

    @property
    def budgets(self) -> tuple[float, float, float]:
        return PROBLEMS[self.args.images].budgets

    def settle(self, arm: str, budget: float, networks: Sequence[Contender], spent: float = 0.0) -> Result:
        """The best of ``networks`` by held-out images, and what it reaches on the test images."""
        chosen, held_out = networks[0], None
        if len(networks) > 1:
            first = [self.chooser.train(network, CHOOSING, _ignore) for network in networks]
            spent += sum(trained.training_macs for trained in first)
            place = max(range(len(first)), key=lambda i: (first[i].accuracy, -networks[i].macs))
            chosen, held_out = networks[place], first[place].accuracy
        return self.measure(arm, budget, [chosen] * TRAININGS, held_out, len(networks), spent)

    def measure(
        self, arm: str, budget: float, chosen: Sequence[Contender], held_out: float | None, tried: int, spent: float
    ) -> Result:
        """What networks reach on the test images on average, each trained with the seed of its place."""
        accuracies = [self.judge.train(one, JUDGING + place, _ignore).accuracy for place, one in enumerate(chosen)]
        arch, macs, seed = str(chosen[0].arch), chosen[0].macs, self.judge.config.seed
        return Result(self.args.images, seed, arm, budget, arch, macs, fmean(accuracies), held_out, tried, spent)


def _ignore(steps: int) -> None:
    """Progress that nobody looks at."""


@contextmanager
def table(args: argparse.Namespace, name: str, seed: int, plan: Plan = PLANS["search"]) -> Iterator[Table]:
    """The database ``name``, begun if it is not there."""
    folder = args.out / f"{args.images}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "space.json"
    path.write_text(space_for(PROBLEMS[args.images], plan.first).to_json())
    config = settings(args, seed, path, plan)
    images = load_dataset(config.data, config.device)
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        run = store.find_run("winner") or begin_run(store, "winner", config)
        chooser = Trainer.of(store, run, config, images)
        yield Table(
            args, store, run, folder, plan, chooser, replace(chooser, images=replace(images, validation=images.test))
        )


def search(args: argparse.Namespace) -> Iterator[Result]:
    """What is searched, and random networks for the same cost, seed by seed."""
    for seed in args.seeds:
        with table(args, str(seed), seed) as here, local_executor(1, 1) as evaluate:
            spent = yield from searched(PICK, here, evaluate)
            number = round(spent / here.one_each)
            for budget in here.budgets:
                task = Task(here.run.space, budget, here.run.config, number)
                drawn = [filled_contender(one, budget, "macs") for one in random_networks(task, number)]
                yield here.measure("a random network", budget, drawn[:TRAININGS], None, 1, 0.0)
                yield here.settle("the best of N random ones", budget, drawn)
                yield here.settle("the best of N uniform ones", budget, uniform_with_rows(task, number))
            yield from unchanged(UNCHANGED, here, evaluate)


def grow(args: argparse.Namespace) -> Iterator[Result]:
    """The same search in a space that begins small and grows, and in one that stays small."""
    for seed in args.seeds:
        with table(args, f"growing-{seed}", seed, PLANS["grow"]) as here, local_executor(1, 1) as evaluate:
            yield from searched(GROWN, here, evaluate)
            yield from unchanged(COARSE, here, evaluate)


def supernet(args: argparse.Namespace) -> Iterator[Result]:
    """The same space, searched by the scores of a supernet."""
    for seed in args.seeds:
        with table(args, f"supernet-{seed}", seed, PLANS["supernet"]) as here, local_executor(1, 1) as evaluate:
            yield from searched(JUDGED, here, evaluate)


def unchanged(arm: str, here: Table, evaluate: Evaluate) -> Iterator[Result]:
    """The picks of the control arm of a run."""
    fixed = control_settings(here.run.config, Control.FIXED)
    run = here.store.find_run("fixed") or begin_run(here.store, "fixed", fixed)
    yield from searched(arm, replace(here, run=run), evaluate)


def searched(arm: str, here: Table, evaluate: Evaluate) -> Generator[Result, None, float]:
    """The picks of a run; returns the MACs that they took."""
    shared = run_context(here.run, here.store, here.folder, evaluate, bar)
    take_over_first_round(shared)
    rounds = len(here.plan.evaluations)
    for n in range(1, rounds + 1):
        if n > len(here.store.rounds(here.run)) or not here.store.rounds(here.run)[n - 1].finished:
            run_round(shared, n)
    searching = run_macs(here.store, here.run, rounds, here.chooser.images) or 0.0
    spent = searching
    for budget in here.budgets:
        result = here.settle(arm, budget, finalists(here, budget), searching)
        spent += result.spent - searching
        yield result
    return spent


def finalists(here: Table, budget: float) -> list[Contender]:
    """The networks that the search favours at a budget, widened to it; where its front begins above, those that are slimmed."""
    row = here.store.rounds(here.run)[-1]
    cheapest = min(proposal.evaluation.macs for proposal in here.store.proposals(row))
    criteria = Criteria({"macs": max(budget, cheapest)}, fill=True, finalists=FINALISTS)
    return [at_budget(one, budget) for one in select_finalists(here.store, here.run, criteria)]


def uniform_with_rows(task: Task, number: int) -> list[Contender]:
    """Networks with one operation in all layers and the same row, or what is most like it, in all stages; drawn at random."""
    space, rng = task.space, Random(derive_seed(task.config.seed, "uniform network"))
    pairs = [(op, place) for op in uniform_operations(space) for place in range(len(RICH_ROWS))]
    found: list[Contender] = []
    for op, place in rng.sample(pairs, len(pairs)):
        arch = uniform_arch(space, op, place)
        with suppress(SpaceError):  # too many MACs at its narrowest
            network = coarsely_scaled(f"{op} everywhere", space, arch, task.macs, "macs")
            found.append(filled_contender(network, task.macs, "macs"))
        if len(found) == number:
            break
    return found


def at_budget(one: Selected, budget: float) -> Contender:
    """A network whose widths are scaled to a budget, by the coarsest steps that can be."""
    return filled_contender(coarsely_scaled("finalist", one.space, one.arch, budget, "macs"), budget, "macs")


def rivals(args: argparse.Namespace) -> Iterator[Result]:
    """Uniform and published networks: chosen once, judged with every seed."""
    for name in args.rivals.split(","):
        for budget in PROBLEMS[args.images].budgets:
            with table(args, "rivals", CHOOSER) as here, deterministic_torch(1):
                try:
                    networks = BASELINES[name](Task(here.run.space, budget, here.run.config, 1)).networks
                except SpaceError as error:
                    print(f"{name} is left out at {budget:,.0f} MACs: {error}")
                    continue
                networks = tuple(filled_contender(one, budget, "macs") for one in networks)
                for seed in args.seeds:
                    judge = replace(here.judge, config=here.run.config.model_copy(update={"seed": seed}))
                    yield replace(here, judge=judge).settle(name, budget, networks)


def show(args: argparse.Namespace) -> None:
    """Test accuracy of every arm, and the pick's difference from it, per budget and averaged over them; paired by seed. Then
    likewise for the pick of the space that grew."""
    rows = [json.loads(line) for path in sorted(args.out.glob("*.jsonl")) for line in path.read_text().splitlines()]
    if not rows:
        print(f"no results in {args.out} yet")
        return
    frame = pd.DataFrame(rows).drop_duplicates(["images", "seed", "arm", "budget"], keep="last")
    for images, part in frame.groupby("images"):
        places = [f"{budget / 1e3:.0f}k" for budget in sorted(set(part["budget"]))]
        pivot = part.pivot_table(index=["arm", "seed"], columns="budget", values="accuracy").dropna()
        arms = dict.fromkeys(pivot.index.get_level_values("arm"))
        apart = [arm for arm in arms if arm in (GROWN, COARSE)]
        for pick, others in (PICK, [arm for arm in arms if arm not in apart]), (GROWN, [*apart, PICK, UNCHANGED]):
            if pick in arms:
                show_arms(pivot, pick, others, f"{images}, {len(pivot.loc[pick])} seeds", places)


def show_arms(pivot: pd.DataFrame, pick: str, arms: Sequence[str], title: str, places: Sequence[str]) -> None:
    """A table of ``arms``; ``pivot``: accuracies by arm and seed, a column per budget."""
    print(f"\n**{title}**\n")
    print(f"| arm | {' | '.join(places)} | {pick} less it | {' | '.join(f'at {place}' for place in places)} |")
    print("| --- |" + " ---: |" * (2 * len(places) + 1))
    for arm in arms:
        here = pivot.loc[arm]
        away = 100 * (pivot.loc[pick] - here).dropna()
        gains = [interval(away.mean(axis=1)), *(interval(away[budget]) for budget in away)]
        cells = [*(f"{here[budget].mean():.2%}" for budget in here), *("" if arm == pick else gain for gain in gains)]
        print(f"| {arm} | {' | '.join(cells)} |")


def interval(values: pd.Series[float]) -> str:
    """Mean and half of Student's 95 % interval, in points."""
    return f"{values.mean():+.2f}" + (f" ± {student_half(values):.2f}" if len(values) > 1 else "")


ACTIONS = {"search": search, "grow": grow, "supernet": supernet, "rivals": rivals}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("do", choices=(*ACTIONS, "show"))
    parser.add_argument("--images", choices=tuple(PROBLEMS), default="fashion_mnist")
    parser.add_argument("--path", type=Path, help="the folder of the data, or an .npz file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--rivals", default="uniform,mobilenet_v2,efficientnet_b0", metavar="A,B", help="default: %(default)s"
    )
    parser.add_argument("--out", type=Path, default=Path("winner"))
    args = parser.parse_args()
    if args.do == "show":
        return show(args)
    if args.path is None:
        parser.error("--path is needed: the folder of the data, or an .npz file")
    args.out.mkdir(parents=True, exist_ok=True)
    first = args.seeds[0]
    with (args.out / f"{args.images}-{args.do}-{first}.jsonl").open("a") as file:
        for result in ACTIONS[args.do](args):
            file.write(json.dumps(asdict(result)) + "\n")
            file.flush()
            print(asdict(result), flush=True)
    return None


if __name__ == "__main__":
    main()
