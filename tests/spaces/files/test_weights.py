"""A file of weights knows whether it is whole: every cut, and every single bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from spaces.files.weights import header_bytes, read_weights

TENSORS = {
    "a": torch.arange(6.0).view(2, 3),
    "b": torch.tensor(3),
    "none": torch.zeros(0),
    "c": torch.ones(3).bfloat16(),
}
FACTS = {"space": "x|y", "ratings": [[0, "op", 0.1]], "cells": None}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "file", header_bytes(TENSORS, FACTS))
    return tmp_path / "file"


def test_what_is_written_comes_back(path: Path) -> None:
    tensors, facts = read_weights(path)
    assert facts == FACTS
    assert tensors.keys() == TENSORS.keys()
    assert all(
        torch.equal(tensor, TENSORS[name]) and tensor.dtype == TENSORS[name].dtype for name, tensor in tensors.items()
    )


def test_every_cut_is_noticed(path: Path) -> None:
    content = path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="it cannot be read"):
            read_weights(path)


def test_every_bit_that_turns_is_noticed_or_changes_nothing(path: Path) -> None:
    """What changes nothing: the names under which facts and digest stand. Without its facts nobody takes the file for ours."""
    content, unnoticed = path.read_bytes(), []
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :])
        try:
            tensors, facts = read_weights(path)
        except ValueError:
            continue
        assert all(torch.equal(tensor, TENSORS[name]) for name, tensor in tensors.items())
        assert facts == {} or FACTS.items() <= facts.items()
        unnoticed.append(place)
    assert len(unnoticed) <= len("evo") + len("sha256")


def test_a_file_of_another_program_has_no_digest_and_is_taken_as_it_is(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "theirs")
    tensors, facts = read_weights(tmp_path / "theirs")
    assert (tensors.keys(), facts) == (TENSORS.keys(), {})
