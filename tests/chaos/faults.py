"""Every fault: what is done, how often, and what must be left of it. A strike that finds something else raises."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from random import Random

import studies.database.rows
import studies.database.trials
from tests.chaos import elsewhere
from tests.chaos.moods import anyone, culprit, dying, hanging, in_mood, raising, saying_nan, slow
from tests.chaos.stage import BY_TABLE, SUPERNET, Child, Stage, came, state, words

ONE_SUPERNET = ["1", *SUPERNET[1:], "--set", "evaluator.epochs=6", "--set", "search.evaluations=6"]

Strikes = Iterator[str]
"""One entry per strike: what the user saw, or nothing where that is not to be quoted."""


@dataclass(frozen=True)
class Fault:
    """What may go wrong.

    Attributes:
        done: what is done to a run.
        sees: what its user sees.
        left: what is left of it in the end.
        times: how often it is done.
        seconds: what that takes, about.
    """

    done: str
    sees: str
    left: str
    times: int
    seconds: float
    strike: Callable[[Stage, int], Strikes]


# -- processes end ----------------------------------------------------------------------------------------------------


def coordinator_killed(stage: Stage, times: int) -> Strikes:
    calm, kills, folder = stage.calm(SUPERNET), 0, stage.fresh()
    longest = stage.seconds / 5
    while kills < times:
        child = stage.start(folder, SUPERNET)
        if child.ended(stage.rng.uniform(0, longest)):
            assert (child.code, state(folder)) == (0, calm), child.words()
            folder = stage.fresh()
            continue
        child.kill()
        kills += 1
        yield ""
    stage.run(folder, SUPERNET)
    assert state(folder) == calm


def coordinator_of_workers_killed(stage: Stage, times: int) -> Strikes:
    calm, work = stage.calm(BY_TABLE), [*BY_TABLE, "--workers", "2"]
    folder = stage.fresh()
    for _ in range(times):
        child = stage.start(folder, work, in_mood(slow))
        if came(child.workers, child):
            child.ended(stage.rng.uniform(0, 4))
        orphans = child.workers()
        if child.code is None:
            child.kill()
        assert gone(orphans, seconds=30), "workers outlive their coordinator"
        yield ""
    stage.run(folder, BY_TABLE)
    assert state(folder) == calm


def worker_killed(stage: Stage, times: int) -> Strikes:
    calm, kills = stage.calm(BY_TABLE), 0
    work = [*BY_TABLE, "--workers", "2"]
    while kills < times:
        folder = stage.fresh()
        child = stage.start(folder, work, in_mood(slow))
        while not child.ended(stage.rng.uniform(0, 2)) and kills < times:
            for pid in child.workers()[:1] if stage.rng.random() < 0.5 else child.workers()[-1:]:
                subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
                kills += 1
                yield ""
        child.ended()
        assert (child.code, state(folder)) == (0, calm), words(child, folder)


def gone(pids: Sequence[int], seconds: float) -> bool:
    """Whether these processes end within some time."""
    until = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


# -- evaluators fail --------------------------------------------------------------------------------------------------

SHORT = ["1", "--config", "table.toml", "--set", "search.evaluations=8"]


def moody(mood: Callable[..., object], *settings: str) -> Callable[[Stage, int], Strikes]:
    """The strike of an evaluator that fails in this way: the same architectures fail as in every other way."""

    def strike(stage: Stage, times: int) -> Strikes:
        expected = stage.known.get("moody")
        for _ in range(times):
            folder = stage.fresh()
            said = stage.run(folder, [*SHORT, *settings], in_mood(mood))  # type: ignore[arg-type]
            found = state(folder)
            table = dict(line.split(",") for line in (folder / "table.csv").read_text().splitlines()[1:])
            results, failures = found[0], found[1]
            assert len(results) + len(failures) == 8
            assert failures
            assert all(culprit_of(arch) for _, _, arch in failures)
            assert all(str(accuracy) == table[arch] and not culprit_of(arch) for _, _, arch, _, accuracy, *_ in results)
            expected = stage.known.setdefault("moody", found) if expected is None else expected
            assert found == expected, "who failed depends on how"
            yield line_with("could not be measured", said)

    return strike


def culprit_of(arch: str) -> bool:
    from spaces.architecture import Architecture

    return culprit(Architecture.parse(arch))


def everything_fails(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(BY_TABLE)
    for _ in range(times):
        folder = stage.fresh()
        said = stage.run(folder, BY_TABLE, in_mood(raising, anyone), code=1)
        assert state(folder)[:2] == [[], []]
        stage.run(folder, BY_TABLE)
        assert state(folder) == calm
        yield line_with("error", said)


# -- files are damaged ------------------------------------------------------------------------------------------------


def damage(path: Path, rng: Random) -> str:
    """Cut a file short, or turn one bit of it; what was done."""
    content = bytearray(path.read_bytes())
    if rng.random() < 0.5:
        path.write_bytes(content[: rng.randrange(len(content))])
        return "cut"
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    return "flipped"


def progress_damaged(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(ONE_SUPERNET)
    done = 0
    while done < times:
        folder = stage.fresh()
        child = stage.start(folder, ONE_SUPERNET)
        if not came(lambda folder=folder: list(folder.rglob("*.previous")), child):  # type: ignore[misc]
            continue
        child.kill()
        newest, before = (list(folder.rglob(f"*.{kind}")) for kind in ("progress", "previous"))
        if not newest or not before:
            continue
        damage(newest[0], stage.rng)
        if done % 3 == 2:
            damage(before[0], stage.rng)
        said = stage.run(folder, ONE_SUPERNET)
        assert "is damaged" in said
        assert state(folder) == calm
        assert list(folder.rglob("*.damaged"))
        done += 1
        yield line_with("is damaged", said) if done % 3 else ""


def weights_damaged(stage: Stage, times: int) -> Strikes:
    """Of a round that is finished, of the one that is being searched, and of all rounds."""
    first, third = (["1", *SUPERNET[1:]], ["3", *SUPERNET[1:]])
    calm = stage.calm(SUPERNET)
    for number in range(times):
        folder = stage.fresh()
        stage.run(folder, first if number % 3 == 0 else SUPERNET)
        if number % 3 == 2:
            child = stage.start(folder, third)
            came(lambda folder=folder: list(folder.rglob("round-03.*.safetensors")), child)  # type: ignore[misc]
            child.kill()
        for path in sorted(folder.rglob("*.safetensors"))[-1 if number % 3 == 2 else 0 :]:
            damage(path, stage.rng)
        said = stage.run(folder, SUPERNET if number % 3 == 0 else third)
        assert state(folder) == (calm if number % 3 == 0 else stage.calm(third))
        yield line_with("is damaged", said) if "sha256" in said else ""


def weights_of_others(stage: Stage, times: int) -> Strikes:
    """What the database knows was measured by weights that cannot be made again."""
    for _ in range(times):
        folder = stage.fresh()
        stage.run(folder, ONE_SUPERNET)
        with sqlite3.connect(folder / "evo.db") as database:
            database.execute("UPDATE evaluations SET judge = 'oneshot@1:0123456789ab'")
            database.execute("UPDATE rounds SET state = 'running', next_space_json = NULL")
        before = state(folder)
        for path in folder.rglob("*.safetensors"):
            path.unlink()
        said = stage.run(folder, ONE_SUPERNET, code=1)
        assert state(folder) == before
        yield line_with("error", said)


def page_damaged(stage: Stage, times: int) -> Strikes:
    calm, folder = stage.calm(BY_TABLE), stage.fresh()
    stage.run(folder, ["1", *BY_TABLE[1:]])
    path = folder / "evo.db"
    good = path.read_bytes()
    for _ in range(times):
        bad, page = bytearray(good), stage.rng.randrange(1, len(good) // 4096)
        bad[page * 4096 : page * 4096 + 512] = stage.rng.randbytes(512)
        path.write_bytes(bad)
        said = stage.run(folder, BY_TABLE, code=1)
        assert path.read_bytes() == bad, "something was written"
        yield line_with("error", said)
    path.write_bytes(good)
    stage.run(folder, BY_TABLE)
    assert state(folder) == calm


def no_database(stage: Stage, times: int) -> Strikes:
    for _ in range(times):
        folder = stage.fresh()
        path, content = folder / "evo.db", stage.rng.randbytes(10_000)
        path.write_bytes(content)
        said = stage.run(folder, BY_TABLE, code=1)
        assert path.read_bytes() == content
        yield line_with("error", said)


# -- disks are full ---------------------------------------------------------------------------------------------------


def full_while_recording(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(BY_TABLE)
    done = 0
    while done < times:
        folder = stage.fresh()
        child = stage.start(folder, BY_TABLE, in_mood(slow))
        came(lambda folder=folder: (folder / "evo.db-wal").exists(), child)  # type: ignore[misc]
        child.ended(stage.rng.uniform(0.2, 2))
        stumbled = child.code is None and full(child, 16 << 10)
        assert child.code == (1 if stumbled else 0), child.words()
        said, left = words(child, folder), generations(folder)
        stage.run(folder, BY_TABLE)
        assert state(folder) == calm
        assert left.items() <= generations(folder).items(), "half of a generation was recorded"
        if stumbled:
            done += 1
            yield line_with("cannot be written", said)


def full_while_checkpointing(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(ONE_SUPERNET)
    done = 0
    while done < times:
        folder = stage.fresh()
        child = stage.start(folder, ONE_SUPERNET)
        came(lambda folder=folder: list(folder.rglob("*.progress")), child)  # type: ignore[misc]
        if full(child, 16 << 10):
            assert child.code == 1, child.words()
            assert not list(folder.rglob("*.draft"))
            done += 1
            yield line_with("progress cannot be written", words(child, folder))
        stage.run(folder, ONE_SUPERNET)
        assert state(folder) == calm


def full(child: Child, size: int) -> bool:
    """Let no file of a process grow beyond ``size`` bytes from now on; whether it stumbled over that."""
    resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (size, resource.prlimit(child.pid, resource.RLIMIT_FSIZE)[1]))
    child.ended()
    return child.code != 0


def generations(folder: Path) -> dict[tuple[str, int], int]:
    """How many trials every generation has; in Optuna's tables there are as many."""
    with sqlite3.connect(folder / "evo.db") as database:
        if not database.execute("SELECT * FROM sqlite_master WHERE name = 'evo_version'").fetchall():
            return {}  # it was not even made
        ours, optunas = (
            database.execute(f"SELECT COUNT(*) FROM {table}").fetchone() for table in ("proposals", "trials")
        )
        assert ours == optunas, f"{ours} proposals and {optunas} trials"
        of_round = "SELECT round_id, generation, COUNT(*) FROM proposals GROUP BY round_id, generation"
        return {(round_id, generation): count for round_id, generation, count in database.execute(of_round)}


def small_disk(stage: Stage, times: int) -> Strikes:
    """A disk of its own, of some hundred kilobytes, in a name space of its own: nobody has to be root."""
    sizes = [str(stage.rng.randrange(100, 2500)) for _ in range(times)]
    command = [sys.executable, "-m", "tests.chaos.small_disk", str(stage.fresh()), *sizes]
    done = subprocess.run(["unshare", "--user", "--map-root-user", "--mount", *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    yield from done.stdout.splitlines()


def may_mount() -> bool:
    """Whether this machine lets anyone have a small disk."""
    if shutil.which("unshare") is None:
        return False
    mounting = "mount -t tmpfs none /mnt"
    tried = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mounting]
    return subprocess.run(tried, capture_output=True).returncode == 0


# -- the world changes ------------------------------------------------------------------------------------------------


class Jumping(datetime):
    """A clock that jumps by up to a year, forwards and backwards, whenever it is asked."""

    @classmethod
    def now(cls, tz=None):  # type: ignore[no-untyped-def]
        return datetime.now(tz) + timedelta(seconds=Random(time.perf_counter_ns()).uniform(-3e7, 3e7))


def clock_jumps(stage: Stage, times: int) -> Strikes:
    def jump() -> None:
        studies.database.rows.datetime = studies.database.trials.datetime = Jumping  # type: ignore[attr-defined, misc]
        time.time = lambda: Jumping.now().timestamp()

    calm = stage.calm(ONE_SUPERNET)
    for _ in range(times):
        folder = stage.fresh()
        child = stage.start(folder, ONE_SUPERNET, jump)
        if not child.ended(stage.rng.uniform(0, 1)):
            child.kill()
        stage.run(folder, ONE_SUPERNET, jump)
        assert state(folder) == calm
        with sqlite3.connect(folder / "evo.db") as database:
            written = [row[0] for row in database.execute("SELECT created_at FROM evaluations ORDER BY id")]
        assert written != sorted(written), "the clock did not jump"
        yield ""


def data_changed(stage: Stage, times: int) -> Strikes:
    calm = stage.calm(BY_TABLE)
    for number in range(times):
        folder = stage.fresh()
        table = folder / "table.csv"
        stage.run(folder, ["1", *BY_TABLE[1:]])
        before, good = state(folder), table.read_text()
        lines = good.splitlines()
        row = stage.rng.randrange(1, len(lines))
        lines[row] = lines[row].split(",")[0] + ",0.123"
        table.write_text("\n".join(lines))
        said = stage.run(folder, BY_TABLE, code=1)
        assert state(folder) == before
        if number % 2:
            stage.run(folder, [*BY_TABLE, "--accept-data-change"])
            stage.run(folder, ["3", *BY_TABLE[1:]])
        else:
            table.write_text(good)
            stage.run(folder, BY_TABLE)
            assert state(folder) == calm
        yield line_with("error", said)


def line_with(text: str, said: str) -> str:
    """The line that says it."""
    found = [line for line in said.splitlines() if text in line]
    assert found, f"nobody said {text!r}: {said}"
    return found[0]


CALM = "the calm run's results, spaces, weights and trials"

FAULTS = {
    "coordinator": Fault(
        "`kill -9` of the coordinator at a random moment",
        "the same command goes on; it says from whom it took the run over",
        CALM, 50, 60, coordinator_killed,
    ),
    "coordinator-of-workers": Fault(
        "`kill -9` of the coordinator of two workers",
        "the same command goes on; its workers ended with it",
        CALM, 4, 20, coordinator_of_workers_killed,
    ),
    "worker": Fault(
        "`kill -9` of one of two workers at a random moment", "nothing: its work is done again", CALM, 10, 40, worker_killed
    ),
    "workers-4": Fault("`--workers 4` instead of 1", "nothing", CALM, 1, 15, elsewhere.more_workers),
    "cluster": Fault(
        "`--cluster local:2`, and `kill -9` of one of its workers at a random moment", "nothing: its work is done again",
        CALM, 6, 60, elsewhere.cluster_loses_workers,
    ),
    "rank": Fault(
        "`kill -9` of one of two processes under torchrun", "", "the calm run's of two processes, when it is called again",
        2, 60, elsewhere.rank_killed,
    ),
    "postgresql": Fault("PostgreSQL instead of SQLite", "nothing", CALM, 1, 15, elsewhere.on_postgresql),
    "connection": Fault(
        "all connections to PostgreSQL cut at a random moment", "`the database does not answer; trying again`", CALM, 20, 30,
        elsewhere.connections_cut,
    ),
    "raises": Fault("an evaluator raises", "", "failed trials; all others as ever", 2, 3, moody(raising)),
    "nan": Fault("an evaluator says NaN", "", "the same trials failed", 2, 3, moody(saying_nan)),
    "hangs": Fault(
        "an evaluator hangs (`evaluator.timeout` is set)", "", "the same trials failed", 1, 10,
        moody(hanging, "--set", "evaluator.timeout=0.5"),
    ),
    "dies": Fault(
        "an architecture kills whatever process measures it", "", "the same trials failed", 1, 20,
        moody(dying, "--workers", "2"),
    ),
    "everything-fails": Fault(
        "every architecture fails for one reason", "", f"nothing recorded; mended, {CALM}", 2, 3, everything_fails
    ),
    "progress": Fault(
        "progress of a training cut short, or one bit of it turned; every third time that of the epoch before, too", "",
        CALM, 9, 25, progress_damaged,
    ),
    "weights": Fault("finished supernets cut short, or one bit turned", "", CALM, 6, 25, weights_damaged),
    "lost-weights": Fault(
        "weights lost that cannot be made again (other libraries, another machine)", "", "nothing changed", 1, 3,
        weights_of_others,
    ),
    "page": Fault(
        "a page of the SQLite file overwritten", "", f"not a byte written; brought back, {CALM}", 20, 15, page_damaged
    ),
    "no-database": Fault("another file in the database's place", "", "not a byte written", 3, 2, no_database),
    "full-recording": Fault(
        "no file may grow any more, while a generation is recorded", "", f"whole generations only; then {CALM}", 4, 12,
        full_while_recording,
    ),
    "full-checkpointing": Fault(
        "no file may grow any more, while a supernet is trained", "", f"no draft; then {CALM}", 4, 12, full_while_checkpointing
    ),
    "small-disk": Fault("a disk of 0.1 to 2.5 MB", "", f"no draft; with more room, {CALM}", 4, 30, small_disk),
    "clock": Fault(
        "a clock that jumps by up to a year whenever it is asked, and a `kill -9`", "nothing", CALM, 2, 12, clock_jumps
    ),
    "data": Fault(
        "a row of the table changed between rounds", "",
        f"nothing changed; brought back, {CALM}; with `--accept-data-change` it goes on", 4, 8, data_changed,
    ),
}  # fmt: skip
"""By name. What may not be possible on a machine stands in ``POSSIBLE``."""

POSSIBLE: dict[str, Callable[[], bool]] = {
    "small-disk": may_mount,
    "postgresql": elsewhere.has_postgres,
    "connection": elsewhere.has_postgres,
}
