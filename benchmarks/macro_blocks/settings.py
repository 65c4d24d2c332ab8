"""How much work one seed is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """The size of a measurement.

    Attributes:
        epochs: of each block; ``teacher_epochs``: of the teacher.
        width: channels, as a share of the published ones; ``teacher_width``: of the teacher, in the space's.
        pixels: of the images, along a side; the published networks see 32.
        max_images: training and validation images; None: all there are.
    """

    epochs: int = 20
    teacher_epochs: int = 20
    width: float = 0.5
    teacher_width: float = 2.0
    pixels: int = 16
    batch_size: int = 64
    max_images: int | None = None
