"""Messages about columns: how their text was read, and which values look odd."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from descend.data.reading.expressions import FALSE, TRUE, number_sql, text_sql
from descend.data.reading.missing import CLASS_NAMES
from descend.data.reading.periods import WORDED_MONTH
from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import MARK, Table
from descend.data.reading.times import NUMBER_PATTERNS, TIME
from descend.data.reading.typed_columns import TypedColumn, how_written
from descend.data.schema.column_records import Surveys
from descend.data.schema.columns import CategoryColumn, Column, DatetimeColumn, NumberColumn
from descend.data.schema.dates import DAY
from descend.data.schema.numbered_times import day_text, numbered_times
from descend.data.schema.odd_rows import odd_rows
from descend.data.schema.odd_values import FAR, alike_values, most_far, several_values
from descend.data.schema.offered_commands import query_text
from descend.errors import cell_option_text, option_text, quoted_cell
from descend.io.units import count_text

_PILE = 3
"""Least number of rows that share a value before it may stand for a missing one."""
_PILE_SHARE = 0.005
_REASONS = 2.0
"""How far from 99 others may be that stand for missing values too."""
_STAND_INS = ("1900-01-01", "1899-12-30", "1970-01-01", "1753-01-01", "0001-01-01", "9999-12-31")
"""Dates that programs write for a missing date."""
_FIRST_FAR = 2_524_608_000_000_000
"""Microseconds from 1970 to 2050: later years of two digits may be of the century before."""


def text_warnings(
    typed: Mapping[str, TypedColumn], kinds: Mapping[str, str], targets: Sequence[str]
) -> list[str]:
    """A sentence for each column of numbers with a few cells that are no numbers."""
    said = []
    for name, one in typed.items():
        if one.strays is None or one.column.type != "number":
            continue
        if name in targets:
            said.append(
                f"The target {name!r} holds no number in {count_text(one.strays.count, 'cell')} "
                f"({one.strays}); such rows are left out."
            )
        elif kinds.get(name, "number") == "number":
            said.append(
                f"Column {name!r} holds no number in {count_text(one.strays.count, 'cell')} "
                f"({one.strays}); such cells count as missing. "
                f"{cell_option_text('missing', one.strays.example, 'TEXT')} says that "
                f"this is meant; {option_text('categorical', [name])} makes the column one of "
                "categories."
            )
    return said


def text_notes(
    typed: Mapping[str, TypedColumn],
    kinds: Mapping[str, str],
    targets: Sequence[str],
    categorical: Sequence[str],
) -> list[str]:
    """A sentence for each column whose text is read in a way the user should know.

    Args:
        typed: how each column is read.
        kinds: what each column becomes.
        targets: their names.
        categorical: columns that the user has declared so.
    """
    said = []
    for name, one in typed.items():
        if one.column.type == "boolean" and one.reason:
            said.append(
                f"In the {_column(name, targets)} {one.reason}. They are read as two values."
            )
        if one.doubtful and kinds.get(name) == "category" and name not in categorical:
            numbers = f"{option_text('numeric', [name])} for numbers or " if one.countable else ""
            instead = "them in one way" if one.countable else "one number in each cell"
            said.append(
                f"The {_column(name, targets)} is read as categories: {one.reason}. Write "
                f"{instead}, or give {numbers}{option_text('categorical', [name])} for categories."
            )
        if one.column.type != "number" or kinds.get(name, "number") != "number":
            continue
        if one.marks is not None:
            effect = "such rows are left out" if name in targets else "such cells count as missing"
            count = count_text(one.marks.count, "cell")
            said.append(
                f"The {_column(name, targets)} has {count} with a text for a missing value "
                f"({one.marks}); {effect}."
            )
        if one.pointed:
            other = "point" if one.pointed == "," else "comma"
            as_taken, instead = ("1234", "1.234") if other == "point" else ("1.234", "1234")
            said.append(
                f"The {_column(name, targets)} has cells such as 1.234 beside whole numbers below "
                f"1,000; they are read as {as_taken}. {option_text('decimal', other)} reads them "
                f"as {instead}."
            )
        written = how_written(replace(one, marks=None, strays=None))
        if written:
            more = (
                f" {option_text('decimal', 'comma')} reads 1,234 as 1.234." if one.grouped else ""
            )
            said.append(f"The {_column(name, targets)} is read as numbers ({written}).{more}")
    return said


def class_notes(name: str, labels: Sequence[object]) -> list[str]:
    """Sentences on classes that stand for a missing value elsewhere, or for true or false."""
    found = [label for label in labels if label in CLASS_NAMES]
    truths = [label for label in labels if str(label).lower() in (*TRUE, *FALSE)]
    mixed = []
    if len(truths) == len(labels) > 2:
        mixed.append(
            f"The target {name!r} seems to hold true and false, written in several ways: "
            f"{', '.join(map(repr, truths))}. Each is a class of its own; write them alike."
        )
    return mixed + [
        f"{label!r} in the target {name!r} is a class like others. If it stands for a missing "
        f"value, give {option_text('missing', [f'{name}={label}'])}."
        for label in found
    ]


def column_hints(table: Table, columns: Sequence[Column], surveys: Surveys) -> list[str]:
    """Sentences on values that seem to stand for missing ones, and on numbers that may be dates.

    Args:
        table: with its training rows marked.
        columns: of the schema.
        surveys: of these columns.
    """
    said = []
    for name, survey in surveys.values.items():
        if survey.ambiguous:
            said.append(
                f"In the dates of column {name!r} the day cannot be told from the month, so "
                f"they are read as text. Give {option_text('date_order', 'dmy')} (day first) or "
                f"{option_text('date_order', 'mdy')}."
            )
        if survey.unread is not None:
            said.append(_unread(table, name, *survey.unread, survey.texts))
        said += several_values(table, name, survey.texts)
    for column in columns:
        if isinstance(column, CategoryColumn):
            said += alike_values(table, column.name, surveys.values[column.name].texts)
    said += odd_rows(table, surveys)
    numbers = [one for one in columns if isinstance(one, NumberColumn)]
    said += _number_stand_ins(table, numbers, surveys)
    for column in columns:
        if isinstance(column, DatetimeColumn):
            said += _dates(column, surveys)
            said += _short_months(table, column, surveys)
    return said + numbered_times(table, numbers, surveys)


def _unread(
    table: Table, name: str, form: str, count: int, texts: Sequence[tuple[str, int]]
) -> str:
    """A sentence on dates that have several meanings."""
    what = "months with a number that may be a day or a year"
    instead = "Write days as 2024-03-21 and months as 2021-03."
    if form == "zone":
        what = "times with the name of a time zone that is not known, or that several zones have"
        instead = "Write the offset from UTC in its place, such as 2024-12-31 12:30+05:30"
        zones = (re.search(r"(?:\d|[AaPp][Mm]) ?([A-Z]{2,5})$", text) for text, _ in texts)
        zone = next((found[1] for found in zones if found), None)
        column = quote_name(name)
        offset = f"replace({column}, {quote_text(zone or '')}, '+05:30')"
        query = query_text(table, f"* REPLACE ({offset} AS {column})")
        instead += query if zone else "."
    elif form == "clock":
        what = "times of a day with a time zone"
        instead = "Write them without the zone, or with their date."
    example = f", such as {quoted_cell(texts[0][0])}" if texts else ""
    return (
        f"Column {name!r} holds {what}, in {count_text(count, 'cell')}{example}; it is read as "
        f"text. {instead}"
    )


def _number_stand_ins(table: Table, columns: Sequence[NumberColumn], surveys: Surveys) -> list[str]:
    """Minima and maxima such as -999 or 99 that are frequent and far from the rest.

    Surveys have 97 and 98 beside 99, for answers that are missing for another reason.
    """
    ends = [
        (column, end)
        for column in columns
        for end in (column.minimum, column.maximum)
        if _stands_in(end)
    ]
    if not ends:
        return []
    parts = []
    for column, end in ends:
        value = number_sql(surveys.typed[column.name].column)
        nearest = sorted((end, end - math.copysign(_REASONS, end)))
        other = f"{value} NOT BETWEEN '{nearest[0]!r}'::DOUBLE AND '{nearest[1]!r}'::DOUBLE"
        parts.append(
            f"[count_if({value} = '{end!r}'::DOUBLE)::DOUBLE, "
            f"min({value}) FILTER ({other}), max({value}) FILTER ({other}), "
            f"count_if({value} <> '{end!r}'::DOUBLE AND NOT ({other}))::DOUBLE]"
        )
    sql = f"SELECT [{', '.join(parts)}] AS found FROM {table.rows} WHERE {MARK}"
    said = []
    shares = [row["found"] for row in table.joined(sql).to_pylist()]
    for (column, end), *figures in zip(ends, *shares, strict=True):
        piles, lows, highs, besides = zip(*figures, strict=True)
        pile, beside = sum(piles), sum(besides)
        low = min((one for one in lows if one is not None), default=None)
        high = max((one for one in highs if one is not None), default=0.0)
        if low is None or pile < max(_PILE, _PILE_SHARE * surveys.training):
            continue
        if end == -9.0 and low < 0.0:
            continue  # One below 0 among others.
        gap = low - end if end < low else end - high
        if gap >= max(0.5 * (high - low), 1e-9):
            said.append(_stand_in(column.name, f"{end:g}", int(pile), f"{low:g} to {high:g}"))
            if beside:
                reasons = count_text(int(beside), "row")
                said[-1] += f". {reasons} more have values next to it, which may be missing too"
    return said


def _stands_in(value: float) -> bool:
    """Whether a number is written as those are that stand for missing ones: 99, -999, -9."""
    digits = f"{abs(value):.0f}"
    long = len(digits) >= 2 or value == -9.0
    return value.is_integer() and long and set(digits) == {"9"}


def _stand_in(name: str, value: str, pile: int, others: str) -> str:
    return (
        f"{value} stands {pile:,} times in column {name!r}, far from the other values ({others}). "
        f"If it stands for a missing value, give {option_text('missing', [f'{name}={value}'])}"
    )


def _dates(column: DatetimeColumn, surveys: Surveys) -> list[str]:
    said = []
    survey = surveys.values[column.name]
    if survey.strays is not None:
        said.append(
            f"Column {column.name!r} holds no date, or one that cannot be read, in "
            f"{count_text(survey.strays.count, 'cell')} ({survey.strays}); such cells count as "
            "missing."
        )
    times = survey.times
    if times is None or column.pattern in NUMBER_PATTERNS:
        return said
    if column.pattern and "%y" in column.pattern and times.maximum >= _FIRST_FAR:
        said.append(
            f"The years of column {column.name!r} have two digits: 69 to 99 are read as 1969 to "
            "1999, and 00 to 68 as 2000 to 2068. Its dates are read as "
            f"{day_text(times.minimum)} to {day_text(times.maximum)}; if that is wrong, write the "
            "years with four digits."
        )
    rest = times.second_last - times.second
    others = f"{day_text(times.second)} to {day_text(times.second_last)}"
    for value, pile, gap in (
        (times.minimum, times.at_minimum, times.second - times.minimum),
        (times.maximum, times.at_maximum, times.maximum - times.second_last),
    ):
        day = day_text(value)
        piled = not value % DAY and pile >= max(_PILE, _PILE_SHARE * surveys.training)
        if piled and day in _STAND_INS and gap > max(rest // 2, 365 * DAY):
            said.append(_stand_in(column.name, day, pile, others))
        elif _is_far(column, gap, rest, pile, surveys.training):
            missing = option_text("missing", [f"{column.name}={day}"])
            leave = "" if value % DAY else f", or give {missing} if it stands for a missing one"
            said.append(
                f"Column {column.name!r} has {day} in {count_text(pile, 'row')}, far from its "
                f"other dates ({others}). If it is wrong, correct it{leave}."
            )
    return said


def _is_far(column: DatetimeColumn, gap: int, rest: int, pile: int, rows: int) -> bool:
    """Whether an end of the dates of a column is a slip, such as the year 2201 for 2021."""
    few = pile <= most_far(rows)
    return column.pattern != TIME and few and rest >= DAY and gap > FAR * max(rest, 365 * DAY)


def _short_months(table: Table, column: DatetimeColumn, surveys: Surveys) -> list[str]:
    """A sentence if all months such as Mar-21 may be days of a month too."""
    times = surveys.values[column.name].times
    if column.pattern != WORDED_MONTH or times is None:
        return []
    first, last = (day_text(end) for end in (times.minimum, times.maximum))
    if not "2001" <= first[:4] <= last[:4] <= "2031":
        return []
    text = text_sql(surveys.typed[column.name].column)
    short = f"regexp_matches({text}, '[^0-9][0-9]{{2}}$')"
    found = table.joined(f"SELECT count_if({short}) AS n FROM {table.rows} WHERE {MARK}")
    if not any(found.column(0).to_pylist()):
        return []
    return [
        f"The numbers behind the months of column {column.name!r} are read as years, as Excel "
        f"writes them: Mar-21 is March 2021, and the column has {first[:7]} to {last[:7]}. If they "
        "are days, add their year: 2024-03-21."
    ]


def _column(name: str, targets: Sequence[str]) -> str:
    return f"target {name!r}" if name in targets else f"column {name!r}"
