"""Data sets by name: how each is made, and where its files lie."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from evo.data.image_folders import Photographs, read_folder, read_unlabelled
from evo.data.layouts.npz_files import PARTS, ignored_arrays, read_npz
from evo.data.layouts.reading import read_layout_at
from evo.data.layouts.stored import StoredPictures
from evo.data.paths import candidate_paths, candidate_roots
from evo.data.raw import DatasetMaker, RawDataset, as_raw, dataset_title, from_arrays, is_test_image
from spaces import torchvision_shim
from studies.config import DataSection
from studies.records import EvoError


def maker_of(section: DataSection) -> DatasetMaker:
    """What makes the data set that a configuration names.

    Raises:
        EvoError: there is none of this name; the message lists those there are.
    """
    if section.name not in DATASETS:
        raise EvoError(f"data.name is {section.name!r}; allowed: {', '.join(sorted(DATASETS))}")
    return DATASETS[section.name]


def raw_dataset(section: DataSection, maker: DatasetMaker) -> RawDataset:
    """A data set as it is kept.

    Raises:
        EvoError: its files are not where the configuration says, or it is none that can be used.
    """
    try:
        made = maker(section)
    except EvoError:
        raise
    except Exception as error:
        if getattr(maker, "__module__", None) == __name__:
            raise
        raise EvoError(f"{dataset_title(section)} cannot be made: {type(error).__name__}: {error}") from error
    return as_raw(made, section)


def _load_digits(section: DataSection) -> RawDataset:
    """scikit-learn's handwritten digits: 1,797 images of 8 x 8 pixels, 0..16; every sixth is a test image."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = (bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    test = is_test_image(len(x))
    names = tuple(map(str, bunch.target_names))
    return RawDataset(x[~test], bunch.target[~test], x[test], bunch.target[test], class_names=names)


FOLDERS = {"fashion_mnist": "FashionMNIST/raw", "cifar10": "cifar-10-batches-py"}
"""Where torchvision keeps a data set's files below its root."""


def _load_torchvision(section: DataSection) -> RawDataset:
    """Fashion-MNIST and CIFAR-10 as torchvision reads them, downloaded where they are missing."""
    folder = FOLDERS[section.name]
    root = _torchvision_root(section) or Path(section.path)
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
    return RawDataset(*arrays, class_names=CLASS_NAMES[section.name])


def _torchvision_root(section: DataSection) -> Path | None:
    """The folder in which torchvision would find the data set; None: there is none."""
    return next((root for root in candidate_roots(section.path) if (root / FOLDERS[section.name]).is_dir()), None)


IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
"""Fashion-MNIST's official files: training images and labels, test images and labels."""


def _load_fashion_mnist(section: DataSection) -> RawDataset:
    """Fashion-MNIST from its official packed files where they lie (torchvision would write beside them), else from
    torchvision."""
    for folder in (root / FOLDERS["fashion_mnist"] for root in candidate_roots(section.path)):
        paths = [folder / f"{name}-ubyte.gz" for name in IDX]
        if all(path.is_file() for path in paths):
            x, y, x_test, y_test = map(_read_idx, paths)
            return RawDataset(x[..., None], y, x_test[..., None], y_test, class_names=CLASS_NAMES["fashion_mnist"])
    return _load_torchvision(section)


def _read_idx(path: Path) -> np.ndarray:
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


def _load_npz(section: DataSection) -> RawDataset:
    """An ``.npz`` file with ``x_train``, ``y_train``, ``x_test``, ``y_test``; ``x_val`` and ``y_val``, where they are there,
    score candidates.

    ``classes``, where it is there, holds the names of the classes; otherwise they are called by their numbers, or as labels
    that are text say.
    """
    path = _dataset_file(section) or Path(section.path)
    arrays = read_npz(path, f"data.path is {section.path!r}")
    validation = (arrays["x_val"], arrays["y_val"]) if "x_val" in arrays else None
    x, y, x_test, y_test = (arrays[name] for name in PARTS)
    return from_arrays(
        dataset_title(section), x, y, x_test, y_test, arrays.get("classes"), validation, ignored_arrays(path)
    )


def _dataset_file(section: DataSection) -> Path | None:
    """The file of a data set that is one file; None: it is not there."""
    return next((path for path in candidate_roots(section.path) if path.is_file()), None)


def _load_images(section: DataSection) -> RawDataset:
    """The files in a folder of class folders (torchvision's ImageFolder), or of parts with class folders in each; without
    labels all images. Or the images of another layout, where one lies at the path."""
    place = dataset_place(section)
    raw = read_layout_at(place, labelled=section.labels is not False)
    if raw is None:
        raw = (read_unlabelled if section.labels is False else read_folder)(place)
    return raw if section.channels is None else _seen_in(raw, section.channels)


def _seen_in(raw: RawDataset, channels: int) -> RawDataset:
    """Images with so many channels, whatever the files have.

    Raises:
        EvoError: they are no encoded images.
    """
    parts = {name: getattr(raw, name) for name in ("x_train", "x_test", "x_validation")}
    for x in parts.values():
        if x is not None and not isinstance(x, (Photographs, StoredPictures)):
            raise EvoError(
                f"data.channels is {channels}, which is for encoded images, and these are arrays of {x.channels} channels: "
                "leave it out"
            )
    return replace(raw, **{name: x and replace(x, channels=channels) for name, x in parts.items()})


def encoded_parts(raw: RawDataset) -> list[Photographs | StoredPictures]:
    """The parts of a data set whose images are encoded."""
    return [x for _, x, _ in raw.labelled() if isinstance(x, (Photographs, StoredPictures))]


def dataset_place(section: DataSection) -> Path:
    """The folder of class folders, or what other layout ``data.path`` names."""
    return next((root for root in candidate_paths(section.path) if root.exists()), Path(section.path))


def data_files(section: DataSection) -> tuple[Path | None, tuple[str, ...]]:
    """Where a data set lies on this machine (None: nowhere, or it needs no files), and its files below that ("": itself).

    The files of class folders, which may be millions, are not listed.
    """
    if section.name == "images":
        place = dataset_place(section)
        return place, ("",) if place.is_file() else ()
    if section.name == "arrays":
        return _dataset_file(section), ("",)
    if section.name not in FOLDERS:
        return _files_of_maker(section)
    if (root := _torchvision_root(section)) is None:
        return None, ()
    files = sorted(path for path in (root / FOLDERS[section.name]).rglob("*") if path.is_file())
    return root, tuple(path.relative_to(root).as_posix() for path in files)


def _files_of_maker(section: DataSection) -> tuple[Path | None, tuple[str, ...]]:
    """The file or folder that ``data.path`` names for a data set of the user's own."""
    if section.path == type(section).model_fields["path"].default:
        return None, ()
    return (file, ("",)) if (file := _dataset_file(section)) is not None else (dataset_place(section), ())


DATASETS: dict[str, DatasetMaker] = {
    "digits": _load_digits,
    "fashion_mnist": _load_fashion_mnist,
    "cifar10": _load_torchvision,
    "images": _load_images,
    "arrays": _load_npz,
}
"""What makes each data set of the section ``[data]``, by the name that the configuration gives it."""

CLASS_NAMES = {
    "fashion_mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}  # fmt: skip
"""https://github.com/zalandoresearch/fashion-mnist and https://www.cs.toronto.edu/~kriz/cifar.html"""
