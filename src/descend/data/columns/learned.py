"""Make the record of each column from what was seen in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from descend.data.columns.column import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
)
from descend.data.columns.datetimes import PARTS, TIME_PARTS
from descend.data.columns.kinds import left_out_number, left_out_values, time_pattern
from descend.data.columns.survey import NumberSurvey, ValueSurvey
from descend.data.columns.time_survey import survey_times
from descend.data.reading.expressions import TIME
from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn


def learn_columns(
    table: Table,
    columns: Sequence[TableColumn],
    numbers: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    categorical: Sequence[str],
    training: int,
) -> tuple[Column, ...]:
    """Every column as its kind, by what was surveyed."""
    learned: list[Column] = []
    times: dict[TableColumn, str | None] = {}
    for column in columns:
        if column.name in numbers:
            learned.append(_number(column, numbers[column.name], training))
        elif column.name in values:
            survey = values[column.name]
            is_time, pattern = time_pattern(column, survey)
            if is_time and survey.distinct > 1 and column.name not in categorical:
                times[column] = pattern
            else:
                learned.append(_category(column, survey, training, column.name in categorical))
        else:
            reason = f"unsupported type {column.sql_type}" if column.type == "other" else "excluded"
            learned.append(LeftOutColumn(column.name, column.type, 0, None, reason))
    names = {
        column.name: TIME_PARTS if pattern == TIME else PARTS for column, pattern in times.items()
    }
    surveyed = survey_times(table, times, names)
    for column, pattern in times.items():
        one = surveyed[column.name]
        missing, distinct = training - one.seen, values[column.name].distinct
        if not one.parts:
            learned.append(LeftOutColumn(column.name, column.type, missing, distinct, "constant"))
            continue
        learned.append(
            DatetimeColumn(
                name=column.name,
                type=column.type,
                missing=missing,
                distinct=distinct,
                pattern=pattern,
                minimum=one.minimum,
                maximum=one.maximum,
                parts=one.parts,
            )
        )
    return tuple(learned)


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
