"""Which hidden channels of an operation matter most: those that stay when others are cut away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from spaces.operations.primitives import Conv, Step

IMPORTANCE = "importance"
"""The last part of the names under which a network's file has what ``channel_importance`` gives."""


def most_important(
    importance: str, steps: Sequence[Step], place: int, weights: Mapping[str, Tensor], number: int
) -> Tensor:
    """The ``number`` output channels of the convolution at ``place`` that matter most, in their order.

    Args:
        importance: a name of ``IMPORTANCES``.
        steps: of the operation; ``weights``: of its normalised convolutions, ``<place>.0.weight`` and so on.
    """
    whole = len(weights[f"{place}.1.weight"])
    if number == whole:
        return torch.arange(whole, device=weights[f"{place}.1.weight"].device)
    worth = IMPORTANCES[importance](_channels(steps, place, weights))
    return worth.argsort(descending=True, stable=True)[:number].sort().values


@dataclass(frozen=True)
class _Channels:
    """Where the output channels of a convolution go.

    Attributes:
        places: the convolution, and those behind it that run channel by channel.
        reader: the next one, which reads all of them; None: there is none.
    """

    weights: Mapping[str, Tensor]
    places: tuple[int, ...]
    reader: int | None

    def filters(self) -> Tensor:
        """``(channels, steps)`` the L2 norms of the filters that make and change each channel."""
        norms = [self.weights[f"{place}.0.weight"].double().flatten(1).norm(dim=1) for place in self.places]
        return torch.stack(norms, dim=1)

    def read(self) -> Tensor:
        """``(channels,)`` the L2 norm of what the next convolution weighs each channel by; 1 where there is none."""
        if self.reader is None:
            return torch.ones_like(self.weights[f"{self.places[0]}.1.weight"], dtype=torch.float64)
        return self.weights[f"{self.reader}.0.weight"].double().square().sum((0, 2, 3)).sqrt()

    def norms(self, part: str) -> Tensor:
        """``(channels, steps)`` a tensor of the normalisations that each channel passes."""
        return torch.stack([self.weights[f"{place}.1.{part}"].double() for place in self.places], dim=1)


def _channels(steps: Sequence[Step], place: int, weights: Mapping[str, Tensor]) -> _Channels:
    places = [place]
    for behind in range(place + 1, len(steps)):
        step = steps[behind]
        if not isinstance(step, Conv):
            continue
        if step.groups == 1:
            return _Channels(weights, tuple(places), behind)
        places.append(behind)
    return _Channels(weights, tuple(places), None)


IMPORTANCES: dict[str, Callable[[_Channels], Tensor]] = {
    "scale": lambda channels: channels.norms("weight").abs().prod(dim=1) * channels.read(),
    "weight": lambda channels: torch.cat([channels.filters(), channels.read()[:, None]], dim=1).square().sum(dim=1),
    "taylor": lambda channels: channels.norms(IMPORTANCE).sum(dim=1),
}
"""Name -> how much channels matter, higher is better.

``scale``: by what their normalisations scale them and the next convolution weighs them. ``weight``: by the norm of all weights
that make and read them (arXiv 1608.08710, over the whole group as in arXiv 2301.12900). ``taylor``: by what the loss would
change without them, to first order (arXiv 1906.10771)."""


def channel_importance(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """How much the loss would change, to first order, without each channel behind each normalisation: its square, summed over
    batches (arXiv 1906.10771, equation 8, with a gate behind each normalisation).

    Args:
        network: gives class scores; it is left in evaluation mode, without gradients.
        batches: images and labels ``(n,)``.

    Returns:
        The name of a normalisation and ``.importance`` -> ``(channels,)``.
    """
    norms = {name: part for name, part in network.eval().named_modules() if isinstance(part, nn.BatchNorm2d)}
    found = {name: torch.zeros_like(part.weight, dtype=torch.float64) for name, part in norms.items()}
    for x, y in batches:
        network.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(network(x), y).backward()  # type: ignore[no-untyped-call]
        for name, part in norms.items():
            assert part.weight.grad is not None
            assert part.bias.grad is not None
            gate = part.weight.detach() * part.weight.grad + part.bias.detach() * part.bias.grad
            found[name] += gate.double().square()
    network.zero_grad(set_to_none=True)
    return {f"{name}.{IMPORTANCE}": tensor.float() for name, tensor in found.items()}
