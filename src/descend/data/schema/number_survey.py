"""Survey the columns of numbers: mean, deviation, range, distinct values."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from descend.data.reading.expressions import number_sql
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_groups import in_groups, survey_groups
from descend.data.schema.column_rules import depends_on_distinct, may_count
from descend.data.schema.exact_sums import sum_of_squares, sum_up_to
from descend.data.schema.nearly_unique import count_nearly_unique
from descend.data.schema.survey_at_once import surveys_at_once
from descend.data.schema.surveys import NumberSurvey, Selection
from descend.errors import DataError, option_text

MOST_COUNTED = 200_000
"""Distinct values are counted in at most this many values; in more, estimated, up to 10 % off."""
FEW_CELLS, MOST_TEXT = 1 << 19, 16 << 20
"""Values that are looked at together, and bytes of text files whose rows are counted for that."""

_COUNTING = 0.99
"""Least correlation with the row number of a column that numbers the rows."""

_FOUND = {
    "seen": ("count({0})", "sum({0})::BIGINT"),
    "minimum": ("min({0})", "min({0})"),
    "maximum": ("max({0})", "max({0})"),
    "distinct": ("approx_count_distinct({0})", ""),
    "broken": ("count_if({0} <> floor({0}))", "sum({0})::BIGINT"),
}
"""SQL for each figure of a column, and SQL that merges those of several processes."""
_ESTIMATE = "approx_count_distinct({0}) EXPORT_STATE"
_NO_ESTIMATE = _ESTIMATE.format("NULL::DOUBLE")


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
    rows = _rows_at_once(table, len(columns))
    if rows is not None:
        found = surveys_at_once(table, columns, rows)
        surveys = {name: _of_column(survey) for name, survey in found.items()}
    else:
        groups = survey_groups(table, in_groups(table, columns), functools.partial(_survey, table))
        surveys = {name: survey for group in groups for name, survey in group.items()}
    seen = max((survey.seen for survey in surveys.values()), default=0)
    for column in columns if seen > MOST_COUNTED else ():
        survey = surveys[column.name]
        if depends_on_distinct(column.name, survey, seen):
            distinct = count_nearly_unique(table, column, survey.seen)
            surveys[column.name] = replace(survey, distinct=distinct)
    candidates = [one for one in columns if may_count(surveys[one.name], seen)]
    for column, along in zip(candidates, _along_rows(table, candidates), strict=True):
        surveys[column.name] = replace(surveys[column.name], counting=along > _COUNTING)
    if weight is not None and not surveys[weight.name].infinite:
        for column in weighted:
            if column not in columns or surveys[column.name].infinite:
                continue
            if surveys[column.name].seen:
                largest = surveys[weight.name].maximum
                surveys[column.name] = _by_weight(
                    table, column, weight, largest, surveys[column.name]
                )
    return surveys


def _rows_at_once(table: Table, columns: int) -> int | None:
    """How many rows a table has whose numbers are looked at all together; None for others.

    Small tables are: DuckDB plans five queries longer than it reads their values once. So are wide
    ones, of which it plans still longer.
    """
    quickly_counted = table.held or table.source.parquet or 0 < table.text_bytes <= MOST_TEXT
    if table.sharing is not None or not (table.wide or quickly_counted):
        return None
    rows = table.count()
    few = rows <= MOST_COUNTED and (table.wide or rows * columns <= FEW_CELLS)
    return rows if few else None


def _along_rows(table: Table, columns: Sequence[TableColumn]) -> list[float]:
    """The correlation of each column with the row number; both are whole numbers."""
    groups = [_along_rows_of(table, group) for group in in_groups(table, columns)]
    return [along for group in groups for along in group]


def _along_rows_of(table: Table, columns: Sequence[TableColumn]) -> list[float]:
    row, sums, merges = f"{ROW}::HUGEINT", [], []
    for place, one in enumerate(columns):
        value = f"({number_sql(one)})::HUGEINT"
        given = f"FILTER ({value} IS NOT NULL)"
        for name, sql in (
            ("n", f"count({value})"),
            ("x", f"sum({value})"),
            ("r", f"sum({row}) {given}"),
            ("xx", f"sum({value} * {value})"),
            ("rr", f"sum({row} * {row}) {given}"),
            ("xr", f"sum({value} * {row})"),
        ):
            sums.append(f"({sql})::VARCHAR AS {name}{place}")
            merges.append(f"sum({name}{place}::HUGEINT)::VARCHAR AS {name}{place}")
    found = table.merged(
        f"SELECT {', '.join(sums)} FROM {table.rows} WHERE {MARK}",
        f"SELECT {', '.join(merges)} FROM parts",
    ).to_pylist()[0]
    return [
        _correlation(*(int(found[f"{name}{place}"] or 0) for name in ("n", *_MOMENTS)))
        for place in range(len(columns))
    ]


_MOMENTS = ("x", "r", "xx", "rr", "xr")


def _correlation(n: int, x: int, r: int, xx: int, rr: int, xr: int) -> float:
    """From a number of pairs, their sums, sums of squares and sum of products."""
    spread = (n * xx - x * x) * (n * rr - r * r)
    return (n * xr - x * r) / math.sqrt(spread) if spread > 0 else 0.0


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
    of_weights, of_values = sum_up_to(1.0), sum_up_to(_size(survey.minimum, survey.maximum))
    weights, total = _sums(table, share, [of_weights.sql("w"), of_values.sql("w * v")])
    if not weights:
        return survey
    mean = of_values.ratio(total, of_weights, weights)
    of_squares = sum_of_squares(mean, survey.minimum, survey.maximum)
    deviation = math.inf
    if of_squares is not None:
        centred = f"(v - '{mean!r}'::DOUBLE)"
        (squares,) = _sums(table, share, [of_squares.sql(f"w * {centred} * {centred}")])
        deviation = math.sqrt(of_squares.ratio(squares, of_weights, weights))
    # If all the weight lies on one value, the unweighted deviation still serves as a scale.
    spread = deviation if deviation > 1e-12 * max(1.0, abs(mean)) else survey.deviation
    return replace(survey, mean=mean, deviation=spread)


def _sums(table: Table, source: str, sums: Sequence[str]) -> list[int]:
    """Sums of whole numbers over a query, of all processes."""
    own = ", ".join(f"({sql})::VARCHAR AS s{place}" for place, sql in enumerate(sums))
    merge = ", ".join(f"sum(s{place}::HUGEINT)::VARCHAR AS s{place}" for place in range(len(sums)))
    row = table.merged(f"SELECT {own} FROM ({source})", f"SELECT {merge} FROM parts").to_pylist()[0]
    return [int(value or 0) for value in row.values()]


def _size(*values: float | None) -> float:
    return max((abs(value) for value in values if value is not None), default=0.0)


def _survey(table: Table, columns: Sequence[TableColumn]) -> dict[str, NumberSurvey]:
    """The survey of some columns, few enough for one query.

    The table is read for counts and ends, which bound the sums; for the means; and for the squares
    of deviations from them.
    """
    joint = table.sharing is not None
    figures = {
        key: ((_ESTIMATE if joint and key == "distinct" else own), merge)
        for key, (own, merge) in _FOUND.items()
    }
    own = [f"{sql} AS {key}{{1}}" for key, (sql, _) in figures.items()]
    merge = [
        f"{sql.format(f'{key}{{1}}')} AS {key}{{1}}"
        if sql
        else f"finalize(combine_aggr({key}{{1}})) AS {key}{{1}}"
        for key, (_, sql) in figures.items()
    ]
    # Types of the states of estimates; these have seen nothing.
    states = ", ".join(f"{_NO_ESTIMATE} AS distinct{place}" for place in range(len(columns)))
    parts = f"(SELECT {states} UNION ALL BY NAME SELECT * FROM parts)"
    found = _aggregate(table, columns, ", ".join(own), ", ".join(merge), MARK, parts=parts)
    low_high = "min({0}) AS low{1}, max({0}) AS high{1}"
    merged = "min(low{1}) AS low{1}, max(high{1}) AS high{1}"
    found |= _aggregate(table, columns, low_high, merged, f"NOT {MARK}")
    ends = [(found[f"minimum{place}"], found[f"maximum{place}"]) for place in range(len(columns))]
    finite = [[0.0 if one is None or math.isinf(one) else one for one in pair] for pair in ends]
    # A column with an infinite value will be refused; its sum would not fit.
    infinite = [any(one and math.isinf(one) for one in pair) for pair in ends]
    sums = [sum_up_to(_size(*pair)) for pair in finite]
    asked = ["0" if no else one.sql("{0}") for no, one in zip(infinite, sums, strict=True)]
    totals = _totals(table, columns, asked)
    means = [
        one.mean(total, found[f"seen{place}"] or 1)
        for place, (one, total) in enumerate(zip(sums, totals, strict=True))
    ]
    squares = [
        None if no else sum_of_squares(mean, *pair)
        for no, mean, pair in zip(infinite, means, finite, strict=True)
    ]
    asked = [
        one.sql("({0} - '" + repr(mean) + "'::DOUBLE) * ({0} - '" + repr(mean) + "'::DOUBLE)")
        if one is not None
        else "0"
        for one, mean in zip(squares, means, strict=True)
    ]
    for place, (one, total) in enumerate(zip(squares, _totals(table, columns, asked), strict=True)):
        seen = found[f"seen{place}"] or 1
        variance = math.inf if one is None else one.mean(total, seen)
        found |= {f"mean{place}": means[place], f"deviation{place}": math.sqrt(variance)}
    if all(found[f"seen{place}"] <= MOST_COUNTED for place in range(len(columns))):
        count = "list(DISTINCT {0})" if joint else "count(DISTINCT {0})"
        joined = "len(list_distinct(flatten(list(distinct{1})))) AS distinct{1}"
        found |= _aggregate(table, columns, f"{count} AS distinct{{1}}", joined, MARK)
    names = (*_FOUND, "mean", "deviation", "low", "high")
    return {
        column.name: _of_column({key: found[f"{key}{place}"] for key in names})
        for place, column in enumerate(columns)
    }


def _totals(table: Table, columns: Sequence[TableColumn], sums: Sequence[str]) -> list[int]:
    """Sums of whole numbers, one of each column, without infinite values."""
    own = [f"({sql.format(f'v{place}')})::VARCHAR AS s{place}" for place, sql in enumerate(sums)]
    merge = [f"sum(s{place}::HUGEINT)::VARCHAR AS s{place}" for place in range(len(sums))]
    values = ", ".join(
        f"CASE WHEN isfinite(w{place}) THEN w{place} END AS v{place}"
        for place in range(len(columns))
    )
    source = ", ".join(f"{number_sql(column)} AS w{place}" for place, column in enumerate(columns))
    rows = f"(SELECT {values} FROM (SELECT {source} FROM {table.rows} WHERE {MARK}))"
    row = table.merged(
        f"SELECT {', '.join(own)} FROM {rows}", f"SELECT {', '.join(merge)} FROM parts"
    ).to_pylist()[0]
    return [int(value or 0) for value in row.values()]


def _aggregate(
    table: Table,
    columns: Sequence[TableColumn],
    template: str,
    merge: str,
    where: str,
    *,
    parts: str = "parts",
) -> dict[str, Any]:
    """The same aggregates of each column; {0} is its value, {1} its index.

    Args:
        table: with its training rows marked.
        columns: each is read as numbers.
        template: SQL of the aggregates of one column.
        merge: SQL that merges those of several processes.
        where: SQL condition on the rows.
        parts: the relation that `merge` reads.
    """
    places = range(len(columns))
    values = ", ".join(f"{number_sql(column)} AS v{place}" for place, column in enumerate(columns))
    select = ", ".join(template.format(f"v{place}", place) for place in places)
    sql = f"SELECT {select} FROM (SELECT {values} FROM {table.rows} WHERE {where})"
    joined = ", ".join(merge.format("", place) for place in places)
    row: dict[str, Any] = table.merged(sql, f"SELECT {joined} FROM {parts}").to_pylist()[0]
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
        deviation=found["deviation"],
        # Adding 0 turns -0 into 0: which of them is the least depends on the order.
        minimum=found["minimum"] + 0.0,
        maximum=found["maximum"] + 0.0,
        distinct=found["distinct"],
        whole=found["broken"] == 0,
    )


def counts_of(table: Table, rows: Selection) -> dict[str, int]:
    """The number of rows in total, and of `labelled`, `counted` and `training` rows."""
    tests = {"labelled": rows.labelled, "counted": rows.counted, "training": MARK}
    select = ", ".join(f"count_if({test})::BIGINT AS {name}" for name, test in tests.items())
    merge = ", ".join(f"sum({name})::BIGINT AS {name}" for name in ("total", *tests))
    row: dict[str, int] = table.merged(
        f"SELECT count(*) AS total, {select} FROM {table.rows}", f"SELECT {merge} FROM parts"
    ).to_pylist()[0]
    return row


def raise_infinite(table: Table, column: TableColumn, *, needed: bool) -> None:
    """Raise the DataError that names the first row with an infinite value.

    Args:
        table: of the column.
        column: with such a value.
        needed: whether it is a target or the weight, which cannot be left out.
    """
    rows = table.joined(
        f"SELECT {ROW} AS row, {number_sql(column)} AS value FROM {table.rows} "
        f"WHERE isinf({number_sql(column)}) LIMIT 1"
    ).to_pylist()
    raise DataError(
        f"{table.name}, column {column.name!r}, data row {rows[0]['row'] + 1}: expected a finite "
        f"number, found {rows[0]['value']}. Correct it, "
        + (
            "or leave it empty if it is missing: the row is then left out."
            if needed
            else "leave it empty if it is missing, or leave the column out with "
            f"{option_text('exclude', [column.name])}."
        )
    )
