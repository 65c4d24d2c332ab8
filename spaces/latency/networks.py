"""Whole networks of a space, timed: what a table of parts, which adds up, has to agree with."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from spaces.architecture import IDENTITIES, Architecture, operations
from spaces.atomic_files import atomic_write
from spaces.costs.sampling import sample_rows_evenly, sample_stratified
from spaces.costs.table import cost_table, count_costs
from spaces.errors import SpaceError
from spaces.files.outputs import check_no_database
from spaces.files.tables import Table, read_table
from spaces.latency.command import MeasurementError
from spaces.latency.measure import LatencyTable, Part, Timer, head_part, stem_part, timed_shape
from spaces.layer import Shape
from spaces.space import SearchSpace, canonical_arch, resolve_variants

if TYPE_CHECKING:
    from spaces.networks.network import Network

COLUMNS = ("arch", "median_ms", "iqr_ms", "device", "failure")

FAILURES = 3
"""Failures one after another, after which the device is believed to be the reason."""


def draw_networks(space: SearchSpace, table: LatencyTable, number: int, seed: int = 0) -> list[Architecture]:
    """Networks of the space, evenly from the fastest to the slowest by ``table``, as a search's front has them. Drawn without
    regard to that, nearly all would take about as long. Fewer where the space has fewer."""
    costs = cost_table(space, latency=table)
    sample = sample_rows_evenly if space.variant_blocks else sample_stratified
    drawn = {canonical_arch(arch, space) for arch in sample(costs, number, Random(seed), cost="latency_ms")}
    return sorted(drawn, key=lambda arch: (count_costs(space, arch, latency=table).latency_ms, str(arch)))


def parts_of(arch: Architecture, space: SearchSpace) -> list[Part]:
    """What a network takes its time for, as a table knows it: stem, head, and the operation of each layer."""
    arch, space = resolve_variants(arch, space)
    layers = [
        (op, timed_shape(layer.shape))
        for layer, gene in zip(space.layers, arch.genes, strict=True)
        for op in operations(gene)
        if op not in IDENTITIES
    ]
    return [stem_part(space), head_part(space), *layers]


def build_network(arch: Architecture, space: SearchSpace) -> Network:
    """A network with random weights, the same ones every time, in evaluation mode."""
    import torch

    from spaces.networks.network import Network

    torch.manual_seed(0)
    return Network(*resolve_variants(arch, space)).eval()


def time_network(arch: Architecture, space: SearchSpace, timer: Timer) -> tuple[float, float]:
    """Median and interquartile range, in milliseconds, of a network for one image."""
    size = resolve_variants(arch, space)[1].stem.size
    return timer(build_network(arch, space), Shape(space.stem.c_in, space.head.classes, 1, size))


def measure_networks(
    space: SearchSpace, archs: Sequence[Architecture], path: Path, timer: Timer, device: str
) -> Iterator[int]:
    """Times what ``path`` does not hold yet; yields how many are left, at first and after each of them.

    The file is whole at every moment. A network that fails is written down with the reason, and is not tried again.

    Args:
        device: what ``timer`` times on; one file has one.

    Raises:
        SpaceError: the file is another one, or so many networks have failed one after another that the device is to blame.
    """
    lines = _lines_of(path, device)
    there = {line["arch"] for line in lines}
    left = [arch for arch in archs if str(arch) not in there]
    yield len(left)
    failed = 0
    for done, arch in enumerate(left, start=1):
        try:
            median, iqr = time_network(arch, space, timer)
            lines.append(dict(zip(COLUMNS, (str(arch), f"{median:.6f}", f"{iqr:.6f}", device, ""), strict=True)))
            failed = 0
        except MeasurementError as error:
            failed += 1
            if failed == FAILURES:
                raise SpaceError(f"{failed} networks have failed one after another; the last one: {error}") from None
            lines.append(dict(zip(COLUMNS, (str(arch), "", "", device, " ".join(str(error).split())), strict=True)))
        if not failed:
            _write_lines(path, lines)
        yield len(left) - done
    _write_lines(path, lines)


def read_networks(path: Path) -> dict[Architecture, float]:
    """Milliseconds of the networks that were timed; those that failed are left out."""
    return {
        Architecture.parse(row.text("arch")): row.number("median_ms")
        for row in read_table(path).rows()
        if row.text("median_ms")
    }


def _lines_of(path: Path, device: str) -> list[dict[str, str]]:
    check_no_database(path)
    table = read_table(path) if path.is_file() else Table(path, COLUMNS, (), ())
    if table.columns != COLUMNS:
        raise SpaceError(f"{path} exists and is not a table of this command: choose another file")
    lines = [{column: row.text(column) for column in COLUMNS} for row in table.rows()]
    if others := {line["device"] for line in lines} - {device}:
        raise SpaceError(f"{path} was measured on {others.pop()!r}, not on {device!r}: choose another file")
    return lines


def _write_lines(path: Path, lines: Sequence[dict[str, str]]) -> None:
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
