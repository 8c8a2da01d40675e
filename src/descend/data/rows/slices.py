"""Each process's slice of every mini-batch, where several processes share a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from descend.data.rows.batches import (
    BatchPlan,
    Chunk,
    chunk_border,
    next_position,
    replace_unweighted_rows,
)
from descend.data.rows.order import Rows, epoch_rows
from descend.data.rows.store import RowStore
from descend.data.rows.windows import windowed_rows
from descend.types import Batch, Position


def slice_plan(plan: BatchPlan, processes: int) -> BatchPlan:
    """The plan for the slices of one process: batches of 1 / `processes` of the size.

    Its microbatches and padding are those of a slice; positions and updates are those of `plan`.
    """
    return replace(plan, batch_size=-(-plan.batch_size // processes), accumulation_steps=1)


def sliced_chunks(
    store: RowStore, plan: BatchPlan, start: Position, index: int, processes: int
) -> Iterator[Chunk]:
    """The chunks of `chunks`, without end, reduced to the slices of one process.

    Row i of a batch belongs to the process i // s, with s = ⌈batch size / processes⌉. Only these
    rows are read.

    Args:
        store: the rows of the whole table.
        plan: of whole batches.
        start: where the order begins.
        index: of the process, from 0.
        processes: how many share the batches.

    Yields:
        Leaves `[plan.updates_per_chunk, padded rows of a slice, ...]`; `updates`, `examples` and
        `position` are those of the whole batches.
    """
    part = slice_plan(plan, processes)
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
        batch.weight[~weighted.ravel()] = 0.0
        replace_unweighted_rows(batch)
        examples = stop - position.index
        position = next_position(plan, position.epoch, stop)
        yield Chunk(
            _shape(batch, weighted.shape), -(-examples // plan.batch_size), examples, position
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
