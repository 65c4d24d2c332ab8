"""Random parts of images: drawn as torchvision draws them."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest
import torch

from evo.data.decoded.crops import middle_of, random_box, stretch
from spaces.torchvision_shim import transforms


def moments(boxes: list[tuple[int, ...]]) -> tuple[np.ndarray, np.ndarray]:
    found = np.array(boxes, float)
    return found.mean(axis=0), found.std(axis=0)


@pytest.mark.parametrize("size", [(60, 80), (100, 40), (50, 50), (20, 200)])
def test_parts_are_distributed_as_torchvisions(size: tuple[int, int]) -> None:
    """Means and deviations of 4,000 of each agree within four standard errors, and all lie inside."""
    torch.manual_seed(0)
    image, rng, n = torch.zeros(3, *size), Random(0), 4000
    ours = [random_box(size, (24, 24), rng) for _ in range(n)]
    theirs = [tuple(transforms.RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])) for _ in range(n)]
    assert all(top >= 0 and left >= 0 and top + h <= size[0] and left + w <= size[1] for top, left, h, w in ours)
    (mean, deviation), (other, other_deviation) = moments(ours), moments(theirs)  # type: ignore[arg-type]
    error = np.maximum(deviation, other_deviation) * (2 / n) ** 0.5 + 1e-9
    assert (np.abs(mean - other) < 4 * error).all()
    assert (np.abs(deviation - other_deviation) < 4 * error).all()


def test_proportions_are_those_that_are_wanted() -> None:
    rng = Random(0)
    shares = [width / height for _, _, height, width in (random_box((400, 400), (20, 40), rng) for _ in range(500))]
    assert 2 * 3 / 4 * 0.97 < min(shares) < 1.6
    assert 2.4 < max(shares) < 2 * 4 / 3 * 1.03


def test_the_middle_is_what_just_covers() -> None:
    assert middle_of((20, 30), (10, 10)) == (0, 5, 20, 20)
    assert middle_of((30, 20), (10, 10)) == (5, 0, 20, 20)
    assert middle_of((20, 20), (10, 20)) == (5, 0, 10, 20)


def test_a_part_is_stretched_as_torchvision_does() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    for box in ((3, 4, 30, 41), (0, 0, 40, 50), (5, 5, 16, 16), (30, 2, 7, 9)):
        out = torch.empty(16, 16, 3, dtype=torch.uint8)
        stretch(image, box, out)
        expected = transforms.functional.resized_crop(
            torch.from_numpy(image).permute(2, 0, 1), *box, [16, 16], antialias=True
        )
        assert (out.permute(2, 0, 1).int() - expected.int()).abs().max() <= 1  # of 255
