"""Dates and times as numbers for a network."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

DAY = 86_400_000_000
"""Microseconds of a day."""

PARTS = (
    "year",
    "month sin",
    "month cos",
    "day",
    "weekday sin",
    "weekday cos",
    "hour sin",
    "hour cos",
    "elapsed days",
)
"""The numbers that a date and time becomes. Cyclic parts are sine and cosine, so that December is
next to January; the hour includes minutes and seconds; elapsed days count from 1970."""

TIME_PARTS = ("hour sin", "hour cos")
"""The numbers that a time of day becomes."""

MONTH_PARTS = ("year", "month sin", "month cos", "elapsed days")
"""The numbers that a month or a quarter becomes: the weekday of its first day means nothing."""


def part_values(
    microseconds: NDArray[np.int64], names: Iterable[str]
) -> dict[str, NDArray[np.float64]]:
    """The parts of each time.

    Args:
        microseconds: since 1970, UTC.
        names: of `PARTS`.

    Example:
        >>> noon = np.array([43_200_000_000])
        >>> part_values(noon, ["year", "hour cos"])["year"]
        array([1970.])
    """
    wanted = list(names)
    values: dict[str, NDArray[np.float64]] = {}
    days = microseconds // DAY
    if any(name in ("year", "day", "month sin", "month cos") for name in wanted):
        months = days.astype("datetime64[D]").astype("datetime64[M]")
        month = months.astype(np.int64)
        values["year"] = (month // 12 + 1970).astype(np.float64)
        first = months.astype("datetime64[D]").astype(np.int64)
        values["day"] = (days - first + 1).astype(np.float64)
        _cycle(values, "month", (month % 12) / 12, wanted)
    # 1970 began on a Thursday; Monday is 0.
    _cycle(values, "weekday", ((days + 3) % 7) / 7, wanted)
    _cycle(values, "hour", (microseconds - days * DAY) / DAY, wanted)
    values["elapsed days"] = microseconds / DAY
    return {name: values[name] for name in wanted}


def _cycle(
    values: dict[str, NDArray[np.float64]],
    name: str,
    turn: NDArray[np.float64],
    wanted: list[str],
) -> None:
    """Add sine and cosine of a fraction of a cycle, if they are wanted."""
    for part, function in (("sin", np.sin), ("cos", np.cos)):
        if f"{name} {part}" in wanted:
            values[f"{name} {part}"] = np.asarray(function(2 * np.pi * turn), np.float64)
