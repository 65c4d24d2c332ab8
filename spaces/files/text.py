"""Text that users hand in, whatever program saved it: byte order marks, line ends and compression are no part of it."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from pathlib import Path

from spaces.errors import SpaceError

COMPRESSED = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ\x00": lzma.decompress}
"""How a compressed file begins, and what unpacks it."""

UNREAD = {
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf": "packed with 7z",
}
"""How files begin that are often handed in, and are not read; what they are."""

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte order marks, and the encoding that each announces; that of UTF-32 begins as that of UTF-16 does."""


def read_text(path: Path) -> str:
    """The text of a file, plain or compressed: UTF-8, or what its byte order mark announces. Lines end with a newline.

    Raises:
        SpaceError: it is no such text; the message names the file and the line.
    """
    data = path.read_bytes()
    if other := next((kind for start, kind in UNREAD.items() if data.startswith(start)), None):
        raise SpaceError(f"{path} is {other}, expected text; unpack it, or save the table as csv")
    try:
        for start, unpack in COMPRESSED.items():
            if data.startswith(start):
                data = unpack(data)
                break
    except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
        raise SpaceError(f"{path} cannot be unpacked: {error}") from None
    mark = next((mark for mark in MARKS if data.startswith(mark)), b"")
    encoding = MARKS.get(mark, "utf-8")
    try:
        text = data[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        line = data[len(mark) : len(mark) + error.start].count(b"\n") + 1
        raise SpaceError(
            f"{path}, line {line}: this is no text in {encoding.upper()}; save the file as UTF-8"
        ) from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise SpaceError(f"{path}, line {line}: this is no text, or UTF-16 without a mark; save the file as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")
