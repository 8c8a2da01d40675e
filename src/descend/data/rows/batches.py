"""Chunks of mini-batches, in the order of the epoch, each with the position after it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from descend.data.rows.mapped_store import MappedStore, WindowReader
from descend.data.rows.order import epoch_rows
from descend.data.rows.store import AnyArray, MemoryStore, RowStore
from descend.data.rows.windows import Windows, windowed_rows
from descend.errors import SettingsError
from descend.types import Array, Batch, Position

CHUNK_BYTES = 4 << 20
MOST_UPDATES = 4096
MICRO_ROWS = 8192
"""Rows whose gradient is computed at once; larger batches are summed piece by piece, which keeps
the working set in the cache (three times faster at 100,000 rows) and memory bounded."""

MOST_BATCH_BYTES = 128 << 20
"""A batch of more bytes is brought in parts, whose gradients are summed one after the other."""
PARTS_OF_WINDOW = 16
"""Where rows are read in windows, a part of a batch is at most this fraction of a window."""

START = Position(0, 0)

Read = Callable[[int, int, int], Batch]


class Chunk(NamedTuple):
    """Mini-batches for a stretch of updates, or a part of one large mini-batch.

    Attributes:
        batch: leaves `[plan.updates_per_chunk, plan.places, ...]`; those past `updates` are filler.
        updates: mini-batches that count; 0 for every part of a mini-batch but its last.
        examples: rows that count.
        position: where the order stands after this chunk; before the last part of a mini-batch
            it stands at its beginning.
    """

    batch: Batch
    updates: int
    examples: int
    position: Position


@dataclass(frozen=True)
class BatchPlan:
    """How the rows of an epoch are cut into updates, chunks and stretches between evaluations.

    Attributes:
        rows: rows in the table.
        batch_size: rows per update, at most `rows`.
        seed: of the order.
        updates_per_chunk: most updates in one chunk.
        stretches: an epoch is cut into this many parts, and no chunk crosses a cut.
        micro_rows: most rows whose gradient is computed at once.
        parts: chunks that a batch is cut into, where it is too large for one.
        windows: how an epoch goes through rows that are not all in memory; None: uniformly.
    """

    rows: int
    batch_size: int
    seed: int
    updates_per_chunk: int
    stretches: int = 1
    micro_rows: int = MICRO_ROWS
    parts: int = 1
    windows: Windows | None = None

    @property
    def part_rows(self) -> int:
        """Rows of a part of a batch; the last part may be shorter."""
        return -(-self.batch_size // self.parts)

    def batch_rows(self, position: Position) -> int:
        """Rows of the mini-batch that begins at a position."""
        return min(self.batch_size, self.rows - position.index)

    @property
    def microbatches(self) -> int:
        """Micro-batches that a batch, or a part of it, is cut into."""
        return -(-self.part_rows // self.micro_rows)

    @property
    def places(self) -> int:
        """Rows of a batch, or a part, with filler, so that all its pieces have one length."""
        return self.microbatches * -(-self.part_rows // self.microbatches)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch: 100,000 rows at batch size 1,000 are 100."""
        return -(-self.rows // self.batch_size)

    @property
    def updates_per_interval(self) -> int:
        """Updates from one cut of the epoch to the next; the last stretch may be shorter."""
        return -(-self.updates_per_epoch // self.stretches)


def plan_batches(
    store: RowStore,
    batch_size: int,
    seed: int,
    *,
    stretches: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
) -> BatchPlan:
    """A plan whose chunks hold about `chunk_bytes`: large enough to hide the cost of a call."""
    rows, windows = len(store), store.windows
    most = MOST_BATCH_BYTES
    if windows is not None:
        most = max(chunk_bytes, windows.rows * store.row_bytes // PARTS_OF_WINDOW)
    parts = max(1, -(-batch_size * store.row_bytes // most))
    whole = BatchPlan(rows, batch_size, seed, 1, stretches, parts=parts, windows=windows)
    by_bytes = chunk_bytes // (store.row_bytes * batch_size)
    updates = max(1, min(by_bytes, MOST_UPDATES, whole.updates_per_interval))
    return replace(whole, updates_per_chunk=updates)


def undivided(plan: BatchPlan) -> BatchPlan:
    """The plan with every batch in one piece, for models that take its rows together.

    A short last batch is filled with other rows of its chunk, at weight 0, so a chunk never holds
    it alone where that can be helped.

    Raises:
        SettingsError: a batch is too large for that.
    """
    if plan.parts > 1:
        raise SettingsError(
            f"batch_size={plan.batch_size:,} is too large for a model that takes the rows of a "
            "batch together, as batch normalization does: a batch of so many bytes would have to "
            f"be divided. Give at most {plan.batch_size // plan.parts:,}."
        )
    updates = plan.updates_per_chunk
    last = plan.updates_per_epoch - (plan.stretches - 1) * plan.updates_per_interval
    if plan.rows % plan.batch_size and last > 1:
        updates = max(2, updates)
        while last % updates == 1:
            updates += 1
    return replace(plan, micro_rows=plan.batch_size, updates_per_chunk=updates)


def chunks(
    store: RowStore, plan: BatchPlan, start: Position = START, *, standing: int | None = None
) -> Iterator[Chunk]:
    """Chunks without end from `start` on, epoch after epoch.

    Args:
        store: the rows.
        plan: how they are cut.
        start: where the order begins.
        standing: chunks that stand at a time, the newest among them: the arrays of an older one
            may be filled again. None: each chunk has arrays of its own.
    """
    if plan.parts > 1:
        yield from _in_parts(store, plan, start)
        return
    if plan.batch_size == plan.rows:
        yield from _whole_table(store, plan, start)
        return
    read = reader(store, plan, standing)
    position = start
    while True:
        update = position.index // plan.batch_size
        cut = min(
            plan.updates_per_epoch,
            (update // plan.updates_per_interval + 1) * plan.updates_per_interval,
        )
        stop = min(plan.rows, min(update + plan.updates_per_chunk, cut) * plan.batch_size)
        batch = read(position.epoch, position.index, stop)
        counted = stop - position.index
        updates = -(-counted // plan.batch_size)
        position = _after(plan, position.epoch, stop)
        yield Chunk(_shaped_batch(batch, plan), updates, counted, position)


def reader(store: RowStore, plan: BatchPlan, standing: int | None = None) -> Read:
    """`(epoch, start, stop) -> Batch`: the rows at places of an epoch's order, copied.

    Where they come from memory, as many as a chunk holds are returned, filler behind them.
    """
    windows = plan.windows
    if windows is None:
        if isinstance(store, MemoryStore) and plan.parts == 1:
            return _filling(store, plan, standing)
        return lambda epoch, start, stop: store.gather(
            epoch_rows(plan.seed, epoch, start, stop, plan.rows)
        )
    if isinstance(store, MappedStore) and store.header.piece_rows == windows.piece_rows:
        return WindowReader(store, windows, plan.seed)
    return lambda epoch, start, stop: store.gather(
        windowed_rows(windows, plan.seed, epoch, start, stop, plan.rows)
    )


def _filling(store: MemoryStore, plan: BatchPlan, standing: int | None) -> Read:
    """Reads into whole chunks, which are used again: fresh memory costs as much as the copying."""
    rows = plan.updates_per_chunk * plan.part_rows
    spaces: Iterator[Batch]
    if standing is None:
        spaces = (store.space(rows) for _ in itertools.count())
    else:
        spaces = itertools.cycle([store.space(rows) for _ in range(standing)])

    def read(epoch: int, start: int, stop: int) -> Batch:
        space = next(spaces)
        store.gather_into(space, epoch_rows(plan.seed, epoch, start, stop, plan.rows))
        if stop - start < rows:
            for values in (*space.x.values(), space.y):
                values[stop - start :] = values[0]
            space.weight[stop - start :] = 0.0
        return space

    return read


def _in_parts(store: RowStore, plan: BatchPlan, start: Position) -> Iterator[Chunk]:
    """Batches too large for memory, part by part; the table as a whole in its own order."""
    read = reader(store, plan)
    position = start
    while True:
        end = min(plan.rows, position.index + plan.batch_size)
        following = _after(plan, position.epoch, end)
        for first in range(position.index, end, plan.part_rows):
            last = min(end, first + plan.part_rows)
            if plan.batch_size == plan.rows:
                batch = store.gather(np.arange(first, last, dtype=np.int64))
            else:
                batch = read(position.epoch, first, last)
            shaped = _shaped_batch(batch, plan)
            final = last == end
            yield Chunk(shaped, int(final), last - first, following if final else position)
        position = following


def _after(plan: BatchPlan, epoch: int, stop: int) -> Position:
    return Position(epoch + 1, 0) if stop == plan.rows else Position(epoch, stop)


def _whole_table(store: RowStore, plan: BatchPlan, start: Position) -> Iterator[Chunk]:
    """Gradient descent: all rows at every update, so one gathering serves all epochs."""
    batch = _shaped_batch(store.gather(np.arange(plan.rows, dtype=np.int64)), plan)
    epoch = start.epoch
    while True:
        epoch += 1
        yield Chunk(batch, 1, plan.rows, Position(epoch, 0))


def _shaped_batch(batch: Batch, plan: BatchPlan) -> Batch:
    """The rows as `[updates, places, ...]`, filler weighing nothing where rows run short."""
    lacking = plan.updates_per_chunk * plan.part_rows - len(batch.weight)
    if lacking:
        batch = _map(batch, lambda values: np.concatenate([values, _repeated(values, lacking)]))
        batch.weight[-lacking:] = 0.0
    _quieten(batch)
    batch = _map(batch, lambda values: _shaped(values, plan))
    batch.weight[:, plan.part_rows :] = 0.0
    return batch


def _repeated(values: AnyArray, times: int) -> AnyArray:
    """The first row, so many times."""
    return np.broadcast_to(values[:1], (times, *values.shape[1:]))


def _quieten(batch: Batch) -> None:
    """Give rows of weight 0 the content of rows that count, these in turn.

    0 times a gradient that is not finite would not be 0; and a model that takes the rows of a
    batch together then finds among them what it finds among the others.
    """
    idle = batch.weight == 0.0
    if not idle.any():
        return
    working = np.flatnonzero(~idle)
    taken = np.resize(working, np.count_nonzero(idle))
    for values in (*batch.x.values(), batch.y):
        values[idle] = values[taken] if len(working) else 0


def _shaped(values: AnyArray, plan: BatchPlan) -> AnyArray:
    """`[updates, places, ...]`; the places past the rows of a batch repeat its last."""
    shaped = values.reshape(plan.updates_per_chunk, plan.part_rows, *values.shape[1:])
    if plan.places == plan.part_rows:
        return shaped
    places = np.minimum(np.arange(plan.places), plan.part_rows - 1)
    return np.take(shaped, places, axis=1)


def _map(batch: Batch, change: Callable[[Array], Array]) -> Batch:
    return Batch(
        {name: change(values) for name, values in batch.x.items()},
        change(batch.y),
        change(batch.weight),
    )
