"""The target: whether it is regression or classification, and its mean or classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from descend.choices import CLASS_LOSSES, OWN_SCALE
from descend.data.reading.expressions import class_sql, number_sql
from descend.data.reading.measured_text import split_written
from descend.data.reading.number_text import PLAINLY
from descend.data.reading.shared_groups import count_distinct
from descend.data.reading.table import MARK, Table
from descend.data.reading.table_column import TableColumn
from descend.data.reading.typed_columns import TypedColumn
from descend.data.schema.columns import ClassificationTarget, Label, RegressionTarget, Target
from descend.data.schema.exact_sums import sum_up_to
from descend.data.schema.number_survey import MOST_COUNTED
from descend.data.schema.surveys import MOST_VALUES, NumberSurvey, ValueSurvey
from descend.errors import DataError, option_text
from descend.io.units import count_text
from descend.settings import Settings

MOST_CLASSES = 20
"""Most distinct values of whole numbers that are taken for classes."""

_AS_DAYS = (
    "To estimate a time, make it a number with a query, such as date_diff('day', DATE "
    "'2000-01-01', column) AS days."
)
_DATED = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}([ T]\d{1,2}:.*)?")
_TIMES = ("date", "datetime", "time")
_ROWS_PER_CLASS = 10
_FEW_ROWS = 10
FARTHEST_TARGET = 1e50
"""Largest target: the fourth power of its errors still fits in float64."""
_INTEGER = re.compile(r"[-+]?\d+$")


def is_regression(settings: Settings, targets: Sequence[str]) -> bool:
    """Whether the settings say that the targets are numbers to be estimated."""
    by_loss = settings.task == "auto" and settings.loss not in ("auto", *CLASS_LOSSES)
    return settings.task == "regression" or by_loss or len(targets) > 1


def class_type(table: Table, typed: TypedColumn, *, asked: bool) -> TypedColumn:
    """The target column as it is read if it holds classes.

    Dates and times are classes by their text, as in CSV. Numbers with a unit are classes only
    where that is `asked` for, and have it in their text.
    If the source declares text, classes such as "10" stay text, and predictions have that type.
    CSV declares no types.
    """
    column = typed.column
    if column.type in _TIMES:
        return replace(typed, column=replace(column, type="text"))
    if column.type != "number" or not column.is_text:
        return typed
    if asked and split_written(column.written)[1]:
        return replace(typed, column=replace(column, type="text"), unit="", marks=None, strays=None)
    if table.untyped:
        return typed
    if count_distinct(table, column.sql) > 2 * MOST_CLASSES:
        return typed
    return replace(typed, column=replace(column, type="text"), marks=None, strays=None)


def choose_task(
    targets: Sequence[TableColumn], survey: Mapping[str, NumberSurvey], settings: Settings
) -> tuple[str, str]:
    """The task and the reason, as far as settings and types decide it.

    Returns:
        `regression`, `classification`, or `numbers` if the values have to be counted first; and
        a sentence.

    Raises:
        DataError: the task that was asked for does not fit the target.
    """
    names = ", ".join(repr(target.name) for target in targets)
    task, reason = settings.task, f"{option_text('task', settings.task)} was given."
    if task == "auto" and settings.loss != "auto":
        task = "classification" if settings.loss in CLASS_LOSSES else "regression"
        reason = f"{option_text('loss', settings.loss)} was given."
    odd = next((one for one in targets if one.type not in ("number", "text", "boolean")), None)
    if odd is not None and odd.type in _TIMES:
        raise DataError(f"The target {odd.name!r} holds {odd.shown_type}. {_AS_DAYS}")
    if odd is not None:
        raise DataError(
            f"The target {odd.name!r} holds {odd.shown_type}; expected numbers, text, "
            "or true and false."
        )
    words = next((one for one in targets if one.type != "number"), None)
    if words is not None and is_regression(settings, [target.name for target in targets]):
        raise DataError(
            f"The target {words.name!r} holds {words.type}; regression needs numbers. "
            f"For classification give one target, and {option_text('task', 'classification')}"
            + (
                "; labels, of which a row may have several, are columns of 0 and 1."
                if len(targets) > 1
                else "."
            )
        )
    if len(targets) > 1:
        if task == "classification":
            raise DataError(
                f"Classification has one target; found {len(targets)}: {names}. Name one of them."
            )
        return "regression", f"There are {len(targets)} targets."
    if task != "auto":
        return task, reason
    if words is not None:
        holds = words.type if words.is_text else words.sql_type.lower()
        return "classification", f"The target {names} holds {holds}."
    one = survey[targets[0].name]
    # Different whole numbers from 2^53 on may be equal in floating point.
    if may_be_classes(targets, survey) and (one.minimum < one.maximum or one.maximum >= 2**53):
        return "numbers", ""
    kind = "whole number" if one.whole else "number"
    about = "about " if one.seen > MOST_COUNTED else ""
    decimals = "" if one.whole else ", with decimals"
    return (
        "regression",
        f"The target {names} holds {about}{count_text(one.distinct, f'different {kind}')}"
        f"{decimals}.",
    )


def may_be_classes(targets: Sequence[TableColumn], survey: Mapping[str, NumberSurvey]) -> bool:
    """Whether a target of numbers may be classes, so that its values have to be counted."""
    if len(targets) != 1 or targets[0].name not in survey or split_written(targets[0].written)[1]:
        return False
    one = survey[targets[0].name]
    return one.distinct <= 3 or (one.whole and one.distinct <= 2 * MOST_CLASSES)


def learn_target(
    table: str,
    targets: Sequence[TableColumn],
    survey: Mapping[str, NumberSurvey],
    values: Mapping[str, ValueSurvey],
    settings: Settings,
    task: str,
    reason: str,
    typed: Mapping[str, TypedColumn],
) -> tuple[Target, str, list[str]]:
    """The target, why it is regression or classification, and warnings.

    Raises:
        DataError: it is constant, has one class or too many, or is negative with Poisson loss.
    """
    name = targets[0].name
    if task == "numbers":
        task, reason = _by_values(name, survey[name], values[name])
    if task == "regression":
        labels = are_labels(targets, survey, settings)
        if labels:
            reason = (
                f"There are {len(targets)} targets, all of 0 and 1: each gets its probability of "
                f"1. To estimate numbers instead, give {option_text('task', 'regression')}."
            )
        return _regression(table, targets, survey, settings, typed, labels=labels), reason, []
    target = _classification(table, targets[0], values[name], typed[name].reason)
    if settings.task == "auto" and targets[0].type == "number" and settings.loss == "auto":
        reason += f" To estimate numbers instead, give {option_text('task', 'regression')}."
    return target, reason, _class_warnings(target)


def are_labels(
    targets: Sequence[TableColumn], survey: Mapping[str, NumberSurvey], settings: Settings
) -> bool:
    """Whether several targets are labels, of which a row may have any: all hold 0 and 1."""
    if len(targets) < 2 or settings.task != "auto" or settings.loss != "auto":
        return False
    surveys = [survey[target.name] for target in targets]
    return all(one.whole and one.lowest == 0 and one.highest == 1 for one in surveys)


def _by_values(name: str, survey: NumberSurvey, values: ValueSurvey) -> tuple[str, str]:
    distinct = len([count for _, count in values.values if count])
    enough = distinct <= MOST_CLASSES and values.seen >= _ROWS_PER_CLASS * distinct
    if distinct == 2 or (survey.whole and enough):
        what = "whole numbers" if survey.whole else "numbers"
        return (
            "classification",
            f"The target {name!r} holds {what} with {count_text(distinct, 'value')}.",
        )
    counts = f"{count_text(distinct, 'value')} in {count_text(values.seen, 'row')}"
    why = f"The target {name!r} holds numbers with {counts}."
    return "regression", why


def _regression(
    table: str,
    targets: Sequence[TableColumn],
    survey: Mapping[str, NumberSurvey],
    settings: Settings,
    typed: Mapping[str, TypedColumn],
    *,
    labels: bool,
) -> RegressionTarget:
    for target in targets:
        one, strays = survey[target.name], typed[target.name].strays
        if strays is not None and strays.count > one.seen:
            raise DataError(
                f"{table}: most cells of the target {target.name!r} are not numbers ({strays}); "
                "regression needs numbers. For classes give "
                f"{option_text('task', 'classification')}."
            )
        if one.minimum == one.maximum:
            raise DataError(
                f"{table}: the target {target.name!r} is constant ({one.minimum:g}) in the "
                "training rows; there is nothing to learn."
            )
        largest = max(abs(one.minimum), abs(one.maximum))
        if largest > FARTHEST_TARGET or not one.deviation < float("inf"):
            raise DataError(
                f"{table}: the target {target.name!r} has values as large as {largest:g}; expected "
                f"at most {FARTHEST_TARGET:g}. Divide it by a constant."
            )
        if one.deviation < 1 / FARTHEST_TARGET:
            raise DataError(
                f"{table}: the values of the target {target.name!r} differ by at most "
                f"{one.maximum - one.minimum:g}; expected a deviation of at least "
                f"{1 / FARTHEST_TARGET:g}. Multiply it by a constant."
            )
        if settings.loss == "poisson" and one.lowest < 0:
            raise DataError(
                f"{table}: the target {target.name!r} has values below 0 ({one.lowest:g}); "
                f"{option_text('loss', 'poisson')} needs counts of 0 or more."
            )
        if settings.loss == "binary_cross_entropy" and not (one.lowest >= 0 and one.highest <= 1):
            raise DataError(
                f"{table}: the target {target.name!r} has values from {one.lowest:g} to "
                f"{one.highest:g}; {option_text('loss', 'binary_cross_entropy')} needs 0 or 1, "
                "or shares between them."
            )
    surveys = [survey[target.name] for target in targets]
    return RegressionTarget(
        names=tuple(target.name for target in targets),
        mean=tuple(one.mean for one in surveys),
        deviation=tuple(one.deviation for one in surveys),
        minimum=tuple(one.minimum for one in surveys),
        maximum=tuple(one.maximum for one in surveys),
        standardised=settings.loss not in OWN_SCALE and not labels,
        strays=sum(cells.count for cells in (typed[one.name].strays for one in targets) if cells),
        written=tuple(one.written if one.is_text else PLAINLY for one in targets),
        counts=tuple(one.whole and one.lowest >= 0 for one in surveys),
        units=tuple(typed[one.name].unit for one in targets),
    )


def _classification(
    table: str, column: TableColumn, values: ValueSurvey, cells: str
) -> ClassificationTarget:
    name, kind = column.name, column.type
    seen = [value for value, count in values.values if count]
    if len(seen) < 2:
        raise DataError(
            f"{table}: the target {name!r} has only one class in the training rows "
            f"({seen[0] if seen else 'none'}); expected at least two."
        )
    if values.distinct >= MOST_VALUES or values.distinct > max(20, 0.5 * values.seen):
        raise DataError(
            f"{table}: the target {name!r} has {values.distinct:,} distinct values in "
            f"{values.seen:,} rows; expected classes that repeat. "
            + (_AS_DAYS if all(map(_DATED.fullmatch, seen)) else _as_numbers(column, cells))
        )
    return classes_of(name, kind, dict(values.values))


def _as_numbers(column: TableColumn, cells: str) -> str:
    """What to type if the target is meant as numbers."""
    if column.type == "number":
        return f"For numbers give {option_text('task', 'regression')}."
    if not cells:
        return "Numbers were not found in it; exclude it, or name another target."
    return (
        f"In it, {cells}; with {option_text('task', 'regression')} rows without a "
        "number are left out, and reported."
    )


def classes_of(name: str, kind: str, counts: Mapping[str, int]) -> ClassificationTarget:
    """The classes in sorted order.

    Args:
        name: of the column.
        kind: what the column holds: `number`, `text` or `boolean`.
        counts: how often each value, as text, was seen in the training rows.
    """
    labels: dict[Any, int] = {read_label(text, kind): count for text, count in counts.items()}
    ordered = sorted(labels.items(), key=_first)
    return ClassificationTarget(
        names=(name,),
        type=kind,
        labels=tuple(label for label, _ in ordered),
        counts=tuple(count for _, count in ordered),
    )


def weighted_classes(
    table: Table,
    column: TableColumn,
    weight: TableColumn | None,
    target: ClassificationTarget,
) -> ClassificationTarget:
    """The target with the summed weight of each class, relative to the largest weight."""
    if weight is None:
        return target
    values = f"SELECT {class_sql(column)} AS label, {number_sql(weight)} AS w FROM {table.rows}"
    values += f" WHERE {MARK}"
    found = table.merged(f"SELECT max(w) AS w FROM ({values})", "SELECT max(w) AS w FROM parts")
    largest = found.to_pylist()[0]["w"]
    exact = sum_up_to(1.0)
    shares = exact.sql(f"w / '{largest!r}'::DOUBLE")
    rows = table.joined(
        f"SELECT label, ({shares})::VARCHAR AS w FROM ({values}) GROUP BY label"
    ).to_pylist()
    sums: dict[Label | None, int] = {}
    for row in rows:
        label = read_label(row["label"], target.type)
        sums[label] = sums.get(label, 0) + int(row["w"] or 0)
    return replace(
        target, weights=tuple(exact.value(sums.get(label, 0)) for label in target.labels)
    )


def read_label(text: str, kind: str) -> Label | None:
    """The class that a text stands for; None if it cannot be of that kind."""
    if kind == "text":
        return text
    if kind == "boolean":
        return {"true": True, "false": False}.get(text.lower())
    if _INTEGER.match(text):
        return int(text)
    try:
        number = float(text)
    except ValueError:
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _first(pair: tuple[Any, int]) -> Any:
    return pair[0]


def _class_warnings(target: ClassificationTarget) -> list[str]:
    warnings = []
    for label, count in zip(target.labels, target.counts, strict=True):
        if count < _FEW_ROWS:
            rows = count_text(count, "row") if count else "no row"
            warnings.append(f"Class {label!r} has {rows} in the training rows: hard to learn.")
    if len(warnings) > 5:
        more = len(warnings) - 4
        warnings = [*warnings[:4], f"{more} more classes have fewer than {_FEW_ROWS} rows."]
    return [*warnings, *_alike_warnings(target)]


def _alike_warnings(target: ClassificationTarget) -> list[str]:
    """A sentence for classes that differ only in letter case, spaces or the form of accents."""
    groups: dict[str, list[str]] = {}
    for label in target.labels:
        if isinstance(label, str):
            letters = unicodedata.normalize("NFC", label).casefold()
            groups.setdefault("".join(letters.split()), []).append(label)
    alike = [group for group in groups.values() if len(group) > 1]
    return [
        f"The classes {' and '.join(map(repr, group))} of the target {target.names[0]!r} differ "
        "only in letter case, spaces or the Unicode form of accents, and are different classes. "
        "If they are one, write them alike."
        for group in alike[:5]
    ]
