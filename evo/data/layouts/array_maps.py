"""Images and labels in ``.npy`` files, ``images.npy`` and ``labels.npy``: they stay in the file until they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from evo.data.folders.entries import read_entries
from evo.data.folders.part_names import role_of
from evo.data.image_files import printable
from evo.data.layouts.labelling import Label, read_label
from evo.data.layouts.parts import Labelled
from evo.data.source import HASHED_BYTES, Coverage
from spaces.size import Size, as_size
from studies.records import EvoError

IMAGES, LABELS = "images.npy", "labels.npy"

EXPECTED = f"expected {IMAGES} of uint8 (n, height, width[, channels]), and {LABELS} (n,)"

SLICES = 4096
"""Images of a large file whose content a fingerprint covers, spread evenly."""


@dataclass(frozen=True, eq=False)
class MappedImages:
    """``Pictures`` that are parts of ``.npy`` files, which are mapped into memory.

    Attributes:
        files: the files; ``arrays``: their images ``(n, height, width, channels)``.
        places: ``(n, 2)``, of each picture the number of its file and its place there.
    """

    files: tuple[str, ...]
    arrays: tuple[np.ndarray, ...]
    places: np.ndarray

    threads = True

    @property
    def channels(self) -> int:
        return int(self.arrays[0].shape[3])

    @property
    def size(self) -> Size:
        return as_size(list(self.arrays[0].shape[1:3]))

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, i: int) -> Tensor:
        file, place = self.places[i].tolist()
        return torch.from_numpy(np.array(self.arrays[file][place])).permute(2, 0, 1)

    def __reduce__(self) -> tuple[object, ...]:
        return _open_again, (self.files, self.places)  # the files, and not what is in them

    def take(self, places: np.ndarray | slice) -> MappedImages:
        return replace(self, places=self.places[places])

    def joined_with(self, other: MappedImages) -> MappedImages:
        return replace(self, places=np.concatenate((self.places, other.places)))

    def content(self, coverage: Coverage) -> Iterator[bytes]:
        """How many images there are, and all of them; some, where they are more than ``HASHED_BYTES``."""
        one = int(np.prod(self.arrays[0].shape[1:]))
        every = 1 if one * len(self) <= HASHED_BYTES else max(1, len(self) // SLICES)
        yield repr(("mapped", 1, len(self), self.arrays[0].shape[1:], every)).encode()
        for file, place in self.places[::every].tolist():
            yield sha256(np.ascontiguousarray(self.arrays[file][place]).data).digest()


def _open_again(files: tuple[str, ...], places: np.ndarray) -> MappedImages:
    return MappedImages(files, tuple(_images(Path(file)) for file in files), places)


def map_folders(root: Path) -> dict[str, Path]:
    """Where ``images.npy`` lies, by part: the folder itself, or folders in it that are called like parts; empty: nowhere.

    Raises:
        EvoError: two folders are called like one part.
    """
    if (root / IMAGES).is_file():
        return {"train": root}
    found: dict[str, Path] = {}
    for name in read_entries(str(root)).folders:
        if not (root / name / IMAGES).is_file() or (role := role_of(name)) is None:
            continue
        if role in found:
            raise EvoError(
                f"data.path is {printable(str(root))!r}, and both {found[role].name} and {name} are called like its {role} "
                "images: rename one"
            )
        found[role] = root / name
    return found


def read_maps(root: Path, labelled: bool) -> Labelled:
    """The images of ``map_folders``, which there are.

    Raises:
        EvoError: a file is missing, damaged, or holds something else.
    """
    title, folders = f"data.path is {printable(str(root))!r}", map_folders(root)
    files = tuple(str(folder / IMAGES) for folder in folders.values())
    arrays = tuple(_images(Path(file)) for file in files)
    if shapes := {array.shape[1:] for array in arrays} - {arrays[0].shape[1:]}:
        raise EvoError(
            f"{title}: images of one part are {arrays[0].shape[1:]}, and of another {shapes.pop()}: expected one height, width "
            "and number of channels"
        )
    labels: list[Label] = []
    for folder, array in zip(folders.values(), arrays, strict=True):
        labels += _labels(folder / LABELS, len(array)) if labelled else []
    places = np.concatenate(
        [np.stack((np.full(len(array), n), np.arange(len(array))), axis=1) for n, array in enumerate(arrays)]
    )
    parts = np.array(list(folders))[places[:, 0]]
    origins = (
        {part: f"{printable(folder.name)}/" for part, folder in folders.items()} if root not in folders.values() else {}
    )
    return Labelled(title, MappedImages(files, arrays, places), labels if labelled else None, parts, origins=origins)


def _images(file: Path) -> np.ndarray:
    array = _opened(file)
    if array.dtype != np.uint8 or array.ndim not in (3, 4) or not array.size:
        raise EvoError(f"{printable(str(file))} holds {array.dtype} of shape {array.shape}; {EXPECTED}")
    array = array[..., None] if array.ndim == 3 else array
    if array.shape[3] > 4:
        first = "; channels come last: numpy.moveaxis(x, 1, -1)" if array.shape[1] <= 4 else ""
        raise EvoError(f"{printable(str(file))} holds images of {array.shape[3]:,} channels; {EXPECTED}{first}")
    return array


def _labels(file: Path, n: int) -> Sequence[Label]:
    where = printable(str(file))
    if not file.is_file():
        raise EvoError(f"{where} is missing, and the images beside it need labels; {EXPECTED}")
    array = _opened(file)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.shape != (n,):
        raise EvoError(f"{where} has the shape {array.shape}, and there are {n:,} images; {EXPECTED}")
    labels = []
    for i, value in enumerate(array.tolist()):
        try:
            labels.append(read_label(value.decode("utf-8", "replace") if isinstance(value, bytes) else value))
        except ValueError as error:
            raise EvoError(f"{where}, image {i:,}: {error}") from None
    return labels


def _opened(file: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise EvoError(
            f"{printable(str(file))} cannot be read as an .npy file, or is cut short ({error}); save it again, with numpy.save"
        ) from None
    return array
