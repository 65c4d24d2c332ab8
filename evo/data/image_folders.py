"""Images in class folders: which there are, what they show, and how one is read."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from evo.data.source import HASHED_IMAGES
from spaces import torchvision_shim
from studies.records import EvoError


@dataclass(frozen=True, eq=False)
class Photographs:
    """``Pictures`` in files; all are seen in three channels."""

    paths: np.ndarray

    channels = 3
    size = None
    threads = True

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Any:
        return torchvision_shim.torchvision.datasets.folder.default_loader(str(self.paths[i]))

    def take(self, places: np.ndarray | slice) -> Photographs:
        return Photographs(self.paths[places])

    def joined_with(self, other: Photographs) -> Photographs:
        return Photographs(np.concatenate((self.paths, other.paths)))

    def content(self) -> Iterator[bytes]:
        """Class folder, name and size of each; of some the content."""
        yield repr(("U", self.paths.shape)).encode()
        every = max(1, len(self.paths) // HASHED_IMAGES)
        for place, path in enumerate(map(Path, self.paths.tolist())):
            yield f"{path.parent.name}/{path.name} {os.path.getsize(path)}\n".encode()
            if place % every == 0:
                yield path.read_bytes()


def list_images(
    folder: Path, classes: tuple[str, ...] | None = None
) -> tuple[Photographs, np.ndarray, tuple[str, ...]]:
    """All images in the class folders of ``folder``, their labels, and the names of the classes.

    Args:
        classes: names in the order of the labels; None: those of the class folders, in alphabetical order.

    Raises:
        EvoError: there is no such folder, no images in it, or a class folder that is not one of ``classes``.
    """
    if not folder.is_dir():
        raise EvoError(f"data.path is {str(folder)!r}: no such folder; expected one folder per class, images inside")
    try:
        folder_images = torchvision_shim.torchvision.datasets.ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise EvoError(f"data.path is {str(folder)!r}: {error}; expected one folder per class") from None
    names = tuple(folder_images.classes) if classes is None else classes
    if unknown := [name for name in folder_images.classes if name not in names]:
        raise EvoError(
            f"{folder} has the class {unknown[0]!r}, and the training images have only {', '.join(names)}: expected the "
            "same class folders in both"
        )
    labels = np.array([names.index(name) for name in folder_images.classes])
    paths = np.array([path for path, _ in folder_images.samples])
    return Photographs(paths), labels[np.asarray(folder_images.targets)], names
