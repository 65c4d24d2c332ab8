"""Results as tables: accuracies, paired differences, costs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from analysis.verdict import student_half

OURS, WHOLE = "ours", "whole"


def read_results(out: Path) -> pd.DataFrame:
    """All results below ``out``, a row each; of equal ones the last."""
    lines = [line for path in sorted(out.glob("*.jsonl")) for line in path.read_text().splitlines()]
    frame = pd.DataFrame([json.loads(line) for line in lines])
    return frame if frame.empty else frame.drop_duplicates(["images", "seed", "arm", "budget"], keep="last")


def show(out: Path, ours: str = OURS) -> None:
    """Print the tables of every data set; the arm ``ours`` is compared with the others."""
    frame = read_results(out)
    if frame.empty:
        print(f"no results in {out} yet")
        return
    for images, part in frame.groupby("images"):
        seeds, tested = part["seed"].nunique(), part["tested"].max()
        print(f"\n## {images}: {seeds} seed(s), {tested:,} test images, 95 % intervals of Student's t\n")
        show_accuracies(part)
        show_differences(part, ours)
        show_costs(part)


def show_accuracies(part: pd.DataFrame) -> None:
    """Test accuracy of every arm at every budget, in per cent, and the MACs that were used."""
    budgets = _budgets(part)
    _header(["arm", *map(_name, budgets), *(f"MACs at {_name(budget)}" for budget in budgets)])
    for arm, own in part.groupby("arm", sort=False):
        cells = [_interval(100 * own[own["budget"] == budget]["accuracy"]) for budget in budgets]
        macs = [own[own["budget"] == budget]["macs"].mean() for budget in budgets]
        _row([str(arm), *cells, *("" if pd.isna(value) else f"{value / 1e6:.1f}M" for value in macs)])


def show_differences(part: pd.DataFrame, ours: str = OURS) -> None:
    """Ours less every rival, in points, paired by seed; the last column averages over budgets."""
    pivot = part[part["budget"] < 1].pivot_table(index="seed", columns=["arm", "budget"], values="accuracy")
    arms = list(dict.fromkeys(pivot.columns.get_level_values("arm")))
    if ours not in arms or len(arms) < 2:
        return
    budgets = [budget for budget in _budgets(part) if budget < 1]
    print(f"\n{ours} less it, points:\n")
    _header(["arm", *map(_name, budgets), "mean"])
    for arm in (arm for arm in arms if arm != ours):
        away = 100 * (pivot[ours] - pivot[arm])
        _row(
            [
                arm,
                *(_interval(away[b].dropna()) if b in away else "" for b in budgets),
                _interval(away.dropna().mean(axis=1)),
            ]
        )


def show_costs(part: pd.DataFrame) -> None:
    """MACs and seconds of an arm over all its budgets, in fine-tunings of the whole network, which all but scratch begin with
    and which is not in them."""
    base = part[part["arm"] == WHOLE][["shared_macs", "shared_seconds"]].mean()
    if base.isna().any():
        return
    print("\ncost of all budgets, in fine-tunings of the whole network (MACs; seconds in brackets):\n")
    _header(["arm", "search or pruning", "last fine-tuning", "both"])
    for arm, own in part[part["arm"] != WHOLE].groupby("arm", sort=False):
        one = own.groupby("seed").agg(
            dict.fromkeys(("shared_macs", "shared_seconds"), "max") | dict.fromkeys(_SUMMED, "sum")
        )
        costs = {}
        for unit in ("macs", "seconds"):
            search = (one[f"shared_{unit}"] + one[f"search_{unit}"]).mean() / base[f"shared_{unit}"]
            tuning = one[f"tuning_{unit}"].mean() / base[f"shared_{unit}"]
            costs[unit] = (search, tuning, search + tuning)
        _row([str(arm), *(f"{macs:.2f} ({seconds:.2f})" for macs, seconds in zip(*costs.values(), strict=True))])


_SUMMED = ("search_macs", "search_seconds", "tuning_macs", "tuning_seconds")


def _budgets(part: pd.DataFrame) -> list[float]:
    return sorted(set(part["budget"]), reverse=True)


def _name(budget: float) -> str:
    return "whole" if budget == 1 else f"{budget:.0%}"


def _interval(values: pd.Series) -> str:
    """Mean and half of the interval; empty where there is nothing."""
    if not len(values):
        return ""
    return f"{values.mean():.2f}" + (f" ± {student_half(values):.2f}" if len(values) > 1 else "")


def _header(names: Sequence[str]) -> None:
    _row(names)
    print("| --- |" + " ---: |" * (len(names) - 1))


def _row(cells: Sequence[str]) -> None:
    print(f"| {' | '.join(cells)} |")
