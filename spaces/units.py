"""Numbers as people read and write them."""

from __future__ import annotations

import re

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9}


def format_number(number: float) -> str:
    """A number to three digits: 950, 12.3k, 301M, 1.55e+27."""
    for limit, unit, suffix in ((999.5, 1, ""), (999.5e3, 1e3, "k"), (999.5e6, 1e6, "M"), (999.5e9, 1e9, "G")):
        if number < limit:
            return f"{number / unit:.3g}{suffix}"
    return f"{number:.2e}"


def parse_number(text: str) -> float:
    """The number that ``format_number`` wrote, or a person: ``50M``, ``1.2G``, ``300k``, ``5e7``, ``950``.

    Raises:
        ValueError: it is no positive number of this form.
    """
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)(e[+-]?\d+)?([kmg]?)", text.strip().lower())
    if match is None or not float(match[1] + (match[2] or "")):
        raise ValueError(f"expected a positive number such as 50M, 1.2G, 300k or 5e7, found {text!r}")
    return float(match[1] + (match[2] or "")) * _UNITS[match[3]]
