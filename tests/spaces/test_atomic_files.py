"""Files are whole or not there; what is no file stays what it is."""

from __future__ import annotations

import os
from pathlib import Path
from threading import Thread

import pytest

from spaces.atomic_files import atomic_write, write_text


def fail_while_writing(path: Path) -> None:
    with atomic_write(path) as draft:
        draft.write_text("second")
        raise ZeroDivisionError


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    write_text(path, "first")
    with pytest.raises(ZeroDivisionError):
        fail_while_writing(path)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_pipe_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    pipe, read = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    write_text(pipe, "page")
    reader.join(10)
    assert read == ["page"]
    assert pipe.is_fifo()
