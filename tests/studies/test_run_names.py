"""Names of runs: what can be one, and where the files of those lie that earlier versions took."""

from __future__ import annotations

import os
import shlex
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from evo.deliver import __main__ as deliver
from evo.round import __main__ as round_main
from evo.round.dashboard import publish
from studies import dashboard
from studies.database.store import Store, open_store
from studies.database.urls import artifacts_folder, files_folder
from studies.records import EvoError
from studies.run_names import check_name, file_stem, run_folder
from studies.runs import __main__ as runs
from tests import example_run

GOOD = ("digits", "digits-wide_2", "my run", "Größe (2)", "名前", "a.b", "run,1", "it's", "50%", "x" * 200, "e=1+2")
BAD = (
    "", " ", ".", "..", "../x", "/tmp/x", "a/b", "a\\b", "..\\x", "C:\\x", "a:b", "a*", "a?", 'a"b', "<b>", "a|b", "a\nb",
    "a\0b", "a\x1b[31mb", "a\u202eb", "a\udcffb", " a", "a ", ".a", "a.", "-a", "--help", "x" * 201, "ß" * 101, "con",
    "NUL.txt", "artifacts",
)  # fmt: skip


@pytest.mark.parametrize("name", GOOD)
def test_a_name_is_a_folder(name: str) -> None:
    check_name(name)
    assert file_stem(name) == name
    assert run_folder(Path("evo_files"), name) == Path("evo_files") / name


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_name_is_refused_and_cannot_leave_its_folder(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        EvoError, match="a run cannot be called .* expected a run's name of 1 to 200 bytes: letters, digits,"
    ):
        check_name(name)
    check_name(file_stem(name))
    files = tmp_path / "evo_files"
    folder = run_folder(files, name)
    assert folder.parent == files
    folder.mkdir(parents=True)
    assert run_folder(files, name) == folder


def test_two_such_names_have_two_folders() -> None:
    folders = {run_folder(Path("evo_files"), name) for name in BAD if name}
    assert len(folders) == len(BAD) - 1


def test_a_run_of_an_earlier_version_keeps_its_folder_inside(tmp_path: Path) -> None:
    for name in ("a/b", "a:b", " a"):
        (tmp_path / name).mkdir(parents=True)
        assert run_folder(tmp_path, name) == tmp_path / name
    (tmp_path.parent / "outside").mkdir(exist_ok=True)
    assert run_folder(tmp_path, "../outside").parent == tmp_path
    assert run_folder(tmp_path, str(tmp_path.parent / "outside")).parent == tmp_path


@pytest.mark.parametrize("name", ["../x", "a:b", "-x"])
def test_a_run_is_refused_before_anything_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert round_main.main(["1", f"--run={name}"]) == 1
    assert f"error: a run cannot be called {name!r}" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["here"]
    assert not {*os.listdir(folder)} - {"evo.db", "evo.db-wal", "evo.db-shm", "evo.db.lock"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/evo.db") as store:
        example_run.two_rounds(store, "plain")
        yield store


@pytest.mark.parametrize("name", ["a/b", "../x", "a\nb"])
def test_a_run_of_an_earlier_version_is_listed_renamed_and_deleted(
    name: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    example_run.rename_as_earlier(store, "plain", name)
    assert runs.main(["--storage", store.url, "--json"]) == 0
    assert runs.main(["show", name, "--storage", store.url]) == 0
    assert runs.main(["rename", name, "..", "--storage", store.url]) == 1
    assert runs.main(["rename", name, "good", "--storage", store.url]) == 0
    example_run.rename_as_earlier(store, "good", name)
    assert runs.main(["delete", name, "--yes", "--storage", store.url]) == 0
    assert store.runs() == []
    assert "Traceback" not in capsys.readouterr().err


def test_drawings_of_a_run_with_a_slash_are_found(store: Store, tmp_path: Path) -> None:
    """Those of today lie where all do; those of earlier versions beside the folder of the run."""
    example_run.rename_as_earlier(store, "plain", "a/b")
    files = files_folder(store.url)
    places = (artifacts_folder(files), artifacts_folder(files / "a"))
    for n, place in zip((1, 2), places, strict=True):
        publish(store, store.run("a/b"), n, place)
    assert all(place.is_dir() for place in places)
    server = dashboard.open_server(store.url, "127.0.0.1", 0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        for study in store.optuna.get_all_studies():
            drawn = [key.split(":")[2:] for key in study.system_attrs if key.startswith("dashboard:artifacts:")]
            trial, drawing = drawn[0]
            page = f"http://127.0.0.1:{server.server_port}/artifacts/{study._study_id}/{trial}/{drawing}"
            with urllib.request.urlopen(page) as answer:
                assert b"<svg" in answer.read()
    finally:
        server.shutdown()
        server.server_close()


def test_next_commands_name_the_run_as_a_shell_wants_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    example_run.begin(store, "it's mine")
    assert deliver.main(["it's mine", "--storage", store.url]) == 1
    further = shlex.join(["python", "-m", "evo.round", "1", "--run", "it's mine", "--storage", store.url])
    assert f"run: {further}\n" in capsys.readouterr().err
