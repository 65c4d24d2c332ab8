"""The tables of operations: what was dropped, what came, and when."""

from __future__ import annotations

import pandas as pd
import pytest

from analysis.figures.operation_history import evidence, flows
from analysis.frames import Frames, count_unmeasured
from analysis.sentences import describe_measured


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


def test_evidence_stands_beside_what_became_of_an_operation(frames: Frames) -> None:
    known = frames.choices.assign(measured=4.0, effect=0.012, effect_low=-0.003, effect_high=0.027)
    known.loc[known["op"] == "mb_k7_e3", ["measured", "effect", "effect_low", "effect_high"]] = [0, None, None, None]
    kept, _, dropped, _ = (track.entries[0] for track in flows(known)[0].tracks)
    assert kept.evidence == "measured 4 times, adds +1.20 (-0.30 to +2.70) points at equal cost"
    assert (dropped.measured, dropped.evidence) == (0, "not measured")
    assert {entry.evidence for layer in flows(frames.choices) for track in layer.tracks for entry in track.entries} == {
        ""
    }


def test_what_the_evaluator_learned_stands_beside_it(frames: Frames) -> None:
    (kept, *_), *_ = (track.entries for track in flows(frames.choices.assign(learned=0.73))[0].tracks)
    assert kept.learned == 0.73
    assert flows(frames.choices)[0].tracks[0].entries[0].learned is None


def test_what_adds_most_comes_first(frames: Frames) -> None:
    last = frames.choices["round"] == 2
    known = frames.choices.assign(measured=4.0, effect_low=-0.01, effect_high=0.05)
    known["effect"] = [None] * int((~last).sum()) + [0.01, 0.03, 0.02, -0.01, None]
    assert [(one.layer, one.op, one.effect.split()[0], one.measured) for one in evidence(known)] == [
        ("stage1.layer1", "mb_k5_e3", "+3.00", 4),
        ("stage1.layer1", "id", "+2.00", 4),
        ("stage1.layer1", "mb_k3_e1", "+1.00", 4),
        ("stage2.layer1", "mb_k3_e1", "-1.00", 4),
    ]
    assert evidence(frames.choices) == []


@pytest.mark.parametrize(
    ("measured", "unmeasured", "words"),
    [
        ([0.0, 0.0], 2, " (2 of them not measured in this round)"),
        ([0.0, 3.0], 1, " (1 of them not measured in this round)"),
        ([2.0, 3.0], 0, " (all measured)"),
        ([2.0], 0, " (and it was measured)"),
        ([None, 0.0], None, ""),
        ([], 0, ""),
    ],
)
def test_it_is_told_how_many_of_the_dropped_were_measured(
    measured: list[float | None], unmeasured: int | None, words: str
) -> None:
    choices = pd.DataFrame({"fate": ["dropped"] * len(measured), "measured": measured}).astype({"measured": float})
    assert count_unmeasured(choices) == unmeasured
    assert describe_measured(len(measured), unmeasured) == words
