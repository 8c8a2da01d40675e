"""Look at the values of a table: which there are, how often, and whether they are dates."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from descend.data.reading.expressions import TIME, category_sql, iso_sql, time_sql
from descend.data.reading.sql import quote_text
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_rules import time_pattern
from descend.data.schema.dates import PARTS, TIME_PARTS
from descend.data.schema.number_survey import in_groups
from descend.data.schema.surveys import (
    LEAST_COUNT,
    MOST_VALUES,
    Selection,
    TimeSurvey,
    ValueSurvey,
)
from descend.data.schema.time_survey import survey_times

PATTERNS = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d %b %Y", "%b %d, %Y", "%d-%b-%Y", "%d-%b-%y"),
    *("%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S"),
    *("%d.%m.%Y %H:%M", "%d.%m.%Y %H:%M:%S"),
)
"""Ways to write dates that are recognised beside ISO 8601."""

_ISO = re.compile(r".\d\d.*", re.DOTALL)
_CLOCK = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?", re.ASCII)
_DATE = re.compile(r".*\d{1,4}[-/. ](\d{1,2}|[A-Za-z]{3})[-/., ].*|[A-Za-z]{3} \d.*")
_LONGEST_DATE = 29
_VALUE = TableColumn("value", "text", "VARCHAR")


def survey_values(
    table: Table,
    columns: Sequence[TableColumn],
    rows: Selection,
    categorical: Collection[str] = (),
) -> dict[str, ValueSurvey]:
    """The values of text, booleans, categories, dates and times.

    A target among the columns is counted in the validation rows too: its classes are known
    from all rows, with count 0 where the training rows have none.

    Args:
        table: its training rows marked.
        columns: each is read as categories.
        rows: which rows to learn from.
        categorical: names of columns that are no dates, whatever they look like.
    """
    groups = in_groups(columns)
    survey = functools.partial(_survey, table, rows, categorical)
    found = table.side_by_side([functools.partial(survey, group) for group in groups])
    return {name: survey for group in found for name, survey in group.items()}


def _survey(
    table: Table, rows: Selection, categorical: Collection[str], columns: Sequence[TableColumn]
) -> dict[str, ValueSurvey]:
    targets = [place for place, column in enumerate(columns) if column in rows.targets]
    always = f"place IN ({', '.join(map(str, targets))})" if targets else "false"
    with table.kept(_counted(table, columns, rows.counted if targets else MARK, always)) as kept:
        totals = {row.pop("place"): row for row in table.query(_totals(kept)).to_pylist()}
        shapes = _shapes(table, kept, columns, totals)
        surveys = []
        for place, column in enumerate(columns):
            total = totals.get(place, {})
            found = {key: total[key] for key in ("seen", "distinct", "longest", "length") if total}
            survey = ValueSurvey(**found, **shapes.get(place, {}))
            if column not in rows.targets and column.name not in categorical:
                survey = replace(survey, times=_times(table, kept, place, column, survey))
            surveys.append(survey)
        others = [place for place, survey in enumerate(surveys) if survey.times is None]
        common = _commonest(table, kept, others, always)
    return {
        column.name: replace(survey, values=tuple(common.get(place, ())))
        for place, (column, survey) in enumerate(zip(columns, surveys, strict=True))
    }


def _counted(table: Table, columns: Sequence[TableColumn], where: str, always: str) -> str:
    """SQL for every value of every column with its count, in one reading."""
    names = [f"v{place}" for place in range(len(columns))]
    values = ", ".join(
        f"{category_sql(column)} AS {name}" for column, name in zip(columns, names, strict=True)
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
            min(value) AS first, max(value) AS last, max(length(value)) AS longest,
            coalesce(sum(length(value) * n) / nullif(sum(n), 0), 0)::DOUBLE AS length
        FROM {kept} GROUP BY place
    """


def _shapes(
    table: Table,
    kept: str,
    columns: Sequence[TableColumn],
    totals: Mapping[int, Mapping[str, Any]],
) -> dict[int, dict[str, Any]]:
    """Which columns of text are all dates or times; only those that begin and end so are tested."""

    def looks(pattern: re.Pattern[str], total: Mapping[str, Any]) -> bool:
        return all(pattern.fullmatch(total[end]) for end in ("first", "last"))

    texts = {place: total for place, total in totals.items() if columns[place].type == "text"}
    iso = [place for place, total in texts.items() if looks(_ISO, total)]
    clock = [place for place, total in texts.items() if looks(_CLOCK, total)]
    is_iso = f"({iso_sql('value')}) IS NOT NULL"
    is_clock = f"regexp_full_match(value, {quote_text(_CLOCK.pattern)}) AND "
    is_clock += "try_cast(value AS TIME) IS NOT NULL"
    found: dict[int, dict[str, Any]] = {}
    for name, test, places in (("iso", is_iso, iso), ("clock", is_clock, clock)):
        for place, flags in _all_match(table, kept, [test], places).items():
            if flags[0]:
                found[place] = {name: True}
    dated = [
        place
        for place, total in texts.items()
        if place not in found and total["longest"] <= _LONGEST_DATE and looks(_DATE, total)
    ]
    tests = [_matches(pattern) for pattern in PATTERNS]
    for place, flags in _all_match(table, kept, tests, dated).items():
        matching = [pattern for pattern, flag in zip(PATTERNS, flags, strict=True) if flag]
        found[place] = {"patterns": tuple(matching)}
    return found


def _all_match(
    table: Table, kept: str, tests: Sequence[str], places: Sequence[int]
) -> dict[int, list[bool]]:
    """Whether all values of the columns at some places pass each test."""
    if not places:
        return {}
    listed = ", ".join(f"bool_and({test})" for test in tests)
    inside = ", ".join(map(str, places))
    sql = f"SELECT place, [{listed}] AS flags FROM {kept} WHERE place IN ({inside}) GROUP BY place"
    return {row["place"]: row["flags"] for row in table.query(sql).to_pylist()}


def _matches(pattern: str) -> str:
    parsed = f"try_strptime(value, {quote_text(pattern)}) IS NOT NULL"
    # %Y alone would take 1/2/11 for the year 11.
    return parsed + (r" AND regexp_matches(value, '\d{4}')" if "%Y" in pattern else "")


def _times(
    table: Table, kept: str, place: int, column: TableColumn, survey: ValueSurvey
) -> TimeSurvey | None:
    """The survey of a column of dates or times; None for other columns, and for one value alone."""
    is_time, pattern = time_pattern(column, survey)
    if not is_time or survey.distinct <= 1:
        return None
    if column.type == "text":
        time = time_sql(_VALUE, pattern)
        source = f"SELECT {time} AS time, n FROM {kept} WHERE place = {place}"
    else:
        time = time_sql(column, pattern)
        source = f"SELECT {time} AS time, 1 AS n FROM {table.rows} WHERE {MARK}"
    return survey_times(table, source, TIME_PARTS if pattern == TIME else PARTS)


def _commonest(
    table: Table, kept: str, places: Sequence[int], always: str
) -> dict[int, list[tuple[str, int]]]:
    """The commonest values of the columns at some places, each with its count."""
    if not places:
        return {}
    rows = table.query(f"""
        SELECT place, value, n FROM {kept}
        WHERE place IN ({", ".join(map(str, places))}) AND (n >= {LEAST_COUNT} OR {always})
        QUALIFY row_number() OVER (PARTITION BY place ORDER BY n DESC, value) <= {MOST_VALUES}
        ORDER BY place, n DESC, value
    """)
    found: dict[int, list[tuple[str, int]]] = {}
    for place, value, count in zip(*(column.to_pylist() for column in rows.columns), strict=True):
        found.setdefault(place, []).append((value, count))
    return found
