"""Each process's slice of every mini-batch, where several processes share a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from descend.data.rows.batches import (
    BatchPlan,
    Chunk,
    chunk_border,
    next_position,
    reader,
    replace_unweighted_rows,
)
from descend.data.rows.order import Rows, epoch_rows
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.store import RowStore
from descend.data.rows.windows import windowed_rows
from descend.types import Batch, Position

_SEEDS = 1 << 64
"""Above every other seed, so that each process has orders of its own."""


def slice_plan(store: RowStore, plan: BatchPlan, processes: int) -> BatchPlan:
    """The plan for the slices of one process: batches of the rows that one process has of each.

    Its microbatches and padding are those of a slice; positions and updates are those of `plan`.
    """
    rows = -(-plan.batch_size // processes)
    if isinstance(store, SharedStore):
        rows = store.most_in(plan.batch_size)
    return replace(plan, batch_size=rows, accumulation_steps=1)


def sliced_chunks(
    store: RowStore, plan: BatchPlan, start: Position, index: int, processes: int
) -> Iterator[Chunk]:
    """The chunks of `chunks`, without end, reduced to the slices of one process.

    Row i of a batch belongs to the process i // s, with s = ⌈batch size / processes⌉. Only these
    rows are read. Of rows that are shared out, a process gives those that it has.

    Args:
        store: the rows of the whole table, or the part of this process.
        plan: of whole batches.
        start: where the order begins.
        index: of the process, from 0.
        processes: how many share the batches.

    Yields:
        Leaves `[plan.updates_per_chunk, padded rows of a slice, ...]`; `updates`, `examples` and
        `position` are those of the whole batches.
    """
    if isinstance(store, SharedStore):
        yield from _own_chunks(store, plan, start)
        return
    part = slice_plan(store, plan, processes)
    # Positions of a slice's rows within its batch; padding repeats the last row at weight 0.
    within = np.minimum(np.arange(part.padded_rows), part.chunk_rows - 1)
    places = index * part.chunk_rows + within
    counts = (np.arange(part.padded_rows) < part.chunk_rows) & (places < plan.batch_size)
    starts = np.arange(plan.updates_per_chunk) * plan.batch_size
    position = start
    while True:
        stop = chunk_border(plan, position)
        rows = _rows_at(plan, position.epoch, position.index, stop)
        in_chunk = starts[:, None] + np.minimum(places, plan.batch_size - 1)[None, :]
        weighted = counts[None, :] & (in_chunk < len(rows))
        batch = store.gather(rows[np.minimum(in_chunk, len(rows) - 1).ravel()])
        yield _chunk(batch, weighted, plan, position, stop)
        position = next_position(plan, position.epoch, stop)


def _own_chunks(store: SharedStore, plan: BatchPlan, start: Position) -> Iterator[Chunk]:
    """The chunks of the rows that this process has, each a slice of the batches of all."""
    part = slice_plan(store, plan, 1)
    own = replace(
        plan,
        rows=len(store.own),
        seed=plan.seed + (store.index + 1) * _SEEDS,
        windows=store.own.windows,
        # So the reader makes no assumption on the length of a chunk.
        accumulation_steps=2,
    )
    read = reader(store.own, own) if len(store.own) else None
    within = np.arange(part.padded_rows)
    position = start
    while True:
        stop = chunk_border(plan, position)
        places = range(position.index, stop, plan.batch_size)
        before = np.asarray(store.own_before([*places, stop]), np.int64)
        first, last = int(before[0]), int(before[-1])
        counts = np.zeros(plan.updates_per_chunk, np.int64)
        counts[: len(places)] = np.diff(before)
        starts = np.zeros_like(counts)
        starts[: len(places)] = before[:-1] - first
        weighted = within[None, :] < counts[:, None]
        if read is None or first == last:
            # There has to be a row to repeat at weight 0.
            some, last = store.sample.gather(np.zeros(1, np.int64)), first + 1
        elif plan.batch_size == plan.rows:
            some = store.own.gather(np.arange(first, last, dtype=np.int64))
        else:
            some = read(position.epoch, first, last)
        chosen = np.minimum(starts[:, None] + within[None, :], last - first - 1).ravel()
        yield _chunk(_rows_of(some, chosen), weighted, plan, position, stop)
        position = next_position(plan, position.epoch, stop)


def _chunk(
    batch: Batch, weighted: npt.NDArray[np.bool_], plan: BatchPlan, position: Position, stop: int
) -> Chunk:
    """Rows as the slices of a chunk that ends at `stop`; rows that do not count have weight 0."""
    batch.weight[~weighted.ravel()] = 0.0
    replace_unweighted_rows(batch)
    examples = stop - position.index
    return Chunk(
        _shape(batch, weighted.shape),
        -(-examples // plan.batch_size),
        examples,
        next_position(plan, position.epoch, stop),
    )


def _rows_of(batch: Batch, chosen: Rows) -> Batch:
    return Batch(
        {name: np.take(values, chosen, axis=0) for name, values in batch.x.items()},
        np.take(batch.y, chosen, axis=0),
        np.take(batch.weight, chosen),
    )


def _rows_at(plan: BatchPlan, epoch: int, start: int, stop: int) -> Rows:
    """The row numbers from `start` to `stop` of an epoch's order."""
    if plan.batch_size == plan.rows:
        return np.arange(start, stop, dtype=np.int64)
    if plan.windows is None:
        return epoch_rows(plan.seed, epoch, start, stop, plan.rows, plan.order)
    return windowed_rows(plan.windows, plan.seed, epoch, start, stop, plan.rows)


def _shape(batch: Batch, shape: tuple[int, ...]) -> Batch:
    return Batch(
        {name: values.reshape(*shape, *values.shape[1:]) for name, values in batch.x.items()},
        batch.y.reshape(*shape, *batch.y.shape[1:]),
        batch.weight.reshape(shape),
    )
