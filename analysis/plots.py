"""Frames as figures: pure functions ``DataFrame -> Figure``, one theme, one colour per round everywhere.

Rounds run from orange to dark blue along plotly's Plasma scale, which stays in order for colour-blind readers and in
grey print. Figures carry a short title and no width, so that whoever shows them decides how large they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from analysis.words import COSTS

COST_AXES = {"macs": "multiply-accumulates (MACs)", "params": "parameters", "latency_ms": "latency (ms)"}
TRACE_AXES = {"evaluations": "new evaluations", "seconds": "seconds spent fitting and measuring"}
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "triangle-down", "pentagon", "hexagon", "star")
SHARES = ((0.0, "#dfe6f1"), (0.5, "#6f8fc0"), (1.0, "#12306b"))
DROPPED, REFILLED = "#c8102e", "#00795c"
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


def fronts(
    results: pd.DataFrame,
    fronts: pd.DataFrame,
    cost: str,
    objective: str = "accuracy",
    min_accuracy: float = 0.0,
    background: int = 2000,
) -> go.Figure:
    """The objective over cost: every round's front as a stair, and up to ``background`` other trials as faint points.

    The vertical axis shows the range of the fronts, as far as it lies above the run's ``min_accuracy``; poorer points lie
    below it, and a double click shows them. Costs that span more than a decade stand on a logarithmic axis.
    """
    figure = _figure("Pareto front of each round")
    measured = results.dropna(subset="score")
    others = measured[~measured["evaluation"].isin(fronts["evaluation"])].drop_duplicates("evaluation")
    if len(others) > background:
        others = others.sample(background, random_state=0)
    colours = round_colours(results["round"])
    hover = f"%{{hovertext}}<br>%{{y:.2%}} at %{{x:.3s}} {COSTS[cost]}<extra>%{{fullData.name}}</extra>"
    for number, colour in colours.items():
        figure.add_scatter(
            **_points(others[others["round"] == number], cost), name=f"round {number}", legendgroup=f"round {number}",
            mode="markers", marker={"color": colour, "size": 5, "opacity": 0.35}, showlegend=False, hovertemplate=hover,
        )  # fmt: skip
    for number, colour in colours.items():
        figure.add_scatter(
            **_points(fronts[fronts["round"] == number], cost), name=f"round {number}", legendgroup=f"round {number}",
            mode="lines+markers", line={"shape": "hv", "color": colour, "width": 2}, hovertemplate=hover,
            marker={"symbol": SYMBOLS[(number - 1) % len(SYMBOLS)], "size": 8, "line": {"color": "white", "width": 1}},
        )  # fmt: skip
    low, high = max(fronts["score"].min(), min_accuracy), fronts["score"].max()
    margin = max(0.08 * (high - low), 0.002)
    figure.update_yaxes(title_text=objective, tickformat=".1~%", range=[low - 2 * margin, high + margin])
    least, most = results[cost].min(), fronts[cost].max()
    scale = {"type": "log", "dtick": "D2"} if 0 < 10 * least < most else {}
    figure.update_xaxes(title_text=COST_AXES[cost], tickformat="~s", **scale)
    return figure


def hypervolume(trace: pd.DataFrame, over: str = "evaluations") -> go.Figure:
    """Hypervolume of each round's front so far, over the run's new ``evaluations`` or its ``seconds``."""
    figure = _figure(f"Hypervolume over {over}")
    for number, colour in round_colours(trace["round"]).items():
        mine = trace[trace["round"] == number]
        steps = mine[(mine["hypervolume"].diff() != 0) | (mine["number"] == mine["number"].max())]
        figure.add_scatter(
            x=steps[over], y=steps["hypervolume"], name=f"round {number}", mode="lines",
            line={"shape": "hv", "color": colour, "width": 2.5},
            hovertemplate="%{y:.4f} after %{x:.4~s}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
        figure.add_scatter(
            x=steps[over].tail(1), y=steps["hypervolume"].tail(1), mode="markers", hoverinfo="skip", showlegend=False,
            marker={"color": colour, "size": 8, "symbol": SYMBOLS[(number - 1) % len(SYMBOLS)]},
        )  # fmt: skip
    late = trace[trace.groupby("round").cumcount() >= 0.1 * trace.groupby("round")["number"].transform("size")]
    low, high = late["hypervolume"].min(), trace["hypervolume"].max()
    margin = max(0.08 * (high - low), 0.001)
    shown = [max(0.0, low - margin), min(1.0, high + margin)]
    figure.update_yaxes(title_text="hypervolume (share of the box)", range=shown)
    figure.update_xaxes(title_text=TRACE_AXES[over], rangemode="tozero")
    return figure


def operations(choices: pd.DataFrame, number: int) -> go.Figure:
    """One round's operations, layer by layer: colour is the share of the front, marks are what was dropped or refilled.

    All rounds of ``choices`` share one pair of axes, so that figures of different rounds can be laid side by side; a
    cell without colour was no candidate in this round.
    """
    layers = choices.drop_duplicates("layer_index").sort_values("layer_index")["layer"].tolist()
    ops = sorted(choices["op"].unique(), key=natural)
    mine = choices[choices["round"] == number]
    shares = mine.pivot(index="op", columns="layer", values="share").reindex(index=ops, columns=layers)
    figure = _figure(f"Operations after round {number}")
    figure.add_heatmap(
        x=layers, y=ops, z=shares.to_numpy(), zmin=0, zmax=1, colorscale=[list(stop) for stop in SHARES],
        xgap=1, ygap=1, hoverongaps=False,
        hovertemplate="%{y} at %{x}<br>carried by %{z:.0%} of the front<extra></extra>",
        colorbar={
            "title": {"text": "share of the front", "side": "right"}, "tickformat": ".0%", "thickness": 10,
            "tickvals": [0, 0.5, 1], "outlinewidth": 0,
        },
    )  # fmt: skip
    for fate, symbol, colour in (("dropped", "x-thin", DROPPED), ("refilled", "cross-thin", REFILLED)):
        met = mine[mine["fate"] == fate]
        figure.add_scatter(
            x=met["layer"], y=met["op"], name=fate, mode="markers", showlegend=True,
            marker={"symbol": symbol, "size": 9, "line": {"color": colour, "width": 2.5}},
            hovertext=[
                f"{escape(op)} at {escape(layer)}: {fate}{'' if pd.isna(rating) else f'<br>rating {rating:.4g}'}"
                f"<br>{wrapped(rule, '; ', 1)}"
                for op, layer, rating, rule in met[["op", "layer", "rating", "rule"]].values.tolist()
            ],
            hovertemplate="%{hovertext}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(
        title_text="layer", type="category", range=[-0.5, len(layers) - 0.5], showgrid=False, tickvals=layers,
        ticktext=[brief(layer) for layer in layers],
        **({} if len(layers) <= 12 else {"tickangle": -90, "tickfont": {"size": 10}}),
    )  # fmt: skip
    figure.update_yaxes(
        type="category", range=[len(ops) - 0.5, -0.5], showgrid=False, tickvals=ops,
        ticktext=[op if len(op) <= 16 else f"{op[:15]}…" for op in ops],
    )  # fmt: skip
    return figure.update_layout(height=max(260, 130 + 22 * len(ops)))


def truth(witnesses: pd.DataFrame, taus: Mapping[int, str]) -> go.Figure:
    """Accuracy when trained alone over accuracy by the round's scores: a dot per network that both know.

    Args:
        witnesses: columns ``round``, ``arch``, ``macs``, ``one_shot``, ``stand_alone``.
        taus: each round's Kendall tau, as it is to be read.
    """
    figure = _figure("Scores of the search against the truth")
    for number, colour in round_colours(witnesses["round"]).items():
        mine = witnesses[witnesses["round"] == number]
        figure.add_scatter(
            x=mine["one_shot"], y=mine["stand_alone"], name=f"round {number}: tau {taus[number]}", mode="markers",
            marker={"color": colour, "size": 9, "symbol": SYMBOLS[(number - 1) % len(SYMBOLS)]},
            customdata=mine["macs"], hovertext=[wrapped(arch) for arch in mine["arch"]],
            hovertemplate="%{hovertext}<br>%{y:.2%} alone, scored %{x:.2%}, %{customdata:.3s} MACs"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="accuracy by the search's scores", tickformat=".1~%")
    return figure.update_yaxes(title_text="accuracy when trained alone", tickformat=".1~%")


def round_colours(numbers: Iterable[int]) -> dict[int, str]:
    """One colour per round, first to last; the last round is the darkest."""
    rounds = sorted(set(numbers))
    last = max(1, len(rounds) - 1)
    places = [0.72 - 0.70 * i / last for i in range(len(rounds))] if len(rounds) > 1 else [0.02]
    return dict(zip(rounds, sample_colorscale("Plasma", places), strict=True))


def natural(op: str) -> list[tuple[int, str | int]]:
    """A sorting key under which ``mb_k5`` comes before ``mb_k11``."""
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", op)]


def brief(layer: str) -> str:
    """A layer's name without the words before its numbers: ``stage2.layer1`` is ``2.1``."""
    return re.sub(r"[a-z_]+(?=\d)", "", layer)


def wrapped(text: str, separator: str = "|", per_line: int = 4) -> str:
    """A long string over several lines of a hover, split at its separator."""
    parts = [escape(part) for part in text.split(separator)]
    lines: Sequence[str] = [separator.join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return f"{separator}<br>".join(lines)


def _points(frame: pd.DataFrame, cost: str) -> dict[str, object]:
    return {"x": frame[cost], "y": frame["score"], "hovertext": [wrapped(arch) for arch in frame["arch"]]}


def _figure(title: str) -> go.Figure:
    return go.Figure(layout={"template": THEME, "title": {"text": title}})
