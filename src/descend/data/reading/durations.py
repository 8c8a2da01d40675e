"""Durations written as text, as numbers of seconds.

A clock that goes beyond a day (`25:10:00`), with days before it as pandas and Python write them
(`1 days 02:03:04`) or Slurm (`1-02:03:04`), ISO 8601 (`PT1H30M`), and parts with their units
(`1h30m`, `2d 4h`, `1 hour 5 min`).
"""

from __future__ import annotations

from descend.data.reading.sql import quote_text, text_list, with_value

CLOCKED = r"-?(?:[0-9]+ days?,? \+?|[0-9]+-)?[0-9]+:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?"
"""A pattern of durations written as a clock."""

_PART = r"[-+]?[0-9]+(?:[.,][0-9]+)?"
_SECONDS = rf"(?:{_PART}S)?"
_TIMES = rf"(?:{_PART}H(?:{_PART}M)?{_SECONDS}|{_PART}M{_SECONDS}|{_PART}S)"
ISO_DAYS = rf"[-+]?P(?:{_PART}W|{_PART}D)"
"""A pattern of weeks or days of ISO 8601, which may be codes too."""
ISO = rf"[-+]?P(?:{_PART}D)?T{_TIMES}"
"""A pattern of the durations of ISO 8601 with a fixed length: years and months have none."""
_ISO_SECONDS = {"W": 604_800, "D": 86_400, "H": 3_600, "M": 60, "S": 1}

_UNITS = {
    604_800.0: "week weeks wk wks w W Woche Wochen",
    86_400.0: "day days d D Tag Tage Tagen",
    3_600.0: "hour hours hr hrs h H Std Stunde Stunden",
    60.0: "minute minutes min mins m M Min Minute Minuten",
    1.0: "second seconds sec secs s S Sek Sekunde Sekunden",
    0.001: "millisecond milliseconds msec msecs ms",
}
"""The names of each part of a duration, by its seconds."""
TIME_UNITS = {name: seconds for seconds, names in _UNITS.items() for name in names.split()}
"""The seconds of each unit by its name."""

_NAMES = "|".join(sorted(TIME_UNITS, key=lambda name: (-len(name), name)))
_AMOUNT = r"[0-9]+(?:\.[0-9]+|,[0-9]{1,2})?"  # 1,234 may be a thousand and more.
_WORDED_PART = rf"({_AMOUNT}) ?({_NAMES})"
_ONE = rf"{_AMOUNT} ?(?:{_NAMES})"
_NEXT = rf"\.?(?:,? (?:and |und )?)?{_ONE}"
WORDED = rf"[-−]?{_ONE}(?:{_NEXT})+\.?"
"""A pattern of durations of two parts and more with their units."""
_ANY_WORDED = rf"[-−]?{_ONE}(?:{_NEXT})*\.?"


def seconds_sql(text: str) -> str:
    """SQL: the seconds of a duration as DOUBLE; NULL for other text.

    Args:
        text: SQL of a text without spaces around it.
    """
    clocked = f"regexp_full_match({text}, {quote_text(CLOCKED)})"
    # Python writes "2 days, 3:04:05", pandas "-1 days +23:00:00", and Slurm "2-03:04:05".
    plain = f"regexp_replace(translate({text}, ',+', ''), '^([0-9]+)-', '\\1 days ')"
    iso = f"regexp_full_match({text}, {quote_text(f'{ISO}|{ISO_DAYS}')})"
    worded = f"regexp_full_match({text}, {quote_text(_ANY_WORDED)})"
    return (
        f"CASE WHEN {clocked} THEN epoch(try_cast({plain} AS INTERVAL)) "
        f"WHEN {iso} THEN {with_value(text, _iso_seconds)} "
        f"WHEN {worded} THEN {with_value(text, _worded_seconds)} END"
    )


def _iso_seconds(text: str) -> str:
    """SQL: the seconds of a duration of ISO 8601."""
    # Minutes stand after the T.
    parts = [
        f"coalesce(try_cast(replace(regexp_extract({text}, {quote_text(f'({_PART}){unit}')}, 1), "
        f"',', '.') AS DOUBLE), 0) * {seconds}"
        for unit, seconds in _ISO_SECONDS.items()
    ]
    return _signed(text, parts)


def _worded_seconds(text: str) -> str:
    """SQL: the seconds of a duration of parts with their units."""
    part = quote_text(_WORDED_PART)
    numbers = f"regexp_extract_all({text}, {part}, 1)"
    names = f"regexp_extract_all({text}, {part}, 2)"
    listed, seconds = text_list(list(TIME_UNITS)), list(TIME_UNITS.values())
    products = (
        f"list_transform(list_zip({numbers}, {names}), lambda part: "
        f"try_cast(replace(part[1], ',', '.') AS DOUBLE) "
        f"* {seconds}[list_position({listed}, part[2])])"
    )
    return _signed(text, [f"list_sum({products})"])


def _signed(text: str, parts: list[str]) -> str:
    negative = f"regexp_matches({text}, '^[-−]')"
    return f"(CASE WHEN {negative} THEN -1 ELSE 1 END * ({' + '.join(parts)}))"
