"""Raw columns to the numbers a network reads, as ONNX operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from descend.data.encoding.categories import category_codes, other_widths, spellings
from descend.data.encoding.numbers import FARTHEST
from descend.data.reading.expressions import numbers_in
from descend.data.reading.missing import MARKS, NULLS
from descend.data.reading.times import times_in
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn
from descend.data.schema.dates import DAY
from descend.export.graph import Graph

NOT_A_TIME = np.iinfo(np.int64).min
"""A missing time, as NumPy writes NaT."""


def number(graph: Graph, column: NumberColumn, marks: Sequence[str] = ()) -> list[str]:
    """`[N, 1]` float: standardised, and the indicator of missing values.

    Args:
        graph: to add to.
        column: what was learned.
        marks: texts for a missing value in this column, as the user gave them.
    """
    value = graph.input(column.name, "double")
    listed = [graph.constant(one, np.float64) for one in numbers_in(marks)]
    missing = _either(graph, graph.add("IsNaN", value), value, listed)
    return _with_indicator(
        graph, column.missing, missing, [_standard(graph, value, column, missing)]
    )


def category(graph: Graph, column: CategoryColumn, marks: Sequence[str] = ()) -> str:
    """`[N, 1]` int64 codes; see `number` for the arguments."""
    known = category_codes(column)
    absent = 1 if column.missing > 0 else 0
    if column.type == "number" and all(_is_exact(value) for value in known):
        value = graph.input(column.name, "double")
        numbers = {float(one): code for one, code in known.items()}
        for one, code in known.items():
            for other in other_widths(float(one)):
                numbers.setdefault(other, code)
        numbers |= dict.fromkeys(numbers_in(marks), absent)
        codes = graph.codes(value, numbers, "double")
        return graph.add("Where", graph.add("IsNaN", value), _whole(graph, absent), codes)
    value = _without_zeros(graph, graph.input(column.name, "string"))
    missing = [*NULLS, *marks]
    if column.type == "boolean":
        missing += [form for mark in MARKS for form in (mark, mark.upper(), mark.capitalize())]
    return graph.codes(value, {**spellings(column), **dict.fromkeys(missing, absent)}, "string")


def _without_zeros(graph: Graph, text: str) -> str:
    """Text in which 1.0 and 1.00 are written 1, as `expressions.category_sql` has it."""
    whole = graph.add("RegexFullMatch", text, pattern=r"[-+]?[0-9]+\.0+")
    # Split at the first point, what stands before it is the first of the pieces.
    pieces = graph.add("StringSplit", text, delimiter=".", maxsplit=1, outputs=2)
    before = graph.add("Gather", pieces, graph.constant(0, np.int64), axis=2)
    return graph.add("Where", whole, before, text)


def datetime(graph: Graph, column: DatetimeColumn, marks: Sequence[str] = ()) -> list[str]:
    """`[N, 1]` float for each part, standardised, and the indicator of missing values.

    See `number` for the arguments.
    """
    given = graph.input(column.name, "int64")
    listed = [_whole(graph, one) for one in times_in(marks, column.pattern)]
    missing = _either(graph, graph.add("Equal", given, _whole(graph, NOT_A_TIME)), given, listed)
    time = graph.add("Where", missing, _whole(graph, column.minimum), given)
    parts = _parts(graph, time)
    values = [_standard(graph, parts[part.name](), part, missing) for part in column.parts]
    return _with_indicator(graph, column.missing, missing, values)


def _either(graph: Graph, missing: str, value: str, others: Sequence[str]) -> str:
    """Whether a value is missing, or equal to one of some others."""
    for other in others:
        missing = graph.add("Or", missing, graph.add("Equal", value, other))
    return missing


def _standard(graph: Graph, value: str, learned: object, missing: str) -> str:
    """(value - mean) / deviation within bounds in float64, then float32; 0 where missing."""
    mean, deviation = learned.mean, learned.deviation  # type: ignore[attr-defined]
    scaled = graph.add("Sub", value, graph.constant(mean, np.float64))
    scaled = graph.add("Div", scaled, graph.constant(deviation, np.float64))
    low, high = (graph.constant(bound, np.float64) for bound in (-FARTHEST, FARTHEST))
    scaled = graph.add("Min", graph.add("Max", scaled, low), high)
    return graph.cast(graph.add("Where", missing, graph.constant(0.0, np.float64), scaled), "float")


def _with_indicator(graph: Graph, seen: int, missing: str, values: list[str]) -> list[str]:
    return [*values, graph.cast(missing, "float")] if seen > 0 else values


def _parts(graph: Graph, time: str) -> dict[str, Callable[[], str]]:
    """How to compute each part of microseconds since 1970, in float64."""

    def within(value: str, size: int) -> str:
        return graph.add("Mod", value, _whole(graph, size))

    def over(value: str, size: int) -> str:
        """Divided and rounded down; ONNX alone would round towards 0."""
        return graph.add("Div", graph.add("Sub", value, within(value, size)), _whole(graph, size))

    def plus(value: str, amount: int) -> str:
        return graph.add("Add", value, _whole(graph, amount))

    def turn(value: str, size: int, function: str) -> str:
        angle = graph.add(
            "Mul",
            graph.cast(value, "double"),
            graph.constant(2 * math.pi / size, np.float64),
        )
        # The cosine is a sine a quarter turn on: one kernel for both.
        if function == "cos":
            angle = graph.add("Add", angle, graph.constant(math.pi / 2, np.float64))
        return graph.add("Sin", angle)

    days = over(time, DAY)

    def calendar() -> tuple[str, str, str]:
        """Year, month (0 to 11) and day of the month.

        H. Hinnant, "chrono-compatible low-level date algorithms", civil_from_days.
        """
        shifted = plus(days, 719_468)
        era, of_era = over(shifted, 146_097), within(shifted, 146_097)
        leaps = graph.add("Sub", over(of_era, 36_524), over(of_era, 1_460))
        leaps = graph.add("Sub", leaps, over(of_era, 146_096))
        years = over(graph.add("Add", of_era, leaps), 365)
        before = graph.add("Mul", years, _whole(graph, 365))
        before = graph.add("Sub", graph.add("Add", before, over(years, 4)), over(years, 100))
        of_year = graph.add("Sub", of_era, before)
        from_march = over(plus(graph.add("Mul", of_year, _whole(graph, 5)), 2), 153)
        begun = over(plus(graph.add("Mul", from_march, _whole(graph, 153)), 2), 5)
        day = plus(graph.add("Sub", of_year, begun), 1)
        month = within(plus(from_march, 2), 12)
        year = graph.add("Add", years, graph.add("Mul", era, _whole(graph, 400)))
        return graph.add("Add", year, over(plus(from_march, 2), 12)), month, day

    return {
        "year": lambda: graph.cast(calendar()[0], "double"),
        "month sin": lambda: turn(calendar()[1], 12, "sin"),
        "month cos": lambda: turn(calendar()[1], 12, "cos"),
        "day": lambda: graph.cast(calendar()[2], "double"),
        "weekday sin": lambda: turn(within(plus(days, 3), 7), 7, "sin"),
        "weekday cos": lambda: turn(within(plus(days, 3), 7), 7, "cos"),
        "hour sin": lambda: turn(within(time, DAY), DAY, "sin"),
        "hour cos": lambda: turn(within(time, DAY), DAY, "cos"),
        "elapsed days": lambda: graph.add(
            "Div", graph.cast(time, "double"), graph.constant(float(DAY), np.float64)
        ),
    }


def _whole(graph: Graph, value: int) -> str:
    return graph.constant(value, np.int64)


def _is_exact(text: str) -> bool:
    """Whether a float64 stands for a number and for no other one: beyond 2^53 it does not."""
    try:
        number = float(text)
    except ValueError:
        return False
    return not math.isnan(number) and (not number.is_integer() or abs(number) <= 2**53)
