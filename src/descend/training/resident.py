"""Batches that a device gathers for itself, from a table in its memory and an order it computes.

The host sends no rows and no row numbers: a chunk is the table, what its order follows from, and
the place where it begins. So a whole evaluation interval is one call, whatever the batch size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.batches import START, BatchPlan, Chunk
from descend.data.rows.order import (
    DRAWN,
    GOLDEN,
    MIX_1,
    MIX_2,
    MOST_HASHED,
    epoch_rows,
    grid_of,
    is_drawn,
    range_bits,
    round_keys,
)
from descend.training.objective import Objective
from descend.types import Array, Batch, Position

MAX_UPDATES = 1 << 15
"""Most updates in one call, so that Ctrl-C and time limits are noticed within seconds."""
MAX_ROWS = 1 << 26
"""Most rows in one call: their numbers and weights take 8 bytes each."""


class ResidentChunk(NamedTuple):
    """Mini-batches of a table on the device, by the places of their rows in an epoch.

    Attributes:
        table: all rows; leaves `[N, ...]`.
        permutation: int32 `[N]`, the order of the epoch where the host draws it; else None.
        keys: uint32 `[ROUNDS]`, the keys of the epoch's hashes.
        first: place of the first row of the chunk.
        batch_size: rows per update.
        lanes: int32 `[padded_rows]`, 0, 1, ...: its length is the shape of a batch.
    """

    table: Batch
    permutation: Array | None
    keys: Array
    first: Array
    batch_size: Array
    lanes: Array


def batch_at(chunk: Batch | ResidentChunk, index: Array | int) -> Batch:
    """The mini-batch of an update, counted from the beginning of a chunk.

    Where rows run short, other rows of the batch fill its shape, at weight 0.
    """
    if not isinstance(chunk, ResidentChunk):
        batch: Batch = jax.tree.map(lambda leaf: leaf[index], chunk)
        return batch
    numbers, weight = row_numbers(chunk, index)
    return gather_rows(chunk.table, numbers, weight)


def row_numbers(chunk: ResidentChunk, index: Array | int) -> tuple[Array, Array]:
    """The row numbers of an update, and their weights: each `[padded_rows]`.

    The index may also be a column `[U, 1]` of updates; then both are `[U, padded_rows]`.
    """
    rows = len(chunk.table.weight)
    # Updates past the end of the epoch do not count; they repeat the last one.
    index = jnp.minimum(index, (rows - 1 - chunk.first) // chunk.batch_size)
    start = chunk.first + index * chunk.batch_size
    count = jnp.minimum(chunk.batch_size, rows - start)
    places = start + chunk.lanes % count
    if chunk.permutation is None:
        numbers = hashed_rows(places, chunk.keys, rows)
    else:
        numbers = jnp.take(chunk.permutation, places)
    return numbers, jnp.where(chunk.lanes < count, jnp.take(chunk.table.weight, numbers), 0.0)


def rows_of_updates(
    chunk: ResidentChunk, objective: Objective, updates: int
) -> tuple[Array, Array]:
    """The row numbers of all updates of a chunk and their normalized weights: `[U, padded_rows]`.

    Args:
        chunk: whose rows.
        objective: it normalizes the weights of each batch.
        updates: their number U.
    """
    index = jnp.arange(updates, dtype=jnp.int32)[:, None]
    numbers, weights = row_numbers(chunk, index)

    def normalize(weight: Array) -> Array:
        return objective.normalize_weights(Batch({}, weight, weight)).weight

    return numbers, jax.vmap(normalize)(weights)


def gather_rows(table: Batch, numbers: Array, weight: Array) -> Batch:
    """The rows with these numbers, with the given weights."""

    def rows_of(values: Array) -> Array:
        # All numbers are rows of the table; clipping is the cheapest way of not relying on it.
        return jnp.take(values, numbers, axis=0, mode="clip")

    x = {name: rows_of(values) for name, values in table.x.items()}
    return Batch(x, rows_of(table.y), weight)


def hashed_rows(places: Array, keys: Array, rows: int) -> Array:
    """The row numbers at places of an epoch: `epoch_rows` with the order `HASHED`, on the device.

    Args:
        places: int32, each less than `rows`.
        keys: uint32 `[ROUNDS]`.
        rows: rows in the table.
    """

    def walk(state: tuple[Array, Array]) -> tuple[Array, Array]:
        moved, beyond = state
        moved = jnp.where(beyond, _permute_cells(moved, keys, rows), moved)
        return moved, moved >= rows

    moved = _permute_cells(places, keys, rows)
    found: Array = jax.lax.while_loop(
        lambda state: jnp.any(state[1]), walk, (moved, moved >= rows)
    )[0]
    return found


def _permute_cells(places: Array, keys: Array, rows: int) -> Array:
    height, width = grid_of(rows)
    high, low = places // width, places % width
    for turn in range(len(keys)):
        if turn % 2 == 0:
            high = _add_modulo(high, _hash_to(low, keys[turn], height), height)
        else:
            low = _add_modulo(low, _hash_to(high, keys[turn], width), width)
    return high * width + low


def _hash_to(values: Array, key: Array, size: int) -> Array:
    """A hash of values under a key, scaled to `range(size)`."""
    x = values.astype(jnp.uint32) * np.uint32(GOLDEN) + key
    x = (x ^ (x >> 16)) * np.uint32(MIX_1)
    x = (x ^ (x >> 13)) * np.uint32(MIX_2)
    x = x ^ (x >> 16)
    bits = range_bits(size)
    return (((x >> (32 - bits)) * np.uint32(size)) >> bits).astype(jnp.int32)


def _add_modulo(left: Array, right: Array, modulus: int) -> Array:
    total = left + right
    return jnp.where(total >= modulus, total - modulus, total)


def can_be_resident(plan: BatchPlan) -> bool:
    """Whether the batches of a plan can be gathered by the device."""
    one_chunk = plan.accumulation_steps == 1 and plan.windows is None
    return one_chunk and plan.batch_size < plan.rows <= MOST_HASHED


def resident_chunks(table: Batch, plan: BatchPlan, start: Position = START) -> Iterator[Chunk]:
    """Chunks from `start` on, as `chunks` has them, but for their batches and length.

    Args:
        table: all rows, on the device.
        plan: how they are divided.
        start: where the order begins.
    """
    lanes = jax.device_put(np.arange(plan.padded_rows, dtype=np.int32))
    epoch, index = start
    while True:
        permutation = None
        if plan.order == DRAWN or is_drawn(plan.order, plan.rows):
            order = epoch_rows(plan.seed, epoch, 0, plan.rows, plan.rows, plan.order)
            permutation = jax.device_put(order.astype(np.int32))
        keys = round_keys(plan.seed, epoch)
        while index < plan.rows:
            update = index // plan.batch_size
            border = (update // plan.updates_per_interval + 1) * plan.updates_per_interval
            last = min(border, update + plan.updates_per_chunk, plan.updates_per_epoch)
            stop = min(plan.rows, last * plan.batch_size)
            batch = ResidentChunk(
                table, permutation, keys, np.int32(index), np.int32(plan.batch_size), lanes
            )
            position = Position(epoch + 1, 0) if stop == plan.rows else Position(epoch, stop)
            # A resident chunk is taken for a batch wherever only its updates are counted.
            yield Chunk(batch, last - update, stop - index, position)  # type: ignore[arg-type]
            index = stop
        epoch, index = epoch + 1, 0
