"""Figures of bred cells: the ancestors are all there, and a graph's lines are its cell's edges."""

from __future__ import annotations

import pytest

from analysis.figures.lineage import ancestors, arc, family_tree, figures, first_iterations, graphs, own_cells
from analysis.frames import Frames
from spaces.architecture import Architecture
from spaces.operations.cells import parse_cell
from studies.records import BredCell, Fitness

A = BredCell(0, "cell:e1_3", "random", (), 1, 0, (Fitness(1, 1, 0.1),))
B = BredCell(0, "cell:e1_5", "random", (), 1, 0, (Fitness(1, 2, 0.2),))
C = BredCell(0, "cell:e1_3_-5", "crossover", (A.cell, B.cell), 1, 2, (Fitness(1, 2, 0.3), Fitness(2, 1, 0.5)))
D = BredCell(0, "cell:e3_3_-5", "mutation", (C.cell,), 2, 3, (Fitness(2, 3, 0.9, 0.05),))
OTHER = BredCell(0, "cell:e6_5", "mutation", (B.cell,), 1, 3, (Fitness(1, 3, 0.0),))
LIVES = [A, B, C, D, OTHER]


def test_ancestors_are_all_that_a_cell_descends_from() -> None:
    known = {(life.layer_index, life.cell): life for life in LIVES}
    assert ancestors(D.cell, 0, known) == [D.cell, C.cell, A.cell, B.cell]
    assert ancestors("cell:e6_3", 0, known) == []


def test_iterations_go_on_from_round_to_round() -> None:
    assert first_iterations(LIVES) == {1: 0, 2: 3}


def test_the_family_tree_has_every_ancestor_at_its_birth_and_last_fitness() -> None:
    figure = family_tree(LIVES, {(0, "stage1.layer1"): D.cell})
    points = {
        (trace.x[0], trace.y[0]): trace.marker.color
        for trace in figure.data
        if trace.mode == "markers" and trace.x[0] is not None
    }
    assert set(points) == {(0, 0.1), (0, 0.2), (2, 0.5), (6, 0.9)}
    assert list(points.values()).count(points[6, 0.9]) == 1  # the winner's has a colour of its own
    lines = {(trace.x, trace.y) for trace in figure.data if trace.mode == "lines"}
    assert lines == {((0, 2), (0.1, 0.5)), ((0, 2), (0.2, 0.5)), ((2, 6), (0.5, 0.9))}
    (told,) = (trace.hovertext for trace in figure.data if trace.hovertext and D.cell in trace.hovertext)
    assert "mutation of cell:e1_3_-5" in told
    assert "born in iteration 3 of round 2" in told
    assert "measured 1 times, fitness 0.900, standard error 0.050" in told


def test_a_graph_has_a_line_for_every_edge() -> None:
    op = "cell:e3_3_i5g_p-3"
    figure = graphs({(0, "stage1.layer1"): op})
    lines = [trace for trace in figure.data if trace.mode == "lines" and trace.x[0] is not None]
    edges = parse_cell(op).edges
    assert [(trace.x[0], trace.x[-1]) for trace in lines] == list(edges)
    assert {trace.name for trace in lines} == {"as it is", "3x3 average", "depthwise 3x3", "depthwise 5x5"}
    assert figure.layout.annotations[0].text == f"stage1.layer1<br>{op}"


def test_edges_that_skip_nodes_are_arcs() -> None:
    assert arc(0, 1) == ([0.0, 1.0], [0.0, 0.0])
    x, y = arc(0, 3)
    assert (x[0], x[-1], max(y)) == (0.0, 3.0, pytest.approx(0.9))
    assert min(arc(1, 3)[1]) == pytest.approx(-0.45)


def test_only_cells_are_drawn() -> None:
    arch = Architecture(("cell:e1_3", "id", "mb_k3_e6"))
    assert own_cells(arch, ["a", "b", "c"]) == {(0, "a"): "cell:e1_3"}


def test_a_run_that_bred_nothing_has_no_such_figures(frames: Frames) -> None:
    assert figures(frames) == []
