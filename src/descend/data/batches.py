"""Chunks of mini-batches, in the order of the epoch, each with the position after it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from descend.data.order import epoch_rows
from descend.data.store import AnyArray, RowStore
from descend.types import Array, Batch, Position

CHUNK_BYTES = 4 << 20
MOST_UPDATES = 4096
MICRO_ROWS = 8192
"""Rows whose gradient is computed at once; larger batches are summed piece by piece, which keeps
the working set in the cache (three times faster at 100,000 rows) and memory bounded."""

T = TypeVar("T")
U = TypeVar("U")


class Chunk(NamedTuple):
    """Mini-batches for a stretch of updates.

    Attributes:
        batch: leaves `[plan.updates_per_chunk, plan.places, ...]`; those past `updates` are filler.
        updates: mini-batches that count.
        examples: rows that count.
        position: where the order stands after this chunk.
    """

    batch: Batch
    updates: int
    examples: int
    position: Position


@dataclass(frozen=True)
class Plan:
    """How the rows of an epoch are cut into updates, chunks and stretches between evaluations.

    Attributes:
        rows: rows in the table.
        batch_size: rows per update, at most `rows`.
        seed: of the order.
        updates_per_chunk: most updates in one chunk.
        stretches: an epoch is cut into this many parts, and no chunk crosses a cut.
        micro_rows: most rows whose gradient is computed at once.
    """

    rows: int
    batch_size: int
    seed: int
    updates_per_chunk: int
    stretches: int = 1
    micro_rows: int = MICRO_ROWS

    @property
    def pieces(self) -> int:
        """Micro-batches that a batch is cut into."""
        return -(-self.batch_size // self.micro_rows)

    @property
    def places(self) -> int:
        """Rows of a batch with filler, so that all its pieces have one length."""
        return self.pieces * -(-self.batch_size // self.pieces)

    @property
    def updates_per_epoch(self) -> int:
        """Updates in an epoch: 100,000 rows at batch size 1,000 are 100."""
        return -(-self.rows // self.batch_size)

    @property
    def updates_per_stretch(self) -> int:
        """Updates from one cut of the epoch to the next; the last stretch may be shorter."""
        return -(-self.updates_per_epoch // self.stretches)


def plan_batches(
    store: RowStore,
    batch_size: int,
    seed: int,
    *,
    stretches: int = 1,
    chunk_bytes: int = CHUNK_BYTES,
) -> Plan:
    """A plan whose chunks hold about `chunk_bytes`: large enough to hide the cost of a call."""
    rows = len(store)
    by_bytes = chunk_bytes // (store.row_bytes * batch_size)
    whole = Plan(rows, batch_size, seed, 1, stretches)
    updates = max(1, min(by_bytes, MOST_UPDATES, whole.updates_per_stretch))
    return Plan(rows, batch_size, seed, updates, stretches)


def chunks(store: RowStore, plan: Plan, start: Position = Position(0, 0)) -> Iterator[Chunk]:
    """Chunks without end from `start` on, epoch after epoch."""
    if plan.batch_size == plan.rows:
        yield from _whole_table(store, plan, start)
        return
    position = start
    while True:
        update = position.index // plan.batch_size
        cut = min(
            plan.updates_per_epoch,
            (update // plan.updates_per_stretch + 1) * plan.updates_per_stretch,
        )
        stop = min(plan.rows, min(update + plan.updates_per_chunk, cut) * plan.batch_size)
        rows = epoch_rows(plan.seed, position.epoch, position.index, stop, plan.rows)
        updates = -(-len(rows) // plan.batch_size)
        counted = len(rows)
        position = (
            Position(position.epoch + 1, 0) if stop == plan.rows else Position(position.epoch, stop)
        )
        yield Chunk(_gathered(store, rows, plan), updates, counted, position)


def _whole_table(store: RowStore, plan: Plan, start: Position) -> Iterator[Chunk]:
    """Gradient descent: all rows at every update, so one gathering serves all epochs."""
    batch = _gathered(store, np.arange(plan.rows, dtype=np.int64), plan)
    epoch = start.epoch
    while True:
        epoch += 1
        yield Chunk(batch, 1, plan.rows, Position(epoch, 0))


def _gathered(store: RowStore, rows: npt.NDArray[np.int64], plan: Plan) -> Batch:
    """The rows as `[updates, places, ...]`, filler weighing nothing where rows run short."""
    full = plan.updates_per_chunk * plan.batch_size
    if len(rows) < full:
        filler = np.full(full - len(rows), rows[0])
        batch = store.gather(np.concatenate([rows, filler]))
        batch.weight[len(rows) :] = 0.0
    else:
        batch = store.gather(rows)
    _quieten(batch)
    batch = _map(batch, lambda values: _shaped(values, plan))
    batch.weight[:, plan.batch_size :] = 0.0
    return batch


def _quieten(batch: Batch) -> None:
    """Give rows of weight 0 the content of a row that counts.

    0 times a gradient that is not finite would not be 0.
    """
    idle = batch.weight == 0.0
    if not idle.any():
        return
    working = int(np.argmin(idle))
    for values in (*batch.x.values(), batch.y):
        values[idle] = 0 if idle[working] else values[working]


def _shaped(values: AnyArray, plan: Plan) -> AnyArray:
    """`[updates, places, ...]`; the places past the batch size repeat its last row."""
    shaped = values.reshape(plan.updates_per_chunk, plan.batch_size, *values.shape[1:])
    if plan.places == plan.batch_size:
        return shaped
    places = np.minimum(np.arange(plan.places), plan.batch_size - 1)
    return np.take(shaped, places, axis=1)


def _map(batch: Batch, change: Callable[[Array], Array]) -> Batch:
    return Batch(
        {name: change(values) for name, values in batch.x.items()},
        change(batch.y),
        change(batch.weight),
    )


class _Failure(NamedTuple):
    error: BaseException


def prefetched(
    source: Iterator[T], prepare: Callable[[T], U], *, depth: int = 2
) -> Generator[U, None, None]:
    """Run `source` and `prepare` in a thread, at most `depth` items ahead of the reader.

    Closing the returned generator ends the thread; an error in it is raised to the reader.
    """
    ready: queue.Queue[U | _Failure] = queue.Queue(maxsize=depth)
    closed = threading.Event()

    def offer(item: U | _Failure) -> None:
        while not closed.is_set():
            try:
                ready.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def work() -> None:
        try:
            for item in source:
                offer(prepare(item))
                if closed.is_set():
                    return
            offer(_Failure(StopIteration()))
        except BaseException as error:
            offer(_Failure(error))

    thread = threading.Thread(target=work, name="descend-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item = ready.get()
            if isinstance(item, _Failure):
                if isinstance(item.error, StopIteration):
                    return
                raise item.error
            yield item
    finally:
        closed.set()
        thread.join()
