"""A run that learns from others: what it learns is copied when it begins, and is told; what it cannot learn is refused."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

import evo
from analysis.frames import load
from analysis.sentences import summary
from evo.round.__main__ import main, parser
from evo.round.command import options_of
from evo.round.other_runs.lessons import LEAST, MOST, collect_lessons
from studies.database.measured import read_lessons
from studies.database.store import open_store
from studies.records import EvoError
from studies.runs.manage import delete_run

pytestmark = pytest.mark.usefixtures("unpublished")

WORTH = {"a": 0.0, "b": 1.0, "c": -1.0}


def write_table(folder: Path, name: str, layers: int = 4, sign: int = 1) -> dict[str, Any]:
    """A table of 3 ** ``layers`` networks whose accuracy costs tell nothing of, as an evaluator."""
    rows = ["arch,accuracy,macs"]
    for genes in product("abc", repeat=layers):
        worth = sum((i + 1) * WORTH[gene] for i, gene in enumerate(genes)) * sign
        cost = sum(2**i * "abc".index(gene) for i, gene in enumerate(genes)) + 10
        rows.append(f"{'|'.join(genes)},{0.5 + worth / 40:.3f},{cost}")
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    return {"kind": "tabular", "path": str(folder / f"{name}.csv"), "separator": "|", "macs_column": "macs"}


def settings(evaluator: dict[str, Any], seed: int = 0, evaluations: int = 24) -> dict[str, Any]:
    search = {"evaluations": evaluations, "population": 8}
    made: dict[str, Any] = {"space": {"name": "table"}, "evaluator": evaluator, "evolution": {"method": "fixed"}}
    return made | {"search": search, "seed": seed}


@pytest.fixture
def taught(tmp_path: Path) -> str:
    """A database with a run of a related task, and one of a task in which all is the other way round."""
    storage = f"sqlite:///{tmp_path}/evo.db"
    for name, sign in (("related", 1), ("reversed", -1)):
        table = write_table(tmp_path, name, sign=sign)
        evo.search(settings(table, seed=3, evaluations=40), rounds=1, run=name, storage=storage, progress=False)
    write_table(tmp_path, "mine")
    return storage


def mine(tmp_path: Path) -> dict[str, Any]:
    return settings(write_table(tmp_path, "mine"))


def proposals(storage: str, name: str) -> list[tuple[str, float]]:
    with open_store(storage) as store:
        run = store.run(name)
        return [(str(p.arch), p.evaluation.accuracy) for row in store.rounds(run) for p in store.proposals(row)]


def test_what_helps_is_used_and_what_does_not_is_ignored(taught: str, tmp_path: Path) -> None:
    evo.search(mine(tmp_path), rounds=2, run="mine", storage=taught, learn_from=["related", "reversed"], progress=False)
    with open_store(taught) as store:
        run = store.run("mine")
        first, second = (row.stats["learned_from"] for row in store.rounds(run))
        assert [(one["source"], one["networks"]) for one in first] == [("related", 40), ("reversed", 40)]
        assert first[0]["weight"] > 0
        assert (first[1]["weight"], first[1]["ignored"]) == (0, True)
        assert [one["source"] for one in second] == ["related"]  # the other one is not asked again
        told = " ".join(summary(load(store, run)))
    assert "run related" in told
    assert "log-likelihood of" in told


def test_what_was_learned_from_may_go_on_or_be_deleted(taught: str, tmp_path: Path) -> None:
    settings = mine(tmp_path)
    evo.search(settings, rounds=1, run="kept", storage=taught, learn_from="related", progress=False)
    evo.search(settings, rounds=1, run="mine", storage=taught, learn_from="related", progress=False)
    with open_store(taught) as store:
        copied = read_lessons(store, store.run("mine"))
        assert {row.source for row in copied} == {"related"}
        measured = {str(p.arch): p.evaluation.accuracy for p in store.proposals(store.rounds(store.run("related"))[0])}
        assert {row.arch: row.accuracy for row in copied} == measured
    evo.search(run="related", rounds=2, storage=taught, progress=False)
    evo.search(run="kept", rounds=2, storage=taught, progress=False)
    with open_store(taught) as store:
        delete_run(store, store.key("related"))
    evo.search(run="mine", rounds=2, storage=taught, progress=False)
    assert proposals(taught, "mine") == proposals(taught, "kept")
    with open_store(taught) as store:
        delete_run(store, store.key("mine"))
        delete_run(store, store.key("kept"))
        assert store.frame("SELECT count(*) AS n FROM lessons")["n"].tolist() == [0]


def test_the_command_says_what_was_learned(taught: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "mine.toml"
    config.write_text(
        f"[space]\nname = 'table'\n[evaluator]\nkind = 'tabular'\npath = '{tmp_path}/mine.csv'\nseparator = '|'\n"
        "macs_column = 'macs'\n[evolution]\nmethod = 'fixed'\n[search]\nevaluations = 24\npopulation = 8\n"
    )
    call = ["1", "--config", str(config), "--storage", taught, "--learn-from", "related", "reversed"]
    assert main([*call, "--plan"]) == 0
    assert "the surrogate learns from related, reversed, as far as that helps" in capsys.readouterr().out
    assert main(call) == 0
    said = capsys.readouterr().out
    assert "round 1: the surrogate learned from 40 networks of run related, with weight" in said
    assert "round 1: run reversed did not help the surrogate" in said
    assert main(call[:5]) == 1
    assert "search.learn_from was ('related', 'reversed') and is now ()" in capsys.readouterr().err


def test_the_flag_is_the_setting() -> None:
    args = parser().parse_args(["2", "--learn-from", "a", "b", "--learn-from", "c", "--set", "seed=1"])
    assert options_of(args).overrides == ("seed=1", 'search.learn_from=["a", "b", "c"]')


@pytest.mark.parametrize(
    ("source", "layers", "told"),
    [
        ("nobody", 4, "no run 'nobody' in this database; runs: related, reversed"),
        ("related", 3, "run 'related' searches 4 layers, and this one 3: expected a run over the same layers"),
        ("mine", 4, "names 'mine', the run itself"),
    ],
)
def test_what_cannot_teach_is_refused_before_anything_is_written(
    taught: str, tmp_path: Path, source: str, layers: int, told: str
) -> None:
    table = write_table(tmp_path, "mine", layers)
    with pytest.raises(EvoError, match=told):
        evo.search(settings(table), rounds=1, run="mine", storage=taught, learn_from=source, progress=False)
    with open_store(taught) as store:
        assert store.runs() == ["related", "reversed"]


def test_networks_of_other_operations_are_left_out(taught: str) -> None:
    with open_store(taught) as store:
        run = store.run("related")
        config = run.config.model_copy(
            update={"search": run.config.search.model_copy(update={"learn_from": ("related",)})}
        )
        rows = store.proposals(store.rounds(run)[0])
        some = run.space.restrict_to(rows[0].arch)
        with pytest.raises(
            EvoError, match=f"has measured 1 networks of operations that this run has: expected {LEAST}"
        ):
            collect_lessons(store, "new", config, some)
        assert len(collect_lessons(store, "new", config, run.space)) == len({str(p.arch) for p in rows}) <= MOST
