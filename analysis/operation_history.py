"""What became of each operation, layer by layer and round by round: a small table per layer, for people to look at.

Chosen after looking at it beside a Sankey diagram, whose bands cross as soon as operations return, and one heat map of all
layers, whose columns no phone can show.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd
from plotly.colors import sample_colorscale

from analysis.theme import SHARES

ABSENT, KEPT, DROPPED = "absent", "kept", "dropped"


@dataclass(frozen=True)
class Cell:
    """One operation in one round.

    Attributes:
        state: ``absent`` (no candidate), ``kept``, ``dropped`` (after the round).
        new: whether it came with the round.
        share: of the round's front that carries it; None where it was no candidate.
        rating: what the rule decided by; None where nothing was learned.
        colour: the share as a colour; ``dark`` where text on it must be light.
    """

    round: int
    state: str
    new: bool = False
    share: float | None = None
    rating: float | None = None
    colour: str = "transparent"
    dark: bool = False

    @property
    def shown(self) -> str:
        """The rating to two digits, as far as there is one."""
        if self.rating is None:
            return ""
        text = f"{self.rating:.2g}" if abs(self.rating) < 100 else f"{self.rating:.0f}"
        return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text


@dataclass(frozen=True)
class Track:
    """One operation through the rounds; ``remains`` tells whether the next space holds it, ``entering`` whether anew."""

    op: str
    cells: tuple[Cell, ...]
    remains: bool
    entering: bool


@dataclass(frozen=True)
class LayerFlow:
    """One layer: its operations, those that were in its first round first."""

    layer: str
    rounds: tuple[int, ...]
    tracks: tuple[Track, ...]

    @property
    def steady(self) -> bool:
        """Whether nothing was ever dropped or added here."""
        return not any(track.entering or any(cell.state != KEPT for cell in track.cells) for track in self.tracks)


def flows(choices: pd.DataFrame) -> list[LayerFlow]:
    """``choices`` (see ``frames``) as one table per layer, first layer first."""
    rounds = tuple(sorted(choices["round"].unique().tolist()))
    return [_layer(str(group["layer"].iloc[0]), rounds, group) for _, group in choices.groupby("layer_index")]


def _layer(name: str, rounds: tuple[int, ...], choices: pd.DataFrame) -> LayerFlow:
    found = {(row["round"], row["op"]): row for row in choices.to_dict("records")}
    tracks = []
    for op in choices["op"].drop_duplicates().tolist():
        cells = tuple(_cell(number, found.get((number, op)), found.get((number - 1, op))) for number in rounds)
        last = found.get((rounds[-1], op), {"fate": DROPPED})["fate"]
        tracks.append(Track(op, cells, last != DROPPED, last == "added"))
    return LayerFlow(name, rounds, tuple(tracks))


def _cell(number: int, row: dict[str, object] | None, before: dict[str, object] | None) -> Cell:
    """A row says what the round did with the operation; one that it added is a candidate of the next round only."""
    if row is None or row["fate"] == "added":
        return Cell(number, ABSENT)
    share, rating = (None if pd.isna(value) else float(str(value)) for value in (row["share"], row["rating"]))
    new = before is not None and before["fate"] == "added"
    (colour,) = sample_colorscale([list(stop) for stop in SHARES], [share or 0.0])
    return Cell(number, str(row["fate"]), new, share, rating, colour, (share or 0.0) > 0.45)
