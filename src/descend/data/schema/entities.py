"""Columns that say whom or what a row is about: the same customer in training and validation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from descend.data.reading.expressions import category_sql
from descend.data.reading.shared_groups import kept_by_key
from descend.data.reading.sql import quote_name
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_rules import has_identifier_name
from descend.data.schema.offered_commands import hold_out_text
from descend.data.schema.surveys import NumberSurvey, Selection, ValueSurvey
from descend.settings import Settings

_ENTITY = re.compile(
    r"(^|[^a-z])(customer|client|user|patient|subject|person|participant|player|household|student"
    r"|employee|driver|respondent|member|account|device|sensor|machine|vehicle|session)s?"
    r"([^a-z]?(id|no|nr|number|code|name))?$",
    re.IGNORECASE,
)
_PLAIN_NAME = re.compile("[A-Za-z_][A-Za-z0-9_]*")
_LEAST_ENTITIES = 10
_LEAST_ROWS = 1.1
"""Rows of an entity, on average, from which on its rows are repeated."""
_MOST_ROWS = 200
"""Rows of a value, on average, from which on a column called an id is rather a code, of a zone or
a shop: what is predicted later has the same values."""
_LEAST_SHARED = 0.1
"""Share of validation rows about entities of training, from which on this is told."""


def repeated_entities(
    table: Table,
    columns: Sequence[TableColumn],
    numbers: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    rows: Selection,
    settings: Settings,
) -> list[str]:
    """A sentence on the columns whose entities have rows in training and in validation.

    Args:
        table: with its training rows marked.
        columns: of the inputs.
        numbers: surveys of columns of numbers, by name.
        values: surveys of other columns, by name.
        rows: selects the rows; part of them is held out at random.
        settings: of the run, for the command that is told.
    """
    if rows.fraction is None:
        return []
    found = []
    for column in columns:
        survey = numbers.get(column.name) or values.get(column.name)
        entity = _ENTITY.search(column.name)
        if survey is None or not (has_identifier_name(column.name) or entity):
            continue
        if not entity and survey.seen > _MOST_ROWS * survey.distinct:
            continue
        if survey.distinct < _LEAST_ENTITIES or survey.seen < _LEAST_ROWS * survey.distinct:
            continue
        if isinstance(survey, NumberSurvey) and not survey.whole:
            continue
        shared, held_out = _shared_rows(table, column, rows)
        if shared and shared >= _LEAST_SHARED * held_out:
            found.append((column.name, shared, held_out))
    if not found:
        return []
    (first, shared, held_out), *others = found
    beside = "".join(f", {name!r}: {number:,}" for name, number, _ in others)
    return [
        f"Column {first!r} seems to say whom or what a row is about, and {shared:,} of "
        f"{held_out:,} validation rows share its value with training rows{beside}: the error is "
        f"that for known ones. {_hold_out_groups(table, first, settings)}"
    ]


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
    with kept_by_key(table, [counted], "value", added) as kept:
        found = table.joined(
            "SELECT coalesce(sum(held) FILTER (learned > 0), 0)::BIGINT AS shared, "
            f"coalesce(sum(held), 0)::BIGINT AS held FROM {kept}"
        )
    return sum(found.column("shared").to_pylist()), sum(found.column("held").to_pylist())


def _hold_out_groups(table: Table, name: str, settings: Settings) -> str:
    # After a table's name even a reserved word such as "group" is a column.
    column = name if _PLAIN_NAME.fullmatch(name) else quote_name(name)
    part = f"AS t WHERE hash(t.{column}) % 10"
    which = ("all rows of a tenth of them", "all rows of some of them")
    told = hold_out_text(table, settings, (f"{part} > 0", f"{part} = 0"), which)
    return f"For the error for new ones, {told}"
