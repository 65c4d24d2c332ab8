"""Whatever becomes of Optuna's studies, a run goes on and ends with the results that it would have had."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

from evo.round import dashboard
from evo.round.__main__ import main
from studies.database import optuna_tables
from studies.database.store import Store, open_store

DATABASES = Path(__file__).parents[2] / "studies" / "database" / "databases"
RUN = ["1", "--config", "made.toml", "--run", "mine", "--quiet", "--set", "search.population=3"]
STUDY = "mine/round-01"
TABLES = {
    "proposals": "SELECT round_id, number, generation, origin, is_new, arch, evaluation_id FROM proposals ORDER BY id",
    "evaluations": "SELECT canonical, arch, judge, accuracy, macs, state FROM evaluations ORDER BY id",
    "rounds": "SELECT number, state, space_json, next_space_json, hypervolume, front_size FROM rounds ORDER BY id",
    "choices": "SELECT round_id, layer, op, share, fate FROM choices ORDER BY id",
}

Interference = Callable[[Store, str], object]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder, with the table that the run asks; figures are not what is looked at."""
    monkeypatch.setattr(dashboard, "write_figures", lambda study, figures: None)
    monkeypatch.setattr(dashboard, "dashboard_figures", lambda frames, n: {})
    monkeypatch.chdir(tmp_path)
    for name in ("table.csv", "made.toml"):
        shutil.copy(DATABASES / name, tmp_path)


def results() -> dict[str, list[Any]]:
    """What our own tables say."""
    with open_store("sqlite:///evo.db", read_only=True) as store:
        return {name: store.frame(query).values.tolist() for name, query in TABLES.items()}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Any]]:
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("undisturbed")
        patch.chdir(path)
        for name in ("table.csv", "made.toml"):
            shutil.copy(DATABASES / name, path)
        assert main(RUN) == 0
        return results()


def study(store: Store, name: str) -> optuna.Study:
    return optuna.load_study(study_name=name, storage=store.optuna)


def delete(store: Store, name: str) -> None:
    optuna.delete_study(study_name=name, storage=store.optuna)


def rename(store: Store, name: str) -> None:
    with store.writing() as connection:
        optuna_tables.rename_study(connection, name, f"{name} of yesterday", {})


def replace_by_another(store: Store, name: str) -> None:
    delete(store, name)
    optuna.create_study(study_name=name, storage=store.optuna).add_trial(create_trial(value=1.0))


def ask(store: Store, name: str) -> None:
    study(store, name).ask({"width": FloatDistribution(0, 1)})


def enqueue(store: Store, name: str) -> None:
    study(store, name).enqueue_trial({"cell0": "b"})


def add(store: Store, name: str) -> None:
    """One that leads by far, a copy of one of ours, and one with attributes like ours and other values."""
    layers = study(store, name).trials[0].distributions
    best = {layer: distribution.choices[0] for layer, distribution in layers.items()}  # type: ignore[attr-defined]
    study(store, name).add_trials(
        [
            create_trial(
                values=[1.0, 0.0], params=best, distributions=layers, system_attrs={"NSGAIISampler:generation": 0}
            ),
            study(store, name).trials[0],
            create_trial(state=TrialState.FAIL, user_attrs={"proposal": [1], "arch": 7}),
        ]
    )


def damage(statement: str) -> Interference:
    """What somebody does with the shell of SQLite, which knows of no tables that belong together."""

    def execute(store: Store, name: str) -> None:
        with closing(sqlite3.connect("evo.db")) as connection, connection:
            connection.execute(statement)

    return execute


delete_last_trial = damage("DELETE FROM trials WHERE trial_id = (SELECT max(trial_id) FROM trials)")


def nothing(store: Store, name: str) -> None:
    pass


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Runs until so many generations are recorded, as if Ctrl-C had been pressed then."""

    def run_until(generations: int) -> None:
        record, calls = Store.record, iter(range(1, 100))

        def counted(*args: Any) -> None:
            record(*args)
            if next(calls) == generations:
                raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(Store, "record", counted)
            assert main(RUN) == 130

    return run_until


@pytest.mark.parametrize(
    ("interfere", "said", "others", "known"),
    [
        (delete, "it was not there, and is made again", 0, True),
        (rename, "it was not there, and is made again", 0, True),
        (replace_by_another, "it was not there, and is made again", 0, True),
        (ask, "trials in it that are not the run's are left alone and not used: 1", 1, True),
        (enqueue, "trials in it that are not the run's are left alone and not used: 1", 1, True),
        (add, "trials in it that are not the run's are left alone and not used: 3", 3, True),
        (add, "trials in it that are not the run's are left alone and not used: 3", 3, False),
        (delete_last_trial, "it lacked trials of the run, which are written again: 1", 0, True),
        (delete_last_trial, "it lacked trials of the run, which are written again: 1", 0, False),
    ],
)
def test_a_run_goes_on_whatever_has_become_of_its_study(
    undisturbed: dict[str, list[Any]],
    interrupted: Callable[[int], None],
    interfere: Interference,
    said: str,
    others: int,
    known: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(optuna_tables, "layout_is_known", lambda engine: known)
    interrupted(2)
    with open_store("sqlite:///evo.db") as store:
        interfere(store, STUDY)
    capfd.readouterr()
    assert main(RUN) == 0
    told = capfd.readouterr().err.splitlines()
    assert said in told[0]
    assert len(told) == 1  # at the beginning, and not again at the end
    assert results() == undisturbed
    with open_store("sqlite:///evo.db") as store:
        for row in store.rounds(store.run("mine")):
            mirrored = study(store, row.study).trials
            ours = {trial.user_attrs["proposal"]: trial for trial in reversed(mirrored) if is_ours(trial)}
            proposals = store.proposals(row)
            assert [str(p.arch) for p in proposals] == [ours[p.number].user_attrs["arch"] for p in proposals]
            assert len(mirrored) == len(proposals) + (others if row.number == 1 else 0)
            assert [trial.number for trial in mirrored] == [*range(len(mirrored))]
            assert store.optuna.get_study_system_attrs(study(store, row.study)._study_id)  # published


def is_ours(trial: optuna.trial.FrozenTrial) -> bool:
    return isinstance(trial.user_attrs.get("proposal"), int)


@pytest.mark.parametrize(
    ("statement", "said", "name"),
    [
        ("DELETE FROM studies", f"{STUDY}: it was not there, and is made again", STUDY),
        ("UPDATE trial_user_attributes SET value_json = 'nope'", f"{STUDY} cannot be read, and is", f"{STUDY} (2)"),
        ("UPDATE trial_values SET value = NULL", f"{STUDY} cannot be read, and is", f"{STUDY} (2)"),
        ("UPDATE trials SET number = NULL", f"{STUDY} cannot be read, and is", f"{STUDY} (2)"),
        ("UPDATE trials SET state = 'x'", f"{STUDY} cannot be read, and is", f"{STUDY} (2)"),
        ("UPDATE study_user_attributes SET value_json = ''", f"{STUDY} cannot be read, and is", f"{STUDY} (2)"),
    ],
)
def test_rows_that_were_edited_stop_no_run(
    undisturbed: dict[str, list[Any]],
    interrupted: Callable[[int], None],
    statement: str,
    said: str,
    name: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    interrupted(2)
    with open_store("sqlite:///evo.db") as store:
        damage(statement)(store, STUDY)
    capfd.readouterr()
    assert main(RUN) == 0
    (told,) = capfd.readouterr().err.splitlines()
    assert said in told
    assert results() == undisturbed
    with open_store("sqlite:///evo.db") as store:
        (row,) = store.rounds(store.run("mine"))
        assert row.study == name
        assert len(study(store, name).trials) == len(store.proposals(row))


@pytest.mark.parametrize("interfere", [delete, delete_last_trial, replace_by_another, add])
def test_the_same_between_any_two_generations(
    undisturbed: dict[str, list[Any]],
    interfere: Interference,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    record = Store.record

    def disturbed(store: Store, run: Any, row: Any, generation: Any) -> None:
        record(store, run, row, generation)
        interfere(store, store.rounds(run)[-1].study)

    monkeypatch.setattr(Store, "record", disturbed)
    assert main(RUN) == 0
    assert results() == undisturbed
    lines = {delete: 4, delete_last_trial: 1, replace_by_another: 4, add: 1}
    assert len(capfd.readouterr().err.splitlines()) == lines[interfere]


def test_an_undisturbed_run_says_nothing_of_its_mirror(
    interrupted: Callable[[int], None], undisturbed: dict[str, list[Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted(1)
    capfd.readouterr()
    assert main(RUN) == 0
    assert capfd.readouterr().err == ""
    assert results() == undisturbed


def test_the_mirror_of_an_earlier_version_is_known_by_its_numbers(
    interrupted: Callable[[int], None], capfd: pytest.CaptureFixture[str]
) -> None:
    interrupted(2)
    engine = sa.create_engine("sqlite:///evo.db")
    with engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM trial_user_attributes WHERE key = 'proposal'"))
    engine.dispose()
    capfd.readouterr()
    assert main(RUN) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"]])
def test_somebody_elses_study_may_have_the_name_already(
    undisturbed: dict[str, list[Any]], directions: list[str]
) -> None:
    other: Any = {f"layer{n}": CategoricalDistribution(("conv",)) for n in range(3)}
    theirs = optuna.create_study(study_name=STUDY, storage="sqlite:///evo.db", directions=directions)
    theirs.add_trial(
        create_trial(values=[1.0] * len(directions), params=dict.fromkeys(other, "conv"), distributions=other)
    )
    before = theirs.trials[0]
    assert main(RUN) == 0
    assert theirs.trials[0] == before
    assert results() == undisturbed
    with open_store("sqlite:///evo.db") as store:
        (row,) = store.rounds(store.run("mine"))
        assert row.study == (STUDY if len(directions) == 2 else f"{STUDY} (2)")
        assert len(study(store, row.study).trials) == len(store.proposals(row)) + (len(directions) == 2)
