"""Decide what the text of a column stands for: numbers, booleans or text.

One rule for text from every source. A column of text is one of numbers if its cells are numbers,
except for texts for missing and a few others; it stays text if a cell is written as only codes
are (`00501`, `2E3`). docs/columns.md states the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from descend.data.reading.expressions import (
    LOCAL,
    ZONED,
    category_sql,
    number_sql,
    numbers_in,
    plainly_whole_sql,
    text_sql,
    written_sql,
)
from descend.data.reading.held_rows import listed_sql
from descend.data.reading.lettered_numbers import (
    AXES,
    LATITUDE,
    LETTERED,
    LONGITUDE,
    MEANING,
)
from descend.data.reading.long_numbers import merging_columns
from descend.data.reading.measured_text import (
    LEAST_DISTINCT,
    join_written,
    split_written,
)
from descend.data.reading.missing import CLASS_NAMES, NULLS
from descend.data.reading.number_text import (
    COMMA,
    DURATION,
    ENTRIES,
    PLAINLY,
    POINT,
    SECONDS,
    is_measure,
)
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn, groups_of, is_zoned
from descend.data.reading.text_labels import (
    COMMAS,
    DIGITS,
    DURATIONS,
    NUMBERS,
    POINTED,
    Cells,
    Seen,
    settle_unit,
    survey_labels,
)
from descend.data.reading.told_forms import REASONS
from descend.errors import DataError, option_text
from descend.io.units import count_text

FEW = 0.05
"""Largest share of cells that are not numbers in a column of numbers."""

_LEAST_GOOD = 10
_LEAST_GROUPED = 40
"""Cells such as 1.234 from which on, beside whole numbers below 1,000, they are thousands."""
_FIRST_ROWS = 2_000
_LOOKED_AT_TOGETHER = 256
"""Columns that one query looks at."""
_BOOLEANS = ("bool:true", "bool:yes", "bool:t", "bool:y")


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


def survey_text(
    table: Table, columns: Sequence[TableColumn], rules: TextRules, *, whole: bool = True
) -> dict[str, Seen]:
    """What the cells of the columns of text look like.

    Args:
        table: to read.
        columns: of any type; only text is examined.
        rules: what the user says; which columns are `categorical` does not matter.
        whole: whether to examine every row of a column that may hold numbers, or only the first
            ones.
    """
    texts = [one for one in _prepared(columns, rules) if one.is_text]
    seen = survey_labels(table, texts, f"{ROW} < {_FIRST_ROWS}")
    if whole:
        asked = (*rules.numeric, *rules.wanted)
        unsure = [
            one
            for one in texts
            if _may_be_numbers(settle_unit(seen[one.name], asked=True), one.name in asked)
        ]
        if unsure and _has_more_rows(table):
            before = {one.name: seen[one.name] for one in unsure}
            seen |= survey_labels(table, unsure, "true", before)
    return seen


def find_types(
    table: Table,
    columns: Sequence[TableColumn],
    rules: TextRules,
    surveyed: Mapping[str, Seen] | None = None,
    *,
    whole: bool = True,
) -> dict[str, TypedColumn]:
    """The type that each column stands for.

    Args:
        table: to read.
        columns: of any type; only text is examined.
        rules: what the user says.
        surveyed: what `survey_text` has found; None: it is asked.
        whole: whether every row of a column that may hold numbers is examined, or only the first
            ones.

    Raises:
        DataError: a column of `rules.numeric` holds no number.
    """
    prepared = _prepared(columns, rules)
    texts = [column for column in prepared if column.is_text]
    if surveyed is None:
        surveyed = survey_text(table, columns, rules, whole=whole)
    seen = {column.name: replace(surveyed[column.name]) for column in texts}
    asked = (*rules.numeric, *rules.wanted)
    for column in texts:
        wanted = column.name in asked
        seen[column.name] = one = settle_unit(seen[column.name], asked=wanted)
        if one.measure and whole and not wanted and one.measure not in AXES:
            one.few = table.count_distinct(text_sql(column)) < LEAST_DISTINCT
    _settle_longitudes(seen)
    for column in texts if whole else ():
        _check_letters(table, column, seen[column.name])
    default = rules.decimal or (
        COMMA if any(_decimal(one, None) == COMMA for one in seen.values()) else POINT
    )
    found = {
        column.name: TypedColumn(
            column,
            unit=SECONDS if column.sql_type in ("INTERVAL", "TIME") else "",
            zoned=is_zoned(column.sql_type),
        )
        for column in prepared
        if not column.is_text
    }
    for column in texts:
        typed = _find_type(table.name, column, seen[column.name], rules, default)
        if typed.doubtful and whole:
            as_numbers = replace(settle_unit(surveyed[column.name], asked=True))
            _check_letters(table, column, as_numbers)
            typed = replace(typed, countable=as_numbers.count(*DIGITS, *DURATIONS) > 0)
        found[column.name] = replace(typed, zoned=seen[column.name].zoned)
    spelt = _check_spellings(table, found, rules)
    return spelt | (_long_codes(table, spelt, rules) if whole else {})


def _prepared(columns: Sequence[TableColumn], rules: TextRules) -> list[TableColumn]:
    names = [column.name for column in columns]
    return [_with_nulls(column, rules, names) for column in columns]


def _settle_longitudes(seen: dict[str, Seen]) -> None:
    """Take 122.4W as a longitude, which alone may be a power in watts, beside latitudes."""
    if any(one.measure == LATITUDE for one in seen.values()):
        for one in seen.values():
            if one.measure == "W":
                one.measure = LONGITUDE


def _check_letters(table: Table, column: TableColumn, seen: Seen) -> None:
    """Leave a column of degrees or durations text if some cannot be: 4807.038N, 1,234 min."""
    durations = seen.count("worded duration") > 0
    if seen.measure not in AXES and not durations:
        return
    written = DURATION if durations else join_written(POINT, seen.measure)
    typed = replace(column, type="number", written=written)
    none = f"{written_sql(typed)} AND ({number_sql(typed)}) IS NULL"
    sql = f"SELECT count(*) AS n FROM {table.rows} WHERE {none}"
    found = table.merged(sql, "SELECT sum(n)::BIGINT AS n FROM parts").to_pylist()[0]["n"]
    good = (*DURATIONS, "clock", "iso days") if durations else NUMBERS
    if found > seen.all_cells() - seen.count(*good):
        what = "durations" if durations else "degrees below 180 with minutes and seconds below 60"
        seen.reason = f"{found:,} cells are no {what}"
        seen.measure = ""
        seen.labels = {label: one for label, one in seen.labels.items() if label not in good}


def _has_more_rows(table: Table) -> bool:
    """Whether there may be rows beyond the first ones, which all have been looked at."""
    if table.sharing is not None:
        return True
    beyond = f"SELECT 1 FROM {table.rows} WHERE {ROW} >= {_FIRST_ROWS} LIMIT 1"
    return bool(table.query(beyond).num_rows)


def types_as_known(
    table: Table,
    kinds: Mapping[str, str],
    rules: TextRules,
    written: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, TypedColumn]:
    """How to read columns that are known to hold numbers or text.

    Args:
        table: to read.
        kinds: `number` or `text`, by name; a column of numbers may hold true and false.
        rules: of training.
        written: how numbers were written in training, by name; the first rows may show another
            decimal mark instead.
    """
    columns = {one.name: one for one in table.columns if one.name in kinds}
    typed = find_types(table, list(columns.values()), rules, whole=False)
    found = {}
    for name, one in typed.items():
        column = one.column
        if column.is_text and kinds[name] == "text":
            column = replace(column, type="text")
        elif column.is_text and column.type != "boolean":
            known = _choose_written(one, written.get(name))
            column = replace(column, type="number", written=known)
            one = replace(one, unit=SECONDS if known == DURATION else one.unit)  # noqa: PLW2901
        found[name] = one if column is one.column else replace(one, column=column)
    return found


def _choose_written(typed: TypedColumn, learned: str | None) -> str:
    """How the numbers of a column are written: as the first rows show, else as in training.

    A unit is that of training, so that a cell with another one is no number. Codes and classes,
    of which nothing is `learned`, have none.
    """
    known, unit = split_written(learned or PLAINLY)
    found, shown_unit = known, ""
    if typed.column.type == "number":
        found, shown_unit = split_written(typed.column.written)
    if known == PLAINLY or (known == DURATION and typed.column.type == "number" and not shown_unit):
        mark = found
    else:
        mark = known if typed.shown is None or known == DURATION else typed.shown
    if learned is not None and known != DURATION:
        unit = unit or shown_unit
    return join_written(POINT if unit and mark == PLAINLY else mark, unit)


def _with_nulls(column: TableColumn, rules: TextRules, names: Sequence[str]) -> TableColumn:
    given = rules.missing_in(column.name, names)
    if not column.is_text:
        return column if column.nulls == given else replace(column, nulls=given)
    usual: tuple[str, ...] = NULLS
    if column.name in rules.labels:
        usual = tuple(null for null in NULLS if null not in CLASS_NAMES)
    nulls = (*usual, *given)
    return column if column.nulls == nulls else replace(column, nulls=nulls)


def _may_be_numbers(seen: Seen, asked: bool) -> bool:
    cells = seen.all_cells()
    digits = seen.count(*DIGITS, "clock", *DURATIONS, "iso days", *_BOOLEANS)
    return asked or cells == 0 or digits >= 0.5 * cells


def _decimal(seen: Seen, default: str | None) -> str | None:
    """The decimal mark that the cells of a column show; the default if they are ambiguous."""
    comma, point = seen.count(*COMMAS), seen.count(*POINTED)
    if comma != point:
        return COMMA if comma > point else POINT
    return default


def _find_type(
    table: str, column: TableColumn, seen: Seen, rules: TextRules, default: str
) -> TypedColumn:
    name = column.name
    asked = name in rules.numeric or name in rules.wanted
    if seen.few:
        return TypedColumn(column, reason=_FEW_MEASURED, doubtful=True)
    cells = seen.all_cells()
    marks = seen.joined(["mark"])
    truths, bits = seen.count(*_BOOLEANS), seen.count("bit")
    if not asked and truths and truths + bits == cells and not is_few(truths, bits):
        if name in rules.labels and seen.count("bool:true") < cells:
            return TypedColumn(column)
        alike = max(map(seen.count, _BOOLEANS)) == cells
        forms = [seen.labels[one].shown for one in (*_BOOLEANS, "bit") if one in seen.labels]
        reason = "" if alike else f"true and false are written in several ways: {', '.join(forms)}"
        return TypedColumn(replace(column, type="boolean"), reason=reason)
    thousands = seen.count("point3") if _may_be_thousands(seen) and rules.decimal is None else 0
    written = _decimal(seen, default) or default
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
        reason = reason or _told_form(seen)
        return TypedColumn(column, reason=reason, doubtful=bool(reason))
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
    shown = None if written == DURATION else _decimal(seen, None)
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


def _told_form(seen: Seen) -> str:
    """What the cells of a column may be that are no numbers, or empty."""
    counts = {label: seen.count(label) for label in REASONS}
    most = max(counts, key=lambda label: counts[label])
    good = counts[most]
    others = seen.all_cells() - good - seen.count(*DIGITS)
    few = good > 0 and is_few(others, good + seen.count(*DIGITS))
    return f"{REASONS[most]} ({seen.labels[most].shown})" if few else ""


def _may_be_thousands(seen: Seen) -> bool:
    """Whether all cells with a point have three digits after it, and others are below 1,000.

    Of numbers with three decimals, every tenth would end in 0, which is left out.
    """
    others = seen.count("point", "groups", "fortran", "whole", "long", "power", *COMMAS)
    return seen.count("point3") > 0 and seen.count("short") > 0 and not others


def _unit_of(measure: str) -> str:
    """The unit of the numbers of a column: letters that belong to each number are none."""
    return "" if measure in LETTERED else measure


def is_few(strays: int, good: int) -> bool:
    """Whether few enough cells are strays for a column to be of the other cells' type.

    Args:
        strays: cells that are no numbers (or dates).
        good: cells that are.
    """
    few = strays <= FEW * (good + strays)
    return good > 0 and (few or (strays == 1 and good >= _LEAST_GOOD))


def _check_spellings(
    table: Table, found: Mapping[str, TypedColumn], rules: TextRules
) -> dict[str, TypedColumn]:
    """The types, with columns of categories as numbers only if none is written in two ways.

    Versions 1.1 and 1.10 are two values.
    """
    categories = {
        name: one
        for name, one in found.items()
        if name in rules.categorical and one.column.type == "number" and one.column.is_text
    }
    texts = {
        name for name, one in categories.items() if one.strays is not None or is_measure(one.unit)
    }
    texts |= _spelt_differently(
        table, [one.column for name, one in categories.items() if name not in texts]
    )
    return {
        name: replace(one, column=replace(one.column, type="text")) if name in texts else one
        for name, one in found.items()
    }


def _spelt_differently(table: Table, columns: Sequence[TableColumn]) -> set[str]:
    """The names of columns of text in which a number is written in several ways."""
    found = set()
    for column in _not_plainly_whole(table, columns):
        # Marks such as -999 do not count: text may write them -999,0.
        words = tuple(one for one in column.nulls if not any(True for _ in numbers_in([one])))
        plain = replace(column, nulls=words)
        by_text = category_sql(replace(plain, type="text"))
        if table.count_distinct(by_text) != table.count_distinct(category_sql(plain)):
            found.add(column.name)
    return found


def _not_plainly_whole(table: Table, columns: Sequence[TableColumn]) -> list[TableColumn]:
    """The columns with other cells than whole numbers as all write them."""
    left: list[TableColumn] = []
    for group in groups_of(columns, _LOOKED_AT_TOGETHER):
        plain = listed_sql([f"bool_and({plainly_whole_sql(text_sql(one))})" for one in group])
        rows = table.joined(f"SELECT {plain} FROM {table.rows}").to_pydict().values()
        left += [one for one, parts in zip(group, rows, strict=True) if False in parts]
    return left


def _long_codes(
    table: Table, found: Mapping[str, TypedColumn], rules: TextRules
) -> dict[str, TypedColumn]:
    """As text, the columns of whole numbers that are different codes, and equal as numbers."""
    decided = {*rules.numeric, *rules.wanted, *rules.categorical, *rules.labels}
    asked = [
        one for name, one in found.items() if one.column.type == "number" and name not in decided
    ]
    long = [one.column.name for one in asked if one.long]
    merging = merging_columns(table, [one.column for one in asked], long)
    return {
        name: TypedColumn(replace(found[name].column, type="text"), reason=_LONG_CODES)
        for name in merging
    }


_FEW_MEASURED = (
    f"its numbers have letters after them, and fewer than {LEAST_DISTINCT} cells differ, as with "
    "sizes or grades"
)
_LONG_CODES = "codes: as numbers some of them would be equal"


def _example(cells: Cells | None) -> str:
    return cells.shown if cells is not None else "''"


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
