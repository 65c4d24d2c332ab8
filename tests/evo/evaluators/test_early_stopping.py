"""Early stopping: what is confidently dominated at its cost stops at its rung, and nothing else changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest

from analysis.frames import load as load_frames
from analysis.sentences import describe_early_stopping
from evo.evaluators import FitContext
from evo.evaluators.early_stopping import confidently_dominated, epochs_saved, train_in_rungs
from evo.evaluators.standalone import Scratch, ScratchJudge
from evo.round.__main__ import main
from evo.workers.executors import map_inline
from spaces.architecture import Architecture
from spaces.costs.table import CostTable
from spaces.space import SearchSpace, canonical_arch
from studies.config import DataSection, ScratchSection
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.records import Evaluation, Proposal
from tests.chaos.stage import listed

pytestmark = pytest.mark.usefixtures("unpublished")

TINY = DataSection(name="digits", max_images=200, validation_fraction=0.5)
TRAINING = ScratchSection(kind="scratch", epochs=4.0, batch_size=32)

# -- the margin -------------------------------------------------------------------------------------------------------


def test_only_what_is_clearly_worse_than_cheaper_ones_and_far_from_the_front_is_stopped() -> None:
    """At 100 images, 2 standard errors of a difference around 0.8 are 0.11."""
    points = {
        (10, 0.50): False,  # the cheapest
        (20, 0.80): False,
        (30, 0.75): False,  # behind one only: rank 2
        (40, 0.70): False,  # rank 3, and 0.10 worse: that may be noise
        (50, 0.60): True,
        (60, 0.90): False,
        (60, 0.60): True,  # as expensive as the best
        (15, 0.40): False,  # rank 2, though clearly worse
    }
    cost, accuracy = zip(*points, strict=True)
    assert confidently_dominated(cost, accuracy, images=100).tolist() == list(points.values())
    assert confidently_dominated(cost, accuracy, images=1000).tolist() == [
        *list(points.values())[:3],
        True,
        *[*points.values()][4:],
    ]


def test_dearer_ones_stop_nobody_and_equals_are_equals() -> None:
    assert not confidently_dominated([1, 2, 3, 4], [0.1, 0.5, 0.8, 0.9], images=10_000).any()
    assert not confidently_dominated([5, 5, 5], [0.7, 0.7, 0.7], images=10_000).any()


# -- a generation -----------------------------------------------------------------------------------------------------


@pytest.fixture
def archs(space: SearchSpace, table: CostTable) -> list[Architecture]:
    """Six architectures, cheapest first."""
    rng = Random(0)
    found = [space.sample(rng) for _ in range(6)]
    return sorted(found, key=lambda arch: table.count([arch])[0, 0])


@pytest.fixture
def judge(space: SearchSpace, table: CostTable, tmp_path: Path) -> ScratchJudge:
    judge = Scratch(TRAINING, TINY, "cpu", 0, rungs=(0.25, 0.5)).fit(space, FitContext(1, 7, table, tmp_path))
    assert isinstance(judge, ScratchJudge)
    return judge


Curves = Callable[[Architecture, int], float]


def by(curves: Curves, asked: list[tuple[int, int]]) -> Callable[..., list[Evaluation]]:
    """An executor that looks accuracies up in made-up learning curves, and notes (epochs, architectures)."""

    def evaluate(judge: ScratchJudge, archs: Sequence[Architecture]) -> list[Evaluation]:
        assert judge.until is not None
        asked.append((judge.until, len(archs)))
        costs = judge.table.count(archs)[:, 0].tolist()
        return [
            Evaluation(arch, judge.name, curves(arch, judge.until), macs, macs, seconds=1.0)
            for arch, macs in zip(archs, costs, strict=True)
        ]

    return evaluate


def test_what_waits_at_rungs_of_other_generations_stays(judge: ScratchJudge, archs: list[Architecture]) -> None:
    """Several generations may be in training."""
    assert judge.folder is not None
    judge.folder.mkdir(parents=True)
    paths = {arch: [judge._progress_path(arch, epochs) for epochs in (1, 2)] for arch in archs}
    for path in [path for own in paths.values() for path in own]:
        path.touch()
    judge.discard_progress(archs[:4])
    assert set(judge.folder.iterdir()) == {path for arch in archs[4:] for path in paths[arch]}
    judge.discard_progress(archs[4:])
    assert not judge.folder.exists()


def test_a_hopeless_network_stops_at_its_rung(judge: ScratchJudge, archs: list[Architecture]) -> None:
    asked: list[tuple[int, int]] = []
    final = dict(zip(archs, (0.70, 0.65, 0.85, 0.50, 0.86, 0.88), strict=True))
    found = train_in_rungs(judge, archs, by(lambda arch, epochs: final[arch] * epochs / 4, asked), [], ("macs",))
    assert judge.rungs == (1, 2)
    assert asked == [(1, 6), (2, 6), (4, 5)]  # after one epoch, 0.125 against 0.2125 may be noise on 100 images
    assert [e.arch for e in found] == archs
    assert [e.pruned for e in found] == [False, False, False, True, False, False]
    assert found[3].rungs == ((1, 0.125), (2, 0.25))
    assert (found[3].accuracy, found[3].seconds) == (0.25, 2.0)
    assert found[2].rungs == ((1, pytest.approx(0.2125)), (2, pytest.approx(0.425)))
    assert (found[2].accuracy, found[2].seconds) == (0.85, 3.0)
    assert epochs_saved(judge, found) == 2


def test_earlier_generations_count_at_the_same_rung_only(judge: ScratchJudge, archs: list[Architecture]) -> None:
    def flat(arch: Architecture, epochs: int) -> float:
        return 0.5

    whole = Evaluation(archs[0], judge.name, 0.95, 1.0, 1.0)
    assert not any(e.pruned for e in train_in_rungs(judge, archs[1:], by(flat, []), [whole], ("macs",)))
    good = [replace(whole, rungs=((2, accuracy),), macs=cost) for accuracy, cost in ((0.9, 1.0), (0.8, 2.0))]
    found = train_in_rungs(judge, archs[1:], by(flat, []), good, ("macs",))
    assert [e.rungs[-1] for e in found if e.pruned] == [(2, 0.5)] * 5


def test_a_first_generation_leaves_at_least_two_parents(judge: ScratchJudge, archs: list[Architecture]) -> None:
    order = {arch: i for i, arch in enumerate(archs)}
    found = train_in_rungs(judge, archs, by(lambda arch, epochs: 1 - 0.15 * order[arch], []), [], ("macs",))
    assert [e.pruned for e in found] == [False, False, True, True, True, True]


def test_what_fails_at_a_rung_goes_no_further_and_stops_nobody(judge: ScratchJudge, archs: list[Architecture]) -> None:
    asked: list[tuple[int, int]] = []
    rising = by(lambda arch, epochs: 0.5, asked)

    def ask(judge: ScratchJudge, archs: Sequence[Architecture]) -> list[Evaluation]:
        return [
            replace(e, accuracy=math.nan, failed="the loss is nan") if e.arch == culprit and judge.until == 2 else e
            for e in rising(judge, archs)
        ]

    culprit = archs[0]  # the cheapest
    found = train_in_rungs(judge, archs, ask, [], ("macs",))  # type: ignore[arg-type]
    assert asked == [(1, 6), (2, 6), (4, 5)]
    assert [e.state for e in found] == ["failed", *["complete"] * 5]
    assert (found[0].rungs, found[0].failed) == (((1, 0.5),), "the loss is nan")


def test_nobody_to_measure(judge: ScratchJudge) -> None:
    assert train_in_rungs(judge, [], map_inline, [], ("macs",)) == []


# -- real training ----------------------------------------------------------------------------------------------------


def same(found: Sequence[Evaluation]) -> list[tuple[Any, ...]]:
    """All that may not differ: everything but time."""
    return [(e.arch, e.accuracy, e.nll, e.rungs, e.pruned) for e in found]


def test_pausing_changes_no_bit(judge: ScratchJudge, archs: list[Architecture]) -> None:
    found = train_in_rungs(judge, archs[:3], map_inline, [], ("macs",))
    whole = judge(archs[:3])
    assert [(e.accuracy, e.nll) for e in found if not e.pruned] == [
        (w.accuracy, w.nll) for e, w in zip(found, whole, strict=True) if not e.pruned
    ]
    assert judge.folder is not None
    assert not judge.folder.exists()


def test_training_that_was_interrupted_behind_a_rung_answers_at_it_as_before(
    judge: ScratchJudge, archs: list[Architecture]
) -> None:
    first = replace(judge, until=1)(archs[:2])
    second = replace(judge, until=2)(archs[:2])
    assert same(replace(judge, until=1)(archs[:2])) == same(first)
    assert same(replace(judge, until=2)(archs[:2])) == same(second)
    other = replace(judge, until=2, training=replace_rate(0.01))(archs[:2])  # another run's weights are not taken
    assert same(other) != same(second)


def replace_rate(rate: float) -> ScratchSection:
    return TRAINING.model_copy(update={"learning_rate": rate})


# -- a run ------------------------------------------------------------------------------------------------------------

WORK = ["--config", "digits", "--quiet", "--set", "evaluator={kind='scratch', epochs=3, rungs=[0.34], batch_size=16}"]
for setting in (
    "data.max_images=280",
    "data.validation_fraction=0.5",
    "search.evaluations=12",
    "search.population=6",
    "ground_truth.sample=0",
):
    WORK += ["--set", setting]
STATE = (
    "SELECT number, generation, origin, is_new, proposals.arch, judge, accuracy, nll, macs, state, rungs_json "
    "FROM proposals JOIN evaluations ON evaluations.id = evaluation_id WHERE round_id = 1 ORDER BY number",
    "SELECT next_space_json, hypervolume FROM rounds WHERE number = 1",
    "SELECT layer, op, rating, share, fate FROM choices WHERE round_id = 1 ORDER BY id",
)


def first_round(storage: str) -> list[list[list[object]]]:
    with open_store(storage) as store:
        return [listed(store.frame(query)) for query in STATE]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two rounds on the digits, in rungs."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    assert main(["2", "--storage", storage, *WORK]) == 0
    return storage


def test_what_was_stopped_is_remembered_and_used_for_nothing(finished: str) -> None:
    with open_store(finished) as store:
        run = store.run("digits")
        frames = load_frames(store, run)
        rows = store.rounds(run)
        proposals = [p for row in rows for p in store.proposals(row)]
        view = store.frame("SELECT * FROM results")
    stopped = {canonical_arch(p.arch, run.space) for p in proposals if p.evaluation.pruned}
    measured = [canonical_arch(p.arch, run.space) for p in proposals if p.is_new]
    assert stopped
    assert len(set(measured)) == len(measured) == 24  # stopped ones were charged, and not proposed again
    assert len(view) == len(proposals) - len(stopped)
    assert frames.results["accuracy"].isna().sum() == len(stopped)
    assert sum(row.pruned for row in frames.rounds) == len(stopped)
    saved = sum(row.stats["epochs_saved"] for row in rows)
    assert saved == sum(3 - p.evaluation.rungs[-1][0] for p in proposals if p.evaluation.pruned) == 2 * len(stopped)
    assert describe_early_stopping(frames)[0].endswith(f"{saved} epochs saved.")
    assert not {str(p.arch) for p in proposals if p.evaluation.pruned} & set(frames.fronts["arch"])
    assert all(p.origin != "survivor" for p in proposals if p.evaluation.pruned)


def test_optuna_sees_pruned_trials_with_their_rung(finished: str) -> None:
    with open_store(finished) as store:
        expected = [p.evaluation for row in store.rounds(store.run("digits")) for p in store.proposals(row)]
    studies = (optuna.load_study(study_name=f"digits/round-0{n}", storage=finished) for n in (1, 2))
    trials = [trial for study in studies for trial in study.trials]
    assert {t.state.name for t in trials} == {"COMPLETE", "PRUNED"}
    for trial, evaluation in zip(trials, expected, strict=True):
        assert trial.state.name == ("PRUNED" if evaluation.pruned else "COMPLETE")
        assert trial.values == (None if evaluation.pruned else [evaluation.accuracy, evaluation.macs])
        assert trial.intermediate_values == {1: evaluation.rungs[0][1]}
        assert ("NSGAIISampler:generation" in trial.system_attrs) != evaluation.pruned


def test_workers_change_nothing(finished: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["1", "--storage", storage, "--workers", "2", *WORK]) == 0
    assert first_round(storage) == first_round(finished)


def test_an_interrupted_run_ends_like_an_uninterrupted_one(
    finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in a training behind the first rung, and between two generations."""
    storage = f"sqlite:///{tmp_path}/evo.db"
    measure, left = ScratchJudge._measure, 8

    def interrupting(self: ScratchJudge, arch: Architecture) -> Evaluation:
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return measure(self, arch)

    monkeypatch.setattr(ScratchJudge, "_measure", interrupting)
    assert main(["1", "--storage", storage, *WORK]) == 130
    monkeypatch.undo()
    assert list((tmp_path / "evo_files" / "digits" / "rungs").glob("*-0003.progress"))
    record = Store.record

    def once(self: Store, run: StoredRun, row: StoredRound, generation: Sequence[Proposal]) -> None:
        record(self, run, row, generation)
        raise KeyboardInterrupt

    monkeypatch.setattr(Store, "record", once)
    assert main(["1", "--storage", storage, *WORK]) == 130
    monkeypatch.undo()
    assert main(["1", "--storage", storage, *WORK]) == 0
    assert first_round(storage) == first_round(finished)


def test_rounds_may_train_longer_on_more_images_and_measure_less(tmp_path: Path) -> None:
    """Cheap rounds first: what a round measured holds in the next only where both train alike."""
    storage = f"sqlite:///{tmp_path}/evo.db"
    words = ["--config", "digits", "--quiet", "--set", "evaluator={kind='scratch', epochs=[1, 2, 2], batch_size=32}"]
    words += [
        "--set",
        "evaluator.images=[40, 1000, 1000]",
        "--set",
        "data.max_images=120",
        "--set",
        "search.evaluations=[4, 3, 2]",
        "--set",
        "search.population=4",
    ]
    words += ["--set", "evolution.method=fixed", "--set", "ground_truth={}", "--storage", storage]
    assert main(["3", *words]) == 0
    with open_store(storage) as store:
        rows = store.rounds(store.run("digits"))
        proposals = [store.proposals(row) for row in rows]
    assert [row.judge for row in rows] == ["scratch:1ep:40images", "scratch:2ep:1000images", "scratch:2ep:1000images"]
    assert [sum(p.is_new for p in part) for part in proposals] == [4, 3, 2]
    known = [{p.arch for p in part if not p.is_new} for part in proposals]
    assert not known[1]  # one epoch says nothing of two
    assert known[2] <= {p.arch for p in proposals[1]}
    assert known[2]
    macs = [sum(p.evaluation.macs for p in part if p.is_new) for part in proposals]
    assert rows[0].stats["macs"] == {"training": 3 * 1 * 32 * macs[0], "scoring": 42 * macs[0], "truth": 0}
    assert rows[1].stats["macs"] == {"training": 3 * 2 * 64 * macs[1], "scoring": 42 * macs[1], "truth": 0}
