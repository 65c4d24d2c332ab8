"""The space of a trained network: each layer as it is, with fewer hidden channels, with smaller kernels, or left out.

What an operation of this space begins with is cut out of the network's own: the middle of a kernel, and the hidden channels
that matter most, so that fewer channels are always a part of more.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from spaces.architecture import IDENTITIES, Op
from spaces.errors import SpaceError
from spaces.layer import Layer, Shape
from spaces.networks.supernet import inherit_weights
from spaces.operations.grammar import BOTTLENECKS, OPERATIONS, entry_of, hidden_channels, parse_op
from spaces.operations.primitives import Conv, SqueezeExcite, Step
from spaces.pretrained.networks import Pretrained
from spaces.size import Size
from spaces.space import SearchSpace, make_divisible

SHARES = (0.75, 0.5, 0.25)
"""The parts of a layer's hidden channels that are tried beside all of them."""


def space_of(
    found: Pretrained,
    *,
    channels: int = 3,
    size: Size | None = None,
    classes: int = 1000,
    shares: Sequence[float] = SHARES,
) -> SearchSpace:
    """The space that grows out of a network, for images of so many channels, pixels and classes.

    Candidates stand from the network's own operation to the least of it; an identity is the last where shapes allow it.

    Raises:
        SpaceError: the network has layers of several operations side by side, or sees images of other channels.
    """
    if channels not in (1, found.space.stem.c_in):
        raise SpaceError(
            f"{found.name} sees images of {found.space.stem.c_in} channels, and these have {channels}: expected as many, or "
            "grey images"
        )
    layers, pixels = [], replace(found.space.stem, size=size or found.space.stem.size).size_out
    for layer in found.space.layers:
        shape = replace(layer.shape, size=pixels)
        layers.append(replace(layer, shape=shape, candidates=tuple(_cuts(layer, shape, shares))))
        pixels = shape.size_out
    stem = replace(found.space.stem, c_in=channels, size=size or found.space.stem.size)
    head = replace(found.space.head, classes=classes)
    return SearchSpace(f"{found.name}_cut", tuple(layers), stem, head, found.space.merge)


def _cuts(layer: Layer, shape: Shape, shares: Sequence[float]) -> Iterator[Op]:
    """The operation of a layer, and what can be cut out of it."""
    if len(layer.candidates) != 1 or layer.branches > 1:
        raise SpaceError(
            f"the network has operations side by side in a layer of {layer.block} ({', '.join(layer.candidates) or 'none'}), "
            "and what can be cut has one in each: choose another network"
        )
    (op,) = layer.candidates
    if op.partition("_")[0] not in BOTTLENECKS:
        yield op
        return
    whole = parse_op(op)
    hidden = hidden_channels(whole, shape)
    kernels = range(whole.kernel, 2, -2) if whole.kernel > 1 else (whole.kernel,)
    grouped = whole.groups not in (None, (1, 1))  # a channel belongs to others
    fixed = grouped or whole.groups is None or (whole.kind == "fused" and whole.expansion == 1)  # nothing is hidden
    widths = [hidden] if fixed else [hidden, *(make_divisible(share * hidden) for share in shares)]
    for width in sorted({width for width in widths if width <= hidden}, reverse=True):
        for kernel in kernels:
            even = width % shape.c_in == 0 and width != shape.c_in
            yield str(
                replace(whole, kernel=kernel)
                if width == hidden
                else replace(
                    whole,
                    kernel=kernel,
                    expansion=width // shape.c_in if even else 0,
                    hidden=0 if even else width,
                )
            )
    if shape.is_residual:
        yield "id"


def cut_weights(op: Op, cut: Op, shape: Shape, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What ``cut`` begins with in the place of ``op``, whose weights are given; names are those inside the operation.

    Raises:
        SpaceError: one cannot be cut out of the other.
    """
    if op == cut:
        return {name: tensor.clone() for name, tensor in weights.items()}
    branch = "branch." if any(name.startswith("branch.") for name in weights) else ""
    own = {name.removeprefix(branch): tensor for name, tensor in weights.items() if name.startswith(branch)}
    found = {name: tensor.clone() for name, tensor in weights.items() if branch and not name.startswith(branch)}
    before, behind = _steps(op, shape), _steps(cut, shape)
    if [type(step) for step in before] != [type(step) for step in behind]:
        raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: they have other steps")
    channels = [[(step.c_in, step.c_out) for step in steps if isinstance(step, Conv)] for steps in (before, behind)]
    if channels[0] != channels[1] and not all(
        step.groups == 1 or _is_depthwise(step) for step in before if isinstance(step, Conv)
    ):
        raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: its channels are grouped")
    kept = torch.arange(shape.c_in)
    for place, (whole, part) in enumerate(zip(before, behind, strict=True)):
        here = {name.removeprefix(f"{place}."): tensor for name, tensor in own.items() if name.startswith(f"{place}.")}
        if isinstance(whole, Conv) and isinstance(part, Conv):
            if max(part.kernel) > max(whole.kernel) or part.c_out > whole.c_out or part.c_in > whole.c_in:
                raise SpaceError(f"{cut!r} cannot be cut out of {op!r}: it is larger")
            into = kept
            if whole.groups == 1:
                kept = _most_important(before, place, own, part.c_out)
            elif not _is_depthwise(whole):
                kept = torch.arange(whole.c_out)
            found |= {f"{branch}{place}.{name}": tensor for name, tensor in _cut_conv(whole, part, here, into, kept)}
        elif isinstance(whole, SqueezeExcite) and isinstance(part, SqueezeExcite):
            found |= {f"{branch}{place}.{name}": tensor for name, tensor in _cut_gate(here, kept, part.reduced)}
    return found


def _is_depthwise(step: Conv) -> bool:
    return step.groups == step.c_in == step.c_out


def _steps(op: Op, shape: Shape) -> tuple[Step, ...]:
    steps = OPERATIONS[entry_of(op)].steps
    assert steps is not None  # operations of networks that were read are chains
    return steps(op, shape)


def _cut_conv(
    whole: Conv, part: Conv, tensors: Mapping[str, Tensor], into: Tensor, kept: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Of a convolution and its normalisation, the output channels ``kept``, of the input channels ``into``."""
    for name, tensor in tensors.items():
        if name != "0.weight":
            yield name, tensor[kept].clone() if tensor.ndim else tensor.clone()
            continue
        rows, columns = ((before - behind) // 2 for before, behind in zip(whole.kernel, part.kernel, strict=True))
        middle = tensor[:, :, rows : whole.kernel[0] - rows, columns : whole.kernel[1] - columns]
        yield name, middle[kept].clone() if whole.groups > 1 else middle[kept][:, into].clone()


def _cut_gate(tensors: Mapping[str, Tensor], kept: Tensor, reduced: int) -> Iterator[tuple[str, Tensor]]:
    """Of a squeeze-excitation, the channels ``kept`` and the first ``reduced`` of its own."""
    yield "gate.1.weight", tensors["gate.1.weight"][:reduced][:, kept].clone()
    yield "gate.1.bias", tensors["gate.1.bias"][:reduced].clone()
    yield "gate.3.weight", tensors["gate.3.weight"][kept][:, :reduced].clone()
    yield "gate.3.bias", tensors["gate.3.bias"][kept].clone()


def _most_important(steps: Sequence[Step], place: int, weights: Mapping[str, Tensor], number: int) -> Tensor:
    """The ``number`` output channels of the convolution at ``place`` that matter most, in their order.

    A channel matters as much as its normalisations scale it, and as the next convolution over all channels weighs it.
    """
    scale = weights[f"{place}.1.weight"].abs().double()
    if number == len(scale):
        return torch.arange(number)
    for behind in range(place + 1, len(steps)):
        step = steps[behind]
        if not isinstance(step, Conv):
            continue
        if step.groups == 1:
            scale = scale * weights[f"{behind}.0.weight"].double().square().sum((0, 2, 3)).sqrt()
            break
        scale = scale * weights[f"{behind}.1.weight"].abs().double()
    return scale.argsort(descending=True, stable=True)[:number].sort().values


def first_weights(
    found: Pretrained, space: SearchSpace, mean: Sequence[float], std: Sequence[float]
) -> dict[str, Tensor]:
    """What a supernet of ``space`` begins with, by the names of its tensors: everything, but for other classes the last linear
    layer.

    Args:
        space: one that ``space_of`` made of the network, or that evolved from it.
        mean, std: what the images are brought to here, per channel; the stem is changed so that it sees what it was trained on,
            but for the margins, which are padded with zeros.
    """
    weights = {name: tensor for name, tensor in found.weights.items() if name.startswith("head.")}
    if space.head.classes != found.space.head.classes:
        weights = {name: tensor for name, tensor in weights.items() if not name.startswith(last_layer(space))}
    weights |= _stem_weights(found, space.stem.c_in, mean, std)
    for i, layer in enumerate(space.layers):
        (op,) = found.space.layers[i].candidates
        prefix = f"layers.{i}.ops.{op}."
        own = {name.removeprefix(prefix): tensor for name, tensor in found.weights.items() if name.startswith(prefix)}
        for cut in layer.candidates:
            if cut not in IDENTITIES:
                named = cut_weights(op, cut, layer.shape, own)
                weights |= {f"layers.{i}.ops.{cut}.{name}": tensor for name, tensor in named.items()}
    return weights


def last_layer(space: SearchSpace) -> str:
    """What the names of the last linear layer's tensors begin with."""
    return f"head.{5 if space.head.hidden else 3}."


def load_first_weights(network: nn.Module, space: SearchSpace, weights: Mapping[str, Tensor]) -> None:
    """Give a network or supernet of ``space`` the weights that it begins with; its last linear layer may stay fresh.

    Raises:
        SpaceError: something else would stay fresh.
    """
    fresh = [name for name in inherit_weights(network, weights) if not name.startswith(last_layer(space))]
    if fresh:
        raise SpaceError(f"there are no weights for {fresh[0]} of {space.name!r} in what it begins with")


def _stem_weights(found: Pretrained, channels: int, mean: Sequence[float], std: Sequence[float]) -> dict[str, Tensor]:
    """The stem for images that are brought to another mean and deviation; grey ones are seen as colours that are alike."""
    weights = {name: tensor.clone() for name, tensor in found.weights.items() if name.startswith("stem.")}
    kernel = weights["stem.0.0.weight"].double()
    scaled = kernel / torch.tensor(found.std).double().view(1, -1, 1, 1)
    ours = torch.tensor(mean).double().expand(kernel.shape[1]), torch.tensor(std).double().expand(kernel.shape[1])
    away = (ours[0] - torch.tensor(found.mean).double()).view(1, -1, 1, 1)
    weights["stem.0.1.running_mean"] -= (scaled * away).sum((1, 2, 3)).float()
    new = scaled * ours[1].view(1, -1, 1, 1)
    weights["stem.0.0.weight"] = (new.sum(1, keepdim=True) if channels == 1 else new).float()
    return weights
