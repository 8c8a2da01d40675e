"""Make the record of each column from what was seen in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_rules import left_out_number, left_out_values, time_pattern
from descend.data.schema.columns import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
)
from descend.data.schema.surveys import NumberSurvey, TimeSurvey, ValueSurvey


def learn_columns(
    columns: Sequence[TableColumn],
    numbers: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    categorical: Sequence[str],
    training: int,
) -> list[Column]:
    """Every column as its kind, by what was surveyed."""
    learned: list[Column] = []
    for column in columns:
        if column.name in numbers:
            learned.append(_number(column, numbers[column.name], training))
        elif column.name not in values:
            reason = f"unsupported type {column.sql_type}" if column.type == "other" else "excluded"
            learned.append(LeftOutColumn(column.name, column.type, 0, None, reason))
        else:
            survey = values[column.name]
            if survey.times is not None:
                learned.append(_datetime(column, survey, survey.times, training))
            else:
                learned.append(_category(column, survey, training, column.name in categorical))
    return learned


def _datetime(column: TableColumn, survey: ValueSurvey, times: TimeSurvey, training: int) -> Column:
    missing = training - times.seen
    if not times.parts:
        return LeftOutColumn(column.name, column.type, missing, survey.distinct, "constant")
    return DatetimeColumn(
        name=column.name,
        type=column.type,
        missing=missing,
        distinct=survey.distinct,
        pattern=time_pattern(column, survey)[1],
        minimum=times.minimum,
        maximum=times.maximum,
        parts=times.parts,
    )


def _number(column: TableColumn, survey: NumberSurvey, training: int) -> Column:
    missing = training - survey.seen
    reason = left_out_number(column.name, survey, training)
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
    )


def _category(column: TableColumn, survey: ValueSurvey, training: int, declared: bool) -> Column:
    missing = training - survey.seen
    reason = left_out_values(survey, training, declared=declared)
    if reason:
        return LeftOutColumn(column.name, column.type, missing, survey.distinct, reason)
    return CategoryColumn(
        name=column.name,
        type=column.type,
        missing=missing,
        distinct=survey.distinct,
        values=tuple(value for value, _ in survey.values),
        counts=tuple(count for _, count in survey.values),
    )
