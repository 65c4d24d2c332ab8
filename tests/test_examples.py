"""The examples run as they are, and the snippets of the guides for developers do what the text around them says."""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import runpy
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations

import evo
from evo.evaluators import FitContext
from evo.evaluators.registry import evaluator_of
from evo.methods.registry import evolution_of
from evo.round.__main__ import main
from spaces.costs.table import cost_table
from spaces.export.python_source import module_expression
from spaces.layer import Shape
from spaces.library import named_spaces
from spaces.networks.build import build_operation, check_module
from spaces.operations.grammar import count_operation
from spaces.space import SearchSpace
from studies.config import check_config
from studies.database.schema import metadata
from studies.database.store import open_store
from studies.records import Evaluation, Round
from tests import example_run
from tests.registries import restored

pytestmark = pytest.mark.usefixtures("unpublished")


ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    with restored():
        yield


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is written into the project's folder."""
    monkeypatch.chdir(tmp_path)


def output(name: str) -> str:
    """What an example prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    return printed.getvalue()


def test_an_operation_of_ones_own_is_used() -> None:
    used = re.search(r"(\d+) of (\d+) networks use it; on the front: (\d+)", output("01_own_operation.py"))
    assert used
    assert 0 < int(used[1]) <= int(used[2])


def test_an_evaluator_of_ones_own_scores_without_training() -> None:
    printed = output("02_own_evaluator.py")
    assert "activations" in printed
    (tau,) = re.findall(r"networks trained alone: \[(-?[\d.]+)\]", printed)
    assert -1 <= float(tau) <= 1


def test_a_data_set_of_ones_own_is_rectangular_and_has_names_for_its_classes() -> None:
    output("03_own_data_set.py")
    with open_store("sqlite:///evo.db") as store:
        run = store.run("own-data-set")
    assert run.space.stem.size == (8, 6)
    assert run.classes == ("even", "odd")


def test_a_method_of_ones_own_learns_and_proposes() -> None:
    small = ["evaluator.epochs=2", "search.evaluations=16", "search.population=8", "ground_truth.sample=0"]
    changes = [word for change in small for word in ("--set", change)]
    assert main(["1", "--config", str(EXAMPLES / "04_own_method.toml"), "--quiet", *changes]) == 0
    with open_store("sqlite:///evo.db") as store:
        run = store.run("04_own_method")
        (row,) = store.rounds(run)
        proposals = store.proposals(row)
    assert "combined" in {proposal.origin for proposal in proposals}
    assert row.next_space is not None
    assert all(len(layer.candidates) <= 3 for layer in row.next_space.layers)


def test_a_paper_of_ones_own_is_short() -> None:
    text = (EXAMPLES / "04_own_method.py").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60


# -- snippets ---------------------------------------------------------------------------------------------------------


def snippet(page: str, heading: str) -> dict[str, Any]:
    """The names that the Python block below a heading defines."""
    section = (ROOT / page).read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1]
    (text,) = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], flags=re.DOTALL)
    names: dict[str, Any] = {"__name__": f"snippet_{heading.split()[-1]}"}
    exec(compile(text, page, "exec", dont_inherit=True), names)
    return names


SHAPE = Shape(8, 16, 2, 9)
DATA = {"space": {"name": "digits"}, "data": {"name": "digits", "max_images": 100}, "ground_truth": {"sample": 0}}


def test_contributing_adds_an_operation() -> None:
    snippet("CONTRIBUTING.md", "Add an operation")
    check_module("twice_k3_e6_se25", SHAPE)
    assert count_operation("twice_k3_e6", SHAPE).params > count_operation("mb_k3_e6", SHAPE).params


def test_the_guide_makes_an_operation_of_a_module() -> None:
    snippet("docs/extend/operation.md", "Steps, or a module of torch")
    check_module("pool", SHAPE)
    assert "nn.AvgPool2d(" in module_expression(build_operation("pool", SHAPE))


def test_contributing_adds_an_evaluator(tmp_path: Path) -> None:
    snippet("CONTRIBUTING.md", "Add an evaluator")
    config = check_config(
        {**DATA, "evaluator": {"kind": "capacity", "half": 2e4}, "evolution": {"method": "fixed"}}, "test"
    )
    assert config.measured == "capacity"
    space = named_spaces.load_space("digits")
    judge = evaluator_of(config, space).fit(space, FitContext(1, 7, cost_table(space), tmp_path))
    archs = [space.sample(Random(i)) for i in range(4)]
    found = judge(archs)
    assert [e.arch for e in found] == archs
    assert {e.judge for e in found} == {"capacity:20000"}
    assert [e.arch for e in sorted(found, key=lambda e: e.accuracy)] == [
        e.arch for e in sorted(found, key=lambda e: e.params)
    ]


def test_contributing_adds_a_method() -> None:
    snippet("CONTRIBUTING.md", "Add a method")
    config = check_config(
        {**DATA, "evaluator": {"kind": "scratch"}, "evolution": {"method": "frequent", "keep": 1}}, "test"
    )
    evolution = evolution_of(config)
    assert (
        str(evolution) == "rate by share among nondomination ranks < 2; keep the best 1 of each layer; refill nothing"
    )
    step = evolution(finished_round(example_run.FIRST), Random(0))
    assert [layer.candidates for layer in step.space.layers] == [("mb_k5_e3",), ("mb_k5_e3",)]


def finished_round(space: SearchSpace) -> Round:
    """A round on whose front one network stands."""
    best = evo.Evaluation(example_run.Architecture.parse(example_run.DEAR), "made up", 0.9, 5, 5)
    beaten = Evaluation(example_run.Architecture.parse(example_run.CHEAP), "made up", 0.5, 10, 10)
    return Round(1, space, (best, beaten))


def test_contributing_adds_a_migration() -> None:
    names = snippet("CONTRIBUTING.md", "Add a migration")
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        metadata.create_all(connection)
        before = columns(connection, "runs")
        with Operations.context(MigrationContext.configure(connection)):
            names["upgrade"]()
        assert columns(connection, "runs") == [*before, "note"]
    engine.dispose()


def columns(connection: sa.Connection, name: str) -> list[str]:
    return [str(column["name"]) for column in sa.inspect(connection).get_columns(name)]


def test_the_guide_to_the_python_interface_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """On runs that are there already; how long a search or a delivery takes is shown elsewhere."""
    with open_store("sqlite:///evo.db") as store:
        for name in ("digits", "small"):
            example_run.two_rounds(store, name)
    bound = {
        name: inspect.signature(thing)
        for name, thing in {"search": evo.search, "deliver": evo.Run.deliver, "against": evo.Run.against}.items()
    }

    def search(*args: Any, **options: Any) -> evo.Run:
        bound["search"].bind(*args, **options)
        return evo.Run("digits")

    def deliver(run: evo.Run, *args: Any, **options: Any) -> evo.Delivered:
        bound["deliver"].bind(run, *args, **options)
        delivered = {"arch": "id", "test": {"accuracy": 0.9, "low": 0.8, "high": 0.95}, "classes": ["0", "1"]}
        monkeypatch.setattr(evo.Delivered, "network", lambda self: None)
        return evo.Delivered(Path("small"), delivered)

    def against(run: evo.Run, *args: Any, **options: Any) -> SimpleNamespace:
        bound["against"].bind(run, *args, **options)
        return SimpleNamespace(table=lambda: None)

    monkeypatch.setattr("evo.search", search, raising=False)
    monkeypatch.setattr(evo.Run, "deliver", deliver)
    monkeypatch.setattr(evo.Run, "against", against)
    text = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in python_blocks(text):
        exec(compile(block, "python.md", "exec", dont_inherit=True), names)
    assert {"accuracy", "macs", "arch"} <= set(names["front"].columns)
    assert Path("report.html").is_file()


def python_blocks(text: str) -> Sequence[str]:
    return re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
