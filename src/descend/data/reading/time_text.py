"""SQL that reads text as a time of day or a time of ISO 8601, and tells its offset from UTC."""

from __future__ import annotations

from descend.data.reading.sql import quote_text

OFFSET = "(?:[Zz]|UTC|GMT|[-+][0-9]{2}(?::?[0-9]{2})?)"
"""A pattern of an offset from UTC."""


def without_offset_sql(text: str) -> str:
    """SQL: a text of a date and a time without its offset from UTC; other text is unchanged."""
    pattern = quote_text(rf"([^:]{{6,}}:[0-9]{{2}}[^-+]*?) ?{OFFSET}$")
    return f"regexp_replace({text}, {pattern}, '\\1')"


HALF_DAY_CLOCKS = ("%I:%M %p", "%I:%M:%S %p", "%I:%M%p", "%I:%M:%S%p", "%I %p", "%I%p")
"""strptime patterns of times of day with AM or PM."""


def _half_day_clock(value: str) -> str:
    stamps = (f"try_strptime({value}, {quote_text(pattern)})" for pattern in HALF_DAY_CLOCKS)
    return f"try_cast(coalesce({', '.join(stamps)}) AS TIME)"


_CLOCK = r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?"


def clock_sql(value: str) -> str:
    """SQL: whether a text is a time of day: 13:37, 13:37:00.5 or 1:37 PM."""
    return f"({clock_time_sql(value)}) IS NOT NULL"


def clock_time_sql(value: str) -> str:
    """SQL: the TIME of a text that is a time of day, else NULL.

    DuckDB alone would leave out what follows the seconds, such as PM.
    """
    plain = f"regexp_full_match({value}, {quote_text(_CLOCK)})"
    return f"""CASE WHEN {plain} THEN try_cast({value} AS TIME)
        WHEN regexp_matches({value}, '(?i:[ap]m)$') THEN {_half_day_clock(value)} END"""


def year_digits_sql(text: str, pattern: str) -> str:
    """SQL: whether a text may have as many digits of a year as a strptime pattern has.

    DuckDB alone would read 1/2/11 as the year 11, and 1.2.3 as the year 2003. Behind a colon four
    digits are those of a fraction of a second, or of an offset from UTC.
    """
    if "%Y" in pattern:
        return f"regexp_matches({text}, '^[^:]*[0-9]{{4}}')"
    return f"regexp_matches({text}, '[^0-9:][0-9]{{2}}(?: .*)?$')" if "%y" in pattern else "true"


def iso_sql(value: str) -> str:
    """SQL: the TIMESTAMP of ISO 8601 text, else NULL; with an offset from UTC, that of UTC.

    DuckDB alone would read 31/01/20 as the year 31, and leave out what follows the minutes or the
    seconds: an offset, or PM. Here a year needs four digits, and anything else that follows makes
    the text no time.
    """
    digits = " AND ".join(f"substr({value}, {place}, 1) BETWEEN '0' AND '9'" for place in (2, 3))
    # The commonest forms are told apart by their length, which is faster than a pattern.
    usual = f"""(length({value}) = 10 OR length({value}) = 19 AND substr({value}, 17, 1) = ':'
        AND substr({value}, 19, 1) BETWEEN '0' AND '9')"""
    rest = f"substr({value}, 9)"
    bare = f"NOT regexp_matches({rest}, '[^0-9:. T]')"
    zoned = quote_text(f".*[0-9] ?{OFFSET}")
    joined = f"replace(regexp_replace({value}, ' ?(?:GMT|([-+][0-9:]+))$', '\\1'), ',', '.')"
    # Logs write the fraction of a second with a comma, as ISO 8601 allows.
    comma = quote_text("[^,]*:[0-9]{2}:[0-9]{2},[0-9]{1,9}")
    pointed = f"try_cast(replace({value}, ',', '.') AS TIMESTAMP)"
    return f"""CASE WHEN {digits} THEN
        CASE WHEN {usual} OR {bare} THEN try_cast({value} AS TIMESTAMP)
            WHEN regexp_full_match(substr({value}, 11), {zoned})
                THEN try_cast(try_cast({joined} AS TIMESTAMPTZ) AS TIMESTAMP)
            WHEN regexp_full_match({value}, {comma}) AND regexp_matches({rest}, '^[0-9:, T]*$')
                THEN {pointed} END END"""


LOCAL, ZONED = "local", "zoned"
"""A text that ends in a time of day, and one that ends in such a time with an offset from UTC."""


def clock_zone_sql(value: str) -> str:
    """SQL: `LOCAL` or `ZONED` for a text with a date and a time of day, else an empty text."""
    clock = r".*[0-9].*[ T:][0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?"
    local = quote_text(rf"{clock}(?: ?[AaPp]\.?[Mm]\.?)?")
    zone = rf"(?:{OFFSET}(?:\[.*\])?|[A-Z]{{3,5}})"
    zoned = quote_text(rf"{clock}(?: ?[AaPp]\.?[Mm]\.?)? ?{zone}")
    return f"""CASE WHEN NOT contains({value}, ':') THEN ''
        WHEN regexp_full_match({value}, {local}) THEN {quote_text(LOCAL)}
        WHEN regexp_full_match({value}, {zoned}) THEN {quote_text(ZONED)} ELSE '' END"""
