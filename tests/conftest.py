"""Fixtures that every room's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # tests run side by side; threads that wait for each other cost more than they give

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of published tables and images: ``EVO_DATA``, or ``../shared/data`` beside the project."""
    folder = Path(os.environ.get("EVO_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"needs the published tables: no folder {folder}; set EVO_DATA")
    return folder
