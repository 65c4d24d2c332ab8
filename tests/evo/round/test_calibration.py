"""Networks are trained alone before the search, and their truth corrects its scores: once, whatever interrupts it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest

from analysis.frames import load
from analysis.ranking import Witness
from analysis.ranking.calibration import Calibration, calibrate
from analysis.sentences import summary
from evo.evaluators import Judge
from evo.evaluators.calibrated import CalibratedJudge
from evo.round.__main__ import main
from evo.round.printing import remarks
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import ConfigError, load_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.records import Evaluation
from tests.evo.conftest import made_up

QUICK = [
    word
    for setting in (
        "evaluator.epochs=1", "data.max_images=120", "search.evaluations=4", "search.population=4", "ground_truth.sample=6",
        "ground_truth.epochs=1", "ground_truth.use=calibrate", "search.surrogate=false", "evolution={method='fixed'}",
    )
    for word in ("--set", setting)
]  # fmt: skip
MEASURED = "SELECT judge, arch, accuracy, raw_accuracy, nll FROM evaluations ORDER BY id"


@pytest.fixture(scope="module")
def two_rounds(tmp_path_factory: pytest.TempPathFactory) -> str:
    storage = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    assert main(["2", "--storage", storage, "--quiet", *QUICK]) == 0
    return storage


def stats(storage: str) -> list[dict[str, Any]]:
    with open_store(storage) as store:
        return [dict(row.stats) for row in store.rounds(store.run("digits"))]


def measured(storage: str) -> list[list[Any]]:
    with open_store(storage) as store:
        return list(store.frame(MEASURED).astype(object).where(lambda frame: frame.notna(), None).values.tolist())


def test_the_search_maximises_the_estimate_and_the_raw_score_is_kept(two_rounds: str) -> None:
    raw = {(judge, arch): accuracy for judge, arch, accuracy, _, _ in measured(two_rounds) if "+truth:" not in judge}
    estimated = [row for row in measured(two_rounds) if "+truth:" in row[0]]
    assert len(estimated) == 8
    for judge, arch, accuracy, raw_accuracy, _ in estimated:
        assert 0 < accuracy < 1
        assert raw.get((judge.partition("+")[0], arch), raw_accuracy) == raw_accuracy


def test_each_round_learns_from_all_that_was_trained_alone(two_rounds: str) -> None:
    first, second = (Calibration.from_dict(found["calibration"]) for found in stats(two_rounds))
    alone = [arch for judge, arch, *_ in measured(two_rounds) if judge.startswith("scratch:")]
    assert len(alone) == len(set(alone)) == 12
    assert [w.arch for w in first.witnesses] == alone[:6]
    assert [w.arch for w in second.witnesses][-6:] == alone[6:]
    assert {w.arch for w in second.witnesses} <= set(alone)
    with open_store(two_rounds) as store:
        here = store.rounds(store.run("digits"))[1].space
    again = [arch for arch in alone[:6] if Architecture.parse(arch) in here]
    assert [w.arch for w in second.witnesses][:-6] == again


def test_tau_is_that_of_estimates_made_without_the_network(two_rounds: str) -> None:
    """Pairs of what calibrated are compared without both, and so cannot flatter; nothing is trained for tau alone."""
    for found in stats(two_rounds):
        calibration = Calibration.from_dict(found["calibration"])
        assert found["truth"]["left_out"] is True
        assert [w["one_shot"] for w in found["truth"]["witnesses"]] == list(calibration.left_out)
        own = [w.one_shot for w in calibration.witnesses]
        assert [w["one_shot"] for w in found["truth"]["witnesses"]] != own


def test_workers_and_interruptions_change_nothing(
    two_rounds: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    record, left = Store.record_evaluations, 3

    def interrupting(self: Store, run: StoredRun, space: SearchSpace, found: Sequence[Evaluation]) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        record(self, run, space, found)

    monkeypatch.setattr(Store, "record_evaluations", interrupting)
    assert main(["1", "--storage", storage, "--quiet", *QUICK]) == 130
    monkeypatch.undo()
    assert len(measured(storage)) == 3
    assert main(["2", "--storage", storage, "--quiet", "--workers", "2", *QUICK]) == 0
    assert measured(storage) == measured(two_rounds)

    (lost,) = tmp_path.rglob("round-02.supernet*.safetensors")
    lost.unlink()  # it is made again, and calibrated by what is recorded: the same judge, else this is an error
    assert main(["3", "--storage", storage, "--quiet", *QUICK]) == 0
    assert lost.exists()
    assert measured(storage)[: len(measured(two_rounds))] == measured(two_rounds)


def test_the_run_says_what_it_maximised(two_rounds: str, capsys: pytest.CaptureFixture[str]) -> None:
    sentence = Calibration.from_dict(stats(two_rounds)[-1]["calibration"]).sentence()
    with open_store(two_rounds) as store:
        run = store.run("digits")
        assert f"round 2: {sentence}" in remarks(store.rounds(run))
        assert f"In round 2, {sentence}." in summary(load(store, run))
    assert main(["3", "--storage", two_rounds, "--plan", *QUICK, "--run", "other"]) == 0
    assert "the search maximises an estimate that is learned from them" in capsys.readouterr().out


# -- the judge --------------------------------------------------------------------------------------------------------


class MadeUpJudge(Judge):
    """Scores that are always the same."""

    name = "made-up"

    def __init__(self, space: SearchSpace, table: CostTable) -> None:
        self.space, self.table = space, table

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        return made_up(self.table, archs)


def sample(space: SearchSpace, table: CostTable, shift: float = 0.0) -> Calibration:
    scored = made_up(table, list({canonical_arch(space.sample(Random(seed)), space) for seed in range(9)}))
    witnesses = [Witness(str(e.arch), e.macs, e.accuracy, None, e.accuracy / 2 + shift) for e in scored]
    found = calibrate("scratch:1ep", witnesses)
    assert found is not None
    return found


def test_the_name_holds_the_sample(space: SearchSpace, table: CostTable) -> None:
    """An answer is recorded under the judge's name: another sample gives other answers, and so another name."""
    inside = MadeUpJudge(space, table)
    one, same = (CalibratedJudge(inside, sample(space, table)) for _ in range(2))
    other = CalibratedJudge(inside, sample(space, table, shift=0.01))
    assert one.name == same.name != other.name
    assert one.name.startswith("made-up+truth:")
    stored = Calibration.from_dict(json.loads(json.dumps(one.stats([])["calibration"])))
    assert CalibratedJudge(inside, stored).name == one.name


def test_answers_depend_on_the_architecture_alone(space: SearchSpace, table: CostTable) -> None:
    judge = CalibratedJudge(MadeUpJudge(space, table), sample(space, table))
    archs = [space.sample(Random(seed)) for seed in range(6)]
    together = judge(archs)
    assert [judge([arch])[0] for arch in archs] == together
    assert pickle.loads(pickle.dumps(judge.calibration)).estimate == judge.calibration.estimate
    assert {e.judge for e in together} == {judge.name}
    assert [e.raw_accuracy for e in together] == [e.accuracy for e in made_up(table, archs)]


# -- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (["evaluator={kind='tabular', path='table.csv'}"], "'tabular' are no estimates by shared weights"),
        (["ground_truth.sample=5"], "ground_truth.sample is 5: 6 networks are the least"),
        (["search.objective=likelihood"], "search.objective is 'likelihood': the estimate weighs"),
    ],
)  # fmt: skip
def test_what_cannot_be_calibrated_is_refused(settings: list[str], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        load_config("digits", ["ground_truth.use=calibrate", *settings])


def test_no_sample_is_no_calibration() -> None:
    assert not load_config("digits", ["ground_truth.use=calibrate", "ground_truth.sample=0"]).ground_truth.calibrates
    assert load_config("digits", ["evaluator={kind='blockwise'}", "ground_truth.use=calibrate"]).measured == "accuracy"
