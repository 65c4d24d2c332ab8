"""Tables as people bring them: some architectures only, accuracies in per cent, costs that nobody has."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from evo.round.__main__ import main
from studies.database.store import open_store

pytestmark = pytest.mark.usefixtures("unpublished")


CONFIG = """
[space]
name = "table"
[evaluator]
kind = "tabular"
path = "{path}"
macs_column = "macs"
[search]
evaluations = 12
population = 4
[evolution]
method = "fixed"
"""
KEYS = ["".join(genes) for genes in product("012", repeat=4)]
MEASURED = KEYS[::4]
"""21 of 81; every digit occurs at every place."""


def write(folder: Path, keys: list[str], scale: float = 1, macs: float | str = 10) -> list[str]:
    costs = {key: 5 if isinstance(macs, str) else macs * (1 + int(key, 3)) for key in keys}
    rows = [f"{key},{scale * (0.5 + sum(map(int, key)) / 20)},{costs[key]}" for key in keys]
    (folder / "table.csv").write_text("\n".join(["arch,accuracy,macs", *rows]))
    (folder / "t.toml").write_text(CONFIG.format(path=folder / "table.csv"))
    return ["--config", str(folder / "t.toml"), "--storage", f"sqlite:///{folder}/evo.db"]


def evaluated(
    folder: Path, query: str = "SELECT arch, accuracy, state FROM evaluations ORDER BY id"
) -> list[list[Any]]:
    with open_store(f"sqlite:///{folder}/evo.db") as store:
        return store.frame(query).values.tolist()


def test_a_table_that_lacks_architectures_is_searched_in_what_it_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = write(tmp_path, MEASURED)
    assert main(["1", *options, "--set", "search.evaluations=30"]) == 0
    found = evaluated(tmp_path)
    assert {arch.replace("|", "") for arch, _, _ in found} == set(MEASURED)  # the budget is enough for all of them
    assert {state for _, _, state in found} == {"complete"}
    assert max(accuracy for _, accuracy, _ in found) == 0.5 + max(sum(map(int, key)) for key in MEASURED) / 20
    assert "the space was exhausted before the budget was" in capsys.readouterr().out


@pytest.mark.parametrize("sampler", ["nsga2", "random"])
def test_an_architecture_that_nobody_asks_for_changes_nothing(tmp_path: Path, sampler: str) -> None:
    """Whether the table is whole or not, the same is proposed."""
    asked: list[list[str]] = []
    spare = ""
    for name in ("whole", "less"):
        folder = tmp_path / name
        folder.mkdir()
        keys = [key for key in KEYS if key != spare]
        assert main(["1", *write(folder, keys), "--quiet", "--set", f"search.sampler={sampler}"]) == 0
        asked.append([arch.replace("|", "") for arch, _, _ in evaluated(folder)])
        spare = next(key for key in KEYS if key not in asked[0])
    assert asked[0] == asked[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 100}, "line 2: accuracy is 50, expected an accuracy from 0 to 1: are these per cent? Set"),
        ({"macs": 0}, "search.cost is 'macs', and it is 0 for every architecture of 'table': column 'macs' of the table holds"),
        ({"macs": "same"}, "search.cost is 'macs', and it is 5 for every architecture of 'table': column 'macs' of the tab"),
        ({"set": "evaluator.macs_column=accuracy"}, "evaluator.accuracy_column and evaluator.macs_column are both 'accuracy'"),
        ({"set": "evaluator.params_column=' macs'"}, "evaluator.macs_column and evaluator.params_column are both ' macs'"),
        ({"set": "search.cost=params"}, "search.cost is 'params', and it is 0 for every architecture of 'table': the table"),
        ({"set": "limits.params=[0, 5]"}, "limits.params is given, and it is 0 for every architecture"),
        ({"set": "limits.macs=[20, 45]"}, "none of the 21 architectures of 'table' in the table lies inside the limits"),
    ],
)  # fmt: skip
def test_what_a_table_cannot_give_is_told_before_the_run_begins(
    given: dict[str, Any], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    setting = ["--set", given.pop("set")] if "set" in given else []
    assert main(["1", *write(tmp_path, MEASURED, **given), *setting]) == 1
    assert message in capsys.readouterr().err
    assert evaluated(tmp_path, "SELECT name FROM runs") == []


def test_a_table_of_another_space_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = write(tmp_path, MEASURED)
    assert main(["1", *options, "--set", "space.name=digits", "--set", "evaluator.separator='|'"]) == 1
    said = capsys.readouterr().err
    assert "has no row for any architecture of 'digits': expected 'arch' to hold such as 'mb_k" in said
    assert "found '0000'; see tokens and separator" in said


def test_a_score_that_min_accuracy_hides_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = write(tmp_path, MEASURED)
    assert main(["1", *options, "--set", "search.min_accuracy=0.95"]) == 0
    assert (
        "hypervolume is 0: it counts above search.min_accuracy = 0.95, and the best score is 0.9"
        in capsys.readouterr().out
    )


def test_a_file_for_a_cluster_that_is_not_there_is_told_before_the_run_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["1", *write(tmp_path, MEASURED), "--cluster", str(tmp_path / "slurm.toml")]) == 1
    assert "slurm.toml': no such file; expected the address of a Dask scheduler" in capsys.readouterr().err
    assert not (tmp_path / "evo.db").exists()


def test_a_plugin_that_is_not_there_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1", *write(tmp_path, MEASURED), "--plugin", "nowhere"]) == 1
    assert "install its package in this environment, or give a file, whose name ends in .py" in capsys.readouterr().err


def test_a_table_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    options = write(tmp_path, MEASURED)
    assert main(["1", *options, "--run", "before"]) == 0
    table = tmp_path / "table.csv"
    lines = [line.split(",") for line in table.read_text().splitlines()[1:]]
    table.write_text("\n".join(["arch,accuracy,macs", *(f"{arch},0.25,{int(macs) + 5}" for arch, _, macs in lines)]))
    assert main(["1", *options, "--run", "after"]) == 0
    query = "SELECT DISTINCT e.accuracy FROM results e WHERE run = 'after'"
    assert evaluated(tmp_path, query) == [[0.25]]
    assert evaluated(tmp_path, "SELECT min(macs) FROM results WHERE run = 'after'") == [[15]]


def test_a_relative_path_names_the_table_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from evo.evaluators.tabular import table_space
    from studies.config import TabularSection

    for name, keys in (("some", KEYS[:9]), ("all", KEYS)):
        (tmp_path / name).mkdir()
        write(tmp_path / name, keys)
        monkeypatch.chdir(tmp_path / name)
        assert table_space(TabularSection(kind="tabular", path="table.csv")).size == len(keys)
