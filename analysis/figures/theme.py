"""Colours, symbols and fonts of every figure and drawing of this package: one thing has one colour everywhere.

Rounds run from orange to dark blue along plotly's Plasma scale, which stays in order for colour-blind readers and in
grey print. Of several runs the first takes dark blue, as the last round does, and the others take hues that Plasma does
not contain; each run also has a dash and a symbol of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

COST_AXES = {
    "macs": "multiply-accumulates (MACs)",
    "params": "parameters",
    "latency_ms": "latency (ms)",
    "flash_kb": "flash (KB)",
    "memory_kb": "memory (KB)",
}
COST_TICKS = dict.fromkeys(COST_AXES, "~s") | {"latency_ms": "~g"}
"""How ticks are written: with k and M, but milliseconds as they are, for 20m would be 20 thousandths."""

TRACE_AXES = {"evaluations": "new evaluations", "seconds": "seconds spent fitting and measuring"}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SHARES = ((0.0, "#dfe6f1"), (0.5, "#6f8fc0"), (1.0, "#12306b"))
DROPPED, ADDED, REFERENCE = "#c8102e", "#00795c", "#22262e"
RUNS = ("#0f9d8a", "#7a9a01", "#5aa9e6", "#8c6d46", "#7f7f7f")
SPENT = {
    "fitting": ("fitting (training a supernet)", "#12306b"),
    "evaluating": ("evaluating", "#5b86c5"),
    "proposing": ("proposing", "#f2a65a"),
    "storing": ("storing", "#9aa3b0"),
    "searching": ("searching (evaluating, proposing, storing)", "#5b86c5"),
    "truth": ("asking for the truth", "#0f9d8a"),
}
"""Activity of a round -> its label and colour."""
FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif"
INK, FAINT, GRID = "#22262e", "#8a919e", "#e4e7ec"

_AXIS = {
    "gridcolor": GRID, "linecolor": FAINT, "ticks": "outside", "tickcolor": FAINT, "ticklen": 4, "zeroline": False,
    "automargin": True, "title": {"standoff": 8, "font": {"size": 13}},
}  # fmt: skip
THEME = go.layout.Template(
    layout={
        "font": {"family": FONT, "size": 13, "color": INK},
        "title": {"x": 0.01, "xanchor": "left", "y": 1, "yanchor": "top", "pad": {"t": 14}, "font": {"size": 16}},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 8, "r": 12, "t": 72, "b": 8},
        "xaxis": _AXIS,
        "yaxis": _AXIS,
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
        "hoverlabel": {"align": "left", "bgcolor": "white", "font": {"color": INK, "size": 12}},
    }
)


def round_colours(numbers: Iterable[int]) -> dict[int, str]:
    """One colour per round, first to last; the last round is the darkest."""
    rounds = sorted(set(numbers))
    last = max(1, len(rounds) - 1)
    places = [0.72 - 0.70 * i / last for i in range(len(rounds))] if len(rounds) > 1 else [0.02]
    return dict(zip(rounds, sample_colorscale("Plasma", places), strict=True))


class Style(NamedTuple):
    """The style of a run's lines and markers."""

    colour: str
    dash: str
    symbol: str


def run_styles(labels: Sequence[str]) -> dict[str, Style]:
    """One style per run: the first has the colour of a last round; the colours of the others repeat after five."""
    (first,) = round_colours([1]).values()
    return {
        label: Style(RUNS[(i - 1) % len(RUNS)] if i else first, DASHES[i % len(DASHES)], SYMBOLS[i % len(SYMBOLS)])
        for i, label in enumerate(labels)
    }


def new_figure(title: str) -> go.Figure:
    """An empty figure in the theme, with a title."""
    return go.Figure(layout={"template": THEME, "title": {"text": title}})
