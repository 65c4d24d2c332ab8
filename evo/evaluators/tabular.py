"""Answers from a benchmark table: one row per architecture."""

from __future__ import annotations

import math
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from evo.data.paths import candidate_paths, file_hash
from evo.evaluators import FitContext, Judge, with_costs
from evo.training.identity import identity
from spaces.architecture import Architecture
from spaces.costs.benchmark_tables import (
    TableColumns,
    additive_costs,
    arch_of_key,
    opaque_space,
    read_benchmark_table,
    restrict_costs,
    split_key,
    table_key,
)
from spaces.costs.table import CostTable
from spaces.errors import SpaceError
from spaces.files.tables import plain_name
from spaces.space import SearchSpace
from studies.config import StudyConfig, TabularSection
from studies.records import COSTS, Evaluation, EvoError

MAX_ENUMERATED = 100_000
"""A space of at most so many architectures is gone through where a table's spelling cannot be taken apart."""


@dataclass(frozen=True)
class Tabular:
    """Looks architectures up; a table's judgement holds in all rounds. ``origin`` is the space it was made in."""

    section: TabularSection
    origin: SearchSpace

    def fit(self, space: SearchSpace, context: FitContext) -> Judge:
        return TableJudge(self.section, self.origin, space, context.table)


@dataclass(frozen=True)
class TableJudge(Judge):
    """Costs come from the table too, where it has their columns."""

    section: TabularSection
    origin: SearchSpace = field(repr=False)
    space: SearchSpace = field(repr=False)
    table: CostTable = field(repr=False)

    @property
    def name(self) -> str:
        return f"table:{Path(self.section.path).name.split('.')[0]}"

    def measurable(self) -> MeasuredArchs | None:
        return measured_archs(self.section, self.origin, self.space)

    def __call__(self, archs: Sequence[Architecture]) -> list[Evaluation]:
        rows = _read_rows(self.section)
        blank = [Evaluation(arch, self.name, 0.0, macs=0, params=0) for arch in archs]
        return [self._look_up(evaluation, rows) for evaluation in with_costs(blank, self.table)]

    def answers_sha256(self) -> str:
        section, whole = self.section, self.origin if self.section.tokens == "indices" else None
        table = file_hash(_find_table(section).path)
        return identity("table", 1, table=table, settings=section.model_copy(update={"path": ""}), origin=whole)

    def priced(self, evaluations: Sequence[Evaluation]) -> list[Evaluation]:
        rows = _read_rows(self.section)
        return [
            replace(self._look_up(e, rows), accuracy=e.accuracy, failed=e.failed)
            for e in with_costs(evaluations, self.table)
        ]

    def _look_up(self, evaluation: Evaluation, rows: Mapping[str, Mapping[str, float]]) -> Evaluation:
        row = _key(self.section, self.origin, evaluation.arch)
        if row not in rows:
            return replace(evaluation, accuracy=math.nan, failed=f"{self.section.path!r} has no row for it")
        entry: dict[str, Any] = dict(rows[row])
        return replace(evaluation, accuracy=entry.pop("accuracy") * self.section.accuracy_scale, **entry)


@dataclass(frozen=True)
class MeasuredArchs(Collection[Architecture]):
    """What a table that lacks architectures of the judge's space has of them: all that a search can be told of."""

    section: TabularSection
    origin: SearchSpace
    space: SearchSpace

    def __contains__(self, arch: object) -> bool:
        return isinstance(arch, Architecture) and _has_row(_read_rows(self.section), self.section, self.origin, arch)

    def __iter__(self) -> Iterator[Architecture]:
        return iter(_archs_in(self.section, self.origin, self.space))

    def __len__(self) -> int:
        return len(_archs_in(self.section, self.origin, self.space))


def measured_archs(section: TabularSection, origin: SearchSpace, space: SearchSpace) -> MeasuredArchs | None:
    """What the table has of a space; None: all of it."""
    covered = len(_read_rows(section)) >= space.size and len(_archs_in(section, origin, space)) >= space.size
    return None if covered else MeasuredArchs(section, origin, space)


def _key(section: TabularSection, origin: SearchSpace, arch: Architecture) -> str:
    return table_key(arch, origin, section.tokens, section.separator)


def _has_row(rows: Container[str], section: TabularSection, origin: SearchSpace, arch: Architecture) -> bool:
    try:
        return _key(section, origin, arch) in rows
    except SpaceError:  # an operation that the first space did not have, and so no index
        return False


def _archs_in(section: TabularSection, origin: SearchSpace, space: SearchSpace) -> tuple[Architecture, ...]:
    """The architectures of a space for which the table has a row, in its order."""
    return _archs_of(_find_table(section), section, origin, space)


@lru_cache(maxsize=4)
def _archs_of(
    table: TableFile, section: TabularSection, origin: SearchSpace, space: SearchSpace
) -> tuple[Architecture, ...]:
    rows = _rows_of(table, section)
    spelled = (arch_of_key(key, origin, space, section.tokens, section.separator) for key in rows)
    found = tuple(arch for arch in spelled if arch is not None)
    if found or space.size > MAX_ENUMERATED:
        return found
    # tokens that nothing separates
    return tuple(arch for arch in space.enumerate() if _has_row(rows, section, origin, arch))


def tabular(config: StudyConfig, space: SearchSpace) -> Tabular:
    """The evaluator of a configuration whose ``evaluator.kind`` is ``tabular``.

    Raises:
        EvoError: the table is missing, or has none of the space's architectures; a missing column is a SpaceError.
    """
    assert isinstance(config.evaluator, TabularSection)
    return table_evaluator(config.evaluator, space)


def table_evaluator(section: TabularSection, space: SearchSpace) -> Tabular:
    """The evaluator that looks up what a table has of a space.

    Raises:
        EvoError: the table is missing, or has none of the space's architectures; a missing column is a SpaceError.
    """
    rows = _read_rows(section)
    if not _archs_in(section, space, space):
        example = _key(section, space, space.sample(Random(0)))
        raise EvoError(
            f"{section.path!r} has no row for any architecture of {space.name!r}: expected {section.arch_column!r} to hold "
            f"such as {example!r}, found {next(iter(rows), None)!r}; see tokens and separator"
        )
    return Tabular(section, space)


def table_space(section: TabularSection) -> SearchSpace:
    """The space that the table spells out (``space.name = "table"``)."""
    rows = _read_rows(section)
    try:
        return opaque_space("table", rows, section.separator)
    except ValueError as error:
        raise EvoError(f"evaluator.path is {section.path!r}, which spells out no space: {error}") from None


def table_costs(section: TabularSection, space: SearchSpace) -> CostTable:
    """Costs of a part of ``table_space``: the table's, taken apart into one number per layer and gene.

    Raises:
        EvoError: the configuration names no column of MACs.
    """
    if section.macs_column is None:
        raise EvoError("space.name is 'table', which needs evaluator.macs_column: what architectures cost")
    return _costs_of(_find_table(section), section, space)


@lru_cache(maxsize=4)
def _costs_of(table: TableFile, section: TabularSection, space: SearchSpace) -> CostTable:
    rows, whole = _rows_of(table, section), table_space(section)
    archs = [Architecture(split_key(row, section.separator)) for row in rows]
    costs = {name: [row[name] for row in rows.values()] for name in COSTS if name in next(iter(rows.values()))}
    costs_table = additive_costs(whole, archs, costs["macs"], costs.get("params"), costs.get("latency_ms")).table
    return restrict_costs(costs_table, space)


def _read_rows(section: TabularSection) -> Mapping[str, Mapping[str, float]]:
    """Key -> accuracy and the costs that the table has, by their names here."""
    return _rows_of(_find_table(section), section)


class TableFile(NamedTuple):
    """A table's file, and what tells that another one lies there now: a notebook's process sees many."""

    path: Path
    whole_path: Path
    size: int
    changed: int


def _find_table(section: TabularSection) -> TableFile:
    path = next((path for path in candidate_paths(section.path) if path.is_file()), None)
    if path is None:
        raise EvoError(
            f"evaluator.path is {section.path!r}: no such table here, nor below the folder EVO_DATA; give the path with "
            "--set evaluator.path=FILE, or set the environment variable EVO_DATA to the folder that holds it"
        )
    state = path.stat()
    return TableFile(path, path.absolute(), state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=2)
def _rows_of(table: TableFile, section: TabularSection) -> Mapping[str, Mapping[str, float]]:
    columns = TableColumns(
        section.arch_column, section.accuracy_column, section.macs_column, section.params_column, section.latency_column
    )
    _check_columns_differ(section)
    frame = read_benchmark_table(table.path, columns, section.accuracy_scale)
    names = {
        columns.accuracy: "accuracy",
        columns.macs: "macs",
        columns.params: "params",
        columns.latency_ms: "latency_ms",
    }
    values = frame.rename(columns={old: new for old, new in names.items() if old is not None})
    return dict(zip(frame[columns.arch], values.drop(columns=columns.arch).to_dict("records"), strict=True))


def _check_columns_differ(section: TabularSection) -> None:
    """Raises EvoError where one column is named for two things."""
    named: dict[str, str] = {}
    for key in ("arch_column", "accuracy_column", "macs_column", "params_column", "latency_column"):
        column = getattr(section, key)
        if column is not None and (other := named.setdefault(plain_name(column), key)) != key:
            raise EvoError(
                f"evaluator.{other} and evaluator.{key} are both {column!r}: expected a column of its own for each; name "
                f"another one with --set evaluator.{key}=COLUMN, or leave out what the table does not have"
            )
