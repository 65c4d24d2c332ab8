"""The benchmark of blocks on NAS-Bench-Macro: spellings are one network, losses add up, and taus are what they are called."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.macro_blocks import __main__ as command
from benchmarks.macro_blocks.blocks import train_blocks
from benchmarks.macro_blocks.figures import pick, summed_losses, tau_within_bins, taus
from benchmarks.macro_blocks.results import read_results
from benchmarks.macro_blocks.truth import one_row_per_network
from spaces.architecture import Architecture
from spaces.library.named_spaces import load_space
from spaces.space import canonical_arch

SPACE = load_space("nas_bench_macro")


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """All networks; the accuracy of a spelling is made up of its digits, so that spellings of one network differ."""
    spellings = ["".join(digits) for digits in product("012", repeat=8)]
    accuracies = [sum(int(digit) * (i + 1) for i, digit in enumerate(digits)) / 100 for digits in spellings]
    return one_row_per_network(pd.Series(spellings), pd.Series(accuracies), SPACE)


def test_an_identity_commutes_inside_its_stage(truth: pd.DataFrame) -> None:
    """Two layers of which one is an identity have two spellings, and one accuracy: the mean."""
    assert len(truth) == 3969
    one = Architecture.parse("proj|id|proj|mb_k5_e6_relu6|id|proj|id|id")
    assert canonical_arch(one, SPACE) == one
    assert truth.loc[[one], "accuracy"].item() == pytest.approx((2 * 4 + 2 * 5) / 2 / 100)
    assert truth["macs"].min() == 7_713_280


def test_losses_of_blocks_add_up() -> None:
    losses = [
        {
            "|".join(genes): place + 100.0**block
            for place, genes in enumerate(product(*(layer.genes for layer in layers)))
        }
        for block, layers in enumerate(SPACE.layers[start:stop] for start, stop in SPACE.blocks)
    ]
    assert [len(known) for known in losses] == [9, 27, 27]
    first, last = (Architecture(tuple(layer.genes[place] for layer in SPACE.layers)) for place in (0, -1))
    assert summed_losses([first, last], losses, SPACE).tolist() == [10101, 10101 + 8 + 26 + 26]


def test_what_macs_say_already_is_partialled_out() -> None:
    """By Kendall's formula, from the three taus of pairs counted one by one; losses that are MACs know nothing more."""
    rng = np.random.default_rng(0)
    macs, accuracy = rng.random(60), rng.random(60)
    losses = -0.7 * macs - 0.3 * accuracy + 0.3 * rng.random(60)
    found = taus(accuracy, macs, losses)
    assert found.loss == pytest.approx(counted(-losses, accuracy))
    assert found.macs == pytest.approx(counted(macs, accuracy))
    same, own, beside = counted(-losses, macs), counted(-losses, accuracy), counted(macs, accuracy)
    expected = (own - same * beside) / ((1 - same**2) * (1 - beside**2)) ** 0.5
    assert found.partial == pytest.approx(expected)
    assert taus(accuracy, macs, -macs).partial == 0


def counted(x: np.ndarray, y: np.ndarray) -> float:
    signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in combinations(range(len(x)), 2)]
    return float(np.mean(signs))


def test_only_pairs_of_one_bin_count() -> None:
    """Two bins of three: inside, five of six pairs are in order; between them all are not."""
    macs = np.array([1, 2, 3, 11, 12, 13.0])
    accuracy = np.array([0.7, 0.8, 0.9, 0.1, 0.2, 0.3])
    scores = np.array([1, 2, 3, 11, 13, 12.0])
    assert tau_within_bins(scores, accuracy, macs, bins=2) == pytest.approx((5 - 1) / 6)


def test_a_budget_buys_the_network_that_loses_least() -> None:
    truth = pd.DataFrame({"accuracy": [0.5, 0.9, 0.7, 0.8, 0.99], "macs": [1.0, 2.0, 3.0, 4.0, 9.0]})
    found = pick(truth, np.array([5.0, 3.0, 1.0, 2.0, 0.0]), budget=4.0)
    assert found is not None
    assert (found.count, found.least_loss, found.rank) == (4, 0.7, 3)
    assert (found.best, found.median, found.dearest) == (0.9, 0.75, 0.8)
    assert pick(truth, np.zeros(5), budget=0.5) is None


def test_a_seed_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (60, 8, 8, 3), np.uint8), np.arange(60) % 10
    np.savez(tmp_path / "images.npz", x_train=x, y_train=y, x_test=x[::-1], y_test=y[::-1])
    spellings = ["".join(digits) for digits in product("012", repeat=8)]
    table = pd.DataFrame({"arch": spellings, "mean_acc": rng.uniform(80, 95, len(spellings))})
    table.to_csv(tmp_path / "table.csv", index=False)
    words = ["--table", str(tmp_path / "table.csv"), "--out", str(tmp_path / "out")]
    small = {
        "seeds": 0,
        "epochs": 1,
        "teacher-epochs": 1,
        "width": 0.1,
        "teacher-width": 1,
        "pixels": 8,
        "batch-size": 16,
    }
    flags = [word for name, value in small.items() for word in (f"--{name}", str(value))]
    run = ["macro_blocks", "run", "--images", str(tmp_path / "images.npz"), *words, *flags]
    monkeypatch.setattr(sys, "argv", run)
    command.main()
    (result,) = read_results(tmp_path / "out")
    assert [len(losses) for losses in result.losses] == [9, 27, 27]
    assert 0 <= result.teacher <= 1
    assert result.cpu_seconds is not None
    first = capsys.readouterr().out
    assert "| MACs alone | " in first
    assert "| 50M | 1,245 | " in first
    assert train_blocks(result.settings, tmp_path / "images.npz", 0, tmp_path / "out", 1, "cpu") == replace(
        result, cpu_seconds=None
    )
    monkeypatch.setattr(command, "train_blocks", None)  # whatever calls it fails
    for again in (run, ["macro_blocks", "show", *words]):
        monkeypatch.setattr(sys, "argv", again)
        command.main()
        assert capsys.readouterr().out == first
