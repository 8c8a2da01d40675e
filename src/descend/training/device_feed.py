"""Bring chunks from the store to the device."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.batches import CHUNK_BYTES, START, BatchPlan, Chunk, chunks
from descend.data.rows.prefetch import Feed
from descend.data.rows.slices import sliced_chunks
from descend.data.rows.store import MemoryStore, RowStore
from descend.training.jax_setup import in_this_context
from descend.training.processes.place import ALONE, Place
from descend.training.processes.slices import place_slice
from descend.training.resident import (
    MAX_ROWS,
    MAX_UPDATES,
    can_be_resident,
    resident_chunks,
)
from descend.types import Batch, Position

BUFFERS = 2
"""Chunks in memory at a time: while the device computes with one, the next is gathered."""

SENT_BYTES = 16 * CHUNK_BYTES
"""Bytes of a chunk for a device with memory of its own: a call and a transfer there cost as much as
dozens of small updates, and no cache of the host is to be kept."""

SLICE_BYTES = 4 * CHUNK_BYTES
"""Bytes of a process's slices in a chunk, where several share the batches: a call takes longer
there, and no other core computes meanwhile."""

TABLE_SHARE = 0.5
"""Fraction of the free memory of a device that the table may take; the rest is for training."""


def feed(
    store: RowStore, plan: BatchPlan, start: Position = START, place: Place = ALONE
) -> Feed[Chunk, Chunk]:
    """The chunks of a plan, each ready for the device.

    The arrays of a chunk are valid until the one after the next is taken: `look_ahead` may be
    called while the device computes with the newest chunk, not before.

    Args:
        store: the rows.
        plan: how they are divided into batches.
        start: where the order begins.
        place: where several processes share the batches, which of them this is.
    """
    if place.count > 1:
        slices = sliced_chunks(store, plan, start, place.index, place.count)
        return Feed(slices, _place_once(place_slice), waits=store.waits)
    if plan.resident:
        return Feed(chunk_source(store, plan, start), _leave_chunk, waits=False)
    if isinstance(store, MemoryStore) and fits_device(store):
        to_device = _device_gather(store)
        store = row_numbers(store)
    elif jax.default_backend() == "cpu" and plan.updates_per_epoch > 1:
        # A program on the CPU uses NumPy arrays without a copy; a transfer beforehand would cost
        # five times as much.
        to_device = _leave_batch
    else:
        to_device = jax.device_put
    source = chunks(store, plan, start, buffers=None if store.waits else BUFFERS)
    place_chunk = _place_once(to_device)
    prepare = in_this_context(place_chunk) if store.waits else place_chunk
    return Feed(source, prepare, waits=store.waits)


def chunk_source(store: RowStore, plan: BatchPlan, start: Position = START) -> Iterator[Chunk]:
    """The chunks of a plan, each with arrays of its own or on the device."""
    if plan.resident and isinstance(store, MemoryStore):
        return resident_chunks(_on_device(store), plan, start)
    return chunks(store, plan, start)


def for_device(store: RowStore, plan: BatchPlan) -> BatchPlan:
    """The plan for the device that trains: where it holds the table, an interval is one chunk."""
    if not (isinstance(store, MemoryStore) and can_be_resident(plan) and fits_device(store)):
        return plan
    by_rows = max(1, MAX_ROWS // plan.padded_rows)
    updates = min(plan.updates_per_interval, MAX_UPDATES, by_rows)
    return replace(plan, resident=True, updates_per_chunk=updates)


def fits_device(store: MemoryStore) -> bool:
    """Whether to keep the rows on a device with memory of its own.

    Then no rows are sent there during training (`training.resident`).
    """
    if jax.default_backend() == "cpu":
        return False
    if id(store) in _tables:
        return True
    used = (jax.devices()[0].memory_stats() or {}).get("bytes_in_use", 0)
    room = device_memory() - used
    return len(store) * store.row_bytes <= TABLE_SHARE * room and len(store) < 2**31


def chunk_bytes(processes: int = 1) -> int:
    """Bytes of a chunk that the host sends: more to a device with memory of its own.

    Args:
        processes: how many have a slice of each batch; the bytes are those of all slices.
    """
    if jax.default_backend() != "cpu":
        return SENT_BYTES
    return CHUNK_BYTES if processes == 1 else processes * SLICE_BYTES


def device_memory() -> int:
    """Bytes of the memory that JAX may use on the device that trains; 0 if it does not say."""
    limit: int = (jax.devices()[0].memory_stats() or {}).get("bytes_limit", 0)
    return limit


_tables: dict[int, Batch] = {}
"""Tables on the device, by the identity of their stores."""


def _on_device(store: MemoryStore) -> Batch:
    """All rows on the device, copied once; they stay there as long as the store exists."""
    key = id(store)
    if key not in _tables:
        table = fill_unweighted_rows(Batch(store.x, store.y, store.weight))
        _tables[key] = Batch(*jax.device_put(tuple(table)))
        weakref.finalize(store, _tables.pop, key, None)
    return _tables[key]


def fill_unweighted_rows(table: Batch) -> Batch:
    """The table with a weighted row in place of each row of weight 0.

    What a row of weight 0 holds must not matter: 0 times a NaN gradient would be NaN.
    """
    idle = np.asarray(table.weight) == 0.0
    if not idle.any() or idle.all():
        return table
    instead = np.arange(len(idle))
    instead[idle] = np.flatnonzero(~idle)[0]
    x = {name: np.asarray(values)[instead] for name, values in table.x.items()}
    return Batch(x, np.asarray(table.y)[instead], table.weight)


def row_numbers(store: MemoryStore) -> MemoryStore:
    """A store whose rows hold only their row number, as target, and their weight."""
    return MemoryStore({}, np.arange(len(store), dtype=np.int32), store.weight)


def _device_gather(store: MemoryStore) -> Callable[[Batch], Batch]:
    """`batch of row numbers -> batch of rows`, on the device."""
    table = _on_device(store)

    def place(numbers: Batch) -> Batch:
        rows: Batch = _take_rows(table, numbers.y, numbers.weight)
        return rows

    return place


@jax.jit
def _take_rows(table: Batch, rows: jax.Array, weight: jax.Array) -> Batch:
    x = {name: jnp.take(values, rows, axis=0) for name, values in table.x.items()}
    return Batch(x, jnp.take(table.y, rows, axis=0), weight)


def _leave_batch(batch: Batch) -> Batch:
    return batch


def _leave_chunk(chunk: Chunk) -> Chunk:
    return chunk


def _place_once(place: Callable[[Batch], Batch]) -> Callable[[Chunk], Chunk]:
    """Brings chunks to the device; a batch that repeats (gradient descent) is brought once."""
    host: Batch | None = None
    device: Batch | None = None

    def place_chunk(chunk: Chunk) -> Chunk:
        nonlocal host, device
        if device is None or chunk.batch is not host:
            host, device = chunk.batch, place(chunk.batch)
        return chunk._replace(batch=device)

    return place_chunk
