"""The hook of mkdocs: adds the pages that are made from code, and fills marked places in the others.

mkdocs calls ``on_files`` once, and ``on_page_markdown`` for every page.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))  # the command `mkdocs`, unlike `python -m mkdocs`, does not look where it is started

from docs.hooks import commands, database, grammar, interface, reading, settings  # noqa: E402


def from_root(name: str) -> Callable[[], str]:
    """A page that is a file of the project's root; its links into ``docs/`` become links inside the site."""
    return lambda: (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](../")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for place, page in PAGES.items():
        files.append(File.generated(config, place, content=page()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill ``<!-- made: NAME -->`` with what ``PARTS`` makes."""
    return re.sub(r"<!-- made: (\w+) -->", lambda match: PARTS[match[1]](), markdown)


PAGES: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands.page,
    "reference/settings.md": settings.page,
    "reference/presets.md": settings.presets_page,
    "reference/database.md": database.page,
    "reference/operations.md": grammar.operations_page,
    "reference/macs.md": grammar.macs_page,
    "reference/spaces.md": grammar.spaces_page,
    "developers/contributing.md": from_root("CONTRIBUTING.md"),
    "developers/changelog.md": from_root("CHANGELOG.md"),
}
"""Place in the site -> what makes the page."""

PARTS: dict[str, Callable[[], str]] = {"interface": interface.names, "reading": reading.reading_table}
"""Name of a marked place -> what makes its content."""
