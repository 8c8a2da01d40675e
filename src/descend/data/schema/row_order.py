"""Rows that stand in the order of a time: the error for later times is another one."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from itertools import pairwise

from descend.data.reading.expressions import text_sql
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn, groups_of, stamp_sql
from descend.data.reading.times import time_sql
from descend.data.schema.columns import Column, DatetimeColumn
from descend.data.schema.offered_commands import hold_out_text
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
_AT_ONCE = 32
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
    for column, direction in _directions(table, times, count):
        if direction:
            return [
                f"The rows stand in the order of {column.name!r}{_AT_RANDOM} "
                f"{_hold_out_last(table, count, direction, settings)}"
            ]
    targets = {one.name for one in rows.targets}
    others = [one for one in table.columns if one.name not in targets and one.type != "other"]
    for column, sign, backs in _moving_back(table, times, count):
        block = _block_column(table, column, sign, backs, count, others)
        if block:
            return [
                f"The rows of each {block!r} stand in the order of {column.name!r}{_AT_RANDOM} "
                f"{_hold_out_later(table, column, settings)}"
            ]
    return []


def _moments(table: Table, columns: Sequence[DatetimeColumn]) -> str:
    """SQL: `m0`, `m1`, ..., numbers that grow with the times of columns."""
    moments = []
    for place, column in enumerate(columns):
        read = table.column(column.name)
        assert read is not None
        moments.append(f"{_moment_sql(read, column.pattern)} AS m{place}")
    return ", ".join(moments)


def _directions(
    table: Table, columns: Sequence[DatetimeColumn], count: int
) -> Iterator[tuple[DatetimeColumn, int]]:
    """Each column with 1 where times rise with the rows, -1 where they fall, 0 for neither."""
    size = -(-count // _BLOCKS)
    for group in groups_of(columns, _AT_ONCE):
        ends, merged = (
            ", ".join(
                f"min({low}) AS low{place}, max({high}) AS high{place}"
                for place in range(len(group))
                for low, high in [(one.format(place), other.format(place))]
            )
            for one, other in (("m{}", "m{}"), ("low{}", "high{}"))
        )
        found = table.merged(
            f"SELECT {ROW} // {size} AS block, {ends} FROM "
            f"(SELECT {ROW}, {_moments(table, group)} FROM {table.rows}) GROUP BY 1 ORDER BY 1",
            f"SELECT block, {merged} FROM parts GROUP BY 1 ORDER BY 1",
        )
        for place, column in enumerate(group):
            listed = (found.column(f"{end}{place}").to_pylist() for end in ("low", "high"))
            blocks = [one for one in zip(*listed, strict=True) if one[0] is not None]
            yield column, _direction(blocks)


def _direction(blocks: Sequence[tuple[int, int]]) -> int:
    """The direction of blocks of rows by the earliest and the latest time of each."""
    lows, highs = ([one[end] for one in blocks] for end in (0, 1))
    if len(lows) < 2 or min(lows) == max(highs):
        return 0
    # Neighbours may overlap: flights that are listed by when they left may be late.
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


def _near(count: int) -> tuple[str, str]:
    """SQL: the window of neighbouring rows of a part of the table, and whether a row is in one."""
    stride = max(_NEIGHBOURS, count // _BLOCKS)
    window = f"(PARTITION BY {ROW} // {stride} ORDER BY {ROW})"
    return window, f"{ROW} % {stride} < {_NEIGHBOURS}"


def _moving_back(
    table: Table, columns: Sequence[DatetimeColumn], count: int
) -> Iterator[tuple[DatetimeColumn, str, int]]:
    """The columns whose times hardly ever move one way from row to row: its sign, and how often.

    Neighbouring rows in random order go back in time as often as forth.
    """
    window, inside = _near(count)
    for group in groups_of(columns, _AT_ONCE):
        places = range(len(group))
        steps = ", ".join(f"m{place} - lag(m{place}) OVER {window} AS s{place}" for place in places)
        counts = ", ".join(
            f"coalesce(count_if(s{place} {sign} 0), 0)::BIGINT AS {name}{place}"
            for place in places
            for sign, name in (("<", "down"), (">", "up"))
        )
        total = ", ".join(
            f"sum({name}{place})::BIGINT AS {name}{place}"
            for place in places
            for name in ("down", "up")
        )
        found = table.merged(
            f"SELECT {counts} FROM (SELECT {steps} FROM (SELECT {ROW}, {_moments(table, group)} "
            f"FROM {table.rows} WHERE {inside}))",
            f"SELECT {total} FROM parts",
        ).to_pylist()[0]
        for place, column in enumerate(group):
            down, up = found[f"down{place}"], found[f"up{place}"]
            backs, sign = min((down, "<"), (up, ">"))
            if _LEAST_BREAKS <= backs <= _MOST_BREAKS * (down + up):
                yield column, sign, backs


def _block_column(
    table: Table,
    column: DatetimeColumn,
    sign: str,
    backs: int,
    count: int,
    others: Sequence[TableColumn],
) -> str:
    """The name of the column within whose blocks of rows times rise, or fall; else empty.

    In a panel times move back where a new block begins, and there alone it has a new value.
    """
    window, inside = _near(count)
    for group in groups_of([one for one in others if one.name != column.name], _AT_ONCE):
        new = ", ".join(
            f"{one.sql} IS DISTINCT FROM lag({one.sql}) OVER {window} AS v{place}"
            for place, one in enumerate(group)
        )
        both = ", ".join(
            f"[count_if(v{place} AND step IS NOT NULL), "
            f"count_if(v{place} AND step {sign} 0)]::BIGINT[]"
            for place in range(len(group))
        )
        parts = table.joined(
            f"SELECT [{both}] AS changes FROM (SELECT m0 - lag(m0) OVER {window} AS step, {new} "
            f"FROM (SELECT *, {_moments(table, [column])} FROM {table.rows} WHERE {inside}))"
        ).column("changes")
        for place, one in enumerate(group):
            changed, together = (sum(part[place][k] for part in parts.to_pylist()) for k in (0, 1))
            if together >= _IN_ORDER * backs and changed <= backs / _IN_ORDER:
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
        typed = f"{stamp_sql(name, read.sql_type)} {after} {time}"
    elif "%" in column.pattern:
        parsed = f"try_strptime({name}::VARCHAR, {quote_text(column.pattern)})"
        typed = f"{parsed} {after} {time}"
    else:
        typed = ""
    rows = (f"WHERE ({typed}) IS NOT TRUE", f"WHERE {typed}") if typed else ("", "")
    return f"{_LATER}{hold_out_text(table, settings, rows, _LATEST)}"
