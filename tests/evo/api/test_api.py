"""``evo.search`` and its like: the same results as the commands, objects without connections, and how they show themselves."""

from __future__ import annotations

import ast
import json
import pickle
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

import evo
from evo.round.__main__ import main
from spaces.space import Head, Layer, SearchSpace, Shape, Stem
from studies.config import StudyConfig
from studies.database.rows import StoredRound, StoredRun
from studies.database.store import Store, open_store
from studies.records import Proposal
from tests import example_run
from tests.html import Checked

pytestmark = pytest.mark.usefixtures("unpublished")


ROOT = Path(__file__).resolve().parents[3]
OPS = ("mb_k3_e1", "mb_k5_e1", "mb_k3_e3", "mb_k5_e3")
SPACE = SearchSpace("made", (Layer(Shape(8, 8, 1, 8), OPS),) * 4, Stem(8, stride=1, c_in=1, size=8), Head(0, 10))
DIGITS = {
    "data.max_images": 240,
    "evaluator.epochs": 1,
    "search.evaluations": 8,
    "search.population": 4,
    "ground_truth.sample": 0,
}
EVERYTHING = """
SELECT runs.name, rounds.number AS round, rounds.space_json, rounds.next_space_json, rounds.hypervolume,
       proposals.number, proposals.generation, proposals.origin, proposals.is_new, proposals.arch,
       evaluations.judge, evaluations.accuracy, evaluations.nll, evaluations.macs, evaluations.params
FROM runs
JOIN rounds ON rounds.run_id = runs.id
JOIN proposals ON proposals.round_id = rounds.id
JOIN evaluations ON evaluations.id = proposals.evaluation_id
ORDER BY runs.name, rounds.number, proposals.number
"""


def recorded(storage: str) -> pd.DataFrame:
    """All that does not depend on the clock."""
    with open_store(storage) as store:
        return store.frame(EVERYTHING)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings with a made-up table: accuracy rises with kernels and expansions."""
    folder = tmp_path_factory.mktemp("settings")
    worth = dict(zip(OPS, (0.0, 0.03, 0.1, 0.16), strict=True))
    lines = [f"{'|'.join(arch)},{0.2 + sum(map(worth.__getitem__, arch)):.4f}" for arch in product(OPS, repeat=4)]
    (folder / "table.csv").write_text("\n".join(["arch,accuracy", *lines]))
    (folder / "space.json").write_text(SPACE.to_json())
    return {
        "space": {"name": "made", "path": str(folder / "space.json")},
        "evaluator": {"kind": "tabular", "path": str(folder / "table.csv"), "separator": "|"},
        "search": {"evaluations": 16, "population": 8, "surrogate": False},
        "evolution": {"method": "pad_nas", "rank": 2, "share": 0.2},
    }


@pytest.fixture(scope="module")
def run(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> evo.Run:
    """Two rounds, and a control arm."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('run')}/evo.db"
    return evo.search(settings, rounds=2, run="made", storage=storage, control="fixed", progress=False)


# -- names ------------------------------------------------------------------------------------------------------------


def test_importing_evo_imports_nothing_heavy() -> None:
    code = "import sys, evo; print(sorted({'torch', 'optuna', 'pandas', 'numpy', 'pydantic'} & sys.modules.keys()))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"


def test_every_public_name_is_there_and_known_to_type_checkers() -> None:
    tree = ast.parse((ROOT / "evo" / "__init__.py").read_text())
    typed = next(node for node in tree.body if isinstance(node, ast.If))
    imported = {
        name.asname or name.name for node in ast.walk(typed) if isinstance(node, ast.ImportFrom) for name in node.names
    }
    assert imported == set(evo.__all__)
    assert {name for name in evo.__all__ if getattr(evo, name, None) is not None} == imported
    assert imported <= set(dir(evo))


def test_no_module_hides_a_public_name() -> None:
    assert [name for name in evo.__all__ if find_spec(f"evo.{name}")] == []


# -- the same as the commands -----------------------------------------------------------------------------------------


def test_a_search_has_the_results_of_the_command_bit_for_bit(tmp_path: Path) -> None:
    theirs, ours = f"sqlite:///{tmp_path}/theirs.db", f"sqlite:///{tmp_path}/ours.db"
    overrides = [part for key, value in DIGITS.items() for part in ("--set", f"{key}={value}")]
    assert main(["1", "--storage", theirs, "--quiet", "--seed", "3", *overrides]) == 0
    threads = torch.get_num_threads()
    found = evo.search("digits", rounds=1, storage=ours, seed=3, set=DIGITS, progress=False)
    assert (found.name, torch.get_num_threads()) == ("digits-seed3", threads)
    pd.testing.assert_frame_equal(recorded(ours), recorded(theirs), check_exact=True)


def test_a_file_a_mapping_and_checked_settings_mean_the_same(
    settings: dict[str, Any], run: evo.Run, tmp_path: Path
) -> None:
    file = tmp_path / "made.toml"
    tables = {
        section: "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        for section, keys in settings.items()
    }
    file.write_text("\n".join(f"[{section}]\n{keys}" for section, keys in tables.items()))
    for config in (file, str(file), StudyConfig.model_validate(settings)):
        again = evo.search(config, rounds=2, run="made", storage=run.storage, progress=False)
        assert again == run
    assert evo.search(run="made", rounds=1, storage=run.storage, progress=False) == run
    assert len(recorded(run.storage)) == len(run.results()) + len(evo.load("made-fixed", run.storage).results())


def test_an_interrupted_search_keeps_what_it_measured_and_goes_on(
    settings: dict[str, Any], run: evo.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, record, left = f"sqlite:///{tmp_path}/evo.db", Store.record, 1

    def interrupting(self: Store, begun: StoredRun, row: StoredRound, generation: Sequence[Proposal]) -> None:
        nonlocal left
        if left == 0:
            raise KeyboardInterrupt
        left -= 1
        record(self, begun, row, generation)

    monkeypatch.setattr(Store, "record", interrupting)
    with pytest.raises(KeyboardInterrupt):
        evo.search(settings, rounds=2, run="made", storage=storage, progress=False)
    unfinished = evo.load("made", storage)
    assert len(unfinished.results()) == 8
    assert unfinished.rounds()["state"].tolist() == ["running"]
    assert "round 1 is unfinished" in unfinished._repr_html_()
    monkeypatch.undo()
    evo.search(settings, rounds=2, run="made", storage=storage, progress=False)
    whole = recorded(run.storage).query("name == 'made'")
    pd.testing.assert_frame_equal(recorded(storage), whole.reset_index(drop=True), check_exact=True)


def test_the_report_is_the_command_s(run: evo.Run, tmp_path: Path) -> None:
    from analysis.report import main as report

    assert report(["made", "--storage", run.storage, "--out", str(tmp_path / "theirs.html")]) == 0
    page = run.report(tmp_path / "ours.html")
    assert page.path == tmp_path / "ours.html"
    assert page.path.read_bytes() == (tmp_path / "theirs.html").read_bytes()
    assert run.report() == evo.Page(page.html)


def test_progress_is_lines_and_none_where_it_is_not_wanted(
    settings: dict[str, Any], run: evo.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    evo.search(settings, rounds=2, run="made", storage=run.storage, progress=False)
    assert capsys.readouterr() == ("", "")
    evo.search(settings, rounds=2, run="made", storage=run.storage)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "run made: pad_nas on made, judged by tabular"
    assert [line.split()[0] for line in lines[1:]] == ["round", "1", "2"]


def test_the_plan_says_what_the_command_says(settings: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["3", "--plan"]) == 0
    assert capsys.readouterr().out == f"{evo.plan('digits', rounds=3)}\n"
    plan = evo.plan(settings, rounds=3, run="made", set={"search.evaluations": 5})
    assert (plan.space, plan.config.search.evaluations) == (SPACE, 5)
    assert "3 rounds of 5 evaluations" in str(plan)


# -- a run ------------------------------------------------------------------------------------------------------------


def test_results_have_the_columns_of_the_view_and_its_values(run: evo.Run) -> None:
    with open_store(run.storage) as store:
        view = store.frame("SELECT * FROM results WHERE run = 'made' ORDER BY round, number")
    mine = run.results()[list(view.columns)]
    pd.testing.assert_frame_equal(mine, view.astype(mine.dtypes), check_exact=True)


def test_rounds_have_the_columns_of_the_view_and_its_values(run: evo.Run) -> None:
    with open_store(run.storage) as store:
        view = store.frame("SELECT * FROM round_stats WHERE run = 'made' ORDER BY round")
    pd.testing.assert_frame_equal(run.rounds()[list(view.columns)], view, check_exact=True)


def test_the_front_is_what_nothing_dominates(run: evo.Run) -> None:
    results, front = run.results(), run.front()
    macs, accuracy = results["macs"], results["accuracy"]
    best = {
        row.arch
        for row in results.itertuples()
        if not ((macs <= row.macs) & (accuracy >= row.accuracy) & ((macs < row.macs) | (accuracy > row.accuracy))).any()
    }
    assert set(front["arch"]) == best
    assert front["macs"].is_monotonic_increasing
    assert set(run.front(round=1)["round"]) == {1}


def test_rounds_choices_and_spaces_tell_one_story(run: evo.Run) -> None:
    rounds, choices = run.rounds(), run.choices()
    assert rounds["state"].tolist() == ["finished", "finished"]
    for n in (1, 2):
        dropped = choices[(choices["round"] == n) & (choices["fate"] == "dropped")]
        assert len(dropped) == rounds["dropped"][n - 1]
        assert sum(len(layer.candidates) for layer in run.space(n + 1).layers) == sum(
            len(layer.candidates) for layer in run.space(n).layers
        ) - len(dropped)
    assert run.space() == run.space(3)
    with pytest.raises(evo.EvoError, match="no space of round 4: expected a round from 1 to 3"):
        run.space(4)


def test_figures_have_names(run: evo.Run) -> None:
    assert run.plot("fronts").layout.title.text == "Pareto front of each round"
    with pytest.raises(evo.EvoError, match="no figure 'pareto'; there are: fronts, hypervolume-evaluations"):
        run.plot("pareto")


def test_the_verdict_is_on_the_control_arm(run: evo.Run) -> None:
    verdict = run.verdict()
    assert verdict.differences()[["control", "what", "seeds"]].values.tolist() == [["fixed", "hypervolume", 1]]
    assert "Against a control arm whose space never changed, over 1 seed" in str(verdict)
    assert "Nothing can be concluded" in verdict._repr_html_()


def test_a_run_without_a_control_arm_says_how_to_get_one(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    with open_store(storage) as store:
        example_run.two_rounds(store)
    verdict = evo.load("tiny", storage).verdict()
    searching, evolving = verdict.answers.paragraphs()
    assert "--run tiny --control uniform --control random-networks --seeds 5" in searching
    assert "--run tiny --control fixed --seeds 5" in evolving
    assert verdict.differences().empty


def test_runs_are_compared(run: evo.Run) -> None:
    compared = evo.compare([run, "made-fixed"], storage=run.storage)
    table = compared.table()
    assert table["run"].tolist() == ["made", "made-fixed"]
    volumes = [column for column in table if column.startswith("hypervolume_at_")]
    assert table[volumes].notna().all(axis=None)
    assert set(compared.fronts()["run"]) == {"made", "made-fixed"}
    assert "control" in compared.settings()["setting"].tolist()
    with pytest.raises(evo.EvoError, match="expected two runs or more"):
        evo.compare([run])


def test_a_run_is_a_name_and_an_address(run: evo.Run) -> None:
    copied = pickle.loads(pickle.dumps(run))
    assert copied == run
    assert copied.front().equals(run.front())
    assert (
        repr(evo.Run("made", "postgresql://ann:secret@host/runs"))
        == "Run('made', storage='postgresql://ann:***@host/runs')"
    )


def test_a_run_that_has_measured_nothing_has_empty_frames(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    with open_store(storage) as store:
        example_run.begin(store)
    begun = evo.load("tiny", storage)
    for frame in (begun.results(), begun.front(), begun.front(round=1), begun.rounds(), begun.choices()):
        assert frame.empty
        assert frame.columns[0] == "run"
    assert begun.space() == begun.space(1) == example_run.FIRST
    assert "0 rounds finished" in begun._repr_html_()
    with pytest.raises(evo.EvoError, match="has measured nothing yet"):
        begun.report()


@pytest.mark.usefixtures("unexported")
def test_a_network_is_delivered_as_the_command_does_it(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    with open_store(storage) as store:
        example_run.two_rounds(store)
    quick = {"deliver.epochs": 1, "data.max_images": 120}
    small = evo.load("tiny", storage).deliver(tmp_path / "small", max_macs="20", set=quick, progress=False)
    assert small.arch == example_run.CHEAP
    assert small.interval[0] <= small.accuracy <= small.interval[1]
    assert small.network()(torch.rand(2, 1, 8, 8)).shape == (2, len(small.classes))
    for fresh in (False, True):  # it begins with fresh weights anyway
        again = evo.load("tiny", storage)
        assert small == again.deliver(tmp_path / "small", max_macs=20, set=quick, from_scratch=fresh, progress=False)
    assert small.description == json.loads((tmp_path / "small" / "architecture.json").read_text())


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "rounds is 0: expected a whole number from 1"),
        ({"rounds": 1, "workers": 0}, "workers is 0"),
        ({"rounds": 1, "seed": -1}, "seed is -1"),
        ({"rounds": 1, "control": "none"}, "control is 'none': expected one or more of fixed, random"),
        ({"rounds": 1, "cluster": "dask"}, "cluster is 'dask': expected the address of a Dask scheduler"),
        ({"rounds": 1, "cluster": "local:2", "workers": 2}, "leave one of them out"),
        ({"rounds": 1, "config": "digit"}, "no such preset or file; presets: .*digits"),
        ({"rounds": 1, "config": {"space": {"name": "digits"}}}, "config: key 'evaluator' is missing"),
        ({"rounds": 1, "set": {"search.trial": 3}}, "unknown key 'search.trial'"),
        ({"rounds": 1, "set": {"search.evaluations": None}}, "setting 'search.evaluations': expected a text, a number"),
        ({"rounds": 1, "set": "search.evaluations=3"}, "expected a mapping or a list"),
        ({"rounds": 1, "set": {"space.name": "digit"}}, "unknown space 'digit'"),
        ({"rounds": 1, "plugins": "mine.py"}, "plugin 'mine.py': no such file"),
    ],
)
def test_a_mistake_is_answered_and_nothing_is_written(arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(evo.UserError, match=message):
        evo.search(**arguments, storage=f"sqlite:///{tmp_path}/evo.db", progress=False)
    assert not (tmp_path / "evo_files").exists()


def test_settings_without_a_name_need_one(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(evo.EvoError, match="give the run one, run='NAME'"):
        evo.search(settings, rounds=1, storage=f"sqlite:///{tmp_path}/evo.db")


def test_what_is_not_there_is_answered(run: evo.Run, tmp_path: Path) -> None:
    with pytest.raises(evo.EvoError, match="no run 'mode' in this database; runs: made, made-fixed"):
        evo.load("mode", run.storage)
    with pytest.raises(evo.EvoError, match="no database"):
        evo.runs(f"sqlite:///{tmp_path}/none.db")
    assert evo.runs(run.storage)["name"].tolist() == ["made", "made-fixed"]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"max_macs": "many"}, "max_macs is 'many': expected a positive number"),
        ({"max_params": -1}, "max_params is -1"),
        ({"arch": example_run.CHEAP, "knee": True}, "arch names the network"),
        ({"max_macs": 1}, "no network of the front has at most 1 macs"),
        ({"set": {"search.evaluations": 3}}, "was searched with its own settings"),
    ],
)
def test_a_network_that_cannot_be_is_answered(wish: dict[str, Any], message: str, tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    with open_store(storage) as store:
        example_run.two_rounds(store)
    with pytest.raises(evo.UserError, match=message):
        evo.load("tiny", storage).deliver(tmp_path / "out", **wish, progress=False)
    assert not (tmp_path / "out").exists()


def test_torchrun_belongs_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(evo.EvoError, match=r"torchrun \.\.\. -m evo.round"):
        evo.search("digits", rounds=1)


def test_a_script_that_its_workers_would_run_again_is_answered_at_once(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import evo\nevo.search('digits', rounds=1, workers=2)\n")
    done = subprocess.run([sys.executable, script], cwd=tmp_path, env=_environment(), capture_output=True, text=True)
    assert done.stderr.count("Traceback") == 1
    assert 'write what it does below a line `if __name__ == "__main__":`' in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["script.py"]


def _environment() -> dict[str, str]:
    import os

    return os.environ | {"PYTHONPATH": str(ROOT)}


# -- in a notebook ----------------------------------------------------------------------------------------------------


def test_a_run_shows_its_rounds_and_its_front(run: evo.Run) -> None:
    shown = Checked(run._repr_html_()).text
    assert "run made: pad_nas on made, judged by tabular; seed 0" in shown
    assert "2 rounds finished; 256 architectures of 4 layers" in shown
    assert run.front().sort_values("accuracy")["arch"].iloc[-1] in shown
    assert "run.deliver()" in shown


def test_what_users_name_is_escaped(settings: dict[str, Any], tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    evo.search(settings, rounds=1, run="plain", storage=storage, progress=False)
    with open_store(storage) as store:
        example_run.rename_as_earlier(store, "plain", "<b>&")
    found = evo.load("<b>&", storage)
    assert Checked(found._repr_html_()).text.count("<b>&") == 1
    assert Checked(found.verdict()._repr_html_()).text.startswith("Verdict on run <b>&")


def test_plan_page_verdict_and_comparison_show_themselves(settings: dict[str, Any], run: evo.Run) -> None:
    assert "mb_k3_e1 mb_k5_e1 mb_k3_e3 mb_k5_e3" in Checked(evo.plan(settings, rounds=2, run="made")._repr_html_()).text
    assert "conclusion" in Checked(run.verdict()._repr_html_()).text
    assert "made-fixed" in Checked(evo.compare([run, "made-fixed"], run.storage)._repr_html_()).text
    Checked(run.report()._repr_html_())
