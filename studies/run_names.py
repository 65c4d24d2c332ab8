"""Names of runs, and the names of files and folders that come of them. A run's files never leave their folder.

Earlier versions took any text as a name. Such runs are kept as they are; what they write from now on lies where it belongs.
"""

from __future__ import annotations

import os.path
import re
import unicodedata
from hashlib import sha256
from pathlib import Path

from studies.records import EvoError

MAX_BYTES = 200
FORBIDDEN = '/\\:*?"<>|'
"""What cannot stand in the name of a file on every system."""

RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|artifacts", re.IGNORECASE)
"""Names that Windows keeps for devices, and that of the folder of drawings."""

ALLOWED = (
    f"expected a run's name of 1 to {MAX_BYTES} bytes: letters, digits, spaces inside, and signs other than "
    f"{' '.join(FORBIDDEN)}, no - in front and no dot at an end, such as digits-wide_2"
)


def check_name(name: str) -> None:
    """Raises EvoError when no run can be called so: studies, files and folders carry the name."""
    if fault := _fault(name):
        shown = name if len(name) <= 40 else f"{name[:40]}..."
        raise EvoError(f"a run cannot be called {shown!r}: {fault}; {ALLOWED}")


def _fault(name: str) -> str:
    """Why no run can be called so, in words; empty: one can."""
    size = len(name.encode("utf-8", "surrogatepass"))
    if not name.strip() or size > MAX_BYTES:
        return f"it has {size} bytes" if size > MAX_BYTES else "it is empty"
    if signs := sorted({sign for sign in name if sign in FORBIDDEN or _is_invisible(sign)}):
        return f"it has {', '.join(map(repr, signs))}"
    if name != name.strip() or name[0] == "." or name[-1] == ".":
        return "it begins or ends with a space or a dot"
    if name[0] == "-":
        return "it begins with -, as options do"
    return "that name is reserved" if RESERVED.fullmatch(name) else ""


def _is_invisible(sign: str) -> bool:
    """Control signs, line ends, halves of signs, and what turns the direction of writing."""
    return sign != " " and unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")


def is_storable(name: str) -> bool:
    """Whether a database can hold the name at all: it has no zero byte, and no half of a sign."""
    return not any(sign == "\0" or unicodedata.category(sign) == "Cs" for sign in name)


def file_stem(name: str) -> str:
    """The name of a file about a run: the run's own, where a file can be called so."""
    if not _fault(name):
        return name
    plain = "".join("-" if sign in FORBIDDEN or _is_invisible(sign) else sign for sign in name)
    plain = plain.encode("utf-8", "replace")[:MAX_BYTES].decode("utf-8", "ignore").strip(". ").lstrip("-")
    return plain if not _fault(plain) else f"run-{plain or _digest(name)}"


def run_folder(files: Path, name: str) -> Path:
    """Where a run keeps its files: below ``files``, the folder of all runs, in any case.

    A run of an earlier version whose name is none keeps the folder that it has there.
    """
    if not _fault(name):
        return files / name
    if "\0" not in name and (old := _inside(files, name)) is not None and old.is_dir():
        return old
    return files / f"{file_stem(name)[:100]}-{_digest(name)}"


def _inside(files: Path, name: str) -> Path | None:
    """What an earlier version took for the run's folder, if that lies below ``files``."""
    root = os.path.abspath(files)
    path = os.path.abspath(os.path.join(root, name))
    return files / os.path.relpath(path, root) if path.startswith(root + os.sep) else None


def _digest(name: str) -> str:
    return sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
