"""The documentation's site: it builds without a warning, loads nothing from the net, and says what the code says."""

from __future__ import annotations

import os
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import evo
from docs.hooks import commands, database, interface, markdown, reading, settings
from studies.config import CHOICES, StudyConfig, presets
from studies.database.schema import metadata

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as ``make docs`` builds it: a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "reference" / "settings.html").is_file()


def test_pages_load_nothing_from_the_net(site: Path) -> None:
    loaded = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?\b(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)")
    for page in site.rglob("*.html"):
        assert not loaded.findall(page.read_text(encoding="utf-8")), page
    for sheet in site.rglob("*.css"):
        assert not re.search(r"@import|url\([\"']?(https?:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_the_code_is_read_in_one_sitting(capsys: pytest.CaptureFixture[str]) -> None:
    assert reading.main() == 0, capsys.readouterr().err
    assert f"| all | {sum(reading.lengths().values())} |" in capsys.readouterr().out


def test_a_longer_path_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(reading, "LIMIT", 10)
    assert reading.main() == 1
    assert re.search(r"the path has \d+ lines, and at most 10 are allowed", capsys.readouterr().err)


def modules_that_run() -> set[str]:
    """Every module with a command of its own, as ``python -m`` takes it."""
    paths = (path for room in ("spaces", "studies", "analysis", "evo") for path in (ROOT / room).rglob("*.py"))
    ends = 'if __name__ == "__main__":\n    sys.exit(main())\n'
    found = (path for path in paths if path.read_text(encoding="utf-8").endswith(ends))
    return {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__") for path in found}


def test_every_command_is_in_the_reference() -> None:
    named = modules_that_run()
    assert named == commands.COMMANDS.keys()
    page = commands.page()
    for name in named:
        assert f"usage: python -m {name} " in page
    assert "usage: python -m studies.runs rename " in page


def keys(model: type, prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():  # type: ignore[attr-defined]
        nested = settings.models_of(field.annotation)
        yield from ([f"{prefix}{name}"] if not nested else (key for m in nested for key in keys(m, f"{prefix}{name}.")))


def test_every_setting_is_in_the_reference_and_explained() -> None:
    rows = [line.split(" | ") for line in settings.page().splitlines() if line.startswith("| `")]
    explained = {row[0].removeprefix("| ").strip("`") for row in rows if len(row[-1].removesuffix(" |")) > 8}
    sections = {key for key in keys(StudyConfig, "") if key.split(".")[0] not in CHOICES}
    chosen = {
        key for name, (_, known) in CHOICES.items() for model in known.values() for key in keys(model, f"{name}.")
    }
    assert explained == sections | chosen
    assert {"evaluator.gates.update_every", "ground_truth.table.path", "search.population"} <= explained


def test_every_public_name_is_in_the_reference_and_has_a_place(site: Path) -> None:
    page = (site / "reference" / "python.html").read_text(encoding="utf-8")
    assert [name for name in evo.__all__ if f'id="evo.{name}"' not in page] == []
    assert "More" not in dict(interface.groups())


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": "integer", "exclusiveMinimum": 0}, "whole number, at least 1"),
        ({"type": "number", "minimum": 0, "maximum": 1}, "number, at least 0, at most 1"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "text"),
        (
            {"anyOf": [{"type": "array", "items": {"type": "number"}}, {"type": "number"}]},
            "number, or a list of numbers",
        ),
        ({"enum": ["a", "b"]}, 'one of `"a"`, `"b"`'),
        ({"type": "array", "items": {"type": "string"}}, "list of: text"),
    ],
)
def test_types_are_written_in_words(schema: dict[str, object], words: str) -> None:
    assert settings.spelled(schema) == words


def test_every_preset_is_in_the_reference() -> None:
    page = settings.presets_page()
    assert [name for name in presets() if f"[`{name}`](#{name})" not in page or f"## {name}\n" not in page] == []
    assert "| NAS-Bench-Macro (arXiv 2103.11922): all 6,561 networks" in page


def test_every_table_and_column_is_explained() -> None:
    for found in metadata.sorted_tables:
        assert found.info["doc"], found
        for column in found.columns:
            plain = column.primary_key or column.foreign_keys or isinstance(column.type, sa.DateTime)
            assert plain or column.doc, column


def test_every_column_of_a_view_is_explained() -> None:
    found = database.views()
    assert found.keys() == {"results", "failures", "round_stats"}
    for view, (columns, text) in found.items():
        assert text.startswith("CREATE VIEW")
        assert all(database.meaning(view, column) for column in columns)


def test_a_bar_in_a_cell_ends_no_cell_but_stays_itself_in_code() -> None:
    assert markdown.table(["a"], [["x | `y|z`\nw"]]).splitlines()[-1] == "| x \\| `y|z` w |"


PATHS = re.compile(r"`((?:evo|spaces|studies|analysis|tests|benchmarks|docs|examples)/[\w/.-]+)`")
NAMES = re.compile(r"`((?:evo|spaces|studies|analysis)(?:\.\w+)+)(?:\([^`]*\))?`")
TEXTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_files_and_names_that_a_page_speaks_of_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert [path for path in PATHS.findall(text) if not (ROOT / path).exists()] == []
    assert [name for name in NAMES.findall(text) if name not in ("evo.db", "evo.plugins") and not exists(name)] == []


def exists(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
