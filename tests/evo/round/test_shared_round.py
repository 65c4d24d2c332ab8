"""A control arm's first round is taken over from its run, and all that follows has the same bits as without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import evo
from evo.evaluators.oneshot.evaluator import OneShot
from evo.evaluators.standalone import ScratchJudge
from evo.round.shared_round import copy_files, find_twin
from studies.database.store import open_store

pytestmark = pytest.mark.usefixtures("unpublished")

SETTINGS: dict[str, Any] = {
    "space": {"name": "digits"},
    "data": {"name": "digits", "max_images": 60},
    "evaluator": {"kind": "oneshot", "epochs": 1},
    "search": {"evaluations": 6, "population": 3, "surrogate": False},
    "ground_truth": {"sample": 2, "epochs": 1},
    "evolution": {"method": "pad_nas", "rank": 2, "share": 0.3},
}


def searched(folder: Path, control: str | tuple[str, ...] = "fixed") -> str:
    storage = f"sqlite:///{folder}/evo.db"
    evo.search(SETTINGS, rounds=2, run="made", storage=storage, control=control, progress=False)
    return storage


def told(storage: str, name: str) -> list[Any]:
    """All that a run has found, less what took how long."""
    with open_store(storage) as store:
        run = store.run(name)
        rows = store.rounds(run)
        proposals = [
            (
                p.number,
                p.generation,
                p.origin,
                str(p.arch),
                p.is_new,
                p.evaluation.judge,
                p.evaluation.accuracy,
                p.evaluation.nll,
            )
            for row in rows
            for p in store.proposals(row)
        ]
        stats = [{k: v for k, v in row.stats.items() if k not in ("seconds", "shared_with", "macs")} for row in rows]
        weights = [store.checkpoint(run, n, "weights") for n in (1, 2)]
        fates = store.frame(
            "SELECT number, layer_index, op, rating, share, fate, measured, effect FROM choices JOIN rounds "
            "ON rounds.id = round_id WHERE run_id = :run ORDER BY choices.id", run=run.id
        )  # fmt: skip
    return [
        proposals,
        stats,
        [w and w[1] for w in weights],
        [row.hypervolume for row in rows],
        fates.values.tolist(),
    ]


def test_the_first_round_is_taken_over_and_the_arm_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[tuple[str, int]] = []
    train, measure = OneShot._train, ScratchJudge._measure

    def training(self: OneShot, space: Any, context: Any, weights: Path) -> None:
        trained.append((context.folder.name, context.n))
        train(self, space, context, weights)

    def measuring(self: ScratchJudge, arch: Any) -> Any:
        trained.append(("alone", 0))
        return measure(self, arch)

    monkeypatch.setattr(OneShot, "_train", training)
    monkeypatch.setattr(ScratchJudge, "_measure", measuring)
    shared = searched(tmp_path)
    assert [place for place in trained if place[0] != "alone"] == [("made", 1), ("made", 2), ("made-fixed", 2)]

    trained.clear()
    (tmp_path / "again").mkdir()
    again = f"sqlite:///{tmp_path}/again/evo.db"  # where no run is beside the arm
    evo.search(SETTINGS | {"control": True}, rounds=2, run="made-fixed", storage=again, progress=False)
    assert ("made-fixed", 1) in trained
    assert trained.count(("alone", 0)) >= 2
    assert told(shared, "made-fixed") == told(again, "made-fixed")

    with open_store(shared) as store:
        first, other = (store.rounds(store.run(name))[0] for name in ("made", "made-fixed"))
    assert other.stats["shared_with"] == "made"
    with open_store(again) as store:
        alone = store.rounds(store.run("made-fixed"))[0].stats["macs"]
    assert {**alone, "truth": 0} == {
        **other.stats["macs"],
        "truth": 0,
    }  # what its run has trained alone is found, and free
    for what in ("fitting", "truth"):  # what it took when it was computed
        assert 0 <= other.stats["seconds"][what] - first.stats["seconds"][what] < 5


def test_an_arm_that_searches_otherwise_takes_over_nothing(tmp_path: Path) -> None:
    settings = SETTINGS | {"search": {"evaluations": 4, "population": 4, "surrogate": False}, "ground_truth": {}}
    storage = f"sqlite:///{tmp_path}/evo.db"
    evo.search(settings, rounds=1, run="made", storage=storage, control="random", progress=False)
    with open_store(storage) as store:
        assert "shared_with" not in store.rounds(store.run("made-random"))[0].stats


def test_files_of_later_rounds_and_unfinished_ones_are_left(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.mkdir()
    names = ("round-01.supernet-v1-ab.safetensors", "round-02.supernet-v1-cd.safetensors", "block-1.v1-ef.safetensors")
    for name in (*names, "round-01.supernet-v1-ab.progress"):
        (source / name).write_text(name)
    copy_files(source, target)
    copy_files(source, target)
    assert sorted(path.name for path in target.iterdir()) == [names[2], names[0]]
    assert {path.read_text() for path in target.iterdir()} == {names[0], names[2]}


def test_what_is_damaged_or_unfinished_is_not_taken_over(tmp_path: Path) -> None:
    settings = SETTINGS | {"search": {"evaluations": 4, "population": 4, "surrogate": False}, "ground_truth": {}}
    storage = f"sqlite:///{tmp_path}/evo.db"
    evo.search(settings, rounds=1, run="made", storage=storage, progress=False)
    with open_store(storage) as store:
        run = store.run("made")
        config = run.config.model_copy(update={"control": True})
        arm = store.create_run("arm", config, run.space, run.max_cost, {"evo": run.version}, run.data_sha256)
        context: Any = type("Shared", (), {"run": arm, "store": store})
        assert find_twin(context) == (run, store.rounds(run)[0])
        weights = store.checkpoint(run, 1, "weights")
        assert weights is not None
        weights[0].write_bytes(b"damaged")
        assert find_twin(context) is None
