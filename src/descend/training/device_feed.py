"""Chunks on their way from the store to the device."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.batches import START, BatchPlan, Chunk, chunks
from descend.data.rows.prefetch import Feed
from descend.data.rows.store import MemoryStore, RowStore
from descend.types import Batch, Position

STANDING = 2
"""Chunks in memory at a time: while the device computes with one, the next is gathered."""

SHARE = 0.5
"""Of the memory of a device that is not ours, for the table; the rest is for training."""


def feed(store: RowStore, plan: BatchPlan, start: Position = START) -> Feed[Chunk, Chunk]:
    """The chunks of a plan, each ready for the device.

    A chunk stands until the one after the next is asked for: `look_ahead` may be called while the
    device computes with the one taken last, not before.
    """
    if isinstance(store, MemoryStore) and fits_device(store):
        place = _gathering(store)
        store = numbers_of(store)
    elif jax.default_backend() == "cpu" and plan.updates_per_epoch > 1:
        # A CPU takes arrays over when it is called, without a copy: bringing them there before
        # costs five times as much.
        place = _as_it_is
    else:
        place = jax.device_put
    source = chunks(store, plan, start, standing=None if store.waits else STANDING)
    return Feed(source, _placing(place), waits=store.waits)


def fits_device(store: MemoryStore) -> bool:
    """Whether the rows are to stay on a device with a memory of its own.

    Then only their numbers go there, chunk by chunk: a hundredth of what the rows would be.
    """
    if jax.default_backend() == "cpu":
        return False
    if id(store) in _tables:
        return True
    statistics = jax.devices()[0].memory_stats() or {}
    room = statistics.get("bytes_limit", 0) - statistics.get("bytes_in_use", 0)
    return len(store) * store.row_bytes <= SHARE * room and len(store) < 2**31


_tables: dict[int, Batch] = {}
"""Tables on the device, by the identity of their stores."""


def _on_device(store: MemoryStore) -> Batch:
    """All rows, copied there once; they stay as long as the store."""
    key = id(store)
    if key not in _tables:
        _tables[key] = Batch(*jax.device_put((store.x, store.y, store.weight)))
        weakref.finalize(store, _tables.pop, key, None)
    return _tables[key]


def numbers_of(store: MemoryStore) -> MemoryStore:
    """Rows that have their number as target, and their weight."""
    return MemoryStore({}, np.arange(len(store), dtype=np.int32), store.weight)


def _gathering(store: MemoryStore) -> Callable[[Batch], Batch]:
    """Makes of the numbers of rows the rows, on the device."""
    table = _on_device(store)

    def place(numbers: Batch) -> Batch:
        rows: Batch = _taken(table, numbers.y, numbers.weight)
        return rows

    return place


@jax.jit
def _taken(table: Batch, rows: jax.Array, weight: jax.Array) -> Batch:
    x = {name: jnp.take(values, rows, axis=0) for name, values in table.x.items()}
    return Batch(x, jnp.take(table.y, rows, axis=0), weight)


def _as_it_is(batch: Batch) -> Batch:
    return batch


def _placing(place: Callable[[Batch], Batch]) -> Callable[[Chunk], Chunk]:
    """Brings chunks to the device; a batch that comes again (gradient descent) stays there."""
    host: Batch | None = None
    device: Batch | None = None

    def placed(chunk: Chunk) -> Chunk:
        nonlocal host, device
        if device is None or chunk.batch is not host:
            host, device = chunk.batch, place(chunk.batch)
        return chunk._replace(batch=device)

    return placed
