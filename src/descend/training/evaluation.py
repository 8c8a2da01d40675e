"""The loss over the validation rows."""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.prefetch import read_ahead
from descend.data.rows.sparse_store import SparseStore
from descend.data.rows.store import MemoryStore, RowStore
from descend.training.jax_setup import in_full_precision
from descend.training.objective import Apply, PerExample, make_objective
from descend.training.parallel import ALONE, Place, from_all
from descend.types import Array, Batch, Params

BLOCK_ROWS = 8192
BLOCK_BYTES = 64 << 20
"""Limits on the rows that are evaluated at once."""
OUTPUT_BYTES = 8 << 20
"""Limit on the outputs of a block: thousands of classes take more than the row they are for."""
RESIDENT_BYTES = 256 << 20
"""Validation rows up to this size stay on the device."""
MAX_PENDING = 4
"""Blocks whose sums may be pending; more would pile up in memory."""

Evaluate = Callable[[Params], float]


def make_evaluate(
    apply: Apply, per_example: PerExample, store: RowStore, place: Place = ALONE
) -> Evaluate:
    """The weighted mean loss over all rows of a store, without the penalty.

    Args:
        apply: `(params, x) -> outputs`.
        per_example: `(outputs, y) -> [B]`.
        store: the rows; they stay on the device if they are few, and are read anew otherwise.
        place: of several processes, each of which evaluates its share of the rows.

    Returns:
        `params -> loss`; blocks are summed in float64, always in the same order.
    """
    sums = _compiled_sums(apply, per_example)
    in_memory = isinstance(store, MemoryStore | SparseStore)
    few = in_memory and len(store) * store.row_bytes <= RESIDENT_BYTES

    @functools.cache
    def resident(rows: int) -> list[Batch]:
        return [jax.device_put(block) for block in own(rows)]

    def own(rows: int) -> Iterator[Batch]:
        return blocks(store, rows, (place.index, place.count))

    def streamed(rows: int) -> Iterator[Batch]:
        """Read the next block while this one is summed."""
        with closing(read_ahead(own(rows), jax.device_put)) as ready:
            yield from ready

    limits: list[int] = []

    def evaluate(params: Params) -> float:
        if not limits:
            limits.append(_most_rows(apply, params, store))
        pending: deque[tuple[Array, Array]] = deque()
        loss = weight = 0.0
        for block in resident(*limits) if few else streamed(*limits):
            pending.append(sums(params, block))
            if len(pending) > MAX_PENDING:
                loss, weight = _add(loss, weight, pending.popleft())
        for sums_of_block in pending:
            loss, weight = _add(loss, weight, sums_of_block)
        if place.count > 1:
            loss, weight = from_all(np.array([loss, weight])).sum(axis=0).tolist()
        return loss / weight

    return evaluate


def _most_rows(apply: Apply, params: Params, store: RowStore) -> int:
    """Rows of a block, of which the outputs are no more than OUTPUT_BYTES."""
    one = store.gather(np.zeros(1, np.int64))
    if not np.issubdtype(np.asarray(one.y).dtype, np.integer):
        return BLOCK_ROWS  # Numbers have about as many outputs as targets, which row_bytes counts.
    outputs = jax.tree.leaves(jax.eval_shape(apply, params, one.x))
    size: int = sum(leaf.size * leaf.dtype.itemsize for leaf in outputs)
    return max(1, min(BLOCK_ROWS, OUTPUT_BYTES // max(1, size)))


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


def blocks(
    store: RowStore, rows: int = BLOCK_ROWS, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """All rows in order, in blocks of one shape; the last is padded with rows of weight 0.

    Args:
        store: the rows.
        rows: most in a block.
        share: `(index, count)`, where the rows are cut into `count` contiguous shares: only
            those of this one. The last shares may be empty.
    """
    index, count = share
    part = -(-len(store) // count)
    end = min((index + 1) * part, len(store))
    size = min(rows, part, max(1, BLOCK_BYTES // store.row_bytes))
    for start in range(index * part, end, size):
        stop = min(start + size, end)
        block = store.gather(np.arange(start, stop, dtype=np.int64))
        yield block if stop == start + size else _pad(block, start + size - stop)


def _pad(block: Batch, rows: int) -> Batch:
    """The block with its last row repeated `rows` more times, at weight 0."""

    def repeat_last(values: Array) -> Array:
        return np.concatenate([values, np.broadcast_to(values[-1:], (rows, *values.shape[1:]))])

    padded: Batch = jax.tree.map(repeat_last, block)
    padded.weight[-rows:] = 0.0
    return padded
