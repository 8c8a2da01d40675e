"""What is measured of each method of a comparison, and how it is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from descend.reporting.page_model import Ranged

Spread = Mapping[str, float]
"""Of a measure over the seeds: `median`, `low`, `high`."""


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
    Measure("updates_to_target", "updates to it", "updates"),
    Measure("epochs_to_target", "epochs to it", "epochs"),
    Measure("seconds_to_target", "seconds to it", "seconds"),
    Measure("best", "best validation loss", "best loss"),
)
NATURE = (
    Measure("deviation_at_start", "gradient off, at the start", "off at start", "times"),
    Measure("deviation_when_trained", "gradient off, when trained", "off trained", "times"),
    Measure("roughness", "roughness", "roughness", "percent"),
    Measure("rows_per_second", "rows per second", "rows/s"),
    Measure("memory", "peak memory", "memory", "bytes"),
)
MEASURES = (*ARRIVAL, *NATURE)


def ranged(spread: Spread | None, measure: Measure) -> Ranged | None:
    """The middle over the seeds with the range, or None where nothing was measured."""
    if spread is None:
        return None
    low, middle, high = (written(spread[end], measure) for end in ("low", "median", "high"))
    value, _, unit = low.partition(" ")
    # The unit once, where both ends have the same.
    shown = value if unit and high.endswith(f" {unit}") else low
    return Ranged(middle, "" if low == high else f"{shown} to {high}")


def middle_text(spread: Spread | None, measure: Measure) -> str:
    """The middle over the seeds alone."""
    return "—" if spread is None else written(spread["median"], measure)


def written(value: float, measure: Measure) -> str:
    """A value in its unit.

    >>> written(0.0237, NATURE[2]), written(3.9e6, NATURE[4])
    ('2.37 %', '3.72 MiB')
    """
    if measure.unit == "bytes":
        return bytes_text(value)
    if measure.unit == "percent":
        return f"{three(100.0 * value)} %"
    return f"{three(value)} ×" if measure.unit == "times" and value else three(value)


def three(value: float) -> str:
    """Three digits; no power of ten for what is larger."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def duration(seconds: float) -> str:
    """Seconds as people say them."""
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"


def bytes_text(value: float) -> str:
    """A count of bytes in the unit that suits it."""
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.3g} {unit}"
        value /= 1024
    return f"{value:.3g} GiB"


def arrived_text(line: Mapping[str, Any]) -> str:
    """In how many of the runs a method came to the target."""
    exploded = f", {line['exploded']} exploded" if line["exploded"] else ""
    return f"{line['arrived']} of {line['runs']}{exploded}"
