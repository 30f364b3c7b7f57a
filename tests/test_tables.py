"""Aligned tables."""

import pytest

from minimobilebert.support.tables import aligned

ROWS = [["name", "n", "what"], ["a", "10", "x"], ["longer", "9", ""]]


def test_the_first_column_is_flush_left_and_numbers_are_flush_right():
    assert aligned(ROWS) == ["name     n  what", "a       10     x", "longer   9"]


def test_columns_may_be_chosen_from_both_ends():
    assert aligned(ROWS, left=(0, -1)) == ["name     n  what", "a       10  x", "longer   9"]
    assert aligned(ROWS, left=range(3)) == ["name    n   what", "a       10  x", "longer  9"]
    assert aligned(ROWS, left=()) == ["  name   n  what", "     a  10     x", "longer   9"]


def test_a_rule_is_as_long_as_the_longest_line():
    assert aligned([["a", "b"], ["", "100"]], ruled=True) == ["a    b", "------", "   100"]


def test_no_rows_are_no_lines_and_rows_of_other_lengths_are_refused():
    assert aligned([]) == aligned([], ruled=True) == []
    with pytest.raises(ValueError, match="zip"):
        aligned([["a"], ["a", "b"]])
