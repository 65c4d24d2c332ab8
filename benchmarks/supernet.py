"""How fast supernets train and score, and what zero-initialised branches are worth, measured in one run.

    python -m benchmarks.supernet
    python -m benchmarks.supernet --device cuda --markdown

Steps: one path of a supernet beside the same network written by hand. Prefixes: layers that scoring populations runs,
against one architecture after the other, on scikit-learn's digits. Times on a CPU are of CPU time and on one thread.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from random import Random
from statistics import mean, median

import optuna
import torch

from benchmarks.comparison import Table
from benchmarks.supernet_steps import SIZES, Size, clock, time_steps
from evo.console import bar, say
from evo.data.loading import load_dataset
from evo.data.source import Images, Source
from evo.evaluators import with_costs
from evo.evaluators.oneshot.paths import uniform_paths
from evo.evaluators.oneshot.scoring import Scorer
from evo.strategy.generations import SearchTask, search_round
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from spaces.space import SearchSpace
from studies.config import DataSection, LimitsSection, SearchSection
from studies.records import Evaluation, Proposal, Round


def train_supernet(
    space: SearchSpace, images: Source, epochs: int, seed: int = 0, *, zero_init: bool = True
) -> Supernet:
    """A supernet of ``space`` after a short training on uniform paths."""
    torch.manual_seed(seed)
    net = Supernet(space, zero_init=zero_init)
    train(net, images, Schedule(epochs, 64, 0.2), seed=seed, paths=uniform_paths(space))
    return net


def scorer(net: Supernet, images: Images) -> Scorer:
    """As the one-shot evaluator sets it up: calibration on training images, batches of validation ones."""
    return Scorer(net, [x for x, _ in images.train.batches(512)][:1], images.validation, 512)


# -- zero-initialised branches -----------------------------------------------------------------------------------------


def zero_init(images: Images, size: Size) -> Table:
    """One-shot accuracy of random architectures after a short training, with and without."""
    space = load_space("digits")
    rows = []
    for label, zero in (("zero-initialised", True), ("as drawn", False)):
        medians = []
        for seed in range(size.seeds):
            net = train_supernet(space, images.train, size.epochs, seed, zero_init=zero)
            rng = Random(seed)
            scores = scorer(net, images)([space.sample(rng) for _ in range(size.population)])
            medians.append(median(score.accuracy for score in scores))
        rows.append((label, f"{mean(medians):.3f}", f"{min(medians):.3f} to {max(medians):.3f}"))
    title = (
        f"Median one-shot accuracy of {size.population} random architectures, digits, {size.epochs} epochs, "
        f"{size.seeds} seeds"
    )
    return Table(title, ("last normalisation of a branch", "mean over seeds", "least to most"), tuple(rows))


# -- prefixes ----------------------------------------------------------------------------------------------------------


def search_generations(space: SearchSpace, net: Supernet, images: Images, size: Size) -> list[list[Architecture]]:
    """The generations of a round's search by the supernet's scores, and a population that has converged."""
    table, judge, generations = cost_table(space), scorer(net, images), []

    def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
        generations.append(list(archs))
        scores = judge(archs)
        answers = [
            Evaluation(a, "shared", s.accuracy, macs=0, params=0, nll=s.nll) for a, s in zip(archs, scores, strict=True)
        ]
        return with_costs(answers, table)

    settings = SearchSection(population=20, evaluations=size.trials)
    proposals, _ = search_round(
        SearchTask(space, table, settings, LimitsSection(), seed=0), measure, lambda generation: None
    )
    return [*generations, mutants(space, proposals, size.population)]


def mutants(space: SearchSpace, proposals: Sequence[Proposal], population: int) -> list[Architecture]:
    """Different architectures: the front, and such as are one gene away from it."""
    rng = Random(1)
    front = [e.arch for e in Round(1, space, tuple(p.evaluation for p in proposals), {}, "macs").front]
    converged = dict.fromkeys(front[:population])
    while len(converged) < population:
        genes, i = list(rng.choice(front).genes), rng.randrange(len(space.layers))
        genes[i] = rng.choice(space.layers[i].genes)
        converged.setdefault(Architecture(tuple(genes)))
    return list(converged)


def prefixes(images: Images, size: Size) -> Table:
    """Layers run and seconds, one architecture after the other and by the trie."""
    whole = load_space("nas_bench_macro", channels=images.channels, size=images.size)
    space, rng, device = scale_widths(whole, 0.25), Random(0), images.train.device
    net = train_supernet(space, images.train, size.epochs)
    *generations, converged = search_generations(space, net, images, size)
    cases = {
        f"{size.population} random": [[space.sample(rng) for _ in range(size.population)]],
        f"{size.population} converged": [converged],
    }
    for part in (generations[: len(generations) * 2 // 5], generations):
        cases[f"a round of {sum(map(len, part))}"] = part
    rows = []
    for label, calls in cases.items():
        started = clock(device)
        one_by_one = [scorer(net, images)([arch])[0] for archs in calls for arch in archs]
        naive = clock(device) - started
        together = scorer(net, images)
        started = clock(device)
        scores = [score for archs in calls for score in together(archs)]
        seconds = clock(device) - started
        assert scores == one_by_one
        counts = (f"{together.naive:,}", f"{together.computed:,}", f"{together.naive / together.computed:.2f}")
        rows.append((label, *counts, f"{naive:.1f}", f"{seconds:.1f}", f"{naive / seconds:.2f}"))
    title = (
        f"Scoring with shared prefixes: NAS-Bench-Macro at a quarter of its channels, {len(space.layers)} layers, digits; "
        "rounds in generations of 20, prefixes kept between them; all scores equal bit for bit"
    )
    header = ("architectures", "layers, naive", "layers, trie", "saved", "s, naive", "s, trie", "faster")
    return Table(title, header, tuple(rows))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.supernet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--compile", action="store_true", help="torch.compile as well, which takes minutes")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: shows that it runs, and nothing else")
    parser.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    torch.set_num_threads(1)
    device = torch.device(args.device)
    size = SIZES["smoke" if args.smoke else args.device]
    images = load_dataset(DataSection(name="digits", validation_fraction=0.35, max_images=size.images), args.device)
    with bar("measuring", 3) as advance:
        table, below = time_steps(size, device, compiled=args.compile)
        advance(1)
        tables = [table, zero_init(images, size)]
        advance(1)
        tables.append(prefixes(images, size))
        advance(1)
    for table in tables:
        say(table.markdown() + "\n") if args.markdown else table.show()
    say(below)


if __name__ == "__main__":
    main()
