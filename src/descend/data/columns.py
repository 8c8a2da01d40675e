"""What was learned about a table: records, and nothing that reads data.

A Schema is made from the training rows alone and travels inside the model file as JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

Label = str | int | float | bool
"""A class as the user wrote it."""


@dataclass(frozen=True)
class NumberColumn:
    """A column that becomes one standardised number, and an indicator where values are missing.

    Attributes:
        name: of the column.
        type: what the table held (`number`).
        missing: missing values in the training rows; above 0 the indicator exists.
        distinct: distinct values in the training rows, estimated.
        mean: of the training rows; a missing value becomes the mean.
        deviation: standard deviation of the training rows, above 0.
        minimum: smallest value of the training rows.
        maximum: largest value of the training rows.
    """

    kind: ClassVar[str] = "number"
    name: str
    type: str
    missing: int
    distinct: int
    mean: float
    deviation: float
    minimum: float
    maximum: float


@dataclass(frozen=True)
class CategoryColumn:
    """A column that becomes a code: 0 for a value hardly ever or never seen in training, then
    one for "missing" where that occurs in training, then `values` in turn.

    Attributes:
        name: of the column.
        type: what the table held (`text`, `boolean`, `number`).
        missing: missing values in the training rows.
        distinct: distinct values in the training rows.
        values: the values with a code of their own, as text, by falling count, then by value.
        counts: how often each was seen in the training rows.
    """

    kind: ClassVar[str] = "category"
    name: str
    type: str
    missing: int
    distinct: int
    values: tuple[str, ...]
    counts: tuple[int, ...]

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
        type: what the table held (`date`, `datetime`, `time`, or `text` that parses as one).
        missing: missing values in the training rows; above 0 an indicator exists.
        distinct: distinct values in the training rows, estimated.
        pattern: the strptime pattern of text that is not ISO 8601, else None.
        minimum: the earliest training value, microseconds since 1970 (or since midnight).
        maximum: the latest one.
        parts: the numbers it becomes; parts that are constant in training are not among them.
    """

    kind: ClassVar[str] = "datetime"
    name: str
    type: str
    missing: int
    distinct: int
    pattern: str | None
    minimum: int
    maximum: int
    parts: tuple[DatetimePart, ...]


@dataclass(frozen=True)
class LeftOutColumn:
    """A column that is not used, and why.

    Attributes:
        name: of the column.
        type: what the table held.
        missing: missing values in the training rows.
        distinct: distinct values in the training rows, estimated.
        reason: why it is left out, as words that end "left out: ...".
    """

    kind: ClassVar[str] = "left out"
    name: str
    type: str
    missing: int
    distinct: int
    reason: str


Column = NumberColumn | CategoryColumn | DatetimeColumn | LeftOutColumn


@dataclass(frozen=True)
class RegressionTarget:
    """The numbers to predict.

    Attributes:
        names: the columns, one or several.
        mean: of each, over the training rows.
        deviation: standard deviation of each, above 0.
        minimum: of each.
        maximum: of each.
        standardised: whether the model learns (y - mean) / deviation; Poisson learns y itself.
    """

    task: ClassVar[str] = "regression"
    names: tuple[str, ...]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    minimum: tuple[float, ...]
    maximum: tuple[float, ...]
    standardised: bool = True


@dataclass(frozen=True)
class ClassificationTarget:
    """The classes to predict.

    Attributes:
        names: the one column.
        labels: the classes in sorted order, as the user wrote them; class code i is labels[i].
            Whole numbers are int, however they were stored.
        counts: training rows of each.
    """

    task: ClassVar[str] = "classification"
    names: tuple[str, ...]
    labels: tuple[Label, ...]
    counts: tuple[int, ...]


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
        columns: every column of the table but target and weight, in the table's order.
        target: what is predicted.
        task_reason: a sentence, why it is regression or classification.
        weight: the column of row weights, or None.
        rows: how many rows were used and skipped.
        warnings: sentences the user should see before training.
    """

    columns: tuple[Column, ...]
    target: Target
    task_reason: str
    weight: str | None
    rows: RowCounts
    warnings: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """`regression` or `classification`."""
        return self.target.task

    def as_json(self) -> dict[str, Any]:
        """The schema as values that JSON holds; `schema_from_json` reads them back."""
        raise NotImplementedError


def schema_from_json(record: Mapping[str, Any]) -> Schema:
    """Read back what `Schema.as_json` wrote.

    Raises:
        FileFormatError: something is absent, of another type, or impossible.
    """
    raise NotImplementedError
