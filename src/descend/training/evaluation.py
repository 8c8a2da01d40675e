"""The loss over the validation rows."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from typing import final

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.prefetch import read_ahead
from descend.data.rows.sparse_store import SparseStore
from descend.data.rows.store import MemoryStore, RowStore
from descend.training.forward import LEAST_ROWS
from descend.training.jax_setup import in_full_precision, in_this_context, jit_program
from descend.training.kept_programs import kept
from descend.training.objective import Apply, PerExample, make_objective
from descend.training.processes.messages import from_all
from descend.training.processes.place import ALONE, Place
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
Program = Callable[[Params, Mapping[str, Array], Array, Array], tuple[Array, ...]]


@final
class EvaluateRows:
    """`params -> loss`: the weighted mean loss over all rows of a store, without the penalty.

    Blocks of rows are summed in float64, always in the same order.

    Args:
        apply: `(params, x) -> outputs`.
        per_example: `(outputs, y) -> [B]`.
        store: the rows; they stay on the device if they are few, and are read anew otherwise.
        place: of several processes, each of which evaluates its share of the rows.
        forward: the program that predicts `LEAST_ROWS` rows and adds up their losses,
            `(params, x, y, weight) -> (sums, ...)`, so that a run compiles one program for both;
            None: there is none.
    """

    def __init__(
        self,
        apply: Apply,
        per_example: PerExample,
        store: RowStore,
        place: Place = ALONE,
        forward: Program | None = None,
    ) -> None:
        self._apply = apply
        self._put: Callable[[Batch], Batch] = jax.device_put if forward is None else _on_the_host
        self._sums = (
            _compiled_sums(apply, per_example) if forward is None else _sums_of_pieces(forward)
        )
        self._store = store
        self._place = place
        self._few = isinstance(store, MemoryStore | SparseStore) and (
            len(store) * store.row_bytes <= RESIDENT_BYTES
        )
        self._resident: list[Batch] = []
        self._most_rows = 0

    def __call__(self, params: Params) -> float:
        """The loss at these weights."""
        return self.start(params)()

    def start(self, params: Params) -> Callable[[], float]:
        """Give the evaluation to the device; the function returned waits for the loss.

        A device with memory of its own gets all of it at once, if the rows stay there, and the
        weights may be given away meanwhile. Otherwise the work begins when the loss is asked for.
        """
        if not self._most_rows:
            self._most_rows = _most_rows(self._apply, params, self._store)
        if not self._few:
            return lambda: self._mean(self._streamed(params))
        if not self._resident:
            self._resident = [self._put(block) for block in self._own_blocks()]
        if not self.queues:
            return lambda: self._mean(self._in_turn(params, self._resident))
        sums = [self._sums(params, block) for block in self._resident]
        return lambda: self._mean(iter(sums))

    @property
    def queues(self) -> bool:
        """Whether `start` gives all of the work to the device."""
        return self._few and jax.default_backend() != "cpu"

    def _own_blocks(self) -> Iterator[Batch]:
        return blocks(self._store, self._most_rows, (self._place.index, self._place.count))

    def _streamed(self, params: Params) -> Iterator[Array]:
        """The sums of the blocks; the next is read while this one is summed."""
        with closing(read_ahead(self._own_blocks(), in_this_context(self._put))) as ready:
            yield from self._in_turn(params, ready)

    def _in_turn(self, params: Params, ready: Iterable[Batch]) -> Iterator[Array]:
        """The sums of the blocks, of which few are computed at a time."""
        pending: deque[Array] = deque()
        for block in ready:
            pending.append(self._sums(params, block))
            if len(pending) > MAX_PENDING:
                yield pending.popleft()
        yield from pending

    def _mean(self, sums: Iterator[Array]) -> float:
        loss = weight = 0.0
        for sums_of_block in sums:
            loss_of_block, weight_of_block = np.asarray(sums_of_block).tolist()
            loss, weight = loss + loss_of_block, weight + weight_of_block
        if self._place.count > 1:
            loss, weight = from_all(np.array([loss, weight])).sum(axis=0).tolist()
        return loss / weight


def _most_rows(apply: Apply, params: Params, store: RowStore) -> int:
    """Rows of a block, of which the outputs are no more than OUTPUT_BYTES."""
    one = store.gather(np.zeros(1, np.int64))
    if not np.issubdtype(np.asarray(one.y).dtype, np.integer):
        return BLOCK_ROWS  # Numbers have about as many outputs as targets, which row_bytes counts.
    outputs = jax.tree.leaves(jax.eval_shape(apply, params, one.x))
    size: int = sum(leaf.size * leaf.dtype.itemsize for leaf in outputs)
    return max(1, min(BLOCK_ROWS, OUTPUT_BYTES // max(1, size)))


@kept
def _compiled_sums(apply: Apply, per_example: PerExample) -> Callable[[Params, Batch], Array]:
    """The weighted sum of losses and the sum of weights; compiled once per network and loss."""
    objective = make_objective(apply, per_example)

    @jit_program
    @in_full_precision
    def sums(params: Params, batch: Batch) -> Array:
        # One array, since each costs a transfer from the device.
        return jnp.stack([objective.loss_sum(params, batch), jnp.sum(batch.weight)])

    return sums


def _sums_of_pieces(forward: Program) -> Callable[[Params, Batch], Array]:
    """The same sums, by a program for `LEAST_ROWS` rows."""

    def of_block(params: Params, block: Batch) -> Array:
        found = []
        for start in range(0, len(block.weight), LEAST_ROWS):
            piece: Batch = jax.tree.map(lambda leaf, start=start: leaf[start:][:LEAST_ROWS], block)
            if len(piece.weight) < LEAST_ROWS:
                piece = _pad(piece, LEAST_ROWS - len(piece.weight))
            found.append(forward(params, *piece)[0])
        return np.sum([np.asarray(one, np.float64) for one in found], axis=0)

    return of_block


def _on_the_host(block: Batch) -> Batch:
    """The block as it is: pieces of NumPy arrays need no program."""
    return block


def blocks(
    store: RowStore, rows: int = BLOCK_ROWS, share: tuple[int, int] = (0, 1)
) -> Iterator[Batch]:
    """All rows in order, in blocks of one shape; the last is padded with rows of weight 0.

    A single block is too, so that folds of a cross-validation, which differ by a row, are
    evaluated by one program.

    Args:
        store: the rows.
        rows: most in a block.
        share: `(index, count)`, where the rows are cut into `count` contiguous shares: only
            those of this one. The last shares may be empty.
    """
    index, count = share
    part = -(-len(store) // count)
    end = min((index + 1) * part, len(store))
    size = min(rows, _up(part), max(1, BLOCK_BYTES // store.row_bytes))
    for start in range(index * part, end, size):
        stop = min(start + size, end)
        block = store.gather(np.arange(start, stop, dtype=np.int64))
        yield block if stop == start + size else _pad(block, start + size - stop)


def _up(rows: int) -> int:
    """The number of rows, raised by less than a sixteenth to one of few, since each is compiled.

    >>> [_up(rows) for rows in (0, 31, 60, 61, 1000, 1025)]
    [0, 31, 60, 62, 1024, 1088]
    """
    step = 1 << max(0, rows.bit_length() - 5)
    return -(-rows // step) * step


def _pad(block: Batch, rows: int) -> Batch:
    """The block with its last row repeated `rows` more times, at weight 0."""

    def repeat_last(values: Array) -> Array:
        return np.concatenate([values, np.broadcast_to(values[-1:], (rows, *values.shape[1:]))])

    padded: Batch = jax.tree.map(repeat_last, block)
    padded.weight[-rows:] = 0.0
    return padded
