"""The house: imports run one way, and asking for help is quick."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.conftest import LONGEST

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("spaces", "studies", "analysis", "evo")
PACKAGES = sorted(path.parent for room in ROOMS for path in (ROOT / room).rglob("__init__.py"))


def test_imports_keep_their_contracts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What may import what stands in ``pyproject.toml``; ``lint-imports`` shows the lines that break it."""
    monkeypatch.chdir(ROOT)
    monkeypatch.syspath_prepend(str(ROOT))
    code = lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True)
    assert code == 0, capsys.readouterr().out


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_package_is_seen_at_a_glance(package: Path) -> None:
    """Its docstring tells what is where, ``__all__`` names what it offers, and there is not too much of it."""
    inside = {path.stem for path in package.glob("[!_]*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert len(inside) <= 20
    name = ".".join(package.relative_to(ROOT).parts)
    found = import_module(name)
    assert found.__doc__
    assert len(found.__all__) == len(set(found.__all__)) > 0
    for offered in found.__all__:
        assert hasattr(found, offered) or find_spec(f"{name}.{offered}"), offered
    own = set(found.__all__) - inside
    assert own or inside == set(found.__all__), "a package that only has modules names all of them"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_that_it_is_typed(room: str) -> None:
    assert (ROOT / room / "py.typed").is_file()


def test_the_algorithm_asks_nothing_for_its_class() -> None:
    """A round runs by what evaluators, judges and methods offer, whichever they are."""
    tree = ast.parse((ROOT / "evo" / "round" / "algorithm.py").read_text(encoding="utf-8"))
    asked = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"isinstance", "issubclass", "type"}
    assert not asked
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.MatchClass)]


def test_databases_are_connected_to_in_one_place() -> None:
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert "create_engine" not in text or path.name == "engines.py", path


def test_the_longest_files_of_tests_are_there() -> None:
    assert [name for name in LONGEST if not (ROOT / "tests" / name).is_file()] == []


NEVER = {
    r"\btorch\.load\((?![^()]*weights_only=True\))": "what lies in files is read, never run",
    r"\bpickle\.loads?\(|(?<![.\w])(eval|exec)\(": "what lies in files is read, never run",
    r"\btext\(f|exec_driver_sql\(f": "SQL has bound parameters only",
    r"(?<!draft)\.write_(text|bytes)\(|(?<!draft)\.open\(\"w": "files are written whole: spaces.atomic_files",
    r"\.listen\(\d|HTTPServer|socket\.socket\(": "no server of ours",
}


@pytest.mark.parametrize("pattern", NEVER)
def test_what_is_never_done(pattern: str) -> None:
    for room in ROOMS:
        for path in {*(ROOT / room).rglob("*.py")} - {
            ROOT / "evo" / "workers" / "ranks.py"
        }:  # whose messages are its own
            assert not re.search(pattern, path.read_text(encoding="utf-8")), f"{path}: {NEVER[pattern]}"


@pytest.mark.parametrize(
    "module",
    [
        "evo.round",
        "evo.deliver",
        "evo.headroom",
        "evo.proxies",
        "evo.verify",
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
