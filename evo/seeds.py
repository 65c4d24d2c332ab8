"""Every random choice of a run flows from its seed and the place where it is made, never from what ran before."""

from __future__ import annotations

from hashlib import sha256


def derive_seed(seed: int, *place: int | str) -> int:
    """A seed in ``[0, 2**32)`` for one place of a run, e.g. ``derive_seed(seed, "search", round, generation)``."""
    return int.from_bytes(sha256(repr((seed, *place)).encode()).digest()[:4], "big")
