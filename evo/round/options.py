"""What a call of ``evo.search`` or a command line of ``python -m evo.round`` asks for, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studies.controls import Control
from studies.records import EvoError
from studies.settings_text import override_text

if TYPE_CHECKING:
    from studies.config import StudyConfig

STORAGE = "sqlite:///evo.db"
"""The database where none is named."""

DEFAULT_RUN = "digits"
"""The preset, and so the run, where none is named."""

CLUSTER = re.compile(r"\w+://\S+:\d+|local:[1-9]\d*|.+\.toml")
"""The address of a Dask scheduler, so many processes here, or a TOML file that names a queue."""

CLUSTER_FORMS = (
    "the address of a Dask scheduler (tcp://HOST:8786), processes here (local:4), or a TOML file that names a queue "
    "(slurm.toml)"
)


@dataclass(frozen=True)
class RunOptions:
    """What is to be brought to the end of a round, and with what.

    Attributes:
        rounds: the last round to finish, from 1.
        config: a preset's name, a TOML file, or settings; None: those of ``run``, where it exists, else ``digits``.
        run: the run's name; None: that of the preset or file.
        seed: the run's seed; None: the configuration's.
        repeat: this many seeds, from the run's own on, each of them a run.
        control: what the run is compared with, values of ``Control``: runs beside it, and networks that need no search.
        overrides: settings that differ from ``config``, as ``section.key=value``.
        learn_from: other runs of the database whose measurements teach the surrogate.
        plugins: files and modules to load beside those that ``config`` names.
        workers: processes that evaluate; ``cluster``: evaluates instead of them (see ``CLUSTER``).
        accept_data_change: whether a run goes on when its data are no longer those it began with.

    Raises:
        EvoError: a value cannot be, a file is missing, or two of them exclude each other.
    """

    rounds: int
    config: str | Mapping[str, Any] | StudyConfig | None = None
    run: str | None = None
    storage: str = STORAGE
    seed: int | None = None
    repeat: int = 1
    control: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    learn_from: tuple[str, ...] = ()
    plugins: tuple[str, ...] = ()
    workers: int = 1
    cluster: str | None = None
    accept_data_change: bool = False

    def __post_init__(self) -> None:
        if self.learn_from:
            taught = override_text("search.learn_from", list(self.learn_from))
            object.__setattr__(self, "overrides", (*self.overrides, taught))
        for name, least in (("rounds", 1), ("repeat", 1), ("workers", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise EvoError(f"{name} is {value!r}: expected a whole number from {least}")
        for name in self.control:
            if name not in set(Control):
                raise EvoError(f"control is {name!r}: expected one or more of {', '.join(Control)}")
        if self.cluster is not None and not CLUSTER.fullmatch(self.cluster):
            raise EvoError(f"cluster is {self.cluster!r}: expected {CLUSTER_FORMS}")
        if self.cluster is not None and self.cluster.endswith(".toml") and not Path(self.cluster).is_file():
            raise EvoError(f"cluster is {self.cluster!r}: no such file; expected {CLUSTER_FORMS}")
        if self.cluster is not None and self.workers > 1:
            raise EvoError(f"workers is {self.workers} and cluster is {self.cluster!r}: leave one of them out")

    @property
    def control_runs(self) -> tuple[Control, ...]:
        """The control arms that are runs of their own."""
        return tuple(control for control in map(Control, dict.fromkeys(self.control)) if control.searches)

    @property
    def no_search(self) -> tuple[Control, ...]:
        """The control arms that need no search; beside what is cut out of a trained network without one, that network."""
        asked = [control for control in map(Control, self.control) if not control.searches]
        return tuple(dict.fromkeys([*asked, *([Control.WHOLE] if Control.PRETRAINED in asked else [])]))

    @property
    def settings_name(self) -> str | None:
        """What a run is called after these settings, a preset's name or a file's; None: settings without a name."""
        if self.config is None or isinstance(self.config, str):
            return Path(self.config or DEFAULT_RUN).stem
        return None


def overrides_of(given: Mapping[str, Any] | Sequence[str]) -> tuple[str, ...]:
    """Settings to override, given as a mapping or as ``section.key=value``, in the second form.

    Raises:
        EvoError: a single text is given, or a value that no configuration can hold.
    """
    if isinstance(given, str):
        raise EvoError(f"set is {given!r}: expected a mapping or a list, such as {{'search.evaluations': 32}}")
    if isinstance(given, Mapping):
        return tuple(override_text(key, value) for key, value in given.items())
    return tuple(given)
