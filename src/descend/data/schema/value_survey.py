"""Survey text and categories: the values, their counts, and whether they are dates."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from descend.data.reading.expressions import category_sql, class_sql, number_sql
from descend.data.reading.missing import NULLS
from descend.data.reading.periods import HALF, MONTHS, QUARTER
from descend.data.reading.shared_groups import kept_by_key
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import Cells
from descend.data.reading.times import (
    DAY_NUMBER,
    MONTH_NUMBER,
    TIME,
    cell_sql,
    epoch_unit,
    time_sql,
    time_written_sql,
)
from descend.data.reading.typed_columns import is_few
from descend.data.schema.column_groups import MOST_COLUMNS, in_groups, survey_groups
from descend.data.schema.date_formats import ISO, written_times
from descend.data.schema.dates import MONTH_PARTS, PARTS, TIME_PARTS
from descend.data.schema.surveys import LEAST_COUNT, MOST_VALUES, Selection, ValueSurvey
from descend.data.schema.time_survey import survey_times
from descend.errors import DataError, option_text
from descend.settings import Settings

_MOST_TEXTS = 1_000
_SET_BYTES = 8 << 20
"""What DuckDB takes for counting the values of a column, however few they are."""
_VALUE = TableColumn("value", "text", "VARCHAR", nulls=NULLS)


def survey_values(
    table: Table,
    columns: Sequence[TableColumn],
    rows: Selection,
    settings: Settings,
) -> dict[str, ValueSurvey]:
    """The surveys of columns of text, booleans, categories, dates and times.

    A target is surveyed in the validation rows too, so that all of its classes are known; those
    without a training row have count 0.

    Args:
        table: with its training rows marked.
        columns: each is read as categories.
        rows: selects the training rows.
        settings: categorical and datetime columns, date_order.
    """
    groups = in_groups(table, columns)
    survey = functools.partial(_survey, table, rows, settings)
    found = survey_groups(table, groups, survey)
    return {name: survey for group in found for name, survey in group.items()}


def _most_columns(table: Table) -> int:
    """How many columns are counted in one query, while other cores count others."""
    if table.memory is None:
        return MOST_COLUMNS
    return max(1, table.memory // (_SET_BYTES * (os.cpu_count() or 1)))


def _survey(
    table: Table, rows: Selection, settings: Settings, columns: Sequence[TableColumn]
) -> dict[str, ValueSurvey]:
    """The survey of some columns, few enough for one query.

    Rows of validation are counted too where one of the columns is a target.
    """
    targets = [place for place, column in enumerate(columns) if column in rows.targets]
    always = f"place IN ({', '.join(map(str, targets))})" if targets else "false"
    where = rows.counted if targets else MARK
    size = _most_columns(table)
    counts = [
        _counts_sql(table, columns[start : start + size], start, rows.targets, where, always)
        for start in range(0, len(columns), size)
    ]
    merge = "SELECT place, value, sum(n)::BIGINT AS n FROM parts GROUP BY place, value"
    with kept_by_key(table, counts, "place, value", merge) as kept:
        found_totals = table.merged(_totals(kept), _MERGED_TOTALS).to_pylist()
        totals = {row["place"]: _total(row) for row in found_totals}
        asked = [
            place
            for place, column in enumerate(columns)
            if column not in rows.targets and column.name not in settings.categorical
        ]
        texts = [place for place in asked if columns[place].type == "text" and place in totals]
        found = written_times(table, kept, texts, settings.date_order)
        surveys = []
        for place, column in enumerate(columns):
            total = totals.get(place, {})
            survey = ValueSurvey(**total, **found.get(place, {}))
            if place in asked:
                survey = _with_times(table, kept, place, column, survey, settings)
            surveys.append(survey)
        others = [place for place, survey in enumerate(surveys) if survey.times is None]
        common = _commonest(table, kept, others, always)
        worded = [place for place in others if columns[place].type == "text"]
        rare_too = _commonest(table, kept, worded, "true", _MOST_TEXTS)
    return {
        column.name: replace(
            survey, values=tuple(common.get(place, ())), texts=tuple(rare_too.get(place, ()))
        )
        for place, (column, survey) in enumerate(zip(columns, surveys, strict=True))
    }


def _counts_sql(
    table: Table,
    columns: Sequence[TableColumn],
    first: int,
    targets: Sequence[TableColumn],
    where: str,
    always: str,
) -> str:
    """SQL for the counts of every value of every column, whose indices begin at `first`."""
    names = [f"v{place}" for place in range(first, first + len(columns))]
    kinds = [class_sql if column in targets else category_sql for column in columns]
    values = ", ".join(
        f"{kind(column)} AS {name}"
        for kind, column, name in zip(kinds, columns, names, strict=True)
    )
    sets = ", ".join(f"({name})" for name in names)
    places = " ".join(f"WHEN grouping({name}) = 0 THEN {name[1:]}" for name in names)
    return f"""
        SELECT place, value, n FROM (
            SELECT CASE {places} END AS place, coalesce({", ".join(names)}, NULL) AS value,
                count_if({MARK})::BIGINT AS n
            FROM (SELECT {values}, {MARK} FROM {table.rows} WHERE {where})
            GROUP BY GROUPING SETS ({sets})
        ) WHERE value IS NOT NULL AND (n > 0 OR {always})
    """


def _totals(kept: str) -> str:
    return f"""
        SELECT place, sum(n)::BIGINT AS seen, count(*) AS "distinct",
            max(length(value)) AS longest, sum(length(value) * n)::BIGINT AS characters
        FROM {kept} GROUP BY place
    """


_MERGED_TOTALS = """
    SELECT place, sum(seen)::BIGINT AS seen, sum("distinct")::BIGINT AS "distinct",
        max(longest) AS longest, sum(characters)::BIGINT AS characters
    FROM parts GROUP BY place
"""


def _total(row: Mapping[str, int]) -> dict[str, Any]:
    """The figures of a column as `ValueSurvey` has them."""
    length = row["characters"] / row["seen"] if row["seen"] else 0.0
    return {name: row[name] for name in ("seen", "distinct", "longest")} | {"length": length}


def _with_times(
    table: Table,
    kept: str,
    place: int,
    column: TableColumn,
    survey: ValueSurvey,
    settings: Settings,
) -> ValueSurvey:
    """The survey with its times; unchanged for other columns, and if all times are equal."""
    pattern = survey.pattern
    if column.name in settings.datetime:
        pattern = _number_pattern(table, column)
    elif column.type == "time":
        pattern = TIME
    elif column.type in ("date", "datetime"):
        pattern = ISO
    if pattern is None or survey.distinct <= 1:
        return replace(survey, pattern=None)
    written = None if pattern == ISO else pattern
    read = functools.partial(time_sql, american=survey.american)
    if column.type == "text":
        value = replace(_VALUE, nulls=column.nulls)
        where = f"FROM {kept} WHERE place = {place}"
        usual = f"SELECT {time_sql(value, written, odd=False)} AS time, n {where}"
        times = survey_times(table, usual, _parts(pattern))
        if times.seen < survey.seen:
            every = f"SELECT {read(value, written)} AS time, n {where}"
            times = survey_times(table, every, _parts(pattern))
    else:
        source = f"SELECT {read(column, written)} AS time, 1 AS n FROM {table.rows} WHERE {MARK}"
        times = survey_times(table, source, _parts(pattern))
    strays = _strays(table, column, written, read, few=times.seen < survey.seen)
    return replace(survey, pattern=written, times=times, strays=strays)


def _parts(pattern: str) -> tuple[str, ...]:
    """The numbers that dates or times of a pattern become."""
    if pattern in (*MONTHS, QUARTER, HALF, MONTH_NUMBER):
        return MONTH_PARTS
    return TIME_PARTS if pattern == TIME else PARTS


def _strays(
    table: Table,
    column: TableColumn,
    pattern: str | None,
    read: Callable[[TableColumn, str | None], str],
    *,
    few: bool,
) -> Cells | None:
    """The cells of a column of dates that are none; for text only where there are `few`."""
    if column.is_text and not few:
        return None
    none = f"{time_written_sql(column, pattern)} AND ({read(column, pattern)}) IS NULL"
    found = table.merged(
        f"SELECT count(*) AS n, min(row)::BIGINT AS first, arg_min(cell, row) AS example FROM "
        f"(SELECT {ROW} AS row, {cell_sql(column)} AS cell FROM {table.rows} "
        f"WHERE {MARK} AND {none})",
        "SELECT sum(n)::BIGINT AS n, min(first) AS first, arg_min(example, first) AS example "
        "FROM parts",
    ).to_pylist()[0]
    return Cells(found["n"], found["first"], found["example"]) if found["n"] else None


def _number_pattern(table: Table, column: TableColumn) -> str:
    """How the numbers of a column are times: as 20240131, as 202401, or counted from 1970."""
    if column.type != "number":
        raise DataError(
            f"{table.name}: {option_text('datetime', [column.name])} is for numbers that count "
            "from 1970, or are written as 20240131; the "
            f"column holds {column.type}, which is read as dates where it holds dates."
        )
    number = number_sql(column)
    size = (
        f"SELECT max(abs({number})) AS largest, count({number}) AS n, "
        f"count({time_sql(column, DAY_NUMBER)}) AS days, "
        f"count({time_sql(column, MONTH_NUMBER)}) AS months FROM {table.rows} WHERE {MARK}"
    )
    merge = (
        "SELECT max(largest) AS largest, sum(n)::BIGINT AS n, sum(days)::BIGINT AS days, "
        "sum(months)::BIGINT AS months"
    )
    found = table.merged(size, f"{merge} FROM parts").to_pylist()[0]
    for pattern, count in ((DAY_NUMBER, found["days"]), (MONTH_NUMBER, found["months"])):
        if is_few(found["n"] - count, count):
            return pattern
    return epoch_unit(found["largest"] or 0.0)


def _commonest(
    table: Table, kept: str, places: Sequence[int], always: str, most: int = MOST_VALUES
) -> dict[int, list[tuple[str, int]]]:
    """The commonest values of the columns at some indices, with their counts."""
    if not places:
        return {}

    def commonest_of(relation: str) -> str:
        return f"""
            SELECT place, value, n FROM {relation}
            WHERE place IN ({", ".join(map(str, places))}) AND (n >= {LEAST_COUNT} OR {always})
            QUALIFY row_number() OVER (PARTITION BY place ORDER BY n DESC, value) <= {most}
            ORDER BY place, n DESC, value
        """

    rows = table.merged(commonest_of(kept), commonest_of("parts"))
    found: dict[int, list[tuple[str, int]]] = {}
    for place, value, count in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        found.setdefault(place, []).append((value, count))
    return found
