"""The commands and queries of README and of the pages for users run, as they stand there; only the work is made small.

A command that stands in several places runs once.
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from analysis.verdict import FEWEST
from evo.data.inspection import inspect_data
from evo.data.report import summary
from evo.deliver import __main__ as deliver
from evo.round import __main__ as evo_round
from evo.verify import __main__ as verify
from studies.config import load_config
from studies.database.store import open_store
from tests import example_run
from tests.commands import main_of
from tests.registries import restored

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [
    path
    for folder in ("start", "concepts", "howto", "extend")
    for path in sorted((ROOT / "docs" / folder).glob("*.md"))
]
TEXTS = [README, *(path.read_text(encoding="utf-8") for path in PAGES)]
SMALL = {
    "digits": [
        "evaluator.epochs=1",
        "search.evaluations=16",
        "search.population=8",
        "data.max_images=240",
        "ground_truth.sample=3",
        "ground_truth.epochs=1",
    ],
    "images": [
        "evaluator.epochs=1",
        "ground_truth.sample=0",
        "search.evaluations=4",
        "search.population=2",
        "evaluator.batch_size=8",
    ],
    "macro": ["search.evaluations=16", "search.surrogate=false"],
}


def blocks(language: str) -> list[str]:
    """The blocks of code in this language, each once."""
    found = (block for text in TEXTS for block in re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL))
    return list(dict.fromkeys(found))


def commands() -> list[str]:
    """The commands of this program, each once: without comments, one space between words."""
    lines = (line for block in blocks("sh") for line in block.replace("\\\n", "").splitlines())
    words = (shlex.split(line, comments=True) for line in lines if line.startswith(".venv/bin/python"))
    return list(dict.fromkeys(map(shlex.join, words)))


COMMANDS = commands()


def small(command: list[str]) -> list[str]:
    """The same command with little work."""
    if "evo.headroom" in command:
        return [*command, "--networks", "3", "--set", "deliver.epochs=1", "--set", "data.max_images=240"]
    if "evo.round" not in command or "--plan" in command or "--help" in command:
        return command
    if any(word.startswith("examples/") for word in command):  # tests/test_examples.py runs them
        return [*command, "--plan"]
    if "--seeds" in command:
        place = command.index("--seeds") + 1
        command = [*command[:place], str(FEWEST), *command[place + 1 :]]
    rounds = command.index("evo.round") + 1
    command = [*command[:rounds], "1", *command[rounds + 1 :]]
    preset = command[command.index("--config") + 1] if "--config" in command else "digits"
    given = {command[i + 1].split("=")[0] for i, word in enumerate(command) if word == "--set"}
    changes = [change for change in SMALL[preset] if change.split("=")[0] not in given]
    return command + [word for change in changes for word in ("--set", change)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user would stand: photographs in class folders and a list of them, the examples, and README's plugin."""
    folder = tmp_path_factory.mktemp("user")
    shutil.copytree(ROOT / "examples", folder / "examples")
    (plugin,) = (
        block for block in re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL) if "@operation" in block
    )
    (folder / "my_ops.py").write_text(plugin)
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (folder / "photos" / label).mkdir(parents=True)
        for i in range(16):
            picture = Image.fromarray(rng.integers(0, 256, (48, 80, 3), dtype=np.uint8))
            picture.save(folder / "photos" / label / f"{i}.png")
    rows = [f"{label}/{i}.png,{label}" for label in ("cats", "dogs") for i in range(16)]
    (folder / "photos" / "list.csv").write_text("\n".join(["path,label", *rows]))
    return folder


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a user stands who has made all runs that the README speaks of."""
    folder = tmp_path_factory.mktemp("searched")
    with open_store(f"sqlite:///{folder / 'evo.db'}") as store:
        for name in ("digits", "small", "mobilenet_v2"):
            example_run.two_rounds(store, name)
    return folder


def run(command: list[str], folder: Path) -> str:
    """What ``python -m MODULE ...`` prints there, in this process: starting one for each would take minutes."""
    _, module, *words = command
    printed = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
        try:
            code = main_of(module)(words)
        except SystemExit as end:
            code = end.code
    assert code == 0
    return printed.getvalue()


def test_readme_and_the_pages_have_commands() -> None:
    assert len(COMMANDS) >= 15


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a plugin registers is forgotten after the command."""
    with restored():
        yield


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_runs(line: str, folder: Path, request: pytest.FixtureRequest) -> None:
    words = shlex.split(line)[1:]
    if "evo.deliver" in words:  # what it does with such words takes half a minute, and is tested in tests/evo
        assert deliver.parser().parse_args(words[2:]).run
        return
    if "evo.verify" in words:  # there is no delivery; tests/evo/verify has what it does
        assert verify.parser().parse_args(words[2:]).folder
        return
    if "random-networks" in words:  # tests/evo/alone has what it does
        assert evo_round.parser().parse_args(words[2:]).control
        return
    if {"analysis.report", "analysis.compare", "studies.runs"} & set(words):
        folder = request.getfixturevalue("searched")
    if "macro" in words:
        table = request.getfixturevalue("data_dir") / "nas" / "nas_bench_macro_cifar10.csv.gz"
        (folder / "tables").mkdir(exist_ok=True)
        (folder / "tables" / table.name).write_bytes(table.read_bytes())
    assert run(small(words), folder)


def test_a_command_runs_where_nothing_is_set_up(tmp_path: Path) -> None:
    """As a user types it: a process of its own, another folder, an empty environment."""
    words, *_ = (shlex.split(line)[1:] for line in COMMANDS if "--plan" in line)
    done = subprocess.run(
        [sys.executable, *words],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "519k architectures" in done.stdout


def test_the_queries_have_rows(searched: Path) -> None:
    queries = blocks("sql")
    assert len(queries) == 3
    with sqlite3.connect(searched / "evo.db") as database:
        for query in queries:
            query = query.replace("round = 3", "round = 2")  # the last one there is
            assert database.execute(query).fetchall(), query


def test_what_is_said_of_the_digits_is_what_a_user_sees() -> None:
    line = summary(inspect_data(load_config("digits").data, "cpu"))
    for page in ("README.md", "docs/start/first-run.md"):
        assert line in (ROOT / page).read_text(encoding="utf-8").splitlines(), page


def test_the_files_that_the_readme_links_to_exist() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    assert len(links) > 10
    for link in links:
        assert (ROOT / link).exists(), link
