"""Chunks on their way from the store to the device."""

from __future__ import annotations

from collections.abc import Callable

import jax

from descend.data.rows.batches import START, Chunk, Plan, chunks
from descend.data.rows.feed import Feed
from descend.data.rows.store import RowStore
from descend.types import Batch, Position

STANDING = 2
"""Chunks in memory at a time: while the device computes with one, the next is gathered."""


def feed(store: RowStore, plan: Plan, start: Position = START) -> Feed[Chunk, Chunk]:
    """The chunks of a plan, each ready for the device.

    A chunk stands until the one after the next is asked for: `look_ahead` may be called while the
    device computes with the one taken last, not before.
    """
    source = chunks(store, plan, start, standing=None if store.waits else STANDING)
    return Feed(source, _placing(plan), waits=store.waits)


def _placing(plan: Plan) -> Callable[[Chunk], Chunk]:
    """Brings chunks to the device; a batch that comes again (gradient descent) stays there.

    A CPU takes arrays over when it is called, without a copy: bringing them there before costs
    five times as much.
    """
    host: Batch | None = None
    device: Batch | None = None
    as_they_are = jax.default_backend() == "cpu" and plan.updates_per_epoch > 1

    def place(chunk: Chunk) -> Chunk:
        nonlocal host, device
        if as_they_are:
            return chunk
        if device is None or chunk.batch is not host:
            host, device = chunk.batch, jax.device_put(chunk.batch)
        return chunk._replace(batch=device)

    return place
