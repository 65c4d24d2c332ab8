"""A small share of ``python -m tests.fuzz``: damaged input is accepted or answered, never a traceback."""

from __future__ import annotations

import pytest

from tests.fuzz import TARGETS, fuzzed, samples

INPUTS = 40
FEWER = {"database": 12}
"""What takes longer."""


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_answered(name: str) -> None:
    assert len(samples(name)) >= 1
    inputs = FEWER.get(name, INPUTS)
    found = fuzzed(name, inputs)
    assert found.answered > inputs / 4
