"""Classes of numbers that are written in a way of their own: 5%, $1, +1, 1,5."""

from __future__ import annotations

import re
from dataclasses import replace

from descend.data.reading.expressions import class_sql, text_sql
from descend.data.reading.measured_text import split_written
from descend.data.reading.number_text import DURATION
from descend.data.reading.sql import quote_text
from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.columns import ClassificationTarget
from descend.data.schema.targets import read_label

_PLAIN = r"-?[0-9]+(\.[0-9]*)?"
"""A number as programs write it, of which each class has one label however it is stored."""
_FIRST_ROWS = 20_480


def as_written(
    table: Table, column: TableColumn, target: ClassificationTarget
) -> tuple[TableColumn, ClassificationTarget]:
    """The target with its classes as the table writes them, where they are no plain numbers.

    Classes stay numbers if one of them is written in several ways, or if other cells than these
    count as missing; durations stay numbers of seconds, as files with types have them.

    Args:
        table: with its training rows marked.
        column: of the target.
        target: with numbers for labels, in the order that the new ones have too.
    """
    durations = split_written(column.written)[0] == DURATION
    if target.type != "number" or not column.is_text or durations:
        return column, target
    text = text_sql(column)
    first = f"SELECT {text} AS written FROM {table.rows} LIMIT {_FIRST_ROWS}"
    odd = table.joined(
        f"SELECT written FROM ({first}) WHERE written <> '' "
        f"AND NOT regexp_full_match(written, {quote_text(_PLAIN)}) LIMIT 1"
    )
    if not odd.num_rows:
        return column, target
    as_text = replace(column, type="text")
    found = table.joined(
        f"SELECT DISTINCT {class_sql(column, 'number')} AS label, "
        f"{class_sql(as_text, 'text')} AS written FROM {table.rows}"
    ).to_pylist()
    written: dict[object, set[str]] = {}
    for row in found:
        label = None if row["label"] is None else read_label(row["label"], target.type)
        if row["written"] is not None:
            written.setdefault(label, set()).add(row["written"])
    texts = [written.get(label, set()) for label in target.labels]
    if None in written or any(len(one) != 1 for one in texts):
        return column, target
    labels = tuple(one.pop() for one in texts)
    if all(re.fullmatch(_PLAIN, label) for label in labels):
        return column, target
    return as_text, replace(target, type="text", labels=labels)
