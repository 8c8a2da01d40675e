"""Find the format of the dates or times that a column of text holds."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from descend.data.reading.missing import missing_sql
from descend.data.reading.periods import PERIODS, looks_like_period_sql, period_sql, school_year_sql
from descend.data.reading.sql import quote_text
from descend.data.reading.table import Table
from descend.data.reading.time_text import clock_sql, iso_sql, without_offset_sql, year_digits_sql
from descend.data.reading.times import TIME
from descend.data.reading.typed_columns import is_few
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
_VERSION = r"v?\d+\.\d{1,3}\.(?:\d|\d{3})"
"""Versions such as 1.2.3, whose last number has not the two or four digits of a year."""
_VERSIONS = 5
"""Where the count of versions stands among the counts of a column."""
_LEAST_VERSIONS = 0.1
"""Share of versions from which on a column does not hold dates in several forms."""
_MOSTLY = 0.5
"""Share of cells of such a form from which on it is told."""
_LEAST_DATED = 0.25
"""Share of dates of one form from which on a column of text is said to hold dates."""
_TRIED_FIRST = 50
"""Values of a column, commonest and any, of which one at least has to fit a date format before the
format is tried on all: a hundred formats take longer than all else of a survey."""


def written_times(
    table: Table, kept: str, places: Sequence[int], date_order: str
) -> dict[int, dict[str, Any]]:
    """The date format of each text column that holds dates or times.

    A few cells may be no dates, as in a column of numbers.
    """
    is_iso = f"({iso_sql('value')}) IS NOT NULL"
    looks = [f"regexp_full_match(value, {quote_text(_DATE)})", f"regexp_matches(value, '^{_TIME}')"]
    looks.append(f"regexp_full_match(value, {quote_text(_VERSION)})")
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
            versions = first[place][_VERSIONS]
            if most >= _LEAST_DATED * cells and versions < _LEAST_VERSIONS * cells:
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
    return f"{parsed} AND {year_digits_sql('bare', pattern)}"
