"""Latency tables: measured here, part by part, or loaded from a file that was made elsewhere.

``measure_missing`` times every operation of a space in every shape that it has there, its stem and its head.
``load_latency_table("lut.csv")`` gives the ``spaces.costs.table.LatencyModel`` that adds them up.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from statistics import quantiles
from time import perf_counter
from typing import TYPE_CHECKING

from spaces.architecture import IDENTITIES, Op
from spaces.atomic_files import atomic_write
from spaces.costs.table import LatencyModel
from spaces.errors import SpaceError
from spaces.files.outputs import check_no_database
from spaces.files.tables import Row, Table, read_table, shown
from spaces.latency.published import BlockTable, ConvolutionTable, FbnetTable, missing_entry, stem_shape
from spaces.layer import Shape
from spaces.shell import command_line
from spaces.size import as_text, both_sides, parse_size
from spaces.space import SearchSpace, at_image_size
from spaces.variants import is_variant

if TYPE_CHECKING:
    from torch import nn


Timer = Callable[["nn.Module", Shape], tuple[float, float]]
"""(a module in evaluation mode, the shape of its input) -> median and interquartile range, in milliseconds."""

Part = tuple[str, Shape]
"""An operation in a layer's shape; or a stem or head by its options, and what it turns into what."""


@dataclass(frozen=True, slots=True)
class MeasurementSetting:
    """What a measurement was made with; one file has one."""

    repeats: int
    device: str
    batch: int
    threads: int


@dataclass(frozen=True)
class LatencyTable:
    """Measured milliseconds of one forward pass, part by part.

    Attributes:
        entries: part -> median of its measurements.
    """

    name: str
    entries: Mapping[Part, float]

    @classmethod
    def of(cls, table: Table) -> LatencyTable:
        """Reads what ``python -m spaces.latency`` wrote."""
        return cls(table.path.name, {_part_of(row): row.number("median_ms") for row in table.rows()})

    def operation(self, op: Op, shape: Shape) -> float:
        """Milliseconds of one operation in a layer of ``shape``, the addition of its input included."""
        return 0.0 if op in IDENTITIES else self._entry(op, shape)

    def fixed(self, space: SearchSpace) -> float:
        """Milliseconds of stem and head."""
        return self._entry(*stem_part(space)) + self._entry(*head_part(space))

    def _entry(self, name: str, shape: Shape) -> float:
        key = name, timed_shape(shape)
        if key not in self.entries:
            raise missing_entry(self.name, repr(name), shape)
        return self.entries[key]


def timed_shape(shape: Shape) -> Shape:
    """``shape`` as tables know it: where a convolution pads costs no time."""
    return replace(shape, padding="symmetric")


def load_latency_table(path: str | Path, device: str | None = None) -> LatencyModel:
    """The latency table in a file: a measured one, or a published one, told apart by their columns.

    Args:
        device: which of them, where a table has several.

    Raises:
        SpaceError: there is no such file, or it is none of these; the message says what was expected.
    """
    path = Path(path)
    if not path.is_file():
        raise SpaceError(
            f"no latency table {path}: measure one with "
            + command_line("spaces.latency", "--space", "NAME", "--out", str(path))
        )
    try:
        if ".json" in path.suffixes:
            return FbnetTable.load(path, device)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(f"the latency table {path} cannot be read: {error}") from error
    table = read_table(path)
    for required, latency_model in FORMATS:
        if required <= set(table.columns):
            return latency_model(table)
    known = "; ".join(", ".join(sorted(required)) for required, _ in FORMATS)
    raise SpaceError(
        f"{path} is no latency table: its columns are {shown(sorted(table.columns))}; expected, among others, {known}"
    )


FORMATS: tuple[tuple[set[str], Callable[[Table], LatencyModel]], ...] = (
    ({"op", "c_in", "c_out", "stride", "size", "median_ms"}, LatencyTable.of),
    ({"type", "input", "output", "expand", "kernel", "stride", "se", "mean_ms"}, BlockTable.of),
    ({"kind", "size", "c_in", "c_out", "kernel", "stride", "dilation", "groups", "latency"}, ConvolutionTable.of),
)
"""The columns by which a csv file is recognised, and what reads it."""


def stem_part(space: SearchSpace) -> Part:
    """The stem's name in a table, and its shape."""
    pool = f"_pool{space.stem.pool}" if space.stem.pool > 1 else ""
    return f"stem_k{space.stem.kernel}_{space.stem.activation}{pool}", stem_shape(space)


def head_part(space: SearchSpace) -> Part:
    """The head's name in a table, and its shape: from the last layer's channels to the classes."""
    head, last = space.head, space.layers[-1].shape
    hidden = f"_h{head.hidden}" if head.hidden else ""
    name = f"head_f{head.features}{hidden}_{head.activation}{'' if head.norm else '_bare'}"
    return name, Shape(last.c_out, head.classes, 1, last.size_out)


def timed_parts(space: SearchSpace) -> dict[Part, Callable[[], nn.Module]]:
    """Everything of a space that takes time, each with what builds it: stem, head, and every operation in every shape.

    Operations that wait (``pending``) are among them: they may be searched later.
    """
    from spaces.networks.network import MixedLayer, build_head, build_stem  # here, so that --help needs no torch

    sizes = space.input_sizes
    chosen = (*sizes.layers[0].candidates, *sizes.layers[0].pending) if sizes else ()
    builders: dict[Part, Callable[[], nn.Module]] = {}
    for whole in [at_image_size(space, op) for op in chosen] or [space]:
        builders[stem_part(whole)] = partial(build_stem, whole)
        builders[head_part(whole)] = partial(build_head, whole)
    for i, layer in enumerate(space.layers):
        for op, shape in product((*layer.candidates, *layer.pending), space.shapes(i)):
            if op not in IDENTITIES and not is_variant(op):
                builders[op, timed_shape(shape)] = lambda op=op, shape=shape: MixedLayer(shape, [op], space.merge)  # type: ignore[misc]
    return builders


def measure_module(module: nn.Module, shape: Shape, setting: MeasurementSetting) -> tuple[float, float]:
    """Median and interquartile range, in milliseconds, of forward passes one at a time, after a warm-up.

    Args:
        module: in evaluation mode, on the device.
        shape: of its input.
    """
    import torch

    kind = torch.device(setting.device).type
    wait: Callable[[], None] = {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}.get(kind, _no_wait)
    x = torch.randn(setting.batch, shape.c_in, *both_sides(shape.size), device=setting.device)
    times = []
    with torch.inference_mode():
        for _ in range(WARM_UP + setting.repeats):
            wait()
            start = perf_counter()
            module(x)
            wait()
            times.append((perf_counter() - start) * 1e3)
    first, median, third = quantiles(times[WARM_UP:], n=4, method="inclusive")
    return median, third - first


WARM_UP = 5
"""Forward passes that are not counted."""


def _no_wait() -> None:
    """A CPU has done its work when a call returns."""


COLUMNS = ("op", "c_in", "c_out", "stride", "size", "median_ms", "iqr_ms", "repeats", "device", "batch", "threads")
"""Of a table that this module writes."""


def measure_missing(
    space: SearchSpace, path: Path, setting: MeasurementSetting, timer: Timer | None = None
) -> Iterator[int]:
    """Measures what ``path`` does not hold yet; yields how many parts are left, at first and after each of them.

    The file is whole at every moment. Stopped and called again, this goes on where it was.

    Args:
        timer: times a part; None: torch does, as ``setting`` says.

    Raises:
        SpaceError: the file was measured in another setting, or torch has no such device.
    """
    rows = _rows_to_continue(path, setting)
    there = {_part_of(row) for row in rows}
    lines = [{column: row.text(column) for column in COLUMNS} for row in rows]
    left = {part: make for part, make in timed_parts(space).items() if part not in there}
    yield len(left)
    for done, ((name, shape), make) in enumerate(left.items(), start=1):
        median, iqr = timer(make().eval(), shape) if timer else torch_timer(setting)(make().eval(), shape)
        layer = (shape.c_in, shape.c_out, shape.stride, as_text(shape.size))
        values = (name, *layer, f"{median:.6f}", f"{iqr:.6f}", *astuple(setting))
        lines.append(dict(zip(COLUMNS, map(str, values), strict=True)))
        _write_lines(path, lines)
        yield len(left) - done


def torch_timer(setting: MeasurementSetting) -> Timer:
    """Times modules by torch."""
    return lambda module, shape: measure_module(_on_device(module, setting), shape, setting)


def _on_device(module: nn.Module, setting: MeasurementSetting) -> nn.Module:
    import torch

    torch.set_num_threads(setting.threads)
    try:
        return module.eval().to(setting.device)
    except (RuntimeError, AssertionError) as error:  # torch's own way to say that it has no such device
        raise SpaceError(f"torch cannot use the device {setting.device!r}: {str(error).splitlines()[0]}") from error


def write_corrected(path: Path, corrected: Path, of_part: Callable[[Part, float], float]) -> None:
    """The table at ``path`` with other milliseconds, and what was measured beside them.

    Args:
        of_part: (part, its measured milliseconds) -> those that it takes in a network.
    """
    lines = []
    for row in read_table(path).rows():
        measured = row.number("median_ms")
        line = {column: row.text(column) for column in COLUMNS}
        lines.append(line | {"median_ms": f"{of_part(_part_of(row), measured):.6f}", "measured_ms": f"{measured:.6f}"})
    _write_lines(corrected, lines, (*COLUMNS, "measured_ms"))


def _part_of(row: Row) -> Part:
    c_in, c_out, stride = (row.integer(column, 1) for column in ("c_in", "c_out", "stride"))
    size = row.parse("size", parse_size, "pixels, e.g. 32, or height and width, e.g. 24x32")
    return row.text("op"), Shape(c_in, c_out, stride, size)


def _rows_to_continue(path: Path, setting: MeasurementSetting) -> list[Row]:
    """The rows of a table that is to be continued."""
    check_no_database(path)
    table = read_table(path) if path.is_file() else Table(path, COLUMNS, (), ())
    if table.cells and table.columns != COLUMNS:
        raise SpaceError(f"{path} exists and is not a table of this command: choose another file")
    rows = list(table.rows())
    for row in rows:
        for name in ("device", "batch", "threads"):
            if row.text(name) != str(getattr(setting, name)):
                raise SpaceError(
                    f"{path} was measured with --{name} {row.text(name)}, not {getattr(setting, name)}: choose another file"
                )
    return rows


def _write_lines(path: Path, lines: list[dict[str, str]], columns: Sequence[str] = COLUMNS) -> None:
    with atomic_write(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
