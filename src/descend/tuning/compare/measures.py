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
from descend.training.step import make_gradient, value_and_gradient
from descend.types import Array, Batch, History, Params, split_variables

BLOCK = 16_384
"""Rows whose gradient is taken at once, where all rows count."""
FEWEST_DRAWS, MOST_DRAWS = 8, 512
ROWS_DRAWN = 200_000
"""About so many rows are read for one batch size."""
FEWEST_LOOKS = 7
NORMAL_MEDIAN = 0.6745
"""Median of the absolute value of a normal variable with deviation 1."""


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


def roughness(lengths: Sequence[float], losses: Sequence[float]) -> float | None:
    """How far an evaluation lies from the straight line between its neighbours, typically.

    With a = (x_{k+1} − x_k)/(x_{k+1} − x_{k−1}) and b = 1 − a, the distance is
    d_k = |l_k − a·l_{k−1} − b·l_{k+1}| / √(1 + a² + b²), and the roughness the median of the d_k
    by 0.6745. For a smooth course with independent noise on it this is the deviation of the
    noise, however densely the course was looked at, so that curves of different density can be
    compared; the median keeps the steep beginning out. (Gasser, Sroka & Jennen-Steinmetz 1986,
    Biometrika 73(3), with the median of Hampel 1974 in place of the mean square)

    Args:
        lengths: where along the run each evaluation was, rising.
        losses: of the evaluations, finite.

    Returns:
        In units of the loss; None from fewer than `FEWEST_LOOKS` evaluations.

    >>> round(roughness([0, 1, 2, 3, 4, 5, 6], [1, 0, 1, 0, 1, 0, 1]), 3)
    1.211
    """
    x, y = np.asarray(lengths, np.float64), np.asarray(losses, np.float64)
    if len(x) < FEWEST_LOOKS:
        return None
    before = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    after = 1.0 - before
    apart = np.abs(y[1:-1] - before * y[:-2] - after * y[2:])
    return float(np.median(apart / np.sqrt(1.0 + before**2 + after**2)) / NORMAL_MEDIAN)


class Deviation(NamedTuple):
    """How far mini-batch gradients scatter around the true one.

    Attributes:
        value: √(mean |g_B − G|²)/|G|.
        error: standard error of its logarithm, over the mini-batches drawn.
        draws: how many.
    """

    value: float
    error: float
    draws: int


def gradient_deviation(
    problem: Problem, params: Params, batch_sizes: Sequence[int]
) -> dict[int, Deviation]:
    """√(mean |g_B − G|²)/|G| for mini-batches as training draws them, no row twice in an epoch.

    G is the gradient over all training rows. With all rows in a batch the deviation is 0.

    Args:
        problem: whose gradient.
        params: where.
        batch_sizes: of the mini-batches.
    """
    store = problem.store
    # The rows' scatter alone: the model as it predicts, without a noise of its own.
    gradient = make_gradient(problem.objective._replace(training_sum=None))
    whole = full_gradient(problem, params)
    norm = float(np.linalg.norm(_flat(whole)))

    @jax.jit
    def squared(params: Params, batch: Batch) -> Array:
        apart = jax.tree.map(jnp.subtract, gradient(params, batch)[1], whole)
        return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(apart)), jnp.float32(0.0))

    found: dict[int, Deviation] = {}
    for size in batch_sizes:
        if size >= len(store):
            found[size] = Deviation(0.0, 0.0, 1)
            continue
        looks = [squared(params, batch) for batch in _drawn(store, size, problem.seed)]
        squares = np.asarray(looks, np.float64)
        mean = float(squares.mean())
        if not (norm > 0 and mean > 0):
            found[size] = Deviation(0.0 if norm > 0 else math.inf, math.inf, len(squares))
            continue
        # log √(mean) has half the relative error of the mean.
        error = 0.5 * float(squares.std(ddof=1)) / math.sqrt(len(squares)) / mean
        found[size] = Deviation(math.sqrt(mean) / norm, error, len(squares))
    return found


def full_gradient(problem: Problem, params: Params) -> Params:
    """The gradient of the objective over all training rows, block by block."""
    return full_value_and_gradient(problem)(params)[1]


def full_value_and_gradient(problem: Problem) -> Callable[[Params], tuple[float, Params]]:
    """`params -> (objective over all training rows, its gradient)`, in blocks of rows."""
    store, objective = problem.store, problem.objective
    summed = jax.jit(value_and_gradient(objective.loss_sum))
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
            more, part = penalty(split_variables(params)[0])
            value, gradient = value + float(more), jax.tree.map(jnp.add, gradient, part)
        return value, gradient

    return both


def _drawn(store: RowStore, size: int, seed: int) -> Iterator[Batch]:
    """Mini-batches from half of each epoch: all of one add up to the true gradient."""
    rows = len(store)
    draws = max(FEWEST_DRAWS, min(MOST_DRAWS, ROWS_DRAWN // size))
    per_epoch = max(1, rows // size // 2)
    for number in range(draws):
        epoch, place = divmod(number, per_epoch)
        yield store.gather(epoch_rows(seed, epoch, place * size, (place + 1) * size, rows))


def _flat(tree: Params) -> Array:
    leaves = [np.ravel(np.asarray(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)
