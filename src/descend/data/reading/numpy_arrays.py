"""NumPy arrays: from columns of Arrow without pandas; masked values; more than 64 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from descend.errors import DataError

_TYPES: dict[Any, type[np.generic]] = {
    pa.int8(): np.int8,
    pa.int16(): np.int16,
    pa.int32(): np.int32,
    pa.int64(): np.int64,
    pa.uint8(): np.uint8,
    pa.uint16(): np.uint16,
    pa.uint32(): np.uint32,
    pa.uint64(): np.uint64,
    pa.float32(): np.float32,
    pa.float64(): np.float64,
}


def as_numpy(values: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """What `to_numpy(zero_copy_only=False)` gives, for numbers and booleans.

    Arrow's own function imports pandas where that is installed: 0.3 seconds at every start.

    Args:
        values: numbers, of which those that are missing become NaN; or booleans, none missing.

    Returns:
        `[n]`, perhaps read-only.
    """
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if values.type == pa.bool_() and not values.null_count:
        return as_numpy(values.cast(pa.uint8())).view(np.bool_)
    if values.type not in _TYPES:
        return np.asarray(values.to_numpy(zero_copy_only=False))
    if values.null_count:
        if not pa.types.is_floating(values.type):
            values = values.cast(pa.float64(), safe=False)
        values = fill_missing(values, float("nan"))
    dtype = np.dtype(_TYPES[values.type])
    buffer = values.buffers()[1]
    if buffer is None or len(values) == 0:
        return np.zeros(0, dtype)
    return np.frombuffer(buffer, dtype, len(values), values.offset * dtype.itemsize)


def fill_missing(values: pa.Array, number: float) -> pa.Array:
    """The numbers with another in place of those that are missing."""
    one = pa.py_buffer(np.asarray([number], _TYPES[values.type]))
    # Arrow would import pandas to make a scalar of a number.
    return pc.fill_null(values, pa.Array.from_buffers(values.type, 1, [None, one])[0])


def without_nan(values: pa.Array) -> pa.Array:
    """The numbers, of which those that are NaN are missing."""
    if not pa.types.is_floating(values.type):
        return values
    flags = pc.is_nan(values)
    if not pc.any(flags).as_py():
        return values
    return pc.if_else(flags, pa.nulls(1, values.type)[0], values)


def refuse_masked(values: Any, name: str) -> None:
    """Refuse an array with masked values where none may be missing; NumPy would use what is hidden.

    Raises:
        DataError: a value is masked.
    """
    if isinstance(values, np.ma.MaskedArray):
        count = int(np.ma.getmaskarray(values).sum())
        if count:
            raise DataError(
                f"{name} has {count:,} masked values, which are missing; every row needs one. "
                "Leave these rows out."
            )


def in_64_bits(values: NDArray[Any], name: str) -> NDArray[Any]:
    """The array, with numbers of more than 64 bits (longdouble) as float64.

    Raises:
        DataError: a whole number would change, or a number is too large.
    """
    if values.dtype.kind != "f" or values.dtype.itemsize <= 8:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float64)
    changed = (narrow != values) & (values == np.floor(values))
    if changed.any():
        raise DataError(
            f"{name} holds {values[changed].ravel()[0]}, which 64 bits cannot hold exactly. "
            "Give it as text if it is a class or a code; else divide by a constant."
        )
    return np.asarray(narrow)
