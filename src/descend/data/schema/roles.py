"""The target and weight columns, and which rows they leave to learn from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from descend.data.reading.errors import no_column
from descend.data.reading.expressions import written_sql
from descend.data.reading.number_text import PLAINLY
from descend.data.reading.table import ROW, Table
from descend.data.reading.table_column import TableColumn
from descend.data.reading.text_types import types_as_known
from descend.data.reading.times import cell_sql
from descend.data.reading.typed_columns import TextRules
from descend.data.schema.columns import RowCounts
from descend.data.schema.number_survey import counts_of
from descend.data.schema.surveys import NumberSurvey, Selection
from descend.errors import DataError, option_text, quoted_cell
from descend.settings import Settings


def find_column(table: Table, name: str, purpose: str) -> TableColumn:
    """The column with a name that the user gave; else a DataError that offers the nearest name."""
    column = table.column(name)
    if column is None:
        names = [one.name for one in table.columns]
        error = no_column(name, names, purpose, table.name)
        if table.untyped and len(names) == 1 and name in names[0].split():
            # A line with another number of fields keeps spaces from being found.
            spaces = option_text("delimiter", "space")
            raise DataError(f"{error} If spaces part its columns, give {spaces}.")
        raise error
    return column


def target_names(table: Table, settings: Settings) -> tuple[str, ...]:
    """The target columns; a name with a comma is one column if the table has it."""
    return (settings.target,) if table.column(settings.target) else settings.targets


def check_roles(targets: Sequence[str], settings: Settings) -> None:
    """Raise DataError if options give a target or the weight another role.

    Args:
        targets: their names.
        settings: exclude, categorical, numeric, datetime and weight.
    """
    repeated = next((name for name in targets if targets.count(name) > 1), None)
    if repeated:
        raise DataError(f"The target {repeated!r} is named twice; expected every target once.")
    weight = settings.weight
    if weight and weight in targets:
        raise DataError(f"Column {weight!r} is the target and the weight; name another.")
    for name in (*targets, *([weight] if weight else [])):
        role = "the target" if name in targets else "the weight"
        if name in settings.exclude:
            raise DataError(
                f"Column {name!r} is {role} and is excluded as well; expected only one."
            )
        options = ("categorical", "numeric", "datetime") if name in targets else ("categorical",)
        for option in options:
            if name not in getattr(settings, option):
                continue
            instead = "a column of numbers"
            if name in targets:
                classes, numbers = (
                    option_text("task", task) for task in ("classification", "regression")
                )
                instead = f"{classes} for classes, or {numbers} for numbers"
            raise DataError(
                f"Column {name!r} is {role}, and {option_text(option, [name])} is for inputs; "
                f"expected {instead}."
            )


def check_numeric_weight(table: Table, weight: TableColumn | None) -> None:
    """Raise DataError if the weight is not a number."""
    if weight is None or weight.type == "number":
        return
    holds = weight.shown_type
    if weight.is_text:
        found = table.joined(
            f"SELECT {cell_sql(weight)} AS cell FROM {table.rows} "
            f"WHERE {written_sql(weight)} "
            f"ORDER BY try_cast({weight.sql} AS DOUBLE) IS NOT NULL, {ROW} LIMIT 1"
        ).to_pylist()
        holds = f"text, such as {quoted_cell(found[0]['cell'])}" if found else "no value in any row"
    raise DataError(
        f"{table.name}: column {weight.name!r} ({option_text('weight')}) holds {holds}; expected "
        "numbers, 0 or more."
    )


def check_weight(
    table: Table, weight: TableColumn | None, survey: Mapping[str, NumberSurvey]
) -> None:
    """Raise DataError if a weight is negative."""
    if weight and survey[weight.name].lowest < 0:
        raise DataError(
            f"{table.name}, column {weight.name!r} ({option_text('weight')}): expected weights "
            "of 0 or more, "
            f"found {survey[weight.name].lowest:g}."
        )


def count_rows(
    table: Table,
    targets: Sequence[TableColumn],
    settings: Settings,
    counts: Mapping[str, int],
    rows: Selection,
    validation: Table | None,
) -> RowCounts:
    """The rows used and skipped; DataError if none are left for training or validation."""
    kept = counts["counted"] - counts["training"]
    name = ", ".join(repr(target.name) for target in targets)
    if counts["labelled"] == 0:
        raise DataError(
            f"{table.name}: the target {name} is missing in all {counts['total']} rows."
        )
    if counts["counted"] == 0:
        raise DataError(f"{table.name}: no row has a weight above 0 ({settings.weight!r}).")
    if validation is not None:
        kept = _validation_rows(validation, rows, settings.missing)
    if counts["training"] == 0 or kept == 0:
        lacking = "training" if counts["training"] == 0 else "validation"
        raise DataError(
            f"{table.name}: no rows are left for {lacking}, of {counts['counted']} with a target "
            f"at {option_text('validation', settings.validation)}. Give another fraction, or "
            "more rows."
        )
    return RowCounts(
        total=counts["total"],
        missing_target=counts["total"] - counts["labelled"],
        unweighted=counts["labelled"] - counts["counted"],
        training=counts["training"],
        validation=kept,
    )


def _validation_rows(validation: Table, rows: Selection, missing: Sequence[str]) -> int:
    for target in rows.targets:
        find_column(validation, target.name, "the target")
    weights = [rows.weight] if rows.weight else []
    for weight in weights:
        find_column(validation, weight.name, option_text("weight"))
    columns = [*rows.targets, *weights]
    table = validation.reading({column.name: "text" for column in columns})
    kinds = {one.name: "number" if one.type == "number" else "text" for one in columns}
    labels = [name for name, kind in kinds.items() if kind == "text"]
    written = {one.name: one.written if one.is_text else PLAINLY for one in columns}
    rules = TextRules(labels=labels, missing=missing)
    typed = types_as_known(table, kinds, rules, written)
    found = {name: one.column for name, one in typed.items()}
    targets = tuple(
        replace(found[one.name], type=one.type) if found[one.name].is_text else found[one.name]
        for one in rows.targets
    )
    selection = Selection(targets, found[rows.weight.name] if rows.weight else None)
    with table.marked(selection.training) as marked:
        return counts_of(marked, selection)["training"]
