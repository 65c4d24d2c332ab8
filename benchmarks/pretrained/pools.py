"""Does a pool pay whose operations are made on demand, beside all of them made at once, and beside none, at the same cost?

    python -m benchmarks.pretrained.pools run --images cifar10 --path FILE --seeds 0 1 2 --out DIR
    python -m benchmarks.pretrained.pools show --out DIR

All arms are runs of three rounds of the preset ``pretrained``, with the same seed. The pool has operations that no cut gives.
``on_demand``: each round but the first makes three of them, wherever they would improve the front most, and trains each for
eight epochs. ``at_once``: the first round makes all of them in all layers, and trains each for as many epochs as the same cost
allows, at least one. ``none``: there is no pool. ``longer``: there is none either, and the whole network is fine-tuned for as
much longer as the pool of ``on_demand`` costs. The picks at 40 and 25 % of the whole network's multiply-accumulates are
fine-tuned and tested as in ``benchmarks.pretrained``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.pretrained.arms import ours, whole
from benchmarks.pretrained.bench import Bench, Result, bench, images_seen
from benchmarks.pretrained.data import DATA, NEED_NO_PATH
from benchmarks.pretrained.table import show
from evo.alone.trainer import PASSES

ROUNDS, BUDGETS = 3, (0.4, 0.25)

OPERATIONS = ("mb_k3_e1_relu6", "mb_k5_e1_relu6", "dual_k3_e1_relu6")

PER_ROUND, EPOCHS = 3, 8

POOL = f"evaluator.pool.operations={list(OPERATIONS)}"

ARMS = ("on_demand", "at_once", "none", "longer")


def run(args: argparse.Namespace) -> None:
    """Whatever results are missing, each written at once; ``on_demand`` comes first, for the others follow its cost."""
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        path = args.out / f"{args.images}-{seed}.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        done, pool = {(row["arm"], row["budget"]) for row in rows}, args.out / f"{args.images}-{seed}.pool"
        for arm in ARMS:
            missing = [share for share in BUDGETS if (arm, share) not in done]
            if not missing:
                continue
            overrides = [*args.set, *_settings(arm, json.loads(pool.read_text()) if pool.exists() else {})]
            with bench(args.images, args.path, args.out / arm, seed, overrides, ROUNDS) as here:
                if arm == ARMS[0]:
                    pool.write_text(json.dumps(_cost_of_pool(here)))
                for result in _results(here, arm, missing, done):
                    line = json.dumps(asdict(result))
                    print(line, flush=True)
                    with path.open("a") as file:
                        file.write(line + "\n")


def _results(here: Bench, arm: str, missing: Sequence[float], done: Collection[tuple[str, float]]) -> Iterator[Result]:
    if arm == ARMS[0] and ("whole", 1.0) not in done:
        yield here.finish("whole", 1.0, whole(here, here.whole_macs))
    for share in missing:
        yield here.finish(arm, share, ours(here, share * here.whole_macs))


def _cost_of_pool(here: Bench) -> Mapping[str, float]:
    """How many operations wait at first and how many were made; epochs of the fine-tuning, and as many as making costs."""
    rows = here.store.rounds(here.run)[:ROUNDS]
    made = [row.stats.get("made", {"operations": 0, "macs": 0.0}) for row in rows]
    section = here.config.evaluator
    seen = images_seen(len(here.images.train), section.batch_size, 1)  # type: ignore[attr-defined]
    return {
        "waiting": sum(len(layer.pending) for layer in here.run.space.layers),
        "made": sum(one["operations"] for one in made),
        "tuned": section.epochs,  # type: ignore[attr-defined]
        "epochs": sum(one["macs"] for one in made) / (PASSES * here.whole_macs * seen),
    }


def _settings(arm: str, pool: Mapping[str, float]) -> list[str]:
    evaluations = ["search.evaluations=[16, 8, 8]"]
    if arm == "on_demand":
        return [*evaluations, POOL, f"evaluator.pool.epochs={EPOCHS}", f"evolution.make={PER_ROUND}"]
    if arm == "at_once":
        epochs = max(1, round(EPOCHS * pool["made"] / pool["waiting"]))
        return [*evaluations, POOL, f"evaluator.pool.epochs={epochs}", "evaluator.pool.at_once=true"]
    return [*evaluations, *([f"evaluator.epochs={round(pool['tuned'] + pool['epochs'])}"] if arm == "longer" else [])]


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pretrained.pools", description=__doc__, formatter_class=formatter
    )
    parser.add_argument("do", choices=("run", "show"))
    parser.add_argument("--out", type=Path, required=True, help="the folder of everything that is kept")
    parser.add_argument("--images", choices=tuple(DATA), default="cifar10")
    parser.add_argument("--path", type=Path, help="the folder of the images, or an .npz file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY=VALUE", help="other settings of all arms")
    args = parser.parse_args()
    if args.do == "show":
        return show(args.out, ARMS[0])
    if args.path is None and args.images not in NEED_NO_PATH:
        parser.error("--path is needed: the folder of the images, or an .npz file")
    return run(args)


if __name__ == "__main__":
    main()
