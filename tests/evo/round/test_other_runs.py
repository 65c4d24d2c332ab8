"""What another run of the database has measured is found, not charged, and changes no result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest

import evo
from analysis.frames import load
from analysis.sentences import describe_found, summary
from evo.evaluators.standalone import ScratchJudge
from evo.evaluators.tabular import TableJudge
from evo.round.__main__ import main
from evo.training.identity import network_sha256
from spaces.architecture import Architecture
from spaces.library.named_spaces import load_space
from studies.database.store import open_store
from studies.records import Evaluation
from studies.runs.manage import delete_run, rename_run

pytestmark = pytest.mark.usefixtures("unpublished")

SETTINGS: dict[str, Any] = {
    "space": {"name": "digits"},
    "data": {"name": "digits", "max_images": 40},
    "evaluator": {"kind": "scratch", "epochs": 1},
    "search": {"evaluations": 5, "population": 3, "surrogate": False},
    "evolution": {"method": "fixed"},
}


def storage_in(folder: Path) -> str:
    folder.mkdir(exist_ok=True)
    return f"sqlite:///{folder}/evo.db"


def told(storage: str, name: str) -> list[Any]:
    """All results of a run: its proposals, what was measured, its fronts' volumes."""
    with open_store(storage) as store:
        run = store.run(name)
        measured = [
            (p.number, p.origin, p.is_new, p.evaluation)  # an evaluation's mark is no part of its equality
            for row in store.rounds(run)
            for p in store.proposals(row)
        ]
        return [
            [(*rest, replace(e, seconds=0.0)) for *rest, e in measured],
            [row.hypervolume for row in store.rounds(run)],
        ]


def found_in(storage: str, name: str) -> list[str | None]:
    with open_store(storage) as store:
        return [e.found_in for e in store.evaluations(store.run(name), "scratch:1ep")]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[list[str]]]:
    """Two runs that differ in their numbers of evaluations, and how often each trained."""
    storage = storage_in(tmp_path_factory.mktemp("runs"))
    measure, counts = ScratchJudge._measure, list[list[str]]()

    def counting(self: ScratchJudge, arch: Architecture) -> Evaluation:
        counts[-1].append(str(arch))
        return measure(self, arch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScratchJudge, "_measure", counting)
        for name, evaluations in (("first", 5), ("second", 8)):
            counts.append([])
            more = {"search": SETTINGS["search"] | {"evaluations": evaluations}}
            evo.search(SETTINGS | more, rounds=1, run=name, storage=storage, progress=False)
    return storage, counts


def test_only_what_no_run_has_trained_is_trained(trained: tuple[str, list[list[str]]]) -> None:
    storage, (first, second) = trained
    assert (len(first), len(second)) == (5, 3)
    assert not set(first) & set(second)
    assert found_in(storage, "first") == [None] * 5
    assert found_in(storage, "second") == ["first"] * 5 + [None] * 3


def test_results_are_those_without(trained: tuple[str, list[list[str]]], tmp_path: Path) -> None:
    """Bit for bit, whether nothing is there to be found or it may not be taken."""
    storage, _ = trained
    alone = storage_in(tmp_path / "alone")
    more = {"search": SETTINGS["search"] | {"evaluations": 8}}
    evo.search(SETTINGS | more, rounds=1, run="second", storage=alone, progress=False)
    assert found_in(alone, "second") == [None] * 8
    assert told(storage, "second") == told(alone, "second")
    evo.search(SETTINGS | more, rounds=1, run="off", storage=storage, progress=False, set={"search.reuse": False})
    assert found_in(storage, "off") == [None] * 8
    assert told(storage, "off") == told(alone, "second")


def test_what_is_found_is_not_charged_and_is_told(
    trained: tuple[str, list[list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    storage, (_, second) = trained
    with open_store(storage) as store:
        whole, part = (store.rounds(store.run(name))[0].stats for name in ("first", "second"))
        run = store.run("second")
        measured = [p.evaluation for p in store.proposals(store.rounds(run)[0])]
        own = [e for e in measured if str(e.arch) in second]
        assert part["found"] == {"first": 5}
        assert "found" not in whole
        paid = part["macs"]["training"] / sum(e.macs for e in own)
        assert paid == pytest.approx(whole["macs"]["training"] / sum(e.macs for e in measured if e.found_in))
        assert all(e.seconds == 0 for e in measured if e.found_in)
        assert "5 of 8 networks were measured by run first, and not again." in summary(load(store, run))
        view = store.frame("SELECT run, measured, found FROM round_stats ORDER BY run")
        assert dict(zip(view["run"], zip(view["measured"], view["found"], strict=True), strict=True))["second"] == (
            8,
            5,
        )
    from evo.round.options import RunOptions
    from evo.round.printing import next_commands

    with open_store(storage) as store:
        said = next_commands(store, store.run("second"), RunOptions(1, run="second", storage=storage))
    assert "round 1: 5 of 8 networks were measured by run first, and not again\n" in said


def test_a_plan_says_what_is_there(
    trained: tuple[str, list[list[str]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage, _ = trained
    config = tmp_path / "mine.toml"
    config.write_text(
        "[space]\nname = 'digits'\n[data]\nname = 'digits'\nmax_images = 40\n[evaluator]\nkind = 'scratch'\nepochs = 1\n"
        "[evolution]\nmethod = 'evidence'\n"
    )
    call = ["2", "--config", str(config), "--storage", storage, "--plan", "--json"]
    assert main(call) == 0
    assert json.loads(capsys.readouterr().out)["found"]["first"] == 5
    assert main([*call, "--seed", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["found"] == {}


def test_the_other_run_may_be_renamed_and_deleted(trained: tuple[str, list[list[str]]], tmp_path: Path) -> None:
    storage = storage_in(tmp_path)
    with open_store(trained[0]) as source:
        path = Path(str(source.engine.url.database))
    (tmp_path / "evo.db").write_bytes(path.read_bytes())
    before = told(storage, "second")
    with open_store(storage) as store:
        rename_run(store, "first", "other")
        delete_run(store, store.key("other"))
    assert told(storage, "second") == before
    more = {"search": SETTINGS["search"] | {"evaluations": 8}}
    evo.search(SETTINGS | more, rounds=1, run="third", storage=storage, progress=False)
    assert told(storage, "third") == before
    assert set(found_in(storage, "third")) == {"first", "second"}  # who measured, as it was called then


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"threads": 2},
        {"evaluator": {"kind": "scratch", "epochs": 1, "learning_rate": 0.05}},
        {"data": {"name": "digits", "max_images": 41}},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_another_judge_is_not_the_same(other: dict[str, Any], trained: tuple[str, list[list[str]]]) -> None:
    from evo.evaluators import FitContext
    from evo.evaluators.standalone import scratch
    from spaces.costs.table import cost_table
    from studies.config import config_from_mapping

    space = load_space("digits")
    context = FitContext(1, 0, cost_table(space), Path())

    def answers(settings: dict[str, Any]) -> str | None:
        return scratch(config_from_mapping(settings), space).fit(space, context).answers_sha256()

    assert answers(SETTINGS) == answers(SETTINGS | {"search": {"evaluations": 50}, "limits": {"macs": [0, 1e6]}})
    assert answers(SETTINGS | other) != answers(SETTINGS)
    assert answers(SETTINGS | {"evaluator": {"kind": "scratch", "epochs": 4, "rungs": [0.5]}}) is None
    with open_store(trained[0]) as store:
        known = set(store.frame("SELECT judge_sha256 FROM evaluations")["judge_sha256"])
    assert known == {answers(SETTINGS)}


def test_a_network_is_known_by_itself_and_not_by_what_else_there_is() -> None:
    space = load_space("digits")
    archs = [space.sample(Random(seed)) for seed in range(20)]
    assert len({network_sha256(arch, space) for arch in archs}) == len(set(archs))
    narrow = space.restrict_to(archs[0])
    assert network_sha256(archs[0], narrow) == network_sha256(archs[0], space)
    for other in (load_space("digits", size=16), load_space("digits", classes=3), load_space("digits", channels=3)):
        assert network_sha256(archs[0], other) != network_sha256(archs[0], space)
    twins = [
        Architecture(("mb_k3_e1", "id", "mb_k3_e1", *genes, "mb_k3_e1", "id"))
        for genes in (("id", "mb_k5_e3"), ("mb_k5_e3", "id"))
    ]
    assert network_sha256(twins[0], space) == network_sha256(twins[1], space)


def test_a_table_is_the_same_wherever_it_lies(tmp_path: Path) -> None:
    rows = [
        f"{a}|{b},{0.1 * i + 0.2 * j:.1f},{i + 2 * j + 1}" for i, a in enumerate("abc") for j, b in enumerate("abc")
    ]
    settings = {
        "space": {"name": "table"},
        "search": {"evaluations": 6, "population": 3, "surrogate": False, "sampler": "random"},
        "evolution": {"method": "fixed"},
    }
    storage = storage_in(tmp_path)
    for name, seed in (("here", 0), ("there", 1)):
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["arch,accuracy,macs", *rows]) + "\n")
        table = {"kind": "tabular", "path": str(path), "separator": "|", "macs_column": "macs"}
        evo.search(settings | {"evaluator": table, "seed": seed}, rounds=1, run=name, storage=storage, progress=False)
    with open_store(storage) as store:
        one, two = (store.evaluations(store.run(name), f"table:{name}") for name in ("here", "there"))
        known = {str(e.arch): e for e in one}
        assert any(e.found_in for e in two)
        for e in two:
            assert (e.found_in == "here") == (str(e.arch) in known)
            if e.found_in:
                other = known[str(e.arch)]
                assert (e.accuracy, e.macs) == (other.accuracy, other.macs)
        assert {e.judge for e in two} == {"table:there"}
    (tmp_path / "there.csv").write_text("\n".join(["arch,accuracy,macs", *rows[:-1], "c|c,0.9,9"]) + "\n")
    first = store_judges(tmp_path / "here.csv"), store_judges(tmp_path / "there.csv")
    assert first[0] != first[1]


def store_judges(path: Path) -> str:
    from evo.evaluators.tabular import table_costs, table_space
    from studies.config import TabularSection

    section = TabularSection(path=str(path), separator="|", macs_column="macs")
    space = table_space(section)
    return TableJudge(section, space, space, table_costs(section, space)).answers_sha256()


def test_networks_trained_for_the_truth_are_found_too(tmp_path: Path) -> None:
    storage, supernet = storage_in(tmp_path), {"kind": "oneshot", "epochs": 1}
    settings = SETTINGS | {"evaluator": supernet, "ground_truth": {"sample": 2, "epochs": 1}}
    evo.search(settings, rounds=1, run="first", storage=storage, progress=False)
    evo.search(settings | {"threads": 1}, rounds=1, run="second", storage=storage, progress=False)
    assert found_in(storage, "first") == [None, None]
    assert found_in(storage, "second") == ["first", "first"]
    with open_store(storage) as store:
        first, second = (store.rounds(store.run(name))[0].stats for name in ("first", "second"))
    assert first["truth"] == second["truth"]
    assert first["macs"]["truth"] > second["macs"]["truth"] == 0
    assert first["macs"]["training"] == second["macs"]["training"]  # a supernet's weights are its run's own


def test_several_runs_are_named() -> None:
    assert describe_found({}, 4) == []
    assert describe_found({"a": 1}, 4) == ["1 of 4 networks was measured by run a, and not again."]
    assert describe_found({"a": 1, "b": 2}, 4) == ["3 of 4 networks were measured by runs a (1), b (2), and not again."]
