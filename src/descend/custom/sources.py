"""Recognise what a user passes as data: a table, arrays, or an iterable of chunks."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from descend.custom.arrays import UserBatch, as_array, join_batches, read_batch
from descend.errors import DataError
from descend.io.units import count_text

NO_ROWS = (
    "The iterator gave no rows; expected (X, y) at least once. An iterator that was gone through "
    "before is empty: make it anew."
)
ROWS_AT_ONCE = 1024
"""Single rows are gathered into chunks of this size."""


def is_table(data: Any) -> bool:
    """Whether data is a table: it has columns, and is neither arrays nor chunks."""
    if isinstance(data, str | Path):
        return True
    return type(data).__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "duckdb")


def is_arrays(data: Any) -> bool:
    """Whether data is arrays: `X`, `(X, y)` or a mapping, and not chunks of them."""
    if isinstance(data, list):
        if len(data) in (2, 3) and all(len(getattr(part, "shape", ())) > 0 for part in data):
            raise DataError("Expected (X, y) as a tuple, found a list: give data=(X, y).")
        return not (data and (isinstance(data[0], tuple | Mapping) or _is_pair(data[0])))
    return isinstance(data, np.ndarray | tuple | Mapping) or hasattr(data, "__array__")


def chunks_of(data: Any, target: str) -> Iterator[Any]:
    """Data as chunks `X`, `(X, y)` or `(X, y, weight)`.

    The arrays of an iterator are copies: many iterators fill the same arrays again.

    Args:
        data: arrays, which are one chunk; an iterator; or what can be gone through again: a data
            loader or a data set of PyTorch or Grain, a Keras sequence, a data set of Hugging
            Face. Single rows, which have a number where a chunk has an array, are gathered,
            and so are the items of a data set of PyTorch, or of Grain without `batch`.
        target: the key of y where chunks are mappings.

    Raises:
        DataError: it is none of these.
    """
    if is_arrays(data):
        yield split_target(data, target)
        return
    chunks, told = iter(_iterable(data)), _told_apart(data)
    for first in chunks:
        if not (_is_row(first) or (told and _is_sample(first, *told))):
            yield split_target(_copied(_as_tuple(first)), target)
            continue
        rows = itertools.chain([first], itertools.islice(chunks, ROWS_AT_ONCE - 1))
        # Each row is copied before the next one is asked for.
        yield split_target(_stack([_copied(_as_tuple(row)) for row in rows]), target)


def read_whole(data: Any, target: str) -> UserBatch:
    """All rows of any data that `chunks_of` takes, in memory."""
    chunks = [read_batch(chunk) for chunk in chunks_of(data, target)]
    if not chunks:
        raise DataError(NO_ROWS)
    return join_batches(chunks)


def split_target(chunk: Any, target: str) -> Any:
    """A mapping with the target among its arrays as `(X, y)` or `(X, y, weight)`.

    Raises:
        DataError: a target was named, and the mapping has no such array; or it holds data sets.
    """
    if not isinstance(chunk, Mapping):
        return chunk
    sets = [name for name, part in chunk.items() if _is_data_set(part)]
    if sets:
        other = f", validation=data[{sets[1]!r}]" if len(sets) > 1 else ""
        raise DataError(
            f"Expected one data set, found a mapping of several: {', '.join(map(str, sets))}. "
            f"Give one of them: data[{sets[0]!r}]{other}."
        )
    if target not in chunk:
        if target != "y":
            raise DataError(
                f"Expected the target {target!r} among the arrays {', '.join(map(str, chunk))}."
            )
        return chunk
    inputs = {name: part for name, part in chunk.items() if name not in (target, "weight")}
    if not inputs:
        raise DataError(f"Expected inputs beside the target {target!r}; found none.")
    weight = chunk.get("weight") if target != "weight" else None
    return (inputs, chunk[target]) if weight is None else (inputs, chunk[target], weight)


def _is_pair(chunk: Any) -> bool:
    """Whether it is (X, y) or (X, y, weight) as a list, the form in which data loaders give it."""
    return (
        isinstance(chunk, list)
        and len(chunk) in (2, 3)
        and any(len(getattr(part, "shape", ())) > 0 for part in chunk)
    )


def _is_data_set(data: Any) -> bool:
    """Whether it is a data set of Hugging Face, in Arrow form or streamed."""
    return all(hasattr(data, name) for name in ("column_names", "with_format", "iter"))


def _iterable(data: Any) -> Iterable[Any]:
    if _is_data_set(data):
        columns: Iterable[Any] = data.with_format("numpy").iter(batch_size=ROWS_AT_ONCE)
        return columns
    if hasattr(data, "__iter__"):
        found: Iterable[Any] = data
        return found
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return (data[number] for number in range(len(data)))
    raise DataError(
        "Expected arrays (X, y), a table, or an iterator of (X, y); found "
        f"{type(data).__name__}."
        + (" Call it: data=generator(), not data=generator." if callable(data) else "")
    )


def _as_tuple(chunk: Any) -> Any:
    """A chunk as a tuple; data loaders yield their pairs as lists, and X alone in one."""
    if isinstance(chunk, list | tuple) and len(chunk) == 1 and not hasattr(chunk, "_fields"):
        return chunk[0]
    return tuple(chunk) if isinstance(chunk, list) and len(chunk) in (2, 3) else chunk


def _copied(part: Any) -> Any:
    """A chunk or a row with arrays of its own."""
    if isinstance(part, Mapping):
        return {name: _copied(one) for name, one in part.items()}
    if hasattr(part, "_fields"):
        return type(part)(*map(_copied, part))
    if isinstance(part, list | tuple):
        return type(part)(map(_copied, part))
    if isinstance(part, np.ndarray):
        return part.copy()
    return part.detach().clone() if hasattr(part, "detach") else part


def _is_row(chunk: Any) -> bool:
    """Whether a chunk is a single row: one of its elements is a single number."""
    if isinstance(chunk, Mapping):
        return any(map(_is_row, chunk.values()))
    if isinstance(chunk, tuple) or (isinstance(chunk, list) and len(chunk) in (2, 3)):
        return any(
            _is_number(part) or (isinstance(part, Mapping) and _is_row(part)) for part in chunk
        )
    return _is_number(chunk)


def _told_apart(data: Any) -> tuple[str, str] | None:
    """How to say that items are single rows, and that they are batches, of what gives rows.

    That is a data set of PyTorch, of which a loader makes the batches, or one of Grain without
    `batch`. None for anything else.
    """
    kinds = [(one.__module__, one.__name__) for one in type(data).__mro__]
    if any(place.startswith("torch.utils.data") and name == "Dataset" for place, name in kinds):
        loader = "torch.utils.data.DataLoader(data, batch_size={})"
        return loader.format(64), loader.format(None)
    if kinds[0][0].split(".")[0] == "grain" and hasattr(data, "parents") and not _batches(data):
        return "data.batch(64)", "iter(data)"
    return None


def _batches(data: Any) -> bool:
    """Whether a data set of Grain, or one that it is made from, puts rows together."""
    return type(data).__name__.startswith("Batch") or any(map(_batches, data.parents))


def _is_sample(item: Any, as_row: str, as_batch: str) -> bool:
    """Whether an item of a data set of rows, in which nothing is a number, is a single row.

    Raises:
        DataError: it may as well be a batch, as the items of some data sets are, or it holds lists
            of numbers in place of arrays.
    """
    parts = jax.tree.leaves(item)
    shapes = [tuple(getattr(part, "shape", ())) for part in parts]
    if not any(shapes):
        if parts and all(map(_is_number, parts)):
            raise DataError(
                f"An item of the data set has lists of numbers, such as {str(item)[:60]}; expected "
                "arrays. Make an array of each list, such as np.asarray(ids)."
            )
        return False
    if len({shape[:1] for shape in shapes}) > 1 or all(len(shape) == 1 for shape in shapes):
        return True
    raise DataError(
        f"An item of the data set has arrays of {', '.join(map(str, shapes))}: one row, or "
        f"a batch of {count_text(shapes[0][0], 'row')}? If it is one row, give {as_row}; if it is "
        f"a whole batch, give {as_batch}."
    )


def _is_number(part: Any) -> bool:
    return isinstance(part, int | float) or getattr(part, "shape", None) == ()


def _stack(rows: list[Any]) -> Any:
    """Stack rows into one chunk.

    Raises:
        DataError: they are not alike.
    """
    try:
        return jax.tree.map(
            lambda *parts: np.stack([as_array(one, "a row") for one in parts]), *rows
        )
    except ValueError as error:
        raise DataError(f"The rows are not alike, so they make no array: {error}") from None
