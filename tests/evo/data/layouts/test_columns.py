"""Parquet files, and data sets as Hugging Face ``datasets`` saves them; without ``pyarrow`` it is told how to install it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from evo.data.fingerprint import forget_data, hash_images
from studies.config import DataSection
from tests.evo.data.layouts.examples import NAMES, encoded, load, pixels, refused, shown


def test_what_is_needed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    refused(tmp_path, r"parquet and arrow files need pyarrow .*: pip install '.\[parquet\]'")


FEATURES = {"image": {"_type": "Image"}, "label": {"names": list(NAMES), "_type": "ClassLabel"}}
"""As ``datasets`` writes them down."""


@pytest.fixture
def pa() -> Any:
    return pytest.importorskip("pyarrow", reason="needs pyarrow")


def table(pa: Any, numbers: range, told: bool = True, **columns: Any) -> Any:
    """Images and labels by number, as ``datasets`` keeps them."""
    images = pa.array([{"bytes": encoded(i), "path": f"{i}.png"} for i in numbers])
    kept = {"image": images, "label": pa.array([i % 3 for i in numbers], pa.int64()), **columns}
    made = pa.table({name: column for name, column in kept.items() if column is not None})
    told_as = {b"huggingface": json.dumps({"info": {"features": FEATURES}}).encode()}
    return made.replace_schema_metadata(told_as) if told else made


def write_parquet(pa: Any, path: Path, made: Any) -> Path:
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(made, path, row_group_size=5)
    return path


def write_arrow(pa: Any, folder: Path, made: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    with (
        pa.OSFile(str(folder / "data-00000-of-00001.arrow"), "wb") as file,
        pa.ipc.new_stream(file, made.schema) as writer,
    ):
        writer.write_table(made, max_chunksize=4)
    (folder / "dataset_info.json").write_text(json.dumps({"features": FEATURES}))
    (folder / "state.json").write_text("{}")
    return folder


EXPECTED = {"train": range(24), "validation": range(24, 30), "test": range(30, 36)}


def expected() -> dict[str, list[tuple[bytes, str]]]:
    return {part: sorted((pixels(i), NAMES[i % 3]) for i in found) for part, found in EXPECTED.items()}


@pytest.mark.parametrize("in_memory", [True, False])
def test_parquet_files_as_the_hub_has_them(pa: Any, tmp_path: Path, in_memory: bool) -> None:
    for part, numbers in EXPECTED.items():
        write_parquet(pa, tmp_path / f"data/{part}-00000-of-00001.parquet", table(pa, numbers))
    assert shown(load(tmp_path, in_memory=in_memory)) == expected()


@pytest.mark.parametrize("told", [True, False])
def test_data_sets_saved_on_disk(pa: Any, tmp_path: Path, told: bool) -> None:
    """The names of classes stand in the table, or in the file beside it."""
    for part, numbers in EXPECTED.items():
        write_arrow(pa, tmp_path / part, table(pa, numbers, told))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation", "test"]}')
    (tmp_path / "train/cache-1.arrow").write_bytes(b"left over")
    assert shown(load(tmp_path, in_memory=False)) == expected()


def test_one_saved_data_set_and_one_file(pa: Any, tmp_path: Path) -> None:
    folder = write_arrow(pa, tmp_path / "one", table(pa, range(24)))
    file = write_parquet(pa, tmp_path / "one.parquet", table(pa, range(24)))
    assert shown(load(folder)) == shown(load(file))
    assert len(load(file).test) == 4
    assert load(file, labels=False).class_names == ()


def test_labels_may_be_names_or_numbers_without_names(pa: Any, tmp_path: Path) -> None:
    names = pa.array([NAMES[i % 3] for i in range(24)])
    assert (
        load(write_parquet(pa, tmp_path / "a.parquet", table(pa, range(24), False, label=names))).class_names == NAMES
    )
    assert load(write_parquet(pa, tmp_path / "b.parquet", table(pa, range(24), False))).class_names == ("0", "1", "2")


def test_images_may_be_bytes_alone_or_lie_below_the_folder(pa: Any, tmp_path: Path) -> None:
    first = shown(load(write_parquet(pa, tmp_path / "a.parquet", table(pa, range(24)))))
    alone = pa.array([encoded(i) for i in range(24)], pa.binary())
    made = table(pa, range(24), False, image=None, img=alone, label=pa.array([NAMES[i % 3] for i in range(24)]))
    assert shown(load(write_parquet(pa, tmp_path / "b.parquet", made))) == first
    (tmp_path / "inside").mkdir()
    for i in range(24):
        (tmp_path / f"inside/{i}.png").write_bytes(encoded(i))
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    beside = pa.array([{"bytes": None, "path": f"inside/{i}.png"} for i in range(24)], kind)
    assert shown(load(write_parquet(pa, tmp_path / "c.parquet", table(pa, range(24), image=beside)))) == first
    for path in ("../0.png", "/etc/0.png", "gone.png", None):
        wrong = pa.array([{"bytes": None, "path": path}] * 24, kind)
        refused(
            write_parquet(pa, tmp_path / "d.parquet", table(pa, range(24), image=wrong)),
            r"d.parquet, row 0 .*: (the image lies elsewhere, at |the image gone.png cannot be read|there is no image)",
        )


def test_what_cannot_be_meant_is_refused(pa: Any, tmp_path: Path) -> None:
    def check(message: str, **columns: Any) -> None:
        refused(write_parquet(pa, tmp_path / "a.parquet", table(pa, range(24), False, **columns)), message)

    check(r"there is no column of images, found label: int64; expected a column of images", image=None)
    check(r"there is no column of labels, found image; call it label; .* data.labels = false", label=None)
    check(r"row 0 of a group: its label is 0.5; expected the name of a class", label=pa.array([0.5] * 24))
    check(r"row 0 of a group: its label is \[1\]; expected the name of a class", label=pa.array([[1]] * 24))
    check(r"row 3 of a group: it has no label", label=pa.array([0, 1, 2, None] * 6))
    check(r"row 0 of a group: its label is -1", label=pa.array([-1] * 24))
    wrong = table(pa, range(24), label=pa.array([3] * 24))
    refused(write_parquet(pa, tmp_path / "a.parquet", wrong), r"have the class '3', and the classes are ant, bee, cat")


def test_damaged_tables_are_refused(pa: Any, tmp_path: Path) -> None:
    file = write_parquet(pa, tmp_path / "a.parquet", table(pa, range(24)))
    file.write_bytes(file.read_bytes()[:-20])
    refused(file, r"a.parquet is damaged, or no table")
    folder = write_arrow(pa, tmp_path / "one", table(pa, range(24)))
    arrow = folder / "data-00000-of-00001.arrow"
    arrow.write_bytes(arrow.read_bytes()[:900])
    refused(folder, r"data-00000-of-00001.arrow is damaged, or no table")


def test_what_is_in_a_table_counts_for_the_fingerprint(pa: Any, tmp_path: Path) -> None:
    def digest(*numbers: int) -> str:
        images = pa.array([{"bytes": encoded(i), "path": None} for i in numbers])
        file = write_parquet(pa, tmp_path / "a.parquet", table(pa, range(24), image=images))
        forget_data()
        return hash_images(DataSection(name="images", path=str(file)))

    assert digest(*range(24)) == digest(*range(24)) != digest(*range(23), 99)
