"""How near to what a device can do each preset's steps come: images per second, memory, the share of the limit.

    python -m benchmarks.accelerator                                   all presets on this CPU, at reduced size
    python -m benchmarks.accelerator --presets digits,nse_digits --markdown
    python -m benchmarks.accelerator --device cuda --full              on a GPU, with the presets' batches and image sizes
    python -m benchmarks.accelerator --full --presets pad_nas_digits   full size on a CPU

Training: steps of what the preset's evaluator trains, by the program's own loop: a supernet's drawn paths, a block behind its
teacher, a network alone. Scoring: two architectures by the program's own scorer, calibration included; images/s are those of
validation, of both together. Images are noise. Memory is the most that was alive: on a GPU by torch's allocator, on a CPU the
tensors that operations gave. The limit is a roofline: the greater of FLOPs / peak and bytes / bandwidth, of the very
operations that were timed; each reads its inputs from memory and writes its outputs there. Peak is the best of a large
product of matrices and a large convolution, bandwidth that of a large copy, both measured in the same run. What stays in
caches, or is fused, may be faster than this limit.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

import studies
from benchmarks.accelerator_workloads import Workload, workload_of
from benchmarks.comparison import Table
from evo.console import Advance, bar, say
from evo.data.source import ImageSet
from evo.memory.machine import format_memory
from evo.memory.meter import LiveBytes, byte_size
from evo.training.loop import train
from evo.workers.protocol import make_deterministic
from spaces.size import both_sides, size_text
from spaces.units import format_number

EPOCH = 2
"""Batches of an epoch of noise."""


@dataclass(frozen=True)
class Reduced:
    """How much is measured: at most so many images in a batch, pixels along a side, epochs; None: the preset's."""

    batch: int | None
    pixels: int | None
    epochs: int


SIZES = {"reduced": Reduced(16, 64, 2), "full": Reduced(None, None, 5)}


@dataclass(frozen=True)
class Ceiling:
    """What the device can do: FLOP/s (a multiplication and an addition are two), and bytes per second of a copy, read and
    written."""

    flops: float
    bandwidth: float


@dataclass(frozen=True)
class Measured:
    """One kind of work: images in so many seconds, the most bytes alive, FLOPs and bytes moved of all of it."""

    images: int
    seconds: float
    peak: int
    flops: int
    moved: int

    def share(self, ceiling: Ceiling) -> str:
        """The share of the limit, and what sets it."""
        computing, moving = self.flops / ceiling.flops, self.moved / ceiling.bandwidth
        return f"{max(computing, moving) / self.seconds:.0%} ({'computing' if computing > moving else 'memory'})"


# -- what the device can do -------------------------------------------------------------------------------------------


def measure_ceiling(device: torch.device) -> Ceiling:
    """The best of a few repetitions."""
    large = device.type == "cuda"
    n, images, copied = (8192, 256, 1 << 28) if large else (1024, 4, 1 << 25)
    a, b = (torch.randn(n, n, device=device) for _ in range(2))
    x = torch.randn(images, 128, 56, 56, device=device).to(memory_format=torch.channels_last)
    conv = nn.Conv2d(128, 128, 3, padding=1, bias=False).to(device, memory_format=torch.channels_last)
    source = torch.randn(copied, device=device)
    target = torch.empty_like(source)
    with torch.inference_mode():
        product = 2 * n**3 / _best(lambda: torch.mm(a, b), device)
        convolution = 2 * 9 * 128 * 128 * 56 * 56 * images / _best(lambda: conv(x), device)
        copy = 2 * 4 * copied / _best(lambda: target.copy_(source), device)
    return Ceiling(max(product, convolution), copy)


def _best(work: Callable[[], object], device: torch.device, times: int = 5) -> float:
    seconds = []
    for _ in range(times):
        started = clock(device)
        work()
        seconds.append(clock(device) - started)
    return min(seconds)


def clock(device: torch.device) -> float:
    """Seconds, when the device has done what it was given: of this process's work on a CPU, which others share."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


# -- what the work takes ----------------------------------------------------------------------------------------------


class Traffic(LiveBytes):  # type: ignore[no-untyped-call]
    """Counts, inside of ``with``, FLOPs, and the bytes that operations read and write; and what is alive."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.moved = 0

    def run(self, func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """What an operation gives."""
        given = func(*args, **kwargs)
        if func is torch.ops.aten.convolution_backward.default:
            self.flops += _backward_flops(*args)
        elif func._overloadpacket in flop_registry:
            self.flops += flop_registry[func._overloadpacket](*args, **kwargs, out_val=given)
        read = [x for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)]
        known = {x.untyped_storage()._cdata for x in read}
        written = [x for x in tree_leaves(given) if isinstance(x, Tensor)]
        changes = func._schema.is_mutable
        if not changes and read and all(x.untyped_storage()._cdata in known for x in written):
            return given  # a view: nothing moves
        self.moved += sum(x.numel() * x.element_size() for x in (*read, *written))
        return given


def _backward_flops(gradient: Tensor, x: Tensor, weight: Tensor, *others: Any) -> int:
    """As many as forward for the gradient of the images, and for that of the weights; torch's own count for the latter takes
    convolutions in groups for whole ones."""
    *_, (of_images, of_weights, _) = others
    return 2 * gradient.numel() * weight[0].numel() * (int(of_images) + int(of_weights))


def measure(images: int, work: Callable[[], object], device: torch.device, seconds: float) -> Measured:
    """Count ``work``, which took ``seconds`` for ``images``."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        work()
        peak = torch.cuda.max_memory_allocated(device)
        with Traffic() as traffic:
            work()
        return Measured(images, seconds, peak, traffic.flops, traffic.moved)
    with Traffic() as traffic:
        work()
    return Measured(images, seconds, traffic.peak, traffic.flops, traffic.moved)


def measure_training(load: Workload, noise: ImageSet, epochs: int, device: torch.device) -> Measured:
    """Time and count the same steps; the first epoch warms up."""
    marks: list[float] = []

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        yield lambda n: marks.append(clock(device)) if n else None

    def steps(count: int, track: Any) -> None:
        torch.manual_seed(0)
        model = load.build().to(device)
        schedule = replace(load.schedule, epochs=count)
        train(model, load.guided(noise), schedule, seed=0, paths=load.paths, loss=load.loss, track=track)

    steps(1 + epochs, track)
    seconds = marks[-1] - marks[EPOCH - 1]
    found = measure(EPOCH * epochs * load.schedule.batch_size, lambda: steps(1 + epochs, _silent), device, seconds)
    part = epochs / (1 + epochs)  # what the first epoch took is not part of the time
    return replace(found, flops=round(found.flops * part), moved=round(found.moved * part))


@contextmanager
def _silent(label: str, total: int) -> Iterator[Advance]:
    yield lambda n: None


def measure_scoring(load: Workload, noise: ImageSet, device: torch.device) -> Measured:
    """Time and count scoring, each time from nothing; the first time warms up."""
    torch.manual_seed(0)
    model = load.build().to(device)
    seconds = []
    for _ in range(3):
        started = clock(device)
        load.score(model, noise)
        seconds.append(clock(device) - started)
    images = load.archs * len(noise)
    found = measure(images, lambda: load.score(model, noise), device, median(seconds[1:]))
    held = (
        0 if device.type == "cuda" else byte_size(iter((*model.parameters(), *model.buffers())))
    )  # made before it counted
    return replace(found, peak=found.peak + held)


# -- presets ----------------------------------------------------------------------------------------------------------


def presets() -> list[str]:
    """The names of all of them."""
    return sorted(path.stem for path in (Path(studies.__file__).parent / "presets").glob("*.toml"))


def noise_of(load: Workload, batch: int, device: torch.device) -> ImageSet:
    """Images of noise, two batches of them, on the device."""
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(EPOCH * batch, load.channels, *both_sides(load.size), generator=rng)
    y = torch.randint(0, load.classes, (EPOCH * batch,), generator=rng)
    return ImageSet(x.to(memory_format=torch.channels_last), y).to(device)


def row_of(preset: str, reduced: Reduced, device: torch.device, ceiling: Ceiling) -> tuple[str, ...]:
    """A preset's line."""
    load = workload_of(preset, reduced.pixels, device)
    if load is None:
        return (preset, "a table: no images", *["-"] * 8)
    batch = min(load.schedule.batch_size, reduced.batch or load.schedule.batch_size)
    load = replace(load, schedule=replace(load.schedule, batch_size=batch))
    noise = noise_of(load, batch, device)
    trained = measure_training(load, noise, reduced.epochs, device)
    scored = measure_scoring(load, noise, device)
    pieces = f" in {load.schedule.accumulate}" if load.schedule.accumulate > 1 else ""
    return (
        preset,
        load.what,
        f"{batch}{pieces} of {size_text(load.size)}",
        f"{format_number(trained.flops / trained.images)}, {format_memory(trained.moved / trained.images)}",
        f"{trained.images / trained.seconds:,.0f}",
        trained.share(ceiling),
        format_memory(trained.peak),
        f"{scored.images / scored.seconds:,.0f}",
        scored.share(ceiling),
        format_memory(scored.peak),
    )


HEADER = (
    "preset", "what is trained", "batch", "FLOPs and bytes an image", "training images/s", "of the limit (set by)",
    "memory", "scoring images/s", "of the limit (set by)", "memory",
)  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    command = argparse.ArgumentParser(
        prog="python -m benchmarks.accelerator",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    command.add_argument(
        "--full", action="store_true", help="the presets' batches and images (default: at most 16 of 64 px)"
    )
    command.add_argument("--presets", metavar="NAMES", help="some of them, joined by commas (default: all)")
    command.add_argument("--threads", type=int, default=1, help="torch's, on a CPU (default: 1)")
    command.add_argument("--markdown", action="store_true", help="tables in Markdown")
    args = command.parse_args(argv)
    names = args.presets.split(",") if args.presets else presets()
    if unknown := sorted(set(names) - set(presets())):
        command.error(f"--presets: {unknown[0]!r} is none of {', '.join(presets())}")
    if args.device == "cuda" and not torch.cuda.is_available():
        command.error("--device cuda: torch finds no CUDA device here")
    make_deterministic(args.threads)
    device, size = torch.device(args.device), "full" if args.full else "reduced"
    ceiling = measure_ceiling(device)
    with bar("measuring", len(names)) as advance:
        rows = []
        for name in names:
            rows.append(row_of(name, SIZES[size], device, ceiling))
            advance(1)
    table = Table(title(device, size, args.threads, ceiling), HEADER, tuple(rows))
    say(table.markdown() + "\n") if args.markdown else table.show()


def title(device: torch.device, size: str, threads: int, ceiling: Ceiling) -> str:
    """Where it was measured, and what the device can do."""
    what = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"a CPU ({platform.machine()}), {threads} thread(s)"
    )
    return (
        f"Steps on {what}, at {size} size, fp32, torch {torch.__version__}: peak {ceiling.flops / 1e9:,.0f} GFLOP/s, copies "
        f"{ceiling.bandwidth / 1e9:,.1f} GB/s"
    )


if __name__ == "__main__":
    main()
