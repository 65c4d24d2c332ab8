"""Frames as figures: pure functions ``DataFrame -> Figure``, in the one theme of ``analysis.figures.theme``.

Figures have a short title and no width: the page or dashboard that shows them sets their size.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd
import plotly.graph_objects as go

from analysis.figures.theme import (
    ADDED,
    COST_AXES,
    COST_TICKS,
    DROPPED,
    FAINT,
    REFERENCE,
    SHARES,
    SPENT,
    SYMBOLS,
    TRACE_AXES,
    Style,
    new_figure,
    round_colours,
    run_styles,
)
from analysis.sentences import COSTS


def fronts(
    results: pd.DataFrame,
    fronts: pd.DataFrame,
    cost: str,
    objective: str = "accuracy",
    min_accuracy: float = 0.0,
    background: int = 2000,
    stairs: bool = True,
) -> go.Figure:
    """The objective over cost: every round's front as a stair, and up to ``background`` other trials as faint points.

    Not ``stairs``: as points, as there are other costs, too.

    The vertical axis shows the range of the fronts above ``min_accuracy``; a double click also shows the points below it.
    Costs that span more than a decade get a logarithmic axis.
    """
    figure = new_figure("Pareto front of each round")
    measured = results.dropna(subset="score")
    others = measured[~measured["evaluation"].isin(fronts["evaluation"])].drop_duplicates("evaluation")
    if len(others) > background:
        others = others.sample(background, random_state=0)
    colours = round_colours(results["round"])
    hover = _hover(cost)
    for number, colour in colours.items():
        figure.add_scatter(
            **_points(others[others["round"] == number], cost), name=f"round {number}", legendgroup=f"round {number}",
            mode="markers", marker={"color": colour, "size": 5, "opacity": 0.35}, showlegend=False, hovertemplate=hover,
        )  # fmt: skip
    for number, colour in colours.items():
        figure.add_scatter(
            **_points(fronts[fronts["round"] == number], cost), name=f"round {number}", legendgroup=f"round {number}",
            mode="lines+markers" if stairs else "markers", line={"shape": "hv", "color": colour, "width": 2},
            hovertemplate=hover,
            marker={"symbol": SYMBOLS[(number - 1) % len(SYMBOLS)], "size": 8, "line": {"color": "white", "width": 1}},
        )  # fmt: skip
    return _scale_axes(figure, results, fronts, cost, objective, min_accuracy)


def _scale_axes(
    figure: go.Figure, results: pd.DataFrame, fronts: pd.DataFrame, cost: str, objective: str, min_accuracy: float
) -> go.Figure:
    """Set the axes to the range of ``fronts`` above ``min_accuracy``."""
    low, high = max(fronts["score"].min(), min_accuracy), fronts["score"].max()
    margin = max(0.08 * (high - low), 0.002)
    figure.update_yaxes(title_text=objective, tickformat=".1~%", range=[low - 2 * margin, high + margin])
    least, most = results[cost].min(), fronts[cost].max()
    scale = {"type": "log", "dtick": "D2"} if 0 < 10 * least < most else {}
    return figure.update_xaxes(title_text=COST_AXES[cost], tickformat=COST_TICKS[cost], **scale)


def hypervolume(trace: pd.DataFrame, over: str = "evaluations") -> go.Figure:
    """Hypervolume of each round's front so far, over the run's new ``evaluations`` or its ``seconds``."""
    figure = new_figure(f"Hypervolume over {over}")
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
    limits = [max(0.0, low - margin), min(1.0, high + margin)]
    figure.update_yaxes(title_text="hypervolume (share of the box)", range=limits)
    figure.update_xaxes(title_text=TRACE_AXES[over], rangemode="tozero")
    return figure


def operations(choices: pd.DataFrame, number: int) -> go.Figure:
    """One round's operations, layer by layer: colour is the share of the front, marks are what was dropped or added.

    All rounds of ``choices`` share one pair of axes, so figures of different rounds can be laid side by side. An operation
    without colour was no candidate in this round.
    """
    layers = choices.drop_duplicates("layer_index").sort_values("layer_index")["layer"].tolist()
    ops = sorted(choices["op"].unique(), key=natural)
    mine = choices[choices["round"] == number]
    shares = mine.pivot(index="op", columns="layer", values="share").reindex(index=ops, columns=layers)
    figure = new_figure(f"Operations after round {number}")
    figure.add_heatmap(
        x=layers, y=ops, z=shares.to_numpy(), zmin=0, zmax=1, colorscale=[list(stop) for stop in SHARES],
        xgap=1, ygap=1, hoverongaps=False,
        hovertemplate="%{y} at %{x}<br>carried by %{z:.0%} of the front<extra></extra>",
        colorbar={
            "title": {"text": "share of the front", "side": "right"}, "tickformat": ".0%", "thickness": 10,
            "tickvals": [0, 0.5, 1], "outlinewidth": 0,
        },
    )  # fmt: skip
    for fate, symbol, colour in (("dropped", "x-thin", DROPPED), ("added", "cross-thin", ADDED)):
        marked = mine[mine["fate"] == fate]
        figure.add_scatter(
            x=marked["layer"], y=marked["op"], name=fate, mode="markers", showlegend=True,
            marker={"symbol": symbol, "size": 9, "line": {"color": colour, "width": 2.5}},
            hovertext=[
                f"{escape(op)} at {escape(layer)}: {fate}{'' if pd.isna(rating) else f'<br>rating {rating:.4g}'}"
                f"<br>{wrap_hover(rule, '; ', 1)}"
                for op, layer, rating, rule in marked[["op", "layer", "rating", "rule"]].values.tolist()
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


def truth(witnesses: pd.DataFrame, taus: Mapping[int, str], accuracy_name: str = "accuracy") -> go.Figure:
    """Stand-alone accuracy over the round's scores: a dot per network that has both.

    Args:
        witnesses: columns ``round``, ``arch``, ``macs``, ``one_shot``, ``stand_alone``.
        taus: round -> Kendall's tau as text.
        accuracy_name: the name of the scores.
    """
    figure = new_figure("Scores of the search against the truth")
    for number, colour in round_colours(witnesses["round"]).items():
        mine = witnesses[witnesses["round"] == number]
        figure.add_scatter(
            x=mine["one_shot"], y=mine["stand_alone"], name=f"round {number}: tau {taus[number]}", mode="markers",
            marker={"color": colour, "size": 9, "symbol": SYMBOLS[(number - 1) % len(SYMBOLS)]},
            customdata=mine["macs"], hovertext=[wrap_hover(arch) for arch in mine["arch"]],
            hovertemplate="%{hovertext}<br>%{y:.2%} alone, scored %{x:.2%}, %{customdata:.3s} MACs"
            "<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text=f"{accuracy_name} by the search's scores", tickformat=".1~%")
    return figure.update_yaxes(title_text="accuracy when trained alone", tickformat=".1~%")


def time_spent(times: pd.DataFrame) -> go.Figure:
    """The time of each round: a bar per round, a colour per activity.

    Args:
        times: columns ``round``, ``what``, ``seconds``.
    """
    figure = new_figure("Where the time went")
    rounds = sorted(times["round"].unique())
    for what, (label, colour) in SPENT.items():
        mine = times[times["what"] == what].set_index("round")["seconds"].reindex(rounds)
        if mine.sum() > 0.005 * times["seconds"].sum():
            figure.add_bar(
                y=[f"round {number}" for number in rounds], x=mine, orientation="h", name=label,
                marker={"color": colour}, hovertemplate="%{x:.1f} s<extra>%{fullData.name}</extra>",
            )  # fmt: skip
    figure.update_yaxes(autorange="reversed", type="category", showgrid=False)
    figure.update_xaxes(title_text="seconds")
    return figure.update_layout(
        barmode="stack", bargap=0.35, legend={"traceorder": "normal"}, height=150 + 34 * len(rounds)
    )


def natural(op: str) -> list[tuple[int, str | int]]:
    """A sorting key under which ``mb_k5`` comes before ``mb_k11``."""
    return [(1, int(part)) if part.isdecimal() else (0, part) for part in re.split(r"(\d+)", op)]


def brief(layer: str) -> str:
    """A layer's name without the words before its numbers: ``stage2.layer1`` is ``2.1``."""
    return re.sub(r"[a-z_]+(?=\d)", "", layer)


def wrap_hover(text: str, separator: str = "|", per_line: int = 4) -> str:
    """``text`` as HTML over several lines of a hover label, ``per_line`` parts each."""
    parts = [escape(part) for part in text.split(separator)]
    lines: Sequence[str] = [separator.join(parts[i : i + per_line]) for i in range(0, len(parts), per_line)]
    return f"{separator}<br>".join(lines)


def _points(frame: pd.DataFrame, cost: str) -> dict[str, object]:
    return {"x": frame[cost], "y": frame["score"], "hovertext": [wrap_hover(arch) for arch in frame["arch"]]}


def _hover(cost: str) -> str:
    return f"%{{hovertext}}<br>%{{y:.2%}} at %{{x:.3s}} {COSTS[cost]}<extra>%{{fullData.name}}</extra>"


# -- several runs ------------------------------------------------------------------------------------------------------


def final_fronts(
    fronts: pd.DataFrame, cost: str, objective: str = "accuracy", min_accuracy: float = 0.0, stairs: bool = True
) -> go.Figure:
    """The final front of every ``run``, the objective over cost; axes as in the figure ``fronts``."""
    figure = new_figure("Final front of each run")
    add_runs(figure, fronts, cost, run_styles(fronts["run"].unique().tolist()), stairs)
    return _scale_axes(figure, fronts, fronts, cost, objective, min_accuracy)


def add_runs(
    figure: go.Figure, fronts: pd.DataFrame, cost: str, styles: Mapping[str, Style], stairs: bool = True
) -> go.Figure:
    """Add the final fronts of the runs that have a style, as stairs or points."""
    for run, style in styles.items():
        figure.add_scatter(
            **_points(fronts[fronts["run"] == run], cost), name=escape(run), mode="lines+markers" if stairs else "markers",
            line={"shape": "hv", "color": style.colour, "width": 2, "dash": style.dash},
            marker={"symbol": style.symbol, "size": 8, "line": {"color": "white", "width": 1}},
            hovertemplate=_hover(cost),
        )  # fmt: skip
    return figure


def add_references(figure: go.Figure, references: pd.DataFrame, cost: str) -> go.Figure:
    """Add single networks with their names, for context. Networks so poor that they would squash the fronts are left out."""
    low, high = figure.layout.yaxis.range
    visible = references[references["score"] > low - (high - low)]
    if visible.empty:
        return figure
    figure.add_scatter(
        **_points(visible, cost), text=[escape(name) for name in visible["name"]], mode="markers+text",
        textposition="bottom center", showlegend=False, hovertemplate=_hover(cost), cliponaxis=False,
        marker={"symbol": "star", "size": 12, "color": REFERENCE}, name="reference",
    )  # fmt: skip
    margin = 0.1 * (high - low)
    ends = visible["score"].min() - margin, visible["score"].max() + margin
    return figure.update_yaxes(range=[min(low, ends[0]), max(high, ends[1])])


def volumes(trace: pd.DataFrame, over: str = "evaluations", budget: int | None = None) -> go.Figure:
    """Hypervolume of every ``run`` so far over its new ``evaluations`` or ``seconds``; a vertical line at ``budget``."""
    figure = new_figure(f"Hypervolume over {over}")
    for run, style in run_styles(trace["run"].unique().tolist()).items():
        mine = trace[trace["run"] == run]
        steps = mine[(mine["hypervolume"].diff() != 0) | (mine.index == mine.index[-1])]
        figure.add_scatter(
            x=steps[over], y=steps["hypervolume"], name=escape(run), mode="lines",
            line={"shape": "hv", "color": style.colour, "width": 2.5, "dash": style.dash},
            hovertemplate="%{y:.4f} after %{x:.4~s}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    if budget is not None:
        figure.add_vline(budget, line={"color": FAINT, "width": 1, "dash": "dot"})
    late = trace[trace.groupby("run").cumcount() >= 0.1 * trace.groupby("run")["run"].transform("size")]
    low, high = late["hypervolume"].min(), trace["hypervolume"].max()
    margin = max(0.08 * (high - low), 0.001)
    figure.update_yaxes(title_text="hypervolume (share of the box)", range=[max(0.0, low - margin), high + margin])
    return figure.update_xaxes(title_text=TRACE_AXES[over], rangemode="tozero")
