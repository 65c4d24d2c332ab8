"""What a supernet's training step costs, beside the step of a network written by hand for the same path."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.comparison import Table
from evo.console import Advance
from evo.data.source import ImageSet
from evo.training.loop import Schedule, train
from spaces.architecture import Architecture
from spaces.costs.table import cost_table
from spaces.export.scaling import scale_widths
from spaces.library.named_spaces import load_space
from spaces.networks.supernet import Supernet
from spaces.operations.grammar import parse_op
from spaces.space import SearchSpace

BATCHES = 8
"""Steps in one go, timed together."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        width, pixels, batch, repeats: NAS-Bench-Macro at a share of its channels, pixels of the images, images per step,
            and how often each arm is timed.
        images, epochs, seeds: of the digits, all where None; of the trainings on them.
        population, trials: architectures that are scored at once, and in a round.
    """

    width: float
    pixels: int
    batch: int
    repeats: int
    images: int | None = None
    epochs: int = 13
    seeds: int = 3
    population: int = 50
    trials: int = 500


SIZES = {
    "smoke": Size(0.25, 8, 8, 1, images=120, epochs=1, seeds=1, population=8, trials=60),
    "cpu": Size(0.5, 16, 64, 7),
    "cuda": Size(1.0, 32, 256, 15),
}

PATH = Architecture.parse("|".join(("mb_k3_e3_relu6", "mb_k5_e6_relu6") * 4))


class Plain(nn.Module):
    """The network of one path of NAS-Bench-Macro, written by hand."""

    def __init__(self, space: SearchSpace) -> None:
        super().__init__()
        stem, first, head = space.stem, space.layers[0].shape.c_in, space.head
        self.stem = nn.Sequential(
            nn.Conv2d(stem.c_in, first, 3, 1, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU6(True)
        )
        self.blocks = nn.ModuleList()
        for layer, gene in zip(space.layers, PATH.genes, strict=True):
            op, shape = parse_op(gene), layer.shape
            hidden = op.expansion * shape.c_in
            block = nn.Sequential(
                nn.Conv2d(shape.c_in, hidden, 1, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU6(True),
                nn.Conv2d(hidden, hidden, op.kernel, shape.stride, op.kernel // 2, groups=hidden, bias=False),
                nn.BatchNorm2d(hidden),
                nn.ReLU6(True),
                nn.Conv2d(hidden, shape.c_out, 1, bias=False),
                nn.BatchNorm2d(shape.c_out),
            )
            self.blocks.append(block)
        self.residual = [layer.shape.is_residual for layer in space.layers]
        last = space.layers[-1].shape.c_out
        self.last = nn.Sequential(
            nn.Conv2d(last, head.features, 1, bias=False), nn.BatchNorm2d(head.features), nn.ReLU6(True)
        )
        self.classifier = nn.Linear(head.features, head.classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block, residual in zip(self.blocks, self.residual, strict=True):
            x = block(x) + x if residual else block(x)
        scores: Tensor = self.classifier(self.last(x).mean(dim=(2, 3)))
        return scores


def path_weights(supernet: Supernet) -> list[Tensor]:
    """The supernet's tensors that ``PATH`` uses, in the order in which ``Plain`` has its own."""
    used = tuple(f"layers.{i}.ops.{gene}." for i, gene in enumerate(PATH.genes))
    return [t for name, t in supernet.state_dict().items() if name.startswith(("stem.", "head.", *used))]


# -- one arm: seconds per step -----------------------------------------------------------------------------------------


def clock(device: torch.device) -> float:
    """Seconds, read when the device has finished its work; on a CPU, CPU seconds, which a busy machine changes little."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@dataclass
class Stopwatch:
    """Seconds from the first step to the last."""

    device: torch.device
    marks: list[float] = field(default_factory=list)

    def mark(self) -> None:
        self.marks.append(clock(self.device))

    @contextmanager
    def track(self, label: str, total: int) -> Iterator[Advance]:
        """A ``track`` for ``train``, which reports every step: reads the clock before the first and after the last one."""
        left = total

        def advance(n: int) -> None:
            nonlocal left
            left -= n
            if left in (0, total):
                self.mark()

        yield advance

    def per_step(self) -> float:
        return (self.marks[-1] - self.marks[0]) / BATCHES


def plan(size: Size) -> Schedule:
    return Schedule(epochs=1, batch_size=size.batch, learning_rate=0.01, warmup_fraction=0)


def ours(supernet: Supernet, images: ImageSet, size: Size) -> float:
    """A step of ``train`` on one path."""
    watch = Stopwatch(images.device)
    train(supernet, images, plan(size), seed=0, paths=lambda rng: ((PATH,),), track=watch.track)
    return watch.per_step()


def by_hand(
    network: Callable[[Tensor], Tensor],
    parameters: list[nn.Parameter],
    images: ImageSet,
    size: Size,
    *,
    layout: torch.memory_format = torch.channels_last,
    half: bool = False,
) -> float:
    """A step written by hand: the same batches, the same optimiser."""
    watch, schedule = Stopwatch(images.device), plan(size)
    matrices, vectors = [p for p in parameters if p.ndim > 1], [p for p in parameters if p.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": schedule.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.SGD(groups, lr=schedule.learning_rate, momentum=schedule.momentum, nesterov=True)
    watch.mark()
    for x, y in images.epoch(size.batch, (), 0):
        optimizer.zero_grad()
        with torch.autocast(images.device.type, torch.bfloat16) if half else nullcontext():
            loss = F.cross_entropy(network(x.contiguous(memory_format=layout)), y)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    watch.mark()
    return watch.per_step()


def multiply_rate(device: torch.device) -> float:
    """Multiply-accumulates per second of a large matrix product in single precision: the floor's ground."""
    n = 1024 if device.type == "cpu" else 8192
    a, watch = torch.rand(n, n, device=device), Stopwatch(device)
    for _ in range(8):
        watch.mark()
        a @ a
    watch.mark()
    return n**3 / min(b - a for a, b in zip(watch.marks, watch.marks[1:], strict=False))


class HostReads(TorchDispatchMode):
    """Counts operations that make the host wait for the device: reads of values, and results of unknown shape."""

    WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "equal", "is_nonzero", "_unique2", "unique_dim")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result, name = func(*args, **(kwargs or {})), func.overloadpacket.__name__
        devices = {value.device for value in (*args, result) if isinstance(value, Tensor)}
        self.count += name in self.WAITING or (name in ("_to_copy", "copy_") and len(devices) > 1)
        return result


def host_reads(supernet: Supernet, images: ImageSet, schedule: Schedule) -> int:
    """The number of times the host waits between the first step of an epoch and the end of its last one."""
    reads, counts = HostReads(), []

    @contextmanager
    def track(label: str, total: int) -> Iterator[Advance]:
        yield lambda n: counts.append(reads.count)

    with reads:
        train(supernet, images, schedule, seed=0, paths=lambda rng: ((PATH,),), track=track)
    return counts[-1] - counts[1]


# -- all arms in one run -----------------------------------------------------------------------------------------------


def time_steps(size: Size, device: torch.device, *, compiled: bool) -> tuple[Table, str]:
    """The table of seconds per step of every arm, timed in turn, and the sentence below it."""
    space = scale_widths(load_space("nas_bench_macro", size=size.pixels), size.width)
    torch.manual_seed(0)
    n = size.batch * BATCHES
    x = torch.randn(n, 3, size.pixels, size.pixels).contiguous(memory_format=torch.channels_last)
    images = ImageSet(x, torch.randint(0, space.head.classes, (n,))).to(device)
    supernet = Supernet(space).to(device)
    arms: dict[str, Callable[[], float]] = {"supernet, one path": partial(ours, supernet, images, size)}

    def arm(name: str, *, wrap: Callable[[Any], Any] = lambda net: net, **options: Any) -> None:
        layout = options.get("layout", torch.channels_last)
        net = Plain(space).to(device=device, memory_format=layout)  # type: ignore[call-overload]
        arms[name] = partial(by_hand, wrap(net), list(net.parameters()), images, size, **options)

    arm("by hand")
    arm("by hand, contiguous", layout=torch.contiguous_format)
    arm("by hand, bfloat16 autocast", half=True)
    if compiled:
        arm("by hand, torch.compile", wrap=torch.compile)
    for run in arms.values():
        run()  # the first pass warms up, and compiles
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(size.repeats):
        for name, run in arms.items():
            seconds[name].append(run())
    macs = float(cost_table(space).count([PATH])[0, 0])
    floor = 3 * macs * size.batch / multiply_rate(device)
    rows = []
    for name, times in seconds.items():
        to_hand = median(a / b for a, b in zip(times, seconds["by hand"], strict=True))
        typical = median(times)
        rows.append(
            (name, f"{1000 * typical:.1f}", f"{size.batch / typical:,.0f}", f"{to_hand:.3f}", f"{typical / floor:.1f}")
        )
    reads = host_reads(supernet, images, Schedule(1, size.batch, 0.01, augment=("flip", "crop", "cutout")))
    title = (
        f"A training step on {device.type}, NAS-Bench-Macro at {size.width:g} of its channels, {size.pixels} pixels, "
        f"batches of {size.batch}; medians of {size.repeats}"
    )
    below = (
        f"The floor is {1000 * floor:.1f} ms: three times {macs / 1e6:.1f} million MACs per image at the rate of a matrix "
        f"product in single precision. The host waits for the device {reads} times in {BATCHES - 1} steps."
    )
    return Table(title, ("arm", "ms", "images/s", "to by hand", "to the floor"), tuple(rows)), below
