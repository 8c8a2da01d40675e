"""Survey the columns of numbers: mean, deviation, range, distinct values."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from descend.data.reading.expressions import number_sql
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_rules import may_count
from descend.data.schema.surveys import NumberSurvey, Selection
from descend.errors import DataError, option_text

_MOST_COLUMNS = 64
"""Columns per query: DuckDB's planning time grows faster than their number."""

MOST_COUNTED = 200_000
"""Distinct values are counted in at most this many values; in more, estimated to about 2 %."""

_COUNTING = 0.99
"""Least correlation with the row number of a column that numbers the rows."""

T = TypeVar("T")

_FOUND = {
    "seen": "count({0})",
    "minimum": "min({0})",
    "maximum": "max({0})",
    "distinct": "approx_count_distinct({0})",
    "broken": "count_if({0} <> floor({0}))",
    "mean": "avg({0})",
}


def in_groups(columns: Sequence[T]) -> list[Sequence[T]]:
    """Columns in groups that are surveyed together, at least one group for each core."""
    size = max(1, min(_MOST_COLUMNS, -(-len(columns) // (os.cpu_count() or 1))))
    return [columns[start : start + size] for start in range(0, len(columns), size)]


def survey_numbers(
    table: Table,
    columns: Sequence[TableColumn],
    *,
    weighted: Sequence[TableColumn] = (),
    weight: TableColumn | None = None,
) -> dict[str, NumberSurvey]:
    """The survey of every column of numbers.

    Args:
        table: with its training rows marked.
        columns: each is read as numbers.
        weighted: columns whose mean and deviation are weighted.
        weight: the column of weights, or None.
    """
    groups = in_groups(columns)
    found = table.side_by_side([functools.partial(_survey, table, group) for group in groups])
    surveys = {name: survey for group in found for name, survey in group.items()}
    seen = max((survey.seen for survey in surveys.values()), default=0)
    candidates = [one for one in columns if may_count(surveys[one.name], seen)]
    for column, along in zip(candidates, _along_rows(table, candidates), strict=True):
        surveys[column.name] = replace(surveys[column.name], counting=along > _COUNTING)
    if weight is not None:
        for column in weighted:
            if column in columns and surveys[column.name].seen:
                largest = surveys[weight.name].maximum
                surveys[column.name] = _by_weight(
                    table, column, weight, largest, surveys[column.name]
                )
    return surveys


def _along_rows(table: Table, columns: Sequence[TableColumn]) -> list[float]:
    """The correlation of each column with the row number."""
    if not columns:
        return []
    listed = ", ".join(f"coalesce(corr({number_sql(one)}, {ROW}), 0)" for one in columns)
    row = table.query(f"SELECT [{listed}] AS found FROM {table.rows} WHERE {MARK}").to_pylist()[0]
    return list(row["found"])


def _by_weight(
    table: Table,
    column: TableColumn,
    weight: TableColumn,
    largest: float,
    survey: NumberSurvey,
) -> NumberSurvey:
    """The survey with the weighted mean and deviation."""
    # Divided by the largest weight, any weights have a finite sum.
    values = f"SELECT {number_sql(column)} AS v, {number_sql(weight)} / '{largest!r}'::DOUBLE AS w"
    share = f"SELECT v, w FROM ({values} FROM {table.rows} WHERE {MARK}) WHERE v IS NOT NULL"
    # The mean first: squares relative to it are accurate.
    mean = table.query(f"SELECT sum(w * v) / sum(w) AS mean FROM ({share})").to_pylist()[0]["mean"]
    if mean is None:
        return survey
    centred = f"(v - '{mean!r}'::DOUBLE)"
    sql = f"SELECT sqrt(sum(w * {centred} * {centred}) / sum(w)) AS deviation FROM ({share})"
    deviation = table.query(sql).to_pylist()[0]["deviation"]
    # If all the weight lies on one value, the unweighted deviation still serves as a scale.
    spread = deviation if deviation > 1e-12 * max(1.0, abs(mean)) else survey.deviation
    return replace(survey, mean=mean, deviation=spread)


def _survey(table: Table, columns: Sequence[TableColumn]) -> dict[str, NumberSurvey]:
    aggregates = [f"{_FOUND[key]} AS {key}{{1}}" for key in _FOUND]
    found = _aggregate(table, columns, ", ".join(aggregates), MARK)
    means = [found[f"mean{place}"] for place in range(len(columns))]
    # Squares relative to the mean are accurate; the mean is passed as text to keep its digits.
    second = "sum(({0} - '{2!r}'::DOUBLE) * ({0} - '{2!r}'::DOUBLE)) AS squares{1}"
    if all(found[f"seen{place}"] <= MOST_COUNTED for place in range(len(columns))):
        second += ", count(DISTINCT {0}) AS distinct{1}"
    found |= _aggregate(table, columns, second, MARK, [mean or 0.0 for mean in means])
    found |= _aggregate(table, columns, "min({0}) AS low{1}, max({0}) AS high{1}", f"NOT {MARK}")
    return {
        column.name: _of_column(
            {key: found[f"{key}{place}"] for key in (*_FOUND, "squares", "low", "high")}
        )
        for place, column in enumerate(columns)
    }


def _aggregate(
    table: Table,
    columns: Sequence[TableColumn],
    template: str,
    where: str,
    given: Sequence[float] | None = None,
) -> dict[str, Any]:
    """The same aggregates of each column; {0} is its value, {1} its index, {2} from `given`."""
    given = given or [0.0] * len(columns)
    values = ", ".join(f"{number_sql(column)} AS v{place}" for place, column in enumerate(columns))
    select = ", ".join(template.format(f"v{place}", place, one) for place, one in enumerate(given))
    sql = f"SELECT {select} FROM (SELECT {values} FROM {table.rows} WHERE {where})"
    row: dict[str, Any] = table.query(sql).to_pylist()[0]
    return row


def _of_column(found: Mapping[str, Any]) -> NumberSurvey:
    extremes = [found[key] for key in ("minimum", "maximum", "low", "high")]
    known = [value for value in extremes if value is not None]
    infinite = any(math.isinf(value) for value in known)
    lowest, highest = min(known, default=0.0), max(known, default=0.0)
    if not found["seen"]:
        return NumberSurvey(infinite=infinite, lowest=lowest, highest=highest)
    return NumberSurvey(
        seen=found["seen"],
        infinite=infinite,
        lowest=lowest,
        highest=highest,
        mean=found["mean"],
        deviation=math.sqrt(found["squares"] / found["seen"]),
        minimum=found["minimum"],
        maximum=found["maximum"],
        distinct=found["distinct"],
        whole=found["broken"] == 0,
    )


def counts_of(table: Table, rows: Selection) -> dict[str, int]:
    """The number of rows in total, and of `labelled`, `counted` and `training` rows."""
    tests = {"labelled": rows.labelled, "counted": rows.counted, "training": MARK}
    select = ", ".join(f"count_if({test})::BIGINT AS {name}" for name, test in tests.items())
    row: dict[str, int] = table.query(
        f"SELECT count(*) AS total, {select} FROM {table.rows}"
    ).to_pylist()[0]
    return row


def raise_infinite(table: Table, column: TableColumn) -> None:
    """Raise the DataError that names the first row with an infinite value."""
    rows = table.query(
        f"SELECT {ROW} AS row, {number_sql(column)} AS value FROM {table.rows} "
        f"WHERE isinf({number_sql(column)}) LIMIT 1"
    ).to_pylist()
    raise DataError(
        f"{table.name}, column {column.name!r}, data row {rows[0]['row'] + 1}: expected a finite "
        f"number, found {rows[0]['value']}. Correct it, leave it empty if it is missing, "
        f"or leave the column out with {option_text('exclude', [column.name])}."
    )
