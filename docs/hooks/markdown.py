"""Small pieces of Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a line break in a cell becomes a space."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str) -> str:
    """The text in one line; a bar outside of code would end the cell."""
    parts = " ".join(text.split()).split("`")
    return "`".join(part if i % 2 else part.replace("|", "\\|") for i, part in enumerate(parts))


def code(text: str) -> str:
    """A word in the typeface of code; nothing where there is no text."""
    return f"`{text}`" if text else ""


def block(text: str, language: str = "text") -> str:
    """Lines in the typeface of code."""
    return f"```{language}\n{text.strip()}\n```"


def prose(docstring: str | None) -> str:
    """A docstring as Markdown, without its sections (``Attributes:``, ``Raises:``) and with single backticks."""
    lines: list[str] = []
    for line in inspect.cleandoc(docstring or "").splitlines():
        if line.endswith(":") and line[:-1] in SECTIONS:
            break
        lines.append(line)
    return "\n".join(lines).strip().replace("``", "`")


def first_sentence(docstring: str | None) -> str:
    """The first paragraph of a docstring, in one line."""
    return " ".join(prose(docstring).split("\n\n")[0].split())


SECTIONS = frozenset({"Args", "Attributes", "Class attributes", "Raises", "Returns"})
"""The headings of a docstring's sections."""
