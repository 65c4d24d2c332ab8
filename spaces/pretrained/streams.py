"""What the layers of a stage give and add up, in fewer channels, and with the same weights.

Where what a stage gives is a sum of convolutions without an activation, and is read by convolutions over all channels, it may
be written in any other basis: what gives it and what reads it are multiplied by a matrix and its inverse, and the network stays
as it is (SliceGPT does so with the streams of transformers, https://arxiv.org/abs/2401.15024). The basis taken here is the one
whose first ``k`` channels, for every ``k``, let all readers together come closest to what they gave, in least squares over
images: reduced-rank regression (Izenman, Journal of Multivariate Analysis 5, 1975). So fewer channels are a part of more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from spaces.architecture import Op
from spaces.errors import SpaceError
from spaces.layer import Shape
from spaces.networks.network import Network
from spaces.operations.primitives import Conv, SqueezeExcite, Step
from spaces.pretrained.cut_space import stages_to_narrow, steps_of
from spaces.space import SearchSpace
from spaces.variants import stages

BASIS = INTO, BACK, MEAN = "stream_into", "stream_back", "stream_mean"
"""The last parts of the names under which a network's file has the basis of a stage: ``stages.<stage>.stream_into``."""

RIDGE = 1e-4
"""What is added to the covariance's diagonal, as a share of its mean: a channel may be a sum of others."""

EPSILON = 1e-5
"""Torch's own for batch normalisation, as in all our networks."""


@dataclass(frozen=True)
class Basis:
    """How channels of a stage are written in ``k`` others: ``z = into @ x``, and ``x`` is close to ``back @ z + rest``.

    Attributes:
        into: ``(k, channels)``; ``back``: ``(channels, k)``; ``rest``: ``(channels,)``.
    """

    into: Tensor
    back: Tensor
    rest: Tensor

    @classmethod
    def of(cls, stage: int, measured: Mapping[str, Tensor], channels: int) -> Basis:
        """The first ``channels`` channels of the basis that ``stream_bases`` has found for a stage."""
        into, back, mean = (measured[f"stages.{stage}.{part}"].double() for part in (INTO, BACK, MEAN))
        into, back = into[:channels], back[:, :channels]
        return cls(into, back, mean - back @ (into @ mean))


# -- which basis ------------------------------------------------------------------------------------------------------


def stream_bases(network: Network, space: SearchSpace, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """The basis of every stage of a network that can have fewer channels, by names that ``Basis.of`` reads.

    Args:
        network: it is left in evaluation mode.
        space: that of the network alone.
        batches: images, and anything.
    """
    moments, found = _moments(network, batches), dict[str, Tensor]()
    able = stages_to_narrow(space)
    for stage, (start, stop) in enumerate(stages(space.layers)):
        if not able[stage]:
            continue
        readers = [_reader(network, space, i + 1) for i in range(start, stop)]
        gram = sum((weights.T @ weights for weights in readers), torch.zeros_like(moments[start][1]))
        means, covariances = zip(*moments[start:stop], strict=True)
        into, back = _basis(gram, torch.stack(covariances).mean(0))
        parts = {INTO: into, BACK: back, MEAN: torch.stack(means).mean(0)}
        found |= {f"stages.{stage}.{part}": tensor.float() for part, tensor in parts.items()}
    return found


def _basis(gram: Tensor, covariance: Tensor) -> tuple[Tensor, Tensor]:
    """The matrices into the basis and back, each inverse to the other. Rows of the first have length 1.

    With ``R`` all that reads, ``gram = R'R``, and ``S`` the covariance, the best ``k`` channels are spanned by the first ``k``
    right singular vectors of ``R S^(1/2)``, before the root.
    """
    channels = len(covariance)
    ridge = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    values, vectors = torch.linalg.eigh(covariance + ridge * torch.eye(channels).to(covariance))
    root, inverse = (vectors @ torch.diag(values**power) @ vectors.T for power in (0.5, -0.5))
    right = torch.linalg.eigh(root @ gram @ root)[1].flip(1)
    into, back = right.T @ inverse, root @ right
    length = into.norm(dim=1)
    return into / length[:, None], back * length


def _moments(network: Network, batches: Iterable[tuple[Tensor, Tensor]]) -> list[tuple[Tensor, Tensor]]:
    """Of what each layer gives, over all pixels of all images: means ``(c,)`` and covariances ``(c, c)``."""
    sums: list[list[Tensor]] = [[] for _ in network.layers]
    hooks = [layer.register_forward_hook(partial(_add, kept)) for layer, kept in zip(network.layers, sums, strict=True)]
    network.eval()
    with torch.no_grad():
        for x, _ in batches:
            network(x)
    for hook in hooks:
        hook.remove()
    return [(total / n, squares / n - torch.outer(total / n, total / n)) for n, total, squares in sums]


def _add(sums: list[Tensor], module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
    pixels = output.movedim(1, -1).flatten(0, -2)
    number = torch.tensor(float(len(pixels)), dtype=torch.float64, device=pixels.device)
    new = number, pixels.sum(0, dtype=torch.float64), (pixels.T @ pixels).double()
    sums[:] = [kept + more for kept, more in zip(sums, new, strict=True)] if sums else list(new)


def _reader(network: Network, space: SearchSpace, i: int) -> Tensor:
    """The weights that layer ``i`` (behind the last: the head) reads with, scaled as their normalisation scales what they give:
    ``(outputs and places of the kernel, channels)``."""
    part = network.head if i == len(space.layers) else network.layers[i]
    convolution = next(each for each in part.modules() if isinstance(each, nn.Conv2d))
    norm = next(each for each in part.modules() if isinstance(each, nn.BatchNorm2d))
    assert norm.running_var is not None
    scale = norm.weight.detach().double() / (norm.running_var.double() + norm.eps).sqrt()
    weights = convolution.weight.detach().double() * scale[:, None, None, None]
    return weights.movedim(1, -1).flatten(0, -2)


# -- weights in it ----------------------------------------------------------------------------------------------------


def narrow_reader(weights: Mapping[str, Tensor], name: str, basis: Basis) -> Iterator[tuple[str, Tensor]]:
    """What replaces tensors of a convolution and its normalisation, ``<name>.0`` and ``<name>.1``, that read a stage."""
    kernel, mean = weights[f"{name}.0.weight"], weights[f"{name}.1.running_mean"]
    back, rest = basis.back.to(kernel), basis.rest.to(kernel)
    yield f"{name}.0.weight", torch.einsum("ocij,ck->okij", kernel, back).contiguous()
    yield f"{name}.1.running_mean", mean - kernel.detach().sum((2, 3)) @ rest


def narrow_giver(
    weights: Mapping[str, Tensor], name: str, basis: Basis, covariance: Tensor | None = None
) -> Iterator[tuple[str, Tensor]]:
    """What replaces tensors of a convolution and its normalisation that a stage's sum is made of.

    Args:
        covariance: of the channels that the convolution reads; None: of what normalisations give, channels are taken not to
            covary.
    """
    kernel, into = weights[f"{name}.0.weight"], basis.into.to(weights[f"{name}.0.weight"])
    scale, bias, mean, variance = (
        weights[f"{name}.1.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    factor = scale / (variance + EPSILON).sqrt()
    narrowed = torch.einsum("kc,coij->koij", into * factor, kernel).contiguous()
    if covariance is not None and kernel.shape[2:] == (1, 1):
        rows = narrowed.flatten(1)
        new_variance = ((rows @ covariance.to(rows)) * rows).sum(1)
    else:
        new_variance = (into * scale).square().sum(1)
    yield f"{name}.0.weight", narrowed
    yield f"{name}.1.weight", (new_variance + EPSILON).sqrt()
    yield f"{name}.1.bias", into @ bias
    yield f"{name}.1.running_mean", into @ (factor * mean).detach()
    yield f"{name}.1.running_var", new_variance.detach()


def narrow_operation(
    weights: Mapping[str, Tensor],
    op: Op,
    whole: Shape,
    shape: Shape,
    stage: int,
    measured: Mapping[str, Tensor],
    covariance: Tensor | None,
) -> dict[str, Tensor]:
    """The weights of an operation in a layer of ``shape``, which has fewer channels than the ``whole`` layer.

    Args:
        weights: of the operation in the whole layer.
        stage: that the layer belongs to.
        measured: what ``stream_bases`` gave.
        covariance: of the channels that its last convolution reads, where it is known.

    Raises:
        SpaceError: the operation's own channels would change, too, or there is no basis.
    """
    if (shape.c_in, shape.c_out) == (whole.c_in, whole.c_out):
        return dict(weights)
    before, behind = steps_of(op, whole), steps_of(op, shape)
    found, last = dict(weights), len(behind) - 1
    if not behind or [_inside(step) for step in before[1:]] != [_inside(step) for step in behind[1:]]:
        raise SpaceError(f"{op!r} has other channels inside where its layer is given {shape.c_in} and not {whole.c_in}")
    if shape.c_in != whole.c_in:
        read = stage if whole.is_residual else stage - 1
        found |= narrow_reader(found, "0", basis_of(read, measured, shape.c_in))
    if shape.c_out != whole.c_out:
        found |= narrow_giver(found, f"{last}", basis_of(stage, measured, shape.c_out), covariance)
    return found | dict(_narrow_gates(found, behind))


def basis_of(stage: int, measured: Mapping[str, Tensor], channels: int) -> Basis:
    """``Basis.of``.

    Raises:
        SpaceError: ``stream_bases`` has found none for the stage.
    """
    known = measured.get(f"stages.{stage}.{INTO}")
    if known is None or channels > len(known):
        raise SpaceError(f"nothing is known of how stage {stage + 1} could give {channels} channels: expected all")
    return Basis.of(stage, measured, channels)


def _inside(step: Step) -> int:
    """The channels that a step is given, but for those of a squeeze-excitation's own."""
    return step.c_in if isinstance(step, Conv) else 0


def _narrow_gates(weights: Mapping[str, Tensor], steps: Sequence[Step]) -> Iterator[tuple[str, Tensor]]:
    """What replaces tensors of squeeze-excitations that have fewer channels inside: these are a share of the layer's input."""
    for place, step in enumerate(steps):
        if isinstance(step, SqueezeExcite):
            name, inner = f"{place}.gate", step.reduced
            yield f"{name}.1.weight", weights[f"{name}.1.weight"][:inner].clone()
            yield f"{name}.1.bias", weights[f"{name}.1.bias"][:inner].clone()
            yield f"{name}.3.weight", weights[f"{name}.3.weight"][:, :inner].clone()
