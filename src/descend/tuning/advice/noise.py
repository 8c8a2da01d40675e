"""Gradient noise: tr Σ, |G|² and their ratio, the noise scale, with an interval.

Everything follows from the inner products of the gradients of groups of rows. With m rows
in a group and g_a the gradient of group a (McCandlish et al. 2018, arXiv 1812.06162, appendix A):

    E[g_a·g_b] = |G|² for a ≠ b,     E[|g_a|²] = |G|² + tr Σ / m,

so the mean product of two different groups is an unbiased estimate of |G|², even if negative.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.data.rows.store import RowStore
from descend.training.gradient import make_gradient
from descend.training.jax_setup import jit_program
from descend.training.problem import Problem
from descend.types import Array, Batch, GradientNoise, Params, split_variables

GROUPS, MIN_GROUPS = 256, 8
"""Most and fewest groups of rows."""
GROUP_ROWS = 32
"""Most rows in a group."""
GRADIENT_BYTES = 64 << 20
"""Most bytes of the gradients of all groups."""
BOOTSTRAP_DRAWS = 400
CONFIDENCE = 0.9
STUDENT_95 = {1: 6.31, 2: 2.92, 3: 2.35, 4: 2.13, 5: 2.02, 6: 1.94, 7: 1.89, 8: 1.86, 9: 1.83}
"""95 % quantile of Student's t, by degrees of freedom."""

Doubles = npt.NDArray[np.float64]


class Products(NamedTuple):
    """Inner products of the gradients of groups of rows, and of single rows outside the groups.

    Attributes:
        products: float64 `[k, k]`, g_a·g_b for groups.
        rows: rows in each group.
        singles: float64 `[s, s]`, g_i·g_j for single rows.
        along: float64 `[s]`, g_i times the mean gradient of the groups.
    """

    products: Doubles
    rows: int
    singles: Doubles
    along: Doubles


class Cosine(NamedTuple):
    """The cosine between the gradient of a mini-batch and the true one.

    Attributes:
        batch_size: rows in the mini-batch.
        mean: over the measured mini-batches.
        low: 5 % quantile.
        high: 95 % quantile.
        expected: 1/√(1 + B_simple/B), from tr Σ and |G|².
    """

    batch_size: int
    mean: float
    low: float
    high: float
    expected: float


class NoiseMeter:
    """Measures gradient noise at given weights, always on the same sample of rows.

    It includes the noise of the model itself (dropout): every group has a key of its own. A model
    that processes the rows of a batch together has no gradients of single rows, only of groups.

    Args:
        problem: what is trained.
        most_groups: groups of rows, at most; fewer widen the interval.
    """

    def __init__(self, problem: Problem, most_groups: int = GROUPS) -> None:
        self._gradient = make_gradient(problem.objective)
        self._couples_rows = problem.couples_rows
        shapes, _ = split_variables(jax.eval_shape(lambda: problem.init(0)))
        weights = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(shapes))
        rows = len(problem.store)
        groups = max(MIN_GROUPS, min(most_groups, GRADIENT_BYTES // (4 * max(1, weights))))
        self.group_rows = max(1, min(GROUP_ROWS, rows // (2 * MIN_GROUPS)))
        self.groups = max(2, min(groups, rows // (2 * self.group_rows)))
        self._grouped, self._single = _sample(
            problem.store, self.groups, self.group_rows, problem.seed
        )
        self._measure = jit_program(self._both)
        self._nothing = jnp.zeros(weights, jnp.float32)

    def __call__(self, params: Params, *, singles: bool = True) -> Products:
        """The inner products at these weights, those of single rows only where asked for."""
        groups, _, mean = self._measure(params, self._grouped, self._nothing)
        if self._couples_rows or not singles:
            return Products(_double(groups), self.group_rows, np.zeros((0, 0)), np.zeros(0))
        singles, along, _ = self._measure(params, self._single, mean)
        return Products(_double(groups), self.group_rows, _double(singles), _double(along))

    def _both(self, params: Params, batch: Batch, direction: Array) -> tuple[Array, Array, Array]:
        def one(numbered: tuple[Array, Batch]) -> Array:
            number, group = numbered
            return _flat(self._gradient(params, group, jax.random.key(number))[1])

        gradients = jax.lax.map(one, (jnp.arange(self.groups), batch))
        products = jnp.matmul(gradients, gradients.T, precision="highest")
        along = jnp.matmul(gradients, direction, precision="highest")
        return products, along, jnp.mean(gradients, axis=0)


def estimate(measured: Products) -> tuple[float, float]:
    """Unbiased estimates of |G|² and tr Σ."""
    squared_norm, group_norm = _means(measured.products)
    return squared_norm, (group_norm - squared_norm) * measured.rows


def gradient_noise(measured: Products, seed: int = 0) -> GradientNoise:
    """|G|², tr Σ and the noise scale, with a bootstrap interval over the groups.

    The noise scale is None where the interval of |G|² includes 0: the ratio is then undetermined.
    """
    squared_norm, trace = estimate(measured)
    draws = _bootstrap(measured, seed)
    tail = (1.0 - CONFIDENCE) / 2.0
    low_norm = float(np.quantile(draws[:, 0], tail))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(draws[:, 0] > 0, draws[:, 1] / draws[:, 0], np.inf)
    low, high = (float(np.quantile(ratios, part, method="nearest")) for part in (tail, 1.0 - tail))
    if low_norm <= 0.0 or squared_norm <= 0.0:
        return GradientNoise(squared_norm, trace, None, (max(0.0, low), math.inf))
    return GradientNoise(squared_norm, trace, trace / squared_norm, (max(0.0, low), high))


def pool(measured: Sequence[Products]) -> Products:
    """The mean products at several weights, of the same rows; single rows as at the first."""
    mean = np.mean([one.products for one in measured], axis=0)
    return measured[0]._replace(products=mean)


def noise_of_runs(runs: Sequence[Sequence[Products]], seed: int = 0) -> GradientNoise:
    """The noise at weights from one part of several runs, with the spread between the runs.

    The weights bounce around their path, and |G|² with them: the noise scales at two moments a few
    updates apart may differ by a factor of ten. So tr Σ and |G|² are means over the weights. The
    interval contains what the sample of rows leaves open (the bootstrap), and how much the runs
    differ: a jackknife that leaves out one run at a time, or one of the weights of a single run,
    with the quantile of Student's t. Both are added in quadrature, as logarithms.

    Args:
        runs: for each run the products at some of its weights.
        seed: of the bootstrap.
    """
    everything = [one for run in runs for one in run]
    noise = gradient_noise(pool(everything), seed)
    parts = runs if len(runs) > 1 else [[one] for one in everything]
    if noise.noise_scale is None or len(parts) < 2:
        return noise
    scales = []
    for left_out in range(len(parts)):
        kept = [one for number, part in enumerate(parts) if number != left_out for one in part]
        squared_norm, trace = estimate(pool(kept))
        if squared_norm <= 0.0 or trace <= 0.0:
            interval = (noise.interval[0], math.inf)
            return dataclasses.replace(noise, noise_scale=None, interval=interval)
        scales.append(math.log(trace / squared_norm))
    count = len(parts)
    between = math.sqrt((count - 1) * float(np.var(scales))) * STUDENT_95[count - 1]

    def end(sampled: float, sign: int) -> float:
        if not (0.0 < sampled < math.inf) or noise.noise_scale is None:
            return sampled
        within = math.log(sampled / noise.noise_scale)
        return noise.noise_scale * math.exp(sign * math.hypot(within, between))

    low, high = noise.interval
    return dataclasses.replace(noise, interval=(end(low, -1), end(high, 1)))


def cosines(measured: Products, noise: GradientNoise) -> list[Cosine]:
    """The cosine at batch sizes from a single row to a quarter of the rows of all groups.

    The true gradient is estimated from rows outside the mini-batch, its length by the unbiased |G|.
    """
    if noise.noise_scale is None:
        return []
    count, rows = len(measured.products), measured.rows
    sums = measured.products.sum(axis=1)
    found = []
    for size in _powers(min(len(measured.singles) // 4, rows - 1)):
        along = [part.mean() for part in _split(measured.along, size)]
        found.append(_cosine(size, measured.singles, along, size, noise))
    for size in _powers(count // 4):
        along = [
            (sums[part].sum() - measured.products[part, part].sum()) / (size * (count - size))
            for part in _slices(count, size)
        ]
        found.append(_cosine(rows * size, measured.products, along, size, noise))
    return found


def _cosine(
    batch_size: int, products: Doubles, along: Sequence[float], size: int, noise: GradientNoise
) -> Cosine:
    """The cosines of mini-batches made of `size` consecutive groups or rows."""
    assert noise.noise_scale is not None
    norms = [math.sqrt(max(products[p, p].mean(), 0.0)) for p in _slices(len(products), size)]
    values = np.array(
        [one / norm for one, norm in zip(along, norms, strict=True) if norm > 0.0] or [0.0]
    ) / math.sqrt(noise.squared_norm)
    low, high = np.quantile(values, (0.05, 0.95))
    expected = 1.0 / math.sqrt(1.0 + noise.noise_scale / batch_size)
    return Cosine(batch_size, float(np.mean(values)), float(low), float(high), expected)


def _powers(most: int) -> list[int]:
    return [4**power for power in range(16) if 4**power <= most]


def _slices(count: int, size: int) -> list[slice]:
    return [slice(start, start + size) for start in range(0, count - size + 1, size)]


def _split(values: Doubles, size: int) -> list[Doubles]:
    return [values[part] for part in _slices(len(values), size)]


def _means(products: Doubles) -> tuple[float, float]:
    count = len(products)
    diagonal = float(np.trace(products))
    return (float(products.sum()) - diagonal) / (count * (count - 1)), diagonal / count


def _bootstrap(measured: Products, seed: int) -> Doubles:
    """|G|² and tr Σ of resampled groups; pairs of a group with itself are left out."""
    random = np.random.default_rng((seed, 11))
    products, count = measured.products, len(measured.products)
    diagonal = np.diag(products)
    times = random.multinomial(count, np.full(count, 1.0 / count), size=BOOTSTRAP_DRAWS).astype(
        np.float64
    )
    times = times[np.count_nonzero(times, axis=1) > 1]
    pairs = np.einsum("da,ab,db->d", times, products, times, optimize=True)
    same = (times**2) @ diagonal
    distinct = count**2 - np.sum(times**2, axis=1)
    squared_norm = (pairs - same) / distinct
    group_norm = times @ diagonal / count
    return np.stack([squared_norm, (group_norm - squared_norm) * measured.rows], axis=1)


def _sample(store: RowStore, groups: int, rows: int, seed: int) -> tuple[Batch, Batch]:
    """Random rows in groups, `[groups, rows, ...]`, and as many single rows in the same shape.

    A single row is in a group whose other rows have weight 0, so that one program serves both.
    """
    drawn = np.random.default_rng((seed, 13)).choice(
        len(store), groups * (rows + 1), replace=len(store) < groups * (rows + 1)
    )
    grouped = store.gather(drawn[: groups * rows].astype(np.int64))
    single = store.gather(np.repeat(drawn[groups * rows :], rows).astype(np.int64))
    single.weight[np.arange(groups * rows) % rows != 0] = 0.0

    def to_device(batch: Batch) -> Batch:
        leaves = [leaf.reshape(groups, rows, *leaf.shape[1:]) for leaf in jax.tree.leaves(batch)]
        return Batch(*jax.device_put(jax.tree.unflatten(jax.tree.structure(batch), leaves)))

    return to_device(grouped), to_device(single)


def _flat(tree: Params) -> Array:
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def _double(values: Array) -> Doubles:
    return np.asarray(values, dtype=np.float64)
