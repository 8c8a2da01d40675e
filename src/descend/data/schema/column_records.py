"""Decide what each column is, from its survey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from descend.data.reading.number_text import PLAINLY
from descend.data.reading.table_column import TableColumn
from descend.data.reading.typed_columns import TypedColumn, how_written
from descend.data.schema.column_rules import left_out_number, left_out_values
from descend.data.schema.columns import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
)
from descend.data.schema.surveys import NumberSurvey, TimeSurvey, ValueSurvey
from descend.io.units import count_text
from descend.settings import Settings


class Surveys(NamedTuple):
    """The surveys of the columns of a table.

    Attributes:
        numbers: of columns of numbers, by name.
        values: of the other columns, by name.
        typed: how the text of each column is read.
        training: number of training rows.
    """

    numbers: Mapping[str, NumberSurvey]
    values: Mapping[str, ValueSurvey]
    typed: Mapping[str, TypedColumn]
    training: int


def learn_columns(
    columns: Sequence[TableColumn], surveys: Surveys, settings: Settings
) -> list[Column]:
    """The record of every column, by its kind."""
    learned: list[Column] = []
    for column in columns:
        values = surveys.values.get(column.name)
        if values is not None and values.times is not None:
            learned.append(_datetime(column, values, values.times, surveys))
        elif column.name in surveys.numbers:
            learned.append(_number(column, surveys, settings.numeric))
        elif values is not None:
            learned.append(_category(column, values, surveys, settings.categorical))
        else:
            reason = f"unsupported type {column.sql_type}" if column.type == "other" else "excluded"
            learned.append(LeftOutColumn(column.name, column.type, 0, None, reason))
    return learned


def kept_when_asked(names: Sequence[str], surveys: Surveys) -> tuple[list[str], list[str]]:
    """Of columns that are left out, those that `numeric` keeps, and those that `categorical` keeps.

    Args:
        names: of the columns.
        surveys: of these columns.
    """
    numeric, categorical = [], []
    for name in names:
        survey, values = surveys.numbers.get(name), surveys.values.get(name)
        typed = surveys.typed.get(name)
        if survey is not None and not left_out_number(name, survey, asked=True):
            numeric.append(name)
        if values is None:
            continue
        if typed is not None and typed.doubtful and typed.countable and values.distinct > 1:
            numeric.append(name)
        if not left_out_values(values, surveys.training, declared=True):
            categorical.append(name)
    return numeric, categorical


def _datetime(
    column: TableColumn, survey: ValueSurvey, times: TimeSurvey, surveys: Surveys
) -> Column:
    missing = surveys.training - times.seen
    if not times.parts:
        return LeftOutColumn(column.name, column.type, missing, survey.distinct, "constant")
    return DatetimeColumn(
        name=column.name,
        type=column.type,
        missing=missing,
        distinct=survey.distinct,
        pattern=survey.pattern,
        minimum=times.minimum,
        maximum=times.maximum,
        parts=times.parts,
        strays=survey.strays.count if survey.strays else 0,
        note=f"no date in {count_text(survey.strays.count, 'cell')}" if survey.strays else "",
        zoned=surveys.typed[column.name].zoned,
        american=survey.american,
    )


def _number(column: TableColumn, surveys: Surveys, numeric: Sequence[str]) -> Column:
    survey, typed = surveys.numbers[column.name], surveys.typed[column.name]
    missing = surveys.training - survey.seen
    reason = left_out_number(column.name, survey, asked=column.name in numeric)
    if reason:
        return LeftOutColumn(column.name, column.type, missing, survey.distinct, reason)
    return NumberColumn(
        name=column.name,
        type=column.type,
        missing=missing,
        distinct=survey.distinct,
        mean=survey.mean,
        deviation=survey.deviation,
        minimum=survey.minimum,
        maximum=survey.maximum,
        written=column.written if column.is_text else PLAINLY,
        strays=typed.strays.count if typed.strays else 0,
        note=how_written(typed),
        unit=typed.unit,
        whole=survey.whole,
    )


def _category(
    column: TableColumn, survey: ValueSurvey, surveys: Surveys, categorical: Sequence[str]
) -> Column:
    missing = surveys.training - survey.seen
    reason = left_out_values(survey, surveys.training, declared=column.name in categorical)
    note = surveys.typed[column.name].reason if column.name in surveys.typed else ""
    if survey.ambiguous:
        note = "day or month first? the option date_order says: dmy or mdy"
    if survey.dated:
        note = (
            f"dates in several forms: {survey.dated:,} of {survey.seen:,} have the commonest one; "
            "write all as 2024-12-31"
        )
    if reason:
        reason += f"; {note}" if note else ""
        return LeftOutColumn(column.name, column.type, missing, survey.distinct, reason)
    return CategoryColumn(
        name=column.name,
        type=column.type,
        missing=missing,
        distinct=survey.distinct,
        values=tuple(value for value, _ in survey.values),
        counts=tuple(count for _, count in survey.values),
        note=note,
    )
