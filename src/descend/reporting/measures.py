"""The measures of a comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from descend.io.units import bytes_text, percent_text, three
from descend.reporting.page_model import Ranged

Spread = Mapping[str, float]
"""`median`, `low` and `high` of a measure over the seeds."""


@dataclass(frozen=True)
class Measure:
    """One column of the table.

    Attributes:
        name: in a record.
        header: on a page.
        short: on a terminal.
        unit: `number`, `times`, `percent` or `bytes`.
    """

    name: str
    header: str
    short: str
    unit: str = "number"


ARRIVAL = (
    Measure("updates_to_target", "updates to the target", "updates"),
    Measure("epochs_to_target", "epochs to the target", "epochs"),
    Measure("seconds_to_target", "seconds to the target", "seconds"),
    Measure("best", "best validation loss", "best loss"),
)
TO_TARGET = tuple(measure.name for measure in ARRIVAL[:3])
"""What a run took to the target; nothing where it did not come to it."""
NATURE = (
    Measure("deviation_at_start", "gradient error at the start", "error at start", "times"),
    Measure("deviation_when_trained", "gradient error when trained", "error trained", "times"),
    Measure("roughness", "roughness", "roughness", "percent"),
    Measure("rows_per_second", "rows per second", "rows/s"),
    Measure("memory", "peak memory", "memory", "bytes"),
)
MEASURES = (*ARRIVAL, *NATURE)


def median_and_range(spread: Spread | None, measure: Measure) -> Ranged | None:
    """The median over the seeds with the range, or None where nothing was measured."""
    if spread is None:
        return None
    low, middle, high = (measure_text(spread[end], measure) for end in ("low", "median", "high"))
    value, _, unit = low.partition(" ")
    # The unit is written once where both ends have the same one.
    shown = value if unit and high.endswith(f" {unit}") else low
    return Ranged(middle, "" if low == high else f"{shown} to {high}")


def middle_text(spread: Spread | None, measure: Measure) -> str:
    """The median over the seeds."""
    return "—" if spread is None else measure_text(spread["median"], measure)


def measure_text(value: float, measure: Measure) -> str:
    """A value in its unit.

    >>> measure_text(0.0237, NATURE[2]), measure_text(3.9e6, NATURE[4])
    ('2.37 %', '3.72 MiB')
    """
    if measure.unit == "bytes":
        return bytes_text(value)
    if measure.unit == "percent":
        return percent_text(value, 3)
    return f"{three(value)} ×" if measure.unit == "times" and value else three(value)


def arrived_text(line: Mapping[str, Any]) -> str:
    """In how many of its runs a method reached the target."""
    return f"{line['arrived']} of {line['runs']}"
