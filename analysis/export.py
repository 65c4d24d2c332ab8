"""The data behind a page as files: frames as CSV, figures as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import plotly.graph_objects as go
from plotly.io import write_images

from analysis.comparison import RunComparison
from analysis.frames import Frames
from spaces.atomic_files import atomic_write
from spaces.files.outputs import check_no_database, check_replaceable, explained
from studies.records import EvoError

PNG = b"\x89PNG\r\n"
"""How a picture begins."""

SIZE = (1200, 600)
"""Width and height of a picture; PNG files have twice as many pixels each way."""


def frames_of(frames: Frames) -> dict[str, pd.DataFrame]:
    """Every frame behind the page of a run, by name."""
    rounds = pd.DataFrame([{k: v for k, v in asdict(row).items() if k != "truth"} for row in frames.rounds])
    return {
        "results": frames.results, "fronts": frames.fronts, "final": frames.final, "hypervolume": frames.trace,
        "choices": frames.choices, "whatif": frames.whatif, "truth": frames.witnesses, "time": frames.time_spent,
        "rounds": rounds,
    }  # fmt: skip


def compared_frames(compared: RunComparison) -> dict[str, pd.DataFrame]:
    """Every frame behind a comparison, by name."""
    return {
        "runs-fronts": compared.fronts, "runs-hypervolume": compared.trace, "runs-equal": compared.equal,
        "runs-settings": compared.settings, "runs-references": compared.references,
    }  # fmt: skip


def write_csv(folder: Path, frames: Mapping[str, pd.DataFrame]) -> None:
    """Write one ``NAME.csv`` per frame.

    Raises:
        SpaceError: the files cannot be written there, or others of these names are there.
    """
    with explained(folder, "give another place: --csv DIR"):
        _prepare(folder, {f"{name}.csv": _first_heading(frame) for name, frame in frames.items()})
        for name, frame in frames.items():
            with atomic_write(folder / f"{name}.csv") as draft:
                frame.to_csv(draft, index=False)


def _first_heading(frame: pd.DataFrame) -> bytes:
    """How the file of a frame begins, whatever columns a version has added."""
    header = str(frame.head(0).to_csv(index=False))
    return header[: header.find(",") + 1 or None].encode()


def _prepare(folder: Path, starts: Mapping[str, bytes]) -> None:
    """Make the folder, whose files are to be written, by name and how they begin, where nothing else has these names.

    Raises:
        SpaceError: something else is there.
    """
    check_no_database(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, start in starts.items():
        check_replaceable(folder / name, start)


def write_png(folder: Path, figures: Mapping[str, go.Figure]) -> None:
    """Write one ``NAME.png`` per figure.

    Raises:
        EvoError: kaleido or a browser is missing.
        SpaceError: the pictures cannot be written there, or other files of these names are there.
    """
    with explained(folder, "give another place: --png DIR"):
        _prepare(folder, {f"{name}.png": PNG for name in figures})
        _write_images(folder, figures)


def _write_images(folder: Path, figures: Mapping[str, go.Figure]) -> None:
    width, height = SIZE
    try:
        write_images(
            list(figures.values()),
            [folder / f"{name}.png" for name in figures],
            width=width,
            height=[figure.layout.height or height for figure in figures.values()],
            scale=2,
        )
    except (
        RuntimeError,
        ValueError,
    ) as error:  # from plotly: kaleido or a browser is missing, or the browser does not start
        (reason, *_) = str(error).strip().splitlines()
        raise EvoError(f"--png needs kaleido (pip install kaleido) and Chrome or Chromium: {reason}") from None
