"""Where faults strike: runs in processes of their own, what they said, and everything that may not differ afterwards."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pandas as pd
import psutil

from evo.round.__main__ import main
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace
from studies.database.store import open_store

SUPERNET = [
    "2",
    "--quiet",
    "--set",
    "evaluator.epochs=3",
    "--set",
    "data.max_images=200",
    "--set",
    "search.evaluations=12",
]
SUPERNET += ["--set", "search.population=6", "--set", "ground_truth.sample=0"]
"""Two rounds of PAD-NAS on some of the digits, each with a supernet of its own: seconds."""

BY_TABLE = ["2", "--config", "table.toml", "--quiet"]
"""Two rounds by a table, in a folder that has it."""

ROOT = Path(__file__).resolve().parent.parent.parent

POOL = ("mb_k3_e1", "mb_k3_e3", "mb_k5_e1", "mb_k5_e3")
TABLE = """
[space]
name = "pool"
path = "space.json"
[evaluator]
kind = "tabular"
path = "table.csv"
separator = "|"
[search]
evaluations = 24
population = 8
[evolution]
method = "pad_nas"
"""

QUERIES = (
    "SELECT round, number, arch, judge, accuracy, macs, params FROM results ORDER BY round, number",
    "SELECT round, number, arch FROM failures ORDER BY round, number",
    "SELECT number, state, space_json, next_space_json, judge, hypervolume FROM rounds ORDER BY number",
    "SELECT round_id, layer, op, rating, share, fate FROM choices ORDER BY id",
    "SELECT round_number, kind, sha256 FROM checkpoints ORDER BY round_number",
    "SELECT judge, canonical, COUNT(*) FROM evaluations GROUP BY judge, canonical ORDER BY judge, canonical",
)

State = list[Any]


def state(folder: Path) -> State:
    """All that may not differ: results, failures, spaces, fates, the weights' hashes, and Optuna's trials."""
    return state_at(url(folder))


def state_at(storage: str) -> State:
    """The same of any database."""
    with open_store(storage) as store:
        found: State = [listed(store.frame(query)) for query in QUERIES]
        found[-1].sort()  # databases order strings in their own ways
        for study in optuna.get_all_study_names(store.optuna):
            trials = optuna.load_study(study_name=study, storage=store.optuna).trials
            found.append([(t.number, t.state, t.params, t.values, t.system_attrs) for t in trials])
        return found


def listed(frame: pd.DataFrame) -> list[list[object]]:
    """Its rows; None where SQL has NULL: NaN would differ from itself."""
    rows: list[list[object]] = frame.astype(object).where(frame.notna(), None).values.tolist()
    return rows


def url(folder: Path) -> str:
    return f"sqlite:///{folder}/evo.db"


@dataclass
class Child:
    """A command in a process of its own.

    Attributes:
        said: the file that it writes to.
    """

    pid: int
    said: Path
    code: int | None = None

    def ended(self, seconds: float | None = None) -> bool:
        """Whether it has ended, after waiting for it (None: for as long as it takes)."""
        until = time.monotonic() + (600.0 if seconds is None else seconds)
        while self.code is None:
            found, status = os.waitpid(self.pid, os.WNOHANG)
            if found:
                self.code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                assert seconds is not None, f"nothing has happened for 600 seconds: {self.words()}"
                return False
            else:
                time.sleep(0.005)
        return True

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self.ended()

    def words(self) -> str:
        return self.said.read_text(errors="replace")

    def workers(self) -> list[int]:
        """Its worker processes: copies of one of its children, or, on a cluster, children of its own."""
        with suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.pid).children()
            servers = [child for child in children if "forkserver" in str(child.cmdline())]
            spawned = [child.pid for child in children if "spawn_main" in str(child.cmdline())]
            return [worker.pid for server in servers for worker in server.children()] + spawned
        return []


@dataclass
class Stage:
    """A place for runs.

    Attributes:
        rng: when and where faults strike.
        known: the states in which undisturbed runs end, by what they do.
        seconds: what the last of them took.
    """

    folder: Path
    rng: Random
    known: dict[str, State] = field(default_factory=dict)
    seconds: float = 0.0
    _made: int = 0

    def fresh(self) -> Path:
        """An empty folder, with what a run by a table needs."""
        self._made += 1
        folder = self.folder / str(self._made)
        folder.mkdir(parents=True)
        genes = list(product(POOL, repeat=4))
        layers = (Layer(Shape(8, 8, 1, 8), POOL),) * 4
        (folder / "space.json").write_text(SearchSpace("pool", layers, Stem(8, 1, size=8), Head(0, 10)).to_json())
        rows = [f"{'|'.join(arch)},{0.5 + 0.4 * (n * 89 % 256) / 256}" for n, arch in enumerate(genes)]
        (folder / "table.csv").write_text("\n".join(["arch,accuracy", *rows]))
        (folder / "table.toml").write_text(TABLE)
        return folder

    def start(self, folder: Path, work: Sequence[str], prepare: Callable[[], None] | None = None) -> Child:
        """``python -m evo.round`` in ``folder``; ``prepare`` is done first, in its process."""
        said = folder.with_suffix(".said")  # beside it: there is room
        pid = os.fork()
        if pid == 0:
            code = 70
            try:
                output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(output, 1)
                os.dup2(output, 2)
                sys.stdout = sys.stderr = os.fdopen(1, "w", closefd=False)
                os.chdir(folder)
                if prepare is not None:
                    prepare()
                code = main(["--storage", url(folder), *work])
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(code)
        return Child(pid, said)

    def run(self, folder: Path, work: Sequence[str], prepare: Callable[[], None] | None = None, code: int = 0) -> str:
        """The same to its end, which must be ``code``; gives what it said, without the folder's name."""
        child = self.start(folder, work, prepare)
        child.ended()
        assert child.code == code, f"expected exit status {code}, found {child.code}: {child.words()}"
        return words(child, folder)

    def calm(self, work: Sequence[str]) -> State:
        """The state in which an undisturbed run ends.

        A run by a supernet runs in this process: what it has to import and to load, all others that are forked from here
        have then. (A table is remembered by its name: its rows must not be known to those who may find other ones.)
        """
        key = " ".join(work)
        if key not in self.known:
            folder, started = self.fresh(), time.monotonic()
            if "--config" in work:
                self.run(folder, work)
            else:
                assert main([*work, "--storage", url(folder)]) == 0
            self.known[key], self.seconds = state(folder), time.monotonic() - started
        return self.known[key]


def words(child: Child, folder: Path) -> str:
    """What was said, in the words of someone who works in ``folder``; no traceback is among it."""
    said = child.words()
    assert "Traceback" not in said, said
    return re.sub(r"/[^ ]*/(?=evo_files|evo\.db)", "", said.replace(f"{folder}/", "")).strip()


def came(condition: Callable[[], object], child: Child, seconds: float = 60.0) -> bool:
    """Wait until something is so; False when the child has ended before."""
    started = time.monotonic()
    while not condition():
        if child.ended(0.002):
            return False
        assert time.monotonic() - started < seconds, child.words()
    return True
