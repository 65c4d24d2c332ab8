"""Tables with a column of images: ``.parquet`` files, and data sets that Hugging Face ``datasets`` has saved on disk.

Needs ``pyarrow``. An image is a struct of ``bytes`` and ``path``, or its bytes alone.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from evo.data.image_files import printable
from evo.data.layouts.labelling import Label, read_label
from evo.data.layouts.parts import Labelled, origins_of, parts_of_files
from evo.data.layouts.stored import StoredPictures
from studies.records import EvoError

EXPECTED = (
    "expected a column of images (a struct of bytes and path, or bytes) and a column of labels (names or numbers)"
)

IMAGE_NAMES, LABEL_NAMES = ("image", "img", "images", "picture"), ("label", "labels", "class", "fine_label", "target")
"""What columns are called where nothing else tells which they are, in any case; the first that is there counts."""


@dataclass(frozen=True)
class _Columns:
    """The columns of a table that count.

    Attributes:
        names: of the classes, where the file tells them.
    """

    image: str
    label: str | None
    names: tuple[str, ...] | None


@dataclass(frozen=True, eq=False)
class TableImages:
    """Images in tables: a ``Store``.

    Attributes:
        files: the tables, and ``shown``: what they are called below the folder that was given.
        column: the name of the column of images in each.
        tables, groups, rows, sizes: of each image its table, its group of rows there, its row in that, and its bytes.
    """

    files: tuple[str, ...]
    shown: tuple[str, ...]
    column: tuple[str, ...]
    tables: np.ndarray = field(repr=False)
    groups: np.ndarray = field(repr=False)
    rows: np.ndarray = field(repr=False)
    sizes: np.ndarray = field(repr=False)

    def name(self, i: int) -> str:
        return f"{self.shown[self.tables[i]]}, row {self._row(i):,}"

    def _row(self, i: int) -> int:
        """An image's row in its whole table."""
        return i - int(np.searchsorted(self.tables, self.tables[i]))

    def file(self, i: int) -> str:
        return self.files[int(self.tables[i])]

    def read(self, i: int, start: int = 0, most: int | None = None) -> bytes:
        file = self.files[self.tables[i]]
        images = _image_column(file, int(self.groups[i]), self.column[self.tables[i]])
        try:
            content = _encoded(images[int(self.rows[i])].as_py(), os.path.dirname(file))
        except ValueError as error:
            raise EvoError(f"{printable(self.name(i))}: {error}") from None
        return content[start : None if most is None else start + most]


def _encoded(value: Any, folder: str) -> bytes:
    """The bytes of an image.

    Raises:
        ValueError: there are none.
    """
    path = None
    if isinstance(value, Mapping):
        value, path = value.get("bytes"), value.get("path")
    if isinstance(value, bytes) and value:
        return value
    if not isinstance(path, str) or not path:
        raise ValueError(f"there is no image, {type(value).__name__} without a path; {EXPECTED}: remove the row")
    inside = os.path.normpath(path)
    if os.path.isabs(inside) or inside.split(os.sep)[0] == os.pardir or "\0" in inside:
        raise ValueError(
            f"the image lies elsewhere, at {printable(path)}: expected its bytes in the table, or a path below the table's "
            "folder; save the data set with the images in it"
        )
    try:
        return Path(folder, inside).read_bytes()
    except OSError as error:
        raise ValueError(f"the image {printable(path)} cannot be read ({error.strerror})") from None


# -- which files ------------------------------------------------------------------------------------------------------


def read_tables(given: Path, files: Sequence[Path], labelled: bool) -> Labelled:
    """The images of ``.parquet`` or ``.arrow`` files.

    Args:
        given: what ``data.path`` names: one of them, or the folder in which they lie.
        labelled: whether their labels are read.

    Raises:
        EvoError: ``pyarrow`` is missing, or a file is damaged or holds something else.
    """
    _require_pyarrow(given)
    title = f"data.path is {printable(str(given))!r}"
    shown = [file.name if file == given else file.relative_to(given).as_posix() for file in files]
    parts = parts_of_files(title, shown, "table")
    columns = [_columns_of(file, labelled) for file in files]
    told = {found.names for found in columns}
    if len(told) > 1:
        raise EvoError(
            f"{title}: {printable(shown[0])} names other classes than another file: expected one list for all parts"
        )
    labels: list[Label] = []
    pieces = []
    for number, (file, found) in enumerate(zip(files, columns, strict=True)):
        for group, table in enumerate(_groups(file, found)):
            sizes = _sizes(table[found.image], file)
            n = len(sizes)
            pieces.append(np.stack((np.full(n, number), np.full(n, group), np.arange(n), sizes), axis=1))
            labels += _labels(table[found.label], file) if found.label is not None else []
    place = np.concatenate(pieces) if pieces else np.empty((0, 4), np.int64)
    store = TableImages(
        tuple(map(str, files)), tuple(shown), tuple(found.image for found in columns), *(place[:, i] for i in range(4))
    )
    return Labelled(
        title,
        StoredPictures.of(store),
        labels if labelled else None,
        np.array(parts)[place[:, 0]],
        names=columns[0].names,
        origins=origins_of(parts, shown),
    )


def _require_pyarrow(given: Path) -> None:
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise EvoError(
            f"data.path is {printable(str(given))!r}, and parquet and arrow files need pyarrow ({error}): "
            "pip install '.[parquet]'"
        ) from None


# -- what is in one ---------------------------------------------------------------------------------------------------


def _columns_of(file: Path, labelled: bool) -> _Columns:
    schema = _schema(file)
    kinds = _features(file, schema)
    where, names = printable(str(file)), list(schema.names)
    image = _choose(names, IMAGE_NAMES, [name for name, kind in kinds.items() if kind.get("_type") == "Image"])
    if image is None or not _holds_images(schema.field(image).type):
        found = ", ".join(f"{field.name}: {field.type}" for field in schema) or "none"
        raise EvoError(f"{where}: there is no column of images, found {printable(found)}; {EXPECTED}")
    if not labelled:
        return _Columns(image, None, None)
    classes = [name for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"]
    label = _choose(names, LABEL_NAMES, classes)
    if label is None:
        raise EvoError(
            f"{where}: there is no column of labels, found {', '.join(map(printable, names))}; call it label; images without "
            "labels: data.labels = false"
        )
    told = kinds.get(label, {}).get("names")
    return _Columns(image, label, tuple(map(str, told)) if told else None)


def _choose(names: Sequence[str], usual: Sequence[str], told: Sequence[str]) -> str | None:
    """The column that the file itself tells, or one that is called as usual."""
    by_folded = {name.casefold(): name for name in told or names}
    return next((by_folded[name] for name in usual if name in by_folded), told[0] if told else None)


def _holds_images(kind: Any) -> bool:
    import pyarrow.types as types

    if types.is_struct(kind):
        return "bytes" in {kind.field(i).name for i in range(kind.num_fields)}
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _features(file: Path, schema: Any) -> Mapping[str, Mapping[str, Any]]:
    """What ``datasets`` has written about the columns: in the table, or in the file ``dataset_info.json`` beside it."""
    beside = file.parent / "dataset_info.json"
    try:
        if told := (schema.metadata or {}).get(b"huggingface"):
            features = json.loads(told)["info"]["features"]
        else:
            features = json.loads(beside.read_text(encoding="utf-8"))["features"] if beside.is_file() else {}
    except (ValueError, KeyError, TypeError, OSError):
        return {}
    return (
        {name: kind for name, kind in features.items() if isinstance(kind, dict)} if isinstance(features, dict) else {}
    )


def _sizes(images: Any, file: Path) -> np.ndarray:
    """Bytes of each image; those of images beside the table are read to be counted."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.struct_field(images, "bytes") if pa.types.is_struct(images.type) else images
    sizes: np.ndarray = pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
    for i in np.flatnonzero(sizes == 0).tolist():
        try:
            sizes[i] = len(_encoded(images[i].as_py(), str(file.parent)))
        except ValueError as error:
            raise EvoError(f"{printable(str(file))}, row {i:,} of a group: {error}") from None
    return sizes


def _labels(column: Any, file: Path) -> list[Label]:
    labels = []
    for i, value in enumerate(column.to_pylist()):
        try:
            labels.append(read_label("" if value is None else value))
        except ValueError as error:
            raise EvoError(f"{printable(str(file))}, row {i:,} of a group: {error}") from None
    return labels


# -- pyarrow ----------------------------------------------------------------------------------------------------------


def _schema(file: Path) -> Any:
    import pyarrow.parquet as pq

    try:
        return pq.read_schema(file) if file.suffix == ".parquet" else _arrow_table(str(file)).schema
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from None


def _groups(file: Path, columns: _Columns) -> Iterator[Any]:
    """Tables of the columns that count, one for each group of rows."""
    import pyarrow.parquet as pq

    names = [columns.image, *([columns.label] if columns.label is not None else [])]
    try:
        if file.suffix != ".parquet":
            yield _arrow_table(str(file)).select(names)
            return
        opened = pq.ParquetFile(file)
        for group in range(opened.num_row_groups):
            yield opened.read_row_group(group, columns=names)
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from None


def _damaged(file: Path, error: Exception) -> EvoError:
    return EvoError(
        f"{printable(str(file))} is damaged, or no table ({' '.join(str(error).split())[:200]}); fetch it again"
    )


@lru_cache(maxsize=4)
def _image_column(file: str, group: int, column: str) -> Any:
    """The images of one group of rows; the last few groups are kept."""
    import pyarrow.parquet as pq

    try:
        if not file.endswith(".parquet"):
            return _arrow_table(file)[column]
        return pq.ParquetFile(file).read_row_group(group, columns=[column])[column]
    except (OSError, ValueError) as error:
        raise _damaged(Path(file), error) from None


@lru_cache(maxsize=64)
def _arrow_table(file: str) -> Any:
    """A table as ``datasets`` saves it, mapped into memory."""
    import pyarrow as pa

    source = pa.memory_map(file)
    try:
        return pa.ipc.open_stream(source).read_all()
    except pa.ArrowInvalid:
        source.seek(0)
        return pa.ipc.open_file(source).read_all()
