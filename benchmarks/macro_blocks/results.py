"""What one seed has found, as a line of a file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.macro_blocks.settings import Settings

FILE = "results.jsonl"


@dataclass(frozen=True)
class Result:
    """One seed's teacher and blocks.

    Attributes:
        teacher: its accuracy on validation images, from 0 to 1.
        losses: by block, what each candidate loses, lower is better; candidates as text.
        images: training images.
        cpu_seconds: of training and scoring; None: a part was there already.
    """

    settings: Settings
    seed: int
    teacher: float
    losses: tuple[Mapping[str, float], ...]
    images: int
    cpu_seconds: float | None


def append_result(folder: Path, result: Result) -> None:
    """One more line."""
    with (folder / FILE).open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def read_results(folder: Path) -> list[Result]:
    """All lines, the oldest first; none where there is no file."""
    path = folder / FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [_result(json.loads(line)) for line in lines]


def _result(known: dict[str, object]) -> Result:
    settings, losses = known.pop("settings"), known.pop("losses")
    assert isinstance(settings, dict)
    assert isinstance(losses, list)
    return Result(settings=Settings(**settings), losses=tuple(losses), **known)  # type: ignore[arg-type]
