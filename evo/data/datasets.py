"""Data sets by name: where their files lie, and their images and labels as arrays, before anything is computed."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evo.data.image_folders import listed
from evo.data.paths import named, roots
from spaces import torchvision_shim
from studies.config import DataSection
from studies.records import EvoError


@dataclass(frozen=True, eq=False)
class Raw:
    """A data set as its files hold it: labels count from 0; images are uint8 ``(n, height, width, channels)``, or paths.

    Attributes:
        class_names: in the order of the labels; one list for training and test images.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    class_names: tuple[str, ...] = field(kw_only=True)

    @property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """Training images, their labels, test images, their labels."""
        return self.x_train, self.y_train, self.x_test, self.y_test


def _digits(section: DataSection) -> Raw:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, 0..16; every sixth is a test image."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    test = np.arange(len(x)) % 6 == 5
    names = tuple(map(str, bunch.target_names))
    return Raw(x[~test], bunch.target[~test], x[test], bunch.target[test], class_names=names)


FOLDERS = {"fashion_mnist": "FashionMNIST/raw", "cifar10": "cifar-10-batches-py"}
"""Where torchvision keeps a data set's files below its root."""


def _torchvision(section: DataSection) -> Raw:
    """Fashion-MNIST and CIFAR-10 as torchvision reads them, downloaded where they are missing."""
    folder = FOLDERS[section.name]
    root = _root(section) or Path(section.path)
    dataset = {
        "fashion_mnist": torchvision_shim.torchvision.datasets.FashionMNIST,
        "cifar10": torchvision_shim.torchvision.datasets.CIFAR10,
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
    return Raw(*arrays, class_names=CLASS_NAMES[section.name])


def _root(section: DataSection) -> Path | None:
    """The folder in which torchvision would find the data set; None: there is none."""
    return next((root for root in roots(section.path) if (root / FOLDERS[section.name]).is_dir()), None)


IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
"""Fashion-MNIST's official files: training images and labels, test images and labels."""


def _fashion_mnist(section: DataSection) -> Raw:
    """Fashion-MNIST from its official packed files where they lie (torchvision would write beside them), else from
    torchvision."""
    for folder in (root / FOLDERS["fashion_mnist"] for root in roots(section.path)):
        paths = [folder / f"{name}-ubyte.gz" for name in IDX]
        if all(path.is_file() for path in paths):
            x, y, x_test, y_test = map(_idx, paths)
            return Raw(x[..., None], y, x_test[..., None], y_test, class_names=CLASS_NAMES["fashion_mnist"])
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
    """An ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``: images uint8 ``(n, h, w[, channels])``.

    ``classes``, where it is there, holds the names of the classes; otherwise they are called by their numbers.
    """
    path = _file(section) or Path(section.path)
    names = ("x_train", "y_train", "x_test", "y_test")
    try:
        with np.load(path, allow_pickle=False) as file:
            parts = {name: file[name] for name in names}
            classes = file.get("classes")
    except (OSError, ValueError, KeyError) as error:
        raise EvoError(
            f"data.path is {section.path!r}: expected an .npz file with {', '.join(names)} ({error})"
        ) from None
    x_train, x_test = (x if x.ndim == 4 else x[..., None] for x in (parts["x_train"], parts["x_test"]))
    if x_train.dtype != np.uint8:
        raise EvoError(f"data.path is {section.path!r}: x_train is {x_train.dtype}, expected uint8 values 0..255")
    numbers = int(max(parts["y_train"].max(), parts["y_test"].max())) + 1
    found = tuple(map(str, range(numbers) if classes is None else classes.tolist()))
    if len(found) < numbers:
        raise EvoError(
            f"data.path is {section.path!r}: classes holds {len(found)} names, and the labels count to {numbers - 1}; "
            f"expected {numbers} names"
        )
    return Raw(x_train, parts["y_train"], x_test, parts["y_test"], class_names=found)


def _file(section: DataSection) -> Path | None:
    """The file of a data set that is one file; None: it is not there."""
    return next((path for path in roots(section.path) if path.is_file()), None)


def _images(section: DataSection) -> Raw:
    """The paths in a folder of class folders (torchvision's ImageFolder). ``train`` and ``test`` inside it are used where
    there are both; otherwise every sixth image of the folder is a test image."""
    root = _folder(section)
    if _divided(root):
        x, y, names = listed(root / "train")
        return Raw(x, y, *listed(root / "test", names)[:2], class_names=names)
    x, y, names = listed(root)
    test = np.arange(len(y)) % 6 == 5
    return Raw(x[~test], y[~test], x[test], y[test], class_names=names)


def _folder(section: DataSection) -> Path:
    """The folder of class folders."""
    return next((root for root in named(section.path) if root.is_dir()), Path(section.path))


def _divided(root: Path) -> bool:
    """Whether a folder tells training from test images."""
    return (root / "train").is_dir() and (root / "test").is_dir()


def data_files(section: DataSection) -> tuple[Path | None, tuple[str, ...]]:
    """Where a data set lies on this machine (None: nowhere, or it needs no files), and its files below that ("": itself).

    The files of class folders, which may be millions, are not listed.
    """
    if section.name == "images":
        return _folder(section), ()
    if section.name == "arrays":
        return _file(section), ("",)
    if section.name not in FOLDERS or (root := _root(section)) is None:
        return None, ()
    found = sorted(path for path in (root / FOLDERS[section.name]).rglob("*") if path.is_file())
    return root, tuple(path.relative_to(root).as_posix() for path in found)


DATASETS: dict[str, Callable[[DataSection], Raw]] = {
    "digits": _digits,
    "fashion_mnist": _fashion_mnist,
    "cifar10": _torchvision,
    "images": _images,
    "arrays": _arrays,
}
"""How each data set is read: its name in a configuration -> its images and labels."""

CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip
"""https://github.com/zalandoresearch/fashion-mnist and https://www.cs.toronto.edu/~kriz/cifar.html"""
