"""Months, quarters, half-years and weeks written as text: each is the day on which it begins."""

from __future__ import annotations

from descend.data.reading.sql import quote_text, with_value
from descend.data.reading.worded_dates import century_sql, month_sql

QUARTER, HALF, WEEK, WORDED_MONTH = "quarter", "half", "week", "month"
"""Stand for 2023Q1, 2023H1, 2023-W05 and Okt-23 where a strptime pattern is expected."""
MONTHS = (
    "%Y-%m",
    "%Y/%m",
    "%m/%Y",
    "%m-%Y",
    "%YM%m",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%B-%Y",
    WORDED_MONTH,
)
"""strptime patterns of months."""
PERIODS = (*MONTHS, QUARTER, HALF, WEEK)

_YEAR = "(?:1[89]|2[01])[0-9]{2}"
"""Years of 1800 to 2199: other digits before a hyphen are codes."""
_MONTH = "(?:0?[1-9]|1[0-2])"
_QUARTERS = rf"({_YEAR})[-_/ ]?[Qq]([1-4])|[Qq]([1-4])[-_/ ]?({_YEAR})"
_QUARTERS += (
    rf"|([1-4])(?:\.|st|nd|rd|th|e|er|º|°)? ?(?i:quartal|quarter|trimestre?|kwartaal) ({_YEAR})"
)
_HALVES = rf"({_YEAR})[-_/ ]?[Hh]([12])|[Hh]([12])[-_/ ]?({_YEAR})"
_WEEK = "0?[1-9]|[1-4][0-9]|5[0-3]"
_WEEKS = rf"({_YEAR})[- ]?[Ww]({_WEEK})|(?:KW|[Ww])[ .]?({_WEEK})[-/ ]({_YEAR})"
_WORD = r"[A-Za-z\x{00C0}-\x{024F}]{3,10}\.?"
_WORDED_MONTHS = rf"({_WORD})(?:[-/ ]({_YEAR})|(?:[-/]|[-/ ]?['’])([0-9]{{2}}))"
"""Two digits after a space may be a day; after a hyphen they are the year, as Excel has it, which
writes days as 21-Mar."""
_PARTS_OF_YEARS = {
    QUARTER: (_QUARTERS, r"\1\4\6\2\3\5", 3),
    HALF: (_HALVES, r"\1\4\2\3", 6),
}
"""A pattern of quarters and of half-years, the order of its parts, and how many months each has."""
_LOOKS = (
    rf"{_YEAR}[-/M]{_MONTH}|{_MONTH}[-/]{_YEAR}|{_WORDED_MONTHS}|{_QUARTERS}|{_HALVES}|{_WEEKS}"
)


def looks_like_period_sql(text: str) -> str:
    """SQL: whether a text may be a month, a quarter, a half-year or a week."""
    return f"regexp_full_match({text}, {quote_text(_LOOKS)})"


def school_year_sql(text: str) -> str:
    """SQL: whether a text may be a year and the next, such as 2010-11, which is a month too."""
    form = f"regexp_full_match({text}, {quote_text(f'{_YEAR}[-/][0-9]{{2}}')})"
    year, next_year = (f"try_cast(substr({text}, {place}, 2) AS INTEGER)" for place in (3, 6))
    return f"({form} AND ({year} + 1) % 100 = {next_year})"


def period_sql(text: str, pattern: str) -> str:
    """SQL: the TIMESTAMP at which a period begins, a week on its Monday; NULL for other text.

    Args:
        text: SQL of a text.
        pattern: one of `PERIODS`.
    """

    def part(form: str, group: int) -> str:
        return f"regexp_extract({text}, {quote_text(f'^(?:{form})$')}, {group})"

    if pattern in _PARTS_OF_YEARS:
        forms, order, months = _PARTS_OF_YEARS[pattern]
        form = quote_text(f"^(?:{forms})$")
        digits = f"regexp_replace({text}, {form}, {quote_text(order)})"  # 2023Q1 is 20231.
        month = f"{months} * substr({digits}, 5)::INTEGER - {months - 1}"
        first = f"concat(substr({digits}, 1, 4), '-', {month}, '-01')"
        test = f"regexp_matches({text}, {form})"
        return f"CASE WHEN {test} THEN try_cast({first} AS TIMESTAMP) END"
    if pattern == WEEK:
        # The first week of a year is that of 4 January.
        year, week = (f"concat({part(_WEEKS, one)}, {part(_WEEKS, 5 - one)})" for one in (1, 2))
        first = f"try_cast(concat({year}, '-01-04') AS TIMESTAMP)"
        later = f"to_days(7 * (try_cast({week} AS INTEGER) - 1))"
        # Not every year has a week 53: it would be the first one of the next year.
        return with_value(
            f"date_trunc('week', {first}) + {later}",
            lambda monday: (
                f"CASE WHEN isoyear({monday}) = try_cast({year} AS INTEGER) THEN {monday} END"
            ),
        )
    if pattern == WORDED_MONTH:
        return with_value(
            f"[{', '.join(part(_WORDED_MONTHS, group) for group in (1, 2, 3))}]", _worded_month
        )
    parsed = f"try_strptime({text}, {quote_text(pattern)})"
    full = f"{looks_like_period_sql(text)} AND regexp_matches({text}, '[0-9]{{4}}')"
    return f"CASE WHEN {full} THEN {parsed} END"  # %Y alone would read Mar-21 as the year 21.


def _worded_month(parts: str) -> str:
    """SQL: the TIMESTAMP of a list of a month's name and a year of four or of two digits."""
    year = f"concat({century_sql(f'{parts}[2] || {parts}[3]')}, {parts}[2], {parts}[3])"
    return f"try_cast(concat({year}, '-', {month_sql(f'{parts}[1]')}, '-01') AS TIMESTAMP)"
