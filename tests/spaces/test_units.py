"""Numbers as people read and write them."""

from __future__ import annotations

import pytest

from spaces.units import format_number, parse_number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("50M", 50e6),
        ("1.2G", 1.2e9),
        ("300k", 300e3),
        ("950", 950),
        ("5e7", 5e7),
        (" 8 ", 8),
        (".5m", 5e5),
        ("2K", 2e3),
    ],
)
def test_a_number_is_read(text: str, number: float) -> None:
    assert parse_number(text) == pytest.approx(number)


@pytest.mark.parametrize("text", ["", "M", "fifty", "-5M", "0", "0k", "5MB", "1,000", "nan", "inf"])
def test_what_is_no_positive_number_is_answered(text: str) -> None:
    with pytest.raises(ValueError, match="expected a positive number such as 50M"):
        parse_number(text)


@pytest.mark.parametrize("number", [7, 950, 12_300, 301e6, 1.5e9])
def test_what_short_writes_is_read(number: float) -> None:
    assert parse_number(format_number(number)) == pytest.approx(number)
