"""Learn what each column is from the training rows of a table."""

from __future__ import annotations

from collections.abc import Sequence

from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn
from descend.data.schema.column_records import learn_columns
from descend.data.schema.columns import (
    Column,
    LeftOutColumn,
    Schema,
    schema_from_json,
)
from descend.data.schema.describe import ColumnDescription, describe
from descend.data.schema.leakage import leaking_columns
from descend.data.schema.number_survey import counts_of, raise_infinite, survey_numbers
from descend.data.schema.roles import check_roles, check_weight, count_rows, named
from descend.data.schema.surveys import Selection
from descend.data.schema.targets import choose_task, learn_target, may_be_classes
from descend.data.schema.value_survey import survey_values
from descend.errors import DataError
from descend.settings import Settings

__all__ = [
    "ColumnDescription",
    "Schema",
    "describe",
    "inspect_columns",
    "learn_schema",
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
    targets = [named(table, name, "the target") for name in target_names(table, settings)]
    weight = named(table, settings.weight, "--weight") if settings.weight else None
    check_roles(targets, weight, settings)
    table, inputs, excluded = _inputs(table, settings.exclude, settings.categorical)
    used_elsewhere = [target.name for target in targets] + ([weight.name] if weight else [])
    inputs = [column for column in inputs if column.name not in used_elsewhere]
    fraction = settings.validation if isinstance(settings.validation, float) else None
    if validation is not None:
        fraction = None
    rows = Selection(tuple(targets), weight, fraction, settings.seed)

    with table.marked(rows.training) as marked, marked.in_row_order():
        return _learned(marked, settings, inputs, excluded, rows, validation)


def _learned(
    table: Table,
    settings: Settings,
    inputs: Sequence[TableColumn],
    excluded: Sequence[TableColumn],
    rows: Selection,
    validation: Table | None,
) -> Schema:
    """The schema of a table whose training rows are marked."""
    targets = rows.targets
    numbers = [
        one for one in inputs if one.type == "number" and one.name not in settings.categorical
    ]
    numeric_targets = [target for target in targets if target.type == "number"]
    asked = [*numbers, *numeric_targets, *([rows.weight] if rows.weight else [])]
    survey = survey_numbers(table, asked)
    counts = counts_of(table, rows)
    check_weight(table, rows.weight, survey)
    for column in asked:
        if survey[column.name].infinite:
            raise_infinite(table, column)
    row_counts = count_rows(table, targets, settings, counts, rows, validation)

    task, reason = choose_task(targets, survey, settings)
    labels = targets if task == "classification" or may_be_classes(targets, survey) else []
    others = [one for one in inputs if one not in numbers]
    values = survey_values(
        table, [*_countable(others, settings), *labels], rows, settings.categorical
    )
    target, task_reason, warnings = learn_target(
        table.name, targets, survey, values, settings, task, reason
    )
    training = row_counts.training
    learned = learn_columns([*inputs, *excluded], survey, values, settings.categorical, training)
    columns = _in_table_order(table, learned)
    if all(isinstance(column, LeftOutColumn) for column in columns):
        raise DataError(_nothing_left(table, columns))
    kinds = {column.name: column.kind for column in columns}
    warnings += leaking_columns(
        table,
        [one for one in inputs if kinds[one.name] == "number"],
        [one for one in inputs if kinds[one.name] == "category"],
        rows,
        classes=target.task == "classification",
        training_rows=training,
    )
    warnings += _missing_warnings(columns, training)
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
    others = [one for one in inputs if one not in numbers and one.type != "other"]
    with table.marked(rows.training) as marked, marked.in_row_order():
        survey = survey_numbers(marked, numbers)
        for column in numbers:
            if survey[column.name].infinite:
                raise_infinite(marked, column)
        values = survey_values(marked, others, rows, categorical)
        training = counts_of(marked, rows)["training"]
    columns = learn_columns([*inputs, *excluded], survey, values, categorical, training)
    return _in_table_order(table, columns)


def target_names(table: Table, settings: Settings) -> tuple[str, ...]:
    """The target columns; a name with a comma in it is one where the table has it."""
    return (settings.target,) if table.column(settings.target) else settings.targets


def _inputs(
    table: Table, exclude: Sequence[str], categorical: Sequence[str]
) -> tuple[Table, list[TableColumn], list[TableColumn]]:
    """The table with categories read as text; its columns that are used; those excluded."""
    for name in exclude:
        named(table, name, "--exclude")
    for name in categorical:
        named(table, name, "--categorical")
    table = table.reading(dict.fromkeys(categorical, "text"))
    inputs = [column for column in table.columns if column.name not in exclude]
    excluded = [column for column in table.columns if column.name in exclude]
    return table, inputs, excluded


def _countable(columns: Sequence[TableColumn], settings: Settings) -> list[TableColumn]:
    return [one for one in columns if one.type != "other" or one.name in settings.categorical]


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
