"""Images that are decoded when they are needed, batch by batch: a ``Source`` of ``Pictures``; and pictures read at once.

What is read for an epoch depends on its seed and on each image's position, not on how many workers read.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evo.data.augmentation import augmentation, kind_of, strengths_of
from evo.data.decoded.crops import middle_of, random_box, stretch
from evo.data.decoded.kept import KeptPictures
from evo.data.normalising import WHITE, bytes_to_floats, spread
from evo.data.source import WHOLE_BATCH, JoinedOrigin, Origin, Pictures, join_origins
from evo.seeds import derive_seed
from evo.transfer import to_device
from spaces import torchvision_shim
from spaces.export.preprocessing import cover, covering_size
from spaces.size import Size, both_sides
from studies.records import EvoError

READ_AHEAD: dict[str, Callable[[str, Size], Any]] = {
    "resized_crop": lambda name, size: _random_part(size),
    "flip": lambda name, size: torchvision_shim.transforms.RandomHorizontalFlip(),
    "colour_jitter": lambda name, size: torchvision_shim.transforms.ColorJitter(*strengths_of(name)),
}
"""What is done to an image as it is read: a part of the large image is lost in the batch. The rest is done to batches."""


CUT_AHEAD = {"resized_crop", "flip"}
"""What is done to an image that was decoded before, as it is cut."""


def read_images(pictures: Pictures, size: Size, threads: int = 1) -> np.ndarray:
    """The middle of each image, ``(n, height, width, channels)``, read by so many threads at once, if they may."""
    decoded = _middles(pictures, size)
    first = decoded[0].permute(1, 2, 0).numpy()
    images = np.empty((len(decoded), *first.shape), first.dtype)

    def read(i: int) -> None:
        images[i] = decoded[i].permute(1, 2, 0).numpy()

    with ThreadPoolExecutor(max(1, threads) if pictures.threads else 1) as pool:
        for _ in pool.map(read, range(len(decoded))):
            pass  # an image that cannot be read raises here
    return images


def _middles(pictures: Pictures, size: Size) -> Any:
    """The middle of each image, by its place, as a tensor ``(channels, height, width)``."""
    if isinstance(pictures, KeptPictures) and pictures.short_side is None:
        return pictures
    if isinstance(pictures, KeptPictures):
        return _Cut(pictures, size)
    return _Decoded(pictures, _transform(size))


def _in_a_line(batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """The batches; what a reading process cannot read is told as this process would: without the traceback of the other.

    Raises:
        EvoError: an image cannot be read.
    """
    try:
        yield from batches
    except EvoError as error:
        told = str(error).strip().splitlines()[-1]
        raise EvoError(told.removeprefix(f"{EvoError.__module__}.{EvoError.__qualname__}: ")) from None


def _transform(size: Size, names: Sequence[str] = ()) -> Callable[[Any], Tensor]:
    """From an image in memory to a tensor ``(channels, height, width)``."""
    whole = [] if "resized_crop" in names else [partial(_cover, size=both_sides(size))]
    composed: Callable[[Any], Tensor] = torchvision_shim.transforms.Compose(
        [*whole, *(READ_AHEAD[kind_of(name)](name, size) for name in names), torchvision_shim.transforms.PILToTensor()]
    )
    return composed


def _cover(picture: Any, size: tuple[int, int]) -> Any:
    """The middle of a picture that was scaled, its proportions kept, until it just covers ``size``."""
    if isinstance(picture, Image.Image):
        return cover(picture, size)
    functional = torchvision_shim.transforms.functional
    rows, columns = covering_size(tuple(picture.shape[-2:]), size)
    return functional.center_crop(functional.resize(picture, [rows, columns]), list(size))


def _random_part(size: Size) -> Callable[[Any], Any]:
    """A random part of an image, nearly of the proportions of ``size``, stretched to it (Inception's crop)."""
    height, width = both_sides(size)
    ratio = (3 / 4 * (width / height), 4 / 3 * (width / height))
    part: Callable[[Any], Any] = torchvision_shim.transforms.RandomResizedCrop((height, width), ratio=ratio)
    return part


class _Decoded(Dataset[Tensor]):
    """Decoded images; each is transformed under a seed of its own where there is one for all."""

    def __init__(self, pictures: Pictures, transform: Callable[[Any], Tensor], seed: int | None = None) -> None:
        self.pictures = pictures
        self.transform = transform
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> Tensor:
        picture = self.pictures[i]
        if self.seed is None:
            return self.transform(picture)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive_seed(self.seed, "image", i))  # a device's is the training's
            return self.transform(picture)


class _Cut(Dataset[Tensor]):
    """Batches of parts of images that were decoded before: of each a random one, stretched, or the middle; and mirrored.

    Args:
        changes: ``resized_crop`` and ``flip``, or none of them.
    """

    def __init__(self, pictures: KeptPictures, size: Size, changes: Collection[str] = (), seed: int = 0) -> None:
        self.pictures = pictures
        self.size = size
        self.changes = changes
        self.seed = seed

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, i: int) -> Tensor:
        return self.__getitems__([i])[0]

    def __getitems__(self, places: Sequence[int]) -> Tensor:
        wanted = both_sides(self.size)
        batch = torch.empty((len(places), *wanted, self.pictures.channels), dtype=torch.uint8)
        for out, i in zip(batch, places, strict=True):
            image = self.pictures.array(i)
            size, rng = (image.shape[0], image.shape[1]), Random(derive_seed(self.seed, "image", i))
            box = random_box(size, wanted, rng) if "resized_crop" in self.changes else middle_of(size, wanted)
            stretch(image, box, out, mirrored="flip" in self.changes and rng.random() < 0.5)
        return batch.permute(0, 3, 1, 2)


def _as_it_is(batch: Any) -> Any:
    return batch


@dataclass(frozen=True)
class StreamedImages:
    """A ``Source`` whose images stay where they are; memory holds a few batches of them.

    Attributes:
        mean, std: per channel, of values in [0, 1], as ``spread`` gives them.
        workers: processes that read ahead in an epoch, and threads that read otherwise; 0: neither.
        middles: the same pictures as they are measured, decoded once: on the disk, or ``(n, channels, height, width)``; None:
            they are decoded every time.
    """

    pictures: Pictures = field(repr=False)
    y: Tensor = field(repr=False)
    mean: Tensor
    std: Tensor
    size: Size
    workers: int
    middles: KeptPictures | Tensor | None = field(default=None, repr=False, compare=False)
    origin: Origin | JoinedOrigin | None = field(default=None, repr=False, compare=False)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return (type(self.origin).open, (self.origin,)) if self.origin else super().__reduce_ex__(protocol)

    @property
    def channels(self) -> int:
        return self.pictures.channels

    @property
    def device(self) -> torch.device:
        return self.y.device

    def __len__(self) -> int:
        return len(self.pictures)

    def joined_with(self, other: StreamedImages) -> StreamedImages:
        both = self.pictures.joined_with(other.pictures)
        known = isinstance(self.middles, KeptPictures) and isinstance(other.middles, KeptPictures)
        middles = self.middles.joined_with(other.middles) if known else None  # type: ignore[union-attr, arg-type]
        y, origin = torch.cat((self.y, other.y)), join_origins(self.origin, other.origin)
        return replace(self, pictures=both, middles=middles, y=y, origin=origin)

    def first(self, count: int) -> StreamedImages:
        first = slice(count)
        middles = self.middles.take(first) if isinstance(self.middles, KeptPictures) else None
        return replace(self, pictures=self.pictures.take(first), middles=middles, y=self.y[:count], origin=None)

    def take(self, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """The middles of the images at the positions ``chosen``."""
        return self._normalised(self.decoded(chosen)), self.y[to_device(chosen, self.device)]

    def decoded(self, chosen: Tensor) -> Tensor:
        """The middles of the images at the positions ``chosen`` before they are normalised, in the host's memory."""
        decoded = _middles(self.pictures, self.size) if self.middles is None else self.middles
        with ThreadPoolExecutor(max(1, self.workers) if self.pictures.threads else 1) as pool:
            return torch.stack(list(pool.map(decoded.__getitem__, chosen.tolist())))

    def batches(self, size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of them in order; the last batch may be smaller."""
        return map(self.take, torch.split(torch.arange(len(self)), size))

    def epoch(
        self, size: int, augment: Sequence[str], seed: int, part: slice = WHOLE_BATCH
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffled, augmented, whole batches; ``workers`` processes read ahead, of each batch its ``part`` only."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        size = min(size, len(self))
        batches = torch.split(order[: len(self) // size * size], size)
        dataset, ahead = self.reads_ahead(augment, seed)
        loader = DataLoader(
            dataset,
            collate_fn=_as_it_is if isinstance(dataset, _Cut) else None,
            batch_sampler=[batch[part].tolist() for batch in batches],
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            generator=torch.Generator(),  # its own: torch's global one would move with every epoch
        )
        rng = torch.Generator(self.device).manual_seed(seed)
        drawn = [name for name in augment if kind_of(name) not in ahead]
        labels = torch.split(self.y[to_device(order, self.device)], size)
        for x, y in zip(map(self._normalised, _in_a_line(loader)), labels, strict=False):
            if drawn:
                batch = x.new_empty((size, *x.shape[1:])).contiguous(memory_format=torch.channels_last)
                batch[part] = x  # what is drawn is drawn for all images of the batch
                for name in drawn:
                    batch = augmentation(name)(batch, rng)
                x = batch[part]
            yield x.contiguous(memory_format=torch.channels_last), y[part]

    def reads_ahead(self, augment: Sequence[str], seed: int) -> tuple[Dataset[Tensor], Collection[str]]:
        """What reads the images of an epoch, and which changes it makes; the others are made to batches."""
        if isinstance(self.pictures, KeptPictures):
            return _Cut(self.pictures, self.size, set(augment) & CUT_AHEAD, seed), CUT_AHEAD
        names = [name for name in augment if kind_of(name) in READ_AHEAD]
        return _Decoded(self.pictures, _transform(self.size, names), seed), READ_AHEAD

    def _normalised(self, x: Tensor) -> Tensor:
        x = to_device(x, self.device).contiguous(memory_format=torch.channels_last)
        return (
            x.sub_(self.mean).div_(self.std)
            if x.is_floating_point()
            else bytes_to_floats(x, WHITE, self.mean, self.std)
        )


def stream_images(
    pictures: Pictures,
    y: np.ndarray,
    moments: tuple[np.ndarray, np.ndarray],
    size: Size,
    device: torch.device,
    workers: int,
    middles: KeptPictures | None = None,
) -> StreamedImages:
    """Pictures with the labels ``y``, for ``device``; their mean and standard deviation are given.

    Args:
        middles: the same pictures as they are measured, decoded once.
    """
    mean, std = (spread(values, size, device) for values in moments)
    labels = torch.from_numpy(y.astype(np.int64)).to(device)
    return StreamedImages(pictures, labels, mean, std, size, workers, middles)
