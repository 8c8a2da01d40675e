"""Tell of columns whose unit or time zone is another one than in training."""

from __future__ import annotations

from descend.data.reading.measured_text import singular
from descend.data.reading.number_text import SECONDS, is_measure
from descend.data.schema.columns import DatetimeColumn


def unit_sentences(what: str, unit: str, found: str) -> list[str]:
    """A sentence if the numbers of a column have another unit than in training.

    Money without its currency is what tables hold once somebody has made them tidy.

    Args:
        what: the column or the target, with its name.
        unit: of training.
        found: the unit here.
    """
    percent, measured = "%" in found + unit, is_measure(found) or is_measure(unit)
    if singular(found) == singular(unit) or (not (percent or measured) and "" in (found, unit)):
        return []
    none = "without %" if percent else "without a unit"
    learned, now = (
        "durations, read as seconds," if one == SECONDS else f"in {one}" if one else none
        for one in (unit, found)
    )
    example = " 12.3% is the number 12.3." if percent else ""
    return [
        f"The numbers of {what} were {learned} in training and are {now} here; "
        f"nothing is converted.{example}"
    ]


def zone_sentences(column: DatetimeColumn, *, zoned: bool) -> list[str]:
    """A sentence if only the times of training, or only those of now, have an offset from UTC."""
    if column.zoned in (None, zoned):
        return []
    learned, now = ("without a time zone", "with one") if zoned else ("with a time zone", "without")
    return [
        f"The times of column {column.name!r} were written {learned} in training and are written "
        f"{now} here. A time with a zone is read as its time in UTC, one without as it is "
        "written, so the hours may be shifted: write them as in training."
    ]
