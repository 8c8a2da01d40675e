"""Decide what the text of a column stands for: numbers, booleans or text.

One rule for text from every source. A column of text is one of numbers if its cells are numbers,
except for texts for missing and a few others; it stays text if a cell is written as only codes
are (`00501`, `2E3`). docs/columns.md states the rules.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from descend.data.reading.code_spellings import check_spellings, long_codes
from descend.data.reading.decide_type import BOOLEANS, decide_type, decimal_shown
from descend.data.reading.expressions import number_sql, text_sql, written_sql
from descend.data.reading.lettered_numbers import AXES, LATITUDE, LONGITUDE
from descend.data.reading.measured_text import LEAST_DISTINCT, join_written, split_written
from descend.data.reading.missing import CLASS_NAMES, NULLS
from descend.data.reading.number_text import COMMA, DURATION, PLAINLY, POINT, SECONDS
from descend.data.reading.shared_groups import count_distinct
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn, is_zoned
from descend.data.reading.text_labels import (
    DIGITS,
    DURATIONS,
    NUMBERS,
    Seen,
    settle_unit,
    survey_labels,
)
from descend.data.reading.typed_columns import TextRules, TypedColumn

_FIRST_ROWS = 2_000


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
            one.few = count_distinct(table, text_sql(column)) < LEAST_DISTINCT
    _settle_longitudes(seen)
    for column in texts if whole else ():
        _check_letters(table, column, seen[column.name])
    default = rules.decimal or (
        COMMA if any(decimal_shown(one, None) == COMMA for one in seen.values()) else POINT
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
        typed = decide_type(table.name, column, seen[column.name], rules, default)
        if typed.doubtful and whole:
            as_numbers = replace(settle_unit(surveyed[column.name], asked=True))
            _check_letters(table, column, as_numbers)
            typed = replace(typed, countable=as_numbers.count(*DIGITS, *DURATIONS) > 0)
        found[column.name] = replace(typed, zoned=seen[column.name].zoned)
    spelt = check_spellings(table, found, rules)
    return spelt | (long_codes(table, spelt, rules) if whole else {})


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
    digits = seen.count(*DIGITS, "clock", *DURATIONS, "iso days", *BOOLEANS)
    return asked or cells == 0 or digits >= 0.5 * cells
