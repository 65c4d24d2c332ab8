"""The truth about a round's scores: which architectures are asked about, that it is remembered, and where it is shown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest

from evo.evaluators import FitContext
from evo.evaluators.guard import GuardedJudge
from evo.evaluators.registry import reference_evaluator
from evo.evaluators.standalone import Scratch
from evo.round.__main__ import main
from evo.round.context import RoundContext, open_round, run_context
from evo.round.ground_truth import check_ranking, sample_by_cost
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import ConfigError, StudyConfig, check_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.records import Evaluation, EvoError, Round
from tests.evo.conftest import made_up

QUICK = [
    word
    for setting in (
        "evaluator.epochs=1", "data.max_images=240", "search.evaluations=8", "search.population=4", "ground_truth.sample=3",
        "ground_truth.epochs=1",
    )
    for word in ("--set", setting)
]  # fmt: skip
TRUTH = "SELECT arch, accuracy FROM evaluations WHERE judge LIKE 'scratch:%' ORDER BY id"


@pytest.fixture
def finished(space: SearchSpace, table: CostTable) -> Round:
    rng = Random(1)
    return Round(1, space, tuple(made_up(table, [space.sample(rng) for _ in range(40)])))


def config(**truth: Any) -> StudyConfig:
    data: dict[str, Any] = {
        "space": {"name": "digits"},
        "data": {"name": "digits", "max_images": 300},
        "evaluator": {"kind": "oneshot"},
        "evolution": {"method": "fixed"},
        "ground_truth": truth,
    }
    return check_config(data, "test")


def test_the_sample_is_spread_evenly_over_cost(finished: Round) -> None:
    chosen = sample_by_cost(finished, 8, seed=0)
    ranks = sorted(e.macs for e in finished.evaluations)
    assert [ranks.index(e.macs) // 5 for e in chosen] == list(range(8))


def test_the_seed_alone_decides(finished: Round) -> None:
    assert sample_by_cost(finished, 8, seed=3) == sample_by_cost(finished, 8, seed=3)
    assert sample_by_cost(finished, 8, seed=3) != sample_by_cost(finished, 8, seed=4)


def test_a_network_counts_once(finished: Round) -> None:
    twice = Round(1, finished.space, finished.evaluations * 2)
    assert sample_by_cost(twice, 1000, seed=0) == sample_by_cost(finished, 1000, seed=0)
    assert len(sample_by_cost(twice, 1000, seed=0)) == len(
        {canonical_arch(e.arch, finished.space) for e in finished.evaluations}
    )
    assert sample_by_cost(Round(1, finished.space, ()), 8, seed=0) == []


def test_nobody_is_asked_when_the_sample_is_empty(space: SearchSpace) -> None:
    assert reference_evaluator(config(), space) is None


def test_a_missing_table_is_told(space: SearchSpace) -> None:
    with pytest.raises(EvoError, match=r"truth\.table\.path is 'no\.csv': no such table"):
        reference_evaluator(config(sample=3, table={"path": "no.csv"}), space)


def test_stand_alone_training_has_no_other_truth() -> None:
    data = config(sample=3).model_dump() | {"evaluator": {"kind": "scratch"}}
    with pytest.raises(ConfigError, match=r"truth\.sample trains architectures alone, as evaluator 'scratch' does"):
        check_config(data, "test")


# -- asked and remembered ---------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        yield store


@pytest.fixture
def run(store: Store, space: SearchSpace) -> StoredRun:
    return store.create_run("run", config(sample=8), space, max_cost=1e6, versions={})


def context_of(store: Store, run: StoredRun, folder: Path, evaluate: Any, workers: int = 1) -> RoundContext:
    return open_round(run_context(run, store, folder, evaluate, workers=workers), 1)


def test_what_was_trained_once_is_never_trained_again(
    store: Store, run: StoredRun, finished: Round, table: CostTable, tmp_path: Path
) -> None:
    asked: list[list[Architecture]] = []

    def evaluate(attempt: GuardedJudge, archs: Sequence[Architecture], seconds: float | None) -> list[Evaluation]:
        asked.append(list(archs))
        return made_up(table, archs, attempt.judge.name)

    context = context_of(store, run, tmp_path, evaluate, workers=3)
    assert isinstance(context.shared.reference, Scratch)
    truth = check_ranking(context, finished)
    assert [len(archs) for archs in asked] == [3, 3, 2]
    assert truth.judge == "scratch:20ep"
    assert truth.accuracy.tau == 1.0
    assert check_ranking(context, finished) == truth
    assert len(asked) == 3


def test_an_interruption_keeps_what_was_trained(
    store: Store, run: StoredRun, finished: Round, table: CostTable, tmp_path: Path
) -> None:
    calls = 0

    def interrupted(attempt: GuardedJudge, archs: Sequence[Architecture], seconds: float | None) -> list[Evaluation]:
        nonlocal calls
        calls += 1
        if calls == 6:
            raise KeyboardInterrupt
        return made_up(table, archs, attempt.judge.name)

    context = context_of(store, run, tmp_path, interrupted)
    with pytest.raises(KeyboardInterrupt):
        check_ranking(context, finished)
    assert len(store.evaluations(run, "scratch:20ep")) == 5
    truth = check_ranking(context, finished)
    assert len(store.evaluations(run, "scratch:20ep")) == 8
    assert [w.one_shot for w in truth.witnesses] == [w.stand_alone for w in truth.witnesses]


# -- in a run ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    assert main(["2", "--storage", storage, "--quiet", *QUICK]) == 0
    return storage


def told(storage: str) -> list[dict[str, Any]]:
    with open_store(storage) as store:
        return [row.stats["truth"] for row in store.rounds(store.run("digits"))]


def test_every_round_tells_its_tau(two_rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["2", "--storage", two_rounds, *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    column = lines[1].split().index("tau") - 2  # "best acc" and "its cost" are two words each
    shown = [line.split()[column] for line in lines[2:4]]
    taus = [truth["accuracy"]["tau"] for truth in told(two_rounds)]
    assert shown == ["-" if tau is None else f"{tau:.2f}" for tau in taus]


def test_the_round_pays_for_it_and_the_note_tells(two_rounds: str) -> None:
    with open_store(two_rounds) as store:
        row = store.rounds(store.run("digits"))[0]
        assert row.stats["seconds"]["truth"] > 0
        study = optuna.load_study(study_name=row.study, storage=store.optuna)
        attrs = store.optuna.get_study_system_attrs(study._study_id)
    assert "- **Truth:** 3 networks were trained alone (scratch:1ep)" in json.dumps(attrs)


def test_workers_and_interruptions_change_nothing(
    two_rounds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    record, left = Store.record_evaluations, 1

    def interrupting(self: Store, run: StoredRun, space: SearchSpace, found: Sequence[Evaluation]) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        record(self, run, space, found)

    monkeypatch.setattr(Store, "record_evaluations", interrupting)
    assert main(["1", "--storage", storage, "--quiet", *QUICK]) == 130
    monkeypatch.undo()
    assert main(["2", "--storage", storage, "--quiet", "--workers", "2", *QUICK]) == 0
    assert told(storage) == told(two_rounds)
    with open_store(storage) as mine, open_store(two_rounds) as theirs:
        assert mine.frame(TRUTH).values.tolist() == theirs.frame(TRUTH).values.tolist()


def test_a_table_answers_where_there_is_one(space: SearchSpace, table: CostTable, tmp_path: Path) -> None:
    rows = [f"{e.arch},{e.accuracy}" for e in made_up(table, list(_all_of(space, 300)))]
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["arch,accuracy", *rows]))
    teller = reference_evaluator(config(sample=8, table={"path": str(path), "separator": "|"}), space)
    assert teller is not None
    judge = teller.fit(space, FitContext(1, 0, table, tmp_path))
    asked = [Architecture.parse(row.split(",")[0]) for row in rows[:5]]
    assert [e.accuracy for e in judge(asked)] == pytest.approx([e.accuracy for e in made_up(table, asked)])
    assert judge.name == "table:mine"


def _all_of(space: SearchSpace, count: int) -> Iterator[Architecture]:
    rng = Random(2)
    yield from {space.sample(rng) for _ in range(count)}
