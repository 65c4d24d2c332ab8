"""The report: what it says, what it writes, and how it looks in a browser without a network."""

from __future__ import annotations

import json
import re
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from analysis import cli, export, sentences
from analysis.frames import Frames
from analysis.report import main
from studies.database.store import Store, open_store
from studies.records import EvoError
from tests import example_run
from tests.browser import browser
from tests.example_run import CHEAP, DEAR, FREE, RULE

ALL = "document.querySelectorAll"


@pytest.fixture(scope="module")
def page(store: Store, url: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "tiny.html"
    assert main(["tiny", "--storage", url, "--out", str(out)]) == 0
    return out


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("cat", "dog"), ["The images are in 2 classes: cat, dog."]),
        (tuple("0123456789"), ["The images are in 10 classes, 0 to 9."]),
        (("cat",) * 22, [f"The images are in 22 classes: {', '.join(['cat'] * 20)} and 2 more."]),
        (None, []),
    ],
)  # fmt: skip
def test_the_summary_names_the_classes(frames: Frames, names: tuple[str, ...] | None, said: list[str]) -> None:
    named = replace(frames, run=replace(frames.run, classes=names))
    assert sentences.describe_classes(named) == said
    assert [sentence for sentence in sentences.summary(named) if "classes" in sentence] == said


def test_the_summary_says_what_happened_and_how_far_to_trust_it(frames: Frames) -> None:
    said = " ".join(sentences.summary(frames))
    assert "2 rounds of pad_nas searched the space tiny: 2 layers, 6 architectures." in said
    assert "6 evaluations, 4 different architectures." in said
    assert "rose from 0.6300 in round 1 to 0.7350 in round 2" in said
    assert "3 networks, from 30.00% at 5 MACs to 90.00% at 40 MACs." in said
    assert "1 operation dropped, 1 added" in said
    assert "not strictly comparable" in said
    assert "not the accuracies that the networks reach when trained alone" in said
    assert "smoke test" in said


def test_one_judge_makes_rounds_comparable(frames: Frames) -> None:
    alike = replace(frames, results=frames.results.assign(judge="table:macro"))
    said = "One judge (table:macro) scored everything, so hypervolumes are comparable throughout."
    assert sentences.describe_comparability(alike) == said


def test_a_loss_is_called_no_rise(frames: Frames) -> None:
    first, second = frames.rounds
    fallen = replace(frames, rounds=(first, replace(second, hypervolume=0.6)))
    assert "was 0.6300 in round 1 and 0.6000 in round 2" in sentences.describe_front(fallen)


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0"), (999, "999"), (999.7, "1k"), (1234, "1.23k"), (301e6, "301M"), (4.2e10, "42G"), (1.55e27, "1.55e+27")],
)
def test_numbers_for_people(number: float, text: str) -> None:
    assert sentences.format_number(number) == text


def test_the_page_holds_rule_front_settings_and_versions(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    text = html.split("<main>")[1]
    assert RULE.replace(">", "&gt;") in text
    assert [f'data-copy="{arch}"' in text for arch in (DEAR, CHEAP, FREE)] == [True] * 3
    assert "search.population" in text
    assert "0.1.0" in text


def test_the_page_needs_nothing_from_elsewhere(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    outside = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert not re.findall(r'(?:src|href)="(?!data:)', outside)
    assert html.count("plotly.js v") == 1


def test_names_are_escaped(tmp_path: Path) -> None:
    url, out = f"sqlite:///{tmp_path / 'evo.db'}", tmp_path / "page.html"
    with open_store(url) as store:
        example_run.two_rounds(store)
        with store.writing() as connection:  # as a version did that allowed every name
            connection.exec_driver_sql("UPDATE runs SET name = '<script>alert(1)</script>'")
    assert main(["<script>alert(1)</script>", "--storage", url, "--out", str(out)]) == 0
    assert "alert(1)</script>" not in out.read_text(encoding="utf-8")


def test_the_terminal_shows_rounds_summary_and_page(page: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--storage", url, "--out", str(page)]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"2 +6 +3 +3 +90\.00% +40 +0\.7350 +0 +0", shown)
    assert f"report: {page}" in shown


def test_json_for_scripts(page: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--storage", url, "--out", str(page), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [network["arch"] for network in said["front"]] == [FREE, CHEAP, DEAR]
    assert [network["latency_ms"] for network in said["front"]] == [None] * 3
    assert [row["hypervolume"] for row in said["rounds"]] == pytest.approx([0.63, 0.735])
    assert said["page"] == str(page)


@pytest.mark.usefixtures("store")
def test_an_unknown_run_is_answered_with_the_known_ones(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tinny", "--storage", url]) == 1
    assert capsys.readouterr().err.strip() == "error: no run 'tinny' in this database; runs: tiny"


def test_a_missing_database_is_not_created(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--storage", f"sqlite:///{tmp_path / 'none.db'}"]) == 1
    assert "no database" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("store")
def test_a_page_that_cannot_be_written_is_an_error_of_words(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tiny", "--storage", url, "--out", "/no/such/folder/page.html"]) == 1
    assert "cannot write /no/such/folder/page.html: No such file or directory" in capsys.readouterr().err


def test_no_page_takes_the_place_of_the_database(store: Store, url: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = url.removeprefix("sqlite:///")
    assert main(["tiny", "--storage", url, "--out", database]) == 1
    assert f"cannot write {database}: it is the database evo.db; give another place" in capsys.readouterr().err
    assert store.run("tiny").name == "tiny"


def test_csv_takes_no_table_of_others_place(
    page: Path, url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mine = tmp_path / "results.csv"
    mine.write_text("arch,accuracy\n")
    asked = ["tiny", "--storage", url, "--out", str(page), "--csv", str(tmp_path)]
    assert main(asked) == 1
    assert f"cannot write {mine}: the file is there" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [mine]
    mine.unlink()
    assert main(asked) == main(asked) == 0  # what it has written itself is replaced


@pytest.mark.parametrize("option", ["--out", "--csv", "--png"])
def test_nothing_is_written_among_the_images_of_a_run(frames: Frames, tmp_path: Path, option: str) -> None:
    config = frames.run.config
    images = config.data.model_copy(update={"name": "images", "path": str(tmp_path)})
    run = replace(frames.run, config=config.model_copy(update={"data": images}))
    inside = Namespace(**{"out": None, "csv": None, "png": None, option.removeprefix("--"): tmp_path / "ant"})
    with pytest.raises(
        EvoError, match=f"{option} .*ant: the images of run 'tiny' are in .*; give a place outside of it"
    ):
        cli.check_places(inside, [run])
    cli.check_places(inside, [frames.run])  # a run of other data


@pytest.mark.parametrize("width", [400, 1600])
def test_figures_are_drawn_in_a_browser(page: Path, tmp_path: Path, width: int) -> None:
    with browser(tmp_path / "profile", width) as tab:
        tab.open(page.as_uri())
        tab.wait(f"{ALL}('.js-plotly-plot .main-svg').length >= 8")
        assert tab.run("return innerWidth") == width
        assert tab.run(f"return {ALL}('#fronts .scatterlayer .trace').length") == 3  # two stairs, one set of others
        assert tab.run(f"return {ALL}('#time .barlayer .trace').length") == 2  # fitting, searching
        assert tab.run(f"return {ALL}('.flow section').length") == 2  # a table per layer
        assert tab.run("return document.querySelector('svg[role=img]').getBoundingClientRect().height") > 100
        assert tab.run(f"return [...{ALL}('table')].every(t => t.offsetWidth <= t.parentNode.clientWidth)")
        assert tab.run(
            "const { scrollWidth, clientWidth } = document.documentElement; return scrollWidth === clientWidth"
        )
        filled = tab.run(f"return [...{ALL}('.js-plotly-plot')].map(p => p.offsetWidth / p.parentNode.offsetWidth)")
        assert filled == [1] * 4
        costs = [
            int(cost) for cost in tab.run(f"return [...{ALL}('table.front tbody tr')].map(r => r.dataset.macs * 1)")
        ]
        field = "const one = document.querySelector('input[data-most=macs]'); "
        typed = field + "one.value = '%s'; one.dispatchEvent(new Event('input'))"
        shown = (
            f"return [...{ALL}('table.front tbody tr')].filter(r => r.offsetHeight > 0).map(r => r.dataset.macs * 1)"
        )
        for text, most in (
            (f"{min(costs) / 1000}k", min(costs)),
            ("", max(costs)),
            ("3e1", 30),
            ("nonsense", max(costs)),
        ):
            tab.run(typed % text)
            assert tab.run(shown) == [cost for cost in costs if cost <= most]
        assert tab.console() == []


def test_csv_holds_every_frame_behind_the_page(page: Path, url: str, frames: Frames, tmp_path: Path) -> None:
    assert main(["tiny", "--storage", url, "--out", str(page), "--csv", str(tmp_path / "frames")]) == 0
    names = {"results", "fronts", "final", "hypervolume", "choices", "whatif", "truth", "time", "rounds"}
    assert {path.stem for path in (tmp_path / "frames").iterdir()} == names
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "frames" / "hypervolume.csv"), frames.trace)


def test_pictures_without_a_browser_are_an_error_of_words(
    page: Path, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def write_images(*args: object, **kwargs: object) -> None:
        raise ValueError("\nImage export using the kaleido engine requires the Kaleido package.\nIt can be installed")

    monkeypatch.setattr(export, "write_images", write_images)
    assert main(["tiny", "--storage", url, "--out", str(page), "--png", str(tmp_path / "png")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: --png needs kaleido (pip install kaleido) and Chrome or Chromium: Image export")
    assert "It can be installed" not in said
