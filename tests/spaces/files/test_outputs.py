"""What a command was told to write replaces an earlier page of such a command, and nothing else."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from spaces.errors import SpaceError
from spaces.files.outputs import check_no_database, explained, write_output

PAGE = '<!DOCTYPE html>\n<html lang="en">\n<title>new</title>\n'


def database(folder: Path) -> Path:
    path = folder / "evo.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE runs (name TEXT)")
    connection.close()
    return path


@pytest.mark.parametrize("there", ["", "\n", PAGE.replace("new", "old")], ids=["empty", "blank", "an earlier page"])
def test_an_earlier_page_is_replaced(there: str, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(there)
    write_output(path, PAGE)
    assert path.read_text() == PAGE


@pytest.mark.parametrize("there", [b"arch,acc,macs\n", b"\x89PNG\r\n", b"<svg/>", b"<!DOCTYPE html>\n<body>", b"x"])
def test_any_other_file_is_kept(there: bytes, tmp_path: Path) -> None:
    path = tmp_path / "0.png"
    path.write_bytes(there)
    with pytest.raises(SpaceError, match="is nothing that this command has written; give another place, or remove the"):
        write_output(path, PAGE)
    assert path.read_bytes() == there


@pytest.mark.parametrize(
    ("end", "belongs"), [("", "is"), ("-wal", "belongs to"), ("-shm", "belongs to"), (".lock", "belongs to")]
)
def test_a_database_is_kept_with_all_that_belongs_to_it(end: str, belongs: str, tmp_path: Path) -> None:
    content = database(tmp_path).read_bytes()
    with pytest.raises(SpaceError, match=f"evo.db{end}: it {belongs} the database evo.db; give another place"):
        write_output(tmp_path / f"evo.db{end}", PAGE)
    assert [path.name for path in tmp_path.iterdir()] == ["evo.db"]
    assert (tmp_path / "evo.db").read_bytes() == content


def test_a_link_to_a_database_is_a_database(tmp_path: Path) -> None:
    link = tmp_path / "page.html"
    link.symlink_to(database(tmp_path))
    with pytest.raises(SpaceError, match="it is the database"):
        check_no_database(link)


def test_names_that_only_look_like_it_are_free(tmp_path: Path) -> None:
    write_output(tmp_path / "evo.db.lock", PAGE)
    write_output(tmp_path / "-wal", PAGE)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("place", ["", ".", "folder"])
def test_a_folder_is_no_place_for_a_page(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    with pytest.raises(SpaceError, match="it is a folder; give the name of a file in it"):
        write_output(Path(place), PAGE)


def test_a_device_takes_anything() -> None:
    write_output(Path(os.devnull), PAGE)
    assert Path(os.devnull).is_char_device()


def test_a_reader_who_has_gone_is_left_to_the_command(tmp_path: Path) -> None:
    with pytest.raises(BrokenPipeError), explained(tmp_path):
        raise BrokenPipeError


def test_what_the_system_refuses_is_told_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpaceError, match="page.html: No such file or directory; give another place"):
        write_output(tmp_path / "none" / "page.html", PAGE)
