"""Learn what each column is from the training rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from descend.data.arrays import schema_from_arrays
from descend.data.columns import (
    CategoryColumn,
    Column,
    DatetimeColumn,
    LeftOutColumn,
    NumberColumn,
    RowCounts,
    Schema,
    schema_from_json,
)
from descend.data.datetimes import PARTS, TIME_PARTS
from descend.data.describe import ColumnDescription, describe
from descend.data.expressions import TIME
from descend.data.kinds import left_out_number, left_out_values, time_pattern
from descend.data.leakage import leaking_columns
from descend.data.read_errors import no_column
from descend.data.survey import (
    NumberSurvey,
    Selection,
    ValueSurvey,
    raise_infinite,
    survey_numbers,
    survey_times,
    survey_values,
)
from descend.data.table import Table, TableColumn
from descend.data.targets import choose_task, learn_target, may_be_classes
from descend.errors import DataError
from descend.settings import Settings

__all__ = [
    "ColumnDescription",
    "Schema",
    "describe",
    "inspect_columns",
    "learn_schema",
    "schema_from_arrays",
    "schema_from_json",
    "target_names",
]


def learn_schema(table: Table, settings: Settings, *, validation: Table | None = None) -> Schema:
    """Learn the schema from the training rows alone.

    Training rows have every target, a weight above 0, and are not kept for validation. The
    validation rows are those of `validation` where it is given, else the fraction
    `settings.validation` chosen by `split.is_validation`.

    Args:
        table: the rows to train on.
        settings: target, task, exclude, categorical, weight, validation, seed, loss.
        validation: a table of its own for validation.

    Raises:
        DataError: the table cannot be learned from; the message says what to change.
    """
    targets = [_named(table, name, "the target") for name in target_names(table, settings)]
    weight = _named(table, settings.weight, "--weight") if settings.weight else None
    _check_roles(targets, weight, settings)
    table, inputs, excluded = _inputs(table, settings.exclude, settings.categorical)
    used_elsewhere = [target.name for target in targets] + ([weight.name] if weight else [])
    inputs = [column for column in inputs if column.name not in used_elsewhere]
    fraction = settings.validation if isinstance(settings.validation, float) else None
    if validation is not None:
        fraction = None
    rows = Selection(tuple(targets), weight, fraction, settings.seed)

    numbers = [
        one for one in inputs if one.type == "number" and one.name not in settings.categorical
    ]
    numeric_targets = [target for target in targets if target.type == "number"]
    asked = [*numbers, *numeric_targets, *([weight] if weight else [])]
    survey, counts = survey_numbers(table, asked, rows)
    _check_weight(table, weight, survey)
    for column in asked:
        if survey[column.name].infinite:
            raise_infinite(table, column)
    row_counts = _count_rows(table, targets, settings, counts, rows, validation)

    task, reason = choose_task(targets, survey, settings)
    labels = targets if task == "classification" or may_be_classes(targets, survey) else []
    others = [one for one in inputs if one not in numbers]
    values = survey_values(table, [*_countable(others, settings), *labels], rows)
    target, task_reason, warnings = learn_target(
        table.name, targets, survey, values, settings, task, reason
    )
    columns = _learn_columns(
        table, [*inputs, *excluded], survey, values, settings.categorical, rows, row_counts.training
    )
    columns = _in_table_order(table, columns)
    if all(isinstance(column, LeftOutColumn) for column in columns):
        raise DataError(_nothing_left(table, columns))
    kinds = {column.name: column.kind for column in columns}
    warnings += leaking_columns(
        table,
        [one for one in inputs if kinds[one.name] == "number"],
        [one for one in inputs if kinds[one.name] == "category"],
        rows,
        classes=target.task == "classification",
        training_rows=row_counts.training,
    )
    warnings += _missing_warnings(columns, row_counts.training)
    return Schema(
        columns=columns,
        target=target,
        task_reason=task_reason,
        weight=settings.weight,
        rows=row_counts,
        warnings=tuple(warnings),
    )


def inspect_columns(
    table: Table, *, exclude: Sequence[str] = (), categorical: Sequence[str] = ()
) -> tuple[Column, ...]:
    """What each column would become, learned from all rows, where no target is known.

    Raises:
        DataError: a column that is named does not exist, or holds an infinite number.
    """
    table, inputs, excluded = _inputs(table, exclude, categorical)
    rows = Selection()
    numbers = [one for one in inputs if one.type == "number" and one.name not in categorical]
    survey, counts = survey_numbers(table, numbers, rows)
    for column in numbers:
        if survey[column.name].infinite:
            raise_infinite(table, column)
    others = [one for one in inputs if one not in numbers]
    values = survey_values(table, [one for one in others if one.type != "other"], rows)
    columns = _learn_columns(
        table, [*inputs, *excluded], survey, values, categorical, rows, counts["training"]
    )
    return _in_table_order(table, columns)


def target_names(table: Table, settings: Settings) -> tuple[str, ...]:
    """The target columns; a name with a comma in it is one where the table has it."""
    return (settings.target,) if table.column(settings.target) else settings.targets


def _named(table: Table, name: str, purpose: str) -> TableColumn:
    column = table.column(name)
    if column is None:
        raise no_column(name, [one.name for one in table.columns], purpose, table.name)
    return column


def _check_roles(
    targets: Sequence[TableColumn], weight: TableColumn | None, settings: Settings
) -> None:
    names = [target.name for target in targets]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated:
        raise DataError(f"The target {repeated!r} is named twice; expected every target once.")
    both = next((name for name in names if name in settings.exclude), None)
    if both:
        raise DataError(f"Column {both!r} is the target and excluded too; expected one of them.")
    if weight and weight.name in names:
        raise DataError(f"Column {weight.name!r} is the target and the weight; name another.")
    if weight and weight.type != "number":
        raise DataError(
            f"Column {weight.name!r} (--weight) holds {weight.type}; expected numbers, 0 or more."
        )


def _inputs(
    table: Table, exclude: Sequence[str], categorical: Sequence[str]
) -> tuple[Table, list[TableColumn], list[TableColumn]]:
    """The table with categories read as text; its columns that are used; those excluded."""
    for name in exclude:
        _named(table, name, "--exclude")
    for name in categorical:
        _named(table, name, "--categorical")
    table = table.reading(dict.fromkeys(categorical, "text"))
    inputs = [column for column in table.columns if column.name not in exclude]
    excluded = [column for column in table.columns if column.name in exclude]
    return table, inputs, excluded


def _check_weight(
    table: Table, weight: TableColumn | None, survey: Mapping[str, NumberSurvey]
) -> None:
    if weight and survey[weight.name].lowest < 0:
        raise DataError(
            f"{table.name}, column {weight.name!r} (--weight): expected weights of 0 or more, "
            f"found {survey[weight.name].lowest:g}."
        )


def _count_rows(
    table: Table,
    targets: Sequence[TableColumn],
    settings: Settings,
    counts: Mapping[str, int],
    rows: Selection,
    validation: Table | None,
) -> RowCounts:
    kept = counts["weighted"] - counts["training"]
    name = ", ".join(repr(target.name) for target in targets)
    if counts["labelled"] == 0:
        raise DataError(
            f"{table.name}: the target {name} is missing in all {counts['total']} rows."
        )
    if counts["weighted"] == 0:
        raise DataError(f"{table.name}: no row has a weight above 0 ({settings.weight!r}).")
    if validation is not None:
        kept = _validation_rows(validation, rows)
    if counts["training"] == 0 or kept == 0:
        lacking = "training" if counts["training"] == 0 else "validation"
        raise DataError(
            f"{table.name}: no rows are left for {lacking}, of {counts['weighted']} with a target "
            f"at --validation {settings.validation}. Give another fraction, or more rows."
        )
    return RowCounts(
        total=counts["total"],
        missing_target=counts["total"] - counts["labelled"],
        unweighted=counts["labelled"] - counts["weighted"],
        training=counts["training"],
        validation=kept,
    )


def _validation_rows(validation: Table, rows: Selection) -> int:
    targets = [_named(validation, target.name, "the target") for target in rows.targets]
    weight = _named(validation, rows.weight.name, "--weight") if rows.weight else None
    return survey_numbers(validation, [], Selection(tuple(targets), weight))[1]["training"]


def _countable(columns: Sequence[TableColumn], settings: Settings) -> list[TableColumn]:
    return [one for one in columns if one.type != "other" or one.name in settings.categorical]


def _learn_columns(
    table: Table,
    columns: Sequence[TableColumn],
    numbers: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    categorical: Sequence[str],
    rows: Selection,
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
    surveyed = survey_times(table, times, names, rows)
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


def _in_table_order(table: Table, columns: Sequence[Column]) -> tuple[Column, ...]:
    place = {column.name: number for number, column in enumerate(table.columns)}
    return tuple(sorted(columns, key=lambda column: place[column.name]))


def _nothing_left(table: Table, columns: Sequence[Column]) -> str:
    if not columns:
        return f"{table.name} has no column beside the target; expected at least one to learn from."
    reasons = "; ".join(
        f"{column.name} ({column.reason})"
        for column in columns[:10]
        if isinstance(column, LeftOutColumn)
    )
    return (
        f"{table.name}: no column is left to learn from. Left out: {reasons}. A column that holds "
        "categories all the same can be named with --categorical."
    )


def _missing_warnings(columns: Sequence[Column], training: int) -> list[str]:
    return [
        f"Column {column.name!r} is missing in {column.missing / training:.0%} of the rows."
        for column in columns
        if not isinstance(column, LeftOutColumn) and column.missing > 0.5 * training
    ]
