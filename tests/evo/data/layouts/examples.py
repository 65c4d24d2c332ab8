"""Pictures for tests of layouts."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evo.data.loading import _load_cached, load_dataset
from evo.data.source import Images
from studies.config import DataSection
from studies.records import EvoError

NAMES = ("ant", "bee", "cat")


def picture(i: int, mode: str = "RGB") -> Image.Image:
    """A picture of its own for each number: 6 x 8 pixels, noise."""
    shape = (6, 8) if mode == "L" else (6, 8, 3)
    return Image.fromarray(np.random.default_rng(i).integers(0, 256, shape, np.uint8))


def encoded(i: int, mode: str = "RGB") -> bytes:
    """The same as a PNG file."""
    file = io.BytesIO()
    picture(i, mode).save(file, "PNG")
    return file.getvalue()


def load(path: Path, **more: Any) -> Images:
    """The data set at a path, with images of 6 x 8 pixels as they are."""
    _load_cached.cache_clear()
    return load_dataset(DataSection(name="images", path=str(path), **{"size": [6, 8], "workers": 0, **more}))


def refused(path: Path, match: str, **more: Any) -> None:
    """Loading fails with a message, and never otherwise."""
    with pytest.raises(EvoError, match=match):
        load(path, **more)


def shown(images: Images) -> dict[str, list[tuple[bytes, str]]]:
    """Of each part the bytes of its images and the names of their classes, sorted."""
    mean, std = (np.array(values)[:, None, None] for values in (images.mean, images.std))
    found = {}
    for part in ("train", "validation", "test"):
        source = images.part(part)  # type: ignore[arg-type]
        pairs = [(x, y) for xs, ys in source.batches(7) for x, y in zip(xs.numpy(), ys.tolist(), strict=True)]
        found[part] = sorted(
            (np.rint((x * std + mean) * 255).astype(np.uint8).tobytes(), images.class_names[y]) for x, y in pairs
        )
    return found


def pixels(i: int, mode: str = "RGB") -> bytes:
    """The bytes of a picture, channels first."""
    array = np.asarray(picture(i, mode))
    return array.tobytes() if mode == "L" else array.transpose(2, 0, 1).tobytes()


def write_tar(path: Path, members: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path
