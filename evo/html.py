"""What objects show of themselves in a notebook: tables and lines of HTML, everything in them escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape


def block(*parts: str) -> str:
    """Parts below each other."""
    return f"<div>{''.join(parts)}</div>"


def heading(name: str, about: str) -> str:
    """A bold name, and what is to be said about it."""
    return f"<p><b>{escape(name)}</b> {escape(about)}</p>"


def paragraph(text: str) -> str:
    return f"<p>{escape(text)}</p>"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows of cells under headings, if there are any."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in headings)
    head = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{head}<tbody>{body}</tbody></table>"


def calls(*codes: str) -> str:
    """What may be called next."""
    return f"<p><small>Next: {', '.join(f'<code>{escape(code)}</code>' for code in codes)}</small></p>"


def page(html: str, height: int = 600) -> str:
    """A whole page inside another one."""
    style = f"width: 100%; height: {height}px; border: 0"
    return f'<iframe srcdoc="{escape(html)}" style="{style}"></iframe>'
