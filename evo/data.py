"""Data sets: as tensors on the device, or as files that are read batch by batch.

Three parts with three duties: ``train`` trains, ``held_out`` (a part of the training images that never trains) scores
candidates, ``test`` is touched once, when a delivered network is measured. A delivered network itself is trained on
``train`` and ``held_out`` together: nothing is chosen by the latter any more.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from evo.augmentation import AUGMENTATIONS
from evo.files import roots
from studies.config import DataSection
from studies.records import EvoError

Batch = tuple[Tensor, Tensor]
"""Normalised images ``(n, channels, size, size)``, channels last in memory, and labels ``(n,)``, on the device."""


class Batches(Protocol):
    """What a model learns from or is measured by, batch by batch: pairs of inputs and what should become of them."""

    @property
    def device(self) -> torch.device: ...

    def __len__(self) -> int: ...

    def batches(self, size: int) -> Iterator[Batch]:
        """All of it in order and as it is; the last batch may be smaller."""
        ...

    def epoch(self, size: int, augment: Sequence[str], seed: int) -> Iterator[Batch]:
        """Shuffled and augmented by ``seed`` alone; whole batches."""
        ...


class Source(Batches, Protocol):
    """Labelled images, wherever they are kept; batches come out on ``device``."""

    @property
    def channels(self) -> int: ...

    @property
    def size(self) -> int:
        """Height (= width) in pixels."""
        ...

    @property
    def y(self) -> Tensor:
        """All labels ``(n,)``."""
        ...

    def joined(self, other: Self) -> Self:
        """These images, and behind them those of ``other``."""
        ...

    def take(self, chosen: Tensor) -> Batch:
        """The images at the positions ``chosen``, as they are."""
        ...


@dataclass(frozen=True)
class Split:
    """Images that are one tensor: ``x`` and ``y`` are a ``Batch`` of all of them."""

    x: Tensor
    y: Tensor

    @property
    def device(self) -> torch.device:
        return self.x.device

    @property
    def channels(self) -> int:
        return int(self.x.shape[1])

    @property
    def size(self) -> int:
        return int(self.x.shape[2])

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Split:
        """The same images and labels, on ``device``."""
        return Split(self.x.to(device), self.y.to(device))

    def joined(self, other: Split) -> Split:
        return Split(torch.cat((self.x, other.x)), torch.cat((self.y, other.y)))

    def take(self, chosen: Tensor) -> Batch:
        return self.x[chosen], self.y[chosen]

    def batches(self, size: int) -> Iterator[Batch]:
        return zip(torch.split(self.x, size), torch.split(self.y, size), strict=True)

    def epoch(self, size: int, augment: Sequence[str], seed: int) -> Iterator[Batch]:
        rng = torch.Generator(self.device).manual_seed(seed)  # where the images are: no step waits for the host
        size = min(size, len(self))
        order = torch.randperm(len(self), generator=rng, device=self.device)
        for start in range(0, len(order) - size + 1, size):
            x, y = self.take(order[start : start + size])
            for name in augment:
                x = AUGMENTATIONS[name](x, rng)
            yield x.contiguous(memory_format=torch.channels_last), y


@dataclass(frozen=True)
class Images:
    """A data set on its way through a search: see the module's docstring for the three parts.

    Attributes:
        mean, std: per channel, of values from 0 to 1: what all images were normalised by.
        names: of the classes, in the order of their labels.
    """

    train: Source
    held_out: Source
    test: Source
    names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def channels(self) -> int:
        return self.train.channels

    @property
    def size(self) -> int:
        return self.train.size


FOLDER_SIZE = 32
"""Pixels of images from a folder where the configuration says nothing."""

IN_MEMORY = 4 << 30
"""Bytes that a folder's images may take as tensors where the configuration says nothing."""

Raw = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Train images, their labels, test images, their labels. Images are uint8 ``(n, height, width, channels)``, or paths."""


@lru_cache(maxsize=2)
def load(section: DataSection, device: str = "cpu") -> Images:
    """The data set that a configuration names, on ``device`` (``auto``: CUDA where there is one).

    Raises:
        EvoError: its files are not where the configuration says; the message says which folder to fill.
    """
    if section.in_memory is False and section.name != "images":
        raise EvoError(f"data.in_memory = false is for data.name = 'images', found {section.name!r}; leave it out")
    x, y, x_test, y_test = SOURCES[section.name](section)
    order = np.random.default_rng(0).permutation(len(y))  # one split for all runs, so that they can be compared
    order = _interleave(order, y)[: section.limit]
    x, y = x[order], y[order]
    held = round(len(y) * section.held_out)
    if held < 1 or held >= len(y):
        raise EvoError(
            f"data.held_out={section.held_out} of {len(y)} images leaves none to train on or none to score by"
        )
    place = _device(device)
    part: Callable[[np.ndarray, np.ndarray], Source]
    if x.dtype.kind != "U":
        moments = _moments(x[held:])
        part = partial(_split, moments=moments, size=section.size, device=place)
    else:
        from evo.folders import files, read

        size = section.size or FOLDER_SIZE
        if _fits(section, (len(x) + len(x_test)) * size**2):
            x, x_test = read(x, size), read(x_test, size)
            moments = _moments(x[held:])
            part = partial(_split, moments=moments, size=size, device=place)
        else:
            moments = _moments(read(x[held :: len(x) // 500 + 1], size))
            part = partial(files, moments=moments, size=size, device=place, workers=section.workers)
    mean, std = (tuple(values.tolist()) for values in moments)
    parts = (part(x[held:], y[held:]), part(x[:held], y[:held]), part(x_test, y_test))
    return Images(*parts, class_names(section, int(max(y.max(), y_test.max())) + 1), mean, std)


def class_names(section: DataSection, classes: int) -> tuple[str, ...]:
    """What the classes are called: as their folders are, or as the data set's own pages say; else by number."""
    if section.name == "images":
        from evo.folders import class_folders

        root = Path(section.path)
        return class_folders(root / "train" if _divided(root) else root)
    return NAMES.get(section.name, tuple(map(str, range(classes))))


NAMES = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip
"""https://github.com/zalandoresearch/fashion-mnist and https://www.cs.toronto.edu/~kriz/cifar.html"""


def _fits(section: DataSection, pixels: int) -> bool:
    """Whether images of a folder become tensors, of three channels in single precision."""
    return 4 * 3 * pixels < IN_MEMORY if section.in_memory is None else section.in_memory


def _device(name: str) -> torch.device:
    """What ``device`` in a configuration means on this machine.

    Raises:
        EvoError: CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise EvoError("device is 'cuda', and torch finds no CUDA device here; set device to 'auto' or 'cpu'")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def _interleave(order: np.ndarray, y: np.ndarray) -> np.ndarray:
    """``order`` rearranged so that every stretch of it holds all classes alike."""
    place = np.empty(len(order))
    for label in np.unique(y):
        members = np.flatnonzero(y[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    return order[np.argsort(place, kind="stable")]


Moments = tuple[np.ndarray, np.ndarray]


def _moments(x: np.ndarray) -> Moments:
    """Mean and standard deviation per channel, of values in [0, 1]."""
    values = x[:: max(1, len(x) // 5000)].reshape(-1, x.shape[-1]) / 255.0
    return values.mean(axis=0), values.std(axis=0) + 1e-6


def _split(x: np.ndarray, y: np.ndarray, moments: Moments, size: int | None, device: torch.device) -> Split:
    images = torch.from_numpy(x).permute(0, 3, 1, 2).float().div_(255.0)
    if size is not None and size != images.shape[2]:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).float().view(1, -1, 1, 1) for values in moments)
    images = images.sub_(mean).div_(std).contiguous(memory_format=torch.channels_last)
    return Split(images, torch.from_numpy(y.astype(np.int64))).to(device)


# -- sources ----------------------------------------------------------------------------------------------------------


def _digits(section: DataSection) -> Raw:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, 0..16; every sixth is a test image."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    test = np.arange(len(x)) % 6 == 5
    return x[~test], bunch.target[~test], x[test], bunch.target[test]


FOLDERS = {"fashion_mnist": "FashionMNIST/raw", "cifar10": "cifar-10-batches-py"}
"""Where torchvision keeps a data set's files below its root."""


def _torchvision(section: DataSection) -> Raw:
    """Fashion-MNIST and CIFAR-10 as torchvision reads them, downloaded where they are missing."""
    from spaces import vision

    folder = FOLDERS[section.name]
    root = next((root for root in roots(section.path) if (root / folder).is_dir()), Path(section.path))
    dataset = {
        "fashion_mnist": vision.torchvision.datasets.FashionMNIST,
        "cifar10": vision.torchvision.datasets.CIFAR10,
    }[section.name]
    missing = section.download and not (root / folder).is_dir()
    try:
        parts = [dataset(str(root), train=train, download=missing) for train in (True, False)]
    except (RuntimeError, OSError) as error:
        raise EvoError(
            f"data.path is {section.path!r} and {section.name} is not there, nor could it be downloaded "
            f"({str(error).splitlines()[0]}); put its official files into {root / folder}, or point data.path (or the "
            "environment variable EVO_DATA) at the folder that holds them"
        ) from None
    arrays = []
    for part in parts:
        images = np.asarray(part.data)
        arrays += [images if images.ndim == 4 else images[..., None], np.asarray(part.targets)]
    return arrays[0], arrays[1], arrays[2], arrays[3]


IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
"""Fashion-MNIST's official files: training images and labels, test images and labels."""


def _fashion_mnist(section: DataSection) -> Raw:
    """Fashion-MNIST from its official packed files where they lie (torchvision would write beside them), else from
    torchvision."""
    for folder in (root / FOLDERS["fashion_mnist"] for root in roots(section.path)):
        paths = [folder / f"{name}-ubyte.gz" for name in IDX]
        if all(path.is_file() for path in paths):
            x, y, x_test, y_test = map(_idx, paths)
            return x[..., None], y, x_test[..., None], y_test
    return _torchvision(section)


def _idx(path: Path) -> np.ndarray:
    """A packed idx file of bytes: two zeros, the type, the number of dimensions, each of them in four bytes, the values.

    Raises:
        EvoError: it is not one, or cut short.
    """
    try:
        data = gzip.decompress(path.read_bytes())
        shape = np.frombuffer(data, ">i4", count=data[3], offset=4)
        return np.frombuffer(data, np.uint8, offset=4 + 4 * len(shape)).reshape(shape).copy()
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise EvoError(f"{path} is not a packed idx file, or is damaged ({error}); fetch it again") from None


def _arrays(section: DataSection) -> Raw:
    """An ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``: images uint8 ``(n, h, w[, channels])``."""
    path = next((path for path in roots(section.path) if path.is_file()), Path(section.path))
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise EvoError(
            f"data.path is {section.path!r}: expected an .npz file with {', '.join(names)} ({error})"
        ) from None
    x_train, x_test = (x if x.ndim == 4 else x[..., None] for x in (parts["x_train"], parts["x_test"]))
    if x_train.dtype != np.uint8:
        raise EvoError(f"data.path is {section.path!r}: x_train is {x_train.dtype}, expected uint8 values 0..255")
    return x_train, parts["y_train"], x_test, parts["y_test"]


def _images(section: DataSection) -> Raw:
    """The paths in a folder of class folders (torchvision's ImageFolder). ``train`` and ``test`` inside it are used where
    there are both; otherwise every sixth image of the folder is a test image."""
    from evo.folders import listed

    root = Path(section.path)
    if _divided(root):
        return (*listed(root / "train"), *listed(root / "test"))
    x, y = listed(root)
    test = np.arange(len(y)) % 6 == 5
    return x[~test], y[~test], x[test], y[test]


def _divided(root: Path) -> bool:
    """Whether a folder tells training from test images."""
    return (root / "train").is_dir() and (root / "test").is_dir()


SOURCES: dict[str, Callable[[DataSection], Raw]] = {
    "digits": _digits,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _torchvision,
    "images": _images,
    "arrays": _arrays,
}
