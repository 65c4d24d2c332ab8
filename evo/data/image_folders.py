"""Images in class folders: listed, read at once, or left in their files and read batch by batch.

What is read for an epoch depends on its seed and on each image's position, not on how many workers read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evo.data.augmentation import AUGMENTATIONS
from evo.data.source import WHOLE, Origin
from evo.seeds import derive
from spaces import torchvision_shim
from spaces.size import Size, sides
from studies.records import EvoError

READING: dict[str, Callable[[Size], Any]] = {
    "resized_crop": lambda size: _part(size),
    "flip": lambda size: torchvision_shim.transforms.RandomHorizontalFlip(),
    "colour_jitter": lambda size: torchvision_shim.transforms.ColorJitter(0.4, 0.4, 0.4),
}
"""What is done to an image as it is read: a part of the large image is lost in the batch. The rest is done to batches."""


def listed(folder: Path, classes: tuple[str, ...] | None = None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """The paths of all images in the class folders of ``folder``, their labels, and the names of the classes.

    Args:
        classes: names in the order of the labels; None: those of the class folders, in alphabetical order.

    Raises:
        EvoError: there is no such folder, no images in it, or a class folder that is not one of ``classes``.
    """
    if not folder.is_dir():
        raise EvoError(f"data.path is {str(folder)!r}: no such folder; expected one folder per class, images inside")
    try:
        found = torchvision_shim.torchvision.datasets.ImageFolder(str(folder))
    except FileNotFoundError as error:
        raise EvoError(f"data.path is {str(folder)!r}: {error}; expected one folder per class") from None
    names = tuple(found.classes) if classes is None else classes
    if unknown := [name for name in found.classes if name not in names]:
        raise EvoError(
            f"{folder} has the class {unknown[0]!r}, and the training images have only {', '.join(names)}: expected the "
            "same class folders in both"
        )
    labels = np.array([names.index(name) for name in found.classes])
    return np.array([path for path, _ in found.samples]), labels[np.asarray(found.targets)], names


def read(paths: Sequence[str] | np.ndarray, size: Size) -> np.ndarray:
    """The middle of each image, uint8 ``(n, height, width, 3)``."""
    pictures = _Pictures(np.asarray(paths), _transform(size))
    return np.stack([pictures[i].permute(1, 2, 0).numpy() for i in range(len(pictures))])


def _transform(size: Size, names: Sequence[str] = ()) -> Callable[[Any], Tensor]:
    """From an image in memory to uint8 ``(3, height, width)``."""
    whole = [] if "resized_crop" in names else [_covering(size), torchvision_shim.transforms.CenterCrop(sides(size))]
    composed: Callable[[Any], Tensor] = torchvision_shim.transforms.Compose(
        [*whole, *(READING[name](size) for name in names), torchvision_shim.transforms.PILToTensor()]
    )
    return composed


def _covering(size: Size) -> Callable[[Any], Any]:
    """Scales an image so that it just covers ``size``, its proportions kept."""
    if isinstance(size, int):
        resize: Callable[[Any], Any] = torchvision_shim.transforms.Resize(size)
        return resize
    height, width = size

    def scaled(picture: Image) -> Any:
        scale = max(height / picture.height, width / picture.width)
        covering = max(height, round(scale * picture.height)), max(width, round(scale * picture.width))
        return torchvision_shim.transforms.functional.resize(picture, list(covering))

    return scaled


def _part(size: Size) -> Callable[[Any], Any]:
    """A random part of an image, nearly of the proportions of ``size``, stretched to it (Inception's crop)."""
    height, width = sides(size)
    ratio = (3 / 4 * (width / height), 4 / 3 * (width / height))
    part: Callable[[Any], Any] = torchvision_shim.transforms.RandomResizedCrop((height, width), ratio=ratio)
    return part


class _Pictures(Dataset[Tensor]):
    """Decoded images; each is transformed under a seed of its own where there is one for all."""

    def __init__(self, paths: np.ndarray, transform: Callable[[Any], Tensor], seed: int | None = None) -> None:
        self.paths = paths
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        picture = torchvision_shim.torchvision.datasets.folder.default_loader(str(self.paths[i]))
        if self.seed is None:
            return self.transform(picture)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(self.seed, "image", i))
            return self.transform(picture)


@dataclass(frozen=True)
class Files:
    """A ``Source`` whose images stay in their files; memory holds a few batches of them.

    Attributes:
        mean, std: per channel, ``(3, 1, 1)``, of values in [0, 1].
        workers: processes that read ahead in an epoch, and threads that read otherwise; 0: neither.
    """

    paths: np.ndarray = field(repr=False)
    y: Tensor = field(repr=False)
    mean: Tensor
    std: Tensor
    size: Size
    workers: int
    channels: int = 3
    origin: Origin | None = field(default=None, repr=False, compare=False)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (Origin.open, (self.origin,)) if self.origin else super().__reduce_ex__(protocol)

    @property
    def device(self) -> torch.device:
        return self.y.device

    def __len__(self) -> int:
        return len(self.paths)

    def joined(self, other: Files) -> Files:
        return replace(
            self, paths=np.concatenate((self.paths, other.paths)), y=torch.cat((self.y, other.y)), origin=None
        )

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The middles of the images at the positions ``chosen``."""
        pictures = _Pictures(self.paths, _transform(self.size))
        with ThreadPoolExecutor(max(1, self.workers)) as pool:
            x = torch.stack(list(pool.map(pictures.__getitem__, chosen.tolist())))
        return self._normalised(x), self.y[chosen.to(self.device)]

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them in order; the last batch may be smaller."""
        return map(self.take, torch.split(torch.arange(len(self)), size))

    def epoch(
        self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled, augmented, whole batches; ``workers`` processes read ahead, of each batch its ``part`` only."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        size = min(size, len(self))
        batches = torch.split(order[: len(self) // size * size], size)
        loader = DataLoader(
            _Pictures(self.paths, _transform(self.size, [name for name in augment if name in READING]), seed),
            batch_sampler=[batch[part].tolist() for batch in batches],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # its own: torch's global one would move with every epoch
        )
        rng = torch.Generator(self.device).manual_seed(seed)
        drawn = [name for name in augment if name not in READING]
        labels = torch.split(self.y[order.to(self.device)], size)
        for x, y in zip(map(self._normalised, loader), labels, strict=False):
            if drawn:
                batch = x.new_empty((size, *x.shape[1:])).contiguous(memory_format=torch.channels_last)
                batch[part] = x  # what is drawn is drawn for all images of the batch
                for name in drawn:
                    batch = AUGMENTATIONS[name](batch, rng)
                x = batch[part]
            yield x.contiguous(memory_format=torch.channels_last), y[part]

    def _normalised(self, x: Tensor) -> Tensor:
        x = x.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        return x.float().div_(255).sub_(self.mean).div_(self.std)


def files(
    paths: np.ndarray,
    y: np.ndarray,
    moments: tuple[np.ndarray, np.ndarray],
    size: Size,
    device: torch.device,
    workers: int,
) -> Files:
    """Images at ``paths`` with the classes ``y``, for ``device``; their mean and standard deviation are given."""
    mean, std = (torch.tensor(values, device=device).float().view(3, 1, 1) for values in moments)
    return Files(paths, torch.from_numpy(y.astype(np.int64)).to(device), mean, std, size, workers)
