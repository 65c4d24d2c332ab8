"""How sure one may be of an accuracy."""

from __future__ import annotations

import math


def wilson(right: int, images: int, z: float = 1.96) -> tuple[float, float]:
    """Where the true accuracy lies with 95 % confidence when ``right`` of ``images`` were right.

    Wilson's score interval (1927): unlike the normal approximation it stays inside [0, 1] and holds near its ends.

    Raises:
        ValueError: there are no images, or more right ones than images.
    """
    if not 0 <= right <= images or images == 0:
        raise ValueError(f"expected 0 to {images} right ones of at least one image, found {right} of {images}")
    share, weight = right / images, z * z / images
    middle = (share + weight / 2) / (1 + weight)
    reach = z / (1 + weight) * math.sqrt(share * (1 - share) / images + weight / (4 * images))
    return max(0.0, middle - reach), min(1.0, middle + reach)
