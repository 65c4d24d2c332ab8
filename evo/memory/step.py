"""What one kind of step takes."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class StepMemory:
    """The memory of one kind of step of a run, in bytes.

    Attributes:
        name: what is done.
        fixed: what is there whatever the batch: weights, what the optimiser keeps, images that stay.
        images: how many are in memory at once; ``per_image``: what each of them adds.
        setting: the setting that says how many; ``accumulate``: the one that cuts them into pieces, if there is one.
        pieces: into how many pieces they are cut already.
        at_most: whether it is a bound, not a count.
        processes: how many do it at once on one device, each for itself.
    """

    name: str
    fixed: int
    images: int
    per_image: float
    setting: str
    accumulate: str = ""
    pieces: int = 1
    at_most: bool = False
    processes: int = 1

    @property
    def total(self) -> int:
        """Bytes at the peak, of all processes."""
        return self.processes * self.each

    @property
    def each(self) -> int:
        """Bytes at the peak of one process."""
        return round(self.fixed + self.images * self.per_image)

    def with_pieces(self, pieces: int) -> StepMemory:
        """The same, with each batch cut into so many pieces."""
        whole = self.images * self.pieces
        return replace(self, images=-(-whole // pieces), pieces=pieces)

    def with_images(self, images: int) -> StepMemory:
        """The same with so many images at once."""
        return replace(self, images=images, pieces=1)
