"""How fast images are fed: from JPEG files, from what was decoded once, and by plain torchvision, in one run and process.

The images are made here: 500 x 375 pixels, like photographs without noise, of quality 90. One thread decodes and crops. Each
way gives shuffled batches of random crops (Inception's) that are mirrored; they are measured in turn, several times, and the
median counts. Time is that of the processor: images per second and core, whatever else runs. ``bytes``: as they come from the
workers; ``floats``: normalised, on the CPU.

  python benchmarks/feeding.py --images 600
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from evo.data.decoded.filling import fill
from evo.data.decoded.kept import KeptPictures, keep_scaled
from evo.data.image_folders import Photographs
from evo.data.loading import load_dataset
from evo.data.source import Source
from evo.data.streaming import StreamedImages
from spaces.torchvision_shim import transforms
from studies.config import DataSection

WIDTH, HEIGHT, QUALITY = 500, 375, 90
SIZE, SHORT_SIDE, BATCH = 224, 256, 64
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

FINEST = 0.35
"""The highest frequency of a picture, in waves per pixel."""

Feed = Callable[[int], Iterator[Tensor]]
"""Batches of an epoch, by its seed."""


def make_image(rng: np.random.Generator) -> Image.Image:
    """A picture like a photograph, without noise: a ground and discs before each other, each with a texture of its own, whose
    amplitudes fall with the frequency as those of photographs do, and end at ``FINEST``."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH, 0:1][:2] / HEIGHT
    pixels = _texture(rng)
    for _ in range(8):
        (top, left), radius = rng.random(2) * (1, WIDTH / HEIGHT), rng.uniform(0.05, 0.4)
        inside = 1 / (1 + np.exp((np.hypot(y - top, x - left) - radius) * rng.uniform(100, 400)))
        pixels = pixels * (1 - inside) + (_texture(rng) + rng.normal(size=3)) * inside
    low, high = np.quantile(pixels, (0.005, 0.995))
    return Image.fromarray((np.clip((pixels - low) / (high - low), 0, 1) * 255).astype(np.uint8))


def _texture(rng: np.random.Generator) -> np.ndarray:
    """``(HEIGHT, WIDTH, 3)``, of deviation 1; colours vary less than brightness."""
    frequency = np.hypot(np.fft.fftfreq(HEIGHT)[:, None], np.fft.rfftfreq(WIDTH)[None])
    amplitude = np.where((frequency > 0) & (frequency < FINEST), 1 / np.maximum(frequency, 1e-9), 0)
    waves = rng.normal(size=(4, *frequency.shape)) + 1j * rng.normal(size=(4, *frequency.shape))
    grey, *colours = (field / field.std() for field in np.fft.irfft2(amplitude * waves, (HEIGHT, WIDTH)))
    return np.stack([grey + 0.3 * colour for colour in colours], axis=2)


def make_folder(root: Path, count: int) -> None:
    """``count`` JPEG files in two class folders."""
    rng = np.random.default_rng(0)
    for i in range(count):
        folder = root / ("ant", "bee")[i % 2]
        folder.mkdir(parents=True, exist_ok=True)
        make_image(rng).save(folder / f"{i}.jpg", quality=QUALITY)


class Plain(Dataset[Tensor]):
    """Files as torchvision's examples read them."""

    def __init__(self, paths: list[str], normalised: bool) -> None:
        self.paths = paths
        after = [transforms.ToDtype(torch.float32, scale=True), transforms.Normalize(MEAN, STD)] if normalised else []
        self.transform = transforms.Compose(
            [transforms.RandomResizedCrop(SIZE), transforms.RandomHorizontalFlip(), transforms.PILToTensor(), *after]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> Tensor:
        with Image.open(self.paths[i]) as image:
            tensor: Tensor = self.transform(image.convert("RGB"))
        return tensor


def plain(paths: list[str], normalised: bool) -> Feed:
    def feed(seed: int) -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(seed)
        yield from DataLoader(Plain(paths, normalised), BATCH, shuffle=True, drop_last=True, generator=rng)

    return feed


def ours(source: Source, normalised: bool) -> Feed:
    """What evo gives; as bytes what its loader gives before batches are normalised."""

    def feed(seed: int) -> Iterator[Tensor]:
        if normalised:
            yield from (x for x, _ in source.epoch(BATCH, ("resized_crop", "flip"), seed))
            return
        assert isinstance(source, StreamedImages)
        dataset, _ = source.reads_ahead(("resized_crop", "flip"), seed)
        order = torch.randperm(len(source), generator=torch.Generator().manual_seed(seed))
        for places in torch.split(order[: len(order) // BATCH * BATCH], BATCH):
            if hasattr(dataset, "__getitems__"):
                yield dataset.__getitems__(places.tolist())
            else:
                yield torch.stack([dataset[i] for i in places.tolist()])

    return feed


def images_per_second(feed: Feed, seed: int) -> float:
    began = time.process_time()
    count = sum(len(batch) for batch in feed(seed))
    return count / (time.process_time() - began)


def decoding_rate(paths: list[str]) -> float:
    """Images per second that one thread decodes, scales and writes."""
    pictures = keep_scaled(Photographs(np.array(paths)), SHORT_SIDE, True)
    began = time.process_time()
    return fill(pictures, 1) / (time.process_time() - began)


def measure(root: Path, repeats: int) -> dict[str, float]:
    """Images per second of each way, the median of several epochs."""
    torch.set_num_threads(1)

    def section(short_side: int | None) -> DataSection:
        return DataSection(
            name="images",
            path=str(root),
            size=SIZE,
            in_memory=False,
            workers=0,
            validation_fraction=0.02,
            short_side=short_side,
        )

    paths = sorted(map(str, root.rglob("*.jpg")))
    found = {"decoding ahead, bytes": decoding_rate(paths)}
    files, kept = load_dataset(section(None)).train, load_dataset(section(SHORT_SIDE)).train
    assert isinstance(kept, StreamedImages)
    assert isinstance(kept.pictures, KeptPictures)
    fill(kept.pictures, 1)
    ways = {
        f"{name}, {kind}": way
        for kind, normalised in (("bytes", False), ("floats", True))
        for name, way in (
            ("plain torchvision", plain(paths, normalised)),
            ("evo, from files", ours(files, normalised)),
            ("evo, decoded once", ours(kept, normalised)),
        )
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats):
        for name, way in ways.items():
            rates[name].append(images_per_second(way, repeat))
    return found | {name: median(values) for name, values in rates.items()}


def table(found: dict[str, float]) -> str:
    lines = ["| way | images/s | times plain torchvision |", "| --- | --- | --- |"]
    for name, rate in found.items():
        base = found[f"plain torchvision, {'floats' if name.endswith('floats') else 'bytes'}"]
        lines.append(f"| {name} | {rate:,.0f} | {rate / base:.2f} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=600, help="images that are made")
    parser.add_argument("--repeats", type=int, default=5, help="epochs of each way")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EVO_CACHE"] = str(Path(folder) / "cache")
        make_folder(Path(folder) / "photos", options.images)
        sizes = [path.stat().st_size for path in Path(folder).rglob("*.jpg")]
        print(f"{len(sizes):,} files of {sum(sizes) / len(sizes) / 1000:.0f} kB on average\n")
        print(table(measure(Path(folder) / "photos", options.repeats)))


if __name__ == "__main__":
    main()
