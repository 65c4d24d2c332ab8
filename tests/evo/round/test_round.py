"""The main command, from the outside: rounds, repeats, interruptions, workers, and answers to mistakes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import optuna
import pytest

from analysis.frames import load
from evo.round.__main__ import main
from evo.round.survivors import mend
from spaces.costs.table import cost_table
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.records import Evaluation, Proposal

pytestmark = pytest.mark.usefixtures("unpublished")


QUICK = [
    "--set",
    "evaluator.epochs=1",
    "--set",
    "data.max_images=240",
    "--set",
    "search.evaluations=12",
    "--set",
    "search.population=6",
    "--set",
    "ground_truth.sample=0",
]
RESULTS = "SELECT round, number, arch, judge, accuracy, macs, params FROM results ORDER BY run, round, number"


def rows(storage: str) -> list[list[Any]]:
    with open_store(storage) as store:
        return store.frame(RESULTS).values.tolist()


def spaces(storage: str) -> list[list[Any]]:
    with open_store(storage) as store:
        return store.frame("SELECT number, space_json, next_space_json, hypervolume FROM rounds").values.tolist()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three rounds on the digits, quickly."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    assert main(["3", "--storage", storage, "--quiet", *QUICK]) == 0
    return storage


def test_three_rounds_are_told_in_three_lines(finished: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["3", "--storage", finished, *QUICK]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run digits: evidence on digits, judged by oneshot"
    assert lines[1].split() == [
        "round", "space", "proposals", "distinct", "front", "best", "acc", "its", "cost", "hypervolume",
        "kept", "dropped", "added", "compute", "seconds",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines[2:5]] == ["1", "2", "3"]
    further = f"python -m evo.round 4 --storage {finished}"
    assert lines[-1] == f"nothing to do: run digits has finished round 3; next: {further}"


def test_saying_it_twice_changes_nothing(finished: str) -> None:
    before = rows(finished)
    assert main(["2", "--storage", finished, "--run", "digits", "--quiet"]) == 0
    assert rows(finished) == before


def test_the_likelihood_may_be_what_is_maximised(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["1", "--storage", storage, "--quiet", *QUICK, "--set", "search.objective=likelihood"]) == 0
    with open_store(storage) as store:
        run = store.run("digits")
        row = store.rounds(run)[0]
        measured = [proposal.evaluation for proposal in store.proposals(row)]
        study = optuna.load_study(study_name=row.study, storage=storage)
        assert study.metric_names == ["likelihood", "macs"]
        assert [t.values[0] for t in study.trials] == [math.exp(-e.nll) for e in measured if e.nll is not None]
        frames = load(store, run)
        best = [e for e in measured if not any(dominates(other, e) for other in measured)]
        assert set(frames.final["arch"]) == {str(e.arch) for e in best}
        assert frames.rounds[0].hypervolume == pytest.approx(row.hypervolume)


def dominates(one: Evaluation, other: Evaluation) -> bool:
    assert one.nll is not None
    assert other.nll is not None
    better = one.macs < other.macs or one.nll < other.nll
    return better and one.macs <= other.macs and one.nll <= other.nll


def test_every_round_is_in_sql(finished: str) -> None:
    with open_store(finished) as store:
        run = store.run("digits")
        assert run.classes == tuple("0123456789")
        for n, row in enumerate(store.rounds(run), start=1):
            assert (row.number, row.finished) == (n, True)
            assert row.hypervolume is not None
            assert row.hypervolume > 0
            found = store.checkpoint(run, n, "weights")
            assert found is not None
            assert found[0].exists()
        decided = store.frame("SELECT round_id, rule, measured, effect, effect_low, effect_high FROM choices")
        assert decided[decided["round_id"] == 1]["measured"].min() > 0
        assert (decided["effect_low"] <= decided["effect"]).all()
        assert (decided["effect"] <= decided["effect_high"]).all()
        assert set(decided["rule"]) == {
            "rate by probability of being as good as the layer's best operation at equal budgets, in the best of 3 regions "
            "of cost; keep ratings > 0.25; refill nothing"
        }


def test_survivors_of_a_round_start_the_next(finished: str) -> None:
    with open_store(finished) as store:
        first, second, _ = store.rounds(store.run("digits"))
        earlier = store.proposals(first)
        seeds = [p.arch for p in store.proposals(second) if p.origin == "survivor"]
        costs = cost_table(second.space)
    front = [p.arch for p in earlier if not any(better(q, p) for q in earlier)]
    mended = [mend(arch, costs, 0) for arch in front]
    assert set(seeds) <= {*front, *mended}
    assert len(seeds) >= 0.5 * len(front)


def better(q: Proposal, p: Proposal) -> bool:
    """Whether ``q`` dominates ``p``."""
    (qa, qc), (pa, pc) = ((e.accuracy, e.macs) for e in (q.evaluation, p.evaluation))
    return qa >= pa and qc <= pc and (qa, qc) != (pa, pc)


def test_workers_change_nothing(finished: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["2", "--storage", storage, "--workers", "2", "--quiet", *QUICK]) == 0
    assert rows(storage) == [row for row in rows(finished) if row[0] <= 2]


def test_an_interrupted_run_continues_to_the_same_end(
    finished: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Interrupted three times: before anything is recorded, within round 1, and within round 2."""
    storage = f"sqlite:///{tmp_path}/evo.db"
    record, recorded, stops = Store.record, 0, [0, 1, 3]

    def interrupting(self: Store, run: StoredRun, row: StoredRound, generation: Sequence[Proposal]) -> None:
        nonlocal recorded
        if recorded in stops:
            stops.remove(recorded)
            raise KeyboardInterrupt
        recorded += 1
        record(self, run, row, generation)

    monkeypatch.setattr(Store, "record", interrupting)
    for _ in range(3):
        assert main(["2", "--storage", storage, *QUICK]) == 130
        assert "everything measured so far is kept. Continue with: python -m evo.round 2" in capsys.readouterr().err
    assert main(["2", "--storage", storage, "--quiet", *QUICK]) == 0
    assert rows(storage) == [row for row in rows(finished) if row[0] <= 2]
    assert spaces(storage) == spaces(finished)[:2]


def test_the_plan_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["3", "--plan"]) == 0
    shown = capsys.readouterr().out
    assert "519k architectures of 7 layers" in shown
    assert "3 rounds of 96 evaluations, in generations of 10" in shown
    assert "a pool of" not in shown
    assert list(tmp_path.iterdir()) == []


def test_the_plan_says_how_many_rounds_a_pool_of_nse_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", "--config", "nse_digits", "--plan"]) == 0
    shown = capsys.readouterr().out
    assert (
        "a pool of 6 operations per layer needs 3 rounds until every one has been dealt in, if one stays each time"
        in shown
    )
    assert "the paper's code makes 2" in shown


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["1", "--config", "digit"],
            "error: --config 'digit': no such preset or file; presets: autospace_digits, ",
        ),
        (["1", "--set", "space.name=digit"], "error: unknown space 'digit'; known: digits"),
        (
            ["1", "--set", "data.name=images", "--set", "data.path=nowhere"],
            "error: data.path is 'nowhere': no such folder",
        ),
        (
            ["1", "--set", "limits.macs=[0, 10]"],
            "error: limits.macs is [0, 10], but the architectures of 'digits' have",
        ),
        (["1", "--storage", "nonsense"], "error: --storage nonsense: not a database URL"),
        (
            ["1", "--config", "macro", "--set", "evaluator.path=no.csv"],
            "error: evaluator.path is 'no.csv': no such table",
        ),
    ],
)
def test_a_mistake_is_answered_before_anything_runs(
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 1
    assert capsys.readouterr().err.startswith(expected)


def test_other_settings_need_another_name(finished: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["3", "--storage", finished, *QUICK, "--set", "search.evaluations=13"]) == 1
    told = capsys.readouterr().err
    assert "run 'digits' was begun with other settings:\n  search.evaluations was 12 and is now 13" in told
    assert "--run NAME" in told


@pytest.mark.parametrize("arguments", [["0"], ["three"], ["1", "--workers", "0"], ["1", "--seed", "-1"], []])
def test_a_malformed_command_line_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m evo.round" in capsys.readouterr().err


def test_nas_bench_macro_in_three_rounds(data_dir: Path, tmp_path: Path) -> None:
    table = data_dir / "nas" / "nas_bench_macro_cifar10.csv.gz"
    if not table.exists():
        pytest.skip(f"needs {table}")
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["3", "--config", "macro", "--storage", storage, "--quiet", "--set", f"evaluator.path={table}"]) == 0
    found = rows(storage)
    assert len({row[2] for row in found}) >= 300
    volumes = [row[3] for row in spaces(storage)]
    assert all(
        after > before - 1e-12 for before, after in pairwise(volumes)
    )  # what the table said in earlier rounds is not forgotten
    assert max(row[4] for row in found) > 0.92


def test_a_network_whose_first_spelling_was_pruned_is_not_measured_again(data_dir: Path, tmp_path: Path) -> None:
    table = data_dir / "nas" / "nas_bench_macro_cifar10.csv.gz"
    if not table.exists():
        pytest.skip(f"needs {table}")
    storage = f"sqlite:///{tmp_path}/evo.db"
    settings = [f"evaluator.path={table}", "search.evaluations=200", "search.surrogate=false"]
    settings += [
        "evolution.method=pad_nas",
        "evolution.rank=3",
        "evolution.share=0.15",
    ]  # so harsh that twins lose one of their spellings
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["3", "--config", "macro", "--storage", storage, "--quiet", *words]) == 0
    with open_store(storage) as store:
        counted = store.frame("SELECT COUNT(*) AS n FROM evaluations GROUP BY judge, canonical")
    assert set(counted["n"]) == {1}


def test_a_command_without_words_goes_on_with_the_run_that_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also when the preset of its name has changed since it began."""
    storage = f"sqlite:///{tmp_path}/evo.db"
    assert main(["1", "--storage", storage, "--quiet", *QUICK]) == 0
    assert main(["1", "--storage", storage]) == 0
    assert "nothing to do: run digits has finished round 1" in capsys.readouterr().out
