"""A user's own code gives the same results wherever it runs (on a cluster: ``test_cluster``), and after ``kill -9``."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from evo.round.__main__ import main
from studies.database.store import Store
from tests.chaos.stage import State
from tests.evo.workers.own_code import command, state
from tests.evo.workers.test_ranks import ended, free_port
from tests.registries import restored

pytestmark = pytest.mark.usefixtures("unpublished")


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> State:
    """What one process leaves that nothing disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    with restored():
        assert main(command(folder)) == 0
    return state(folder)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What a run registers is forgotten after it: another process has to bring it along."""
    with restored():
        yield


def forked(words: Sequence[str], prepare: Callable[[], None] = lambda: None, **environment: str) -> int:
    """``python -m evo.round`` in a process of its own, in which ``prepare`` is done first; gives its number."""
    if child := os.fork():
        return child
    code = 70
    try:
        os.environ |= environment
        prepare()
        code = main(words)
    finally:
        sys.stdout.flush()
        os._exit(code)


def killed_when_it_records_again() -> None:
    """From now on this process is killed when it would record its second generation."""
    record, recorded = Store.record, []

    def record_once(store: Store, *what: Any) -> None:
        if recorded:
            os.kill(os.getpid(), signal.SIGKILL)
        recorded.append(record(store, *what))

    Store.record = record_once  # type: ignore[method-assign]


def test_two_workers_change_nothing(calm: State, tmp_path: Path) -> None:
    assert main(command(tmp_path, "--workers", "2")) == 0
    assert state(tmp_path) == calm


def test_two_processes_under_torchrun_change_nothing(calm: State, tmp_path: Path) -> None:
    """They are started here as torchrun starts them; what it does besides is tested in ``test_ranks``."""
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    codes = [ended(child) for child in [forked(command(tmp_path), RANK=rank, **place) for rank in ("0", "1")]]
    assert codes == [0, 0]
    assert state(tmp_path) == calm


def test_a_killed_run_ends_as_if_nothing_had_happened(calm: State, tmp_path: Path) -> None:
    """Killed by itself, with a quarter of it recorded; continued by two workers."""
    assert ended(forked(command(tmp_path), killed_when_it_records_again)) == -signal.SIGKILL
    assert state(tmp_path)[0] == calm[0][:4]
    assert main(command(tmp_path, "--workers", "2")) == 0
    assert state(tmp_path) == calm
