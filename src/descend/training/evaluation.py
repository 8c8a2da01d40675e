"""The loss over the validation rows."""

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
"""Limits on the rows that are evaluated at once."""
RESIDENT_BYTES = 256 << 20
"""Validation rows up to this size stay on the device."""
MAX_PENDING = 4
"""Blocks whose sums may be pending; more would pile up in memory."""

Evaluate = Callable[[Params], float]


def make_evaluate(apply: Apply, per_example: PerExample, store: RowStore) -> Evaluate:
    """The weighted mean loss over all rows of a store, without the penalty.

    Args:
        apply: `(params, x) -> outputs`.
        per_example: `(outputs, y) -> [B]`.
        store: the rows; they stay on the device if they are few, and are read anew otherwise.

    Returns:
        `params -> loss`; blocks are summed in float64, always in the same order.
    """
    sums = _compiled_sums(apply, per_example)
    resident = None
    if isinstance(store, MemoryStore) and len(store) * store.row_bytes <= RESIDENT_BYTES:
        resident = [jax.device_put(block) for block in blocks(store)]

    def streamed() -> Iterator[Batch]:
        """Read the next block while this one is summed."""
        with closing(prefetched(blocks(store), jax.device_put)) as ready:
            yield from ready

    def evaluate(params: Params) -> float:
        pending: deque[tuple[Array, Array]] = deque()
        loss = weight = 0.0
        for block in resident or streamed():
            pending.append(sums(params, block))
            if len(pending) > MAX_PENDING:
                loss, weight = _add(loss, weight, pending.popleft())
        for sums_of_block in pending:
            loss, weight = _add(loss, weight, sums_of_block)
        return loss / weight

    return evaluate


@functools.lru_cache(maxsize=32)
def _compiled_sums(
    apply: Apply, per_example: PerExample
) -> Callable[[Params, Batch], tuple[Array, Array]]:
    """The weighted sum of losses and the sum of weights; compiled once per network and loss."""
    objective = make_objective(apply, per_example)

    @jax.jit
    @in_full_precision
    def sums(params: Params, batch: Batch) -> tuple[Array, Array]:
        return objective.loss_sum(params, batch), jnp.sum(batch.weight)

    return sums


def _add(loss: float, weight: float, block: tuple[Array, Array]) -> tuple[float, float]:
    return loss + float(block[0]), weight + float(block[1])


def blocks(store: RowStore, rows: int = BLOCK_ROWS) -> Iterator[Batch]:
    """All rows in order, in blocks of one shape; the last is padded with rows of weight 0."""
    size = min(rows, len(store), max(1, BLOCK_BYTES // store.row_bytes))
    for start in range(0, len(store), size):
        stop = min(start + size, len(store))
        block = store.gather(np.arange(start, stop, dtype=np.int64))
        yield block if stop == start + size else _pad(block, start + size - stop)


def _pad(block: Batch, rows: int) -> Batch:
    """The block with its last row repeated `rows` more times, at weight 0."""

    def repeat_last(values: Array) -> Array:
        return np.concatenate([values, np.broadcast_to(values[-1:], (rows, *values.shape[1:]))])

    padded: Batch = jax.tree.map(repeat_last, block)
    padded.weight[-rows:] = 0.0
    return padded
