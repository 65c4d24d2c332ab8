"""Data sets as tensors, and augmentation as tensor expressions.

Three parts with three duties: ``train`` trains, ``held_out`` (a part of the training images that never trains) scores
candidates, ``test`` is touched once, by the report on a delivered network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from evo.files import roots
from studies.config import DataSection
from studies.records import EvoError


@dataclass(frozen=True)
class Split:
    """Normalised images ``(n, channels, size, size)``, channels last in memory, and labels ``(n,)``."""

    x: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def to(self, device: torch.device) -> Split:
        """The same images and labels, on ``device``."""
        return Split(self.x.to(device), self.y.to(device))


@dataclass(frozen=True)
class Images:
    """A data set on its way through a search: see the module's docstring for the three parts."""

    train: Split
    held_out: Split
    test: Split
    classes: int

    @property
    def channels(self) -> int:
        return int(self.train.x.shape[1])

    @property
    def size(self) -> int:
        return int(self.train.x.shape[2])


Raw = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Train images uint8 ``(n, height, width, channels)``, their labels, test images, their labels."""


@lru_cache(maxsize=2)
def load(section: DataSection, device: str = "cpu") -> Images:
    """The data set that a configuration names, on ``device`` (``auto``: CUDA where there is one).

    Raises:
        EvoError: its files are not where the configuration says; the message says which folder to fill.
    """
    x, y, x_test, y_test = SOURCES[section.name](section)
    order = np.random.default_rng(0).permutation(len(y))  # one split for all runs, so that they can be compared
    order = _interleave(order, y)[: section.limit]
    x, y = x[order], y[order]
    held = round(len(y) * section.held_out)
    if held < 1 or held >= len(y):
        raise EvoError(
            f"data.held_out={section.held_out} of {len(y)} images leaves none to train on or none to score by"
        )
    mean, std = _moments(x[held:])
    place = _device(device)
    train, held_out, test = (
        _split(images, labels, mean, std, section.size).to(place)
        for images, labels in ((x[held:], y[held:]), (x[:held], y[:held]), (x_test, y_test))
    )
    return Images(train, held_out, test, classes=int(max(y.max(), y_test.max())) + 1)


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


def _moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel, of values in [0, 1]."""
    values = x[:: max(1, len(x) // 5000)].reshape(-1, x.shape[-1]) / 255.0
    return values.mean(axis=0), values.std(axis=0) + 1e-6


def _split(x: np.ndarray, y: np.ndarray, mean: np.ndarray, std: np.ndarray, size: int | None) -> Split:
    images = torch.from_numpy(x).permute(0, 3, 1, 2).float().div_(255.0)
    if size is not None and size != images.shape[2]:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    images = images.sub_(torch.tensor(mean).float().view(1, -1, 1, 1)).div_(torch.tensor(std).float().view(1, -1, 1, 1))
    return Split(images.contiguous(memory_format=torch.channels_last), torch.from_numpy(y.astype(np.int64)))


# -- augmentation: (images, generator) -> images ----------------------------------------------------------------------

Augment = Callable[[Tensor, torch.Generator], Tensor]


def flip(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    mirrored = torch.rand(len(x), generator=rng, device=rng.device).to(x.device) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


def crop(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its size both ways, what comes in reflected."""
    size = x.shape[2]
    pad = max(1, size // 8)
    padded = F.pad(x, (pad, pad, pad, pad), mode="reflect")
    shift = torch.randint(0, 2 * pad + 1, (2, len(x), 1), generator=rng, device=rng.device).to(x.device)
    rows, columns = shift + torch.arange(size, device=x.device)
    image = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    cropped = padded.permute(0, 2, 3, 1)[image, rows.unsqueeze(2), columns.unsqueeze(1)]
    return cropped.permute(0, 3, 1, 2)


def cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    """A square of a quarter of the image's size is blanked in each image (arXiv 1708.04552)."""
    size = x.shape[2]
    side = max(1, size // 4)
    corner = torch.randint(0, size - side + 1, (2, len(x), 1), generator=rng, device=rng.device).to(x.device)
    inside = (torch.arange(size, device=x.device) - corner >= 0) & (torch.arange(size, device=x.device) - corner < side)
    return x.masked_fill((inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1), 0.0)


AUGMENTATIONS: dict[str, Augment] = {"flip": flip, "crop": crop, "cutout": cutout}


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
    from spaces.vision import torchvision

    folder = FOLDERS[section.name]
    root = next((root for root in roots(section.path) if (root / folder).is_dir()), Path(section.path))
    dataset = {"fashion_mnist": torchvision.datasets.FashionMNIST, "cifar10": torchvision.datasets.CIFAR10}[
        section.name
    ]
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
    """A folder of class folders (torchvision's ImageFolder). ``train`` and ``test`` inside it are used where there are
    both; otherwise every sixth image of the folder is a test image."""
    from spaces.vision import torchvision

    root = Path(section.path)
    if not root.is_dir():
        raise EvoError(f"data.path is {section.path!r}: no such folder; expected one folder per class, images inside")
    size = section.size or 32
    resize = torchvision.transforms.Compose(
        [torchvision.transforms.Resize(size), torchvision.transforms.CenterCrop(size)]
    )

    def read(folder: Path) -> tuple[np.ndarray, np.ndarray]:
        try:
            found = torchvision.datasets.ImageFolder(str(folder), transform=resize)
        except FileNotFoundError as error:
            raise EvoError(f"data.path is {section.path!r}: {error}; expected one folder per class") from None
        pictures = np.stack([np.asarray(found[i][0], np.uint8) for i in range(len(found))])
        return pictures, np.asarray(found.targets)

    if (root / "train").is_dir() and (root / "test").is_dir():
        return (*read(root / "train"), *read(root / "test"))
    x, y = read(root)
    test = np.arange(len(y)) % 6 == 5
    return x[~test], y[~test], x[test], y[test]


SOURCES: dict[str, Callable[[DataSection], Raw]] = {
    "digits": _digits,
    "fashion_mnist": _torchvision,
    "cifar10": _torchvision,
    "images": _images,
    "arrays": _arrays,
}
