"""The comparison of searches: every arm counts alike, figures are right, and what a user gets wrong is answered."""

from __future__ import annotations

import csv
import math
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.baselines import ARMS, Problem, problem, trace
from benchmarks.comparison import Trace, interval, tables
from benchmarks.search import main
from spaces.costs.benchmark_tables import TableColumns
from spaces.space import canonical_arch

ROOT = Path(__file__).resolve().parents[2]
CHANNELS = ("8", "16", "32")
COLUMNS = TableColumns("channels", "acc", "flops")
QUICK = [name for name, arm in ARMS.items() if not arm.missing and arm.limit is None and name != "ours-screened"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """All 81 networks of four layers; accuracy in percent rises with width, and with the place of the widest."""
    path = tmp_path / "table.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS[:3])
        for widths in product(map(int, CHANNELS), repeat=4):
            accuracy = 60 + 8 * math.log2(sum(widths) / 32) + widths.index(max(widths))
            writer.writerow([":".join(map(str, widths)), accuracy, 100 + sum(10 * width for width in widths)])
    return path


@pytest.fixture
def posed(path: Path) -> Problem:
    return problem(path, COLUMNS, separator=":", scale=0.01, floor=0.5)


def options(path: Path, *more: str) -> list[str]:
    columns = "--arch-column channels --accuracy-column acc --macs-column flops --genes : --accuracy-scale 0.01"
    return ["--table", str(path), *columns.split(), "--floor", "0.5", *more]


def test_the_space_and_its_costs_are_read_off_the_table(posed: Problem) -> None:
    assert [layer.candidates for layer in posed.space.layers] == [CHANNELS] * 4
    assert (posed.rows, len(posed.answers), posed.max_cost) == (81, 81, 1380.0)
    assert posed.priced == "exact sums of one number per layer and operation"


def test_networks_with_two_spellings_count_once(data_dir: Path) -> None:
    macro = problem(
        data_dir / "nas" / "nas_bench_macro_cifar10.csv.gz",
        TableColumns("arch", "mean_acc", "flops"),
        separator="",
        scale=0.01,
        floor=0.8,
        library="nas_bench_macro",
    )
    assert (macro.rows, len(macro.answers)) == (6561, 3969)


@pytest.mark.parametrize("name", QUICK)
def test_an_arm_is_given_its_budget_in_new_networks(posed: Problem, name: str) -> None:
    answers = trace(posed, name, seed=3, budget=40)
    assert len(answers.results) == 40
    assert all(canonical_arch(arch, posed.space) == arch for arch in answers.results)
    assert list(trace(posed, name, seed=3, budget=40).results.items()) == list(answers.results.items())
    assert list(trace(posed, name, seed=4, budget=40).results) != list(answers.results)


def test_an_arm_that_has_seen_everything_ends(posed: Problem) -> None:
    assert len(trace(posed, "local", seed=0, budget=100).results) == 81


def test_a_run_prints_and_writes_what_it_found(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arms = ["--arms", "random,ours", "--seeds", "2", "--budget", "81"]
    assert main(options(path, *arms, "--markdown", "--out", str(tmp_path / "out"))) == 0
    printed = capsys.readouterr().out
    assert "| arm | 25 | 50 | 75 |" in printed
    assert "**ours, not screened minus each other arm" in printed
    with (tmp_path / "out" / "search.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 2 * 2 * 81
    for arm, seed in product(("random", "ours"), "01"):
        volumes = [float(row["hypervolume"]) for row in rows if (row["arm"], row["seed"]) == (arm, seed)]
        assert volumes == sorted(volumes)
        assert volumes[-1] == pytest.approx(1)  # the whole table has the true front
    assert "ours, not screened" in (tmp_path / "out" / "search.html").read_text(encoding="utf-8")


def made_trace(arm: str, seed: int, volume: list[float], budget: int = 100) -> Trace:
    zeros = np.zeros(len(volume))
    return Trace(arm, seed, budget, ("a",) * len(volume), zeros, zeros, np.array(volume), seconds=1.5)


def test_figures_are_those_of_a_hand_calculation() -> None:
    a = [made_trace("random", 0, [0.5] * 50 + [0.96] * 50), made_trace("random", 1, [0.7] * 100)]
    b = [
        made_trace("ours", 0, [0.6] * 30 + [1.0] * 70),
        made_trace("ours", 1, [0.6] * 10 + [0.9]),
        made_trace("ours", 2, [0.9]),
    ]
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 4.302653 / math.sqrt(3)))
    volumes, goals, differences = tables([*a, *b[:2]], {"random": "random", "ours": "ours"})
    assert volumes.header == ("arm", "25", "50", "75", "100")
    assert volumes.rows[1][1:] == ("75.00 ± 190.59", "95.00 ± 63.53", "95.00 ± 63.53", "95.00 ± 63.53")
    assert goals.rows == (
        ("random", "> 100 (1)", "> 100 (0)", "> 100 (0)", "1.50"),
        ("ours", *["> 100 (1)"] * 3, "1.50"),
    )
    assert [(*row[:1], row[1].split(" ")[0]) for row in differences.rows] == [("random", "+12.00")]


@pytest.mark.parametrize(
    ("wrong", "answer"),
    [
        (["--arms", "randm"], "unknown arm 'randm'; known: random, nsga2-50"),
        (["--floor", "0.9"], "the floor is 0.9: expected a fraction above the floor"),
        (["--accuracy-scale", "1"], "for percent give --accuracy-scale 0.01"),
        (["--macs-column", "macs"], "no column 'macs'; its columns: channels, acc, flops"),
        (["--space", "nowhere"], "unknown space 'nowhere'"),
        (["--space", "nas_bench_macro"], "'8:8:8:8' has 4 genes, and 'nas_bench_macro' has 8 layers"),
    ],
)
def test_what_is_wrong_is_said(path: Path, wrong: list[str], answer: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(options(path, *wrong)) == 1
    assert answer in capsys.readouterr().err


def test_a_table_with_holes_is_told_and_searched(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path.write_text("\n".join(path.read_text().splitlines()[:-1]))
    assert main(options(path, "--arms", "random", "--seeds", "1", "--budget", "81")) == 0
    assert "1 of them not in the table (accuracy 0)" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["search", "overhead", "generated_search", "proposing"])
def test_a_script_explains_itself_at_once(script: str) -> None:
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_path('benchmarks/{script}.py', run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'numpy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "examples:" in shown.stdout
