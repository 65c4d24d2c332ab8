"""Tables of architectures: what a user, or a published benchmark, has measured; one row per architecture.

Where a table's genes are operations of ``spaces.operations``, ``key`` spells an architecture as the table does. Where
they are tokens that only the table understands (channel counts, digits), ``opaque_space`` reads the search space off
the table, and ``additive_costs`` what each token costs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from spaces.architecture import IDENTITIES, Architecture, Op
from spaces.costs.table import WITHOUT_TARGET, CostTable, Floats, LayerCosts
from spaces.errors import SpaceError
from spaces.files.tables import Table, number_error, read_table
from spaces.layer import Head, Layer, Shape, Stem
from spaces.space import SearchSpace

EXACT = 1e-9
"""Sums that are off by less, as a share of the mean cost, differ in rounding only."""


TOO_LOW = 0.02
"""Where no accuracy of a table is higher than this, it was scaled in vain: chance alone is better with 50 classes."""


class TableColumns(NamedTuple):
    """What a table calls its columns; None: it has no such column."""

    arch: str
    accuracy: str
    macs: str | None = None
    params: str | None = None
    latency_ms: str | None = None


def read_benchmark_table(path: str | Path, columns: TableColumns, accuracy_scale: float | None = None) -> pd.DataFrame:
    """The named columns of a csv file, or a compressed one: architectures as strings, all others as floats.

    Args:
        accuracy_scale: what turns the table's accuracies into fractions, which are then checked. They are returned as they
            stand. None: they may be any numbers.

    Raises:
        SpaceError: the file or a column is missing, an architecture stands twice, a value is no finite number, a cost is
            negative, or an accuracy is no fraction; the message names the file, the line and the column.
    """
    path = Path(path)
    if not path.is_file():
        raise SpaceError(f"no table {path}: expected a csv or csv.gz file with one row per architecture")
    table = read_table(path, ragged=True)
    costs = [column for column in columns[2:] if column is not None]
    archs = pd.Series(table.texts(columns.arch), dtype=str)
    frame = pd.DataFrame(
        {columns.arch: archs}
        | {columns.accuracy: _numbers(table, columns.accuracy, -np.inf)}
        | {column: _numbers(table, column, 0.0) for column in costs}
    )
    if accuracy_scale is not None:
        _check_accuracies(table, frame, columns.accuracy, accuracy_scale)
    if (twice := archs.duplicated()).any():
        row = int(twice.argmax())
        raise SpaceError(
            f"{path}, line {table.lines[row]}: {archs[row]!r} stands twice in {columns.arch}, expected one row per architecture"
        )
    return frame


def _numbers(table: Table, column: str, least: float) -> pd.Series:
    """A column's numbers."""
    texts = table.texts(column)
    numbers = pd.to_numeric(pd.Series(texts, dtype=str), errors="coerce").astype(float)
    if (wrong := ~(np.isfinite(numbers) & (numbers >= least))).any():
        row = int(wrong.argmax())
        raise number_error(texts[row], table.where(row, column), least)
    return numbers


def _check_accuracies(table: Table, frame: pd.DataFrame, column: str, scale: float) -> None:
    """Raises SpaceError: an accuracy is less than 0, or more than 1, or all look like fractions that were scaled once more."""
    scaled = frame[column] * scale
    if (outside := ~((scaled >= 0) & (scaled <= 1))).any():
        row = int(outside.argmax())
        found = f"{frame[column][row]:g}" + ("" if scale == 1 else f", times accuracy_scale = {scale:g}")
        per_cent = 1 < scaled.max() <= 100 and scaled.min() >= 0
        hint = f": are these per cent? Set accuracy_scale = {scale / 100:g}" if per_cent else ""
        raise SpaceError(f"{table.where(row, column)} is {found}, expected an accuracy from 0 to 1{hint}")
    if 0 < scaled.max() <= TOO_LOW and scale < 1 and frame[column].max() <= 1:
        row = int(scaled.argmax())
        raise SpaceError(
            f"{table.where(row, column)} is {frame[column][row]:g}, the highest, and accuracy_scale = {scale:g} makes it "
            f"{scaled[row]:.2%}: are these fractions? Leave accuracy_scale out"
        )


def table_key(arch: Architecture, space: SearchSpace, tokens: Literal["operations", "indices"], separator: str) -> str:
    """How a table spells an architecture.

    Args:
        space: the one the table was measured in.
        tokens: what stands for a gene: the gene itself, or its place among the layer's candidates in ``space``.
        separator: what stands between the tokens.

    Raises:
        SpaceError: a gene is not among the candidates whose places are asked for.
    """
    if tokens == "operations":
        return separator.join(gene.strip(_QUOTE) for gene in arch.genes)
    space.check(arch)
    return separator.join(
        str(layer.candidates.index(gene)) for layer, gene in zip(space.layers, arch.genes, strict=True)
    )


def arch_of_key(
    key: str, first: SearchSpace, space: SearchSpace, tokens: Literal["operations", "indices"], separator: str
) -> Architecture | None:
    """The architecture of ``space`` that a table spells so; None: it is none of them.

    Args:
        first: the space the table was measured in, whose candidates have the indices.
    """
    texts = key.split(separator) if separator else list(key)
    if len(texts) != len(space.layers):
        return None
    genes = []
    for text, layer, began in zip(texts, space.layers, first.layers, strict=True):
        if tokens == "indices":
            known = dict(zip(map(str, range(len(began.candidates))), began.candidates, strict=True))
        else:
            known = {gene.strip(_QUOTE): gene for gene in layer.candidates}
        genes.append(known.get(text, text))
    arch = Architecture(tuple(genes))
    return arch if arch in space else None


def opaque_space(name: str, keys: Iterable[str], separator: str) -> SearchSpace:
    """The space that a table's keys spell out: per position, the tokens seen there, in order.

    A layer's shape says only that nothing here is an identity, whatever it is called: a token ``id`` becomes the gene
    ``'id'``, with quotes. The network cannot be built or counted, only looked up.

    Args:
        separator: what stands between tokens; "" where each is one character.

    Raises:
        SpaceError: the keys have different numbers of tokens, or a token cannot be a gene.
    """
    rows = [(key, tuple(split_key(key, separator))) for key in keys]
    if not rows:
        raise SpaceError(f"the table of {name!r} has no rows")
    for text, tokens in rows:
        if len(tokens) != len(rows[0][1]):
            raise SpaceError(
                f"the table of {name!r}: {text!r} has {len(tokens)} tokens, and {rows[0][0]!r} has {len(rows[0][1])}; "
                f"expected one per layer, separated by {separator!r}"
            )
    shape = Shape(1, 1, 2, 1)
    layers = (Layer(shape, _sorted_tokens(set(tokens))) for tokens in zip(*(tokens for _, tokens in rows), strict=True))
    return SearchSpace(name, tuple(layers), Stem(1, stride=1, kernel=1, c_in=1, size=1), Head(0, 1))


_QUOTE = "'"


def split_key(key: str, separator: str) -> tuple[str, ...]:
    """The genes of an opaque space that a table's key spells.

    Raises:
        SpaceError: a token is empty, or would not survive as a gene.
    """
    tokens = tuple(key.split(separator)) if separator else tuple(key)
    for token in tokens:
        if not token or token != token.strip() or any(mark in token for mark in "+|" + _QUOTE):
            raise SpaceError(
                f"{key!r} has the token {token!r}: expected tokens between {separator!r} that are not empty and have "
                "no '+', '|', quote or outer space"
            )
    return tuple(f"{_QUOTE}{token}{_QUOTE}" if token in IDENTITIES else token for token in tokens)


def _sorted_tokens(tokens: set[str]) -> tuple[str, ...]:
    """By number where all are numbers, by spelling otherwise."""
    if all(re.fullmatch(r"\d+(\.\d+)?", token) for token in tokens):
        return tuple(sorted(tokens, key=lambda token: (float(token), token)))
    return tuple(sorted(tokens))


class AdditiveCosts(NamedTuple):
    """Costs taken apart into one number per layer and gene.

    Attributes:
        error: by how much the sums deviate from the table at most, as a share of the mean cost; 0 where the table's
            costs really are such sums.
    """

    table: CostTable
    error: float

    @property
    def is_exact(self) -> bool:
        """Whether the sums are the table's costs, but for rounding of the last digits."""
        return self.error < EXACT


def additive_costs(
    space: SearchSpace,
    archs: Sequence[Architecture],
    macs: ArrayLike,
    params: ArrayLike | None = None,
    latency_ms: ArrayLike | None = None,
) -> AdditiveCosts:
    """What each gene costs, from the costs of whole architectures: exactly where they add up, else by least squares.

    In each layer the cheapest gene costs 0, and what all architectures share is fixed.

    Args:
        archs: the architectures that the costs are of; every gene of the space occurs.

    Raises:
        SpaceError: a gene of the space occurs in no architecture, or the space has rows.
    """
    if space.variant_blocks:
        raise SpaceError(f"{space.name!r} has rows: what a gene costs depends on them, and cannot be read off a table")
    genes = [(i, gene) for i, layer in enumerate(space.layers) for gene in layer.candidates]
    one_hot = _one_hot(space, archs, genes)
    fixed, rows, error = np.zeros(len(WITHOUT_TARGET)), np.zeros((len(genes), len(WITHOUT_TARGET))), 0.0
    for column, given in enumerate((macs, params, latency_ms)):
        if given is not None:
            costs = np.asarray(given, dtype=np.float64)
            fixed[column], rows[:, column] = _decompose(one_hot, costs, np.array([i for i, _ in genes]))
            off = np.abs(fixed[column] + one_hot @ rows[:, column] - costs)
            error = max(error, float(off.max() / (np.abs(costs).mean() or 1.0)))
    latency = None if latency_ms is None else _TableLatency()
    priced = dict(zip(genes, rows, strict=True))
    layers = (
        LayerCosts(name, layer, "macs", latency, {gene: priced[i, gene] for gene in layer.candidates})
        for i, (name, layer) in enumerate(zip(space.names, space.layers, strict=True))
    )
    table = CostTable(space, "macs", fixed, tuple(layers))
    if error < EXACT:
        return AdditiveCosts(table, error)
    costs = np.zeros((len(archs), len(WITHOUT_TARGET)))
    for column, given in enumerate((macs, params, latency_ms)):
        costs[:, column] = 0.0 if given is None else np.asarray(given, dtype=np.float64)
    known = dict(zip(archs, costs, strict=True))
    return AdditiveCosts(KnownCosts(space, "macs", fixed, table.layers, known=known), error)


def restrict_costs(table: CostTable, space: SearchSpace) -> CostTable:
    """The same costs for a space that has fewer candidates, or other ones of those that ``table`` knows."""
    layers = (
        LayerCosts(
            name, layer, costs.convention, costs.latency, {gene: costs.cost_of(gene) for gene in layer.candidates}
        )
        for name, layer, costs in zip(space.names, space.layers, table.layers, strict=True)
    )
    return replace(table, space=space, layers=tuple(layers))


@dataclass(frozen=True)
class KnownCosts(CostTable):
    """Costs that do not add up: those of the architectures that stand in a table are as it says; sums are near them."""

    known: Mapping[Architecture, Floats] = field(default_factory=dict, repr=False)

    def count(self, archs: Iterable[Architecture]) -> Floats:
        archs = list(archs)
        costs = super().count(archs)
        for row, arch in enumerate(archs):
            if arch in self.known:
                costs[row] = self.known[arch]
        return costs


class _TableLatency:
    """The latency of opaque genes: known from the table they stand in, and only of them."""

    def operation(self, op: Op, shape: Shape) -> float:
        raise SpaceError(f"the table has no latency for {op!r}")

    def fixed(self, space: SearchSpace) -> float:
        raise SpaceError(f"the latency of {space.name!r} is known from its table only")


def _one_hot(space: SearchSpace, archs: Sequence[Architecture], genes: Sequence[tuple[int, str]]) -> Floats:
    """(archs, genes) which genes an architecture has, layer by layer."""
    columns = {gene: column for column, gene in enumerate(genes)}
    one_hot = np.zeros((len(archs), len(genes)))
    for row, arch in enumerate(archs):
        known = [columns[gene] for gene in enumerate(arch.genes) if gene in columns]
        if not len(known) == len(arch.genes) == len(space.layers):
            space.check(arch)  # says what is wrong with it
        one_hot[row, known] = 1.0
    if missing := [genes[column] for column in np.flatnonzero(~one_hot.any(axis=0)).tolist()]:
        layer, name = missing[0]
        raise SpaceError(f"{space.names[layer]}: no architecture of the table has {name!r}, so its cost is not known")
    return one_hot


def _decompose(one_hot: Floats, costs: Floats, layer_of: NDArray[np.intp]) -> tuple[float, Floats]:
    """The fixed cost, and what each gene adds to it: whole numbers where those give whole costs exactly."""
    rows = np.asarray(np.linalg.lstsq(np.column_stack([np.ones(len(costs)), one_hot]), costs)[0][1:])
    for layer in set(layer_of.tolist()):
        rows[layer_of == layer] -= rows[layer_of == layer].min()
    whole = np.rint(rows)
    remainders = costs - one_hot @ whole
    if np.all(remainders == np.rint(remainders[0])):
        return float(remainders[0]), whole
    return float(np.mean(costs - one_hot @ rows)), rows
