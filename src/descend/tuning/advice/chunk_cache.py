"""The chunks of a batch size by number: all trials of a size read the same rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator

import jax
import numpy as np

from descend.data.rows.batches import BatchPlan, Chunk, chunks
from descend.data.rows.store import RowStore
from descend.types import Array, Position

KEPT_BYTES = 24 << 20
"""Chunks of a size that are kept for its other trials; one at the least."""


class ChunkCache:
    """The chunks of an epoch's order by number, the last few kept; for several threads."""

    def __init__(self, store: RowStore, plan: BatchPlan) -> None:
        self._store, self._plan = store, plan
        self._starts = [Position(0, 0)]
        self._kept: OrderedDict[int, Chunk] = OrderedDict()
        self._most = max(1, KEPT_BYTES // self.chunk_bytes)
        self._source: Iterator[Chunk] = chunks(store, plan)
        self._next = 0
        self._lock = threading.Lock()

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk."""
        return max(1, self._plan.updates_per_chunk * self._plan.places * self._store.row_bytes)

    def chunk(self, number: int, offset: int = 0) -> Chunk:
        """The chunk with this number, the first `offset` of its updates moved to its end."""
        with self._lock:
            if number not in self._kept:
                self._read(number)
            self._kept.move_to_end(number)
            chunk = self._kept[number]
        if offset == 0:
            return chunk

        def moved(leaf: Array) -> Array:
            values = np.asarray(leaf)
            return np.concatenate([values[offset:], values[:offset]])

        return chunk._replace(
            batch=jax.tree.map(moved, chunk.batch),
            updates=chunk.updates - offset,
            examples=chunk.examples - offset * self._plan.batch_size,
        )

    def position(self, place: tuple[int, int]) -> Position:
        """Where in the order of rows a place is."""
        start = self._starts[place[0]]
        return Position(start.epoch, start.index + place[1] * self._plan.batch_size)

    def _read(self, number: int) -> None:
        if number != self._next:
            self._source = chunks(self._store, self._plan, self._starts[number])
        chunk = next(self._source)
        self._next = number + 1
        if len(self._starts) == self._next:
            self._starts.append(chunk.position)
        self._kept[number] = chunk._replace(batch=jax.device_put(chunk.batch))
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
