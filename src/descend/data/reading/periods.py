"""Months, quarters and weeks written as text: each is the day on which it begins."""

from __future__ import annotations

from descend.data.reading.sql import quote_text

QUARTER, WEEK = "quarter", "week"
"""Stand for 2023Q1 and for 2023-W05 where a strptime pattern is expected."""
MONTHS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m-%Y", "%YM%m", "%b %Y", "%B %Y", "%b-%Y", "%B-%Y")
"""strptime patterns of months."""
PERIODS = (*MONTHS, QUARTER, WEEK)

_YEAR = "(?:1[89]|2[01])[0-9]{2}"
"""Years of 1800 to 2199: other digits before a hyphen are codes."""
_MONTH = "(?:0?[1-9]|1[0-2])"
_QUARTERS = rf"({_YEAR})[-_/ ]?[Qq]([1-4])|[Qq]([1-4])[-_/ ]?({_YEAR})"
_WEEKS = rf"({_YEAR})-?[Ww](0[1-9]|[1-4][0-9]|5[0-3])"
_LOOKS = (
    rf"{_YEAR}[-/M]{_MONTH}|{_MONTH}[-/]{_YEAR}|[A-Za-z]{{3,9}}[- ]{_YEAR}|{_QUARTERS}|{_WEEKS}"
)


def looks_like_period_sql(text: str) -> str:
    """SQL: whether a text may be a month, a quarter or a week."""
    return f"regexp_full_match({text}, {quote_text(_LOOKS)})"


def period_sql(text: str, pattern: str) -> str:
    """SQL: the TIMESTAMP at which a period begins, a week on its Monday; NULL for other text.

    Args:
        text: SQL of a text.
        pattern: one of `PERIODS`.
    """

    def part(form: str, group: int) -> str:
        return f"regexp_extract({text}, {quote_text(f'^(?:{form})$')}, {group})"

    if pattern == QUARTER:
        year = f"concat({part(_QUARTERS, 1)}, {part(_QUARTERS, 4)})"
        number = f"concat({part(_QUARTERS, 2)}, {part(_QUARTERS, 3)})"
        months = "WHEN '1' THEN '-01-01' WHEN '2' THEN '-04-01' WHEN '3' THEN '-07-01'"
        return f"try_cast(concat({year}, CASE {number} {months} ELSE '-10-01' END) AS TIMESTAMP)"
    if pattern == WEEK:
        # The first week of a year is that of 4 January.
        first = f"try_cast(concat({part(_WEEKS, 1)}, '-01-04') AS TIMESTAMP)"
        later = f"to_days(7 * (try_cast({part(_WEEKS, 2)} AS INTEGER) - 1))"
        return f"date_trunc('week', {first}) + {later}"
    parsed = f"try_strptime({text}, {quote_text(pattern)})"
    return f"CASE WHEN {looks_like_period_sql(text)} THEN {parsed} END"
