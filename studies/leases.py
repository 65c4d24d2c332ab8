"""A run has one coordinator at a time: whoever holds its row in ``leases``.

The holder beats: it counts up ``beats``, at the database's time. Three things end a lease: it is given back; its process
is no longer there, which only the same machine can see; or it has not been heard of for ``STALE`` seconds. Clocks jump, and
machines sleep: what looks stale is watched for two more beats, by a clock that cannot jump, before it is taken over. So a
holder loses its lease only if it could not write for all of that time; when it wakes up, it is told, and stops.
"""

from __future__ import annotations

import getpass
import os
import platform
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from studies.records import EvoError
from studies.schema import leases
from studies.store import Run, Store

BEAT = 10.0
"""Seconds from beat to beat."""

STALE = 60.0
"""Seconds without a beat after which a holder is thought to be gone."""


@dataclass(frozen=True)
class Lease:
    """A row of ``leases``.

    Attributes:
        holder: for people: "user@host, process 123".
        place: where ``process`` is the number of that process; see ``here``.
        silence: seconds since the last beat, by the database's clock.
    """

    token: str
    holder: str
    place: str
    process: int
    beats: int
    taken_at: datetime
    silence: float


@contextmanager
def held(
    store: Store, run: Run, say: Callable[[str], object], beat: float = BEAT, stale: float = STALE
) -> Iterator[None]:
    """Hold the run while the body runs, beating; said is who it was taken from, if it was. Call it in the main thread.

    Raises:
        EvoError: someone else holds it, or took it over because nothing was heard of us.
    """
    with taken(store, run, say, beat, stale) as token:
        ended, lost = threading.Event(), threading.Event()

        def beating() -> None:
            while not ended.wait(beat):
                if not _beat(store, token):
                    lost.set()
                    interrupt_main()
                    return

        heart = threading.Thread(target=beating, name="heartbeat", daemon=True)
        heart.start()
        try:
            yield
        except KeyboardInterrupt:
            if not lost.is_set():
                raise
        finally:
            ended.set()
            heart.join()
        if lost.is_set():
            holder = found.holder if (found := lease(store, run)) else "someone who has ended"
            raise EvoError(
                f"run {run.name!r} was taken over by {holder}: nothing had been heard of this process for so long. "
                "What was recorded is kept"
            )


@contextmanager
def taken(
    store: Store, run: Run, say: Callable[[str], object] = str, beat: float = BEAT, stale: float = STALE
) -> Iterator[str]:
    """Hold the run, without beating, for what is over at once.

    Raises:
        EvoError: someone else holds it.
    """
    token = _take(store, run, say, beat, stale)
    try:
        yield token
    finally:
        # Who is cut off, or cannot write, gives nothing back: it ends.
        with suppress(sa.exc.OperationalError, EvoError), store.writing() as connection:
            connection.execute(leases.delete().where(leases.c.token == token))


def lease(store: Store, run: Run) -> Lease | None:
    """Who holds the run, if anyone does."""
    columns = [leases.c[name] for name in ("token", "holder", "place", "process", "beats", "taken_at", "beaten_at")]
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(*columns, _now(store)).where(leases.c.run_id == run.id)).first()
    if row is None:
        return None
    *values, beaten_at, now = row
    return Lease(*values, silence=(now - beaten_at).total_seconds())


def here() -> str:
    """Where process numbers mean what they mean here: one boot of one kernel, one namespace. Empty: that is not known."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:
        return platform.node() if platform.system() == "Darwin" else ""


def _take(store: Store, run: Run, say: Callable[[str], object], beat: float, stale: float) -> str:
    """The token of the lease that is ours now."""
    token = uuid4().hex
    try:
        user = getpass.getuser()
    except (KeyError, OSError, ImportError):  # in a container, a user may have no name
        user = "someone"
    now, process = _now(store), os.getpid()
    ours = {
        "run_id": run.id, "token": token, "holder": f"{user}@{platform.node()}, process {process}"[:300],
        "place": here(), "process": process, "beats": 0, "taken_at": now, "beaten_at": now,
    }  # fmt: skip
    while True:
        store.run(run.name)  # it may be deleted while we wait
        try:
            with store.writing() as connection:
                connection.execute(leases.insert().values(ours))
            return token
        except sa.exc.IntegrityError:  # there is a lease: the database admits one, however many arrive at once
            found = lease(store, run)
        if found is None:
            continue
        why = _ended(store, run, found, say, beat, stale)
        unchanged = (leases.c.token == found.token) & (leases.c.beats == found.beats)
        with store.writing() as connection:
            won = connection.execute(leases.update().where(unchanged).values(ours)).rowcount
        if won:
            say(
                f"run {run.name}: taken over from {found.holder}, who took it at {found.taken_at:%Y-%m-%d %H:%M} UTC: {why}"
            )
            return token


def _ended(store: Store, run: Run, found: Lease, say: Callable[[str], object], beat: float, stale: float) -> str:
    """Why a lease need not be respected.

    Raises:
        EvoError: its holder lives.
    """
    if found.place and found.place == here() and not _alive(found.process):
        return "that process is no longer there"
    if not 0 <= found.silence < stale:  # or a clock was set back: the last beat is in the future
        say(f"run {run.name}: nothing was heard of {found.holder} for long; listening for {2 * beat:g} seconds")
        started = time.monotonic()
        while (now := lease(store, run)) and (now.token, now.beats) == (found.token, found.beats):
            if time.monotonic() - started >= 2 * beat:
                return f"nothing was heard of it for {max(found.silence, 0) + 2 * beat:.0f} seconds"
            time.sleep(beat / 10)
        if now is None:
            return "it was given back"
        found = now
    raise EvoError(
        f"run {run.name!r} is being worked on by {found.holder}, since {found.taken_at:%Y-%m-%d %H:%M} UTC "
        f"(last heard of {max(found.silence, 0):.0f} seconds ago). Wait for its end, or stop it there"
    )


def _alive(process: int) -> bool:
    """Whether there is such a process here; one that was killed and that nobody has asked about is none."""
    try:
        os.kill(process, 0)
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except ProcessLookupError:
        return False
    except OSError:  # someone else's, or a system without /proc
        return True


def _beat(store: Store, token: str) -> bool:
    """Be heard of; False when the lease is no longer ours. A database that cannot be reached now may be at the next beat."""
    ours = leases.update().where(leases.c.token == token)
    try:
        with store.writing() as connection:
            return bool(connection.execute(ours.values(beats=leases.c.beats + 1, beaten_at=_now(store))).rowcount)
    except (sa.exc.SQLAlchemyError, EvoError):
        return True


def _now(store: Store) -> sa.ColumnElement[datetime]:
    """The database's clock, in UTC."""
    if store.engine.dialect.name == "postgresql":
        return sa.func.timezone("UTC", sa.func.clock_timestamp(), type_=sa.DateTime)
    return sa.func.now()
