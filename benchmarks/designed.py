"""Is a designed space better than the one that it was made of? Random networks of both, at equal cost, are trained alone.

The proof that PAD-NAS gives (https://arxiv.org/abs/2005.07564): the distribution of stand-alone accuracies, not the best of a
search, so that nothing but the space can be the reason. ``first`` is the space in which a run begins, ``designed`` what it kept
in the end, without what it would have tried next.

python benchmarks/designed.py --configs pad_nas_digits nse_digits autospace_digits --seeds 5
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean, quantiles
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.autospace import accuracies_at_equal_cost, interval

if TYPE_CHECKING:
    from spaces.space import SearchSpace

CONFIGS = ("pad_nas_digits", "nse_digits", "autospace_digits")


def main(argv: Sequence[str] | None = None) -> int:
    """Print, per configuration and seed, mean and lower quartile of both spaces, then the difference over seeds."""
    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("--configs", nargs="+", default=CONFIGS, help="presets or files (default: %(default)s)")
    command.add_argument("--seeds", type=int, default=3, help="default: %(default)s")
    command.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    command.add_argument("--networks", type=int, default=20, help="of each space and seed (default: %(default)s)")
    command.add_argument("--epochs", type=int, default=8, help="of a network alone (default: %(default)s)")
    command.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="another setting of the runs")
    args = command.parse_args(argv)
    import torch

    from studies.config import load_config

    torch.set_num_threads(1)
    print(
        "| run | seed | designed | first | quarter below: designed | first | MACs apart at most | minutes |\n"
        "| --- " + "| ---: " * 7 + "|"
    )
    for name in args.configs:
        means: list[tuple[float, float]] = []
        for seed in range(args.seeds):
            started = time.perf_counter()
            config = load_config(name, (*args.set, f"seed={seed}"))
            spaces = dict(zip(("designed", "first"), designed_and_first(name, args, seed), strict=True))
            found, apart = accuracies_at_equal_cost(config, spaces, args.networks, args.epochs)
            means.append((fmean(found["designed"]), fmean(found["first"])))
            low = [quantiles(found[space], n=4)[0] for space in ("designed", "first")]
            figures = " | ".join(f"{value:.4f}" for value in (*means[-1], *low))
            minutes = (time.perf_counter() - started) / 60
            print(f"| {name} | {seed} | {figures} | {apart:.1%} | {minutes:.1f} |", flush=True)
        designed, first = zip(*means, strict=True)
        print(f"\n{name}: designed less first, over {args.seeds} seeds: {interval(designed, first)}\n", flush=True)
    return 0


def designed_and_first(config: str, args: argparse.Namespace, seed: int) -> tuple[SearchSpace, SearchSpace]:
    """What a run has kept after its last round, and its first space, without what waits."""
    from analysis.frames import choices
    from evo.round.__main__ import main as evo_round
    from studies.database.store import open_store

    words = [word for setting in (*args.set, f"seed={seed}", "ground_truth.sample=0") for word in ("--set", setting)]
    with TemporaryDirectory() as folder:
        storage = f"sqlite:///{folder}/evo.db"
        options = ["--config", config, "--run", "run", "--storage", storage, "--quiet", *words]
        if code := evo_round([str(args.rounds), *options]):
            raise SystemExit(code)
        with open_store(storage) as store:
            rounds = store.rounds(store.run("run"))
            last = rounds[args.rounds - 1]
            told = choices(store, store.run("run"), args.rounds)
    untried = told[(told["round"] == args.rounds) & (told["fate"] == "added") & told["rating"].isna()]
    waits = set(zip(untried["layer"], untried["op"], strict=True))
    assert last.next_space is not None
    designed = last.next_space.replace_layers(
        replace(layer, candidates=tuple(op for op in layer.candidates if (name, op) not in waits), pending=())
        for name, layer in zip(last.next_space.names, last.next_space.layers, strict=True)
    )
    return designed, rounds[0].space.replace_layers(replace(layer, pending=()) for layer in rounds[0].space.layers)


if __name__ == "__main__":
    sys.exit(main())
