"""A round's note and figures, in Optuna's tables and in optuna-dashboard itself."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from evo.round.dashboard import escape_markdown, publish
from studies import dashboard
from studies.database.store import Store, open_store
from studies.database.urls import artifacts_folder, files_folder
from tests import example_run
from tests.browser import browser
from tests.example_run import RULE


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('run') / 'evo.db'}") as store:
        run = example_run.begin(store)
        for n in (1, 2):
            example_run.finish(store, example_run.search(store, run, n))
            publish(store, run, n, artifacts_folder(files_folder(store.url)))
        yield store


def attrs(store: Store, n: int) -> dict[str, Any]:
    study = optuna.load_study(study_name=f"tiny/round-{n:02d}", storage=store.optuna)
    return store.optuna.get_study_system_attrs(study._study_id)


def note(store: Store, n: int) -> str:
    return "".join(value for key, value in sorted(attrs(store, n).items()) if "note_str" in key)


def figure(store: Store, n: int, name: str) -> dict[str, Any]:
    pieces = {key: value for key, value in attrs(store, n).items() if key.startswith(f"dashboard:plot_data:{name}:")}
    return json.loads("".join(pieces[key] for key in sorted(pieces, key=lambda key: int(key.rsplit(":", 1)[1]))))


def test_the_note_tells_what_was_dropped_and_why(store: Store) -> None:
    said = note(store, 1)
    assert said.startswith("## Round 1\n")
    assert "| dropped | stage1.layer1 | `mb_k7_e3` |" in said
    assert "| added | stage1.layer1 | `id` |" in said
    assert f"**Rule:** {RULE}" in said


def test_the_note_compares_with_the_round_before(store: Store) -> None:
    assert "**Hypervolume:** 0.6300\n" in note(store, 1)
    assert "**Hypervolume:** 0.7350 (round 1: 0.6300, +0.1050). Each round was scored by its own judge" in note(
        store, 2
    )


def test_what_a_file_calls_its_layers_does_not_leave_its_cell() -> None:
    assert escape_markdown("stage1.layer2") == "stage1.layer2"
    assert escape_markdown("a` | <img src=x onerror=alert(1)>\n# b") == "a     img src=x onerror=alert(1)  # b"


def test_figures_reach_over_all_rounds_so_far(store: Store) -> None:
    names = [
        [trace["name"] for trace in figure(store, n, "fronts")["data"] if trace["mode"] == "lines+markers"]
        for n in (1, 2)
    ]
    assert names == [["round 1"], ["round 1", "round 2"]]
    assert figure(store, 2, "operations")["data"][0]["type"] == "heatmap"
    assert len(figure(store, 2, "hypervolume")["data"]) == 4


def test_saying_it_twice_changes_nothing(store: Store) -> None:
    before = attrs(store, 2)
    publish(store, store.run("tiny"), 2, artifacts_folder(files_folder(store.url)))
    assert attrs(store, 2) == before


def test_the_front_is_drawn_and_nothing_else(store: Store) -> None:
    drawn = [key for key in attrs(store, 1) if key.startswith("dashboard:artifacts:")]
    assert [int(key.split(":")[2]) for key in drawn] == [1, 3]  # Optuna's ids of the trials 0 and 2
    files = list(artifacts_folder(files_folder(store.url)).iterdir())
    assert len(files) == 2 + 3 - 1  # trial 0 of both rounds is one drawing
    assert all(path.stat().st_size < 4000 for path in files)


def test_what_is_published_is_small_and_quick(store: Store) -> None:
    assert len(json.dumps(attrs(store, 2))) < 20_000
    started = time.process_time()
    publish(store, store.run("tiny"), 2, artifacts_folder(files_folder(store.url)))
    assert time.process_time() - started < 1


def test_the_dashboard_shows_note_and_figures(store: Store, tmp_path: Path) -> None:
    with dashboard.open_server(store.url, "127.0.0.1", 0) as serving, browser(tmp_path / "profile", 1400) as tab:
        threading.Thread(target=serving.serve_forever, daemon=True).start()
        study = f"http://127.0.0.1:{serving.server_port}/dashboard/studies/2"
        tab.open(study)
        for name in ("fronts", "hypervolume", "operations"):
            tab.wait(f"document.querySelector('[id=\"user-defined-plot:{name}\"] .main-svg')")
        assert "Pareto front of each round" in tab.run("return document.body.textContent")
        tab.open(f"{study}/trials?numbers=1")  # on the front, and so drawn
        drawing = "document.querySelector('img[src*=artifacts]')"
        assert tab.wait(f"{drawing} && {drawing}.naturalWidth") > 0
        tab.open(f"{study}/note")
        tab.wait("document.body.textContent.includes('Round 2')")
        assert "keep ratings > 0.01" in tab.run("return document.body.textContent")
        serving.shutdown()


def test_a_taken_port_is_answered_with_what_to_do(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with dashboard.open_server(store.url, "127.0.0.1", 0) as serving:
        assert dashboard.main([store.url, "--port", str(serving.server_port)]) == 1
    assert "give another port: --port" in capsys.readouterr().err


def test_a_missing_database_is_an_error_of_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dashboard.main(["--storage", f"sqlite:///{tmp_path / 'none.db'}"]) == 1
    assert "no database" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
