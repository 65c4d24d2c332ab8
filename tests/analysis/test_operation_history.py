"""The tables of operations: what was dropped, what came, and when."""

from __future__ import annotations

from analysis.frames import Frames
from analysis.operation_history import flows


def test_a_layer_tells_what_became_of_each_operation(frames: Frames) -> None:
    first, second = flows(frames.choices)
    assert (first.layer, first.rounds, first.steady, second.steady) == ("stage1.layer1", (1, 2), False, True)
    told = {track.op: [(entry.state, entry.new) for entry in track.entries] for track in first.tracks}
    assert told == {
        "mb_k3_e1": [("kept", False), ("kept", False)],
        "mb_k5_e3": [("kept", False), ("kept", False)],
        "mb_k7_e3": [("dropped", False), ("absent", False)],
        "id": [("absent", False), ("kept", True)],
    }
    assert {track.op for track in first.tracks if track.remains} == {"mb_k3_e1", "mb_k5_e3", "id"}


def test_what_the_last_round_refilled_enters_the_next_space(frames: Frames) -> None:
    first, _ = flows(frames.choices[frames.choices["round"] == 1])
    assert [(track.op, track.remains) for track in first.tracks if track.entering] == [("id", True)]


def test_a_cell_has_its_rating_and_the_colour_of_its_share(frames: Frames) -> None:
    kept, _, dropped, new = (track.entries for track in flows(frames.choices)[0].tracks)
    assert [entry.rating_text for entry in (*kept, *dropped)] == [".5", ".5", "0", ""]
    assert kept[0].colour != dropped[0].colour
    assert (dropped[1].colour, new[0].colour) == ("transparent", "transparent")
    assert kept[0].dark
    assert not dropped[0].dark
