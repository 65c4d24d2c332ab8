"""A small share of ``python -m tests.fuzz``: damaged input is accepted or answered, never a traceback."""

from __future__ import annotations

import pytest

from tests.fuzz import TARGETS, fuzzed, samples

INPUTS = 60


@pytest.mark.parametrize("name", TARGETS)
def test_damaged_input_is_answered(name: str) -> None:
    assert len(samples(name)) >= 1
    found = fuzzed(name, INPUTS)
    assert found.answered > INPUTS / 4
