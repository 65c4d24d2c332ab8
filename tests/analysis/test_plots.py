"""Figures carry what their frames say: traces, axes, colours, marks."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go
import pytest

from analysis.figures import plots, theme
from analysis.frames import Frames
from tests.example_run import CHEAP, DEAR, FREE


def traces(figure: go.Figure, **wanted: object) -> list[go.Scatter]:
    return [trace for trace in figure.data if all(getattr(trace, key) == value for key, value in wanted.items())]


def test_every_round_has_a_stair_through_its_front(frames: Frames) -> None:
    figure = plots.fronts(frames.results, frames.fronts, "macs")
    first, second = traces(figure, mode="lines+markers")
    assert (first.name, list(first.x), list(first.y)) == ("round 1", [10, 40], [0.5, 0.8])
    assert (second.name, list(second.x), list(second.y)) == ("round 2", [5, 10, 40], [0.3, 0.6, 0.9])
    assert {first.line.shape, second.line.shape} == {"hv"}
    assert list(second.hovertext) == [FREE, CHEAP, DEAR]


def test_networks_behind_the_front_are_faint_points_and_repeats_are_no_points(frames: Frames) -> None:
    figure = plots.fronts(frames.results, frames.fronts, "macs")
    behind = traces(figure, mode="markers")
    assert [list(trace.x) for trace in behind] == [[20.0], []]
    assert all(trace.marker.opacity < 0.5 and not trace.showlegend for trace in behind)


def test_the_background_is_thinned_and_the_front_is_not(frames: Frames) -> None:
    figure = plots.fronts(frames.results, frames.fronts, "macs", background=0)
    assert [len(trace.x) for trace in traces(figure, mode="markers")] == [0, 0]
    assert [len(trace.x) for trace in traces(figure, mode="lines+markers")] == [2, 3]


@pytest.mark.parametrize(("spread", "kind"), [(9.0, None), (11.0, "log")])
def test_costs_over_more_than_a_decade_are_logarithmic(frames: Frames, spread: float, kind: str | None) -> None:
    results = frames.results.assign(macs=[1.0, spread, 2, 2, 2, 2, 2])
    assert plots.fronts(results, results, "macs").layout.xaxis.type == kind


def test_axes_are_named_with_their_units(frames: Frames) -> None:
    figure = plots.fronts(frames.results, frames.fronts, "macs")
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == (
        "multiply-accumulates (MACs)",
        "accuracy",
    )
    assert plots.hypervolume(frames.trace, "seconds").layout.xaxis.title.text == "seconds spent fitting and measuring"


def test_hypervolume_steps_only_where_it_changes(frames: Frames) -> None:
    first, second = traces(plots.hypervolume(frames.trace), mode="lines")
    assert list(first.x) == [1, 3, 3]
    assert list(first.y) == pytest.approx([0.45, 0.63, 0.63])
    assert list(second.x) == [4, 5, 6]
    assert list(second.y) == pytest.approx([0.54, 0.72, 0.735])


def test_a_round_has_one_colour_in_every_figure(frames: Frames) -> None:
    colours = theme.round_colours([1, 2])
    stairs = traces(plots.fronts(frames.results, frames.fronts, "macs"), mode="lines+markers")
    curves = traces(plots.hypervolume(frames.trace), mode="lines")
    assert [trace.line.color for trace in stairs] == [trace.line.color for trace in curves] == list(colours.values())


def test_colours_darken_from_round_to_round() -> None:
    def luminance(colour: str) -> float:
        red, green, blue = (int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for n in (1, 2, 3, 10):
        found = [luminance(colour) for colour in theme.round_colours(range(1, n + 1)).values()]
        assert found == sorted(found, reverse=True)
        assert len(set(found)) == n


def test_operations_stand_at_their_layer_with_their_share(frames: Frames) -> None:
    heat = plots.operations(frames.choices, 1).data[0]
    assert list(heat.x) == ["stage1.layer1", "stage2.layer1"]
    assert list(heat.y) == ["id", "mb_k3_e1", "mb_k5_e3", "mb_k7_e3"]
    shares = pd.DataFrame(heat.z, index=list(heat.y), columns=list(heat.x))
    assert shares.loc["mb_k5_e3"].tolist() == [0.5, 0.5]
    assert shares.isna().sum().sum() == 3  # id anywhere, mb_k7_e3 at the second layer


def test_what_was_dropped_or_refilled_is_marked_with_its_rule(frames: Frames) -> None:
    figure = plots.operations(frames.choices, 1)
    (dropped,), (added,) = traces(figure, name="dropped"), traces(figure, name="added")
    assert (list(dropped.x), list(dropped.y)) == (["stage1.layer1"], ["mb_k7_e3"])
    assert (list(added.x), list(added.y)) == (["stage1.layer1"], ["id"])
    assert "keep ratings &gt; 0.01" in dropped.hovertext[0]


def test_all_rounds_share_the_axes_of_operations(frames: Frames) -> None:
    one, two = (plots.operations(frames.choices, n).data[0] for n in (1, 2))
    assert (list(one.x), list(one.y)) == (list(two.x), list(two.y))


def test_operations_are_in_natural_order() -> None:
    assert sorted(["mb_k11_e1", "mb_k5_e3", "id", "mb_k5_e1"], key=plots.natural) == [
        "id",
        "mb_k5_e1",
        "mb_k5_e3",
        "mb_k11_e1",
    ]


def test_long_architectures_are_wrapped_and_escaped() -> None:
    assert plots.wrap_hover("a|b|c", per_line=2) == "a|b|<br>c"
    assert plots.wrap_hover("<i>|b") == "&lt;i&gt;|b"
