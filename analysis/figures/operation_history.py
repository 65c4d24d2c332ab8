"""The fate of each operation, layer by layer and round by round: a small table per layer, shown in the report.

Two other forms were tried: the bands of a Sankey diagram cross as soon as operations return, and one heat map of all layers
has more columns than a phone can show.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd
from plotly.colors import sample_colorscale

from analysis.figures.theme import SHARES

ABSENT, KEPT, DROPPED = "absent", "kept", "dropped"


@dataclass(frozen=True)
class Entry:
    """One operation in one round.

    Attributes:
        state: ``absent`` (no candidate), ``kept``, ``dropped`` (after the round).
        new: whether the operation was added for this round.
        share: the fraction of the round's front that carries it; None if it was no candidate.
        rating: the value that the rule decided by; None if the method gives none.
        measured: networks of the round that carry it; None if that was not recorded.
        effect: what it adds to the score at equal cost beside the mean of its layer's candidates, in percentage points, with
            the ends of its 95 % interval; None if nothing is known.
        learned: what the evaluator learned about it in the round: how likely its gate is on, where there are gates; None if
            nothing.
        colour: the share as a colour; ``dark``: whether text on it must be light.
    """

    round: int
    state: str
    new: bool = False
    share: float | None = None
    rating: float | None = None
    measured: int | None = None
    effect: tuple[float, float, float] | None = None
    colour: str = "transparent"
    dark: bool = False
    learned: float | None = None

    @property
    def rating_text(self) -> str:
        """The rating to two digits; empty if there is none."""
        if self.rating is None:
            return ""
        text = f"{self.rating:.2g}" if abs(self.rating) < 100 else f"{self.rating:.0f}"
        return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text

    @property
    def evidence(self) -> str:
        """How often the operation was measured and what it adds, in words; empty if that was not recorded."""
        if self.measured is None:
            return ""
        times = f"measured {self.measured} times" if self.measured else "not measured"
        return times if self.effect is None else f"{times}, adds {effect_text(self.effect)} points at equal cost"


def effect_text(effect: tuple[float, float, float]) -> str:
    """``+1.20 (-0.30 to +2.70)``."""
    mean, low, high = effect
    return f"{mean:+.2f} ({low:+.2f} to {high:+.2f})"


@dataclass(frozen=True)
class Track:
    """One operation through the rounds, one entry each.

    Attributes:
        remains: whether the next space holds the operation; ``entering``: whether it does so as a new one.
    """

    op: str
    entries: tuple[Entry, ...]
    remains: bool
    entering: bool


@dataclass(frozen=True)
class LayerFlow:
    """The operations of one layer, those of its first round first."""

    layer: str
    rounds: tuple[int, ...]
    tracks: tuple[Track, ...]

    @property
    def steady(self) -> bool:
        """Whether no operation of this layer was ever dropped or added."""
        return not any(track.entering or any(entry.state != KEPT for entry in track.entries) for track in self.tracks)


def flows(choices: pd.DataFrame) -> list[LayerFlow]:
    """One table per layer, first layer first, from the frame ``choices`` (see ``analysis.frames``)."""
    rounds = tuple(sorted(choices["round"].unique().tolist()))
    return [_layer(str(group["layer"].iloc[0]), rounds, group) for _, group in choices.groupby("layer_index")]


def _layer(name: str, rounds: tuple[int, ...], choices: pd.DataFrame) -> LayerFlow:
    by_round = {(row["round"], row["op"]): row for row in choices.to_dict("records")}
    tracks = []
    for op in choices["op"].drop_duplicates().tolist():
        entries = tuple(_entry(number, by_round.get((number, op)), by_round.get((number - 1, op))) for number in rounds)
        last = by_round.get((rounds[-1], op), {"fate": DROPPED})["fate"]
        tracks.append(Track(op, entries, last != DROPPED, last == "added"))
    return LayerFlow(name, rounds, tuple(tracks))


def _entry(number: int, row: dict[str, object] | None, before: dict[str, object] | None) -> Entry:
    """The entry of round ``number`` from the operation's rows in this round and the one before.

    An operation that a round added is a candidate in the next round only, so it is absent in this one.
    """
    if row is None or row["fate"] == "added":
        return Entry(number, ABSENT)
    share, rating, measured = (_number(row[name]) for name in ("share", "rating", "measured"))
    new = before is not None and before["fate"] == "added"
    (colour,) = sample_colorscale([list(stop) for stop in SHARES], [share or 0.0])
    return Entry(
        number,
        str(row["fate"]),
        new,
        share,
        rating,
        None if measured is None else int(measured),
        effect_of(row),
        colour,
        (share or 0.0) > 0.45,
        _number(row["learned"]),
    )


def effect_of(row: Mapping[str, object]) -> tuple[float, float, float] | None:
    """The effect in a row of ``choices``, in percentage points of the score, and the ends of its interval."""
    mean, low, high = (_number(row[name]) for name in ("effect", "effect_low", "effect_high"))
    return None if mean is None or low is None or high is None else (100 * mean, 100 * low, 100 * high)


def _number(value: object) -> float | None:
    return None if pd.isna(value) else float(str(value))


@dataclass(frozen=True)
class Evidence:
    """What one operation of the last finished round is known to add.

    Attributes:
        measured: networks of the round that carry it.
        effect: what it adds, with its interval, in words; ``fate``: what became of it.
    """

    layer: str
    op: str
    measured: int
    effect: str
    fate: str


def evidence(choices: pd.DataFrame) -> list[Evidence]:
    """The operations of the last finished round, what adds most first; empty if nothing was recorded."""
    last = choices[(choices["round"] == choices["round"].max()) & choices["effect"].notna()]
    rows = last.sort_values("effect", ascending=False, kind="stable").to_dict("records")
    found = [(row, effect_of(row)) for row in rows]
    return [
        Evidence(str(row["layer"]), str(row["op"]), int(row["measured"]), effect_text(effect), str(row["fate"]))
        for row, effect in found
        if effect is not None
    ]
