"""A budget is answered by the exact combination of what blocks lose, not by what happened to be measured below it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from evo.alone.selection import (
    Criteria,
    Selected,
    favourites,
    last_round,
    promises_after,
    select_finalists,
    select_network,
)
from evo.deliver.manifest import create_or_verify, write_manifest
from evo.deliver.model_card import provenance_sentence
from evo.deliver.pipeline import summed_up
from evo.evaluators.blockwise.limits import best_within
from evo.round.algorithm import run_round
from evo.round.context import RunContext
from spaces.architecture import Architecture
from spaces.space import canonical_arch
from studies.records import EvoError
from tests.evo.evaluators.test_blockwise import SPACE, TABLE, everything, in_a_run, judge_in

pytestmark = pytest.mark.usefixtures("unpublished")

FEW = {"evaluations": 12, "population": 6, "surrogate": False}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the files of all runs are: the blocks are trained once."""
    return tmp_path_factory.mktemp("budgets")


@pytest.fixture(scope="module")
def searched(folder: Path) -> Iterator[RunContext]:
    """One finished round of few measurements."""
    with in_a_run(folder, "searched", search=FEW) as shared:
        run_round(shared, 1)
        yield shared


Rows = dict[Architecture, tuple[float, float, float]]
"""Every network of the space: what its blocks lose in sum, MACs, parameters."""


@pytest.fixture(scope="module")
def every(searched: RunContext) -> Rows:
    archs = everything()
    losses, (macs, params, _) = judge_in(searched).losses(archs), TABLE.count(archs).T.tolist()
    return dict(zip(archs, zip(losses, macs, params, strict=True), strict=True))


def select(shared: RunContext, **most: float) -> Selected:
    return select_network(shared.store, shared.run, Criteria(most))


def test_200_budgets_are_answered_by_the_best_of_all_networks(searched: RunContext, every: Rows) -> None:
    """A third of them limit MACs, a third parameters, a third both."""
    rng, unmeasured = Random(0), 0
    ends = [[sorted(row[column] for row in every.values())[end] for end in (0, -1)] for column in (1, 2)]
    for i in range(200):
        drawn = {"macs": rng.uniform(*ends[0]), "params": rng.uniform(*ends[1])}
        budget = {name: drawn[name] for name in (("macs",), ("params",), ("macs", "params"))[i % 3]}
        fitting = [row for row in every.values() if all(row[1 + (name == "params")] <= budget[name] for name in budget)]
        if not fitting:
            with pytest.raises(EvoError, match="no network of the front has at most"):
                select(searched, **budget)
            continue
        found = select(searched, **budget)
        assert every[found.arch] in fitting
        assert found.summed_loss == every[found.arch][0] == min(fitting)[0]
        assert found.summed_over == "blocks"
        unmeasured += found.evaluation is None
    assert unmeasured > 5


def test_a_budget_below_all_that_was_measured_has_an_answer(searched: RunContext, every: Rows) -> None:
    store, run = searched.store, searched.run
    finished = last_round(store, run, store.rounds(run))
    dearest = replace(finished, evaluations=(max(finished.evaluations, key=lambda e: e.macs),))
    (found,) = favourites(promises_after(dearest, run), run, {"macs": 60_000.0}, 1)
    assert found.summed_loss == min(row for row in every.values() if row[1] <= 60_000)[0]
    with pytest.raises(EvoError, match="no network of the front has at most 60k macs"):
        favourites(promises_after(replace(dearest, blocks=()), run), run, {"macs": 60_000.0}, 1)


def test_a_least_cost_that_is_not_reached_leaves_it_to_what_was_measured(searched: RunContext) -> None:
    blocks = last_round(searched.store, searched.run, searched.store.rounds(searched.run)).blocks
    best, _ = best_within(blocks, TABLE, {"macs": (0, 1e6)}) or pytest.fail("no answer")
    ((macs, *_),) = TABLE.count([best]).tolist()
    assert best_within(blocks, TABLE, {"macs": (macs, 1e6)}) is not None
    assert best_within(blocks, TABLE, {"macs": (macs + 1, 1e6)}) is None


def test_the_limits_of_a_run_are_a_budget(searched: RunContext, every: Rows) -> None:
    limits = {
        name: [0, sorted(row[column] for row in every.values())[250]] for name, column in (("macs", 1), ("params", 2))
    }
    with in_a_run(searched.files, "limited", search=FEW, limits=limits) as limited:
        run_round(limited, 1)
        found = select(limited)
    fitting = [row for row in every.values() if row[1] <= limits["macs"][1] and row[2] <= limits["params"][1]]
    assert found.summed_loss == min(fitting)[0]


def test_finalists_are_joined_by_what_was_measured(searched: RunContext) -> None:
    budget = float(TABLE.count(everything())[:, 0].mean())
    found = select_finalists(searched.store, searched.run, Criteria({"macs": budget}, finalists=3))
    assert len({canonical_arch(one.arch, SPACE) for one in found}) == 3
    assert found[0].summed_loss is not None
    assert any(one.evaluation for one in found[1:])


def test_without_any_limit_it_is_the_best_that_was_measured(searched: RunContext) -> None:
    found = select(searched)
    assert found.evaluation is not None
    assert found.summed_loss is None


@pytest.mark.parametrize("fault", ["missing", "changed"])
def test_without_the_files_of_blocks_it_is_the_measured_front(
    searched: RunContext, fault: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path, _ = judge_in(searched).block_files[1]
    content, budget = path.read_bytes(), float(TABLE.count(everything())[:, 0].mean())
    try:
        path.unlink() if fault == "missing" else path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = select(searched, macs=budget)
    finally:
        path.write_bytes(content)
    assert found.summed_loss is None
    assert found.evaluation is not None
    assert ("is missing" if fault == "missing" else "its sha256 has changed") in capsys.readouterr().err
    assert select(searched, macs=budget).summed_loss is not None


# -- what is said of it ------------------------------------------------------------------------------------------------


def test_manifest_and_card_say_how_it_was_chosen(searched: RunContext) -> None:
    found = select(searched, macs=float(TABLE.count(everything())[:, 0].mean()))
    assert summed_up(found) == {"summed_loss": found.summed_loss, "summed_over": "blocks"}
    said = provenance_sentence({"run": "r", "round": 1, "seed": 0, "judge": None, **summed_up(found)})
    assert f"the one whose blocks lose least by themselves, {found.summed_loss:.2g} in sum" in said


def test_a_folder_of_an_earlier_version_that_holds_the_same_network_is_taken(tmp_path: Path) -> None:
    before = {"arch": "a", "provenance": {"run": "r", "judge": "j"}}
    write_manifest(tmp_path, json.loads(json.dumps(before)))
    now = before | {"provenance": {"run": "r", "judge": "j", "summed_loss": 0.5, "summed_over": "blocks"}}
    create_or_verify(tmp_path, now)
    with pytest.raises(EvoError, match="other provenance"):
        create_or_verify(tmp_path, now | {"provenance": now["provenance"] | {"judge": "k"}})  # type: ignore[operator]
