"""The memory of a gradient, counted from its program without running it."""

from __future__ import annotations

import math
from typing import Any

import jax
import numpy as np

from descend.data.rows.store import RowStore
from descend.training.gradient import make_gradient
from descend.training.objective import Objective
from descend.types import Params

COUNTED_ROWS = (61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113)
"""Primes: the first that divides no length in the model is the number of rows for which the memory
of an update is counted."""


def gradient_bytes(objective: Objective, store: RowStore, params: Params) -> tuple[float, float]:
    """Bytes of all values that the gradient of some rows computes: a constant, and more per row.

    An upper bound, since the compiler reuses some of them. The gradient is traced once, for a
    number of rows that divides no length of the model or of a row: values with an axis that it
    divides grow in proportion to the rows, all others do not grow.

    Args:
        objective: whose gradient.
        store: a table of such rows.
        params: the weights; only their shapes matter.
    """
    row = store.gather(np.zeros(1, np.int64))
    lengths = {length for leaf in jax.tree.leaves(params) for length in np.shape(leaf)}
    lengths |= {length for leaf in jax.tree.leaves(row) for length in np.shape(leaf)[1:]}
    rows = next(
        (one for one in COUNTED_ROWS if all(length % one for length in lengths - {0})),
        COUNTED_ROWS[-1],
    )
    batch = jax.tree.map(lambda leaf: _rows_like(leaf, rows), row)
    jaxpr = jax.make_jaxpr(make_gradient(objective))(params, batch).jaxpr
    fixed, growing = _computed_bytes(jaxpr, rows)
    return fixed, growing / rows


def _rows_like(leaf: Any, rows: int) -> jax.ShapeDtypeStruct:
    dtype = jax.dtypes.canonicalize_dtype(leaf.dtype)
    return jax.ShapeDtypeStruct((rows, *leaf.shape[1:]), dtype)


def _computed_bytes(jaxpr: Any, rows: int) -> tuple[int, int]:
    """Bytes of all values that a program computes, including its inner programs.

    Args:
        jaxpr: the program for a batch.
        rows: in the batch.

    Returns:
        The bytes of values without an axis over the rows, and of those with one.
    """
    fixed = growing = 0
    for equation in jaxpr.eqns:
        for value in equation.outvars:
            # Random keys have a type of their own, which NumPy does not know.
            size = math.prod(value.aval.shape) * value.aval.dtype.itemsize
            if any(length and length % rows == 0 for length in value.aval.shape):
                growing += size
            else:
                fixed += size
        for inner in equation.params.values():
            if hasattr(inner, "jaxpr"):
                within = _computed_bytes(inner.jaxpr, rows)
                fixed, growing = fixed + within[0], growing + within[1]
    return fixed, growing
