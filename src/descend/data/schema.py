"""Learn what each column is from the training rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from descend.data.columns import Column, Schema, schema_from_json
from descend.data.table import Table
from descend.settings import Settings

__all__ = [
    "ColumnDescription",
    "Schema",
    "describe",
    "inspect_columns",
    "learn_schema",
    "schema_from_arrays",
    "schema_from_json",
]


def learn_schema(table: Table, settings: Settings, *, validation: Table | None = None) -> Schema:
    """Learn the schema from the training rows alone.

    Training rows have every target, a weight above 0, and are not kept for validation. The
    validation rows are those of `validation` where it is given, else the fraction
    `settings.validation` chosen by `split.is_validation`.

    Raises:
        DataError: the table cannot be learned from; the message says what to change.
    """
    raise NotImplementedError


def inspect_columns(
    table: Table, *, exclude: Sequence[str] = (), categorical: Sequence[str] = ()
) -> tuple[Column, ...]:
    """What each column would become, learned from all rows, where no target is known."""
    raise NotImplementedError


def schema_from_arrays(
    X: NDArray[np.floating],
    y: NDArray[np.generic],
    settings: Settings,
    *,
    feature_names: Sequence[str] | None = None,
    weight: NDArray[np.floating] | None = None,
) -> Schema:
    """The schema of a 2-D array of numbers, without DuckDB.

    Args:
        X: `[rows, columns]`; NaN is missing.
        y: `[rows]` or `[rows, targets]`.
        settings: as for `learn_schema`.
        feature_names: of the columns of X; else `x0`, `x1`, ...
        weight: `[rows]`, or None.
    """
    raise NotImplementedError


@dataclass(frozen=True)
class ColumnDescription:
    """A line of `descend inspect`.

    Attributes:
        name: of the column.
        type: what the table held.
        becomes: `number`, `category`, `datetime` or `left out`, with a size where it has one.
        missing: missing values in the training rows.
        distinct: distinct values in the training rows.
        values: the range of numbers and times, the commonest values of categories.
        remark: why it is left out, or what to know about it.
    """

    name: str
    type: str
    becomes: str
    missing: int
    distinct: int
    values: str
    remark: str


def describe(columns: Schema | Sequence[Column]) -> list[ColumnDescription]:
    """A line for each column, for `descend inspect`."""
    raise NotImplementedError
