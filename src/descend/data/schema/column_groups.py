"""Survey the columns of a table in groups, several groups at a time."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from typing import TypeVar

from descend.data.reading.errors import MemoryShortError
from descend.data.reading.table import Table
from descend.data.reading.table_column import groups_of

MOST_COLUMNS = 64
"""Columns per query: DuckDB's planning time grows faster than their number."""

C = TypeVar("C")
T = TypeVar("T")


SMALL_TEXT, SMALL_CELLS = 1 << 20, 1 << 17
"""Bytes of text files, and values in memory, up to which a query of a table takes less time than
its plan."""


def in_groups(table: Table, columns: Sequence[T]) -> list[Sequence[T]]:
    """Columns in groups that are surveyed together.

    At least one group for each core, unless the table is small: then each query more costs more
    than another core saves.
    """
    groups = 1 if _is_small(table) else os.cpu_count() or 1
    size = max(1, min(MOST_COLUMNS, -(-len(columns) // groups)))
    return list(groups_of(columns, size))


def _is_small(table: Table) -> bool:
    if table.held_rows is not None:
        return int(table.held_rows.rows.num_rows) * len(table.columns) <= SMALL_CELLS
    return 0 < table.text_bytes <= SMALL_TEXT


def survey_groups(
    table: Table, groups: Sequence[Sequence[C]], survey: Callable[[Sequence[C]], T]
) -> list[T]:
    """What a survey of a table finds in groups of its columns, which it asks about concurrently.

    Where the memory does not suffice for that, the groups that failed are asked one after the
    other, in halves and halves of these, down to a column.
    """
    if table.sharing is not None:
        return table.side_by_side([functools.partial(survey, group) for group in groups])

    def tried(group: Sequence[C]) -> T | None:
        try:
            return survey(group)
        except MemoryShortError:
            return None

    found = table.side_by_side([functools.partial(tried, group) for group in groups])
    done = [one for one in found if one is not None]
    left = [group for group, one in zip(groups, found, strict=True) if one is None]
    while left:
        group = left.pop()
        middle = len(group) // 2
        if middle == 0:
            done.append(survey(group))
        elif (one := tried(group[:middle])) is not None:
            done.append(one)
            left.append(group[middle:])
        else:
            left += [group[:middle], group[middle:]]
    return done
