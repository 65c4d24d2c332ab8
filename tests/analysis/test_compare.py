"""Runs side by side, across databases: one box, equal evaluations, settings that differ, references."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import comparison
from analysis.compare import main
from analysis.figures import plots, theme
from analysis.frames import Frames, load
from analysis.page import render
from analysis.ranking import Witness, truth_of
from analysis.report import main as report
from spaces.architecture import Architecture
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.config import check_config
from studies.database.store import Store, open_store
from studies.records import Evaluation, EvoError, Proposal
from tests import example_run
from tests.browser import browser

ALONE = SearchSpace(
    "mobilenet_v2", (Layer(Shape(8, 8, 1, 8), ("mb_k3_e6",)),), Stem(8, stride=1, c_in=1, size=8), Head(0, 10)
)


def refer(store: Store) -> None:
    """A run that measured one published network: 70% at 30 MACs."""
    run = store.create_run("known", check_config(example_run.CONFIG, "example"), ALONE, max_cost=90.0, versions={})
    row = store.open_round(run, 1, ALONE, {})
    evaluation = Evaluation(Architecture(("mb_k3_e6",)), "scratch:5ep", 0.7, 30.0, 60.0)
    store.record(run, row, [Proposal(0, 0, "stratified", evaluation)])


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Another database: a run of the same name and another seed that ended after its first round, and a reference."""
    url = f"sqlite:///{tmp_path_factory.mktemp('other') / 'evo.db'}"
    with open_store(url) as store:
        config = check_config(example_run.CONFIG | {"seed": 7}, "example")
        run = store.create_run("tiny", config, example_run.FIRST, max_cost=200.0, versions={})
        example_run.finish(store, example_run.search(store, run, 1))
        refer(store)
    return url


@pytest.fixture(scope="module")
def both(frames: Frames, other: str) -> list[Frames]:
    with open_store(other) as store:
        return [frames, load(store, store.run("tiny"))]


def test_runs_are_measured_in_one_box_after_equally_many_evaluations(both: list[Frames]) -> None:
    compared = comparison.compare(both)
    assert (compared.max_costs, compared.min_accuracy, compared.budget) == ((200.0,), 0.0, 3)
    assert compared.equal["run"].tolist() == ["tiny", "tiny", "tiny", "tiny (2)", "tiny (2)", "tiny (2)"]
    # .5 at 10 and .8 at 40, in the box 200 x [0, 1]: 190 * .5 = 95, and 30 * .5 + 160 * .8 = 143
    assert compared.equal["hypervolume"].tolist() == pytest.approx([0.475, 0.475, 0.715] * 2)


def test_hypervolume_never_falls_and_judges_are_not_mixed(both: list[Frames]) -> None:
    trace = comparison.compare(both).trace
    mine = trace[trace["run"] == "tiny"]
    assert mine["hypervolume"].tolist() == pytest.approx([0.475, 0.475, 0.715, 0.715, 0.715, 0.81, 0.8175])


def test_only_settings_that_differ_are_told(both: list[Frames]) -> None:
    settings = comparison.compare(both).settings
    assert settings.values.tolist() == [["seed", "0", "7"]]
    assert list(settings.columns) == ["setting", "tiny", "tiny (2)"]


def test_a_run_of_one_network_is_a_reference(both: list[Frames], other: str) -> None:
    with open_store(other) as store:
        known = load(store, store.run("known"))
    compared = comparison.compare([*both, known])
    assert compared.labels == ["tiny", "tiny (2)"]
    assert compared.references[["name", "accuracy", "macs"]].values.tolist() == [["MobileNetV2", 0.7, 30.0]]
    assert (
        comparison.describe_comparison(compared)[-1]
        == "For context: MobileNetV2 has 70.00% at 30 MACs (judged by scratch:5ep)."
    )
    (star,) = plots.add_references(plots.final_fronts(compared.fronts, "macs"), compared.references, "macs").data[2:]
    assert (list(star.x), list(star.y), list(star.text)) == ([30.0], [0.7], ["MobileNetV2"])
    with pytest.raises(EvoError, match="expected a run that searched"):
        comparison.compare([known])


def test_a_run_looks_the_same_in_every_figure(both: list[Frames]) -> None:
    compared = comparison.compare(both)
    fronts, curves = plots.final_fronts(compared.fronts, "macs").data, plots.volumes(compared.trace).data
    looks = [(trace.name, trace.line.color, trace.line.dash) for trace in fronts]
    assert looks == [(trace.name, trace.line.color, trace.line.dash) for trace in curves]
    assert len(set(looks)) == 2
    assert looks[0][1] == theme.round_colours([1, 2])[2]


@pytest.mark.usefixtures("store")
def test_the_terminal_names_box_runs_and_settings(url: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", f"tiny@{other}", "--storage", url]) == 0
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "After 3 evaluations each, the hypervolume is tiny 0.7150, tiny (2) 0.7150" in shown
    assert "(one box for all: 0 to 200 MACs, accuracy 0% to 100%; higher is better)" in shown
    assert "not strictly comparable" in shown
    assert "seed 0 7" in shown


@pytest.mark.usefixtures("store")
def test_a_name_means_that_run_in_every_database_given(
    url: str, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tiny", "--storage", url, "--storage", other, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [(row["run"], row["evaluations"]) for row in said["runs"]] == [("tiny", 6), ("tiny (2)", 3)]
    assert said["box"] == {"objective": "accuracy", "cost": "macs", "max_cost": 200.0, "min_accuracy": 0.0}


@pytest.mark.usefixtures("store")
def test_what_cannot_be_compared_is_an_error_of_words(url: str, other: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--storage", url]) == 1
    assert "expected two runs or more" in capsys.readouterr().err
    assert main(["nobody", "--storage", url, "--storage", other]) == 1
    assert "no run 'nobody' in any of" in capsys.readouterr().err


@pytest.mark.usefixtures("store")
def test_both_pages_open_from_disk_without_a_network(url: str, other: str, tmp_path: Path) -> None:
    names = ["tiny", f"tiny@{other}", f"known@{other}", "--storage", url]
    assert main([*names, "--out", str(tmp_path / "compared.html"), "--csv", str(tmp_path)]) == 0
    assert report([*names, "--out", str(tmp_path / "report.html")]) == 0
    assert (tmp_path / "runs-settings.csv").read_text().splitlines() == ["setting,tiny,tiny (2)", "seed,0,7"]
    with browser(tmp_path / "profile", 400) as tab:
        for name, fronts in (("compared", "runs-fronts"), ("report", "fronts")):
            tab.open((tmp_path / f"{name}.html").as_uri())
            for figure in (fronts, "runs-hypervolume-evaluations"):
                tab.wait(f"document.querySelector('#{figure} .main-svg')")
            assert "MobileNetV2" in tab.run(f"return document.querySelector('#{fronts}').textContent")
            page = "document.documentElement"
            assert tab.run(f"return {page}.scrollWidth === {page}.clientWidth")
            assert tab.console() == []


def test_of_a_run_with_other_objectives_only_its_rank_agreement_is_told(tmp_path: Path) -> None:
    storage = f"sqlite:///{tmp_path}/evo.db"
    with open_store(storage) as store:
        asked: list[Frames] = []
        for name, search in (("mine", {}), ("theirs", {"objective": "likelihood"})):
            config = check_config(example_run.CONFIG | {"search": search}, "example")
            run = store.create_run(name, config, example_run.FIRST, max_cost=100.0, versions={})
            row = store.open_round(run, 1, example_run.FIRST, {})
            evaluations = [
                Evaluation(Architecture.parse(arch), "oneshot@1:abc", accuracy, macs, macs, nll=1 - accuracy)
                for arch, accuracy, macs in example_run.ROUND_1[:3]
            ]
            store.record(run, row, [Proposal(i, 0, "stratified", e) for i, e in enumerate(evaluations)])
            asked.append(load(store, run))
    with pytest.raises(EvoError, match="mine weighs accuracy against macs, theirs weighs likelihood against macs"):
        comparison.compare(asked)
    assert report(["mine", "theirs", "--storage", storage, "--out", str(tmp_path / "page.html")]) == 0
    truth = truth_of("scratch:5ep", [Witness(f"a{i}", float(i), i / 10, None, i / 10) for i in range(5)])
    told = [replace(found, rounds=tuple(replace(row, truth=truth) for row in found.rounds)) for found in asked]
    rows = comparison.rank_agreements(told)
    assert [(row["run"], row["n"], row["tau"], row["tau_macs"]) for row in rows] == [
        ("mine", 5, 1, 1),
        ("theirs", 5, 1, 1),
    ]
    assert render(asked[0], comparison.compare(asked[:1]), agreements=rows).count("1.00 (1.00 to 1.00)") == 2
