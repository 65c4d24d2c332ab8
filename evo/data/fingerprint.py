"""What a run's results rest on, as one sha256: data that change between rounds are noticed, and never mixed in silence."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import get_args

import numpy as np

from evo.data.datasets import maker_of, raw_dataset
from evo.data.loading import forget_datasets
from evo.data.paths import candidate_paths, file_hash
from evo.data.raw import DatasetMaker
from evo.data.source import Coverage
from studies.config import DataSection, EvaluatorSection, StudyConfig
from studies.database.rows import StoredRun
from studies.records import EvoError

SHORT = 12
"""Characters of a fingerprint that a person compares."""


def check_fingerprint(run: StoredRun, accept: bool) -> str:
    """The fingerprint of the data now: the one that the run rests on, or any where it has none yet or ``accept`` says so.

    Raises:
        EvoError: it is another one.
    """
    current, known = fingerprint(run.config), run.data_sha256
    if known is None or known == current:
        return current
    if coverage_of(run) is not None:
        return known
    if not accept:
        which = f" (images, tables, or the latency table {run.config.latency.path!r})" if run.config.latency else ""
        raise EvoError(
            f"run {run.name!r} was begun on data with the fingerprint {known[:SHORT]}, and the data found now have "
            f"{current[:SHORT]}: they{which} were changed, extended or replaced. Put the old data back, or begin another run "
            "(--run NAME); with --accept-data-change the run continues, and its report mentions the change"
        )
    return current


def coverage_of(run: StoredRun) -> Coverage | None:
    """What the fingerprint covers that a run was begun with, where the data found now have it: the run goes on with that, for
    its files are named after it. None: they have another, or the run has none yet."""
    known, config = run.data_sha256, run.config
    fits = (
        coverage
        for coverage in get_args(Coverage)
        if known in (fingerprint(config, coverage), fingerprint(_without_latency(config), coverage))
    )
    return next(fits, None) if known else None


def _without_latency(config: StudyConfig) -> StudyConfig:
    """As runs were begun before latency tables counted; they go on so, for their files are named after the fingerprint."""
    return config.model_copy(update={"latency": None})


def fingerprint(config: StudyConfig, coverage: Coverage = "usual") -> str:
    """sha256 of the images that train and judge, and of the tables that answer or tell latencies, as far as a configuration
    uses them."""
    judges: list[EvaluatorSection] = [
        config.evaluator,
        *([config.ground_truth.table] if config.ground_truth.table else []),
    ]
    parts = [_hash_images(config.data, maker_of(config.data), coverage)] if reads_images(config) else []
    tables = [*(name for judge in judges for name in judge.files()), *([config.latency.path] if config.latency else [])]
    parts += [file_hash(path) for name in tables for path in _existing_file(name)]
    return sha256("".join(parts).encode()).hexdigest()


def reads_images(config: StudyConfig) -> bool:
    """Whether a configuration trains or measures on the images of ``[data]``."""
    return config.evaluator.uses_images or (config.ground_truth.sample > 0 and config.ground_truth.table is None)


def hash_images(section: DataSection, run: StoredRun | None = None) -> str:
    """sha256 of all images and labels that a section names; it covers what the fingerprint of a ``run`` on them covers."""
    begun = run is not None and section == run.config.data and reads_images(run.config)
    coverage = coverage_of(run) if run and begun else None
    return _hash_images(section, maker_of(section), coverage or "usual")


def forget_data() -> None:
    """Let images be read and hashed anew: since the last command of this process (a notebook's), they may have changed."""
    forget_datasets()
    _hash_images.cache_clear()


@lru_cache(maxsize=6)
def _hash_images(section: DataSection, maker: DatasetMaker, coverage: Coverage) -> str:
    """Of images and labels as they are kept, before anything is computed: no library's version plays a part."""
    digest = sha256()
    for part in raw_dataset(section, maker).parts:
        for piece in _content(part) if isinstance(part, np.ndarray) else part.content(coverage):
            digest.update(piece)
    return digest.hexdigest()


def _content(array: np.ndarray) -> Iterator[bytes | memoryview]:
    yield repr((str(array.dtype.kind), array.shape)).encode()
    yield np.ascontiguousarray(array).data


def _existing_file(name: str) -> list[Path]:
    """The file that a configuration names; none where it is missing."""
    return [path for path in candidate_paths(name) if path.is_file()][:1]
