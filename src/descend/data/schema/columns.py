"""The records of a schema: what was learned about each column and the target.

A Schema is made from the training rows alone and travels inside the model file as JSON.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from descend.data.reading.number_text import PLAINLY
from descend.data.schema.dates import PARTS
from descend.errors import FileFormatError
from descend.io.json_records import read_as, read_fields
from descend.io.older_records import leaking_in

Label = str | int | float | bool
"""A class label as the user wrote it."""


@dataclass(frozen=True)
class NumberColumn:
    """A column that becomes one standardised number, and an indicator where values are missing.

    Attributes:
        name: of the column.
        type: of the column in the table (`number`).
        missing: missing values in the training rows; if above 0, there is an indicator.
        distinct: distinct values in the training rows, estimated; None where not counted.
        mean: of the training rows; a missing value becomes the mean.
        deviation: standard deviation of the training rows, above 0.
        minimum: smallest value of the training rows.
        maximum: largest value of the training rows.
        written: how numbers are written, if they are text (`number_text`).
        strays: cells that are neither a number nor a text for missing; they count as missing.
        note: a remark on how it is read.
        unit: of its values, as the per cent sign, a currency, `kg` or `durations`, or empty.
        whole: whether all values of the training rows are whole numbers; None if unknown.
    """

    kind: ClassVar[str] = "number"
    name: str
    type: str
    missing: int
    distinct: int | None
    mean: float
    deviation: float
    minimum: float
    maximum: float
    written: str = PLAINLY
    strays: int = 0
    note: str = ""
    unit: str = ""
    whole: bool | None = None


@dataclass(frozen=True)
class CategoryColumn:
    """A column that becomes a code.

    Code 0 is any value never or hardly ever seen in training; then comes a code for "missing",
    if training has missing values; then `values` in order.

    Attributes:
        name: of the column.
        type: of the column in the table (`text`, `boolean`, `number`).
        missing: missing values in the training rows.
        distinct: distinct values in the training rows.
        values: the values with their own code, as text, by descending count, then by value.
        counts: how often each was seen in the training rows.
        note: a remark on how it is read.
    """

    kind: ClassVar[str] = "category"
    name: str
    type: str
    missing: int
    distinct: int | None
    values: tuple[str, ...]
    counts: tuple[int, ...]
    note: str = ""

    @property
    def size(self) -> int:
        """How many codes there are."""
        return 1 + (self.missing > 0) + len(self.values)


@dataclass(frozen=True)
class DatetimePart:
    """One number made from a date or time: its name, and its mean and deviation in training."""

    name: str
    mean: float
    deviation: float


@dataclass(frozen=True)
class DatetimeColumn:
    """A column of dates, times or both, which becomes several standardised numbers.

    Attributes:
        name: of the column.
        type: of the column in the table (`date`, `datetime`, `time`, or `text` that parses as
            one).
        missing: missing values in the training rows; if above 0, there is an indicator.
        distinct: distinct values in the training rows, estimated; None where not counted.
        pattern: None for dates and ISO 8601 text, `time` for times of day, `quarter`, `half`,
            `week`, `worded` for dates with the name of a month in several languages, the strptime
            pattern of other text, or how numbers are times (`times.NUMBER_PATTERNS`).
        minimum: the earliest training value, microseconds since 1970 (or midnight).
        maximum: the latest one.
        parts: the numbers it becomes, without those that are constant in training.
        strays: cells that are neither a time nor a text for missing; they count as missing.
        note: a remark on how it is read.
        zoned: whether its times have an offset from UTC; None for dates alone, and if unknown.
        american: whether the names of several time zones are those of North America (EST, CST).
    """

    kind: ClassVar[str] = "datetime"
    name: str
    type: str
    missing: int
    distinct: int | None
    pattern: str | None
    minimum: int
    maximum: int
    parts: tuple[DatetimePart, ...]
    strays: int = 0
    note: str = ""
    zoned: bool | None = None
    american: bool = False


@dataclass(frozen=True)
class LeftOutColumn:
    """A column that is not used, and why.

    Attributes:
        name: of the column.
        type: of the column in the table.
        missing: missing values in the training rows.
        distinct: distinct values in the training rows, estimated; None where not counted.
        reason: why it is left out; completes "left out: ...".
    """

    kind: ClassVar[str] = "left out"
    name: str
    type: str
    missing: int
    distinct: int | None
    reason: str


Column = NumberColumn | CategoryColumn | DatetimeColumn | LeftOutColumn


@dataclass(frozen=True)
class RegressionTarget:
    """The numbers to predict.

    Attributes:
        names: the columns, one or several.
        mean: of each, over the training rows, by their weights.
        deviation: standard deviation of each, by the weights, above 0.
        minimum: of each.
        maximum: of each.
        standardised: whether the model learns (y - mean) / deviation; Poisson learns y itself.
        strays: rows that were skipped because a target is neither a number nor a text for
            missing.
        written: how the numbers of each are written, if they are text.
        counts: of each, whether its values are whole numbers, 0 or more; empty if unknown.
        quantiles: of each, over the training rows by their weights, at the levels of the loss
            `quantile`; empty under other losses.
        units: of each, as its text has it; empty if unknown.
    """

    task: ClassVar[str] = "regression"
    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    standardised: bool = True
    strays: int = 0
    written: tuple[str, ...] = ()
    counts: tuple[bool, ...] = ()
    quantiles: tuple[tuple[float, ...], ...] = ()
    units: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClassificationTarget:
    """The classes to predict.

    Attributes:
        names: the one column.
        type: what the column held: `number`, `text` or `boolean`.
        labels: the classes in sorted order, as the user wrote them; class code i is labels[i].
            Whole numbers are int, however they were stored.
        counts: training rows of each; 0 for a class that only validation rows have.
        weights: summed weight of the training rows of each; empty where rows have no weights.
    """

    task: ClassVar[str] = "classification"
    names: tuple[str, ...]
    type: str
    labels: tuple[Label, ...]
    counts: tuple[int, ...]
    weights: tuple[float, ...] = ()

    @property
    def shares(self) -> tuple[float, ...]:
        """The share of each class among the training rows, by their weights."""
        sums = self.weights if sum(self.weights) > 0 else self.counts
        return tuple(one / sum(sums) for one in sums)


Target = RegressionTarget | ClassificationTarget


@dataclass(frozen=True)
class RowCounts:
    """What happened to the rows of the table.

    Attributes:
        total: rows in the table.
        missing_target: skipped, since a target is missing.
        unweighted: skipped, since the weight is 0 or missing.
        training: rows learned from.
        validation: rows kept for validation (of the validation table where there is one).
    """

    total: int
    missing_target: int
    unweighted: int
    training: int
    validation: int


@dataclass(frozen=True)
class Schema:
    """What each column is, and what was learned from the training rows.

    Attributes:
        columns: every column of the table except target and weight, in order.
        target: what is predicted.
        task_reason: a sentence that says why it is regression or classification.
        weight: the column of row weights, or None.
        rows: how many rows were used and skipped.
        warnings: sentences the user should see before training.
        leaking: the columns that nearly determine the target; `warnings` has a sentence on each.
        missing: texts that stand for a missing value, as the user gave them.
        notes: sentences on how columns are read.
    """

    columns: tuple[Column, ...]
    target: Target
    task_reason: str
    weight: str | None
    rows: RowCounts
    warnings: tuple[str, ...] = ()
    leaking: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """`regression` or `classification`."""
        return self.target.task

    def as_json(self) -> dict[str, Any]:
        """The schema as values that JSON holds; `schema_from_json` reads them back."""
        parts = {
            "columns": [
                {"kind": column.kind, **dataclasses.asdict(column)} for column in self.columns
            ],
            "target": {"task": self.task, **dataclasses.asdict(self.target)},
            "rows": dataclasses.asdict(self.rows),
        }
        return {**vars(self), **parts}


def schema_from_json(record: Mapping[str, Any]) -> Schema:
    """Read back what `Schema.as_json` wrote.

    Raises:
        FileFormatError: something is missing, of another type, or impossible.
    """
    kinds: dict[str, type[Any]] = {
        kind.kind: kind for kind in (NumberColumn, CategoryColumn, DatetimeColumn, LeftOutColumn)
    }
    tasks: dict[str, type[Any]] = {
        kind.task: kind for kind in (RegressionTarget, ClassificationTarget)
    }
    try:
        parts = dict(record)
        json.dumps(
            parts, allow_nan=False
        )  # A record may come from anywhere and hold what JSON cannot.
        parts["columns"] = tuple(
            read_as(_pick(kinds, one, "kind"), one) for one in parts["columns"]
        )
        parts["target"] = read_as(_pick(tasks, parts["target"], "task"), parts["target"])
        schema = Schema(**read_fields(Schema, parts, known={"columns", "target"}))
        _check(schema)
        if "leaking" not in record:
            names = [column.name for column in schema.columns]
            schema = replace(schema, leaking=leaking_in(schema.warnings, names))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        said = error.args[0] if error.args else error
        raise FileFormatError(
            f"The schema is damaged or of another version: {said}. Train the model again."
        ) from None
    return schema


def _pick(kinds: Mapping[str, type[Any]], record: Mapping[str, Any], key: str) -> type[Any]:
    kind = record[key]
    if kind not in kinds:
        raise ValueError(f"{key} {kind!r} is unknown")
    return kinds[kind]


def _check(schema: Schema) -> None:
    """Raise ValueError where the numbers cannot be used."""
    names = [column.name for column in schema.columns] + list(schema.target.names)
    if len(set(names)) < len(names):
        raise ValueError("a column occurs twice")
    target = schema.target
    spreads: list[float] = []
    if isinstance(target, RegressionTarget):
        spreads += target.deviation
        each = (target.names, target.mean, target.deviation, target.minimum, target.maximum)
        lengths = {len(values) for values in each}
        if target.quantiles:
            lengths.add(len(target.quantiles))
            if len({len(values) for values in target.quantiles}) > 1:
                raise ValueError("the targets have not equally many quantiles")
    else:
        lengths = {len(target.labels), len(target.counts)}
        if target.weights:
            lengths.add(len(target.weights))
        if len(set(target.labels)) < 2 or len(target.names) != 1:
            raise ValueError("the classes are not at least two different ones")
        _check_labels(target.labels)
    if len(lengths) > 1 or not target.names:
        raise ValueError("the target is incomplete")
    if all(isinstance(column, LeftOutColumn) for column in schema.columns):
        raise ValueError("there is no column to predict from")
    for column in schema.columns:
        if isinstance(column, NumberColumn):
            spreads.append(column.deviation)
        elif isinstance(column, DatetimeColumn):
            spreads += [part.deviation for part in column.parts]
            if any(part.name not in PARTS for part in column.parts):
                raise ValueError(f"column {column.name!r} has an unknown part")
        elif isinstance(column, CategoryColumn) and len(column.values) != len(column.counts):
            raise ValueError(f"column {column.name!r} does not have a count for every value")
    if not all(spread > 0 for spread in spreads):
        raise ValueError("a deviation is not above 0")


def _check_labels(labels: tuple[Label, ...]) -> None:
    """Raise ValueError where the classes are not of one kind."""
    numbers = all(isinstance(label, int | float) and type(label) is not bool for label in labels)
    alike = numbers or len({type(label) for label in labels}) == 1
    if not alike or any(type(label) is int and abs(label) >= 1 << 127 for label in labels):
        raise ValueError("the classes are not all text, all numbers or all true and false")
