"""What every command that trains networks of a finished run begins with: the run, its settings, its images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from evo.alone.images import taught_without_labels, with_augmentation
from evo.console import Reporter, warn
from evo.data.fingerprint import check_fingerprint, forget_data, reads_images
from evo.data.inspection import inspect_data, tell
from evo.workers.executors import local_executor
from evo.workers.ranks import current_group
from evo.workers.torchrun import started_processes
from studies.config import StudyConfig, change_config
from studies.database.rows import StoredRun
from studies.database.store import Store, open_store
from studies.database.urls import require_existing
from studies.records import EvoError


@contextmanager
def open_run(name: str, storage: str, overrides: Sequence[str] = ()) -> Iterator[tuple[Store, StoredRun, StudyConfig]]:
    """The database, the run in it, and its settings with ``overrides`` of what a training depends on.

    Torch has as many threads as these settings say, as long as the database is open, on all of torchrun's processes.

    Raises:
        EvoError: the database or the run is missing, a setting cannot be, or torchrun has started several processes that do
            not work together: those of a user's script.
    """
    if (processes := started_processes()) > 1 and current_group().size == 1:
        raise EvoError(
            f"torchrun has started {processes} processes, and each of them would deliver: "
            "torchrun ... -m evo.deliver delivers on all of them together"
        )
    forget_data()
    with open_store(require_existing(storage), read_only=True) as store:
        store.key(name)
    with open_store(storage) as store:
        run = store.run(name)
        config = training_settings(run, overrides)
        with local_executor(1, config.threads):
            yield store, run, config


def inspect_images(run: StoredRun, config: StudyConfig, reporter: Reporter, accept_data_change: bool) -> None:
    """Say what images there are.

    Raises:
        EvoError: they are not those that the run was begun on, and ``accept_data_change`` is not set.
    """
    if reads_images(run.config) and config.data == run.config.data:  # else the user names other images
        check_fingerprint(run, accept_data_change)
    tell(inspect_data(config.data, config.device, reporter.track), reporter.say, warn)


def training_settings(run: StoredRun, overrides: Sequence[str]) -> StudyConfig:
    """The run's settings with ``section.key=value`` overrides of what a training depends on, all of it said.

    Raises:
        EvoError: another setting is to be changed, or to a value that cannot be.
    """
    for override in overrides:
        if override.split(".")[0].split("=")[0].strip() not in ("deliver", "data", "device", "precision", "threads"):
            raise EvoError(
                f"--set {override!r}: run {run.name!r} was searched with its own settings; "
                "those of deliver and data, device, precision and threads may be changed here"
            )
    return taught_without_labels(with_augmentation(change_config(run.config, overrides, f"run {run.name!r}")))
