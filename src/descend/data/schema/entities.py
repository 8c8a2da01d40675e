"""Columns that say whom or what a row is about: the same customer in training and validation."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence

from descend.data.reading.expressions import category_sql
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_rules import has_identifier_name
from descend.data.schema.surveys import NumberSurvey, Selection, ValueSurvey
from descend.errors import command_text, option_text

_ENTITY = re.compile(
    r"(^|[^a-z])(customer|client|user|patient|subject|person|participant|player|household|student"
    r"|employee|driver|respondent|member)s?([^a-z]?(no|nr|number|code|name))?$",
    re.IGNORECASE,
)
_LEAST_ENTITIES = 10
_LEAST_ROWS = 1.1
"""Rows of an entity, on average, from which on its rows are repeated."""
_LEAST_SHARED = 0.1
"""Share of validation rows about entities of training, from which on this is told."""


def repeated_entities(
    table: Table,
    columns: Sequence[TableColumn],
    numbers: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    rows: Selection,
) -> list[str]:
    """A sentence for each column whose entities have rows in training and in validation.

    Args:
        table: with its training rows marked.
        columns: of the inputs.
        numbers: surveys of columns of numbers, by name.
        values: surveys of other columns, by name.
        rows: selects the rows; part of them is held out at random.
    """
    if rows.fraction is None:
        return []
    said = []
    for column in columns:
        survey = numbers.get(column.name) or values.get(column.name)
        if survey is None or not (has_identifier_name(column.name) or _ENTITY.search(column.name)):
            continue
        if survey.distinct < _LEAST_ENTITIES or survey.seen < _LEAST_ROWS * survey.distinct:
            continue
        if isinstance(survey, NumberSurvey) and not survey.whole:
            continue
        shared, held_out = _shared_rows(table, column, rows)
        if shared and shared >= _LEAST_SHARED * held_out:
            said.append(
                f"Column {column.name!r} seems to say whom or what a row is about, and {shared:,} "
                f"of {held_out:,} validation rows share its value with training rows: the error is "
                f"that for known ones. {_hold_out_groups(table, column.name)}"
            )
    return said


def _shared_rows(table: Table, column: TableColumn, rows: Selection) -> tuple[int, int]:
    """How many validation rows have a value of training rows, and how many there are."""
    value = category_sql(column)
    counted = (
        f"SELECT {value} AS value, count_if({MARK}) AS learned, count_if(NOT {MARK}) AS held "
        f"FROM {table.rows} WHERE {rows.counted} AND ({value}) IS NOT NULL GROUP BY 1"
    )
    added = (
        "SELECT value, sum(learned)::BIGINT AS learned, sum(held)::BIGINT AS held FROM parts "
        "GROUP BY value"
    )
    with table.kept_by_key([counted], "value", added) as kept:
        found = table.joined(
            "SELECT coalesce(sum(held) FILTER (learned > 0), 0)::BIGINT AS shared, "
            f"coalesce(sum(held), 0)::BIGINT AS held FROM {kept}"
        )
    return sum(found.column("shared").to_pylist()), sum(found.column("held").to_pylist())


def _hold_out_groups(table: Table, name: str) -> str:
    if not os.path.exists(table.name):
        validation = option_text("validation", "FILE")
        return f"For the error for new ones, hold out all rows of some of them: {validation}."
    source = f"SELECT * FROM {quote_text(table.name)} WHERE hash({quote_name(name)}) % 10"
    held_out = option_text("validation", f"{source} = 0")
    return (
        "For the error for new ones, hold out all rows of a tenth of them:  "
        f"{command_text('train', f'{source} > 0')}  with {held_out}"
    )
