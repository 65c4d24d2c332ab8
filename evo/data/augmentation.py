"""Augmentation as tensor expressions over a whole batch: ``(images, generator) -> images``, on the images' device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

Augment = Callable[[Tensor, torch.Generator], Tensor]


def flip(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image mirrored left to right with probability one half."""
    mirrored = torch.rand(len(x), generator=rng, device=rng.device).to(x.device) < 0.5
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


def crop(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image shifted by up to an eighth of its size both ways, what comes in reflected."""
    height, width = x.shape[2:]
    down, right = max(1, height // 8), max(1, width // 8)
    padded = F.pad(x, (right, right, down, down), mode="reflect")
    top, left = _corners(x, (2 * down + 1, 2 * right + 1), rng)
    rows, columns = top + torch.arange(height, device=x.device), left + torch.arange(width, device=x.device)
    image = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    cropped = padded.permute(0, 2, 3, 1)[image, rows.unsqueeze(2), columns.unsqueeze(1)]
    return cropped.permute(0, 3, 1, 2)


def cutout(x: Tensor, rng: torch.Generator) -> Tensor:
    """A square of a quarter of the image's shorter side is blanked in each image (arXiv 1708.04552)."""
    height, width = x.shape[2:]
    side = max(1, min(height, width) // 4)
    top, left = _corners(x, (height - side + 1, width - side + 1), rng)
    rows, columns = torch.arange(height, device=x.device) - top, torch.arange(width, device=x.device) - left
    inside = ((rows >= 0) & (rows < side)).unsqueeze(2) & ((columns >= 0) & (columns < side)).unsqueeze(1)
    return x.masked_fill(inside.unsqueeze(1), 0.0)


def _corners(x: Tensor, places: tuple[int, int], rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A row and a column for each image, ``(n, 1)``, of so many rows and columns.

    Square images draw both at once: a seed gives what it has always given.
    """
    draws = [(places[0], 2)] if places[0] == places[1] else [(places[0], 1), (places[1], 1)]
    drawn = [torch.randint(0, most, (n, len(x), 1), generator=rng, device=rng.device) for most, n in draws]
    top, left = torch.cat(drawn).to(x.device)
    return top, left


def resized_crop(x: Tensor, rng: torch.Generator) -> Tensor:
    """A part of each image, a quarter to all of its area and nearly of its proportions, stretched to the image's size.

    Inception's crop (https://arxiv.org/abs/1409.4842, section 6) with a milder range of areas, for small images.
    """
    area, ratio, *place = torch.rand((4, len(x)), generator=rng, device=rng.device).to(x.device)
    area, ratio = 0.25 + 0.75 * area, (4 / 3) ** (2 * ratio - 1)
    spans = torch.stack(((area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)), dim=1)
    centres = (2 * torch.stack(place, dim=1) - 1) * (1 - spans)  # the image spans -1 to 1
    grid = F.affine_grid(torch.cat((torch.diag_embed(spans), centres.unsqueeze(2)), dim=2), list(x.shape), False)
    return F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)


Strengths = tuple[float, ...]
"""How far brightness, contrast, saturation and hue are changed."""

JITTER: Strengths = (0.4, 0.4, 0.4, 0.0)
"""Those of ``colour_jitter`` where nothing else is said."""


def colour_jitter(x: Tensor, rng: torch.Generator, strengths: Strengths = JITTER) -> Tensor:
    """Brightness, contrast and saturation of each image changed by up to ``strengths``, each both ways; then its hue.

    Images are normalised: brightness is added in standard deviations, contrast scales about the image's mean.
    """
    turns = strengths[3] and x.shape[1] == 3
    drawn = torch.rand((4 if turns else 3, len(x), 1, 1, 1), generator=rng, device=rng.device).to(x.device)
    jitter = [2 * most * share - most for most, share in zip(strengths, drawn, strict=False)]
    mean, grey = x.mean(dim=(1, 2, 3), keepdim=True), x.mean(dim=1, keepdim=True)
    changed = x + jitter[0] + jitter[1] * (x - mean) + jitter[2] * (x - grey)
    return turn_hue(changed, 2 * torch.pi * jitter[3]) if turns else changed


def turn_hue(x: Tensor, angle: Tensor) -> Tensor:
    """Colours of images of three channels turned about grey by ``angle``, in radians: a third of a circle makes red green."""
    grey = x.mean(dim=1, keepdim=True)
    across = (x.roll(1, dims=1) - x.roll(-1, dims=1)) / 3**0.5  # the cross product with the axis of grey
    return grey + angle.cos() * (x - grey) + angle.sin() * across


AUGMENTATIONS: dict[str, Augment] = {
    "flip": flip,
    "crop": crop,
    "cutout": cutout,
    "resized_crop": resized_crop,
    "colour_jitter": colour_jitter,
}
"""Every augmentation there is, by name; a configuration's ``data.augment`` says which are done, and in which order."""


def spelled(names: Sequence[str], jitter: Strengths) -> tuple[str, ...]:
    """The names of augmentations, that of ``colour_jitter`` with its strengths behind it where they are not the usual ones."""
    told = "colour_jitter:" + ",".join(map(repr, jitter)) if jitter != JITTER else "colour_jitter"
    return tuple(told if name == "colour_jitter" else name for name in names)


def kind_of(name: str) -> str:
    """A name without its strengths: a key of ``AUGMENTATIONS``."""
    return name.partition(":")[0]


def strengths_of(name: str) -> Strengths:
    """The strengths that stand behind a name, or the usual ones."""
    told = name.partition(":")[2]
    return tuple(map(float, told.split(","))) if told else JITTER


def augmentation(name: str) -> Augment:
    """The augmentation of a name that ``spelled`` gave."""
    if ":" in name:
        return partial(colour_jitter, strengths=strengths_of(name))
    return AUGMENTATIONS[name]
