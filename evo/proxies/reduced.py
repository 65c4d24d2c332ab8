"""What a proxy really trains: networks of fewer channels and pixels, for so many epochs of so many images.

A proxy whose images would be too small for the strides of the space, or whose channels cannot be scaled, is refused where the
user asked for it, and left out of the grid with a line. So is one that changes nothing, for widths are multiples of 8, or that
comes to the same as another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evo.proxies.proxy import Proxy
from spaces.architecture import Architecture
from spaces.errors import SpaceError
from spaces.export.baselines import Contender, contender
from spaces.export.scaling import shrink
from spaces.size import both_sides, size_text
from spaces.space import SearchSpace
from studies.records import EvoError

LEAST_SIDE = 2
"""Pixels that the shorter side of the last feature map keeps, or as many as in full training: in one pixel, kernels see nothing
but borders."""


@dataclass(frozen=True)
class Reduced:
    """A proxy of a full training.

    Attributes:
        proxy: None: the full training itself.
        networks: as they are trained.
    """

    proxy: Proxy | None
    epochs: int
    images: int
    networks: tuple[Contender, ...]

    @property
    def name(self) -> str:
        return self.proxy.name if self.proxy else "in full"

    @property
    def work(self) -> tuple[object, ...]:
        """All that makes a training what it is."""
        return self.epochs, self.images, tuple((network.arch, network.space.to_json()) for network in self.networks)


def in_full(archs: Sequence[Architecture], space: SearchSpace, epochs: int, images: int, convention: str) -> Reduced:
    """The full training, for so many epochs of so many images."""
    networks = tuple(contender("proxies: in full", arch, space, convention) for arch in archs)
    return Reduced(None, epochs, images, networks)


def reduced(proxy: Proxy, archs: Sequence[Architecture], space: SearchSpace, full: Reduced, convention: str) -> Reduced:
    """What a proxy trains; shares of epochs and images are rounded to whole ones, at least one.

    Raises:
        EvoError: images would be too small for the space.
        SpaceError: an operation's own channels stand in its name, so that channels cannot be scaled.
    """
    name = f"proxy: {proxy.name}"
    networks = tuple(contender(name, *shrink(arch, space, proxy.channels, proxy.pixels), convention) for arch in archs)
    _require_pixels(proxy, networks, full.networks)
    epochs, images = max(1, round(proxy.epochs * full.epochs)), max(1, round(proxy.images * full.images))
    return Reduced(proxy, epochs, images, networks)


def _require_pixels(proxy: Proxy, networks: Sequence[Contender], full: Sequence[Contender]) -> None:
    least, usual = (min(map(_last_side, side)) for side in (networks, full))
    if least < min(LEAST_SIDE, usual):
        size, whole = networks[0].space.stem.size, full[0].space.stem.size
        raise EvoError(
            f"{proxy.name}: images of {size_text(size)} pixels, in place of {size_text(whole)}, would leave {least} pixel to "
            f"the last features of this space: expected at least {LEAST_SIDE}; take a larger share of pixels"
        )


def _last_side(network: Contender) -> int:
    """Pixels along the shorter side of the features behind the last layer."""
    return min(both_sides(network.space.layers[-1].shape.size_out))


def reduce_all(
    proxies: Sequence[Proxy],
    archs: Sequence[Architecture],
    space: SearchSpace,
    full: Reduced,
    convention: str,
    *,
    asked: bool,
) -> tuple[tuple[Reduced, ...], tuple[str, ...]]:
    """What all proxies train, and a line about each that is left out.

    Args:
        asked: whether the user named them: then one that cannot be is an error.

    Raises:
        EvoError, SpaceError: as ``reduced``, or no proxy is left.
    """
    kept: list[Reduced] = []
    left_out: list[str] = []
    for proxy in proxies:
        try:
            made = reduced(proxy, archs, space, full, convention)
        except (EvoError, SpaceError) as error:
            if asked:
                raise
            left_out.append(str(error) if proxy.name in str(error) else f"{proxy.name}: {error}")
            continue
        same = next((one for one in (full, *kept) if one.work == made.work), None)
        if same is None:
            kept.append(made)
        else:
            left_out.append(_said_of_twin(made, same))
    if not kept:
        raise EvoError(f"no proxy is left to measure: {'; '.join(left_out)}; give others with --proxy e=1/2")
    return tuple(kept), tuple(left_out)


def _said_of_twin(made: Reduced, same: Reduced) -> str:
    what = "changes nothing of the full training" if same.proxy is None else f"comes to the same as {same.name}"
    return f"{made.name}: {what} here (widths are multiples of 8; epochs, images and pixels whole numbers)"
