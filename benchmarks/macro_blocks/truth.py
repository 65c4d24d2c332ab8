"""The published accuracies of NAS-Bench-Macro: one row per network, whatever its spellings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from evo.data.paths import candidate_paths
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace, canonical_arch

TABLE = "nas/nas_bench_macro_cifar10.csv.gz"


def read_truth(path: Path) -> pd.DataFrame:
    """By network (``Architecture``, identities last): ``accuracy``, from 0 to 1, the mean over trainings; ``macs``.

    Raises:
        SystemExit: there is no such table.
    """
    found = next((place for place in candidate_paths(str(path)) if place.is_file()), None)
    if found is None:
        raise SystemExit(f"{path}: no such table here, nor below the folder EVO_DATA; give another: --table FILE")
    published = pd.read_csv(found, dtype={"arch": str})
    return one_row_per_network(published["arch"], published["mean_acc"] / 100, load_space("nas_bench_macro"))


def one_row_per_network(spellings: pd.Series[str], accuracies: pd.Series[float], space: SearchSpace) -> pd.DataFrame:
    """The mean accuracy of all spellings of a network, and its MACs."""
    archs = [canonical_arch(spelled(digits, space), space) for digits in spellings]
    frame = pd.DataFrame({"arch": archs, "accuracy": list(accuracies)})
    networks = frame.groupby("arch", sort=False)[["accuracy"]].mean()
    networks["macs"] = cost_table(space).count(list(networks.index))[:, 0]
    return networks


def spelled(digits: str, space: SearchSpace) -> Architecture:
    """The architecture of a row: each digit is the place of a layer's operation."""
    return Architecture(tuple(layer.candidates[int(digit)] for digit, layer in zip(digits, space.layers, strict=True)))
