"""Rows for a model that is not ours: arrays of any shape, chunks of them, or a table."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descend.data.columns.column import Schema
from descend.data.prepare import prepare
from descend.data.rows.store import MemoryStore, RowStore
from descend.errors import DataError
from descend.settings import Settings
from descend.types import Batch


class OwnRows(NamedTuple):
    """The rows of a run.

    Attributes:
        training: to learn from.
        validation: to judge by.
        single: whether x is one array, which the model gets bare, and not a mapping.
        fingerprint: what tells this data from another.
        schema: of a table, else None.
    """

    training: RowStore
    validation: RowStore
    single: bool
    fingerprint: Any
    schema: Schema | None = None


def own_rows(data: Any, settings: Settings, validation: Any) -> OwnRows:
    """The rows that `descend.fit` is given.

    Args:
        data: `X`, which then is its own target; `(X, y)` or `(X, y, weight)` with arrays or
            mappings of arrays for X; an iterator of such tuples; or a table.
        settings: seed, and for a table its options.
        validation: a fraction, or rows of the same kind.

    Raises:
        DataError: arrays that do not fit each other, or too few rows.
    """
    if isinstance(data, Iterator):
        parts = [_batch(one) for one in data]
        if not parts:
            raise DataError("The iterator gave no chunk; expected (X, y) at least once.")
        store = MemoryStore.from_batches(parts)
    elif isinstance(data, np.ndarray | tuple | Mapping) or hasattr(data, "__jax_array__"):
        store = MemoryStore(*_batch(data))
    else:
        prepared = prepare(data, settings.replace(validation=validation))
        return OwnRows(
            prepared.training,
            prepared.validation,
            False,
            prepared.fingerprint,
            prepared.schema,
        )
    single = list(store.x) == ["x"]
    if not isinstance(validation, int | float):
        return OwnRows(store, MemoryStore(*_batch(validation)), single, _hash(store))
    held = int(len(store) * validation)
    if not 0 < held < len(store):
        raise DataError(
            f"validation={validation} of {len(store)} rows leaves none to learn from or to judge "
            "by; give another fraction, or rows of their own."
        )
    order = np.random.default_rng(settings.seed).permutation(len(store))
    judging, learning = np.sort(order[:held]), np.sort(order[held:])
    return OwnRows(
        MemoryStore(*store.gather(learning)),
        MemoryStore(*store.gather(judging)),
        single,
        _hash(store),
    )


def _batch(data: Any) -> Batch:
    X, y, weight = _taken_apart(data)
    x = {name: _plain(values) for name, values in _mapping(X).items()}
    rows = len(next(iter(x.values())))
    y = _plain(y)
    weight = np.ones(rows, np.float32) if weight is None else np.asarray(weight, np.float32)
    lengths = {name: len(values) for name, values in {**x, "y": y, "weight": weight}.items()}
    if len(set(lengths.values())) > 1 or rows == 0:
        raise DataError(f"Expected arrays of as many rows, at least one, found {lengths}.")
    for name, values in {**x, "y": y}.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{name} has values that are not finite; replace or leave them out.")
    return Batch(x, y, weight)


def _taken_apart(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple):
        return data, data, None
    if len(data) not in (2, 3):
        raise DataError(f"Expected (X, y) or (X, y, weight), found {len(data)} parts.")
    return data if len(data) == 3 else (*data, None)


def _mapping(X: Any) -> Mapping[str, Any]:
    return X if isinstance(X, Mapping) else {"x": X}


def _plain(values: Any) -> NDArray[Any]:
    """As JAX computes with it; small integers such as pixels stay small."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise DataError(f"Expected arrays of numbers, found {array.dtype}.")
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(np.int32) if array.dtype.itemsize == 8 else array


def _hash(store: MemoryStore) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for values in (*store.x.values(), store.y, store.weight):
        digest.update(f"{values.dtype}{values.shape}".encode())
        digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()
