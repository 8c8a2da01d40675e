"""The schema of a 2-D array of numbers, without DuckDB."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.data.columns.column import (
    ClassificationTarget,
    Column,
    LeftOutColumn,
    NumberColumn,
    RegressionTarget,
    RowCounts,
    Schema,
)
from descend.data.columns.split import is_validation
from descend.data.columns.survey import NumberSurvey, ValueSurvey
from descend.data.columns.targets import choose_task, learn_target
from descend.data.reading.table_column import TableColumn
from descend.errors import DataError
from descend.settings import Settings

_CHUNK = 4096


def schema_from_arrays(
    X: NDArray[Any],
    y: NDArray[Any],
    settings: Settings,
    *,
    feature_names: Sequence[str] | None = None,
    weight: NDArray[Any] | None = None,
    training: NDArray[np.bool_] | None = None,
) -> Schema:
    """The schema that `learn_schema` would give for numbers, in milliseconds.

    Every column is a number, whatever its values; constant and empty ones are left out.

    Args:
        X: `[rows, columns]` of numbers; NaN is missing.
        y: `[rows]` or `[rows, targets]`; numbers, text or bools. NaN is missing.
        settings: task, loss, validation and seed are used.
        feature_names: of the columns of X; else `x0`, `x1`, ...
        weight: `[rows]`, or None.
        training: rows to learn from; else those that `settings.validation` leaves.

    Raises:
        DataError: the arrays do not fit each other, or cannot be learned from.
    """
    X, y = np.asarray(X), np.asarray(y)
    if X.ndim != 2 or X.dtype.kind not in "fiub":
        raise DataError(
            f"Expected X as a 2-D array of numbers, found {X.dtype} of shape {X.shape}."
        )
    if y.ndim not in (1, 2) or len(y) != len(X):
        raise DataError(f"Expected y with {len(X)} rows, as X has, found the shape {y.shape}.")
    targets = y.reshape(len(y), -1)
    labelled = ~_absent(targets).any(axis=1)
    weighted = labelled if weight is None else labelled & _weighted(np.asarray(weight), len(X))
    if training is None and isinstance(settings.validation, float):
        training = ~is_validation(np.arange(len(X)), settings.validation, settings.seed)
    used = np.asarray(weighted if training is None else weighted & training)
    rows = RowCounts(
        total=len(X),
        missing_target=int(len(X) - labelled.sum()),
        unweighted=int(labelled.sum() - weighted.sum()),
        training=int(used.sum()),
        validation=int(weighted.sum() - used.sum()),
    )
    if rows.training == 0:
        raise DataError(f"No rows are left for training, of {len(X)}.")
    target, reason, warnings = _learn_target(targets, used, settings)
    return Schema(
        columns=columns_from_array(X, used, feature_names),
        target=target,
        task_reason=reason,
        weight=None if weight is None else "sample_weight",
        rows=rows,
        warnings=tuple(warnings),
    )


def _absent(values: NDArray[Any]) -> NDArray[np.bool_]:
    if values.dtype.kind == "f":
        return np.asarray(np.isnan(values))
    if values.dtype.kind == "O":
        return np.asarray([[_is_absent(one) for one in row] for row in values])
    return np.zeros(values.shape, bool)


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _weighted(weight: NDArray[Any], count: int) -> NDArray[np.bool_]:
    if weight.shape != (count,):
        raise DataError(f"Expected {count} weights, one a row, found the shape {weight.shape}.")
    if (weight < 0).any() or np.isinf(weight).any():
        raise DataError("Expected finite weights of 0 or more, found others.")
    return np.asarray(weight > 0)


def _learn_target(
    targets: NDArray[Any], used: NDArray[np.bool_], settings: Settings
) -> tuple[RegressionTarget | ClassificationTarget, str, list[str]]:
    """The rules of `targets`, with what they need counted by NumPy."""
    several = targets.shape[1] > 1
    names = [f"y{place}" if several else "y" for place in range(targets.shape[1])]
    kind = {"f": "number", "i": "number", "u": "number", "b": "boolean"}.get(
        targets.dtype.kind, "text"
    )
    columns = [TableColumn(name, kind, str(targets.dtype)) for name in names]
    survey: dict[str, NumberSurvey] = {}
    values: dict[str, ValueSurvey] = {}
    for place, name in enumerate(names):
        one = targets[used, place]
        if kind == "number":
            survey[name] = _survey_target(name, one.astype(np.float64))
        if not several and (kind != "number" or survey[name].whole or survey[name].distinct <= 3):
            known, counts = np.unique(
                one.astype(str) if kind == "text" else one, return_counts=True
            )
            texts = [_text(label) for label in known.tolist()]
            pairs = tuple(zip(texts, counts.tolist(), strict=True))
            values[name] = ValueSurvey(seen=len(one), distinct=len(known), values=pairs)
    task, reason = choose_task(columns, survey, settings)
    if task == "classification" and not values:
        raise DataError("Classification needs classes; y holds numbers with decimals.")
    return learn_target("y", columns, survey, values, settings, task, reason)


def _survey_target(name: str, values: NDArray[np.float64]) -> NumberSurvey:
    if np.isinf(values).any():
        raise DataError(f"The target {name!r} has infinite values; expected finite numbers.")
    return NumberSurvey(
        seen=len(values),
        lowest=float(values.min()),
        mean=float(values.mean()),
        deviation=float(values.std()),
        minimum=float(values.min()),
        maximum=float(values.max()),
        distinct=len(np.unique(values)),
        whole=bool((values == np.floor(values)).all()),
    )


def _text(label: Any) -> str:
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


@dataclass
class _Sums:
    """Running sums of the columns of X, about the first row that has a value."""

    seen: NDArray[np.float64]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]


def columns_from_array(
    X: NDArray[Any], used: NDArray[np.bool_], feature_names: Sequence[str] | None = None
) -> tuple[Column, ...]:
    """What each column of an array is.

    Args:
        X: `[rows, columns]` of numbers; NaN is missing.
        used: the rows to learn from, `[rows]`.
        feature_names: of the columns; else `x0`, `x1`, ...

    Raises:
        DataError: an infinite value, or no column to learn from.
    """
    width = X.shape[1]
    names = list(feature_names or [f"x{place}" for place in range(width)])
    shift = _typical(X, used)
    sums = _Sums(
        np.zeros(width),
        np.zeros(width),
        np.zeros(width),
        np.full(width, np.inf),
        np.full(width, -np.inf),
    )
    for start in range(0, len(X), _CHUNK):
        chunk = X[start : start + _CHUNK]
        kept = used[start : start + _CHUNK]
        _add(sums, chunk if kept.all() else chunk[kept], shift, start, names)
    count = int(used.sum())
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        centre = sums.first / sums.seen
        deviation = np.sqrt(np.maximum(sums.second / sums.seen - centre * centre, 0.0))
    columns: list[Column] = []
    for place, name in enumerate(names):
        missing = count - int(sums.seen[place])
        low, high = float(sums.minimum[place]), float(sums.maximum[place])
        spread = float(deviation[place])
        reason = ""
        if sums.seen[place] == 0:
            reason = "no value in the training rows"
        elif low == high or not spread > 1e-12 * max(abs(low), abs(high)):
            reason = "constant"
        elif not np.isfinite(spread):
            reason = "values too large"
        if reason:
            columns.append(LeftOutColumn(name, "number", missing, None, reason))
            continue
        mean = float(centre[place] + shift[place])
        columns.append(NumberColumn(name, "number", missing, None, mean, spread, low, high))
    if all(isinstance(column, LeftOutColumn) for column in columns):
        raise DataError("Every column of X is constant or empty; there is nothing to learn from.")
    return tuple(columns)


def _typical(X: NDArray[Any], used: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The mean of a few rows: sums of squares about it keep their digits."""
    few = X[np.flatnonzero(used)[:64]].astype(np.float64)
    finite = np.isfinite(few)
    total = np.where(finite, few, 0.0).sum(axis=0)
    return np.asarray(total / np.maximum(finite.sum(axis=0), 1))


def _add(
    sums: _Sums, chunk: NDArray[Any], shift: NDArray[np.float64], start: int, names: Sequence[str]
) -> None:
    if not len(chunk):
        return
    low, high = chunk.min(axis=0), chunk.max(axis=0)
    centred = np.subtract(chunk, shift, dtype=np.float64)
    # One NaN or infinity makes the column's extremes not finite.
    if np.isfinite(low).all() and np.isfinite(high).all():
        sums.seen += len(chunk)
    else:
        rows, places = np.nonzero(np.isinf(chunk))
        if len(rows):
            raise DataError(
                f"Column {names[places[0]]!r} has the value {chunk[rows[0], places[0]]} after row "
                f"{start}; expected finite numbers. Use NaN for a missing value."
            )
        present = ~np.isnan(centred)
        sums.seen += present.sum(axis=0)
        np.copyto(centred, 0.0, where=~present)
        low = np.where(present, chunk, np.inf).min(axis=0)
        high = np.where(present, chunk, -np.inf).max(axis=0)
    ones = np.ones(len(centred))
    sums.first += ones @ centred
    sums.second += np.einsum("ij,ij->j", centred, centred)
    np.minimum(sums.minimum, low, out=sums.minimum)
    np.maximum(sums.maximum, high, out=sums.maximum)
