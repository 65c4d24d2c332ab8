"""A report: one HTML page that needs no network."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from analysis.cli import write
from evo.html import page


@dataclass(frozen=True)
class Page:
    """A whole HTML page, shown inside a notebook.

    Attributes:
        html: its text, with all figures in it.
        path: the file that holds it; None: it was not written.
    """

    html: str = field(repr=False)
    path: Path | None = None

    def save(self, path: str | Path) -> Page:
        """The page, written to a file.

        Args:
            path: the file; one that is there is replaced.

        Raises:
            EvoError: the file cannot be written.
        """
        write(Path(path), self.html)
        return Page(self.html, Path(path))

    def _repr_html_(self) -> str:
        return page(self.html)
