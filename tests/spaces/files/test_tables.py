"""Files of users: whatever program saved them, the text is the text, and what is wrong has a place."""

from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pytest

from spaces.errors import SpaceError
from spaces.files.tables import read_number, read_table
from spaces.files.text import read_text

TEXT = "op,größe\na,1\n"


@pytest.mark.parametrize(
    "saved",
    [
        TEXT.encode(), TEXT.encode("utf-8-sig"), TEXT.encode("utf-16"), TEXT.encode("utf-32"),
        TEXT.replace("\n", "\r\n").encode(), TEXT.replace("\n", "\r").encode(),
        gzip.compress(TEXT.encode("utf-8-sig"), mtime=0), bz2.compress(TEXT.encode()),
        lzma.compress(TEXT.encode()),
    ],
)  # fmt: skip
def test_a_text_is_read_however_it_was_saved(saved: bytes, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(saved)
    assert read_text(path) == TEXT


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (b"a\nb\xe9\n", "line 2: this is no text in UTF-8; save the file as UTF-8"),
        ("a,b\n1,2\n".encode("utf-16-le"), "line 1: this is no text, or UTF-16 without a mark"),
        (gzip.compress(TEXT.encode(), mtime=0)[:-9], "cannot be unpacked"),
        (b"PK\x03\x04\x14", "is a zip archive or a spreadsheet, expected text; unpack it, or save the table as csv"),
        (b"\x28\xb5\x2f\xfd", "is packed with zstd, expected text"),
    ],
)
def test_what_is_no_text_has_a_line(saved: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes(saved)
    with pytest.raises(SpaceError, match=rf"mine\.csv.*{message}"):
        read_text(path)


def test_columns_are_found_without_the_spaces_around_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("\n arch , acc\u200b,,note\n\n x , 0.5,,\n,,,\ny,1,,two words,,\n", encoding="utf-8")
    table = read_table(path)
    assert table.columns == ("arch", "acc", "Unnamed: 2", "note")
    assert table.texts(" arch") == ["x", "y"]
    assert [row.number("acc") for row in table.rows()] == [0.5, 1.0]
    assert table.lines == (4, 6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a;b\n1;2\n", r"no column 'b'; its columns: a;b; is it separated by ';'\? Expected commas"),
        ('a;b\n"1,2";2\n', r"line 2: cannot be read as csv: .*; is it separated by ';'\? Expected commas"),
        ('a\tb\n"1,2"\t2\n', r"line 2: cannot be read as csv: .*; is it separated by '\\t'\? Expected commas"),
        ('sep=;\na;b\n"1,2";2\n', r"line 3: cannot be read as csv: .*; is it separated by ';'\? Expected commas"),
        ("a,b\u202e\n1,2\n", r"no column 'b'; its columns: a, 'b\\u202e'"),
        ("a,b,b\n1,2,3\n", "has 2 columns 'b', expected one"),
        ("a,b\n1,2\n1,2,5\n", "line 3: found 3 columns, expected the 2"),
        ("a,b\n1\n", "line 2: found 1 columns, expected the 2"),
        ('a,b\n1,"2\n', "line 2: cannot be read as csv"),
    ],
)
def test_what_is_no_table_is_told(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpaceError, match=rf"mine\.csv.*{message}"):
        read_table(path).texts("b")


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "-inf", "1e999", "1,5", "-1"])
def test_what_is_no_cost_is_told(text: str) -> None:
    with pytest.raises(SpaceError, match=rf"t\.csv, line 2: ms is '{text}', expected a (finite )?number from 0 on"):
        read_number(text, "t.csv, line 2: ms", 0)


def test_numbers_are_python_floats() -> None:
    assert [read_number(text, "") for text in (" 0.1", "-2", "1e3", "0.1000000000000000055")] == [0.1, -2, 1000, 0.1]


def test_a_spreadsheets_line_about_commas_is_no_header(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('sep=,\narch,acc\n"a,b",0.5\n')
    table = read_table(path)
    assert table.columns == ("arch", "acc")
    assert table.texts("arch") == ["a,b"]
    assert table.lines == (3,)
