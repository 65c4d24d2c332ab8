"""More than two objectives as figures: the fronts over each cost side by side, and the final front as parallel coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.plots import wrap_hover
from analysis.figures.theme import COST_AXES, COST_TICKS, SYMBOLS, new_figure, round_colours
from analysis.sentences import COSTS
from spaces.units import format_number


def matrix(fronts: pd.DataFrame, costs: Sequence[str], objective: str) -> go.Figure:
    """Every pair of objectives: each round's front, the first row with the objective over each cost, then costs over costs.

    What is on the front of all objectives need not be on that of two.

    Args:
        fronts: see ``analysis.frames.fronts``.
        costs: the names of the costs; lower is better.
    """
    pairs = [(cost, "score") for cost in costs] + list(combinations(costs, 2))
    columns = min(len(pairs), 3)
    rows = -(-len(pairs) // columns)
    figure = new_figure("Every pair of objectives")
    make_subplots(rows, columns, horizontal_spacing=0.09, vertical_spacing=0.16, figure=figure)
    for place, (x, y) in enumerate(pairs):
        where = {"row": place // columns + 1, "col": place % columns + 1}
        for number, colour in round_colours(fronts["round"]).items():
            symbol = SYMBOLS[(number - 1) % len(SYMBOLS)]
            figure.add_scatter(
                **_points(fronts[fronts["round"] == number], x, y, costs), **where, mode="markers",
                name=f"round {number}", legendgroup=f"round {number}", showlegend=place == 0,
                marker={"color": colour, "size": 7, "symbol": symbol, "line": {"color": "white", "width": 1}},
            )  # fmt: skip
        figure.update_xaxes(**_axis(fronts, x, objective), **where)
        figure.update_yaxes(**_axis(fronts, y, objective), **where)
    return figure.update_layout(height=90 + 300 * rows)


def _axis(fronts: pd.DataFrame, name: str, objective: str) -> dict[str, Any]:
    """The axis of an objective; a logarithmic one for costs that span more than a decade."""
    if name == "score":
        return {"title_text": objective, "tickformat": ".1~%"}
    least, most = fronts[name].min(), fronts[name].max()
    scale = {"type": "log", "dtick": "D2"} if 0 < 10 * least < most else {}
    return {"title_text": COST_AXES[name], "tickformat": COST_TICKS[name], **scale}


def _points(frame: pd.DataFrame, x: str, y: str, costs: Sequence[str]) -> dict[str, Any]:
    told = [
        f"{wrap_hover(row['arch'])}<br>{row['score']:.2%} at "
        + ", ".join(f"{format_number(row[cost])} {COSTS[cost]}" for cost in costs)
        for row in frame.to_dict("records")
    ]
    return {
        "x": frame[x],
        "y": frame[y],
        "hovertext": told,
        "hovertemplate": "%{hovertext}<extra>%{fullData.name}</extra>",
    }


def parallel(final: pd.DataFrame, costs: Sequence[str], objective: str) -> go.Figure:
    """The final front, a line for each network through all its objectives; drag along an axis to keep a part of them.

    Args:
        final: see ``analysis.frames.final``.
    """
    figure = new_figure("The final front through all objectives")
    axes: list[dict[str, Any]] = [{"label": objective, "values": final["score"], "tickformat": ".1%"}]
    axes += [{"label": COSTS[cost], "values": final[cost], "tickformat": COST_TICKS[cost]} for cost in costs]
    figure.add_parcoords(
        dimensions=axes, labelfont={"size": 13},
        line={"color": final["score"], "colorscale": "Plasma", "reversescale": True},
    )  # fmt: skip
    return figure.update_layout(height=380, margin={"l": 60, "r": 60})
