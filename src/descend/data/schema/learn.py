"""Learn what each column is from the training rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from descend.choices import CLASS_LOSSES
from descend.data.reading.errors import UnreadableCellError, closest
from descend.data.reading.staging import as_text
from descend.data.reading.table import Table
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_labels import Seen
from descend.data.reading.text_types import find_types, survey_text
from descend.data.reading.typed_columns import TextRules, TypedColumn
from descend.data.schema.class_spellings import as_written
from descend.data.schema.column_records import Surveys, kept_when_asked, learn_columns
from descend.data.schema.columns import (
    ClassificationTarget,
    Column,
    LeftOutColumn,
    Schema,
    schema_from_json,
)
from descend.data.schema.describe import ColumnDescription, describe
from descend.data.schema.entities import repeated_entities
from descend.data.schema.hints import class_notes, column_hints, text_notes, text_warnings
from descend.data.schema.leakage import leaking_columns
from descend.data.schema.number_survey import counts_of, raise_infinite, survey_numbers
from descend.data.schema.odd_values import far_inputs, far_targets
from descend.data.schema.quantiles import with_quantiles
from descend.data.schema.roles import (
    check_numeric_weight,
    check_roles,
    check_weight,
    count_rows,
    find_column,
    target_names,
)
from descend.data.schema.row_order import rows_in_time
from descend.data.schema.surveys import Selection
from descend.data.schema.targets import (
    choose_task,
    class_type,
    is_regression,
    learn_target,
    may_be_classes,
    weighted_classes,
)
from descend.data.schema.value_survey import survey_values
from descend.errors import DataError, option_text
from descend.io.units import percent_text
from descend.settings import Settings

__all__ = [
    "ColumnDescription",
    "Schema",
    "describe",
    "inspect_columns",
    "learn_schema",
    "schema_from_json",
]


def learn_schema(table: Table, settings: Settings, *, validation: Table | None = None) -> Schema:
    """Learn the schema from the training rows alone.

    Training rows have every target and a weight above 0, and are not held out. The validation
    rows are those of `validation` if it is given, else the fraction
    `settings.validation` chosen by `split.is_validation`.

    Args:
        table: the rows to train on.
        settings: target, task, exclude, categorical, numeric, datetime, missing, date_order,
            decimal, weight, validation, seed, loss.
        validation: a separate table of validation rows, or None.

    Raises:
        DataError: the table cannot be learned from; the message says what to change.
    """
    names = target_names(table, settings)
    for name in names:
        _check_readable(find_column(table, name, "the target"), "the target")
    if settings.weight:
        find_column(table, settings.weight, option_text("weight"))
    check_roles(names, settings)
    if table.untyped:
        # Read as text, 001 stays 001, and no digit of a large number is lost.
        table = table.reading(dict.fromkeys(names, "text"))
    while True:
        try:
            return _learn(_read(table, settings, names), names, validation)
        except UnreadableCellError as error:
            table = as_text(table, error)


class _Read(NamedTuple):
    """A table whose columns have been typed by what their text stands for.

    Attributes:
        table: with columns of CSV files as text where that is needed.
        typed: the columns that are used, by name.
        excluded: the others.
        settings: with the columns that the table declares as categories.
        notes: sentences on those.
    """

    table: Table
    typed: dict[str, TypedColumn]
    excluded: list[TableColumn]
    settings: Settings
    notes: tuple[str, ...] = ()


def _read(
    table: Table,
    settings: Settings,
    targets: Sequence[str],
    surveyed: Mapping[str, Seen] | None = None,
) -> _Read:
    for option in ("exclude", "categorical", "numeric", "datetime"):
        for name in getattr(settings, option):
            column = find_column(table, name, option_text(option))
            if option != "exclude":
                _check_readable(column, option_text(option))
    _check_missing(table, settings)
    table = table.reading(dict.fromkeys(settings.categorical, "text"))
    rules = text_rules(settings, targets)
    used = [one for one in table.columns if one.name not in settings.exclude or one.name in targets]
    names = {one.name for one in used}
    excluded = [one for one in table.columns if one.name not in names]
    if surveyed is None:
        surveyed = survey_text(table, used, rules)
    typed = find_types(table, used, rules, surveyed)
    for name in rules.labels:
        asked = settings.task == "classification" or settings.loss in CLASS_LOSSES
        typed[name] = class_type(table, typed[name], asked=asked)
    decided = {*targets, settings.weight, *settings.numeric, *settings.datetime}
    decided |= {*settings.categorical}
    declared = [
        name
        for name, one in typed.items()
        if one.column.type == "number" and name in table.categorical and name not in decided
    ]
    if not declared:
        return _Read(table, typed, excluded, settings)
    wider = replace(settings, categorical=(*settings.categorical, *declared))
    found = _read(table, wider, targets, surveyed)
    notes = tuple(
        f"The numbers of the column {name!r} are categories, as {table.name} declares it to be "
        f"categorical; {option_text('numeric', [name])} reads them as numbers."
        for name in declared
    )
    return found._replace(notes=notes)


def _check_missing(table: Table, settings: Settings) -> None:
    """Raise DataError where `tmep=-999` is meant for a column, and none has this name."""
    names = [one.name for one in table.columns]
    for text in settings.missing:
        column, equals, value = text.partition("=")
        starts = any(text.startswith(f"{name}=") for name in names)
        near = closest(column, names) if equals and not starts else ""
        if near:
            raise DataError(
                f"{table.name} has no column {column!r}, for which "
                f"{option_text('missing', [text])} gives {value!r} as missing.{near}"
            )


def _check_readable(column: TableColumn, role: str) -> None:
    if column.type == "other":
        dates = "" if role == "the target" else " dates,"
        raise DataError(
            f"{role[0].upper()}{role[1:]} {column.name!r} holds {column.sql_type}; expected "
            f"numbers, text,{dates} or true and false."
        )


def text_rules(settings: Settings, targets: Sequence[str]) -> TextRules:
    """How text is read, according to the settings."""
    numbers = is_regression(settings, targets)
    return TextRules(
        numeric=(*settings.numeric, *settings.datetime),
        counted=settings.datetime,
        wanted=(
            *([settings.weight] if settings.weight else []),
            *(targets if numbers else []),
        ),
        categorical=settings.categorical,
        labels=() if numbers else targets,
        missing=settings.missing,
        decimal={"point": ".", "comma": ","}.get(settings.decimal),
    )


def _learn(read: _Read, names: Sequence[str], validation: Table | None) -> Schema:
    settings = read.settings
    columns = {name: typed.column for name, typed in read.typed.items()}
    targets = [columns[name] for name in names]
    weight = columns[settings.weight] if settings.weight else None
    check_numeric_weight(read.table, weight)
    elsewhere = [*names, *([settings.weight] if settings.weight else [])]
    inputs = [column for name, column in columns.items() if name not in elsewhere]
    fraction = settings.validation if isinstance(settings.validation, float) else None
    if validation is not None:
        fraction = None
    rows = Selection(tuple(targets), weight, fraction, settings.seed)
    with read.table.marked(rows.training) as marked, marked.in_row_order():
        return _schema(read._replace(table=marked), settings, inputs, rows, validation)


def _schema(
    read: _Read,
    settings: Settings,
    inputs: Sequence[TableColumn],
    rows: Selection,
    validation: Table | None,
) -> Schema:
    """The schema of a table with its training rows marked."""
    table, targets = read.table, rows.targets
    numbers = _numbers(inputs, settings.categorical)
    numeric_targets = [target for target in targets if target.type == "number"]
    asked = [*numbers, *numeric_targets, *([rows.weight] if rows.weight else [])]
    survey = survey_numbers(table, asked, weighted=targets, weight=rows.weight)
    counts = counts_of(table, rows)
    check_weight(table, rows.weight, survey)
    for column in asked:
        if survey[column.name].infinite:
            raise_infinite(table, column, needed=column in (*targets, rows.weight))
    row_counts = count_rows(table, targets, settings, counts, rows, validation)

    task, reason = choose_task(targets, survey, settings)
    labels = targets if task == "classification" or may_be_classes(targets, survey) else []
    of_numbers = {one.name for one in numbers}
    others = [one for one in inputs if one.name not in of_numbers or one.name in settings.datetime]
    values = survey_values(table, [*_countable(others, settings), *labels], rows, settings)
    target, task_reason, warnings = learn_target(
        table.name, targets, survey, values, settings, task, reason, read.typed
    )
    if isinstance(target, ClassificationTarget):
        column, target = as_written(table, targets[0], target)
        target = weighted_classes(table, column, rows.weight, target)
        warnings += class_notes(targets[0].name, target.labels)
    elif settings.quantiles:
        target = with_quantiles(table, targets, rows.weight, target, settings.quantiles)
    training = row_counts.training
    surveys = Surveys(survey, values, read.typed, training)
    learned = learn_columns([*inputs, *read.excluded], surveys, settings)
    columns = _in_table_order(table, learned)
    if all(isinstance(column, LeftOutColumn) for column in columns):
        raise DataError(_nothing_left_text(table, columns, surveys))
    kinds = {column.name: column.kind for column in columns}
    warnings += text_warnings(read.typed, kinds, [target.name for target in targets])
    leaks = leaking_columns(
        table,
        [one for one in inputs if kinds[one.name] == "number"],
        [one for one in inputs if kinds[one.name] == "category"],
        rows,
        classes=target.task == "classification",
        training_rows=training,
    )
    warnings += [leak.text for leak in leaks]
    warnings += _missing_warnings(columns, training)
    warnings += column_hints(table, columns, surveys)
    warnings += repeated_entities(table, inputs, survey, values, rows, settings)
    warnings += rows_in_time(table, columns, rows, row_counts.total, settings)
    warnings += far_inputs(table, _kept_numbers(numbers, kinds), survey, rows)
    if target.task == "regression":
        warnings += far_targets(table, targets, rows)
    return Schema(
        columns=columns,
        target=target,
        task_reason=task_reason,
        weight=settings.weight,
        rows=row_counts,
        warnings=tuple(warnings),
        leaking=tuple(leak.column for leak in leaks),
        missing=settings.missing,
        notes=(
            *read.notes,
            *text_notes(
                read.typed, kinds, [target.name for target in targets], settings.categorical
            ),
        ),
    )


class Inspected(NamedTuple):
    """What each column of a table would become.

    Attributes:
        columns: in the order of the table.
        warnings: sentences the user should see.
        notes: sentences on how columns are read.
    """

    columns: tuple[Column, ...]
    warnings: tuple[str, ...]
    notes: tuple[str, ...]


def inspect_columns(table: Table, settings: Settings | None = None) -> Inspected:
    """What each column would become, learned from all rows, without a target.

    Args:
        table: any.
        settings: exclude, categorical, numeric, datetime, missing, date_order and decimal.

    Raises:
        DataError: a column that is named does not exist, or holds an infinite number.
    """
    settings = settings or Settings(target="none")
    while True:
        try:
            return _inspect(_read(table, settings, ()))
        except UnreadableCellError as error:
            table = as_text(table, error)


def _inspect(read: _Read) -> Inspected:
    settings = read.settings
    rows = Selection()
    inputs = [typed.column for typed in read.typed.values()]
    numbers = _numbers(inputs, settings.categorical)
    of_numbers = {one.name for one in numbers}
    others = [one for one in inputs if one.name not in of_numbers or one.name in settings.datetime]
    with read.table.marked(rows.training) as marked, marked.in_row_order():
        survey = survey_numbers(marked, numbers)
        for column in numbers:
            if survey[column.name].infinite:
                raise_infinite(marked, column, needed=False)
        values = survey_values(marked, _countable(others, settings), rows, settings)
        training = counts_of(marked, rows)["training"]
        surveys = Surveys(survey, values, read.typed, training)
        learned = learn_columns([*inputs, *read.excluded], surveys, settings)
        columns = _in_table_order(read.table, learned)
        kinds = {column.name: column.kind for column in columns}
        hints = column_hints(marked, columns, surveys)
        hints += far_inputs(marked, _kept_numbers(numbers, kinds), survey, rows)
    warnings = [*text_warnings(read.typed, kinds, ()), *hints]
    notes = (*read.notes, *text_notes(read.typed, kinds, (), settings.categorical))
    return Inspected(columns, tuple(warnings), notes)


def _numbers(columns: Sequence[TableColumn], categorical: Sequence[str]) -> list[TableColumn]:
    return [one for one in columns if one.type == "number" and one.name not in categorical]


def _kept_numbers(columns: Sequence[TableColumn], kinds: Mapping[str, str]) -> list[TableColumn]:
    """The columns that a model gets as numbers."""
    return [one for one in columns if kinds[one.name] == "number"]


def _countable(columns: Sequence[TableColumn], settings: Settings) -> list[TableColumn]:
    return [one for one in columns if one.type != "other" or one.name in settings.categorical]


def _in_table_order(table: Table, columns: Sequence[Column]) -> tuple[Column, ...]:
    place = {column.name: number for number, column in enumerate(table.columns)}
    return tuple(sorted(columns, key=lambda column: place[column.name]))


def _nothing_left_text(table: Table, columns: Sequence[Column], surveys: Surveys) -> str:
    if not columns:
        return (
            f"{table.name} has no column besides the target; expected at least one to learn from."
        )
    reasons = "; ".join(
        f"{column.name} ({column.reason})"
        for column in columns[:10]
        if isinstance(column, LeftOutColumn)
    )
    numeric, categorical = kept_when_asked([column.name for column in columns], surveys)
    offers = [
        f"{option_text(option, names[:3])} takes {'it' if len(names) == 1 else 'them'} as {kind}"
        for option, names, kind in (
            ("numeric", numeric, "numbers"),
            ("categorical", categorical, "categories"),
        )
        if names
    ]
    offer = ", ".join(offers) or "Expected a column of numbers, dates or repeated texts that differ"
    return f"{table.name}: no column is left to learn from. Left out: {reasons}. {offer}."


def _missing_warnings(columns: Sequence[Column], training: int) -> list[str]:
    return [
        f"Column {column.name!r} is missing in {percent_text(column.missing / training)} of the "
        "rows."
        for column in columns
        if not isinstance(column, LeftOutColumn) and column.missing > 0.5 * training
    ]
