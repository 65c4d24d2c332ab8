"""Numbers as people read and write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def format_number(number: float) -> str:
    """A number to three digits: 950, 12.3k, 301M, 5.2T, 1.55e+27."""
    for unit, suffix in ((1.0, ""), (1e3, "k"), (1e6, "M"), (1e9, "G"), (1e12, "T")):
        if number < 999.5 * unit:
            return f"{number / unit:.3g}{suffix}"
    return f"{number:.2e}"


def parse_number(text: str) -> float:
    """The number that ``format_number`` wrote, or a person: ``50M``, ``1.2G``, ``300k``, ``5e7``, ``950``.

    Raises:
        ValueError: it is no positive number of this form.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?([kmgt]?)", text.strip().lower())
    if match is None or not float(match[1] + (match[2] or "")):
        raise ValueError(f"expected a positive number such as 50M, 1.2G, 300k or 5e7, found {text!r}")
    return float(match[1] + (match[2] or "")) * _UNITS[match[3]]
