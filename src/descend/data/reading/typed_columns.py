"""What the text of a column stands for, what the user says about it, and how messages tell it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from descend.data.reading.lettered_numbers import MEANING
from descend.data.reading.measured_text import split_written
from descend.data.reading.number_text import COMMA, DURATION, ENTRIES, SECONDS, is_measure
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import Cells
from descend.io.units import count_text

FEW = 0.05
"""Largest share of cells that are not numbers in a column of numbers."""

_LEAST_GOOD = 10


@dataclass(frozen=True)
class TextRules:
    """How to read text columns, as far as the user says.

    Attributes:
        numeric: columns of numbers, whatever they look like.
        counted: those of them that are to be dates.
        wanted: targets and weights that have to be numbers; they stay text if they hold none.
        categorical: columns of categories.
        labels: columns whose cells may be class labels.
        missing: texts that stand for a missing value, some as `column=text`.
        decimal: `POINT` or `COMMA` for ambiguous cells such as `1,234`; None decides by the others.
    """

    numeric: Sequence[str] = ()
    counted: Sequence[str] = ()
    wanted: Sequence[str] = ()
    categorical: Sequence[str] = ()
    labels: Sequence[str] = ()
    missing: Sequence[str] = ()
    decimal: str | None = None

    def missing_in(self, name: str, columns: Sequence[str]) -> tuple[str, ...]:
        """The texts that stand for a missing value in a column."""
        found = []
        for text in self.missing:
            # A column may be called `a=b`, beside one called `a`: the longest name is meant.
            ends = [place for place, mark in enumerate(text) if mark == "="]
            place = max((end for end in ends if text[:end] in columns), default=None)
            if place is None:
                found.append(text.strip())
            elif text[:place] == name:
                found.append(text[place + 1 :].strip())
        return tuple(found)


@dataclass(frozen=True)
class TypedColumn:
    """A column with the type that its text stands for, and facts for messages about it.

    Attributes:
        column: as expressions read it.
        unit: of its numbers, a currency, the per cent sign, or `SECONDS`.
        thousands: whether commas separate thousands.
        grouped: whether all cells are ambiguous, such as `1,234`.
        pointed: the decimal mark taken where points may separate thousands: 1.234 beside 307.
        shown: the decimal mark, if its cells show it beyond doubt.
        marks: cells with a text for missing.
        strays: cells that are neither numbers nor texts for missing.
        reason: why text with digits is not taken as numbers, or a remark on true and false.
        zoned: whether its times have an offset from UTC; None where it holds no times of a day,
            or some of either kind.
        doubtful: whether it is text, and may be meant as numbers, for the reason given.
        countable: whether some of its cells are numbers if it is asked to be a column of numbers.
        long: whether some cells are whole numbers of 16 digits and more.
    """

    column: TableColumn
    unit: str = ""
    thousands: bool = False
    grouped: bool = False
    pointed: str = ""
    shown: str | None = None
    marks: Cells | None = None
    strays: Cells | None = None
    reason: str = ""
    zoned: bool | None = None
    doubtful: bool = False
    countable: bool = True
    long: bool = False


def is_few(strays: int, good: int) -> bool:
    """Whether few enough cells are strays for a column to be of the other cells' type.

    Args:
        strays: cells that are no numbers (or dates).
        good: cells that are.
    """
    few = strays <= FEW * (good + strays)
    return good > 0 and (few or (strays == 1 and good >= _LEAST_GOOD))


def how_written(typed: TypedColumn) -> str:
    """A few words on how the numbers of a column are written; empty for plain numbers."""
    column = typed.column
    said = []
    mark, measure = split_written(column.written)
    if measure in MEANING:
        said.append(MEANING[measure])
    elif typed.unit == "%":
        said.append("per cent")
    elif typed.unit == ENTRIES:
        said.append("CR positive, DR negative")
    elif is_measure(typed.unit) and typed.unit != SECONDS:
        said.append(f"in {typed.unit}")
    elif typed.unit and typed.unit != SECONDS:
        said.append(f"money in {typed.unit}")
    if mark == COMMA:
        said.append("decimal comma")
    elif mark == DURATION:
        said.append("durations in seconds")
    elif typed.thousands:
        said.append("commas between thousands")
    for cells, what in ((typed.marks, "marked as missing"), (typed.strays, "no numbers")):
        if cells is not None:
            said.append(f"{count_text(cells.count, 'cell')} {what} ({cells})")
    return "; ".join(said)
