"""Images are decoded ahead, several at once, before anything needs them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from evo.console import Track, untracked
from evo.data.decoded.kept import DecodedPart, KeptPictures

AT_ONCE = 500
"""Images that threads are given at once: after an interruption it goes on behind them."""


def fill(pictures: KeptPictures, threads: int, track: Track = untracked) -> int:
    """Decode what no store has yet; how many were decoded.

    What cannot be kept, because the disk is full, is decoded when it is needed.

    Raises:
        EvoError: an image cannot be read.
    """
    todo = _missing(pictures)
    if not todo:
        return 0
    done = 0
    with ThreadPoolExecutor(max(1, threads)) as pool, track("decoding images", len(todo)) as advance:
        for start in range(0, len(todo), AT_ONCE):
            kept = list(pool.map(_decode, todo[start : start + AT_ONCE]))
            done += len(kept)
            advance(len(kept))
            if not all(kept):
                break
    return done


def _missing(pictures: KeptPictures) -> list[tuple[DecodedPart, int]]:
    found: list[tuple[DecodedPart, int]] = []
    for number, part in enumerate(pictures.parts):
        if part.store is not None:
            wanted = pictures.places[pictures.places[:, 0] == number, 1]
            found += ((part, place) for place in np.intersect1d(wanted, part.store.missing()).tolist())
    return found


def _decode(place: tuple[DecodedPart, int]) -> bool:
    part, i = place
    return part.decode(i)[1]
