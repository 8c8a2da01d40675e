"""Survey text and categories: the values, their counts, and whether they are dates."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from descend.data.reading.expressions import (
    DAY_NUMBER,
    MONTH_NUMBER,
    TIME,
    category_sql,
    cell_sql,
    class_sql,
    clock_sql,
    epoch_unit,
    iso_sql,
    number_sql,
    time_sql,
    time_written_sql,
    without_offset_sql,
)
from descend.data.reading.missing import NULLS, missing_sql
from descend.data.reading.periods import (
    MONTHS,
    PERIODS,
    QUARTER,
    looks_like_period_sql,
    period_sql,
    school_year_sql,
)
from descend.data.reading.sql import quote_text
from descend.data.reading.table import MARK, ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import Cells
from descend.data.reading.text_types import is_few
from descend.data.reading.worded_dates import (
    AMERICAN_ZONE,
    LOOKS,
    MONTH_NUMBERS,
    UNKNOWN_ZONE,
    WORDED,
    tidy_time_sql,
    worded_sql,
    zone_table,
)
from descend.data.schema.column_groups import MOST_COLUMNS, in_groups, survey_groups
from descend.data.schema.dates import MONTH_PARTS, PARTS, TIME_PARTS
from descend.data.schema.surveys import (
    LEAST_COUNT,
    MOST_VALUES,
    Selection,
    ValueSurvey,
)
from descend.data.schema.time_survey import survey_times
from descend.errors import DataError, option_text
from descend.settings import Settings

ISO = "iso"
"""The pattern of ISO 8601 text during a survey; the record has None for it."""

_DAY = "%Y-%m-%d"
_DATES = (
    *("%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%Y", "%d.%m.%y", "%d-%m-%Y"),
    *("%m-%d-%Y", "%d %b %Y", "%b %d, %Y", "%b %d %Y", "%d-%b-%Y", "%d-%b-%y"),
    *("%d %B %Y", "%B %d, %Y", "%B %d %Y", "%d. %B %Y", "%d-%B-%Y", "%Y/%m/%d", "%Y.%m.%d"),
    *("%d%b%Y", "%Y年%m月%d日", "%Y. %m. %d.", _DAY),
)
_CLOCKS = ("%H:%M", "%H:%M:%S", "%H:%M:%S.%f", "%I:%M %p", "%I:%M:%S %p")
PATTERNS = (
    *(*_DATES, *(f"{date} {clock}" for date in _DATES for clock in _CLOCKS)),
    *("%d%b%y", "%d%b%Y:%H:%M", "%d%b%Y:%H:%M:%S", "%Y%m%dT%H%M%S", "%Y%m%dT%H%M%SZ", WORDED),
)
"""Date formats that are recognised besides ISO 8601."""

_MONTH = "(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[A-Za-z]{0,6}"
_DATE = (
    rf".*\d{{1,4}}[-/. ] ?(\d{{1,2}}|{_MONTH})[-/., ].*|{_MONTH} \d.*"
    rf"|\d{{1,2}}{_MONTH}\d{{2}}(?:\d{{2}}.*)?"
    rf"|\d{{8}}T\d{{6}}Z?|\d{{4}}年\d.*|{LOOKS}"
)
_TIME = r"\d{1,2}:\d{2}.*"
_LONGEST_DATE = 48
_MONTH_NAME = f"(?i:{'|'.join(sorted(MONTH_NUMBERS))})"
_UNREAD = {
    "zone": UNKNOWN_ZONE,
    "clock": r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})? ?(?:Z|[-+][0-9]{2}:?[0-9]{2})",
    "month": rf"{_MONTH_NAME}\.?[- ][0-9]{{2}}|[0-9]{{1,2}}(?:\. ?|[- ]){_MONTH_NAME}\.?",
}
"""Forms of dates that have several meanings, and are told."""
_MOSTLY = 0.5
"""Share of cells of such a form from which on it is told."""
_LEAST_DATED = 0.25
"""Share of dates of one form from which on a column of text is said to hold dates."""
_MOST_TEXTS = 1_000
_TRIED_FIRST = 50
"""Values of a column, commonest and any, of which one at least has to fit a date format before the
format is tried on all: a hundred formats take longer than all else of a survey."""
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
    with table.kept_by_key(counts, "place, value", merge) as kept:
        found_totals = table.merged(_totals(kept), _MERGED_TOTALS).to_pylist()
        totals = {row["place"]: _total(row) for row in found_totals}
        asked = [
            place
            for place, column in enumerate(columns)
            if column not in rows.targets and column.name not in settings.categorical
        ]
        texts = [place for place in asked if columns[place].type == "text" and place in totals]
        found = _written_times(table, kept, texts, settings.date_order)
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


def _written_times(
    table: Table, kept: str, places: Sequence[int], date_order: str
) -> dict[int, dict[str, Any]]:
    """The date format of each text column that holds dates or times.

    A few cells may be no dates, as in a column of numbers.
    """
    is_iso = f"({iso_sql('value')}) IS NOT NULL"
    looks = [f"regexp_full_match(value, {quote_text(_DATE)})", f"regexp_matches(value, '^{_TIME}')"]
    looks += [f"regexp_full_match(value, {quote_text(one)})" for one in _UNREAD.values()]
    looks.append(looks_like_period_sql("value"))
    american = _american(table, kept, places)
    count_matches = functools.partial(_count_matches, table, kept, american)
    first = count_matches([is_iso, clock_sql("value"), *looks], places)
    found: dict[int, dict[str, Any]] = {}
    dated = []
    of_periods = [place for place, (n, *_, period) in first.items() if is_few(n - period, period)]
    tests = [f"({period_sql('value', one)}) IS NOT NULL" for one in PERIODS]
    tests.append(school_year_sql("value"))
    for place, (cells, *counts, school) in count_matches(tests, of_periods).items():
        if school == cells:
            first[place] = [cells] + [0] * (len(first[place]) - 1)
        elif is_few(cells - max(counts), max(counts)):
            found[place] = {"pattern": PERIODS[counts.index(max(counts))]}
    for place, (cells, iso, clock, date, *_) in first.items():
        if place in found:
            continue
        if is_few(cells - iso, iso):
            found[place] = {"pattern": ISO}
            if iso < cells:  # The others may all be dates of one other form.
                dated.append(place)
        elif is_few(cells - clock, clock):
            found[place] = {"pattern": TIME}
        elif is_few(cells - date, date):
            dated.append(place)
    fits = _fit_some(table, kept, american, dated)
    patterns = [
        one for one in PATTERNS if one == _DAY or any(one in some for some in fits.values())
    ]
    tests = [_matches(pattern) for pattern in patterns]
    hopeful = [place for place in dated if place in fits or first[place][1]]
    for place, (cells, *matching) in count_matches(tests, hopeful).items():
        # `time_sql` reads ISO 8601 beside any other form.
        iso = first[place][1]
        counts = [
            max(count, iso) if one.startswith("%Y") else count + iso if count else 0
            for one, count in zip(patterns, matching, strict=True)
        ]
        most = max(counts)
        if place in found and most <= iso:
            continue
        if not is_few(cells - most, most):
            if most >= _LEAST_DATED * cells:
                found[place] = {"dated": most}
            continue
        fitting = [one for one, count in zip(patterns, counts, strict=True) if count == most]
        if len(fitting) > 1:  # It reads what the patterns with the name of a month read.
            fitting = [one for one in fitting if one != WORDED]
        if len(fitting) > 1:
            fitting = [one for one in fitting if _order(one) == date_order] or fitting
        if len(fitting) > 1 and place in found:
            continue
        if len(fitting) > 1:
            # Text that fits more than one pattern (01/02/2020) stays text: which number is
            # the month cannot be known.
            found[place] = {"ambiguous": True}
        else:
            found[place] = {"pattern": fitting[0]}
    for place, (cells, *counts) in first.items():
        unread = dict(zip(_UNREAD, counts[-1 - len(_UNREAD) : -1], strict=True))
        form = max(unread, key=lambda one: unread[one])
        if place not in found and unread[form] >= _MOSTLY * cells:
            found[place] = {"unread": (form, unread[form])}
    for place in american & found.keys():
        found[place]["american"] = True
    return found


def _american(table: Table, kept: str, places: Sequence[int]) -> frozenset[int]:
    """The columns with times in zones of North America that no other part of the world has."""
    if not places:
        return frozenset()
    zone = f"contains(value, ':') AND regexp_matches(value, {quote_text(AMERICAN_ZONE)})"
    inside = ", ".join(map(str, places))
    found = table.joined(f"SELECT DISTINCT place FROM {kept} WHERE place IN ({inside}) AND {zone}")
    return frozenset(found.column("place").to_pylist())


def _tidy_sql(american: frozenset[int]) -> str:
    """SQL: `value` of a `place` with its clock as strptime patterns have it."""
    zones = zone_table(american=False)
    if american:
        inside = ", ".join(map(str, sorted(american)))
        own = zone_table(american=True)
        zones = f"CASE WHEN place IN ({inside}) THEN {own} ELSE {zones} END"
    return tidy_time_sql("value", zones)


def _fit_some(
    table: Table, kept: str, american: frozenset[int], places: Sequence[int]
) -> dict[int, set[str]]:
    """The date formats that fit some values of each column beside ISO 8601, where there are any.

    Tried on the commonest values and on others by their hash: those that are no dates may be most
    of one kind, but not of both where dates are nearly all cells.
    """
    if not places:
        return {}
    tests = ", ".join(f"bool_or({_matches(pattern)})" for pattern in PATTERNS)
    within = f"OVER (PARTITION BY place ORDER BY {{}}, value) <= {_TRIED_FIRST}"
    value, inside = _tidy_sql(american), ", ".join(map(str, places))
    sql = f"""SELECT place, [{tests}] AS fits FROM (
            SELECT place, {value} AS value, {without_offset_sql(value)} AS bare
            FROM {kept} WHERE place IN ({inside})
            AND length(value) <= {_LONGEST_DATE} AND ({iso_sql("value")}) IS NULL
            QUALIFY row_number() {within.format("n DESC")}
            OR row_number() {within.format("hash(value)")}
        ) GROUP BY place"""
    found: dict[int, set[str]] = {}
    for row in table.joined(sql).to_pylist():
        fits = {one for one, fits in zip(PATTERNS, row["fits"], strict=True) if fits}
        if fits:
            found[row["place"]] = found.get(row["place"], set()) | fits
    return {place: found[place] for place in places if place in found}


def _order(pattern: str) -> str:
    """`dmy` or `mdy`, as a strptime pattern has day and month."""
    return "dmy" if pattern.index("%d") < pattern.replace("%b", "%m").index("%m") else "mdy"


def _count_matches(
    table: Table,
    kept: str,
    american: frozenset[int],
    tests: Sequence[str],
    places: Sequence[int],
) -> dict[int, list[int]]:
    """How many cells the columns at some indices have, and how many pass each test."""
    if not places:
        return {}
    listed = ", ".join(
        f"coalesce(sum(n) FILTER (length(value) <= {_LONGEST_DATE} AND {test}), 0)::BIGINT"
        for test in tests
    )
    inside = ", ".join(map(str, places))
    sql = f"""SELECT place, [sum(n)::BIGINT, {listed}] AS counts
        FROM (SELECT place, n, value, {without_offset_sql("value")} AS bare
            FROM (SELECT place, n, {_tidy_sql(american)} AS value FROM {kept}))
        WHERE place IN ({inside}) AND NOT {missing_sql("value", (), marks=True)}
        GROUP BY place"""
    found: dict[int, list[int]] = {}
    for row in table.joined(sql).to_pylist():
        before = found.get(row["place"], [0] * len(row["counts"]))
        found[row["place"]] = [
            one + other for one, other in zip(before, row["counts"], strict=True)
        ]
    return found


def _matches(pattern: str) -> str:
    if pattern == WORDED:
        return f"({worded_sql('value', iso_sql)}) IS NOT NULL"
    parsed = f"try_strptime(bare, {quote_text(pattern)}) IS NOT NULL"
    # %Y alone would read 1/2/11 as the year 11.
    return parsed + (r" AND regexp_matches(value, '\d{4}')" if "%Y" in pattern else "")


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
    if pattern in (*MONTHS, QUARTER, MONTH_NUMBER):
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
