"""Numbers for what is told of methods: how noisy, how rough, how soon."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.data.rows.order import epoch_rows
from descend.data.rows.store import RowStore
from descend.training.problem import Problem
from descend.training.step import make_gradient
from descend.types import Array, Batch, History, Params

BLOCK = 16_384
"""Rows whose gradient is taken at once, where all rows count."""
MOST_DRAWS = 64
ROWS_DRAWN = 200_000
"""About so many rows are read for one batch size."""


class Arrival(NamedTuple):
    """When a run first came to a loss, between two evaluations in a straight line."""

    update: float
    epoch: float
    examples: float
    seconds: float


def arrival(history: History, target: float) -> Arrival | None:
    """When the validation loss first was at the target; None where it never came there.

    >>> from descend.types import HistoryLine
    >>> lines = [HistoryLine(n, n / 2, 8 * n, n / 10, 0.0, 1.0 - n / 10, 8, 0.1) for n in (0, 4)]
    >>> round(arrival(tuple(lines), 0.8).update, 6)
    2.0
    """
    before = None
    for line in history:
        if line.validation_loss <= target:
            if before is None:
                return Arrival(line.update, line.epoch, line.examples, line.seconds)
            fall = before.validation_loss - line.validation_loss
            part = (before.validation_loss - target) / fall
            return Arrival(
                *(
                    getattr(before, name) + part * (getattr(line, name) - getattr(before, name))
                    for name in Arrival._fields
                )
            )
        before = line
    return None


def roughness(losses: Sequence[float]) -> float | None:
    """The part of a loss curve's way that leads up, until its lowest point.

    Σ max(0, l_k − l_{k−1}) / Σ |l_k − l_{k−1}|: 0 falls all the time, towards 1/2 is a random walk.
    None where there are too few points to tell.

    >>> roughness([4.0, 2.0, 3.0, 1.0])
    0.2
    """
    values = [loss for loss in losses if math.isfinite(loss)]
    if not values:
        return None
    steps = np.diff(values[: int(np.argmin(values)) + 1])
    if len(steps) < 3:
        return None
    return float(np.sum(np.maximum(steps, 0.0)) / np.sum(np.abs(steps)))


def gradient_deviation(
    problem: Problem, params: Params, batch_sizes: Sequence[int]
) -> dict[int, float]:
    """√(mean |g_B − G|²)/|G| for mini-batches as training draws them, no row twice in an epoch.

    G is the gradient over all training rows. With all rows in a batch the deviation is 0.

    Args:
        problem: whose gradient.
        params: where.
        batch_sizes: of the mini-batches.
    """
    store = problem.store
    gradient = jax.jit(make_gradient(problem.objective))
    whole = _flat(full_gradient(problem, params))
    norm = float(np.linalg.norm(whole))
    found: dict[int, float] = {}
    for size in batch_sizes:
        if size >= len(store):
            found[size] = 0.0
            continue
        squares = [
            float(np.sum((_flat(gradient(params, batch)[1]) - whole) ** 2))
            for batch in _drawn(store, size, problem.seed)
        ]
        found[size] = math.sqrt(float(np.mean(squares))) / norm if norm > 0 else math.inf
    return found


def full_gradient(problem: Problem, params: Params) -> Params:
    """The gradient of the objective over all training rows, block by block."""
    return full_value_and_gradient(problem)(params)[1]


def full_value_and_gradient(problem: Problem) -> Callable[[Params], tuple[float, Params]]:
    """`params -> (objective over all training rows, its gradient)`, in blocks of rows."""
    store, objective = problem.store, problem.objective
    summed = jax.jit(jax.value_and_grad(objective.loss_sum))
    penalty = jax.jit(jax.value_and_grad(objective.penalty)) if objective.penalty else None

    def both(params: Params) -> tuple[float, Params]:
        value, rows, gradient = 0.0, 0, None
        for start in range(0, len(store), BLOCK):
            block = store.gather(np.arange(start, min(start + BLOCK, len(store))))
            loss, part = summed(params, block)
            value += float(loss)
            rows += int(np.count_nonzero(block.weight))
            gradient = part if gradient is None else jax.tree.map(jnp.add, gradient, part)
        share = 1.0 / (rows * objective.mean_weight)
        value, gradient = value * share, jax.tree.map(lambda leaf: leaf * share, gradient)
        if penalty is not None:
            more, part = penalty(params)
            value, gradient = value + float(more), jax.tree.map(jnp.add, gradient, part)
        return value, gradient

    return both


def _drawn(store: RowStore, size: int, seed: int) -> Iterator[Batch]:
    rows = len(store)
    draws = max(4, min(MOST_DRAWS, ROWS_DRAWN // size))
    per_epoch = rows // size
    for number in range(draws):
        epoch, place = divmod(number, per_epoch)
        yield store.gather(epoch_rows(seed, epoch, place * size, (place + 1) * size, rows))


def _flat(tree: Params) -> Array:
    leaves = [np.ravel(np.asarray(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)
