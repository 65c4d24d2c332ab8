"""The functions of the Python interface: ``evo.search``, ``plan``, ``load``, ``runs``, ``compare``, ``measure_headroom``,
``verify_folder``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.cli import locate_runs
from analysis.findings import answers_at, frames_at, side_by_side
from evo.api.comparison import Comparison
from evo.api.run import Run
from evo.console import reporter
from evo.headroom import experiment
from evo.headroom.result import HeadroomResult
from evo.round.options import STORAGE, RunOptions, overrides_of
from evo.round.plan import Plan, make_plan
from evo.round.session import finish_rounds
from evo.verify import session
from evo.verify.finding import Verification
from evo.workers.main_guard import check_script, exit_in_worker
from studies.config import StudyConfig
from studies.database.store import open_store
from studies.database.urls import require_existing
from studies.records import EvoError
from studies.runs.manage import RunSummary, run_summaries

Config = str | Path | Mapping[str, Any] | StudyConfig
"""A preset's name, a TOML file, or settings: as tables, or checked already."""


def search(
    config: Config | None = None,
    *,
    rounds: int,
    storage: str = STORAGE,
    run: str | None = None,
    seed: int | None = None,
    seeds: int = 1,
    control: str | Sequence[str] = (),
    set: Mapping[str, object] | Sequence[str] = (),
    learn_from: str | Sequence[str] = (),
    plugins: str | Sequence[str] = (),
    workers: int = 1,
    cluster: str | Path | None = None,
    accept_data_change: bool = False,
    progress: bool = True,
) -> Run:
    """Bring a run to the end of a round: search its space, evolve it, and remember everything in SQL.

    As ``python -m evo.round`` does, with the same results. Finished rounds are skipped and an interrupted one goes on, so a
    second call changes nothing, and after Ctrl-C everything that was measured is kept.

    Args:
        config: a preset's name, a TOML file, or settings: as a mapping of sections, or a ``StudyConfig``. None: those of
            ``run``, where it exists, else the preset ``digits``.
        rounds: the last round to finish; earlier ones that are unfinished come first.
        storage: the URL of the database; an SQLite file is made where there is none.
        run: the run's name; None: the preset's, or the file's.
        seed: the run's seed; None: the configuration's. Another seed is another run: ``digits-seed1``.
        seeds: so many seeds, from the run's own on, each a run of its own.
        control: what the run is compared with, one or several: control arms in a space that never changes, ``"fixed"`` and
            ``"random"`` (searched at random); and networks that need no search, each trained alone beside the run's picks at
            three budgets: ``"uniform"``, ``"random-networks"``, ``"mobilenet_v2"``, ``"efficientnet_b0"``. ``Run.verdict``
            compares.
        set: settings that differ from ``config``: ``{"search.evaluations": 32}`` or ``["search.evaluations=32"]``.
        learn_from: other runs of the database, one or several, whose measurements teach the surrogate where they help; fixed
            when the run begins.
        plugins: files and modules of your own to load.
        workers: processes that evaluate; results do not depend on it.
        cluster: evaluates instead: a Dask scheduler's address, ``"local:4"``, or a TOML file that names a queue.
        accept_data_change: go on although the data are not those that the run began with.
        progress: whether lines and progress bars are shown.

    Returns:
        The run; of several seeds the first. Its other seeds and its control arms are in ``evo.runs(storage)``.

    Raises:
        UserError: something that the user can put right: a setting that cannot be, a file that is missing, a run that
            another process works on. What was measured is kept.

    Examples:
        >>> import evo
        >>> run = evo.search("digits", rounds=3)                                                # doctest: +SKIP
        >>> evo.search("digits", rounds=3, run="small", set={"limits.macs": [0, 2e5]})          # doctest: +SKIP
        >>> evo.search("digits", rounds=3, seeds=5, control="fixed", workers=2).verdict()       # doctest: +SKIP
    """
    exit_in_worker()
    if (processes := int(os.environ.get("WORLD_SIZE", "1"))) > 1:
        raise EvoError(
            f"torchrun has started {processes} processes, and evo.search runs in one: "
            "torchrun ... -m evo.round searches on all of them"
        )
    options = _options(
        config,
        rounds=rounds,
        storage=storage,
        run=run,
        seed=seed,
        repeat=seeds,
        control=_runs_of(control),
        overrides=overrides_of(set),
        learn_from=_runs_of(learn_from),
        plugins=_runs_of(plugins),
        workers=workers,
        cluster=None if cluster is None else str(cluster),
        accept_data_change=accept_data_change,
    )
    if options.workers > 1 or (options.cluster or "").startswith("local:"):
        check_script()
    finished = finish_rounds(options, reporter(progress))
    return Run(finished.runs[0].name, storage)


def plan(
    config: Config | None = None,
    *,
    rounds: int,
    run: str | None = None,
    seed: int | None = None,
    set: Mapping[str, object] | Sequence[str] = (),
    plugins: str | Sequence[str] = (),
    memory: str | None = None,
) -> Plan:
    """What ``search`` would do with the same arguments: the first space, what its architectures cost, the work to come, and how
    much memory it takes (``Plan.memory``, a ``StepMemory`` for each kind of step).

    Nothing is run or written.

    Args:
        memory: that of the device on which it would run, e.g. ``"80GB"``; None: that of this machine.

    Raises:
        UserError: a setting cannot be, or a file is missing.

    Examples:
        >>> import evo
        >>> print(evo.plan("digits", rounds=3))   # doctest: +SKIP
    """
    return make_plan(
        _options(config, rounds=rounds, run=run, seed=seed, overrides=overrides_of(set), plugins=_runs_of(plugins)),
        memory,
    )


def load(run: str, storage: str = STORAGE) -> Run:
    """A run that a database holds, finished or not.

    Raises:
        EvoError: there is no such database or run; the message names the runs that there are.

    Examples:
        >>> import evo
        >>> run = evo.load("digits", "sqlite:///evo.db")   # doctest: +SKIP
    """
    with open_store(require_existing(storage), read_only=True) as store:
        return Run(store.run(run).name, storage)


def runs(storage: str = STORAGE) -> pd.DataFrame:
    """All runs of a database, oldest first.

    Returns:
        A row per run: ``name``, ``method``, ``space``, ``evaluator``, ``seed``, ``rounds``, how many of them are
        ``finished``, ``proposals``, ``evaluations``, ``hypervolume`` of the last finished round, ``begun`` (UTC).

    Raises:
        EvoError: there is no such database.
    """
    with open_store(require_existing(storage), read_only=True) as store:
        summaries = run_summaries(store)
    return pd.DataFrame([asdict(entry) for entry in summaries], columns=[field.name for field in fields(RunSummary)])


def compare(runs: Sequence[Run | str], storage: str = STORAGE) -> Comparison:
    """Runs side by side, after equally many evaluations, in one common box.

    Args:
        runs: two or more: objects, names, or ``NAME@URL`` for one in another database.
        storage: the database of those that are given by name.

    Raises:
        EvoError: there are fewer than two, their objectives differ, one is missing or has measured nothing.

    Examples:
        >>> import evo
        >>> evo.compare(["digits", "digits-fixed"]).table()   # doctest: +SKIP
    """
    given = [runs] if isinstance(runs, (str, Run)) else runs
    places = [
        place
        for run in given
        for place in ([(run.name, run.storage)] if isinstance(run, Run) else locate_runs([run], [storage]))
    ]
    if not places:
        raise EvoError("expected two runs or more, found none")
    return Comparison(side_by_side(frames_at(places)), tuple(answers_at(places)))


def verify_folder(
    folder: str | Path,
    *,
    set: Mapping[str, object] | Sequence[str] = (),
    skip: Sequence[str] = (),
    plugins: str | Sequence[str] = (),
    progress: bool = True,
) -> Verification:
    """Whether a delivered network is still what was delivered, and does here what it did there.

    As ``python -m evo.verify`` does. Nothing is written.

    Args:
        folder: as ``Run.deliver`` or ``python -m evo.deliver`` has made it.
        set: other settings of ``data``, ``device`` or ``threads``: ``{"data.path": "photos"}``.
        skip: of ``"forms"``, ``"images"``, ``"latency"``.
        plugins: your own code, where the network has operations of it.

    Returns:
        All findings; ``same`` says whether none of them differs.

    Raises:
        UserError: the folder holds no delivered network, or a setting cannot be.

    Examples:
        >>> import evo
        >>> assert evo.verify_folder("delivered/digits", skip=["latency"]).same   # doctest: +SKIP
    """
    return session.verify_folder(folder, overrides_of(set), skip, _runs_of(plugins), reporter(progress))


def measure_headroom(
    config: Config | None = None,
    *,
    macs: float | None = None,
    networks: int = 6,
    seeds: int = 2,
    storage: str = STORAGE,
    seed: int | None = None,
    set: Mapping[str, object] | Sequence[str] = (),
    plugins: str | Sequence[str] = (),
    progress: bool = True,
) -> HeadroomResult:
    """How much is there to gain by searching a space at a budget: do its networks differ beyond the noise of training?

    Random networks of the budget are trained alone, several times each, as ``[deliver]`` says, on the training images, and
    measured on the validation images, as ``python -m evo.headroom`` does. A training is recorded when it ends; a second call,
    with more networks or seeds perhaps, trains only what is new.

    Args:
        config: a preset's name, a TOML file, or settings. None: the preset ``digits``.
        macs: the budget; networks have up to 5 % less or more. None: the middle of ``limits.macs``, or else the median of
            the space's random networks.
        networks: how many, at least three; ``seeds``: trainings of each, at least two.
        storage: the URL of the database; an SQLite file is made where there is none.
        seed: of the draw and of all trainings; None: the configuration's.
        set: settings that differ from ``config``: ``{"space.name": "rich_28"}``.
        plugins: files and modules of your own to load.
        progress: whether lines and progress bars are shown.

    Raises:
        UserError: something that the user can put right. What was trained is kept.

    Examples:
        >>> import evo
        >>> found = evo.measure_headroom("fashion_mnist", macs=3e6)   # doctest: +SKIP
        >>> found.statistics.sd_between, found.table()                # doctest: +SKIP
    """
    exit_in_worker()
    settings = _options(
        config,
        rounds=1,
        storage=storage,
        seed=seed,
        overrides=overrides_of(set),
        plugins=_runs_of(plugins),
    )
    options = experiment.HeadroomOptions(settings, networks, seeds, macs)
    return experiment.measure_headroom(options, reporter(progress))


def _options(config: Config | None, **others: Any) -> RunOptions:
    """Options whose configuration may be a path."""
    return RunOptions(config=str(config) if isinstance(config, Path) else config, **others)


def _runs_of(given: str | Sequence[str]) -> tuple[str, ...]:
    """One name, or some."""
    return (given,) if isinstance(given, str) else tuple(given)
