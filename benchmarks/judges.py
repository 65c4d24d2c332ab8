"""Does a supernet favour identities, and what mends it?

    python -m benchmarks.judges --data FOLDER_WITH_FASHION_MNIST --seeds 0 1

Networks spread over cost and operations are trained alone on Fashion-MNIST at 14 pixels, and supernets score them. Each way to
train a supernet costs as many multiply-accumulates. The same accuracies alone stand against all of them. What was measured is
kept in ``--out``; the same command again continues.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any
from unittest.mock import patch

import numpy as np

from analysis.ranking import Agreement, Witness, agreement, truth_of
from analysis.ranking.calibration import calibrate, cheap
from benchmarks.comparison import Table
from evo.evaluators import FitContext
from evo.evaluators.oneshot.evaluator import oneshot
from evo.evaluators.oneshot.paths import SAMPLING
from evo.evaluators.standalone import scratch
from evo.strategy.design import covering_networks
from evo.strategy.nsga2 import CandidateFilter
from evo.training.loop import Paths
from spaces.architecture import IDENTITIES, Architecture
from spaces.costs.table import cost_table
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from studies.config import StudyConfig, check_config


@dataclass(frozen=True)
class Size:
    """How much work: images in all; epochs of a uniform supernet, of a network alone; networks trained alone."""

    images: int
    epochs: int
    alone: int
    networks: int


SIZES = {"smoke": Size(300, 1, 1, 6), "cpu": Size(4_000, 16, 10, 24)}
BATCH, WIDTH = 64, 0.25
"""Images per step; channels of the space as a share of ``mobile_28``'s."""

TRAININGS = (0, 1)
"""Seeds by which every network is trained alone."""

OPERATIONS = tuple(f"mb_k{kernel}_e{expansion}" for expansion in (1, 3, 6) for kernel in (3, 5))
"""Candidates of every layer, beside the identity where there is one."""


@dataclass(frozen=True)
class Arm:
    """A way to train a supernet, at ``cost`` times the multiply-accumulates of the first."""

    name: str
    sampling: str
    cost: float = 1.0


ARMS = (
    Arm("uniform", "uniform"),
    Arm("uniform, half as long", "uniform", 0.5),
    Arm("depth", "depth"),
    Arm("sandwich", "sandwich"),
)


def study(size: Size, data: Path, seed: int, evaluator: dict[str, Any]) -> StudyConfig:
    """One arm's settings."""
    images = {"name": "fashion_mnist", "path": str(data), "size": 14, "max_images": size.images}
    return check_config(
        {
            "seed": seed,
            "device": "cpu",
            "space": {"name": "mobile_28"},
            "data": {**images, "validation_fraction": 0.25, "augment": ("flip",)},
            "evaluator": {"batch_size": BATCH, **evaluator},
            "evolution": {"method": "fixed"},
        },
        "benchmarks.judges",
    )


def searched_space() -> SearchSpace:
    """``mobile_28`` at 14 pixels, with fewer channels and cheaper operations, so that costs range 34-fold: nine layers, six of
    which may be an identity."""
    space = scale_widths(load_space("mobile_28", size=14), WIDTH)
    layers = (replace(layer, candidates=(*OPERATIONS, *(IDENTITIES & set(layer.candidates)))) for layer in space.layers)
    return replace(space, layers=tuple(layers))


def networks(size: Size, space: SearchSpace) -> list[Architecture]:
    """What is trained alone: one half spread over cost and operations, the other over depth, which else goes with cost."""
    half, rng = size.networks // 2, Random(0)
    spread = covering_networks(CandidateFilter(space, cost_table(space), {}), half, rng, "macs")
    return spread + [arch for _ in range(size.networks - half) for (arch,) in depth_paths(space)(rng)]


def epochs_of(arm: Arm, size: Size, space: SearchSpace) -> int:
    """Epochs in which the arm's steps multiply as often as a uniform supernet's, times its cost."""
    table = cost_table(space)

    def per_step(sampling: str) -> float:
        paths, rng = SAMPLERS[sampling](space), Random(0)
        steps = [[arch for (arch,) in paths(rng)] for _ in range(500)]
        return float(sum(table.count(step)[:, 0].sum() for step in steps))

    return max(1, round(size.epochs * arm.cost * per_step("uniform") / per_step(arm.sampling)))


# -- ways to train a supernet that the tool does not offer, since they did not help -------------------------------------


def depth_paths(space: SearchSpace) -> Paths:
    """One path per step: how many of the layers that may be an identity are one is drawn uniformly, then which ones, then
    the other operations. A uniform path of many candidates has few identities, and shallow networks are hardly trained."""
    return partial(_draw_depth, space)


def _draw_depth(space: SearchSpace, rng: Random) -> Sequence[tuple[Architecture]]:
    removable = [i for i, layer in enumerate(space.layers) if IDENTITIES & set(layer.genes)]
    removed = set(rng.sample(removable, rng.randint(0, len(removable))))
    genes = [_draw_gene(layer.genes, i in removed, rng) for i, layer in enumerate(space.layers)]
    return ((Architecture(tuple(genes)),),)


def _draw_gene(genes: Sequence[str], removed: bool, rng: Random) -> str:
    """An identity where the layer is removed, else another gene, where there is one."""
    return rng.choice([gene for gene in genes if (gene in IDENTITIES) == removed] or list(genes))


SANDWICHED = 2
"""Random paths of a step beside the largest and the smallest one (BigNAS)."""


def sandwich_paths(space: SearchSpace) -> Paths:
    """The path of most MACs, that of fewest, and two uniform ones per step (sandwich rule, https://arxiv.org/abs/1903.05134;
    two random ones as in BigNAS, https://arxiv.org/abs/2003.11142)."""
    layers = cost_table(space).layers
    by_cost = [sorted(layer.genes, key=lambda gene, layer=layer: float(layer.cost_of(gene)[0])) for layer in layers]  # type: ignore[misc]
    ends = tuple(Architecture(tuple(genes[end] for genes in by_cost)) for end in (-1, 0))
    return partial(_draw_sandwich, space, ends)


def _draw_sandwich(space: SearchSpace, ends: Sequence[Architecture], rng: Random) -> Sequence[tuple[Architecture]]:
    return tuple((arch,) for arch in (*ends, *(space.sample(rng) for _ in range(SANDWICHED))))


SAMPLERS: dict[str, Callable[[SearchSpace], Paths]] = SAMPLING | {"depth": depth_paths, "sandwich": sandwich_paths}


# -- measuring, kept in a file ----------------------------------------------------------------------------------------


def measure_alone(size: Size, args: argparse.Namespace, space: SearchSpace, seed: int) -> list[dict[str, Any]]:
    """One row per network: its cost, and what it reaches alone."""
    config = study(size, args.data, seed, {"kind": "scratch", "epochs": size.alone})
    judge = scratch(config, space).fit(space, FitContext(1, seed, cost_table(space), args.out))
    rows = []
    for i, arch in enumerate(networks(size, space)):
        (answer,) = judge([arch])
        rows.append({"arch": str(arch), "macs": answer.macs, "alone": answer.accuracy, "nll": answer.nll})
        print(f"alone {i}: {answer.macs:.0f} {answer.accuracy:.4f}", flush=True)
    return rows


def measure_supernet(size: Size, args: argparse.Namespace, space: SearchSpace, arm: Arm, seed: int) -> dict[str, Any]:
    """Scores of the networks by one supernet, and what it took."""
    epochs, started = epochs_of(arm, size, space), time.process_time()
    folder = args.out / "weights" / arm.sampling
    folder.mkdir(parents=True, exist_ok=True)
    config = study(size, args.data, seed, {"kind": "oneshot", "epochs": epochs})
    with patch.dict(SAMPLING, uniform=SAMPLERS[arm.sampling]):
        judge = oneshot(config, space).fit(space, FitContext(1, seed, cost_table(space), folder))
    answers = judge(networks(size, space))
    print(f"{arm.name}, seed {seed}: {epochs} epochs, {time.process_time() - started:.0f} s", flush=True)
    return {
        "epochs": epochs,
        "seconds": time.process_time() - started,
        "accuracy": [answer.accuracy for answer in answers],
        "nll": [answer.nll for answer in answers],
    }


def kept(path: Path, measure: Any) -> Any:
    """What ``measure`` gave when it was first asked."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measure()))
    return json.loads(path.read_text())


# -- the report -------------------------------------------------------------------------------------------------------


def report(size: str, folder: Path, seeds: Sequence[int]) -> Table:
    """How each supernet's scores rank, what a layer more changes at equal MACs, and how the calibrated scores rank."""
    alone = [json.loads((folder / f"{size}-alone-{seed}.json").read_text()) for seed in TRAININGS]
    truth = [mean(row["alone"] for row in both) for both in zip(*alone, strict=True)]
    macs = [row["macs"] for row in alone[0]]
    first, second = ([row["alone"] for row in rows] for rows in alone)
    lines = [
        ("one training against another", "", tau(agreement(first, second, macs)), "", "", ""),
        ("MACs alone", "", tau(agreement(macs, truth, macs)), "", "", ""),
    ]
    for arm, seed in product(ARMS, seeds):
        scored = json.loads(path_of(folder, size, arm, seed).read_text())
        witnesses = [
            Witness(row["arch"], row["macs"], accuracy, nll, alone)
            for row, accuracy, nll, alone in zip(alone[0], scored["accuracy"], scored["nll"], truth, strict=True)
        ]
        found = calibrate("scratch", witnesses)
        assert found is not None
        raw = truth_of("scratch", witnesses)
        assert raw.nll is not None
        lines.append(
            (
                f"{arm.name}, seed {seed}: {scored['epochs']} epochs, {scored['seconds']:.0f} s",
                bias(witnesses),
                tau(raw.accuracy),
                tau(raw.nll),
                tau(found.truth().accuracy),
                found.estimate.name,
            )
        )
    header = ("supernet", "points per layer", "tau", "by log-likelihood", "calibrated", "from")
    return Table(f"{len(truth)} networks, each trained alone {len(alone)} times", header, tuple(lines))


def bias(witnesses: Sequence[Witness]) -> str:
    """By how many points a score exceeds the truth more for each layer that is no identity, at equal logarithm of MACs; and the
    standard error. A supernet that favours identities has a negative number."""
    known = [cheap(Architecture.parse(w.arch), w.macs, w.one_shot, w.nll) for w in witnesses]
    x = np.array([[1.0, np.log(k.macs), k.depth] for k in known])
    y = np.array([100 * (w.one_shot - w.stand_alone) for w in witnesses])
    weights, residual, *_ = np.linalg.lstsq(x, y)
    error = np.sqrt(np.linalg.inv(x.T @ x)[2, 2] * residual[0] / (len(y) - 3))
    return f"{weights[2]:+.2f} +- {error:.2f}"


def tau(found: Agreement) -> str:
    """Kendall's tau with its interval."""
    if found.tau is None or found.interval is None:
        return "-"
    return f"{found.tau:.2f} ({found.interval[0]:.2f} to {found.interval[1]:.2f})"


def path_of(folder: Path, size: str, arm: Arm, seed: int) -> Path:
    """Where a supernet's scores are kept."""
    return folder / f"{size}-{arm.name.replace(', ', '-').replace(' ', '-')}-{seed}.json"


def main() -> None:
    """Measure what was not measured before; print the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.judges", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with Fashion-MNIST")
    parser.add_argument("--size", choices=SIZES, default="cpu")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], help="of the supernets")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    parser.add_argument("--only", choices=["alone", "supernets"], help="measure one part, print no table")
    parser.add_argument(
        "--out", type=Path, default=Path("judges"), help="folder for what was measured (default: judges)"
    )
    args = parser.parse_args()
    size, space = SIZES[args.size], searched_space()
    if args.only != "supernets":
        for seed in TRAININGS:
            kept(args.out / f"{args.size}-alone-{seed}.json", lambda seed=seed: measure_alone(size, args, space, seed))
    for seed in args.seeds if args.only != "alone" else ():
        for arm in ARMS:
            kept(
                path_of(args.out, args.size, arm, seed),
                lambda arm=arm, seed=seed: measure_supernet(size, args, space, arm, seed),
            )
    if args.only is None:
        table = report(args.size, args.out, args.seeds)
        print(table.markdown()) if args.markdown else table.show()


if __name__ == "__main__":
    main()
