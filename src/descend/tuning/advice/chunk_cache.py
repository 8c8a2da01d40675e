"""A cache of chunks by number, so that all trials of a batch size read the same rows."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from descend.data.rows.batches import BatchPlan, Chunk
from descend.data.rows.store import RowStore
from descend.training.device_feed import chunk_source
from descend.training.resident import ResidentChunk
from descend.types import Array, Position

CACHE_BYTES = 24 << 20
"""Chunks cached per batch size; at least one."""


class ChunkCache:
    """The chunks of an epoch's order by number, the most recent ones cached; safe for threads."""

    def __init__(self, store: RowStore, plan: BatchPlan) -> None:
        self._store, self._plan = store, plan
        self._starts = [Position(0, 0)]
        self._cached: OrderedDict[int, Chunk] = OrderedDict()
        self._capacity = max(1, CACHE_BYTES // self.chunk_bytes)
        self._source: Iterator[Chunk] = chunk_source(store, plan)
        self._next = 0
        self._lock = threading.Lock()

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk; next to none where the device gathers the rows."""
        if self._plan.resident:
            return 1
        rows = self._plan.updates_per_chunk * self._plan.padded_rows
        return max(1, rows * self._store.row_bytes)

    def chunk(self, number: int, offset: int = 0) -> Chunk:
        """The chunk with this number, without its first `offset` updates."""
        with self._lock:
            if number not in self._cached:
                self._read(number)
            self._cached.move_to_end(number)
            chunk = self._cached[number]
        if offset == 0:
            return chunk

        def rotate(leaf: Array) -> Array:
            # The shape stays, so that the same program runs; the updates made go to the end.
            values = np.asarray(leaf)
            return np.concatenate([values[offset:], values[:offset]])

        batch: Any = chunk.batch
        if isinstance(batch, ResidentChunk):
            first = int(batch.first) + offset * self._plan.batch_size
            batch = batch._replace(first=np.int32(first))
        else:
            batch = jax.tree.map(rotate, batch)
        return chunk._replace(
            batch=batch,
            updates=chunk.updates - offset,
            examples=chunk.examples - offset * self._plan.batch_size,
        )

    def position(self, cursor: tuple[int, int]) -> Position:
        """The position in the order of rows of (chunk number, updates made in that chunk)."""
        start = self._starts[cursor[0]]
        return Position(start.epoch, start.index + cursor[1] * self._plan.batch_size)

    def _read(self, number: int) -> None:
        if number != self._next:
            self._source = chunk_source(self._store, self._plan, self._starts[number])
        chunk = next(self._source)
        self._next = number + 1
        if len(self._starts) == self._next:
            self._starts.append(chunk.position)
        if not self._plan.resident:
            chunk = chunk._replace(batch=jax.device_put(chunk.batch))
        self._cached[number] = chunk
        while len(self._cached) > self._capacity:
            self._cached.popitem(last=False)
