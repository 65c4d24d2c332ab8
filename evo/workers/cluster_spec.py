"""Which cluster ``--cluster`` means: one that runs (``tcp://HOST:8786``), processes here (``local:4``), or a queue's jobs.

The last is a TOML file: how many jobs, and a table named after the queue system, with keywords of dask-jobqueue's class::

    jobs = 20                       # or adapt = [1, 20]: as many as there is work for
    [slurm]                         # or pbs, sge, lsf, oar, moab, htcondor; local: processes here, to try it out
    queue = "gpu"
    cores = 4
    memory = "16GB"
    walltime = "08:00:00"
    job_extra_directives = ["--gres=gpu:1"]

A table ``[scheduler]`` names a running one instead, ``address``, and the ``resources`` that a piece of work needs there.
``patience``, beside it, are the seconds that there may be no worker at all.
"""

from __future__ import annotations

import logging
import re
import shlex
import shutil
import signal
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import cryptography  # noqa: F401  (Dask asks for it only when it makes a certificate)
import dask
from distributed import Client, Nanny, Scheduler, SpecCluster, Status
from distributed.security import Security
from distributed.versions import VersionMismatchWarning

from evo.workers.gpus import own_gpu, visible_gpus
from spaces.errors import SpaceError
from spaces.files.text import read_text
from studies.records import EvoError

CONNECT_TIMEOUT = 10
"""Seconds in which a scheduler that runs must answer."""

WORKER_TIMEOUT = 600.0
"""Seconds that a scheduler may be without any worker."""

QUEUE_TIMEOUT = 86400.0
"""The same where workers are jobs that wait for their turn."""

LOOPBACK = "127.0.0.1"

QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "moab": "MoabCluster",
    "htcondor": "HTCondorCluster",
    "local": "LocalCluster",
}
"""Modules of dask_jobqueue, and the class of each."""


@dataclass(frozen=True)
class ClusterSpec:
    """What is known of a cluster.

    Attributes:
        name: as it is called in messages.
        patience: seconds that it may be without any worker.
        resources: what a worker must have to be given work, by the names and amounts that it was started with.
        revive: start again what has ended unasked, if it was started here.
    """

    name: str
    worker_timeout: float = WORKER_TIMEOUT
    resources: Mapping[str, float] = field(default_factory=dict)
    restart_lost: Callable[[], None] = lambda: None


@contextmanager
def connect_client(where: str) -> Iterator[tuple[Client, ClusterSpec]]:
    """A client of the cluster that ``--cluster`` names; what was started for it ends with it.

    Raises:
        EvoError: there is no such cluster, or it could not be started.
    """
    with ExitStack() as stack:
        stack.enter_context(quiet_dask())
        stack.enter_context(dask.config.set(DASK_SETTINGS))
        address: Any = where
        spec = ClusterSpec(where)
        if where.startswith("local:"):
            count = int(where.removeprefix("local:"))
            address = stack.enter_context(_start_local_cluster(count))
            spec = ClusterSpec(where, restart_lost=partial(_restart_lost, address, n=count))
        elif where.endswith(".toml"):
            settings = _read_cluster_file(Path(where))
            if "scheduler" in settings:
                address, spec = _running_scheduler(settings, where)
            else:
                address = stack.enter_context(_start_queue_cluster(settings, where))
                revive = (
                    partial(_restart_lost, address, jobs=settings["jobs"]) if "jobs" in settings else (lambda: None)
                )
                spec = ClusterSpec(
                    f"the queue of {where}", settings.get("patience", QUEUE_TIMEOUT), restart_lost=revive
                )
        try:
            client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False, name="evo")
        except (OSError, RuntimeError, ValueError) as error:
            raise EvoError(
                f"no Dask scheduler answers at {address} within {CONNECT_TIMEOUT} seconds "
                f"({type(error).__name__}); start one there: dask scheduler"
            ) from None
        yield stack.enter_context(client), spec


ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+:\d+")

DASK_SETTINGS = {
    "distributed.scheduler.allowed-failures": 9,  # workers end for other reasons, too: a queue's time is up
    "distributed.scheduler.worker-saturation": 1.0,  # long work is not queued at a worker before it is free
    "distributed.worker.profile.enabled": False,
    "distributed.admin.large-graph-warning-threshold": "10GiB",
}
"""Of Dask, for what is started here."""


def _restart_lost(cluster: SpecCluster, **amount: int) -> None:
    """Start again what is missing of so many workers or jobs. Dask does so only when it is asked for an amount, and a
    process that died while it started stays on its books."""

    def revive() -> None:
        for name, worker in list(cluster.workers.items()):
            if worker.status in (Status.closed, Status.failed):
                del cluster.workers[name]
        cluster.scale(**amount)

    if cluster.loop is not None:
        cluster.loop.add_callback(revive)


# -- on this machine --------------------------------------------------------------------------------------------------


MAX_START_ATTEMPTS = 3
"""Times that workers are started before that is given up."""


def _start_local_cluster(count: int) -> SpecCluster:
    """So many workers here.

    Raises:
        EvoError: they end while they start.
    """
    for _ in range(MAX_START_ATTEMPTS):
        with suppress(RuntimeError):  # of one that was killed before it was there
            return _start_processes(count)
    raise EvoError(f"local:{count}: worker processes end while they start; is there too little memory for {count}?")


def _start_processes(count: int) -> SpecCluster:
    """Start ``count`` worker processes and a scheduler. They listen on this machine only, and accept only connections with the
    temporary certificate made here. GPUs are dealt out in turn."""
    security = Security.temporary()
    options = {
        "security": security,
        "protocol": "tls://",
        "nthreads": 1,
        "host": LOOPBACK,
        "dashboard": False,
        "dashboard_address": f"{LOOPBACK}:0",
        "memory_limit": 0,  # Dask pauses and kills by what a process uses; a training may use what there is
        "silence_logs": logging.CRITICAL,
    }
    gpus = visible_gpus()
    return SpecCluster(
        workers={i: {"cls": Nanny, "options": options | {"env": own_gpu(i, gpus)}} for i in range(count)},
        scheduler={
            "cls": Scheduler,
            "options": {
                "security": security,
                "protocol": "tls://",
                "host": LOOPBACK,
                "port": 0,
                "dashboard": False,
                "dashboard_address": f"{LOOPBACK}:0",
            },
        },
        security=security,
        silence_logs=logging.CRITICAL,
    )


# -- as a file says ---------------------------------------------------------------------------------------------------


def _read_cluster_file(path: Path) -> dict[str, Any]:
    """A file's tables and keys, checked.

    Raises:
        EvoError: it cannot be read, or a key or value cannot be.
    """
    try:
        settings = tomllib.loads(read_text(path))
    except (OSError, SpaceError, tomllib.TOMLDecodeError) as error:
        raise EvoError(f"--cluster {path}: cannot be read as TOML: {error}") from None
    tables = [name for name, value in settings.items() if isinstance(value, dict)]
    if len(tables) != 1 or tables[0] not in ("scheduler", *QUEUES):
        raise EvoError(
            f"{path}: expected one table, [scheduler] or one of {', '.join(f'[{name}]' for name in QUEUES)}; "
            f"found {', '.join(f'[{name}]' for name in tables) or 'none'}"
        )
    allowed = {"patience"} if tables[0] == "scheduler" else {"jobs", "adapt", "patience"}
    if unknown := settings.keys() - allowed - {tables[0]}:
        raise EvoError(
            f"{path}: unknown key {min(unknown)!r}; allowed outside [{tables[0]}]: {', '.join(sorted(allowed))}"
        )
    if (patience := settings.get("patience", 1)) is True or not (isinstance(patience, (int, float)) and patience > 0):
        raise EvoError(f"{path}: patience is {patience!r}: expected seconds")
    if tables[0] != "scheduler":
        _check_amounts(settings, path)
    return settings


def most_workers(path: str) -> int | None:
    """How many workers a queue's jobs are to have, at most; None: those of a scheduler that runs already.

    Raises:
        EvoError: the file cannot be read, or a key or value cannot be.
    """
    settings = _read_cluster_file(Path(path))
    if "scheduler" in settings:
        return None
    queue = next(name for name in QUEUES if name in settings)
    jobs = settings.get("jobs") or settings["adapt"][1]
    return int(jobs * settings[queue].get("processes", QUEUE_DEFAULTS["processes"]))


def _check_amounts(settings: Mapping[str, Any], path: Path) -> None:
    """Raises: EvoError: ``jobs`` or ``adapt`` is not what it must be, or not one of them is given."""
    jobs, adapt = settings.get("jobs"), settings.get("adapt")
    if (jobs is None) == (adapt is None):
        raise EvoError(f"{path}: expected one of jobs = 20 and adapt = [1, 20]")
    if jobs is not None and not (_is_positive_integer(jobs) and jobs >= 1):
        raise EvoError(f"{path}: jobs is {jobs!r}: expected a whole number from 1")
    if adapt is not None and not (
        isinstance(adapt, list)
        and len(adapt) == 2
        and all(map(_is_positive_integer, adapt))
        and 1 <= adapt[0] <= adapt[1]
    ):
        raise EvoError(f"{path}: adapt is {adapt!r}: expected the least and the most jobs, e.g. [1, 20]")


def _is_positive_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _running_scheduler(settings: Mapping[str, Any], where: str) -> tuple[str, ClusterSpec]:
    """The address that ``[scheduler]`` gives, and what is known of it."""
    table = settings["scheduler"]
    address, resources = table.get("address"), table.get("resources", {})
    if table.keys() - {"address", "resources"} or not ADDRESS.fullmatch(str(address)):
        raise EvoError(f'{where}: expected [scheduler] with address = "tcp://HOST:8786" and, if needed, resources')
    if not isinstance(resources, dict) or not all(isinstance(amount, (int, float)) for amount in resources.values()):
        raise EvoError(f"{where}: resources is {resources!r}: expected amounts by name, e.g. {{ GPU = 1 }}")
    return str(address), ClusterSpec(str(address), settings.get("patience", WORKER_TIMEOUT), resources)


QUEUE_DEFAULTS = {"processes": 1, "security": True, "silence_logs": logging.CRITICAL}
"""Keywords of a queue's class; its certificates lie in this folder, which jobs must see, as long as the command runs."""


def _start_queue_cluster(settings: Mapping[str, Any], where: str) -> Any:
    """A scheduler here whose workers are jobs of a queue, one thread each.

    Raises:
        EvoError: the queue's command is not here, or its keywords cannot be.
    """
    queue = next(name for name in QUEUES if name in settings)
    before = signal.getsignal(signal.SIGINT)
    kind = getattr(import_module(f"dask_jobqueue.{queue}"), QUEUES[queue])
    signal.signal(signal.SIGINT, before)  # the import takes Ctrl-C for itself
    submit = shlex.split(kind.job_cls.submit_command or sys.executable)[0]
    if shutil.which(submit) is None:
        raise EvoError(
            f"{where}: [{queue}] needs the command {submit}, which is not here: start where jobs are submitted"
        )
    own = dict(settings[queue])
    own["worker_extra_args"] = [*own.get("worker_extra_args", []), "--nthreads", "1"]
    own["scheduler_options"] = {"dashboard": False, "dashboard_address": f"{LOOPBACK}:0"} | own.get(
        "scheduler_options", {}
    )
    try:
        cluster = kind(**QUEUE_DEFAULTS | {"shared_temp_directory": str(Path.cwd())} | own)
    except (TypeError, ValueError, OSError, ImportError) as error:
        raise EvoError(f"{where}: [{queue}] is invalid: {' '.join(str(error).split()).split('. ')[0]}") from None
    if (adapt := settings.get("adapt")) is not None:
        # jobs are not given back between two generations, nor asked for one after the other
        cluster.adapt(
            minimum_jobs=adapt[0], maximum_jobs=adapt[1], interval="10s", wait_count=30, target_duration="100ms"
        )
    else:
        cluster.scale(jobs=settings["jobs"])
    return cluster


# -- what Dask would say ----------------------------------------------------------------------------------------------


NOISY_LOGGERS = (
    "distributed",
    "distributed.client",
    "distributed.gc",
    "bokeh",
    "tornado",
    "tornado.application",
    "asyncio",
)


@contextmanager
def quiet_dask() -> Iterator[None]:
    """Dask's own lines stay away from the terminal: what matters in them is said by ``evo.workers.dask_cluster``."""
    before = {name: logging.getLogger(name).level for name in NOISY_LOGGERS}
    for name in NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"(distributed|dask)\b")
            warnings.simplefilter("ignore", VersionMismatchWarning)
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
