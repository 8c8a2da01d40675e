"""The loss over rows that training does not touch."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.prefetch import prefetched
from descend.data.rows.store import MemoryStore, RowStore
from descend.training.jax_setup import in_full_precision
from descend.training.objective import Apply, PerExample, make_objective
from descend.types import Array, Batch, Params

BLOCK_ROWS = 8192
BLOCK_BYTES = 64 << 20
"""At most so many rows, and of large rows fewer, are evaluated at once."""
RESIDENT_BYTES = 256 << 20
MOST_WAITING = 4

Evaluate = Callable[[Params], float]


def make_evaluate(apply: Apply, per_example: PerExample, store: RowStore) -> Evaluate:
    """The weighted mean loss over all rows of a store, penalty left out.

    Args:
        apply: `(params, x) -> outputs`.
        per_example: `(outputs, y) -> [B]`.
        store: the rows; kept on the device where they are few, read again each time otherwise.

    Returns:
        `params -> loss`; blocks are summed in float64, always in the same order.
    """
    sums = _compiled_sums(apply, per_example)
    resident = None
    if isinstance(store, MemoryStore) and len(store) * store.row_bytes <= RESIDENT_BYTES:
        resident = [jax.device_put(block) for block in blocks(store)]

    def streamed() -> Iterator[Batch]:
        """The next block is read while this one is summed."""
        with closing(prefetched(blocks(store), jax.device_put)) as coming:
            yield from coming

    def evaluate(params: Params) -> float:
        waiting: deque[tuple[Array, Array]] = deque()
        loss = weight = 0.0
        for block in resident or streamed():
            waiting.append(sums(params, block))
            # Blocks whose sums are not asked for would pile up in memory.
            if len(waiting) > MOST_WAITING:
                loss, weight = _added(loss, weight, waiting.popleft())
        for part in waiting:
            loss, weight = _added(loss, weight, part)
        return loss / weight

    return evaluate


@functools.lru_cache(maxsize=32)
def _compiled_sums(
    apply: Apply, per_example: PerExample
) -> Callable[[Params, Batch], tuple[Array, Array]]:
    """The weighted sum of losses and the sum of weights; compiled once for each network."""
    objective = make_objective(apply, per_example)

    @jax.jit
    @in_full_precision
    def sums(params: Params, batch: Batch) -> tuple[Array, Array]:
        return objective.loss_sum(params, batch), jnp.sum(batch.weight)

    return sums


def _added(loss: float, weight: float, part: tuple[Array, Array]) -> tuple[float, float]:
    return loss + float(part[0]), weight + float(part[1])


def blocks(store: RowStore, rows: int = BLOCK_ROWS) -> Iterator[Batch]:
    """All rows in order, in blocks of one shape; the last is filled with rows of weight 0."""
    size = min(rows, len(store), max(1, BLOCK_BYTES // store.row_bytes))
    for start in range(0, len(store), size):
        stop = min(start + size, len(store))
        block = store.gather(np.arange(start, stop, dtype=np.int64))
        yield block if stop == start + size else _lengthened(block, start + size - stop)


def _lengthened(block: Batch, rows: int) -> Batch:
    """With the last row so many times more, at weight 0."""

    def longer(values: Array) -> Array:
        return np.concatenate([values, np.broadcast_to(values[-1:], (rows, *values.shape[1:]))])

    longest: Batch = jax.tree.map(longer, block)
    longest.weight[-rows:] = 0.0
    return longest
