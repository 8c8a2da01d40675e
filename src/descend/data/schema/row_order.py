"""Rows that stand in the order of a time: the error for later times is another one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from descend.data.reading.expressions import text_sql, time_sql
from descend.data.reading.sql import quote_text
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.columns import Column, DatetimeColumn
from descend.data.schema.hold_out import hold_out_text
from descend.data.schema.surveys import Selection

_BLOCKS = 64
"""Blocks of neighbouring rows whose times are compared."""
_IN_ORDER = 0.95
"""Share of neighbouring blocks that follow each other in time, from which on rows are in order."""
_LEAST_ROWS = 100
_HELD_OUT = 10
"""The command that is told holds out the latest row of this many."""


def rows_in_time(table: Table, columns: Sequence[Column], rows: Selection, count: int) -> list[str]:
    """A sentence on a table whose rows stand in the order of a column of dates or times.

    Validation rows are chosen at random, so each has training rows shortly before and after it; a
    model may look better on them than it will be for the time to come.

    Args:
        table: the rows.
        columns: as they were learned.
        rows: selects the rows; part of them is held out at random.
        count: of all rows of the table.
    """
    times = [one for one in columns if isinstance(one, DatetimeColumn) and one.pattern != "time"]
    if rows.fraction is None or count < _LEAST_ROWS:
        return []
    for column in times:
        direction = _direction(table, column, count)
        if direction:
            return [
                f"The rows stand in the order of {column.name!r}, and the validation rows are "
                "chosen among all of them at random: the error is that for times between known "
                f"ones. {_hold_out_later(table, count, direction, [t.name for t in rows.targets])}"
            ]
    return []


def _direction(table: Table, column: DatetimeColumn, count: int) -> int:
    """1 where times rise with the rows, -1 where they fall, 0 where they do neither."""
    read = table.column(column.name)
    assert read is not None
    size = -(-count // _BLOCKS)
    found = table.merged(
        f"SELECT {ROW} // {size} AS block, min(moment) AS low, max(moment) AS high FROM (SELECT "
        f"{ROW}, {_moment_sql(read, column.pattern)} AS moment FROM {table.rows}) "
        "WHERE moment IS NOT NULL GROUP BY 1 ORDER BY 1",
        "SELECT block, min(low) AS low, max(high) AS high FROM parts GROUP BY 1 ORDER BY 1",
    )
    lows, highs = found.column("low").to_pylist(), found.column("high").to_pylist()
    if len(lows) < 2 or min(lows) == max(highs):
        return 0
    rising = sum(high <= low for high, low in zip(highs, lows[1:], strict=False))
    falling = sum(low >= high for low, high in zip(lows, highs[1:], strict=False))
    pairs = len(lows) - 1
    # Blocks that all have the same time follow each other both ways.
    same = sum(one == two for one, two in pairwise(zip(lows, highs, strict=True)))
    if same > pairs // 2:
        return 0
    return int(rising >= _IN_ORDER * pairs) - int(falling >= _IN_ORDER * pairs)


def _moment_sql(column: TableColumn, pattern: str | None) -> str:
    """SQL: a number that grows with the time of a cell; NULL where it is written in an odd way.

    Text in the usual way of its column suffices for the order, and the query of every way takes
    many times as long to plan as a small table to read.
    """
    if column.type == "text" and (pattern is None or "%" in pattern):
        text = text_sql(column)
        if pattern is None:
            return f"epoch_us(try_cast({text} AS TIMESTAMP))"
        return f"epoch_us(try_strptime({text}, {quote_text(pattern)}))"
    return time_sql(column, pattern)


def _hold_out_later(table: Table, count: int, direction: int, targets: Sequence[str]) -> str:
    held = count // _HELD_OUT
    earlier, later = (
        (f"LIMIT {count - held}", f"OFFSET {count - held}")
        if direction > 0
        else (f"OFFSET {held}", f"LIMIT {held}")
    )
    which = ("the latest tenth", "the latest rows")
    return f"For the error at later times, {hold_out_text(table, targets, (earlier, later), which)}"
