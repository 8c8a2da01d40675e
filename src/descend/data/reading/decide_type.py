"""Decide from the labels of its cells whether a column of text holds numbers, booleans or text."""

from __future__ import annotations

from dataclasses import replace

from descend.data.reading.lettered_numbers import LETTERED
from descend.data.reading.measured_text import LEAST_DISTINCT, join_written
from descend.data.reading.number_text import COMMA, DURATION, ENTRIES, PLAINLY, POINT, SECONDS
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import (
    COMMAS,
    DIGITS,
    DURATIONS,
    NUMBERS,
    ODD,
    POINTED,
    Cells,
    Seen,
)
from descend.data.reading.time_text import LOCAL, ZONED
from descend.data.reading.told_forms import CODES, OTHER_TEXT, REASONS
from descend.data.reading.typed_columns import FEW, TextRules, TypedColumn, is_few
from descend.errors import DataError, option_text

_LEAST_GROUPED = 40
"""Cells such as 1.234 from which on, beside whole numbers below 1,000, they are thousands."""
BOOLEANS = ("bool:true", "bool:yes", "bool:t", "bool:y")
_FEW_MEASURED = (
    f"its numbers have letters after them, and fewer than {LEAST_DISTINCT} cells differ, as with "
    "sizes or grades"
)


def decimal_shown(seen: Seen, default: str | None) -> str | None:
    """The decimal mark that the cells of a column show; the default if they are ambiguous."""
    comma, point = seen.count(*COMMAS), seen.count(*POINTED)
    if comma != point:
        return COMMA if comma > point else POINT
    return default


def decide_type(
    table: str, column: TableColumn, seen: Seen, rules: TextRules, default: str
) -> TypedColumn:
    """The type of a column of text.

    Args:
        table: its name, for errors.
        column: of text.
        seen: the labels of its cells.
        rules: what the user says.
        default: `POINT` or `COMMA`, for cells such as `1,234`.

    Raises:
        DataError: a column that is to be one of numbers or dates holds none.
    """
    name = column.name
    asked = name in rules.numeric or name in rules.wanted
    if seen.few:
        return TypedColumn(column, reason=_FEW_MEASURED, doubtful=True)
    cells = seen.all_cells()
    marks = seen.joined(["mark"])
    truths, bits = seen.count(*BOOLEANS), seen.count("bit")
    if not asked and truths and truths + bits == cells and not is_few(truths, bits):
        if name in rules.labels and seen.count("bool:true") < cells:
            return TypedColumn(column)
        alike = max(map(seen.count, BOOLEANS)) == cells
        forms = [seen.labels[one].shown for one in (*BOOLEANS, "bit") if one in seen.labels]
        reason = "" if alike else f"true and false are written in several ways: {', '.join(forms)}"
        return TypedColumn(replace(column, type="boolean"), reason=reason)
    thousands = seen.count("point3") if _may_be_thousands(seen) and rules.decimal is None else 0
    written = decimal_shown(seen, default) or default
    if thousands >= _LEAST_GROUPED:
        written = COMMA
    good = [one for one in NUMBERS if one not in (COMMAS if written == POINT else POINTED)]
    if written == COMMA and seen.count(*COMMAS):
        good.append("address")  # Else 192.168.101.101 is a number in groups of three digits.
    if seen.count(*DURATIONS) and not seen.count(*NUMBERS):
        written, good = DURATION, [*DURATIONS, "clock"]
        if seen.count("iso duration"):  # P5D by itself may be a code.
            good.append("iso days")
    codes = [] if seen.count(*POINTED, *COMMAS, "power") else ["exponent"]
    codes.append("zeros")
    if asked or not seen.count(*codes):
        good += ["zeros", "exponent"]
    elif seen.count(*DIGITS) > 0.5 * cells:
        code = seen.joined(codes)
        assert code is not None
        return TypedColumn(column, reason=f"codes such as {code.shown}")
    numbers = seen.count(*good)
    strays = seen.joined([one for one in seen.labels if one not in (*good, "null", "mark")])
    if name in rules.counted and numbers == 0:
        raise DataError(
            f"{table}: {option_text('datetime', [name])} is for numbers that count from 1970, or "
            "are written as 20240131; the column holds text such as "
            f"{_example(strays or marks)}. Text is read as dates without the option where all "
            "cells are written in one way, such as 2024-12-31."
        )
    if name in rules.numeric and numbers == 0:
        raise DataError(
            f"{table}: column {name!r} is to be read as numbers, and holds none; its first cells "
            f"are like {_example(strays or marks)}{f'; {seen.reason}' if seen.reason else ''}."
        )
    if numbers == 0 or not (asked or is_few(strays.count if strays else 0, numbers)):
        reason = seen.reason
        pointed, commas = seen.joined(POINTED), seen.joined(COMMAS)
        if pointed and commas and is_few(cells - numbers - min(pointed.count, commas.count), cells):
            reason = (
                f"{pointed.count:,} cells have a decimal point ({pointed}) and {commas.count:,} a "
                f"decimal comma ({commas})"
            )
        elif not reason and strays is not None and numbers > strays.count:
            reason = f"{numbers:,} cells are numbers and {strays.count:,} are none, {strays}"
        if not reason:
            reason, doubtful = _told_form(seen)
            return TypedColumn(column, reason=reason, doubtful=doubtful)
        return TypedColumn(column, reason=reason, doubtful=True)
    units = {one: count for one, count in seen.units.items() if one not in ("", ZONED, LOCAL)}
    only = next((one for one in ("%", ENTRIES) if one in units), "")
    mixed = len(units) > 1 or (only and units[only] < (1 - FEW) * numbers)
    if mixed and not asked:
        several = len(units) > 1
        listed = " and ".join(sorted(units)) if several else f"numbers with and without {only}"
        unit = listed if several else f"{only} in some cells"
        return TypedColumn(column, unit=unit, reason=f"its cells mix {listed}", doubtful=True)
    if written == POINT and seen.plain and not seen.count("comma3", "groups", "fortran"):
        written = PLAINLY
    typed = replace(column, type="number", written=join_written(written, seen.measure))
    grouped = bool(seen.count("comma3") and written == POINT and not seen.count(*POINTED))
    shown = None if written == DURATION else decimal_shown(seen, None)
    return TypedColumn(
        typed,
        unit=SECONDS if written == DURATION else _unit_of(seen.measure) or next(iter(units), ""),
        thousands=written == POINT and seen.count("comma3", "groups") > 0,
        grouped=grouped,
        pointed=written if thousands else "",
        shown=shown,
        marks=marks,
        strays=strays,
        long=seen.count("long") > 0,
    )


def _told_form(seen: Seen) -> tuple[str, bool]:
    """What the cells of a column may be that are no numbers, or empty; and whether it is doubtful.

    Categories that are doubtful may be meant as numbers.
    """
    alike = {label: CODES if label in CODES else (label,) for label in REASONS}
    most = max(alike, key=lambda label: seen.count(*alike[label]))
    found = seen.joined(alike[most])
    good = found.count if found else 0
    others = seen.all_cells() - good - seen.count(*DIGITS)
    if found and is_few(others, good + seen.count(*DIGITS)):
        return f"{REASONS[most]} ({found.shown})", most not in CODES
    odd = seen.joined([ODD, ""])
    if odd is not None and odd.example[:1].isdigit() and is_few(others - odd.count, odd.count):
        return f"{OTHER_TEXT} ({odd.shown})", False
    return "", False


def _may_be_thousands(seen: Seen) -> bool:
    """Whether all cells with a point have three digits after it, and others are below 1,000.

    Of numbers with three decimals, every tenth would end in 0, which is left out.
    """
    others = seen.count("point", "groups", "fortran", "whole", "long", "power", *COMMAS)
    return seen.count("point3") > 0 and seen.count("short") > 0 and not others


def _unit_of(measure: str) -> str:
    """The unit of the numbers of a column: letters that belong to each number are none."""
    return "" if measure in LETTERED else measure


def _example(cells: Cells | None) -> str:
    return cells.shown if cells is not None else "''"
