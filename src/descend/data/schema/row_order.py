"""Rows that stand in the order of a time: the error for later times is another one."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from itertools import pairwise

from descend.data.reading.expressions import text_sql, time_sql
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.columns import Column, DatetimeColumn
from descend.data.schema.hold_out import hold_out_text
from descend.data.schema.surveys import Selection
from descend.settings import Settings

_BLOCKS = 64
"""Blocks of neighbouring rows whose times are compared."""
_IN_ORDER = 0.95
"""Share of neighbouring blocks that follow each other in time, from which on rows are in order."""
_LEAST_ROWS = 100
_HELD_OUT = 10
"""The command that is told holds out the latest row of this many."""
_NEIGHBOURS = 4_096
"""Most rows of a block whose neighbours are compared: lists of more rows would take memory."""
_LEAST_BREAKS = 2
_MOST_BREAKS = 0.1
"""Share of neighbouring rows that go back in time, up to which their order is not by chance."""
_AT_ONCE = 64
"""Columns that one query looks at."""
_EPOCH = datetime.datetime(1970, 1, 1)
_AT_RANDOM = (
    ", and the validation rows are chosen among all of them at random: the error is that for "
    "times between known ones."
)
_LATER = "For the error at later times, "
_LATEST = ("the latest tenth", "the latest rows")


def rows_in_time(
    table: Table, columns: Sequence[Column], rows: Selection, count: int, settings: Settings
) -> list[str]:
    """A sentence on a table whose rows stand in the order of a column of dates or times.

    Those of a panel do so within the blocks of another column: by shop, and then by day.

    Validation rows are chosen at random, so each has training rows shortly before and after it; a
    model may look better on them than it will be for the time to come.

    Args:
        table: the rows.
        columns: as they were learned.
        rows: selects the rows; part of them is held out at random.
        count: of all rows of the table.
        settings: of the run, for the command that is told.
    """
    times = [one for one in columns if isinstance(one, DatetimeColumn) and one.pattern != "time"]
    if rows.fraction is None or count < _LEAST_ROWS:
        return []
    for column in times:
        direction = _direction(table, column, count)
        if direction:
            return [
                f"The rows stand in the order of {column.name!r}{_AT_RANDOM} "
                f"{_hold_out_last(table, count, direction, settings)}"
            ]
    targets = {one.name for one in rows.targets}
    others = [one for one in table.columns if one.name not in targets and one.type != "other"]
    for column in times:
        block = _block_column(table, column, count, others)
        if block:
            return [
                f"The rows of each {block!r} stand in the order of {column.name!r}{_AT_RANDOM} "
                f"{_hold_out_later(table, column, settings)}"
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
    # Neighbours may overlap: flights that are listed by when they left may be late.
    blocks = list(zip(lows, highs, strict=True))
    moves = [(two[0] - one[0], two[1] - one[1]) for one, two in pairwise(blocks)]
    # Blocks that all have the same time follow each other both ways.
    if sum(move == (0, 0) for move in moves) > len(moves) // 2:
        return 0
    rising = sum(min(move) >= 0 for move in moves) >= _IN_ORDER * len(moves)
    falling = sum(max(move) <= 0 for move in moves) >= _IN_ORDER * len(moves)
    return int(rising and highs[0] <= lows[-1]) - int(falling and lows[0] >= highs[-1])


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


def _block_column(
    table: Table, column: DatetimeColumn, count: int, others: Sequence[TableColumn]
) -> str:
    """The name of the column within whose blocks of rows times rise, or fall; else empty.

    Neighbouring rows in random order go back in time as often as forth. In a panel they go back
    where a new block begins, and there alone the other column has a new value.
    """
    read = table.column(column.name)
    assert read is not None
    stride = max(_NEIGHBOURS, count // _BLOCKS)
    near = f"PARTITION BY {ROW} // {stride} ORDER BY {ROW}"
    before = f"lag(moment) OVER ({near})"

    def moves(listed: str, told: str) -> str:
        return (
            f"SELECT {told} FROM (SELECT moment - {before} AS step{listed} FROM "
            f"(SELECT *, {_moment_sql(read, column.pattern)} AS moment FROM {table.rows} "
            f"WHERE {ROW} % {stride} < {_NEIGHBOURS}))"
        )

    counts = "count_if(step > 0)::BIGINT AS up, count_if(step < 0)::BIGINT AS down"
    total = "SELECT sum(up)::BIGINT AS up, sum(down)::BIGINT AS down FROM parts"
    found = table.merged(moves("", counts), total).to_pylist()[0]
    rarer, sign = min((found["down"], "<"), (found["up"], ">"))
    if rarer < _LEAST_BREAKS or rarer > _MOST_BREAKS * (found["up"] + found["down"]):
        return ""
    for start in range(0, len(others), _AT_ONCE):
        group = [one for one in others[start : start + _AT_ONCE] if one.name != column.name]
        if not group:
            continue
        new = ", ".join(
            f"{one.sql} IS DISTINCT FROM lag({one.sql}) OVER ({near}) AS v{place}"
            for place, one in enumerate(group)
        )
        both = ", ".join(
            f"[count_if(v{place} AND step IS NOT NULL), "
            f"count_if(v{place} AND step {sign} 0)]::BIGINT[]"
            for place in range(len(group))
        )
        parts = table.joined(moves(f", {new}", f"[{both}] AS changes")).column("changes")
        for place, one in enumerate(group):
            changed, together = (sum(part[place][k] for part in parts.to_pylist()) for k in (0, 1))
            if together >= _IN_ORDER * rarer and changed <= rarer / _IN_ORDER:
                return one.name
    return ""


def _hold_out_last(table: Table, count: int, direction: int, settings: Settings) -> str:
    """The command that holds out the rows of one end of the table."""
    held = count // _HELD_OUT
    earlier, later = (
        (f"LIMIT {count - held}", f"OFFSET {count - held}")
        if direction > 0
        else (f"OFFSET {held}", f"LIMIT {held}")
    )
    return f"{_LATER}{hold_out_text(table, settings, (earlier, later), _LATEST)}"


def _hold_out_later(table: Table, column: DatetimeColumn, settings: Settings) -> str:
    """The command that holds out the rows of later times, wherever they stand."""
    read = table.column(column.name)
    assert read is not None
    moment = _moment_sql(read, column.pattern)
    share = 1 - 1 / _HELD_OUT
    found = table.merged(
        f"SELECT quantile_disc({moment}, {share}) AS moment, max({moment}) AS latest "
        f"FROM {table.rows}",
        "SELECT quantile_disc(moment, 0.5) AS moment, max(latest) AS latest FROM parts",
    ).to_pylist()[0]
    after = ">" if found["moment"] < found["latest"] else ">="
    time = quote_text(str(_EPOCH + datetime.timedelta(microseconds=int(found["moment"]))))
    name = quote_name(column.name)
    if column.pattern is None:
        typed = f"try_cast({name} AS TIMESTAMP) {after} {time}"
    elif "%" in column.pattern:
        parsed = f"try_strptime({name}::VARCHAR, {quote_text(column.pattern)})"
        typed = f"{parsed} {after} {time}"
    else:
        typed = ""
    rows = (f"WHERE ({typed}) IS NOT TRUE", f"WHERE {typed}") if typed else ("", "")
    return f"{_LATER}{hold_out_text(table, settings, rows, _LATEST)}"
