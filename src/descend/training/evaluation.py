"""The loss over rows that training does not touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.store import RowStore
from descend.training.objective import Apply, PerExample, make_objective
from descend.types import Array, Batch, Params

BLOCK_ROWS = 8192
RESIDENT_BYTES = 256 << 20

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
    objective = make_objective(apply, per_example)

    @jax.jit
    def sums(params: Params, batch: Batch) -> tuple[Array, Array]:
        return objective.loss_sum(params, batch), jnp.sum(batch.weight)

    resident = None
    if len(store) * store.row_bytes <= RESIDENT_BYTES:
        resident = [jax.device_put(block) for block in blocks(store)]

    def evaluate(params: Params) -> float:
        parts = [sums(params, block) for block in (resident or blocks(store))]
        loss = sum(float(part[0]) for part in parts)
        return loss / sum(float(part[1]) for part in parts)

    return evaluate


def blocks(store: RowStore, rows: int = BLOCK_ROWS) -> Iterator[Batch]:
    """All rows in order, in blocks of one shape; the last is filled with rows of weight 0."""
    size = min(rows, len(store))
    for start in range(0, len(store), size):
        numbers = np.arange(start, start + size, dtype=np.int64)
        block = store.gather(np.minimum(numbers, len(store) - 1))
        block.weight[len(store) - start :] = 0.0
        yield block
