"""Columns of numbers that are codes: they stay text, as their spelling tells them apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from descend.data.reading.expressions import category_sql, numbers_in, plainly_whole_sql, text_sql
from descend.data.reading.held_rows import listed_sql
from descend.data.reading.long_numbers import merging_columns
from descend.data.reading.number_text import is_measure
from descend.data.reading.shared_groups import count_distinct
from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn, groups_of
from descend.data.reading.typed_columns import TextRules, TypedColumn

_LOOKED_AT_TOGETHER = 256
"""Columns that one query looks at."""
_LONG_CODES = "codes: as numbers some of them would be equal"


def check_spellings(
    table: Table, found: Mapping[str, TypedColumn], rules: TextRules
) -> dict[str, TypedColumn]:
    """The types, with columns of categories as numbers only if none is written in two ways.

    Versions 1.1 and 1.10 are two values.
    """
    categories = {
        name: one
        for name, one in found.items()
        if name in rules.categorical and one.column.type == "number" and one.column.is_text
    }
    texts = {
        name for name, one in categories.items() if one.strays is not None or is_measure(one.unit)
    }
    texts |= _spelt_differently(
        table, [one.column for name, one in categories.items() if name not in texts]
    )
    return {
        name: replace(one, column=replace(one.column, type="text")) if name in texts else one
        for name, one in found.items()
    }


def _spelt_differently(table: Table, columns: Sequence[TableColumn]) -> set[str]:
    """The names of columns of text in which a number is written in several ways."""
    found = set()
    for column in _not_plainly_whole(table, columns):
        # Marks such as -999 do not count: text may write them -999,0.
        words = tuple(one for one in column.nulls if not any(True for _ in numbers_in([one])))
        plain = replace(column, nulls=words)
        by_text = category_sql(replace(plain, type="text"))
        if count_distinct(table, by_text) != count_distinct(table, category_sql(plain)):
            found.add(column.name)
    return found


def _not_plainly_whole(table: Table, columns: Sequence[TableColumn]) -> list[TableColumn]:
    """The columns with other cells than whole numbers as all write them."""
    left: list[TableColumn] = []
    for group in groups_of(columns, _LOOKED_AT_TOGETHER):
        plain = listed_sql([f"bool_and({plainly_whole_sql(text_sql(one))})" for one in group])
        rows = table.joined(f"SELECT {plain} FROM {table.rows}").to_pydict().values()
        left += [one for one, parts in zip(group, rows, strict=True) if False in parts]
    return left


def long_codes(
    table: Table, found: Mapping[str, TypedColumn], rules: TextRules
) -> dict[str, TypedColumn]:
    """As text, the columns of whole numbers that are different codes, and equal as numbers."""
    decided = {*rules.numeric, *rules.wanted, *rules.categorical, *rules.labels}
    asked = [
        one for name, one in found.items() if one.column.type == "number" and name not in decided
    ]
    long = [one.column.name for one in asked if one.long]
    merging = merging_columns(table, [one.column for one in asked], long)
    return {
        name: TypedColumn(replace(found[name].column, type="text"), reason=_LONG_CODES)
        for name in merging
    }
