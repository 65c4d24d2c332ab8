"""A run has one coordinator at a time, and whoever is gone holds nothing."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from evo.round.__main__ import main
from studies.database.leases import acquire_lease, current_lease, hold_lease, this_place
from studies.database.rows import StoredRun
from studies.database.schema import leases
from studies.database.store import Store, open_store
from studies.records import EvoError
from studies.runs.manage import delete_run, rename_run
from tests import example_run


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path_factory.mktemp('leases')}/evo.db") as store:
        yield store


@pytest.fixture
def run(store: Store) -> Iterator[StoredRun]:
    """A run that nobody holds; whoever does at the end is killed."""
    run = example_run.begin(store)
    yield run
    if (found := current_lease(store, run)) and found.pid not in (0, os.getpid()):
        os.kill(found.pid, signal.SIGKILL)
        os.waitpid(found.pid, 0)
    give_back(store)
    delete_run(store, run)


def elsewhere(work: Callable[[], Any]) -> int:
    """Another process that does some work; its number."""
    if (child := os.fork()) == 0:
        code = 1
        try:
            code = work() or 0
        finally:
            os._exit(code)
    return child


def until(condition: Callable[[], Any]) -> None:
    """Wait, for 60 seconds at the most."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def holding(url: str, name: str = "tiny") -> int:
    """Another process that holds a run, and would for two minutes."""

    def hold() -> None:
        with open_store(url) as store, hold_lease(store, store.run(name), str, beat=0.05):
            time.sleep(120)

    return elsewhere(hold)


def test_a_second_coordinator_is_told_who_holds_the_run_until_he_is_killed(store: Store, run: StoredRun) -> None:
    child, said = holding(store.url), list[str]()
    until(lambda: current_lease(store, run))
    words = rf"'tiny' is being worked on by .+@.+, process {child}, since 20.+ UTC"
    with pytest.raises(EvoError, match=words), hold_lease(store, run, said.append):
        pass
    with pytest.raises(EvoError, match="worked on by"):
        rename_run(store, "tiny", "other")
    with pytest.raises(EvoError, match="worked on by"):
        delete_run(store, run)
    os.kill(child, signal.SIGKILL)  # nobody asks what became of it: a zombie holds nothing, either
    until(lambda: "State:\tZ" in Path(f"/proc/{child}/status").read_text())
    with hold_lease(store, run, said.append):
        assert (now := current_lease(store, run))
        assert (now.pid, now.place) == (os.getpid(), this_place())
    os.waitpid(child, 0)
    assert said[0].startswith(f"run tiny: taken over from {now.holder.replace(str(now.pid), str(child))}, since 20")
    assert said[0].endswith("that process is no longer there")
    assert current_lease(store, run) is None


def test_of_many_that_arrive_at_once_one_wins(store: Store, run: StoredRun) -> None:
    start = time.time() + 1.0

    def arrive() -> int:
        with open_store(store.url) as mine:
            time.sleep(max(0.0, start - time.time()))
            try:
                with hold_lease(mine, run, str):
                    time.sleep(120)
            except EvoError:
                return 7
        return 0

    children = [elsewhere(arrive) for _ in range(4)]
    refused: dict[int, int] = {}
    while len(refused) < 3:
        refused |= dict(os.waitpid(child, os.WNOHANG) for child in children if child not in refused)
        refused.pop(0, None)  # those that have not ended
        time.sleep(0.01)
    assert {os.waitstatus_to_exitcode(status) for status in refused.values()} == {7}
    (winner,) = set(children) - refused.keys()
    assert (found := current_lease(store, run))
    assert found.pid == winner


def put(store: Store, run: StoredRun, **changes: Any) -> None:
    """A lease of another machine, with changes."""
    with store.writing() as connection:
        ours = leases.update().where(leases.c.run_id == run.id)
        connection.execute(ours.values({"place": "another machine", **changes}))


def give_back(store: Store) -> None:
    with store.writing() as connection:
        connection.execute(leases.delete())


SOON: Any = {"stale": 0.5}


def test_a_silent_lease_of_another_machine_is_taken_over_and_a_live_one_is_not(store: Store, run: StoredRun) -> None:
    said = list[str]()
    child = holding(store.url)
    until(lambda: current_lease(store, run))
    put(store, run)
    with pytest.raises(EvoError, match="being worked on"), hold_lease(store, run, said.append):
        pass
    assert said == []
    os.kill(child, signal.SIGSTOP)
    os.waitpid(child, os.WUNTRACED)
    with hold_lease(store, run, said.append, **SOON):
        assert (found := current_lease(store, run))
        assert found.pid == os.getpid()
    assert "listening for a sign of life, for 0.5 seconds at the most" in said[0]
    assert "nothing was heard of it for 0.5 seconds" in said[1]
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_lease_given_back_while_one_listens_is_taken(store: Store, run: StoredRun) -> None:
    child = holding(store.url)
    until(lambda: current_lease(store, run))
    os.kill(child, signal.SIGSTOP)
    put(store, run)
    given = threading.Timer(0.3, give_back, [store])
    given.start()
    with hold_lease(store, run, str):
        assert (found := current_lease(store, run))
        assert found.pid == os.getpid()
    given.join()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_clocks_that_jump_take_nothing_from_a_holder_that_beats(store: Store, run: StoredRun) -> None:
    holding(store.url)
    until(lambda: current_lease(store, run))
    for year in (1970, 2999):
        put(store, run, taken_at=datetime(year, 1, 1))
        with pytest.raises(EvoError, match=f"being worked on by .* since {year}"), hold_lease(store, run, str, **SOON):
            pass


def wait_without_the_lease(store: Store, run: StoredRun) -> None:
    put(store, run, token="another", holder="ann@far, process 5", pid=0)
    threading.Event().wait(60)


def test_a_holder_that_slept_too_long_is_told_and_stops_whatever_it_waits_for(store: Store, run: StoredRun) -> None:
    started = time.monotonic()
    with pytest.raises(EvoError, match="taken over by ann@far, process 5"), hold_lease(store, run, str, beat=0.02):
        wait_without_the_lease(store, run)
    assert time.monotonic() - started < 30
    assert (found := current_lease(store, run))
    assert found.holder == "ann@far, process 5"


def test_the_heartbeat_beats_and_a_lease_is_given_back_however_it_ends(store: Store, run: StoredRun) -> None:
    with hold_lease(store, run, str, beat=0.02):
        until(lambda: (found := current_lease(store, run)) and found.beats > 2)
    assert current_lease(store, run) is None
    for ending in (KeyboardInterrupt, ValueError):
        with pytest.raises(ending), hold_lease(store, run, str):
            raise ending
        assert current_lease(store, run) is None
    with pytest.raises(ValueError, match="why"), acquire_lease(store, run):
        raise ValueError("why")
    assert current_lease(store, run) is None


def test_what_has_read_may_write_while_hearts_beat(store: Store, run: StoredRun) -> None:
    """A transaction of SQLite that reads first fails at once when someone else writes before it does; unless it says so."""
    with hold_lease(store, run, str, beat=0.001):
        for _ in range(50):
            with store.writing() as connection:
                number = connection.scalar(leases.select().with_only_columns(leases.c.pid))
                time.sleep(0.002)
                connection.execute(leases.update().values(pid=number))


QUICK = ["--set", "evaluator.epochs=1", "--set", "data.max_images=200", "--set", "search.evaluations=6"]
QUICK += ["--set", "search.population=6", "--set", "ground_truth.sample=0"]


def exit_code_after_ctrl_c(child: int) -> int:
    """Ctrl-C is pressed again where it came while Python ran a destructor, which throws it away."""
    os.kill(child, signal.SIGINT)
    for waited in count(1):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if waited % 2000 == 0:  # earlier, it would interrupt what gives the run back
            os.kill(child, signal.SIGINT)
        time.sleep(0.01)
    raise AssertionError


def test_the_command_refuses_a_held_run_and_gives_it_back_on_ctrl_c(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url = f"sqlite:///{tmp_path}/evo.db"
    words = ["90", "--storage", url, *QUICK]
    child = elsewhere(lambda: main(words))
    try:
        with open_store(url) as store:
            until(lambda: store.find_run("digits") and store.rounds(store.run("digits")))
            run = store.run("digits")
            assert main(words) == 1
            assert exit_code_after_ctrl_c(child) == 130
            assert current_lease(store, run) is None
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    assert f"process {child}, since" in capfd.readouterr().err
