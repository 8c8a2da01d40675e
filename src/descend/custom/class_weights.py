"""Weights of rows that follow from their classes: `class_weight` of a custom model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from descend.custom.arrays import UserBatch, read_batch
from descend.custom.sources import is_arrays, is_table, split_target
from descend.errors import DataError, SettingsError

WeightRows = Callable[[UserBatch], UserBatch]
"""The same rows, with other weights."""
EXPECTED = (
    "Expected as class_weight 'balanced', a mapping of class codes such as {0: 1.0, 1: 5.0}, or a "
    "list of weights by code, finite and 0 or more"
)


def weights_of_classes(class_weight: Any, data: Any, target: str) -> WeightRows:
    """What multiplies the weight of each row by that of its class.

    Args:
        class_weight: a mapping or a list of weights by class code, where codes that it does not
            name have the weight 1; `"balanced"`, for arrays, gives each class the same sum of
            weights and the rows a mean weight of 1; None leaves the rows as they are.
        data: as the user gave it.
        target: the name of the target in it.

    Raises:
        SettingsError: it is none of these, or the data is a table.
        DataError: y is no array of class codes, or lacks a code that is named.
    """
    if class_weight is None:
        return lambda rows: rows
    if is_table(data):
        raise SettingsError(
            "class_weight goes with arrays, whose y are class codes. For a table name a column "
            "with the weight of each row: weight='COLUMN'."
        )
    balanced = isinstance(class_weight, str) and class_weight == "balanced"
    by_code = {} if balanced else _by_code(class_weight)
    if is_arrays(data):
        codes, weight = _codes_and_weights(split_target(data, target))
        sums = np.bincount(codes, weights=weight)
        classes = np.unique(codes)
        missing = sorted(set(by_code) - set(classes.tolist()))
        if missing and isinstance(class_weight, Mapping):
            raise DataError(
                f"class_weight names the class {missing[0]}, which y does not hold; found "
                f"{_shown(classes)}."
            )
        if balanced:
            mean = sums.sum() / np.count_nonzero(sums)
            by_code = {code: mean / total for code, total in enumerate(sums) if total > 0}
    elif balanced:
        raise SettingsError(
            "class_weight='balanced' has to count the classes before the first row is learned, "
            "which an iterator does not allow: give the weight of each class, such as "
            "class_weight={0: 1.0, 1: 5.0}."
        )
    table = np.ones(max(by_code, default=0) + 1)
    table[list(by_code)] = list(by_code.values())

    def weighted(rows: UserBatch) -> UserBatch:
        codes = codes_of(rows)
        factors = np.where(codes < len(table), table[codes.clip(max=len(table) - 1)], 1.0)
        weight = (rows.batch.weight * factors).astype(np.float32)
        return rows._replace(batch=rows.batch._replace(weight=weight))

    return weighted


def _codes_and_weights(arrays: Any) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Class code and weight of each row of `(X, y)` or `(X, y, weight)`; X is not read."""
    parts = arrays if isinstance(arrays, tuple) and len(arrays) > 1 else (arrays, arrays)
    rows = read_batch((parts[1], *parts[1:]))
    return codes_of(rows), rows.batch.weight


def codes_of(rows: UserBatch) -> NDArray[np.int64]:
    """The class code of each row.

    Raises:
        DataError: y is something else.
    """
    y = np.asarray(rows.batch.y)
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    whole = y.dtype.kind in "bui" or (y.dtype.kind == "f" and bool((y == np.round(y)).all()))
    if not rows.targets.single or y.ndim != 1 or not whole or (y < 0).any():
        raise DataError(
            "class_weight needs one class code for each row, y [B] with whole numbers from 0 on; "
            f"found y {list(y.shape)} of {y.dtype}. Of one-hot rows the codes are "
            "np.argmax(y, axis=1); other weights are the third of (X, y, weight)."
        )
    return y.astype(np.int64)


def class_weight_text(class_weight: Any) -> str | None:
    """The weights as a run records them: `balanced`, or `0=0.5, 2=7.0` without those of 1."""
    if class_weight is None or isinstance(class_weight, str):
        return class_weight
    by_code = sorted(_by_code(class_weight).items())
    return ", ".join(f"{code}={weight}" for code, weight in by_code if weight != 1) or None


def _by_code(class_weight: Any) -> dict[int, float]:
    """The weights by code.

    Raises:
        SettingsError: they are none.
    """
    found = f"{EXPECTED}; found {class_weight!r}."
    if isinstance(class_weight, Mapping):
        pairs = list(class_weight.items())
    else:
        try:
            listed = np.asarray(class_weight, np.float64)
        except (TypeError, ValueError) as error:
            raise SettingsError(found) from error
        if listed.ndim != 1 or not len(listed):
            raise SettingsError(found)
        pairs = list(enumerate(listed.tolist()))
    by_code = {}
    for code, weight in pairs:
        if not _is_whole(code) or not isinstance(weight, int | float | np.number):
            raise SettingsError(found)
        if not (np.isfinite(weight) and weight >= 0):
            raise SettingsError(found)
        by_code[int(code)] = float(weight)
    return by_code


def _is_whole(code: Any) -> bool:
    number = isinstance(code, int | np.integer | float | np.floating)
    return number and bool(code >= 0 and code % 1 == 0)


def _shown(codes: NDArray[np.int64]) -> str:
    few = ", ".join(map(str, codes[:10].tolist()))
    return few if len(codes) <= 10 else f"{few} and {len(codes) - 10} more"
