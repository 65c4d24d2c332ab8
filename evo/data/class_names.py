"""Names of classes: which ones people may take for the same."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize


def normalised(name: str) -> str:
    """A name without the differences that people do not mean: case, and how accents are stored."""
    return normalize("NFKC", name).casefold()


def warn_of_alike(names: Sequence[str]) -> tuple[str, ...]:
    """Names that differ in case, in spaces or in how accents are stored only, a sentence for each group."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(" ".join(normalised(name).split()), []).append(name)
    return tuple(
        f"the classes {', '.join(map(_told_apart, alike[:-1]))} and {_told_apart(alike[-1])} are taken for different ones: if "
        "they are the same, spell them alike (of folders: put their images into one)"
        for alike in groups.values()
        if len(alike) > 1
    )


def _told_apart(name: str) -> str:
    """A name in quotes; one that is not in Unicode's usual form with its code points, as it looks like the one that is."""
    return repr(name) if normalize("NFC", name) == name else ascii(name)
