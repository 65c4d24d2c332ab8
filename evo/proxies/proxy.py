"""A proxy: a training that costs less than the full one, and so judges networks sooner, if it ranks them alike.

Its parts are the four reduction factors of EcoNAS (Zhou et al., CVPR 2020, https://arxiv.org/abs/2001.01233): epochs, training
images, the resolution of images, channels.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction

from studies.records import EvoError

SHORT = {"e": "epochs", "i": "images", "p": "pixels", "c": "channels"}
"""What the parts are called on a command line, beside their names."""

EXPECTED = "expected shares of epochs, images, pixels and channels above 0, up to 1, such as e=1/2,i=0.25,c=1/2"

FINEST = 8
"""Shares are told as fractions with denominators up to this one, where they are such."""


@dataclass(frozen=True)
class Proxy:
    """Shares of a full training, each above 0 and up to 1.

    Attributes:
        epochs: of the epochs; ``images``: of the training images.
        pixels: of the sides of images, height and width: a half leaves a quarter of the pixels.
        channels: of all channels, rounded to multiples of 8.

    Raises:
        EvoError: a share cannot be, or all are 1.
    """

    epochs: float = 1.0
    images: float = 1.0
    pixels: float = 1.0
    channels: float = 1.0

    def __post_init__(self) -> None:
        for part, share in self._parts().items():
            if not 0 < share <= 1:
                raise EvoError(f"a proxy's share of {part} is {share!r}: {EXPECTED}")
        if self.is_full:
            raise EvoError(f"a proxy with all shares 1 is the full training itself: {EXPECTED}")

    def _parts(self) -> dict[str, float]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def is_full(self) -> bool:
        return all(share == 1 for share in self._parts().values())

    @property
    def name(self) -> str:
        """``epochs 1/2, channels 1/4``: what is less than the whole."""
        return ", ".join(f"{part} {share_text(share)}" for part, share in self._parts().items() if share != 1)


def share_text(share: float) -> str:
    """``1/4``, or ``0.3``."""
    near = Fraction(share).limit_denominator(FINEST)
    return str(near) if float(near) == share else f"{share:g}"


def parse_proxy(text: str) -> Proxy:
    """What ``e=1/2,i=0.25`` or ``epochs=1/2,images=0.25`` means.

    Raises:
        EvoError: it is none.
    """
    shares: dict[str, float] = {}
    for piece in text.split(","):
        key, equals, value = (word.strip() for word in piece.partition("="))
        part = SHORT.get(key, key)
        if not equals or part not in SHORT.values():
            known = ", ".join(f"{short} ({name})" for short, name in SHORT.items())
            raise EvoError(f"--proxy {text!r}: {piece.strip()!r} is no share; known parts: {known}; {EXPECTED}")
        if part in shares:
            raise EvoError(f"--proxy {text!r}: {part} is given twice; {EXPECTED}")
        shares[part] = _parse_share(text, value)
    return Proxy(**shares)


def _parse_share(text: str, value: str) -> float:
    try:
        return float(Fraction(value))
    except (ValueError, ZeroDivisionError, OverflowError):
        raise EvoError(f"--proxy {text!r}: {value!r} is no number; {EXPECTED}") from None


GRID = tuple(
    map(
        parse_proxy,
        (
            "e=1/2", "e=1/4", "i=1/2", "i=1/4", "p=1/2", "c=1/2", "c=1/4",
            "e=1/2,c=1/2", "i=1/2,c=1/2", "p=1/2,c=1/2", "e=1/4,c=1/4",
        ),
    )
)  # fmt: skip
"""What is tried where nothing else is asked for: each factor alone in steps of a half, and some pairs."""
