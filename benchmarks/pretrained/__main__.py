"""Is what the tool cuts out of a trained network better than what rivals make of it, at the same cost?

    python -m benchmarks.pretrained run --images sign_digits --path DIR --seeds 0 1 2 --out DIR
    python -m benchmarks.pretrained show --out DIR

EfficientNet-Lite0 with ImageNet's weights is fine-tuned on images of 96 pixels by a run of the preset ``pretrained``. At 60, 40
and 25 % of its multiply-accumulates, the run's pick (``ours``) is compared with the same share of channels in all layers
(``uniform``; ``uniform_stages``: of stages, too), the whole network on smaller images (``input_size``), Torch-Pruning,
NVIDIA's FastNAS, and with the pick trained from fresh weights, as long and three times as long (``scratch``, ``scratch3``). All
but these begin with the same fine-tuned weights (``whole``), are fine-tuned by the recipe of a delivery, with the same seed, on
training and validation images, and tested once; ``whole+`` is the whole network with that training. What chooses sees the
validation images only.

Images: ``sign_digits`` (a folder per class), ``sign_digits_15`` (15 of its images per class to train and validate on, drawn by
the seed), ``elpv`` (solar cells, from the package; no path), ``cifar10`` (an .npz of x_train, y_train, x_test, y_test),
``fashion_mnist`` (the folder of its four files).

The rivals are installed beside the project's packages, which they must not replace:

    pip install --no-deps torch-pruning==1.6.1 "nvidia-modelopt==0.47.*" torchprofile==0.0.4 elpv-dataset==1.0.0.post1
    pip install --no-deps omegaconf "antlr4-python3-runtime==4.9.*" huggingface_hub httpx2 pulp regex

Everything is kept in ``--out``, one database and one file of results per images and seed: the same command continues, and
several may run beside each other with other seeds or images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from benchmarks.pretrained.arms import CUT, WHOLE
from benchmarks.pretrained.bench import Bench, Result, bench
from benchmarks.pretrained.data import DATA, NEED_NO_PATH
from benchmarks.pretrained.table import show
from spaces.errors import UserError

BUDGETS = (0.6, 0.4, 0.25)
"""Shares of the whole network's multiply-accumulates."""


def run(args: argparse.Namespace) -> None:
    """Whatever results are missing, each written at once."""
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds:
        path = args.out / f"{args.images}-{seed}.jsonl"
        done = (
            {(row["arm"], row["budget"]) for row in map(json.loads, path.read_text().splitlines())}
            if path.exists()
            else ()
        )
        wanted = [(arm, share) for arm, share in _wanted(args) if (arm, share) not in done]
        if not wanted:
            continue
        with bench(args.images, args.path, args.out, seed, _overrides(args)) as here, path.open("a") as file:
            for result in _results(replace(here, fastnas_step=args.fastnas_step), wanted):
                file.write(json.dumps(asdict(result)) + "\n")
                file.flush()
                print(asdict(result), flush=True)


def _wanted(args: argparse.Namespace) -> Iterator[tuple[str, float]]:
    for arm in args.arms:
        yield from ((arm, share) for share in ((1.0,) if arm in WHOLE else args.budgets))


def _results(here: Bench, wanted: list[tuple[str, float]]) -> Iterator[Result]:
    whole = here.whole_macs
    for arm, share in wanted:
        try:
            made = {**WHOLE, **CUT}[arm](here, share * whole)
        except UserError as error:
            print(f"{arm} is left out at {share:.0%}: {error}", flush=True)
            continue
        yield here.finish(arm, share, made)


def _overrides(args: argparse.Namespace) -> list[str]:
    asked = list(args.set)
    if args.epochs is not None:
        asked.append(f"deliver.epochs={args.epochs}")
    if args.evaluations is not None:
        asked.append(f"search.evaluations={args.evaluations}")
    return asked


def main() -> None:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.pretrained", description=__doc__, formatter_class=formatter
    )
    parser.add_argument("do", choices=("run", "show"))
    parser.add_argument("--out", type=Path, required=True, help="the folder of everything that is kept")
    parser.add_argument("--images", choices=tuple(DATA), default="sign_digits")
    parser.add_argument("--path", type=Path, help="the folder of the images, or an .npz file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=(*WHOLE, *CUT), default=[*WHOLE, *CUT])
    parser.add_argument("--budgets", type=float, nargs="+", default=BUDGETS, help="shares of the whole network's MACs")
    parser.add_argument("--epochs", type=int, help="of the last fine-tuning; default: the preset's")
    parser.add_argument("--evaluations", type=int, nargs="+", help="networks measured per round; default: the preset's")
    parser.add_argument(
        "--fastnas-step",
        type=float,
        default=0.05,
        help="distance of the shares that FastNAS tries; default: its own, %(default)s",
    )
    parser.add_argument("--set", nargs="+", default=(), metavar="KEY=VALUE", help="other settings of the preset")
    args = parser.parse_args()
    if args.do == "show":
        return show(args.out)
    if args.path is None and args.images not in NEED_NO_PATH:
        parser.error("--path is needed: the folder of the images, or an .npz file")
    return run(args)


if __name__ == "__main__":
    main()
