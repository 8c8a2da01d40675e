"""What the estimators ask of arrays and frames before training, and of a model afterwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.utils import _safe_indexing, check_random_state

from descend.data.reading.numpy_arrays import in_64_bits, refuse_masked
from descend.data.rows.budget import usable_memory
from descend.data.schema.columns import LeftOutColumn, NumberColumn, RegressionTarget
from descend.model import Model
from descend.settings import SEEDS
from descend.sklearn.arrays import Rows
from descend.sklearn.partial_fit import FEWEST_VALIDATION_ROWS


def holds_words(X: Any) -> bool:
    """Whether X is a frame with other columns than numbers, which an array cannot hold."""
    if not hasattr(X, "columns"):
        return False
    types = getattr(X, "dtypes", None)
    if types is None:
        return True
    return not all(_is_number(one) for one in types)


def validation_parts(given: Any) -> tuple[Any, Any, Any]:
    """X, y and weights, or None in their place, of what a user gives as `validation_data`.

    Raises:
        ValueError: it is no tuple of two or three.
    """
    if not isinstance(given, tuple | list) or len(given) not in (2, 3):
        raise ValueError(
            "validation_data must be (X, y) or (X, y, sample_weight); found "
            f"{type(given).__name__}."
        )
    return given[0], given[1], given[2] if len(given) == 3 else None


def as_read(X: Any, model: str) -> Any:
    """X as the model reads it: a sparse matrix stays one for `linear` and `mlp`.

    The tabular network puts every number in a bin, and a zero is a number like others.

    Raises:
        ValueError: a sparse X does not fit in memory as an array.
    """
    if not issparse(X):
        return X
    if model != "tabular":
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return X
    # As it is, its training and validation rows, and these encoded in 32 bits.
    needed, free = math.prod(X.shape) * (2 * X.dtype.itemsize + 4), usable_memory()
    if needed > free:
        raise ValueError(
            f"The tabular network reads sparse X as an array, and one of shape {X.shape} takes "
            f"{needed / 2**30:.1f} GiB; {free / 2**30:.1f} GiB are free. model='linear' and "
            "model='mlp' read the entries of sparse X alone."
        )
    return X.toarray()


def read_array(values: Any, name: str, *, missing: bool = False) -> Any:
    """An array without a mask and with numbers of 64 bits at most; anything else as it is.

    Args:
        values: whatever a user gives.
        name: for messages.
        missing: whether masked values become NaN; else they are refused.

    Raises:
        ValueError: masked values where every row needs one, or numbers that 64 bits cannot hold.
    """
    if isinstance(values, np.ma.MaskedArray):
        if missing and np.ma.getmaskarray(values).any():
            number = values.dtype.kind in "biuf"
            kind = np.result_type(values.dtype, np.float32) if number else object
            values = np.ma.filled(np.ma.asarray(values.astype(kind)), np.nan)
        else:
            refuse_masked(values, name)
            values = values.data
    return in_64_bits(values, name) if isinstance(values, np.ndarray) else values


def read_targets(values: Any) -> Any:
    """Targets as `read_array` gives them; whole numbers and booleans of pandas stay what they are.

    scikit-learn takes those of pandas that may be missing (`Int64`, `boolean`, those of PyArrow)
    for float64, which merges classes beyond 2**53 and gives 1.0 in place of True.

    Raises:
        ValueError: some are missing.
    """
    values = read_array(values, "y")
    kinds = getattr(values, "dtypes", None)  # A type, or one for each column of a frame.
    kinds = list(kinds) if getattr(values, "ndim", 1) == 2 and kinds is not None else [kinds]
    if hasattr(values, "isna") and any(_may_be_missing(one) for one in kinds):
        absent = np.asarray(values.isna())
        if absent.any():
            raise ValueError(
                f"Input y contains NaN: {int(absent.sum()):,} of its values are missing. Leave "
                "these rows out."
            )
        whole = {getattr(one, "kind", "O") for one in kinds} <= set("iub")
        if whole and not any(isinstance(one, np.dtype) for one in kinds):
            native = [_native(one) for one in kinds]
            return values.to_numpy(dtype=np.result_type(*native))
    return values


def _may_be_missing(dtype: Any) -> bool:
    """Whether it is a type of pandas, or of objects, that marks missing values by its own."""
    return not isinstance(dtype, np.dtype) or dtype.kind == "O"


def _native(dtype: Any) -> np.dtype[Any]:
    """NumPy's type for whole numbers or booleans of a type of pandas."""
    return np.dtype(getattr(dtype, "numpy_dtype", np.int64 if dtype.kind != "b" else np.bool_))


def _is_number(dtype: Any) -> bool:
    if hasattr(dtype, "is_numeric"):  # Polars
        return bool(dtype.is_numeric()) or str(dtype) == "Boolean"
    return getattr(dtype, "kind", "O") in "biuf"


def choose_held_out(y: NDArray[Any], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Which rows are held out for validation: a part of every class, and never the last row of one.

    Args:
        y: class codes `[n]`, or numbers `[n, k]`.
        fraction: of the rows; fewer than ten are not worth it, and none are held out.
        seed: another seed holds out other rows.
    """
    count = len(y)
    held = np.zeros(count, bool)
    if int(count * fraction) < FEWEST_VALIDATION_ROWS:
        return held
    order = np.random.default_rng(seed).permutation(count)
    if y.ndim == 1:
        order = order[np.argsort(y[order], kind="stable")]
    taken = np.floor(np.arange(1, count + 1) * fraction) > np.floor(np.arange(count) * fraction)
    held[order] = taken
    if y.ndim == 1:
        first = np.unique(y[order], return_index=True)[1]
        held[order[first]] = False
    return held


def part(rows: Rows, which: NDArray[np.bool_]) -> Rows:
    """Some of the rows, in their order."""
    if which.all():
        return rows
    return Rows(_safe_indexing(rows.X, np.flatnonzero(which)), rows.y[which], rows.weight[which])


def seed_of(random_state: Any) -> int:
    """A seed from whatever scikit-learn takes as `random_state`."""
    if isinstance(random_state, int | np.integer):
        check_random_state(random_state)
        return int(random_state)
    return int(check_random_state(random_state).randint(SEEDS >> 1))


def linear_weights(model: Model) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weights `[outputs, columns]` and intercepts `[outputs]` in the units of X and y.

    Raises:
        AttributeError: the model is not linear, or reads more than numbers.
    """
    schema, params = model.schema, model.params
    known = all(isinstance(one, NumberColumn | LeftOutColumn) for one in schema.columns)
    if model.settings.model != "linear" or not known:
        raise AttributeError("coef_ and intercept_ exist for model='linear' on numbers alone.")
    kernel = np.asarray(params["kernel"], np.float64)
    intercept = np.asarray(params["bias"], np.float64)
    coef = np.zeros((kernel.shape[1], len(schema.columns)))
    place = 0
    for index, column in enumerate(schema.columns):
        if isinstance(column, NumberColumn):
            coef[:, index] = kernel[place] / column.deviation
            intercept = intercept - coef[:, index] * column.mean
            place += 1 + (column.missing > 0)
    target = schema.target
    if isinstance(target, RegressionTarget) and target.standardised:
        deviation = np.asarray(target.deviation)
        coef = coef * deviation[:, None]
        intercept = intercept * deviation + np.asarray(target.mean)
    return coef, intercept
