"""A run has one coordinator at a time: the process that holds the run's row in ``leases``.

The holder increases ``beats``, its heartbeat. A second coordinator waits for a heartbeat: if one arrives, it is refused;
after ``EXPIRY_SECONDS`` seconds without one it takes over. It takes over at once when it can see that the holder's process is
gone, which only the same machine can. No clock is compared with another one, so a clock that jumps does no harm. A holder
loses its lease only if it could not write for all of that time; when it wakes up, it is interrupted and stops.
"""

from __future__ import annotations

import getpass
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from studies.database.engines import retry_while_unavailable
from studies.database.rows import RunKey, from_row, to_row, utc_now
from studies.database.schema import leases
from studies.database.store import Store
from studies.records import EvoError

HEARTBEAT_SECONDS = 2.0
"""Seconds between heartbeats."""

EXPIRY_SECONDS = 60.0
"""Seconds without a heartbeat after which a lease expires."""


@dataclass(frozen=True)
class Lease:
    """A row of ``leases``.

    Attributes:
        holder: for people: "user@host, process 123".
        place: where ``pid`` is the number of that process; see ``this_place``.
    """

    token: str
    holder: str
    place: str
    pid: int
    beats: int
    taken_at: datetime

    def __str__(self) -> str:
        return f"{self.holder}, since {self.taken_at:%Y-%m-%d %H:%M} UTC"


@contextmanager
def hold_lease(
    store: Store,
    run: RunKey,
    say: Callable[[str], object],
    beat: float = HEARTBEAT_SECONDS,
    stale: float = EXPIRY_SECONDS,
) -> Iterator[None]:
    """Hold the run's lease while the body runs, with heartbeats. Call it in the main thread.

    Args:
        say: prints a line, for example that the lease was taken over from another holder.
        beat: seconds between heartbeats.
        stale: seconds without a heartbeat after which a lease expires.

    Raises:
        EvoError: another process holds the lease, or took it over because this one sent no heartbeat.
    """
    with acquire_lease(store, run, say, stale) as token:
        ended, lost, main = threading.Event(), threading.Event(), threading.main_thread()

        def beating() -> None:
            while not ended.wait(beat):
                if not _heartbeat(store, token):
                    lost.set()
                    signal.pthread_kill(main.ident or 0, signal.SIGINT)  # wakes up whatever it waits for
                    return

        heart = threading.Thread(target=beating, name="heartbeat", daemon=True)
        heart.start()
        try:
            try:
                yield
            finally:
                ended.set()
                heart.join()
        except KeyboardInterrupt:
            if not lost.is_set():
                raise
        if lost.is_set():
            raise EvoError(
                f"run {run.name!r} was taken over by {current_lease(store, run) or 'someone who has ended'}: nothing had been "
                "heard of this process for so long. What was recorded is kept"
            )


@contextmanager
def acquire_lease(
    store: Store, run: RunKey, say: Callable[[str], object] = str, stale: float = EXPIRY_SECONDS
) -> Iterator[str]:
    """Hold the run's lease without heartbeats, for work that takes less than ``stale`` seconds.

    Raises:
        EvoError: another process holds the lease.
    """
    token = uuid4().hex
    _try_acquire(store, run, token, say, stale)
    try:
        yield token
    finally:
        # A process that is cut off, or cannot write, leaves its lease to expire.
        with suppress(sa.exc.OperationalError, EvoError), store.writing() as connection:
            connection.execute(leases.delete().where(leases.c.token == token))


@retry_while_unavailable
def current_lease(store: Store, run: RunKey) -> Lease | None:
    """The lease on the run; None if no process holds it."""
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(leases).where(leases.c.run_id == run.id)).mappings().first()
    return None if row is None else from_row(Lease, row)


def this_place() -> str:
    """An identifier of the pid namespace: one boot of one kernel, one namespace. Empty: unknown."""
    try:
        return (
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
            + " "
            + os.readlink("/proc/self/ns/pid")
        )
    except OSError:
        return platform.node() if platform.system() == "Darwin" else ""


@retry_while_unavailable
def _try_acquire(store: Store, run: RunKey, token: str, say: Callable[[str], object], stale: float) -> None:
    """Acquire the lease under this token.

    Raises:
        EvoError: another process holds it.
    """
    holder = f"{_user()}@{platform.node()}, process {os.getpid()}"[:300]
    ours = to_row(Lease(token, holder, this_place(), os.getpid(), 0, utc_now()), leases, run_id=run.id)
    while True:
        store.key(run.name)  # it may be deleted while we wait
        with suppress(sa.exc.IntegrityError), store.writing() as connection:
            connection.execute(leases.insert().values(ours))
            return
        if (lease := current_lease(store, run)) is None:  # released just now
            continue
        if lease.token == token:  # an earlier COMMIT succeeded, but its answer was lost
            return
        why = why_expired(store, run, lease, say, stale)
        unchanged = (leases.c.token == lease.token) & (leases.c.beats == lease.beats)
        with store.writing() as connection:
            won = connection.execute(leases.update().where(unchanged).values(ours)).rowcount
        if won:
            say(f"run {run.name}: taken over from {lease}: {why}")
            return


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # in a container, a user may have no name
        return "someone"


def why_expired(store: Store, run: RunKey, lease: Lease, say: Callable[[str], object], stale: float) -> str:
    """Wait until the lease expires; gives the reason why it did.

    Raises:
        EvoError: its holder is alive.
    """
    if lease.place and lease.place == this_place() and not _is_alive(lease.pid):
        return "that process is no longer there"
    started, announced = time.monotonic(), False
    while (now := current_lease(store, run)) and (now.token, now.beats) == (lease.token, lease.beats):
        silent = time.monotonic() - started
        if silent >= stale:
            return f"nothing was heard of it for {stale:g} seconds"
        if silent >= stale / 10 and not announced:
            say(f"run {run.name}: held by {lease}; listening for a sign of life, for {stale:g} seconds at the most")
            announced = True
        time.sleep(min(0.2, stale / 20))
    if now is None:
        return "it was given back"
    raise EvoError(f"run {run.name!r} is being worked on by {now}. Wait for its end, or stop it there")


def _is_alive(process: int) -> bool:
    """Whether a process with this number runs here; a zombie does not count."""
    try:
        os.kill(process, 0)
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8", errors="replace")
    except ProcessLookupError:
        return False
    except OSError:  # another user's process, or a system without /proc
        return True


def _heartbeat(store: Store, token: str) -> bool:
    """Write a heartbeat; False if the lease is no longer ours. An unreachable server counts as success: the next may arrive."""
    try:
        with store.writing() as connection:
            ours = leases.update().where(leases.c.token == token).values(beats=leases.c.beats + 1)
            return bool(connection.execute(ours).rowcount)
    except (sa.exc.SQLAlchemyError, EvoError):
        return True
