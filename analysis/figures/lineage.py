"""Figures of runs that breed cells (AutoSpace): the ancestry of the best network's cells, and the cells as graphs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.figures.theme import FAINT, INK, THEME
from analysis.frames import Frames
from spaces.architecture import Architecture, Op
from spaces.operations.cells import Genome, parse_cell
from studies.records import BredCell

COLUMNS = 3
EDGES = {
    "i": ("as it is", "#8a94a6", "dot"),
    "p": ("3x3 average", "#b279a2", "dash"),
    "3": ("depthwise 3x3", "#4c78a8", "solid"),
    "5": ("depthwise 5x5", "#f58518", "solid"),
    "7": ("depthwise 7x7", "#54a24b", "solid"),
}
"""Code of an edge -> the label of its operation, its colour and its line style."""

GATE = "#e45756"
ORIGINS = {"random": "circle", "mutation": "diamond", "crossover": "square"}


def figures(frames: Frames) -> list[tuple[go.Figure, str]]:
    """The family tree of the most accurate network's cells, and all its cells as graphs, each with a caption; empty for a
    run that breeds no cells."""
    if not frames.bred_cells:
        return []
    best = frames.final.sort_values("accuracy", ascending=False).iloc[0]["arch"]
    cells = own_cells(Architecture.parse(best), frames.run.space.names)
    known = {(bred.layer_index, bred.cell) for bred in frames.bred_cells}
    winner = {(i, name): cell for (i, name), cell in cells.items() if (i, cell) in known}
    captioned = []
    if winner:
        caption = "The most accurate network's cells, and all that each descends from."
        captioned.append((family_tree(frames.bred_cells, winner), caption))
    if cells:
        caption = (
            "Edges run from left to right; a node is the sum of what arrives. What was not bred is a reference cell."
        )
        captioned.append((graphs(cells), caption))
    return captioned


def own_cells(arch: Architecture, names: Sequence[str]) -> dict[tuple[int, str], Op]:
    """(layer index, layer name) -> cell, for the layers that have a cell."""
    genes = zip(enumerate(names), arch.genes, strict=True)
    return {(i, name): gene for (i, name), gene in genes if gene.startswith("cell:")}


def family_tree(bred_cells: Sequence[BredCell], winner: Mapping[tuple[int, str], Op]) -> go.Figure:
    """Per layer the ancestors of the winner's cell: the iteration in which each was born, and its last fitness."""
    known = {(bred.layer_index, bred.cell): bred for bred in bred_cells}
    starts = first_iterations(bred_cells)
    figure = _grid("The family tree of the winner's cells", [name for _, name in winner], height=230)
    for place, ((i, _), cell) in enumerate(winner.items()):
        spot = _spot(place)
        family = [known[i, op] for op in ancestors(cell, i, known)]
        for bred in family:
            for parent in (known[i, op] for op in bred.parents):
                figure.add_scatter(
                    x=[_birth(parent, starts), _birth(bred, starts)], y=[_last_fitness(parent), _last_fitness(bred)], **spot,
                    mode="lines", line={"color": FAINT, "width": 1}, hoverinfo="skip", showlegend=False,
                )  # fmt: skip
        for bred in family:
            figure.add_scatter(
                x=[_birth(bred, starts)], y=[_last_fitness(bred)], **spot, mode="markers", name=bred.origin, showlegend=False,
                marker={
                    "symbol": ORIGINS[bred.origin], "size": 13 if bred.cell == cell else 8,
                    "color": "#c8102e" if bred.cell == cell else "#4c78a8", "line": {"color": "white", "width": 1},
                },
                hovertext=_hover_text(bred), hovertemplate="%{hovertext}<extra></extra>",
            )  # fmt: skip
    for origin, symbol in ORIGINS.items():
        figure.add_scatter(
            x=[None], y=[None], mode="markers", name=origin, marker={"symbol": symbol, "color": "#4c78a8"}
        )
    figure.add_scatter(x=[None], y=[None], mode="markers", name="the winner's", marker={"color": "#c8102e", "size": 12})
    figure.update_xaxes(title_text="born in iteration", title_font_size=11)
    return figure.update_yaxes(title_text="last fitness", title_font_size=11)


def graphs(cells: Mapping[tuple[int, str], Op]) -> go.Figure:
    """Each cell as a small graph, from its expanded input on the left to its output on the right.

    A node is the sum of its inputs; a ring around it marks a sum that is gated channel by channel.
    """
    figure = _grid("The winner's cells", [f"{name}<br>{escape(op)}" for (_, name), op in cells.items()], height=190)
    for place, op in enumerate(cells.values()):
        cell, spot = parse_cell(op), _spot(place)
        for (source, target), code in cell.edges.items():
            what, colour, dash = EDGES[code]
            x, y = arc(source, target)
            figure.add_scatter(
                x=x, y=y, **spot, mode="lines", name=what, showlegend=False,
                line={"color": colour, "dash": dash, "width": 2.5},
                hovertemplate=f"{what}, from {_node(cell, source)} to {_node(cell, target)}<extra></extra>",
            )  # fmt: skip
        nodes = list(range(len(cell.node_inputs) + 1))
        gates = [False, *cell.gates]
        figure.add_scatter(
            x=nodes, y=[0.0] * len(nodes), **spot, mode="markers+text", showlegend=False, hoverinfo="skip",
            text=["in", *map(str, nodes[1:-1]), "out"], textfont={"size": 10, "color": "white"},
            marker={
                "size": 24, "color": INK, "opacity": 1,
                "line": {"width": [4 if gate else 0 for gate in gates], "color": GATE},
            },
        )  # fmt: skip
        figure.update_xaxes(visible=False, range=[-0.4, max(3, len(nodes) - 1) + 0.4], row=spot["row"], col=spot["col"])
        figure.update_yaxes(visible=False, range=[-1.05, 1.05], row=spot["row"], col=spot["col"])
    used = {code for op in cells.values() for code in parse_cell(op).edges.values()}
    for code in sorted(used, key=list(EDGES).index):
        what, colour, dash = EDGES[code]
        line = {"color": colour, "dash": dash, "width": 2.5}
        figure.add_scatter(x=[None], y=[None], mode="lines", name=what, line=line)
    if any(any(parse_cell(op).gates) for op in cells.values()):
        ring = {"size": 14, "color": INK, "line": {"width": 4, "color": GATE}}
        figure.add_scatter(x=[None], y=[None], mode="markers", name="gated sum", marker=ring)
    return figure


def ancestors(cell: Op, layer: int, known: Mapping[tuple[int, Op], BredCell]) -> list[Op]:
    """The cell and all its ancestors, itself first; empty if the cell was not bred.

    Args:
        known: (layer index, cell) -> the record of the bred cell.
    """
    family: dict[Op, None] = {}
    waiting = [cell]
    while waiting:
        op = waiting.pop(0)
        if op not in family and (layer, op) in known:
            family[op] = None
            waiting += known[layer, op].parents
    return list(family)


def first_iterations(bred_cells: Sequence[BredCell]) -> dict[int, int]:
    """Round -> the number of iterations that the run had finished when the round began."""
    most: dict[int, int] = {}
    for bred in bred_cells:
        for n, iteration in ((bred.round, bred.iteration), *((n, i) for n, i, *_ in bred.fitness)):
            most[n] = max(most.get(n, 0), iteration)
    return {n: sum(most[before] for before in most if before < n) for n in most}


def arc(source: int, target: int) -> tuple[list[float], list[float]]:
    """An edge as a curve ``(x, y)``: straight to the next node, and the higher the more nodes it skips; downwards from odd
    sources."""
    along = np.linspace(0, 1, 15 if target - source > 1 else 2)
    height = 0.45 * (target - source - 1) * (-1 if source % 2 else 1)
    return (source + along * (target - source)).tolist(), (4 * height * along * (1 - along)).tolist()


def _birth(bred: BredCell, starts: Mapping[int, int]) -> int:
    """The iteration in which a cell was bred, counted over all rounds."""
    return starts[bred.round] + bred.iteration


def _last_fitness(bred: BredCell) -> float:
    return bred.fitness[-1].value if bred.fitness else 0.0


def _hover_text(bred: BredCell) -> str:
    parents = f"<br>{bred.origin} of {escape(' and '.join(bred.parents))}" if bred.parents else "<br>drawn at random"
    error = bred.fitness[-1].error if bred.fitness else None
    times = f"measured {len(bred.fitness)} times, fitness {_last_fitness(bred):.3f}"
    times += f", standard error {error:.3f}" if error is not None else ""
    return f"{escape(bred.cell)}{parents}<br>born in iteration {bred.iteration} of round {bred.round}<br>{times}"


def _node(cell: Genome, node: int) -> str:
    return "the input" if node == 0 else "the output" if node == len(cell.node_inputs) else f"node {node}"


def _grid(title: str, names: Sequence[str], height: int) -> go.Figure:
    """Empty subplots, one per name, ``COLUMNS`` in a row."""
    rows = -(-len(names) // COLUMNS)
    figure = make_subplots(
        rows, COLUMNS, subplot_titles=names, horizontal_spacing=0.07,
        vertical_spacing=min(0.4 / max(1, rows - 1), 70 / (height * rows)) if rows > 1 else 0.1,
    )  # fmt: skip
    figure.update_annotations(font_size=12)
    legend = {"yref": "container", "y": 0.0, "yanchor": "bottom"}  # below: the names stand above
    return figure.update_layout(
        template=THEME, title=title, height=height * rows + 130, legend=legend, margin={"b": 70}
    )


def _spot(place: int) -> dict[str, int]:
    return {"row": place // COLUMNS + 1, "col": place % COLUMNS + 1}
