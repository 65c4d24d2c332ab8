"""Tables for a terminal."""

from __future__ import annotations

from spaces.columns import format_row, format_table


def test_a_row_is_aligned_to_the_right_and_named_columns_to_the_left() -> None:
    assert format_row(["a", "1", "x"], [3, 2, 3], left=(0, 2)) == "a     1  x"


def test_a_tables_columns_are_as_wide_as_their_longest_cell() -> None:
    assert format_table([["name", "n"], ["a", "100"], ["longer", "2"]], left=(0,)).splitlines() == [
        "name      n",
        "a       100",
        "longer    2",
    ]
