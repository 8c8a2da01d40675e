"""Measures that compare methods: gradient noise, roughness of the loss curve, time to a target."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.data.rows.order import epoch_rows
from descend.data.rows.store import RowStore
from descend.training.gradient import make_gradient, value_and_gradient
from descend.training.jax_setup import jit_program
from descend.training.problem import Problem
from descend.types import Array, Batch, History, Params, split_variables

NOISE_FACTOR = 4
"""Each batch size whose gradient noise is measured is this multiple of the one before."""
BLOCK = 16_384
"""Rows per block of the gradient over all rows."""
MIN_DRAWS, MAX_DRAWS = 8, 512
"""Mini-batches drawn for one batch size."""
ROWS_DRAWN = 200_000
"""Rows read for one batch size, about."""
ROWS_DRAWN_FOR_PLOT = 65_536
"""The same where no claim is tested with them."""
MOST_ROWS_FOR_PLOT = 800_000
"""Batch sizes whose fewest mini-batches have more rows are not plotted: they would take longer than
the runs that are compared."""
ROWS_TOGETHER = 4096
"""Rows of the mini-batches whose gradients one call computes, one mini-batch after another."""
MIN_EVALUATIONS = 5
"""Evaluations needed for a roughness."""
NORMAL_MEAN = math.sqrt(2.0 / math.pi)
"""Mean of the absolute value of a standard normal variable."""


GradientOver = Callable[..., tuple[float, Params]]


class Arrival(NamedTuple):
    """When a run first reached a loss, interpolated linearly between evaluations."""

    update: float
    epoch: float
    examples: float
    seconds: float


def arrival(history: History, target: float) -> Arrival | None:
    """When the validation loss first reached the target; None if it never did.

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
    """How much the loss jumps from evaluation to evaluation, as a share of itself.

    With y = ln(loss), a = (x_{k+1} − x_k)/(x_{k+1} − x_{k−1}) and b = 1 − a, the distance of an
    evaluation from the line between its two neighbours is
    d_k = |y_k − a·y_{k−1} − b·y_{k+1}| / √(1 + a² + b²), and the roughness the mean of the d_k
    divided by √(2/π). For a smooth curve with independent noise this is the standard deviation of
    the noise, however dense the evaluations are, so that curves of different density can be
    compared; and since it is relative to the loss, curves that end at different losses can be.
    (Gasser, Sroka & Jennen-Steinmetz 1986, Biometrika 73(3), with the mean absolute value in place
    of the mean square)

    Args:
        lengths: where in the run each evaluation was (for example examples seen), rising.
        losses: of the evaluations, finite.

    Returns:
        A share: 0.1 where the loss jumps by 10 %. None for fewer than `MIN_EVALUATIONS`
        evaluations, and where a loss is 0 or negative.

    >>> round(roughness([0, 1, 2, 3, 4, 5, 6], [1.0, 1.1, 1.0, 1.1, 1.0, 1.1, 1.0]), 3)
    0.098
    >>> round(roughness([0, 1, 2, 3, 4], [16.0, 8.0, 4.0, 2.0, 1.0]), 3)
    0.0
    """
    if len(losses) < MIN_EVALUATIONS or min(losses) <= 0:
        return None
    x, y = np.asarray(lengths, np.float64), np.log(np.asarray(losses, np.float64))
    before = (x[2:] - x[1:-1]) / (x[2:] - x[:-2])
    after = 1.0 - before
    apart = np.abs(y[1:-1] - before * y[:-2] - after * y[2:])
    return float(np.mean(apart / np.sqrt(1.0 + before**2 + after**2)) / NORMAL_MEAN)


class Deviation(NamedTuple):
    """Relative deviation of mini-batch gradients from the full gradient.

    Attributes:
        value: √(mean |g_B − G|²)/|G|.
        error: standard error of its logarithm, over the mini-batches drawn.
        draws: number of mini-batches drawn.
    """

    value: float
    error: float
    draws: int


def gradient_deviation(
    problem: Problem, params: Params, batch_sizes: Sequence[int]
) -> dict[int, Deviation]:
    """√(mean |g_B − G|²)/|G| for mini-batches drawn as in training, without repeats in an epoch.

    G is the gradient over all training rows. With all rows in a batch the deviation is 0.

    Args:
        problem: the objective and its rows.
        params: where the gradients are taken.
        batch_sizes: of the mini-batches.
    """
    [found] = gradient_deviations(problem, [params], batch_sizes)
    return found


def gradient_deviations(
    problem: Problem,
    moments: Sequence[Params],
    batch_sizes: Sequence[int],
    rows_drawn: int = ROWS_DRAWN,
) -> list[dict[int, Deviation]]:
    """The same at several weights, from the same mini-batches; `rows_drawn` for each size."""
    store = problem.store
    # The rows' scatter alone: the model as it predicts, without a noise of its own.
    objective = problem.objective._replace(training_sum=None)
    over = _value_and_gradient_over(problem)
    wholes = [over(params, 0, len(store))[1] for params in moments]
    norms = [float(np.linalg.norm(_flat(whole))) for whole in wholes]

    @functools.partial(jit_program, static_argnames="microbatches")
    def squared_distances(
        params: Params, whole: Params, batches: Batch, microbatches: int
    ) -> Array:
        gradient = make_gradient(objective, microbatches)

        def of_one(batch: Batch) -> Array:
            apart = jax.tree.map(jnp.subtract, gradient(params, batch)[1], whole)
            return sum((jnp.sum(leaf**2) for leaf in jax.tree.leaves(apart)), jnp.float32(0.0))

        # One after another: the gradients of all would take as much memory as so many models.
        return jax.lax.map(of_one, batches)

    found: list[dict[int, Deviation]] = [{} for _ in moments]
    for size in batch_sizes:
        if size >= len(store):
            for one in found:
                one[size] = Deviation(0.0, 0.0, 1)
            continue
        if not problem.in_one_chunk(size):
            for place, params in enumerate(moments):
                squares = _squares_part_by_part(problem, over, params, wholes[place], size)
                found[place][size] = _deviation(squares, norms[place])
            continue
        distances: list[list[npt.NDArray[np.float64]]] = [[] for _ in moments]
        parts = 1 if problem.couples_rows else _parts(size, problem.rows_at_once)
        together = min(ROWS_TOGETHER, problem.rows_at_once)
        for batches in _draw_batches(store, size, problem.seed, rows_drawn, together):
            for place, (params, whole) in enumerate(zip(moments, wholes, strict=True)):
                squares = squared_distances(params, whole, batches, microbatches=parts)
                # Waited for: what is only asked for holds its rows, of all calls at once.
                distances[place].append(np.asarray(squares, np.float64))
        for place, norm in enumerate(norms):
            found[place][size] = _deviation(np.concatenate(distances[place]), norm)
    return found


def _squares_part_by_part(
    problem: Problem, over: GradientOver, params: Params, whole: Params, size: int
) -> npt.NDArray[np.float64]:
    """Squared distances of a few mini-batches that are too large for memory, as in training."""
    rows = len(problem.store)
    squares = []
    for epoch, start in _places(size, rows, MIN_DRAWS):
        _, gradient = over(params, start, start + size, epoch)
        apart = jax.tree.map(jnp.subtract, gradient, whole)
        squares.append(float(np.sum(_flat(apart) ** 2)))
    return np.array(squares)


def _parts(rows: int, most: int) -> int:
    """Into how many equal parts a batch is divided so that each has at most `most` rows.

    >>> _parts(4096, 1000), _parts(10, 20), _parts(15, 4)
    (8, 1, 5)
    """
    return next(parts for parts in range(-(-rows // most), rows + 1) if rows % parts == 0)


def _deviation(squares: npt.NDArray[np.float64], norm: float) -> Deviation:
    """The deviation, from the squared distances to a gradient of this length."""
    mean = float(squares.mean())
    if not (norm > 0 and mean > 0):
        return Deviation(0.0 if norm > 0 else math.inf, math.inf, len(squares))
    # log √(mean) has half the relative error of the mean.
    error = 0.5 * float(squares.std(ddof=1)) / math.sqrt(len(squares)) / mean
    return Deviation(math.sqrt(mean) / norm, error, len(squares))


def noise_by_size(
    problem: Problem, moments: Mapping[str, Params]
) -> list[dict[str, float | int | str]]:
    """The relative deviation of gradients at 1, 4, 16, ... rows, at several weights.

    Args:
        problem: the objective and its rows.
        moments: the weights by their name.

    Returns:
        Of each size and moment: `rows`, `when`, `deviation`, `error` (of its logarithm), `draws`.
    """
    sizes = [1]
    most = min(len(problem.store) // 2, MOST_ROWS_FOR_PLOT // MIN_DRAWS)
    while NOISE_FACTOR * sizes[-1] <= most and problem.in_one_chunk(NOISE_FACTOR * sizes[-1]):
        sizes.append(NOISE_FACTOR * sizes[-1])
    found = gradient_deviations(problem, list(moments.values()), sizes, ROWS_DRAWN_FOR_PLOT)
    return [
        {"rows": size, "when": when, "deviation": one.value, "error": one.error, "draws": one.draws}
        for when, deviations in zip(moments, found, strict=True)
        for size, one in deviations.items()
        if math.isfinite(one.value) and math.isfinite(one.error)
    ]


def full_gradient(problem: Problem, params: Params) -> Params:
    """The gradient of the objective over all training rows, block by block."""
    return full_value_and_gradient(problem)(params)[1]


def full_value_and_gradient(problem: Problem) -> Callable[[Params], tuple[float, Params]]:
    """`params -> (objective over all training rows, its gradient)`, in blocks of rows."""
    over = _value_and_gradient_over(problem)
    return lambda params: over(params, 0, len(problem.store))


def _value_and_gradient_over(problem: Problem) -> GradientOver:
    """`(params, start, stop, epoch) -> (objective, its gradient)`, in blocks of rows.

    The rows are those from `start` to `stop` of an epoch's order, or of the table's.
    """
    store, objective = problem.store, problem.objective
    at_once = BLOCK if problem.couples_rows else min(BLOCK, problem.rows_at_once)
    summed = jit_program(value_and_gradient(objective.loss_sum))
    penalty = jit_program(jax.value_and_grad(objective.penalty)) if objective.penalty else None

    def both(
        params: Params, start: int, stop: int, epoch: int | None = None
    ) -> tuple[float, Params]:
        value, rows, gradient = 0.0, 0, None
        for first in range(start, stop, at_once):
            last = min(first + at_once, stop)
            chosen = np.arange(first, last, dtype=np.int64)
            if epoch is not None:
                chosen = epoch_rows(problem.seed, epoch, first, last, len(store))
            block = store.gather(chosen)
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


def _draw_batches(
    store: RowStore, size: int, seed: int, rows_drawn: int, rows_together: int
) -> Iterator[Batch]:
    """Mini-batches `[k, size, ...]` from half of each epoch; a whole epoch would add up to G."""
    rows = len(store)
    draws = max(MIN_DRAWS, min(MAX_DRAWS, rows_drawn // size))
    together = max(1, min(draws, rows_together // size))
    places = _places(size, rows, -(-draws // together) * together)
    for first in range(0, len(places), together):
        drawn = [
            epoch_rows(seed, epoch, start, start + size, rows)
            for epoch, start in places[first : first + together]
        ]
        batch = store.gather(np.concatenate(drawn))
        yield jax.tree.map(lambda leaf: leaf.reshape(together, size, *leaf.shape[1:]), batch)


def _places(size: int, rows: int, draws: int) -> list[tuple[int, int]]:
    """The epoch and the first row of each mini-batch that is drawn.

    >>> _places(10, 40, 3)
    [(0, 0), (0, 10), (1, 0)]
    """
    per_epoch = max(1, rows // size // 2)
    return [(number // per_epoch, number % per_epoch * size) for number in range(draws)]


def _flat(tree: Params) -> Array:
    leaves = [np.ravel(np.asarray(leaf, dtype=np.float64)) for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves)
