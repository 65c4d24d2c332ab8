"""The house: imports run one way, and asking for help is quick."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "spaces": {"spaces"},
    "studies": {"spaces", "studies"},
    "analysis": {"spaces", "studies", "analysis"},
    "evo": {"spaces", "studies", "analysis", "evo"},
}


def imported_rooms(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {name.split(".")[0] for name in names} & MAY_IMPORT.keys()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_run_one_way(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert imported_rooms(path) <= MAY_IMPORT[room], path


def test_databases_are_connected_to_in_one_place() -> None:
    for room in MAY_IMPORT:
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "create_engine" not in text or path.name == "engines.py", path


NEVER = {
    r"\btorch\.load\(|\bpickle\.loads?\(|(?<![.\w])(eval|exec)\(": "what lies in files is read, never run",
    r"\btext\(f|exec_driver_sql\(f": "SQL has bound parameters only",
    r"(?<!draft)\.write_(text|bytes)\(|(?<!draft)\.open\(\"w": "files are written whole: spaces.atomic_files",
    r"\.listen\(\d|HTTPServer|socket\.socket\(": "no server of ours",
}


@pytest.mark.parametrize("pattern", NEVER)
def test_what_is_never_done(pattern: str) -> None:
    for room in MAY_IMPORT:
        for path in set((ROOT / room).rglob("*.py")) - {
            ROOT / "evo" / "workers" / "ranks.py"
        }:  # whose messages are its own
            assert not re.search(pattern, path.read_text(encoding="utf-8")), f"{path}: {NEVER[pattern]}"


@pytest.mark.parametrize(
    "module",
    [
        "evo.round",
        "evo.deliver",
        "analysis.report",
        "analysis.compare",
        "spaces.show",
        "spaces.latency",
        "studies.dashboard",
        "studies.runs",
    ],
)
def test_help_imports_nothing_heavy(module: str) -> None:
    code = (
        f"import runpy, sys; sys.argv = ['x', '--help']\n"
        f"try: runpy.run_module({module!r}, run_name='__main__')\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "heavy = {'torch', 'optuna', 'pandas', 'plotly', 'sqlalchemy'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr
    assert "usage:" in shown.stdout
    assert "example" in shown.stdout.lower()
