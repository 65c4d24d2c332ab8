"""The results of a comparison with their uncertainty: tables for a terminal or for Markdown, a CSV file, a figure."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

if TYPE_CHECKING:
    import plotly.graph_objects as go

POINTS = (25, 50, 75, 100, 150, 200)
"""Evaluations at which arms are compared."""

GOALS = (0.95, 0.99, 0.999)
"""Shares of the true front's hypervolume that an arm should reach."""

VERSUS = 100
"""Evaluations at which the differences between arms are given."""

LEAST = 1e-4
"""Share of hypervolume below which the figure shows nothing."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Trace:
    """One arm with one seed.

    Attributes:
        budget: evaluations it was allowed; it stops earlier when it has nothing new to ask.
        volume: (n,) hypervolume after 1, 2, ... n evaluations, as a share of the true front's.
        seconds: of CPU time, for the whole search.
    """

    arm: str
    seed: int
    budget: int
    archs: tuple[str, ...]
    accuracy: Floats
    cost: Floats
    volume: Floats
    seconds: float

    def at(self, evaluations: int) -> float:
        """Hypervolume after ``evaluations``; NaN beyond the budget."""
        return math.nan if evaluations > self.budget else float(self.volume[:evaluations][-1])

    def evaluations_to(self, goal: float) -> float:
        """Evaluations until the volume reached ``goal``; infinite if it never did."""
        there = self.volume >= goal
        return float(there.argmax()) + 1 if there.any() else math.inf


@dataclass(frozen=True)
class Table:
    """A titled table of text; the first column names the rows."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def markdown(self) -> str:
        """The table in Markdown, numbers to the right."""
        lines = [self.header, ("---", *["---:"] * (len(self.header) - 1)), *self.rows]
        return "\n".join([f"**{self.title}**", "", *("| " + " | ".join(line) + " |" for line in lines)])

    def show(self) -> None:
        """Print it for a terminal."""
        from rich.console import Console
        from rich.table import Table as Grid

        grid = Grid()
        for i, name in enumerate(self.header):
            grid.add_column(name, justify="right" if i else "left", no_wrap=True)
        for row in self.rows:
            grid.add_row(*row)
        console = Console(width=max(Console().width, 130))
        console.print(self.title, style="bold", highlight=False)
        console.print(grid)


def interval(values: Sequence[float] | Floats) -> tuple[float, float]:
    """Mean, and half of its 95 % confidence interval by Student's t; NaN for a single value."""
    n = len(values)
    half = float(t.ppf(0.975, n - 1) * np.std(values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    return float(np.mean(values)), half


def tables(traces: Sequence[Trace], labels: dict[str, str]) -> list[Table]:
    """Hypervolume over evaluations; evaluations to each goal; differences to the arm that is ours."""
    by_arm = {arm: [trace for trace in traces if trace.arm == arm] for arm in labels}
    longest = max(trace.budget for trace in traces)
    points = [point for point in POINTS if point <= longest] or [longest]
    seeds = f"{max(map(len, by_arm.values()))} seeds"
    volumes = [
        (labels[arm], *(_percent(*interval([trace.at(point) for trace in group])) for point in points))
        for arm, group in by_arm.items()
    ]
    goals = [
        (labels[arm], *(_to_goal(group, goal) for goal in GOALS), f"{np.mean([trace.seconds for trace in group]):.2f}")
        for arm, group in by_arm.items()
    ]
    headings = (*(f"to {100 * goal:g} %" for goal in GOALS), "CPU s")
    result = [
        Table(
            f"Hypervolume, % of the true front's, mean and 95 % interval over {seeds}, after n unique evaluations",
            ("arm", *map(str, points)),
            tuple(volumes),
        ),
        Table(
            f"Unique evaluations to the goal, median (and how many of {seeds} got there)",
            ("arm", *headings),
            tuple(goals),
        ),
    ]
    hero = next((arm for arm in ("ours-screened", "ours") if arm in by_arm), None)
    if hero is not None and len(by_arm) > 1:
        point = max(point for point in points if point <= max(VERSUS, points[0]))
        rows = [
            (labels[arm], _percent(*interval(_differences(by_arm[hero], group, point)), sign="+"))
            for arm, group in by_arm.items()
            if arm != hero
        ]
        title = f"{labels[hero]} minus each other arm, points of hypervolume after {point} evaluations, paired by seed"
        result.append(Table(title, ("arm", "difference"), tuple(rows)))
    return result


def _differences(ours: Sequence[Trace], theirs: Sequence[Trace], point: int) -> list[float]:
    return [mine.at(point) - other.at(point) for mine, other in zip(ours, theirs, strict=True)]


def _percent(mean: float, half: float, sign: str = "") -> str:
    if math.isnan(mean):
        return "–"
    return f"{100 * mean:{sign}.2f}" + ("" if math.isnan(half) else f" ± {100 * half:.2f}")


def _to_goal(traces: Sequence[Trace], goal: float) -> str:
    needed = [trace.evaluations_to(goal) for trace in traces]
    median, there = float(np.median(needed)), sum(map(math.isfinite, needed))
    return f"{f'{median:g}' if math.isfinite(median) else f'> {traces[0].budget}'} ({there})"


def write_csv(traces: Iterable[Trace], path: Path) -> None:
    """Every evaluation of every arm and seed; hypervolume as a share of the true front's."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "seed", "evaluation", "arch", "accuracy", "cost", "hypervolume"])
        for trace in traces:
            steps = zip(trace.archs, trace.accuracy.tolist(), trace.cost.tolist(), trace.volume.tolist(), strict=True)
            writer.writerows([trace.arm, trace.seed, n, *step] for n, step in enumerate(steps, start=1))


def figure(traces: Sequence[Trace], labels: dict[str, str], title: str) -> go.Figure:
    """Hypervolume still missing over evaluations, logarithmic: an arm's mean, and its 95 % interval as a band."""
    import plotly.graph_objects as go
    from plotly.colors import hex_to_rgb, qualitative

    chart = go.Figure()
    for (arm, label), colour in zip(labels.items(), qualitative.D3 * len(labels), strict=False):
        group = [trace for trace in traces if trace.arm == arm]
        steps = list(range(1, group[0].budget + 1))
        mean, half = np.array([interval([1 - trace.at(n) for trace in group]) for n in steps]).T
        half = np.nan_to_num(half)
        chart.add_scatter(
            x=steps + steps[::-1],
            y=np.maximum(np.concatenate([mean + half, (mean - half)[::-1]]), LEAST),
            fill="toself",
            fillcolor=f"rgba({','.join(map(str, hex_to_rgb(colour)))},0.15)",
            line_width=0,
            hoverinfo="skip",
            legendgroup=arm,
            showlegend=False,
        )
        chart.add_scatter(
            x=steps,
            y=np.maximum(mean, LEAST),
            customdata=np.column_stack([1 - mean, half]),
            name=label,
            legendgroup=arm,
            line_color=colour,
            hovertemplate="%{customdata[0]:.2%} ± %{customdata[1]:.2%} after %{x}",
        )
    chart.update_layout(
        title=title,
        template="plotly_white",
        xaxis_title="unique evaluations",
        yaxis={"title": "missing of the true front's hypervolume", "type": "log", "tickformat": ".1~%", "dtick": "D2"},
    )
    return chart
