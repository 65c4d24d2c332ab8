"""A network that another library built, read as an architecture of a space: layer by layer, from the modules themselves.

What is read are mobile networks and residual networks: a convolution in front, blocks of one to three convolutions, with or
without squeeze-excitation and shortcut, a 1x1 convolution behind them or none, an average pool, one or two linear layers.
Which tensor becomes which is told by their order. A normalisation's epsilon may differ from torch's: the running variance
takes up the difference, so that outputs in evaluation mode are the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

from spaces.architecture import Architecture, Op
from spaces.errors import SpaceError
from spaces.layer import Head, Layer, Shape, Stem
from spaces.networks.network import Network
from spaces.operations.grammar import Bottleneck
from spaces.size import Size
from spaces.space import SearchSpace

BLOCKS = {
    "BasicBlock", "Bottleneck", "ConvBnAct", "DepthwiseSeparableConv", "EdgeResidual", "FusedMBConv", "InvertedResidual",
    "MBConv", "_InvertedResidual",
}  # fmt: skip
"""Classes of torchvision and timm that are one layer here."""

RESIDUAL_RELU = {"BasicBlock", "Bottleneck"}
"""Those of them that have a ReLU behind the sum."""

ACTIVATIONS = {nn.ReLU: "relu", nn.ReLU6: "relu6", nn.SiLU: "swish", nn.Hardswish: "hswish"}

EPSILON = nn.BatchNorm2d(1).eps
"""Of the normalisations of the networks that are built here."""


@dataclass(frozen=True)
class Convolution:
    """A convolution of the original, and what stands behind it.

    Attributes:
        name: of the module; ``norm``: of the batch normalisation behind it, or None.
        side: whether it makes the shortcut, not the output.
    """

    name: str
    conv: nn.Conv2d
    norm: str | None = None
    activation: str | None = None
    side: bool = False

    @property
    def gates(self) -> bool:
        """Whether it is one of a squeeze-excitation's: these alone have a bias."""
        return self.conv.bias is not None

    @property
    def kernel(self) -> int:
        return self.conv.kernel_size[0]

    @property
    def is_depthwise(self) -> bool:
        return self.conv.groups == self.conv.in_channels > 1

    def tensors(self) -> list[str]:
        """Names of its tensors, in the order in which ours have them."""
        own = [f"{self.name}.weight"] + ([f"{self.name}.bias"] if self.gates else [])
        parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
        return own + ([f"{self.norm}.{part}" for part in parts] if self.norm else [])


@dataclass
class Run:
    """Neighbouring parts of the original that make one of ours: a stem, a layer, or the end.

    Attributes:
        kind: the block's class; empty outside of blocks.
        hard: whether a hard sigmoid gates a squeeze-excitation; ``pool``: stride of a max pooling, 1: there is none.
    """

    kind: str
    convolutions: list[Convolution] = field(default_factory=list)
    linears: list[tuple[str, nn.Linear]] = field(default_factory=list)
    activations: list[str] = field(default_factory=list)
    hard: bool = False
    pool: int = 1


@dataclass(frozen=True)
class ReadModule:
    """What a module is here.

    Attributes:
        tensors: the original's names, in the order of our state; ``epsilons``: of its normalisations, by the name of their
            running variance.
    """

    space: SearchSpace
    arch: Architecture
    tensors: tuple[str, ...]
    epsilons: dict[str, float]


def read_module(module: nn.Module, name: str, size: Size = 224) -> ReadModule:
    """The architecture of ``module``, for images of ``size`` pixels.

    Raises:
        SpaceError: something of it is none of our operations; the message names the part.
    """
    runs = list(_runs(module))
    if len(runs) < 3 or not runs[0].convolutions or not runs[-1].linears:
        raise SpaceError(
            f"{name} cannot be read: expected a convolution, blocks ({', '.join(sorted(BLOCKS))}) and a linear layer, "
            f"found {type(module).__name__}"
        )
    first, *blocks, last = runs
    stem = _stem(first, size)
    opening = Run("", first.convolutions[1:], activations=first.activations[1:])
    blocks = [opening, *blocks] if opening.convolutions else blocks
    layers = tuple(_layers(blocks, stem))
    merge = "residual_relu" if any(run.kind in RESIDUAL_RELU for run in blocks) else "residual"
    space = SearchSpace(name, layers, stem, _head(last), merge)
    arch = Architecture(tuple(layer.candidates[0] for layer in layers))
    return ReadModule(space, arch, tuple(_tensors(first.convolutions[:1], blocks, last)), dict(_epsilons(module)))


def _epsilons(module: nn.Module) -> Iterator[tuple[str, float]]:
    for name, part in module.named_modules():
        if isinstance(part, nn.BatchNorm2d):
            yield f"{name}.running_var", part.eps


def _runs(module: nn.Module) -> Iterator[Run]:
    """The parts of the original in their order, block by block."""
    owner, run = "", Run("")
    for name, part in module.named_modules():
        if owner and not f"{name}.".startswith(f"{owner}."):
            yield run
            owner, run = "", Run("")
        if type(part).__name__ in BLOCKS and not owner:
            if run.convolutions:
                yield run
            owner, run = name, Run(type(part).__name__)
        _take(run, name, part)
    yield run


def _take(run: Run, name: str, part: nn.Module) -> None:
    """Add one module to the run."""
    if isinstance(part, nn.Conv2d):
        run.convolutions.append(Convolution(name, part, side=".downsample." in f".{name}."))
    elif isinstance(part, nn.BatchNorm2d):
        places = [i for i, one in enumerate(run.convolutions) if not one.gates and one.norm is None]
        if not places:
            raise SpaceError(f"{name} is a batch normalisation without a convolution in front of it")
        before = run.convolutions[place := places[-1]]
        run.convolutions[place] = Convolution(before.name, before.conv, name, side=before.side)
    elif isinstance(part, nn.Linear):
        run.linears.append((name, part))
    elif type(part) in ACTIVATIONS:
        run.activations.append(ACTIVATIONS[type(part)])
    elif isinstance(part, nn.Hardsigmoid):
        run.hard = True
    elif isinstance(part, nn.MaxPool2d):
        run.pool = int(part.stride if isinstance(part.stride, int) else part.stride[0])


def _stem(run: Run, size: Size) -> Stem:
    first = run.convolutions[0]
    conv = _plain(first)
    return Stem(
        conv.out_channels,
        conv.stride[0],
        first.kernel,
        _activation(run, first.name),
        c_in=conv.in_channels,
        size=size,
        padding=_padding([first]),
        pool=run.pool,
    )


def _layers(blocks: Sequence[Run], stem: Stem) -> Iterator[Layer]:
    """A layer with one candidate for each block; layers of one width are one stage."""
    channels, size, stage = stem.c_out, stem.size_out, 0
    for place, run in enumerate(blocks):
        main = [one for one in run.convolutions if not one.gates and not one.side]
        stride = max(one.conv.stride[0] for one in main)
        shape = Shape(channels, main[-1].conv.out_channels, stride, size, _padding(main))
        stage += place == 0 or shape.c_out != channels
        yield Layer(shape, (_operation(run, main, shape),), block=f"stage{stage}")
        channels, size = shape.c_out, shape.size_out


def _operation(run: Run, main: Sequence[Convolution], shape: Shape) -> Op:
    """The name of a block's operation."""
    kernels, where = [one.kernel for one in main], main[0].name
    depthwise = [one.is_depthwise for one in main]
    for one in main:
        _plain(one)
    match depthwise, [kernel == 1 for kernel in kernels]:
        case [[True, False], [False, True]] | [[True, False], [True, True]]:
            kind, groups, middle = "mb", None, 0
        case [[False, True, False], [True, _, True]]:
            kind, groups, middle = "mb", (1, 1), 1
        case [[False, False, False], [True, _, True]]:
            kind, groups, middle = "conv", (1, 1), 1
        case [[False, False], [False, True]]:
            kind, groups, middle = "fused", (1, 1), 0
        case [[False], [_]]:
            kind, groups, middle = "fused", (1, 1), 0
        case [[False, False], [False, False]]:
            kind, groups, middle = "basic", (1, 1), 0
        case _:
            raise SpaceError(f"{where}: convolutions of kernels {kernels} are no operation here")
    gates = [run.convolutions.index(one) for one in run.convolutions if one.gates]
    behind = [place for place in gates if place > run.convolutions.index(main[-1])]
    if gates and bool(behind) == (kind in ("mb", "conv") or (kind == "fused" and len(main) > 1)):
        raise SpaceError(
            f"{run.convolutions[gates[0]].name}: a squeeze-excitation that stands elsewhere than in {kind} operations here"
        )
    hidden = main[middle].conv.out_channels
    alone = kind == "fused" and len(main) == 1
    expansion = 1 if alone else hidden // shape.c_in if hidden % shape.c_in == 0 else 0
    if (kind == "mb" and groups is None and hidden != shape.c_in) or (kind == "fused" and expansion == 1 and not alone):
        raise SpaceError(f"{where}: {hidden} hidden channels for {shape.c_in} are no {kind} operation here")
    activation = _activation(run, where)
    op = Bottleneck(
        kind,
        kernels[middle],
        expansion,
        groups=groups,
        activation=activation,
        hidden=0 if expansion else hidden,
        shortcut=any(one.side for one in run.convolutions),
        **_squeeze_excitation(run, shape, hidden, activation),
    )
    return str(op)


def _squeeze_excitation(run: Run, shape: Shape, hidden: int, activation: str) -> dict[str, int]:
    """The option of a block's squeeze-excitation; none where there is none."""
    gates = [one for one in run.convolutions if one.gates]
    if not gates:
        return {}
    reduced = gates[0].conv.out_channels
    if run.hard:
        return {"se_hard": reduced}
    for option, channels in (("se", shape.c_in), ("se_hidden", hidden)):
        for percent in (25, *range(1, 101)):
            if max(1, channels * percent // 100) == reduced:
                return {option: percent}
    raise SpaceError(f"{gates[0].name}: no percentage of {shape.c_in} or {hidden} channels is {reduced}")


def _plain(one: Convolution) -> nn.Conv2d:
    """The convolution, where it is one that is built here.

    Raises:
        SpaceError: it is not; the message says why.
    """
    conv = one.conv
    square = conv.kernel_size[0] == conv.kernel_size[1] and conv.stride[0] == conv.stride[1]
    if not square or conv.dilation != (1, 1) or one.norm is None or conv.groups not in (1, conv.in_channels):
        raise SpaceError(
            f"{one.name} is {conv}: expected a square convolution without dilation, depthwise or over all channels, and a "
            "batch normalisation behind it"
        )
    return conv


def _padding(convolutions: Sequence[Convolution]) -> str:
    """How those with a stride pad."""
    strided = [one for one in convolutions if one.conv.stride != (1, 1) and one.kernel > 1]
    if any("Same" in type(one.conv).__name__ for one in strided):
        return "same"
    for one in convolutions:
        if "Same" not in type(one.conv).__name__ and one.conv.padding != (one.kernel // 2,) * 2:
            raise SpaceError(f"{one.name} pads by {one.conv.padding}: expected {one.kernel // 2} on all sides, or SAME")
    return "symmetric"


def _activation(run: Run, where: str) -> str:
    """A run's activation; that of a hard squeeze-excitation, a ReLU, is left aside where there is another."""
    found = dict.fromkeys(run.activations)
    if run.hard and len(found) > 1:
        found.pop("relu", None)
    if len(found) != 1:
        raise SpaceError(
            f"{where}: expected one activation of {', '.join(ACTIVATIONS.values())}, found {list(found) or 'none'}"
        )
    return next(iter(found))


def _head(run: Run) -> Head:
    """The end. timm has a 1x1 convolution with a bias behind the pool: a linear layer, whose activation is the last."""
    behind = [one for one in run.convolutions if one.gates]
    before = [one for one in run.convolutions if not one.gates]
    (_, last), linears = run.linears[-1], run.linears[:-1]
    hidden = [one.conv.out_channels for one in behind] + [linear.out_features for _, linear in linears]
    if len(before) > 1 or len(hidden) > 1 or last.bias is None:
        raise SpaceError("the end cannot be read: expected a 1x1 convolution or none, and one or two linear layers")
    features = before[0].conv.out_channels if before else 0
    norm = not before or before[0].norm is not None
    return Head(
        features,
        last.out_features,
        run.activations[-1] if run.activations else "relu",
        norm,
        hidden[0] if hidden else 0,
    )


def _tensors(stem: Sequence[Convolution], blocks: Sequence[Run], last: Run) -> Iterator[str]:
    """Names of the original's tensors, in the order of our state."""
    main = [one for run in blocks for one in sorted(run.convolutions, key=lambda one: one.side)]
    for one in (*stem, *main, *last.convolutions):
        yield from one.tensors()
    for name, _ in last.linears:
        yield from (f"{name}.weight", f"{name}.bias")


def our_tensors(read: ReadModule) -> list[str]:
    """Names of our tensors, in the order of ``ReadModule.tensors``.

    Raises:
        SpaceError: there is another number of them.
    """
    with torch.device("meta"):
        ours = list(Network(read.arch, read.space).state_dict())
    if len(ours) != len(read.tensors):
        raise SpaceError(
            f"{read.space.name} has {len(read.tensors)} tensors, and the network that was read of it {len(ours)}"
        )
    return ours
