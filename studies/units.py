"""Numbers as people read them."""

from __future__ import annotations


def short(number: float) -> str:
    """A number to three digits: 950, 12.3k, 301M, 1.55e+27."""
    for limit, unit, suffix in ((999.5, 1, ""), (999.5e3, 1e3, "k"), (999.5e6, 1e6, "M"), (999.5e9, 1e9, "G")):
        if number < limit:
            return f"{number / unit:.3g}{suffix}"
    return f"{number:.2e}"
