"""Warnings about values: spellings that differ little, several in a cell, numbers far off."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from descend.data.reading.expressions import number_sql
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.offered_commands import query_text
from descend.data.schema.surveys import NumberSurvey, Selection
from descend.errors import option_text, quoted_cell
from descend.io.units import count_text

_SHOWN = 3
_SEPARATORS = {";": 0.8, "|": 0.8, ",": 0.5}
"""What may part several values of a cell, and the most parts for each different cell. Commas stand
in names and addresses too."""
_LEAST_SHARE = 0.05
"""Share of cells that hold several values, from which on this is told."""
_REPEATED_PARTS = 0.8
"""Least share of parts that stand in several different cells."""
_LONGEST_PART = 60
_LEAST_ROWS = 20
_TINY = 1e-300
_MOST_FAR = 10
FAR = 20.0
"""How far a number is from all others, in widths of their range, to be told. The deviation of these
is at most half the width, so that its square is that of 1,600 of them."""
HELPED = 1000.0
"""A value at least this many widths away is beyond the help of the loss `huber`, which is linear
from one deviation of all values on: measured with 2,000 rows, it learned as well beside a value
1,500 widths away as without it, and nothing beside one 50,000 widths away."""

Values = Sequence[tuple[str, int]]


def alike_values(table: Table, name: str, values: Values) -> list[str]:
    """A sentence if categories differ only in letter case or in the spaces within them.

    Args:
        table: that holds the column.
        name: of the column.
        values: its values, with counts.
    """
    groups: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for value, count in values:
        if count:
            groups[" ".join(value.casefold().split())].append((value, count))
    alike = [group for group in groups.values() if len(group) > 1]
    if not alike:
        return []
    alike.sort(key=lambda group: -sum(count for _, count in group))
    shown = "; ".join(
        " and ".join(f"{quoted_cell(value)} ({count:,})" for value, count in group[: _SHOWN + 1])
        for group in alike[:_SHOWN]
    )
    more = f"; and {len(alike) - _SHOWN:,} more" if len(alike) > _SHOWN else ""
    column = quote_name(name)
    spaced = f"regexp_replace({column}, '\\s+', ' ', 'g')"
    own_spaces = any(" ".join(value.split()) != value for group in alike for value, _ in group)
    written = f"lower({spaced if own_spaces else column})"
    return [
        f"Column {name!r} has values that differ only in letter case or spaces: {shown}{more}. "
        "Each is a category of its own; if they mean the same, write them alike"
        f"{query_text(table, f'* REPLACE ({written} AS {column})')}"
    ]


def several_values(table: Table, name: str, values: Values) -> list[str]:
    """A sentence if the cells of a column seem to hold several values each, such as `red;blue`.

    Args:
        table: that holds the column.
        name: of the column.
        values: its values, with counts.
    """
    cells = sum(count for _, count in values)
    for separator, most in _SEPARATORS.items():
        several = sum(count for value, count in values if separator in value)
        if not cells or several < _LEAST_SHARE * cells:
            continue
        counts: Counter[str] = Counter()
        places: Counter[str] = Counter()
        for value, count in values:
            for part in {part.strip() for part in value.split(separator)} - {""}:
                counts[part] += count
                places[part] += 1
        repeated = sum(1 for place in places.values() if place > 1)
        if (
            2 <= len(counts) <= most * len(values)
            and repeated >= _REPEATED_PARTS * len(counts)
            and max(map(len, counts)) <= _LONGEST_PART
        ):
            return [_describe_several(table, name, separator, values, counts)]
    return []


def _describe_several(
    table: Table, name: str, separator: str, values: Values, counts: Counter[str]
) -> str:
    spaced = all(f"{separator} " in value for value, _ in values if separator in value)
    by = f"{separator} " if spaced else separator
    shown = ", ".join(f"{quoted_cell(part)} ({n:,})" for part, n in counts.most_common(_SHOWN))
    first = counts.most_common(1)[0][0]
    parts = f"string_split({quote_name(name)}, {quote_text(by)})"
    own = f"*, list_contains({parts}, {quote_text(first)}) AS {quote_name(f'{name} {first}')}"
    return (
        f"The cells of column {name!r} seem to hold several values each, parted by "
        f"{separator!r}: {shown}{' and others' if len(counts) > _SHOWN else ''}. Each combination "
        "is taken as a value of its own. Give every value a column of its own"
        f"{query_text(table, own)}"
    )


def far_targets(table: Table, targets: Sequence[TableColumn], rows: Selection) -> list[str]:
    """A sentence for each target of which a few values are far from all others.

    Args:
        table: whose rows are numbered.
        targets: columns of numbers.
        rows: selects the rows that count, held out or not.
    """
    said = []
    for target in targets:
        far = _far_values(table, target, rows)
        if far is None:
            continue
        leave = f", leave its row out ({far.as_missing})" if far.as_missing else ""
        said.append(
            f"The target {target.name!r} has {far}. In squares of errors such a value counts more "
            f"than a thousand others. If it is wrong, correct it{leave}"
            + (
                f", or give a loss that counts it less, such as {option_text('loss', 'huber')}."
                if far.widths < HELPED
                else "."
            )
        )
    return said


def far_inputs(
    table: Table,
    columns: Sequence[TableColumn],
    surveys: Mapping[str, NumberSurvey],
    rows: Selection,
) -> list[str]:
    """A sentence for each column of numbers of which a few values are far from all others.

    Args:
        table: whose rows are numbered.
        columns: of numbers.
        surveys: of these columns, by name.
        rows: selects the rows that count, held out or not.
    """
    said = []
    for column in columns:
        far = _far_values(table, column, rows) if _may_be_far(surveys[column.name]) else None
        if far is None:
            continue
        missing = far.as_missing
        leave = f", or give {missing} if it stands for a missing value" if missing else ""
        said.append(
            f"Column {column.name!r} has {far}. For a model that standardises numbers, as linear "
            "and mlp do, such a value counts more than a thousand others. If it is wrong, correct "
            f"it{leave}."
        )
    return said


def _may_be_far(survey: NumberSurvey) -> bool:
    """Whether a few values may be far from all others, by the deviation, which they dominate."""
    if survey.seen < _LEAST_ROWS or survey.deviation <= 0:
        return False
    farthest = max(survey.highest - survey.mean, survey.mean - survey.lowest)
    both_sides = 2 * most_far(survey.seen)
    return farthest >= 0.8 * survey.deviation * math.sqrt(survey.seen / both_sides)


@dataclass(frozen=True)
class _Far:
    """Values of a column that are far from all others.

    Attributes:
        column: its name.
        count: how many.
        first: the first one, and its row from 0.
        values: the different ones.
        others: the least and the greatest of the others.
    """

    column: str
    count: int
    first: tuple[float, int]
    values: tuple[float, ...]
    others: tuple[float, float]

    def __str__(self) -> str:
        value, row = self.first
        low, high = self.others
        return (
            f"{count_text(self.count, 'value')} far from all others ({value:g} in data row "
            f"{row + 1:,}; the others go from {low:g} to {high:g})"
        )

    @property
    def widths(self) -> float:
        """How far the farthest is from the range of the others, in widths of this range."""
        low, high = self.others
        return max(low - min(self.values), max(self.values) - high) / max(high - low, _TINY)

    @property
    def as_missing(self) -> str:
        """The option that makes them missing; empty where they are many."""
        named = [f"{self.column}={one!r}".removesuffix(".0") for one in self.values]
        return option_text("missing", named) if len(named) <= _SHOWN else ""


def most_far(count: int) -> int:
    """How many of some values may be far from the others."""
    return max(1, min(_MOST_FAR, count // 100))


def _far_values(table: Table, column: TableColumn, rows: Selection) -> _Far | None:
    """The values of a column that are far from all others; None where there are none."""
    kept = _MOST_FAR + 1
    found = table.joined(
        f"SELECT count(v) AS n, max(v, {kept}) AS high, arg_max(r, v, {kept}) AS high_rows, "
        f"min(v, {kept}) AS low, arg_min(r, v, {kept}) AS low_rows FROM "
        f"(SELECT {number_sql(column)} AS v, {ROW} AS r FROM {table.rows} WHERE {rows.counted})"
    ).to_pylist()
    count = sum(part["n"] for part in found)
    if count < _LEAST_ROWS:
        return None
    most = most_far(count)

    def ends(values: str, places: str) -> list[tuple[float, int]]:
        pairs = [
            pair
            for part in found
            if part["n"]
            for pair in zip(part[values], part[places], strict=True)
        ]
        return sorted(pairs, reverse=values == "high")[:kept]

    highs, lows = ends("high", "high_rows"), ends("low", "low_rows")
    inner = (lows[most][0], highs[most][0])
    above = _far_count([value for value, _ in highs], inner[0], most)
    below = _far_count([-value for value, _ in lows], -inner[1], most)
    far = [*highs[:above], *lows[:below]]
    if not far:
        return None
    first = min(far, key=lambda pair: pair[1])
    values = tuple(sorted({one for one, _ in far}))
    return _Far(column.name, len(far), first, values, (lows[below][0], highs[above][0]))


def _far_count(falling: Sequence[float], lowest: float, most: int) -> int:
    """How many of the first values are far above the range from `lowest` to the next value."""
    far = 0
    for place in range(1, min(most, len(falling) - 1) + 1):
        width = falling[place] - lowest
        if width > 0 and falling[place - 1] - falling[place] > FAR * width:
            far = place
    return far
