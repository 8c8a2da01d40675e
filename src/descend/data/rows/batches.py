"""Cut epochs into chunks of mini-batches, each with the position after it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from descend.data.rows.mapped_store import MappedStore, WindowReader
from descend.data.rows.order import HASHED, epoch_rows
from descend.data.rows.store import AnyArray, MemoryStore, RowStore
from descend.data.rows.windows import Windows, windowed_rows
from descend.errors import SettingsError
from descend.types import Array, Batch, Position

CHUNK_BYTES = 4 << 20
MAX_UPDATES = 4096
MICRO_ROWS = 8192
"""Most rows whose gradient is computed at once. Larger batches are split into microbatches whose
gradients are summed: the working set stays in the cache (twice as fast at 100,000 rows) and memory
is bounded."""

MAX_BATCH_BYTES = 128 << 20
"""A larger batch is divided into several chunks, whose gradients are accumulated."""
CHUNKS_PER_WINDOW = 16
"""Where rows are read in windows, a chunk is at most this fraction of a window."""

START = Position(0, 0)

Read = Callable[[int, int, int], Batch]


class Chunk(NamedTuple):
    """Mini-batches for several updates, or a part of one large mini-batch.

    Attributes:
        batch: leaves `[plan.updates_per_chunk, plan.padded_rows, ...]`; those past `updates` are
            padding.
        updates: number of mini-batches that count; 0 where the mini-batch is not complete yet.
        examples: number of rows that count.
        position: the position after this chunk; the start of the mini-batch while that is not
            complete.
    """

    batch: Batch
    updates: int
    examples: int
    position: Position


@dataclass(frozen=True)
class BatchPlan:
    """How the rows of an epoch are divided into updates, chunks and evaluation intervals.

    Attributes:
        rows: rows in the table.
        batch_size: rows per update, at most `rows`.
        seed: of the order.
        updates_per_chunk: most updates in one chunk.
        intervals_per_epoch: evaluation intervals in an epoch; no chunk crosses their borders.
        micro_rows: most rows whose gradient is computed at once.
        accumulation_steps: number of chunks per batch; more than 1 only where it is too large
            for one.
        windows: in which an epoch reads rows that are not all in memory; None: one uniform order.
        order: which order of `data.rows.order`, where there are no windows.
        resident: whether the device gathers the rows itself, from a table in its memory.
    """

    rows: int
    batch_size: int
    seed: int
    updates_per_chunk: int
    intervals_per_epoch: int = 1
    micro_rows: int = MICRO_ROWS
    accumulation_steps: int = 1
    windows: Windows | None = None
    order: int = HASHED
    resident: bool = False

    @property
    def chunk_rows(self) -> int:
        """Rows of a batch in one chunk: all of them, unless gradients are accumulated."""
        return -(-self.batch_size // self.accumulation_steps)

    @property
    def microbatches(self) -> int:
        """Number of microbatches that the rows of a batch in a chunk are split into."""
        return -(-self.chunk_rows // self.micro_rows)

    @property
    def padded_rows(self) -> int:
        """`chunk_rows` padded to a multiple of the microbatches, so that these have one length."""
        return self.microbatches * -(-self.chunk_rows // self.microbatches)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch: 100,000 rows at batch size 1,000 are 100."""
        return -(-self.rows // self.batch_size)

    @property
    def updates_per_interval(self) -> int:
        """Updates in an evaluation interval; the last of an epoch may be shorter."""
        return -(-self.updates_per_epoch // self.intervals_per_epoch)


def plan_batches(
    store: RowStore,
    batch_size: int,
    seed: int,
    *,
    intervals_per_epoch: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
    most_bytes: int = MAX_BATCH_BYTES,
) -> BatchPlan:
    """A plan whose chunks hold about `chunk_bytes`: large enough to hide the cost of a call.

    A batch of more than `most_bytes` is divided into several chunks.
    """
    rows, windows = len(store), store.windows
    most = most_bytes
    if windows is not None:
        most = max(chunk_bytes, windows.rows * store.row_bytes // CHUNKS_PER_WINDOW)
    steps = max(1, -(-batch_size * store.row_bytes // most))
    whole = BatchPlan(
        rows, batch_size, seed, 1, intervals_per_epoch, accumulation_steps=steps, windows=windows
    )
    by_bytes = chunk_bytes // (store.row_bytes * batch_size)
    interval = whole.updates_per_interval
    most = max(1, min(by_bytes, MAX_UPDATES, interval))
    # The chunks of an interval are about equally long: a short one is filled up like the others.
    return replace(whole, updates_per_chunk=-(-interval // -(-interval // most)))


def without_microbatches(plan: BatchPlan) -> BatchPlan:
    """The plan with undivided batches, for models that process the rows of a batch together.

    A short last batch is padded with other rows of its chunk, at weight 0. So a chunk never
    consists of it alone, if that can be avoided.

    Raises:
        SettingsError: a batch is too large to stay undivided.
    """
    if plan.accumulation_steps > 1:
        raise SettingsError(
            f"batch_size={plan.batch_size:,} is too large for a model that processes the rows of a "
            "batch together, as batch normalization does: its gradient would have to be "
            f"accumulated over several parts. Give at most {plan.chunk_rows:,}."
        )
    updates = plan.updates_per_chunk
    last = plan.updates_per_epoch - (plan.intervals_per_epoch - 1) * plan.updates_per_interval
    if plan.rows % plan.batch_size and last > 1:
        updates = max(2, updates)
        while last % updates == 1:
            updates += 1
    return replace(plan, micro_rows=plan.batch_size, updates_per_chunk=updates)


def chunks(
    store: RowStore, plan: BatchPlan, start: Position = START, *, buffers: int | None = None
) -> Iterator[Chunk]:
    """Chunks from `start` on, epoch after epoch, without end.

    Args:
        store: the rows.
        plan: how they are divided.
        start: the position to begin at.
        buffers: number of chunks whose arrays are valid at a time, the newest among them; older
            arrays are reused. None: every chunk has new arrays.
    """
    if plan.accumulation_steps > 1:
        yield from _accumulation_chunks(store, plan, start)
        return
    if plan.batch_size == plan.rows:
        yield from _whole_table(store, plan, start)
        return
    read = reader(store, plan, buffers)
    position = start
    while True:
        stop = chunk_border(plan, position)
        batch = read(position.epoch, position.index, stop)
        examples = stop - position.index
        updates = -(-examples // plan.batch_size)
        position = next_position(plan, position.epoch, stop)
        yield Chunk(_shape(batch, plan), updates, examples, position)


def chunk_border(plan: BatchPlan, position: Position) -> int:
    """The index at which the chunk that begins at a position ends."""
    update = position.index // plan.batch_size
    border = min(
        plan.updates_per_epoch,
        (update // plan.updates_per_interval + 1) * plan.updates_per_interval,
    )
    return min(plan.rows, min(update + plan.updates_per_chunk, border) * plan.batch_size)


def reader(store: RowStore, plan: BatchPlan, buffers: int | None = None) -> Read:
    """`(epoch, start, stop) -> Batch`: the rows from `start` to `stop` of an epoch's order, copied.

    From a MemoryStore the result is always a whole chunk, padded after the requested rows.
    """
    windows = plan.windows
    if windows is None:
        if isinstance(store, MemoryStore) and plan.accumulation_steps == 1:
            return _chunk_reader(store, plan, buffers)
        return lambda epoch, start, stop: store.gather(
            epoch_rows(plan.seed, epoch, start, stop, plan.rows, plan.order)
        )
    if isinstance(store, MappedStore) and store.header.piece_rows == windows.piece_rows:
        return WindowReader(store, windows, plan.seed)
    return lambda epoch, start, stop: store.gather(
        windowed_rows(windows, plan.seed, epoch, start, stop, plan.rows)
    )


def _chunk_reader(store: MemoryStore, plan: BatchPlan, buffers: int | None) -> Read:
    """A reader of whole chunks that reuses its arrays: allocating would cost as much as copying."""
    rows = plan.updates_per_chunk * plan.chunk_rows
    spaces: Iterator[Batch]
    if buffers is None:
        spaces = (store.space(rows) for _ in itertools.count())
    else:
        spaces = itertools.cycle([store.space(rows) for _ in range(buffers)])

    def read(epoch: int, start: int, stop: int) -> Batch:
        space = next(spaces)
        rows_of_chunk = epoch_rows(plan.seed, epoch, start, stop, plan.rows, plan.order)
        store.gather_into(space, rows_of_chunk)
        if stop - start < rows:
            for values in (*space.x.values(), space.y):
                values[stop - start :] = values[0]
            space.weight[stop - start :] = 0.0
        return space

    return read


def _accumulation_chunks(store: RowStore, plan: BatchPlan, start: Position) -> Iterator[Chunk]:
    """Chunks of batches that are too large for one; a batch of all rows is in the table's order."""
    read = reader(store, plan)
    position = start
    while True:
        end = min(plan.rows, position.index + plan.batch_size)
        following = next_position(plan, position.epoch, end)
        for first in range(position.index, end, plan.chunk_rows):
            last = min(end, first + plan.chunk_rows)
            if plan.batch_size == plan.rows:
                batch = store.gather(np.arange(first, last, dtype=np.int64))
            else:
                batch = read(position.epoch, first, last)
            final = last == end
            yield Chunk(
                _shape(batch, plan), int(final), last - first, following if final else position
            )
        position = following


def next_position(plan: BatchPlan, epoch: int, stop: int) -> Position:
    """The position after a chunk that ends at `stop`."""
    return Position(epoch + 1, 0) if stop == plan.rows else Position(epoch, stop)


def _whole_table(store: RowStore, plan: BatchPlan, start: Position) -> Iterator[Chunk]:
    """Gradient descent: every update uses all rows, so they are gathered only once."""
    batch = _shape(store.gather(np.arange(plan.rows, dtype=np.int64)), plan)
    epoch = start.epoch
    while True:
        epoch += 1
        yield Chunk(batch, 1, plan.rows, Position(epoch, 0))


def _shape(batch: Batch, plan: BatchPlan) -> Batch:
    """The rows as `[updates, padded_rows, ...]`, padding at weight 0."""
    missing = plan.updates_per_chunk * plan.chunk_rows - len(batch.weight)
    if missing:
        batch = _map(batch, lambda values: np.concatenate([values, _repeat_first(values, missing)]))
        batch.weight[-missing:] = 0.0
    replace_unweighted_rows(batch)
    batch = _map(batch, lambda values: _shape_leaf(values, plan))
    batch.weight[:, plan.chunk_rows :] = 0.0
    return batch


def _repeat_first(values: AnyArray, times: int) -> AnyArray:
    """The first row, repeated."""
    return np.broadcast_to(values[:1], (times, *values.shape[1:]))


def replace_unweighted_rows(batch: Batch) -> None:
    """Overwrite rows of weight 0 with copies of the other rows.

    Otherwise a NaN gradient of such a row, times 0, would still be NaN; and a model that
    processes the rows of a batch together would see rows that are not in the batch.
    """
    idle = batch.weight == 0.0
    if not idle.any():
        return
    weighted = np.flatnonzero(~idle)
    copied = np.resize(weighted, np.count_nonzero(idle))
    for values in (*batch.x.values(), batch.y):
        values[idle] = values[copied] if len(weighted) else 0


def _shape_leaf(values: AnyArray, plan: BatchPlan) -> AnyArray:
    """`[updates, padded_rows, ...]`; the padding of a batch repeats its last row."""
    split = values.reshape(plan.updates_per_chunk, plan.chunk_rows, *values.shape[1:])
    if plan.padded_rows == plan.chunk_rows:
        return split
    rows = np.minimum(np.arange(plan.padded_rows), plan.chunk_rows - 1)
    return np.take(split, rows, axis=1)


def _map(batch: Batch, change: Callable[[Array], Array]) -> Batch:
    return Batch(
        {name: change(values) for name, values in batch.x.items()},
        change(batch.y),
        change(batch.weight),
    )
