"""A table in a terminal: a row stays a row."""

from __future__ import annotations

from descend.reporting.text.tables import table_text


def test_a_line_break_in_a_name_does_not_break_the_row() -> None:
    text = table_text(
        ["column", "kind"], [["size\nin m", "number"], ["a\tb\r", "text"]], columns=60
    )
    assert [line.split("  ")[0] for line in text.splitlines()] == [
        "column",
        "─" * 10,
        r"size\nin m",
        r"a\tb\r",
    ]


def test_nor_where_rows_become_blocks() -> None:
    text = table_text(["column", "a"], [["x\ny" * 9, "1"]], numbers=1, columns=20)
    assert text.splitlines()[0] == r"x\ny" * 9
