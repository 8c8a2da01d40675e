"""Gradient noise: against loops over rows, and against problems whose noise is known."""

from __future__ import annotations

import math

import jax
import numpy as np
import pytest

from descend.training.problem import Problem
from descend.tuning.advice.noise import (
    NoiseMeter,
    Products,
    cosines,
    estimate,
    gradient_noise,
    noise_of_runs,
    pool,
)
from tests.problems import linear_problem, numbers, rows_of


def flat_gradient(problem: Problem, params: object, row: int) -> np.ndarray:
    gradient = jax.grad(problem.objective)(params, rows_of(problem.store, [row]))
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(gradient)])


def drawn(
    random: np.random.Generator, groups: int, rows: int, mean: np.ndarray, deviation: np.ndarray
) -> Products:
    """Products of the gradients of groups of Gaussian rows."""
    scatter = random.standard_normal((groups, len(mean))) * deviation / math.sqrt(rows)
    gradients = mean + scatter
    single = mean + random.standard_normal((groups, len(mean))) * deviation
    along = single @ gradients.mean(axis=0)
    return Products(gradients @ gradients.T, rows, single @ single.T, along)


def variance_ratio(
    gradients: np.ndarray, batch_size: int, draws: int, *, replace: bool, seed: int = 0
) -> float:
    """B·Var(g_B)/tr Σ over mini-batches, drawn with or without replacement."""
    random = np.random.default_rng(seed)
    centred = gradients - gradients.mean(axis=0)
    rows = len(centred)
    trace = float(np.mean(np.sum(centred**2, axis=1)))
    total = 0.0
    for _ in range(draws):
        if replace:
            chosen = random.integers(rows, size=batch_size)
        else:
            chosen = random.permutation(rows)[:batch_size]
        total += float(np.sum(centred[chosen].mean(axis=0) ** 2))
    return batch_size * total / draws / trace


@pytest.mark.parametrize("batch_size", [10, 100, 500, 900])
def test_the_variance_of_a_mini_batch_falls_as_one_over_its_size(batch_size: int) -> None:
    rows = 1000
    gradients = np.random.default_rng(0).standard_normal((rows, 50)) ** 3
    again = variance_ratio(gradients, batch_size, 1500, replace=True)
    assert again == pytest.approx(1.0, rel=0.03)
    once = variance_ratio(gradients, batch_size, 1500, replace=False)
    assert once == pytest.approx((rows - batch_size) / (rows - 1), rel=0.03)


def test_the_estimates_are_unbiased() -> None:
    random = np.random.default_rng(1)
    mean, deviation = np.full(20, 0.1), np.linspace(0.5, 2.0, 20)
    squared_norm, trace = float(mean @ mean), float(deviation @ deviation)
    found = np.array([estimate(drawn(random, 16, 8, mean, deviation)) for _ in range(4000)])
    assert found[:, 0].mean() == pytest.approx(squared_norm, rel=0.05)
    assert found[:, 1].mean() == pytest.approx(trace, rel=0.02)
    assert (found[:, 0] < 0).any(), "an unbiased estimate near 0 is negative at times"


@pytest.mark.slow
def test_the_meter_measures_the_noise_of_all_rows() -> None:
    problem = linear_problem(numbers(6000, noise=2.0))
    params = problem.begin().state.params
    rows = np.stack([flat_gradient(problem, params, row) for row in range(0, 6000, 10)])
    mean = rows.mean(axis=0)
    trace = np.sum(rows.var(axis=0, ddof=1))
    noise = gradient_noise(NoiseMeter(problem)(params))
    assert noise.trace == pytest.approx(trace, rel=0.15)
    assert noise.squared_norm == pytest.approx(mean @ mean - trace / len(rows), rel=0.15)
    assert noise.noise_scale is not None
    low, high = noise.interval
    assert low < noise.noise_scale < high


def test_the_meter_works_on_tables_of_a_few_rows() -> None:
    problem = linear_problem(numbers(5))
    noise = gradient_noise(NoiseMeter(problem)(problem.begin().state.params))
    assert math.isfinite(noise.trace)


def test_the_interval_covers_the_noise_scale() -> None:
    random = np.random.default_rng(2)
    mean, deviation = np.full(30, 0.3), np.ones(30)
    truth = float(deviation @ deviation / (mean @ mean))
    inside = 0
    for seed in range(100):
        low, high = gradient_noise(drawn(random, 64, 4, mean, deviation), seed).interval
        inside += low <= truth <= high
    assert inside >= 80


def test_noise_that_cannot_be_told_from_zero_is_undetermined() -> None:
    random = np.random.default_rng(3)
    nothing = np.zeros(10)
    measured = [drawn(random, 32, 4, nothing, np.ones(10)) for _ in range(40)]
    found = [gradient_noise(one, seed) for seed, one in enumerate(measured)]
    undetermined = [noise for noise in found if noise.noise_scale is None]
    assert len(undetermined) >= 34
    assert all(math.isinf(noise.interval[1]) for noise in undetermined)
    assert cosines(measured[0], undetermined[0]) == []


def test_the_cosine_rises_with_the_batch_as_the_noise_says() -> None:
    random = np.random.default_rng(4)
    mean, deviation = np.full(400, 0.1), np.ones(400)
    measured = drawn(random, 256, 16, mean, deviation)
    curve = cosines(measured, gradient_noise(measured))
    assert [line.batch_size for line in curve] == [1, 4, 16, 64, 256, 1024]
    for line in curve:
        assert line.low <= line.mean <= line.high
        assert line.mean == pytest.approx(line.expected, abs=0.05)


def scaled(measured: Products, gradient: float) -> Products:
    """The products where all gradients share one more part, with this squared length."""
    return measured._replace(products=measured.products + gradient)


def test_runs_that_differ_widen_the_interval() -> None:
    random = np.random.default_rng(0)
    gradients = random.standard_normal((64, 400)) * 0.1 + 0.3
    measured = Products(gradients @ gradients.T, 32, np.zeros((0, 0)), np.zeros(0))
    runs = [[scaled(measured, part)] for part in (0.0, 20.0, 60.0, 120.0)]
    together, pooled = noise_of_runs(runs), gradient_noise(pool([run[0] for run in runs]))
    assert together.noise_scale == pooled.noise_scale
    assert together.interval[0] < 0.8 * pooled.interval[0]
    assert together.interval[1] > 1.25 * pooled.interval[1]


def test_runs_that_agree_leave_the_interval_of_the_rows() -> None:
    random = np.random.default_rng(0)
    gradients = random.standard_normal((64, 400)) * 0.1 + 0.3
    measured = Products(gradients @ gradients.T, 32, np.zeros((0, 0)), np.zeros(0))
    assert noise_of_runs([[measured], [measured], [measured]]).interval == pytest.approx(
        gradient_noise(measured).interval
    )
