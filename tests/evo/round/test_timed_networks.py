"""Networks that are timed on a device before they are judged: what is recorded, what is not trained, what is learned."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

import evo
from analysis.frames import load
from analysis.sentences import summary
from evo.evaluators.timed import NetworkTimer
from evo.round.costs import costs_of, measured_latency
from evo.round.printing import remarks
from evo.strategy.measured_latency import MeasuredLatency
from spaces.architecture import Architecture
from spaces.costs.table import COLUMNS, count_costs
from spaces.export import formats
from spaces.latency.command import DeviceCommand
from spaces.latency.correction import LEAST
from spaces.latency.measure import COLUMNS as LINE
from spaces.latency.measure import LatencyTable, load_latency_table, timed_parts
from spaces.latency.networks import parts_of
from spaces.library.named_spaces import load_space
from studies.config import load_config
from studies.database.store import open_store
from studies.records import Evaluation, EvoError
from tests.registries import restored

pytestmark = pytest.mark.usefixtures("unpublished")

SPACE = load_space("digits", channels=1, size=8, classes=10)


@pytest.fixture(autouse=True)
def files_as_large_as_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real export is tested elsewhere; here a file has a byte per weight."""

    def write(module: nn.Module, example: Tensor, path: Path) -> None:
        path.write_bytes(bytes(sum(weight.numel() for weight in module.parameters())))

    monkeypatch.setattr(formats, "write_static_onnx", write)


def device(folder: Path, words: str = 'print(os.path.getsize(sys.argv[1]) / 1000, "ms")') -> str:
    """A command that takes a network for as slow as it is large, and notes each run in ``folder / "runs"``."""
    script = folder / "device.py"
    note = f'open({str(folder / "runs")!r}, "a").write("x")'
    script.write_text(f"import os, sys\n{note}\n{words}\n")
    return f"{sys.executable} -S {script} {{onnx}}"


def runs_in(folder: Path) -> int:
    path = folder / "runs"
    return len(path.read_text()) if path.exists() else 0


def table_in(folder: Path) -> Path:
    """A table of the space's parts, by which all take about as long."""
    rng, path = np.random.default_rng(0), folder / "parts.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(LINE)
        for name, shape in timed_parts(SPACE):
            own = (name, shape.c_in, shape.c_out, shape.stride, shape.size)
            writer.writerow((*own, f"{rng.uniform(0.9, 1.1):.6f}", "0.0", 3, "a phone", 1, 1))
    return path


def settings(folder: Path, command: str, **more: Any) -> dict[str, Any]:
    return {
        "space": {"name": "digits"},
        "data": {"name": "digits", "max_images": 40},
        "evaluator": {"kind": "scratch", "epochs": 1},
        "search": {"evaluations": 30, "population": 10, "objectives": ["accuracy", "latency_ms"]},
        "evolution": {"method": "fixed"},
        "latency": {"path": str(table_in(folder)), "command": command, "runs": 1},
    } | more


def found(storage: str, name: str) -> list[Evaluation]:
    with open_store(storage) as store:
        run = store.run(name)
        rows = store.rounds(run)
        return [replace(p.evaluation, seconds=0.0) for row in rows for p in store.proposals(row)]


def size_of(arch: Architecture) -> float:
    """What the device says of a network: its parameters, in thousands."""
    return count_costs(SPACE, arch).params / 1000


def test_a_run_records_what_the_device_says(tmp_path: Path) -> None:
    command, storage = device(tmp_path), f"sqlite:///{tmp_path}/evo.db"
    given = settings(tmp_path, command)
    evo.search(given, rounds=1, run="timed", storage=storage, progress=False)
    with open_store(storage) as store:
        run = store.run("timed")
        (told,) = (line for line in summary(load(store, run)) if "latency" in line)
        (note,) = (line for line in remarks(store.rounds(run)) if "latency of" in line)
    words = r"he latency of 30 networks was measured; that of others is predicted with an error of \d"
    assert re.search("^T" + words, told)
    assert re.search("round 1: t" + words, note)
    measured = found(storage, "timed")
    assert [e.latency_ms for e in measured] == pytest.approx([size_of(e.arch) for e in measured])
    assert runs_in(tmp_path) == len({e.arch for e in measured}) == 30
    evo.search(given, rounds=1, run="again", storage=storage, progress=False)
    assert [(e.arch, e.latency_ms) for e in found(storage, "again")] == [(e.arch, e.latency_ms) for e in measured]
    assert runs_in(tmp_path) == 30  # the library knows them


def test_what_is_too_slow_is_not_trained_and_soon_not_proposed(tmp_path: Path) -> None:
    """The table says nothing of size; what was timed does."""
    command, storage = device(tmp_path), f"sqlite:///{tmp_path}/evo.db"
    sizes = sorted(size_of(SPACE.sample(Random(seed))) for seed in range(200))
    most = sizes[60]
    evo.search(
        settings(tmp_path, command, limits={"latency_ms": [0, most]}),
        rounds=1,
        run="timed",
        storage=storage,
        progress=False,
    )
    measured = found(storage, "timed")
    assert all(bool(e.failed) == (size_of(e.arch) > most) for e in measured)
    slow = [e for e in measured if e.failed]
    assert slow
    assert all("limits.latency_ms" in e.failed for e in slow)
    assert [e.latency_ms for e in slow] == pytest.approx([size_of(e.arch) for e in slow])
    late = [bool(e.failed) for e in measured[20:]]
    assert np.mean(late) < np.mean([bool(e.failed) for e in measured[:10]])
    assert np.mean(late) <= 0.2


@pytest.mark.parametrize("after", [0, 15])
def test_a_device_that_is_gone_stops_the_run_which_then_ends_as_it_would_have(tmp_path: Path, after: int) -> None:
    """It is gone after so many networks; what was recorded before stays, and nothing else is."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    evo.search(settings(whole, device(whole)), rounds=1, run="run", storage=f"sqlite:///{whole}/evo.db", progress=False)
    storage = f"sqlite:///{parts}/evo.db"
    gone = f'sys.exit("no route to host") if os.path.getsize({str(parts / "runs")!r}) > {after} else None\n'
    given = settings(parts, device(parts, gone + 'print(os.path.getsize(sys.argv[1]) / 1000, "ms")'))
    with pytest.raises(
        EvoError, match="3 networks have failed one after another.*no route to host.*run the same command"
    ):
        evo.search(given, rounds=1, run="run", storage=storage, progress=False)
    assert len(found(storage, "run")) == after // 10 * 10
    device(parts)  # it is back
    evo.search(given, rounds=1, run="run", storage=storage, progress=False)
    assert found(storage, "run") == found(f"sqlite:///{whole}/evo.db", "run")


def test_a_network_that_the_device_cannot_run_is_a_failed_trial(tmp_path: Path) -> None:
    archs = [SPACE.sample(Random(seed)) for seed in range(4)]
    bad = int(1000 * size_of(archs[1]))
    words = f'sys.exit("too large") if os.path.getsize(sys.argv[1]) == {bad} else print(1)'
    timer = NetworkTimer(DeviceCommand(device(tmp_path, words), 1), SPACE, None, tmp_path)
    timings = timer(archs)
    assert [timing.milliseconds for timing in timings] == [1, None, 1, 1]
    assert "too large" in timings[1].failed
    assert timer(archs) == timings
    assert runs_in(tmp_path) == 5  # a failure is tried again


def test_settings_that_cannot_be_are_refused(tmp_path: Path) -> None:
    path = table_in(tmp_path)
    with pytest.raises(EvoError, match=r"expected \{onnx\} in it"):
        load_config("digits", [f"latency.path={path}", "latency.command=bench"])
    published = tmp_path / "published.csv"
    published.write_text("kind,size,c_in,c_out,kernel,stride,dilation,groups,latency\nconv,8,1,8,3,1,1,1,1.0\n")
    config = load_config("digits", [f"latency.path={published}", "latency.command=bench {onnx}"])
    with pytest.raises(EvoError, match="correct a table of parts"):
        measured_latency(config, SPACE)


OWN = """
from dataclasses import dataclass, replace
from evo import EvaluatorSettings, Judge, evaluations_of, evaluator

class Settings(EvaluatorSettings):
    uses_images = False
    measures_latency = True

@dataclass(frozen=True)
class Board(Judge):
    name: str
    space: object
    table: object

    def __call__(self, archs):
        answers = evaluations_of(self, archs, [0.5 + 0.01 * str(arch).count("k5") for arch in archs], self.table)
        return [replace(answer, latency_ms=answer.params / 1000) for answer in answers]

@evaluator("board", settings=Settings)
class Boards:
    def __init__(self, config, space):
        pass

    def fit(self, space, context):
        return Board("board", space, context.table)
"""


def test_an_evaluator_of_ones_own_may_tell_latencies(tmp_path: Path) -> None:
    """They count, are limited and learned from as those of a command."""
    (tmp_path / "board.py").write_text(OWN)
    sizes = sorted(size_of(SPACE.sample(Random(seed))) for seed in range(200))
    given = {
        "space": {"name": "digits"},
        "plugins": [str(tmp_path / "board.py")],
        "evaluator": {"kind": "board"},
        "search": {"evaluations": 30, "population": 10, "objectives": ["accuracy", "latency_ms"]},
        "evolution": {"method": "fixed"},
        "limits": {"latency_ms": [0, sizes[60]]},
        "latency": {"path": str(table_in(tmp_path))},
        "ground_truth": {"sample": 0},
    }
    storage = f"sqlite:///{tmp_path}/evo.db"
    with restored():
        evo.search(given, rounds=1, run="own", storage=storage, progress=False)
        measured = found(storage, "own")
    assert [e.latency_ms for e in measured] == pytest.approx([size_of(e.arch) for e in measured])
    assert all(bool(e.failed) == (size_of(e.arch) > sizes[60]) for e in measured)
    assert 0 < np.mean([bool(e.failed) for e in measured]) < 0.5


# -- what is learned ---------------------------------------------------------------------------------------------------


def timed(arch: Architecture, milliseconds: float | None, failed: str = "") -> Evaluation:
    return Evaluation(arch, "made-up", 0.5, 1, 1, latency_ms=milliseconds, failed=failed)


def test_what_was_timed_is_known_and_the_rest_is_predicted(tmp_path: Path) -> None:
    """A device that takes .4 ms, .7 of the table's sum, and .05 ms for each operation."""
    table = load_latency_table(table_in(tmp_path))
    assert isinstance(table, LatencyTable)

    def truth(arch: Architecture) -> float:
        parts = parts_of(arch, SPACE)
        return 0.4 + 0.7 * sum(table.entries[part] for part in parts) + 0.05 * (len(parts) - 2)

    archs = [SPACE.sample(Random(seed)) for seed in range(40)]
    latency, sums = MeasuredLatency(SPACE, table), [count_costs(SPACE, a, latency=table).latency_ms for a in archs]
    assert latency(archs) == pytest.approx(sums)
    latency.tell(timed(arch, truth(arch) * 2) for arch in archs[: LEAST - 1])
    assert latency(archs[LEAST - 1 :]) == pytest.approx(sums[LEAST - 1 :])
    assert latency(archs[:3]) == pytest.approx([2 * truth(arch) for arch in archs[:3]])
    latency = MeasuredLatency(SPACE, table)
    latency.tell([timed(archs[0], None, "no route"), *(timed(arch, truth(arch), "slow") for arch in archs[:20])])
    assert latency(archs) == pytest.approx([truth(arch) for arch in archs], rel=1e-6)


def test_exact_costs_stay_exact(tmp_path: Path) -> None:
    config = load_config("digits", [f"latency.path={table_in(tmp_path)}"])
    costs = costs_of(config, SPACE)
    assert measured_latency(config, SPACE) is None
    arch = SPACE.sample(Random(0))
    table = load_latency_table(tmp_path / "parts.csv")
    assert costs.count([arch])[0, COLUMNS.index("latency_ms")] == pytest.approx(
        count_costs(SPACE, arch, latency=table).latency_ms
    )
