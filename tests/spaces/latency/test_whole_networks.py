"""Whole networks, timed by a command of the user's; what they teach about a table of parts."""

from __future__ import annotations

import csv
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr
from torch import Tensor, nn

from spaces.architecture import Architecture
from spaces.costs.table import count_costs
from spaces.errors import SpaceError
from spaces.export import formats
from spaces.latency import runtimes
from spaces.latency.__main__ import main
from spaces.latency.command import DeviceCommand, MeasurementError, last_number
from spaces.latency.correction import learn_correction
from spaces.latency.measure import LatencyTable, Part, load_latency_table
from spaces.latency.networks import build_network, draw_networks, measure_networks, parts_of, read_networks
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace

OPS = ("mb_k3_e1", "mb_k5_e2", "id")


def small() -> SearchSpace:
    stem = Stem(8, stride=1, size=4, c_in=1)
    return SearchSpace("small", tuple(Layer(Shape(8, 8, 1, 4), OPS) for _ in range(3)), stem, Head(0, 2))


SPACE = small()
ARCHS = [Architecture(genes) for genes in product(OPS, repeat=3)]


def table_of(rng: np.random.Generator) -> dict[Part, float]:
    """Random milliseconds of all parts."""
    return {part: float(rng.uniform(0.5, 3)) for arch in ARCHS for part in parts_of(arch, SPACE)}


# -- what is learned ---------------------------------------------------------------------------------------------------


def test_a_device_that_is_a_table_with_other_numbers_is_learned_exactly() -> None:
    """Networks take .4 ms, .7 of the table's sum, and .05 ms for each operation."""
    table = table_of(np.random.default_rng(0))
    parts = [parts_of(arch, SPACE) for arch in ARCHS]
    truth = [0.4 + 0.7 * sum(table[part] for part in own) + 0.05 * (len(own) - 2) for own in parts]
    found = learn_correction(parts, truth, table)
    assert (found.intercept, found.scale, found.call) == pytest.approx((0.4, 0.7, 0.05), abs=1e-6)
    assert max(map(abs, found.deviations.values())) < 1e-6
    assert found.after.error < 1e-9
    assert found.before.error > 0.1


def test_an_operation_that_is_dearer_in_networks_is_found() -> None:
    table = table_of(np.random.default_rng(1))
    parts = [parts_of(arch, SPACE) for arch in ARCHS]
    truth = [sum(table[part] * (2 if part[0] == "mb_k5_e2" else 1) for part in own) for own in parts]
    found = learn_correction(parts, truth, table)
    assert found.after.error < 0.01 < found.before.error
    assert found.scale + found.deviations["mb_k5_e2"] > 1.5 * (found.scale + found.deviations["mb_k3_e1"])


def test_errors_are_those_of_networks_that_were_left_out() -> None:
    """Refitted without each network in turn."""
    rng = np.random.default_rng(2)
    table, archs = table_of(rng), ARCHS[::3]
    parts = [parts_of(arch, SPACE) for arch in archs]
    truth = np.array([sum(table[part] for part in own) for own in parts]) * rng.uniform(0.7, 1.3, len(parts))
    found = learn_correction(parts, truth.tolist(), table)
    assert found.after.error > found.before.error * 0.5  # noise is not learned
    assert found.before.rank == pytest.approx(spearmanr([sum(table[p] for p in own) for own in parts], truth).statistic)


def test_a_table_is_not_corrected_by_a_few_networks() -> None:
    table = table_of(np.random.default_rng(3))
    with pytest.raises(SpaceError, match="3 networks were measured, and 8 are needed"):
        learn_correction([parts_of(arch, SPACE) for arch in ARCHS[:3]], [1, 2, 3], table)


def test_where_all_networks_have_as_many_layers_a_call_costs_nothing_of_its_own() -> None:
    table = table_of(np.random.default_rng(4))
    whole = [parts_of(arch, SPACE) for arch in ARCHS if "id" not in arch.genes]
    truth = [1 + sum(table[part] for part in own) for own in whole]
    found = learn_correction(whole, truth, table)
    assert found.call == pytest.approx(0, abs=1e-6)
    assert (found.intercept, found.scale) == pytest.approx((1, 1), abs=1e-6)


# -- the command -------------------------------------------------------------------------------------------------------


SIZE = f'{sys.executable} -S -c \'import os, sys; print("took", os.path.getsize(sys.argv[1]) / 1e5, "ms")\' {{onnx}}'
"""A device on which a network takes as long as its file is large."""


def test_a_table_is_measured_by_a_command_held_against_networks_and_corrected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The real export is that of the runtimes' test, below; here a file holds four bytes per weight, behind a header."""

    def write(module: nn.Module, example: Tensor, path: Path) -> None:
        path.write_bytes(bytes(500 + 4 * sum(weight.numel() for weight in module.parameters())))

    monkeypatch.setattr(formats, "write_static_onnx", write)
    space, out = tmp_path / "small.json", tmp_path / "lut.csv"
    space.write_text(SPACE.to_json())
    command = ["--space", str(space), "--out", str(out), "--command", SIZE, "--runs", "1", "--networks", "9"]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "4 parts measured now" in said
    assert "networks measured now" in said
    known = read_networks(tmp_path / "lut.networks.csv")
    assert len(known) >= 8
    off = {}
    for name in ("lut", "lut.corrected"):
        table = load_latency_table(tmp_path / f"{name}.csv")
        sums = [count_costs(SPACE, arch, latency=table).latency_ms for arch in known]
        off[name] = np.abs(np.array(sums) / list(known.values()) - 1).mean()
    assert off["lut.corrected"] < 0.02 < off["lut"]  # each file has what a header takes
    rows = list(csv.DictReader((tmp_path / "lut.corrected.csv").read_text().splitlines()))
    assert [row["measured_ms"] for row in rows] == [
        row["median_ms"] for row in csv.DictReader(out.read_text().splitlines())
    ]
    assert main(command) == 0
    assert "0 networks measured now" in capsys.readouterr().out
    assert main([*command[:-4], "--command", f"{SIZE} again"]) == 1
    assert "choose another file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program {onnx}", "there is no program 'no-such-program'"),
        (
            f"{sys.executable} -S -c 'import sys; sys.exit(\"out of memory\")' {{onnx}}",
            "ended with status 1: out of memory",
        ),
        (f"{sys.executable} -S -c 'print(\"done\")' {{onnx}}", "expected a number of milliseconds above 0"),
        (f"{sys.executable} -S -c 'import time; time.sleep(60)' {{onnx}}", "timed out after"),
    ],
)
def test_a_command_that_fails_says_why(command: str, words: str) -> None:
    with pytest.raises(MeasurementError, match=words):
        DeviceCommand(command, 1, timeout=5 if "sleep" not in command else 0.3)._run(Path("network.onnx"))


@pytest.mark.parametrize(
    ("command", "words"), [("bench", "expected {onnx} in it"), ("a '{onnx}", "No closing quotation")]
)
def test_a_command_that_cannot_be_is_refused(command: str, words: str) -> None:
    with pytest.raises(SpaceError, match=words):
        DeviceCommand(command)


@pytest.mark.parametrize(
    ("text", "number"),
    [("3.5\n", 3.5), ("run 1: 4 ms\nmedian = 1.25e1ms\n", 12.5), ("v2.1.3 took 7 ms", 7), ("avg: 2.5, n 10", 10)],
)
def test_the_last_number_counts(text: str, number: float) -> None:
    assert last_number(text, "bench") == number


def test_a_network_that_fails_is_written_down_and_the_others_go_on(tmp_path: Path) -> None:
    archs, path = ARCHS[:6], tmp_path / "networks.csv"
    asked: list[int] = []

    def timer(module: object, shape: Shape) -> tuple[float, float]:
        asked.append(1)
        if len(asked) == 2:
            raise MeasurementError("too large for\nthe device")
        return float(len(asked)), 0.0

    assert list(measure_networks(SPACE, archs, path, timer, "a phone")) == [6, 5, 4, 3, 2, 1, 0]
    assert list(read_networks(path)) == [archs[0], *archs[2:]]
    assert "too large for the device" in path.read_text()
    assert next(measure_networks(SPACE, archs, path, timer, "a phone")) == 0
    with pytest.raises(SpaceError, match="was measured on 'a phone', not on 'another'"):
        next(measure_networks(SPACE, archs, path, timer, "another"))


def test_a_device_on_which_nothing_runs_is_told(tmp_path: Path) -> None:
    def timer(module: object, shape: Shape) -> tuple[float, float]:
        raise MeasurementError("no route to host")

    with pytest.raises(SpaceError, match="3 networks have failed one after another; the last one: no route to host"):
        list(measure_networks(SPACE, ARCHS, tmp_path / "networks.csv", timer, "a phone"))
    assert not (tmp_path / "networks.csv").exists()


def test_networks_are_drawn_from_the_fastest_to_the_slowest() -> None:
    table = LatencyTable("made up", table_of(np.random.default_rng(5)))
    archs = draw_networks(SPACE, table, 7)
    assert archs == draw_networks(SPACE, table, 7)
    ms = [count_costs(SPACE, arch, latency=table).latency_ms for arch in archs]
    assert ms == sorted(ms)
    every = [count_costs(SPACE, arch, latency=table).latency_ms for arch in ARCHS]
    assert (ms[0], ms[-1]) == (min(every), max(every))
    for arch, sum_of in zip(archs, ms, strict=True):
        assert sum(table.entries[part] for part in parts_of(arch, SPACE)) == pytest.approx(sum_of)


@pytest.mark.parametrize("runtime", sorted(runtimes.RUNTIMES))
def test_a_network_is_timed_by_a_runtime_of_this_machine(runtime: str) -> None:
    pytest.importorskip(runtime)
    command = DeviceCommand(f"{sys.executable} -m spaces.latency.runtimes {runtime} {{onnx}} --seconds 0.05", runs=1)
    median, spread = command(build_network(ARCHS[0], SPACE), Shape(1, 2, 1, 4))
    assert 0 < median < 1000
    assert spread == 0
