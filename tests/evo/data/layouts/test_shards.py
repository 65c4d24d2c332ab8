"""WebDataset shards: read by place, in any order; damaged ones are answered in words."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evo.data.layouts import shards
from evo.data.layouts.shards import read_shards
from evo.data.layouts.stored import StoredPictures
from tests.evo.data.layouts.examples import NAMES, encoded, load, pixels, refused, shown, write_tar


def sample(i: int, kind: str = "cls") -> dict[str, bytes]:
    """The members of one image."""
    label = str(i % 3).encode() if kind == "cls" else json.dumps({"label": NAMES[i % 3], "w": 8}).encode()
    return {f"s/{i:04}.{kind}": label, f"s/{i:04}.png": encoded(i)}


def members(numbers: range, kind: str = "cls") -> dict[str, bytes]:
    return {name: content for i in numbers for name, content in sample(i, kind).items()}


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("inner", ["", "train-0", "shards"])
def test_shards_are_read(tmp_path: Path, inner: str, in_memory: bool) -> None:
    """With a part in each name, or in that of each folder; labels may be names."""
    write_tar(tmp_path / ("shards" if inner == "shards" else "") / "set-train-000.tar", members(range(12), "json"))
    write_tar(tmp_path / ("shards" if inner == "shards" else "") / "set-train-001.tar", members(range(12, 24), "json"))
    if inner == "train-0":
        write_tar(tmp_path / "validation/0.tar", members(range(24, 30), "json"))
    else:
        write_tar(tmp_path / inner / "set-val-000.tar", members(range(24, 30), "json"))
    write_tar(tmp_path / "test/any.tar", members(range(30, 36), "json"))
    images = load(tmp_path, in_memory=in_memory)
    expected = {"train": range(24), "validation": range(24, 30), "test": range(30, 36)}
    assert shown(images) == {part: sorted((pixels(i), NAMES[i % 3]) for i in found) for part, found in expected.items()}
    assert images.report is not None
    assert images.report.parts["train"].origin == "2 files"


def test_one_archive_is_enough(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "all.tar", members(range(24)) | {"s/0001.txt": b"a bee", "._x.png": b"", "readme": b""})
    for path in (file, tmp_path):
        images = load(path)
        assert (images.class_names, len(images.test)) == (("0", "1", "2"), 4)
        assert images.report is not None
        assert images.report.ignored == ("3 other members of archives",)
    assert load(file, labels=False).class_names == ()


def test_cls_is_the_label_where_both_are_there(tmp_path: Path) -> None:
    both = members(range(24), "json") | {f"s/{i:04}.cls": str(7 + i % 2).encode() for i in range(24)}
    assert load(write_tar(tmp_path / "0.tar", both)).class_names == ("7", "8")


def test_any_archive_of_the_standard_is_read_as_the_library_reads_it(tmp_path: Path) -> None:
    """Long names, folders, GNU and POSIX headers; every image is where Python's ``tarfile`` finds it."""
    for form in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        file = tmp_path / f"{form}.tar"
        with tarfile.open(file, "w", format=form) as archive:
            folder = tarfile.TarInfo("s")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for i in range(12):
                for kind, content in (("PNG", encoded(i)), ("cls", b"1" if i % 2 else b"0")):
                    info = tarfile.TarInfo(f"s/{'ä' * 90}{i}.{kind}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
        found = read_shards(file, [file], True)
        store = found.pictures
        assert isinstance(store, StoredPictures)
        with tarfile.open(file) as archive:
            inside = [archive.extractfile(member) for member in archive if member.name.endswith(".PNG")]
            assert [store.open(i).read() for i in range(12)] == [other.read() for other in inside if other is not None]


def test_shards_are_read_by_other_processes(tmp_path: Path) -> None:
    found = read_shards(tmp_path, [write_tar(tmp_path / "0.tar", members(range(6)))], True).pictures
    again = pickle.loads(pickle.dumps(found))
    assert np.asarray(again[4]).tobytes() == np.asarray(found[4]).tobytes()
    images = load(tmp_path, in_memory=False, workers=2, validation_fraction=0.4)
    assert sum(len(x) for x, _ in images.train.epoch(1, ("flip",), 1)) == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s/0001.cls": None}, r"1 image without a label, such as s/0001.png; expected KEY.jpg beside KEY.cls"),
        ({"s/0001.png": None}, r"1 label without an image, such as s/0001; expected KEY.jpg"),
        ({"s/0001.jpg": b"x"}, r"s/0001.jpg and s/0001.png have one key: expected one image for each key"),
        ({"s/0001.cls": b"0.5"}, r"s/0001.cls: its label is '0.5'; expected the name of a class, or a whole number"),
        ({"s/0001.cls": b"\n"}, r"s/0001.cls: it has no label \(''\)"),
        ({"s/0001.cls": b"\xff\xfe"}, r"s/0001.cls: 'utf-8' codec can't decode"),
        ({"s/0001.cls": None, "s/0001.json": b"{"}, r"s/0001.json: it is no JSON"),
        ({"s/0001.cls": None, "s/0001.json": b"[1]"}, r"s/0001.json: there is no label in it: expected an object with a label"),
        ({"s/0001.cls": None, "s/0001.json": b'{"label": [1]}'}, r"its label is \[1\]; expected the name of a class"),
        ({"s/0001.cls": None, "s/0001.json": b'{"label": true}'}, r"its label is True; expected the name of a class"),
        ({"s/0001.cls": b"bee"}, r"some labels are names, such as 'bee', and some are numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    content = {name: value for name, value in (members(range(12)) | change).items() if value is not None}
    refused(write_tar(tmp_path / "0.tar", content), message)


def test_archives_that_are_damaged_are_refused(tmp_path: Path) -> None:
    """Wherever one is cut off, be it between two members."""
    whole = write_tar(tmp_path / "0.tar", members(range(12))).read_bytes()
    end = len(whole.rstrip(b"\0")) // 512 * 512 + 512  # behind the last member
    for cut in (0, 100, 512, 600, 1024, 512 * 9 + 7, end - 512, end):
        file = tmp_path / "0.tar"
        file.write_bytes(whole[:cut])
        refused(file, r"0.tar is no tar archive, is damaged, or is cut short .*; fetch or pack it again")
    file.write_bytes(whole[:1024] + b"x" * 512 + whole[1536:])
    refused(file, r"0.tar is no tar archive, is damaged, or is cut short")
    file.write_bytes(b"no archive" * 200)
    refused(file, r"0.tar is no tar archive")
    refused(write_tar(tmp_path / "0.tar", {"a.txt": b"1"}), r"there are no images in 1 archive; expected KEY.jpg")


def test_an_archive_that_is_cut_short_later_is_told(tmp_path: Path) -> None:
    file = write_tar(tmp_path / "0.tar", members(range(24)))
    images = load(file, in_memory=False, cache=False)
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(Exception, match=r"0.tar/s/00.*png cannot be read: its archive is shorter than it was"):
        list(images.train.batches(8))


def test_links_and_packed_archives_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "0.tar"
    with tarfile.open(file, "w") as archive:
        link = tarfile.TarInfo("a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    refused(file, r"a.png is a link: expected images and labels themselves")
    packed = tmp_path / "0.tar.gz"
    packed.write_bytes(b"")
    refused(packed, r"a packed archive, which cannot be read in any order: unpack it to a .tar")


def test_parts_are_told_by_all_names_or_by_none(tmp_path: Path) -> None:
    write_tar(tmp_path / "train-0.tar", members(range(12)))
    write_tar(tmp_path / "other.tar", members(range(12)))
    refused(tmp_path, r"train-0.tar is called like a part, and other.tar is not: expected train, val or test")
    (tmp_path / "train-0.tar").rename(tmp_path / "test-0.tar")
    (tmp_path / "other.tar").rename(tmp_path / "val.tar")
    refused(tmp_path, r"there are no training images, all are called test or validation")


def test_class_folders_beside_archives_are_class_folders(tmp_path: Path) -> None:
    for i in range(36):
        (tmp_path / NAMES[i % 3]).mkdir(exist_ok=True)
        (tmp_path / NAMES[i % 3] / f"{i}.png").write_bytes(encoded(i))
    write_tar(tmp_path / "packed.tar", members(range(12)))
    assert load(tmp_path).class_names == NAMES


def test_archives_are_listed_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    known = shards._list_archive

    def counted(file: Path, labelled: bool) -> Any:
        listed.append(file)
        return known(file, labelled)

    monkeypatch.setattr(shards, "_list_archive", counted)
    file = write_tar(tmp_path / "0.tar", members(range(24)))
    assert len(load(file).train) == len(load(file).train) == 16
    assert listed == [file]
    write_tar(file, members(range(30)))
    assert len(load(file).train) == 20
    assert listed == [file] * 2
