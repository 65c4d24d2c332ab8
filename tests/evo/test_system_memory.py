"""How much memory there is: what a container or a batch job may take counts."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from evo.memory.machine import machine_of
from evo.system_memory import system_memory

GIB = 1 << 30


def written(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_without_limits_it_is_all_that_the_system_has(tmp_path: Path) -> None:
    own = written(tmp_path, {"own": "0::/\n", "memory.max": "max\n"}) / "own"
    assert system_memory(tmp_path, own) == psutil.virtual_memory().total
    assert system_memory(tmp_path, tmp_path / "missing") == psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("own", "files"),
    [
        ("0::/\n", {"memory.max": f"{GIB}\n"}),
        ("0::/job/step\n", {"job/step/memory.max": "max\n", "job/memory.max": f"{GIB}\n", "memory.max": "max\n"}),
        ("0::/outer/inner\n", {"outer/inner/memory.max": f"{GIB}\n", "outer/memory.max": f"{2 * GIB}\n"}),
        ("12:cpu,cpuacct:/a\n4:memory:/a\n0::/\n", {"memory/a/memory.limit_in_bytes": f"{GIB}\n"}),
        ("4:memory:/elsewhere\n", {"memory/memory.limit_in_bytes": f"{GIB}\n"}),
    ],
    ids=["a container", "around it", "the least", "version 1", "version 1 in a container"],
)
def test_a_limit_counts(own: str, files: dict[str, str], tmp_path: Path) -> None:
    written(tmp_path, {"own": own, **files})
    assert system_memory(tmp_path, tmp_path / "own") == GIB


def test_runs_are_counted_against_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evo.memory.machine.system_memory", lambda: 3 * GIB)
    machine = machine_of("cpu")
    assert machine is not None
    assert machine.memory == 3 * GIB
