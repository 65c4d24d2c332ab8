"""Height and width in pixels, of images and feature maps: one number where they are equal, else both.

Equal ones are always one number, so that a size has one spelling in JSON, in the names of files and in comparisons.
"""

from __future__ import annotations

from spaces.errors import SpaceError

Size = int | tuple[int, int]
"""``8``, or ``(24, 32)``: height, then width."""


def as_size(size: int | list[int] | tuple[int, ...]) -> Size:
    """The one spelling of a size, which may come from JSON.

    Raises:
        SpaceError: these are not one or two numbers.
    """
    if not isinstance(size, (list, tuple)):
        return size
    if len(size) != 2 or not all(isinstance(side, int) for side in size):
        raise SpaceError(f"size is {size!r}: expected one number, or height and width")
    height, width = size
    return height if height == width else (height, width)


def both_sides(size: Size) -> tuple[int, int]:
    """Height and width."""
    return (size, size) if isinstance(size, int) else size


def stride_size(size: Size, stride: int) -> Size:
    """What a layer with this stride makes of it: ``ceil(side / stride)``, both ways."""
    return -(-size // stride) if isinstance(size, int) else as_size([-(-side // stride) for side in size])


def pixel_count(size: Size) -> int:
    """How many pixels there are."""
    height, width = both_sides(size)
    return height * width


def size_text(size: Size) -> str:
    """Both sides: ``8 x 8``, ``24 x 32``."""
    return " x ".join(map(str, both_sides(size)))


def short_size(size: Size) -> str:
    """For columns of text: ``8²``, ``24 x 32``."""
    return f"{size}²" if isinstance(size, int) else size_text(size)


def as_text(size: Size) -> str:
    """For tables and errors; ``parse_size`` reads it: ``8``, ``24x32``."""
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


def parse_size(text: str) -> Size:
    """The size that ``as_text`` wrote.

    Raises:
        SpaceError: it is not one or two whole numbers.
    """
    numbers = text.split("x")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise SpaceError(f"size {text!r}: expected pixels, e.g. 32, or height and width, e.g. 24x32")
    return as_size([int(number) for number in numbers]) if len(numbers) > 1 else int(numbers[0])
