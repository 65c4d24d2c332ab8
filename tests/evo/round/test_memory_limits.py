"""Runs for a device: no network outside its memory is ever measured, by whatever way it would be proposed."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

import evo
from analysis.report import main as report
from evo.alone.candidates import find_candidates
from evo.api.criteria import make_criteria
from evo.evaluators import Request
from evo.evaluators.blockwise.combination import front_of_ratings
from evo.evaluators.blockwise.limits import best_within
from evo.round.__main__ import main
from evo.round.survivors import surviving_front
from evo.strategy.generations import SearchTask, search_round
from evo.strategy.nsga2 import CandidateFilter
from spaces.architecture import Architecture
from spaces.costs.memory import PRECISIONS
from spaces.costs.table import COLUMNS, CostTable, cost_table
from spaces.library.named_spaces import load_space
from spaces.space import SearchSpace
from studies.config import ConfigError, LimitsSection, SearchSection, load_config
from studies.database.store import Store, open_store
from studies.pareto import on_front
from studies.records import Evaluation, EvoError
from tests.spaces.costs.live_tensors import live_kb

SPACE = load_space("digits")
TABLE = cost_table(SPACE, target=PRECISIONS["float32"])
MOST = 10.0
"""KB of float32: one of 60 networks needs no more."""


def measured_under(
    table: CostTable, settings: SearchSection, survivors: Sequence[Architecture] = ()
) -> list[Architecture]:
    """The networks that a search asks for under a limit of ``MOST`` KB."""
    asked: list[Architecture] = []

    def measure(archs: Sequence[Architecture]) -> list[Evaluation]:
        asked.extend(archs)
        named = (dict(zip(COLUMNS, costs, strict=True)) for costs in table.count(archs).tolist())
        return [
            Evaluation(arch, "made-up", 0.5 + 0.01 * str(arch).count("k5"), **costs)
            for arch, costs in zip(archs, named, strict=True)
        ]

    task = SearchTask(SPACE, table, settings, LimitsSection(memory_kb=(0.0, MOST)), seed=3, survivors=tuple(survivors))
    search_round(task, measure, lambda generation: None)
    return asked


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
@pytest.mark.parametrize("surrogate", [True, False])
def test_a_search_never_measures_a_network_outside(sampler: str, surrogate: bool) -> None:
    settings = SearchSection(
        objectives=("accuracy", "macs", "memory_kb"), sampler=sampler, surrogate=surrogate, evaluations=48, population=8
    )
    asked = measured_under(TABLE, settings)
    assert len(set(asked)) == 48
    peaks = TABLE.count(asked)[:, 4]
    assert peaks.max() <= MOST
    assert max(live_kb(SPACE, asked[place]) for place in (-peaks).argsort()[:4]) <= MOST  # those that come nearest


def test_chance_finds_networks_below_a_limit_that_it_hardly_meets() -> None:
    table = cost_table(load_space("rich_64"), target=PRECISIONS["int8"])
    least = float(table.bounds()[0, 4])
    candidates = CandidateFilter(table.space, table, {"memory_kb": (0.0, least)})
    found = candidates.random_unseen(Random(0), 10, set())
    assert len(set(found)) == 10
    assert table.count(found)[:, 4].tolist() == [least] * 10


def test_the_front_of_ratings_below_a_limit_equals_brute_force() -> None:
    small = restricted(SPACE)
    table, rng = cost_table(small, target=PRECISIONS["int8"]), Random(2)
    ratings = {(i, op): -float(rng.randrange(100)) for i, layer in enumerate(small.layers) for op in layer.candidates}
    archs = list(small.enumerate())
    costs = table.count(archs)
    for most in sorted(set(costs[:, 4].tolist()))[:-1]:
        inside = [(arch, macs) for arch, (macs, *_, peak) in zip(archs, costs.tolist(), strict=True) if peak <= most]
        worth = [sum(ratings[choice] for choice in enumerate(arch.genes)) for arch, _ in inside]
        on = on_front([macs for _, macs in inside], worth)
        expected = {(macs, own) for (_, macs), own, is_on in zip(inside, worth, on.tolist(), strict=True) if is_on}
        front = front_of_ratings(ratings, table, "macs", {"memory_kb": (0.0, most)})
        found = table.count(front)
        assert found[:, 4].max() <= most
        assert {
            (macs, sum(ratings[choice] for choice in enumerate(arch.genes)))
            for arch, macs in zip(front, found[:, 0].tolist(), strict=True)
        } == expected


def restricted(space: SearchSpace) -> SearchSpace:
    """Two or three operations per layer, of differing memory."""
    return space.replace_layers(
        replace(layer, candidates=layer.candidates[: 2 + i % 2] + layer.candidates[-1:], pending=())
        for i, layer in enumerate(space.layers)
    )


def test_the_best_blocks_within_three_limits_and_memory_equal_brute_force() -> None:
    small = restricted(SPACE)
    table, rng = cost_table(small, target=PRECISIONS["int8"]), Random(5)
    archs = list(small.enumerate())
    costs, found_some = table.count(archs), 0
    for _ in range(12):
        blocks = [
            {part: float(rng.randrange(50)) for part in dict.fromkeys(Architecture(arch.genes[a:b]) for arch in archs)}
            for a, b in small.blocks
        ]
        asked = rng.sample(["macs", "params", "flash_kb", "memory_kb"], rng.randint(1, 4))
        limits = {name: (0.0, rng.choice(costs[:, COLUMNS.index(name)].tolist())) for name in asked}
        summed = {
            arch: sum(block[Architecture(arch.genes[a:b])] for block, (a, b) in zip(blocks, small.blocks, strict=True))
            for arch, own in zip(archs, costs.tolist(), strict=True)
            if all(own[COLUMNS.index(name)] <= most for name, (_, most) in limits.items())
        }
        best = best_within(blocks, table, limits)
        assert (best is None) == (not summed)
        if best is not None:
            found_some += 1
            assert best[1] == summed[best[0]] == min(summed.values())
    assert found_some > 4


def test_a_request_of_a_judge_leaves_out_what_is_outside() -> None:
    rng = Random(1)
    archs = [SPACE.sample(rng) for _ in range(100)]
    request = Request(TABLE, "macs", {"memory_kb": (0.0, MOST)}, 400, rng)
    chosen = [arch for arch, _ in request.choose(archs, "combined")]
    assert 0 < len(chosen) < 50
    assert TABLE.count(chosen)[:, 4].max() <= MOST


# -- a whole run ------------------------------------------------------------------------------------------------------

SETTINGS = {
    "evaluator.epochs": "0.1",
    "search.evaluations": "8",
    "search.population": "4",
    "ground_truth.sample": "0",
    "data.max_images": "200",
    "search.objectives": "['accuracy', 'macs', 'memory_kb']",
    "target.precision": "int8",
    "limits.memory_kb": "[0, 2.5]",
    "limits.flash_kb": "[0, 30]",
}


def test_a_run_keeps_its_limits_and_tells_them_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    assert main(["2", "--run", "small", *given]) == 0
    with sqlite3.connect("evo.db") as connection:
        rows = connection.execute("SELECT arch, memory_kb, flash_kb FROM results").fetchall()
    assert len(rows) == 16
    assert max(memory for _, memory, _ in rows) <= 2.5
    assert max(flash for _, _, flash in rows) <= 30
    for arch, memory, _ in rows[::5]:
        assert memory == live_kb(SPACE, Architecture.parse(arch)) / 4
    frame = evo.Run("small").results()
    assert frame["memory_kb"].tolist() == [memory for _, memory, _ in rows]
    capsys.readouterr()
    assert report(["small", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert all(one["memory_kb"] <= 2.5 and one["flash_kb"] <= 30 for one in told["front"])
    page = Path(told["page"]).read_text(encoding="utf-8")
    assert "KB of memory" in page
    with open_store("sqlite:///evo.db") as store:
        check_picks(store)


def check_picks(store: Store) -> None:
    """What is picked keeps a tighter limit, as live tensors tell; what is widened keeps the run's own, or is refused."""
    run = store.run("small")
    peaks = sorted(p.evaluation.memory_kb or 0.0 for p in store.proposals(store.rounds(run)[-1]))
    for most in (peaks[2], peaks[5]):
        criteria = make_criteria({"memory_kb": most}, None, False, None, False, 3, 1)
        for one in find_candidates(store, run, criteria):
            assert live_kb(one.chosen.space, one.chosen.arch) / 4 <= most
    with pytest.raises(EvoError, match="KB of (flash|memory), and limits.*allows (2.5|30)"):
        find_candidates(store, run, make_criteria({"macs": "1M"}, None, False, None, True, 1, 1))
    with pytest.raises(EvoError, match="memory_kb"):
        find_candidates(store, run, make_criteria({"memory_kb": 1.0}, None, False, None, False, 1, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ["limits.memory_kb=[0, 9]"],
            "memory_kb is an objective or a limit, .* set target.precision to 'int8' or 'float32'",
        ),
        (["search.cost=flash_kb"], "flash_kb is an objective or a limit"),
        (["target.precision=int8", "limits.memory_kb=[3, 9]"], "memory is a peak"),
        (["target.precision=int4"], "target.precision"),
        (
            ["target.precision=int8", "search.objectives=['accuracy', 'memory_kb']"],
            re.escape('name a cost first that adds up, e.g. ["accuracy", "macs", "memory_kb"]'),
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("digits", settings)


def test_a_limit_that_no_network_keeps_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["1", "--set", "target.precision=int8", "--set", "limits.memory_kb=[0,1]"]) == 1
    assert "limits.memory_kb is [0, 1], but the architectures of 'digits' have 1.5 to 6.5" in capsys.readouterr().err


def test_proposals_of_another_precision_are_counted_anew() -> None:
    config = load_config("digits", ["target.precision=float32", f"limits.memory_kb=[0, {MOST}]"])
    rng = Random(0)
    archs = [SPACE.sample(rng) for _ in range(300)]
    before = [
        Evaluation(arch, "j", 0.5, macs, params)
        for arch, (macs, params, *_) in zip(archs, TABLE.count(archs).tolist(), strict=True)
    ]
    front = surviving_front(before, TABLE, config, None)
    assert front
    assert TABLE.count(front)[:, 4].max() <= MOST
    with pytest.raises(EvoError, match="give the device's target.precision"):
        before[0].cost("memory_kb")
