"""How bytes, times and counts are read and written: the same on the terminal and on every page.

KiB, MiB and GiB are powers of 1024, and so are KB, MB and GB where a user types them.
"""

from __future__ import annotations

import datetime
import re

from descend.errors import SettingsError, option_text

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_DIGITS = 15
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


def parse_duration(text: str, option: str = "time_budget") -> float:
    """Seconds of a time that the user typed.

    >>> parse_duration("90"), parse_duration("10m"), parse_duration("1.5h")
    (90.0, 600.0, 5400.0)

    Raises:
        SettingsError: it is no time.
    """
    number, unit = _read(text, "[smhd]?", option, "a time like 30s, 10m or 2h")
    return number * _SECONDS[unit]


def parse_size(text: str, option: str = "memory") -> int:
    """Bytes of a size that the user typed, in powers of 1024.

    >>> parse_size("4GiB") == parse_size("4G"), parse_size("500MB"), parse_size("1.5k")
    (True, 524288000, 1536)

    Raises:
        SettingsError: it is no size.
    """
    number, unit = _read(text, "[kmgt]?(?:i?b)?", option, "a size like 4GiB or 500MB")
    return int(number * 1024 ** _POWERS[unit.rstrip("ib")])


def _read(text: str, units: str, option: str, expected: str) -> tuple[float, str]:
    """A number and its unit, in lower case; `units` is a pattern of those that are allowed."""
    found = re.fullmatch(rf"\s*([0-9]*\.?[0-9]+)\s*({units})\s*", text.lower())
    if found is None or len(found[1]) > _DIGITS:
        raise SettingsError(f"{option_text(option)} must be {expected}; found {text!r}.")
    return float(found[1]), found[2]


def date_text(days: float | None, minutes: bool = False) -> str:
    """A date given as days since 1970, and the time of the day too if `minutes`.

    >>> date_text(17840.25), date_text(17840.25, minutes=True), date_text(None)
    ('2018-11-05', '2018-11-05 06:00', '—')
    """
    if days is None:
        return "—"
    try:
        moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(minutes=round(days * 1440))
    except OverflowError:  # Python's dates end with the year 9999.
        return f"day {days:,.0f} since 1970"
    return moment.strftime("%Y-%m-%d %H:%M") if minutes else str(moment.date())


def bytes_text(value: float | None) -> str:
    """A number of bytes in powers of 1024, to three digits.

    >>> bytes_text(3.9e6), bytes_text(1023.9), bytes_text(None)
    ('3.72 MiB', '1 KiB', '—')
    """
    if value is None:
        return "—"
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 999.5:  # More would be written as 1.02e+03.
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} TiB"


def span_text(seconds: float) -> str:
    """A time in three significant digits.

    >>> span_text(0.000123), span_text(2.5), span_text(90.0), span_text(7320.0)
    ('123 µs', '2.5 s', '90 s', '2 h 2 min')
    """
    if seconds < 0.9995e-3:
        return f"{seconds * 1e6:.3g} µs"
    if seconds < 0.9995:
        return f"{seconds * 1e3:.3g} ms"
    if seconds < 99.95:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def count_text(number: int, noun: str) -> str:
    """A count with its noun.

    >>> count_text(1, "update"), count_text(1200, "update")
    ('1 update', '1,200 updates')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def percent_text(share: float | None, digits: int = 2) -> str:
    """A share in percent, or a dash for none; 100 only where it is all.

    Args:
        share: 0 to 1 in most uses.
        digits: significant digits.

    >>> percent_text(1.0), percent_text(0.998), percent_text(0.99999), percent_text(0.0012)
    ('100 %', '99.8 %', '>99.9 %', '0.12 %')
    """
    if share is None:
        return "—"
    percent = 100 * share
    if 99 <= percent < 100:
        return ">99.9 %" if percent >= 99.95 else f"{percent:.1f} %"
    return f"{float(f'{percent:.{digits}g}'):g} %"


def three(value: float) -> str:
    """Three significant digits, and whole numbers from 1,000 on.

    >>> three(0.012345), three(1234.5)
    ('0.0123', '1,234')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
