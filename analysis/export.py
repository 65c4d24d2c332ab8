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
from studies.records import EvoError

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
        EvoError: the files cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, frame in frames.items():
            with atomic_write(folder / f"{name}.csv") as draft:
                frame.to_csv(draft, index=False)
    except OSError as error:
        raise EvoError(f"cannot write to {folder}: {error.strerror}; give another place: --csv DIR") from None


def write_png(folder: Path, figures: Mapping[str, go.Figure]) -> None:
    """Write one ``NAME.png`` per figure.

    Raises:
        EvoError: kaleido or a browser is missing, or the pictures cannot be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        width, height = SIZE
        write_images(
            list(figures.values()),
            [folder / f"{name}.png" for name in figures],
            width=width,
            height=[figure.layout.height or height for figure in figures.values()],
            scale=2,
        )
    except OSError as error:
        raise EvoError(f"cannot write to {folder}: {error.strerror}; give another place: --png DIR") from None
    except (
        RuntimeError,
        ValueError,
    ) as error:  # from plotly: kaleido or a browser is missing, or the browser does not start
        (reason, *_) = str(error).strip().splitlines()
        raise EvoError(f"--png needs kaleido (pip install kaleido) and Chrome or Chromium: {reason}") from None
