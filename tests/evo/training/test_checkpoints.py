"""Weights on the disk: whole or not at all, verified, and set aside when they are damaged."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest
import torch

from evo.data.paths import file_hash
from evo.training.checkpoints import (
    DamagedError,
    delete_progress,
    is_intact,
    previous_path,
    read_checkpoint,
    write_checkpoint,
)
from studies.records import EvoError

ONE, TWO = {"a": torch.zeros(4)}, {"a": torch.ones(4)}


def test_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    facts = {"space": "s", "ratings": [(0, "op", 0.5)], "n": 3}
    for name in ("a", "b"):
        write_checkpoint({"x": torch.arange(9.0), "y": torch.ones(2)}, tmp_path / name, facts)
    assert file_hash(tmp_path / "a") == file_hash(tmp_path / "b")


def test_what_was_there_before_may_be_kept(tmp_path: Path) -> None:
    path = tmp_path / "training.progress"
    for epoch, tensors in enumerate((ONE, TWO), start=1):
        write_checkpoint(tensors, path, {"epochs": epoch}, keep=True)
    assert [read_checkpoint(place)[1]["epochs"] for place in (path, previous_path(path))] == [2, 1]
    delete_progress(path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_what_was_there_and_no_draft(tmp_path: Path) -> None:
    """For the system a file that may not grow is the same as a disk that is full."""
    path = tmp_path / "training.progress"
    write_checkpoint(ONE, path, {"epochs": 1}, keep=True)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(
            EvoError, match=r"progress cannot be written: the disk is full.*Needed: 1.0 MB; free: .*Make"
        ):
            write_checkpoint({"a": torch.zeros(250_000)}, path, {"epochs": 2}, keep=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == [path]
    assert torch.equal(read_checkpoint(path)[0]["a"], ONE["a"])


def test_a_damaged_file_is_told_of_and_set_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "supernet.safetensors"
    assert not is_intact(path)
    for place in ("supernet.safetensors.damaged", "supernet.safetensors.damaged-2"):
        write_checkpoint(ONE, path, {"n": 1})
        assert is_intact(path)
        path.write_bytes(path.read_bytes()[:-1] + b"\x01")
        assert not is_intact(path)
        assert not path.exists()
        assert (tmp_path / place).exists()
        assert f"It is kept as {place}. Its part of the work is done again" in capsys.readouterr().err


def test_a_file_without_facts_is_none_of_ours(tmp_path: Path) -> None:
    write_checkpoint(ONE, tmp_path / "file", {})
    content = (tmp_path / "file").read_bytes()
    (tmp_path / "file").write_bytes(content.replace(b'"evo"', b'"eve"'))
    with pytest.raises(DamagedError, match="its header is empty"):
        read_checkpoint(tmp_path / "file")
    with pytest.raises(DamagedError, match="nowhere is missing"):
        read_checkpoint(tmp_path / "nowhere")
