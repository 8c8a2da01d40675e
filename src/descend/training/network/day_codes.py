"""The days of a column of dates as codes.

What was special about a day, such as its weather, is in no other column: rows of the same day tell
of each other. That helps where a model fills gaps between known rows, and not where it looks
ahead, to days of which nothing is known. So days are codes only where the validation rows are of
the same days as the training rows, as those of a random split are; and all other days have the mean
embedding of these.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from descend.data.encoding.places import places_of
from descend.data.schema.columns import DatetimeColumn, DatetimePart, Schema

Floats = npt.NDArray[np.float32]

MOST_CODES = 1024
"""Codes of a column: its known days, and one for each gap between them and at both ends."""
LEAST_ROWS = 5
"""Rows of the sample that a day needs for an embedding of its own."""
LEAST_KNOWN = 0.8
"""Part of the sample, and half of it of the validation rows, that has to be of such days."""
ROUNDING = 1e-4
"""Days by which a standardised time may be too early, rounded to float32."""


def elapsed_days(schema: Schema) -> dict[int, DatetimePart]:
    """Which of the encoded numbers count days since 1970, and how they are standardised."""
    return {
        place: part
        for column, places, _ in places_of(schema)
        if isinstance(column, DatetimeColumn)
        # The last place is that of the indicator of missing dates, where there is one.
        for place, part in zip(places, column.parts, strict=False)
        if part.name == "elapsed days"
    }


def find_days(column: Floats, part: DatetimePart, held_out: Floats) -> tuple[Floats, Floats] | None:
    """The codes of a column of dates.

    Args:
        column: `[n]` standardised, of training rows.
        part: how it is standardised.
        held_out: `[m]` standardised, of validation rows; may be empty.

    Returns:
        Rising, where one code ends and the next begins, standardised; and of each code, one more,
        1 where it is a day that training has, −1 where it is none. None where days should not be
        codes.
    """
    rounding = ROUNDING + 3e-7 * part.deviation
    elapsed = np.asarray(column, np.float64) * part.deviation + part.mean
    later = np.asarray(held_out, np.float64) * part.deviation + part.mean
    days, counts = np.unique(np.floor(elapsed + rounding), return_counts=True)
    frequent = days[counts >= LEAST_ROWS]
    if len(frequent) <= 2 or counts[counts >= LEAST_ROWS].sum() < LEAST_KNOWN * len(column):
        return None
    if len(later) and np.isin(np.floor(later + rounding), frequent).mean() < LEAST_KNOWN / 2:
        return None
    # Each day begins and ends; where the next one begins at once, there is one border.
    borders = np.unique(np.concatenate([frequent, frequent + 1.0]))
    if len(borders) >= MOST_CODES:
        return None
    known = np.concatenate([[False], np.isin(borders, frequent)])
    of_days = np.where(known, np.float32(1), np.float32(-1))
    # Dates without a time stand at the beginning of their day: the border is half a day before.
    whole = bool(np.all(np.abs(elapsed - np.round(elapsed)) < rounding))
    borders -= 0.5 if whole else rounding
    return ((borders - part.mean) / part.deviation).astype(np.float32), of_days
