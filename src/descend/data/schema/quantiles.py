"""The quantiles of a target, exact however many processes share its rows."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace

from descend.data.reading.expressions import number_sql
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.columns import RegressionTarget
from descend.data.schema.exact_sums import sum_up_to

_CUTS = 64
"""Values between the ends of an interval at which the rows below are counted, each time."""


def with_quantiles(
    table: Table,
    columns: Sequence[TableColumn],
    weight: TableColumn | None,
    target: RegressionTarget,
    levels: Sequence[float],
) -> RegressionTarget:
    """The target with the quantiles of its training rows: the least v with P(target ≤ v) ≥ level.

    Args:
        table: its training rows marked.
        columns: of the target, in its order.
        weight: the column of row weights, or None.
        target: learned from these columns.
        levels: of the quantiles.
    """
    share = "count(*)" if weight is None else _weights(table, weight)
    find = _by_sorting if table.sharing is None else _by_counting
    found = []
    for column, low, high in zip(columns, target.minimum, target.maximum, strict=True):
        values = f"SELECT {number_sql(column)} AS v{_weight(weight)} FROM {table.rows} WHERE {MARK}"
        found.append(tuple(find(table, values, share, levels, (low, high))))
    return replace(target, quantiles=tuple(found))


def _weight(weight: TableColumn | None) -> str:
    return "" if weight is None else f", {number_sql(weight)} AS w"


def _weights(table: Table, weight: TableColumn) -> str:
    """SQL of the sum of weights `w`, as a whole number of one unit."""
    largest = f"SELECT max({number_sql(weight)}) AS w FROM {table.rows} WHERE {MARK}"
    most = table.merged(largest, "SELECT max(w) AS w FROM parts").to_pylist()[0]["w"]
    return sum_up_to(1.0).sql(f"w / '{most!r}'::DOUBLE")


def _by_sorting(
    table: Table,
    values: str,
    share: str,
    levels: Sequence[float],
    ends: tuple[float, float],
) -> list[float]:
    asked = ", ".join(
        f"min(v) FILTER (below >= {level!r} * total) AS q{place}"
        for place, level in enumerate(levels)
    )
    sums = f"SELECT v, {share} AS w FROM ({values}) GROUP BY v"
    running = f"SELECT v, sum(w) OVER (ORDER BY v) AS below, sum(w) OVER () AS total FROM ({sums})"
    return list(table.query(f"SELECT {asked} FROM ({running})").to_pylist()[0].values())


def _by_counting(
    table: Table,
    values: str,
    share: str,
    levels: Sequence[float],
    ends: tuple[float, float],
) -> list[float]:
    """The same where no process has all values: intervals are narrowed to one number."""
    low, high = map(_place, ends)
    total = _below(table, values, share, [high])[0]
    # P(target ≤ low end) is less than the level, P(target ≤ high end) is not.
    intervals = [(low - 1, high)] * len(levels)
    while any(last - first > 1 for first, last in intervals):
        cuts = sorted(
            {
                first + (last - first) * cut // _CUTS
                for first, last in set(intervals)
                for cut in range(1, _CUTS)
                if last - first > 1
            }
        )
        counts = dict(zip(cuts, _below(table, values, share, cuts), strict=True))
        narrowed = []
        for level, (first, last) in zip(levels, intervals, strict=True):
            inside = [cut for cut in cuts if first < cut < last]
            less = [cut for cut in inside if counts[cut] < level * float(total)]
            enough = [cut for cut in inside if counts[cut] >= level * float(total)]
            narrowed.append((max(less, default=first), min(enough, default=last)))
        intervals = narrowed
    return [_number(last) for _, last in intervals]


def _below(table: Table, values: str, share: str, places: Sequence[int]) -> list[int]:
    """The weight of the values up to each of some numbers, of all processes."""
    names = [f"b{place}" for place in range(len(places))]
    sums = ", ".join(
        f"coalesce({share} FILTER (v <= '{_number(at)!r}'::DOUBLE), 0)::VARCHAR AS {name}"
        for name, at in zip(names, places, strict=True)
    )
    merge = ", ".join(f"sum({name}::HUGEINT)::VARCHAR AS {name}" for name in names)
    found = table.merged(f"SELECT {sums} FROM ({values})", f"SELECT {merge} FROM parts")
    return [int(value) for value in found.to_pylist()[0].values()]


def _place(number: float) -> int:
    """A whole number that orders floats as they are ordered, without gaps."""
    bits: int = struct.unpack("<q", struct.pack("<d", number + 0.0))[0]
    return bits if bits >= 0 else -(bits & 0x7FFFFFFFFFFFFFFF)


def _number(place: int) -> float:
    """The float at a place: the inverse of `_place`."""
    size: float = struct.unpack("<d", struct.pack("<q", abs(place)))[0]
    return size if place >= 0 else -size
