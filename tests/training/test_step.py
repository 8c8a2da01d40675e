from typing import Any

import numpy as np
import pytest

from descend.data.rows.batches import BatchPlan, chunks
from descend.data.rows.order import epoch_rows
from descend.training.chunk_loop import compile_chunk
from descend.training.step import make_step
from descend.types import TrainState
from tests.problems import linear_problem, numbers, same_bits, store_of

STORE = numbers(60)


def after_epochs(
    batch_size: int, epochs: int = 2, rate: float = 0.05, micro_rows: int = 8192, **options: Any
) -> TrainState:
    """The state after some epochs, by compiled chunks."""
    problem = linear_problem(STORE, **options)
    plan = BatchPlan(len(STORE), batch_size, seed=4, updates_per_chunk=7, micro_rows=micro_rows)
    step = make_step(problem.objective, problem.optimizer, plan.microbatches)
    run_chunk = compile_chunk(step)
    state = problem.begin().state
    rates = np.full(7, rate, np.float32)
    for chunk in chunks(STORE, plan):
        if chunk.position > (epochs, 0):
            return state
        filled = rates[: len(chunk.batch.weight)]
        state, _ = run_chunk(state, chunk.batch, filled, chunk.updates, chunk.examples)
    raise AssertionError


def by_loop(
    batch_size: int,
    epochs: int = 2,
    rate: float = 0.05,
    momentum: float = 0.0,
    nesterov: bool = False,
    l2: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares by a plain loop over single updates in float64: kernel and bias."""
    X, y = STORE.x["numeric"].astype(np.float64), STORE.y.astype(np.float64)
    kernel, bias = np.zeros((3, 1)), np.zeros(1)
    velocity_kernel, velocity_bias = np.zeros((3, 1)), np.zeros(1)
    for epoch in range(epochs):
        order = epoch_rows(4, epoch, 0, len(X), len(X))
        for start in range(0, len(X), batch_size):
            rows = order[start : start + batch_size]
            residual = X[rows] @ kernel + bias - y[rows]
            slope_kernel = X[rows].T @ residual / len(rows) + l2 * kernel
            slope_bias = residual.mean(axis=0)
            velocity_kernel = momentum * velocity_kernel + slope_kernel
            velocity_bias = momentum * velocity_bias + slope_bias
            if nesterov:
                kernel = kernel - rate * (slope_kernel + momentum * velocity_kernel)
                bias = bias - rate * (slope_bias + momentum * velocity_bias)
            else:
                kernel, bias = kernel - rate * velocity_kernel, bias - rate * velocity_bias
    return kernel, bias


def assert_close(state: TrainState, kernel: np.ndarray, bias: np.ndarray) -> None:
    np.testing.assert_allclose(state.params["kernel"], kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.params["bias"], bias, rtol=1e-4, atol=1e-6)


def test_batch_size_n_is_gradient_descent_by_its_closed_formula() -> None:
    """θ_t − θ* = (I − ηH)ᵗ (θ_0 − θ*) on least squares."""
    X = np.column_stack([STORE.x["numeric"].astype(np.float64), np.ones(60)])
    hessian = X.T @ X / 60
    best = np.linalg.lstsq(X, STORE.y.astype(np.float64), rcond=None)[0]
    for updates in (1, 40):
        state = after_epochs(60, epochs=updates, rate=0.1)
        shrunk = np.linalg.matrix_power(np.eye(4) - 0.1 * hessian, updates)
        expected = best - shrunk @ best
        assert_close(state, expected[:3], expected[3])
        assert state.update == updates


@pytest.mark.parametrize("batch_size", [1, 7, 30, 59])
def test_updates_equal_a_plain_loop(batch_size: int) -> None:
    state = after_epochs(batch_size)
    assert_close(state, *by_loop(batch_size))
    assert state.update == 2 * -(-60 // batch_size)
    assert state.examples == 120


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_equals_a_plain_loop_with_the_penalty(nesterov: bool) -> None:
    state = after_epochs(
        7, optimizer="nesterov" if nesterov else "momentum", momentum=0.8, rate=0.02, l2=0.5
    )
    assert_close(state, *by_loop(7, rate=0.02, momentum=0.8, nesterov=nesterov, l2=0.5))


@pytest.mark.parametrize("micro_rows", [1, 4, 10, 29])
def test_micro_batches_make_the_same_update(micro_rows: int) -> None:
    whole = after_epochs(29, l2=0.5, optimizer="momentum")
    microbatches = after_epochs(29, l2=0.5, optimizer="momentum", micro_rows=micro_rows)
    assert_close(microbatches, whole.params["kernel"], whole.params["bias"])


@pytest.mark.parametrize("content", [7.0, 3e38, np.inf, np.nan])
@pytest.mark.parametrize("batch_size", [1, 4, 9])
def test_rows_of_weight_0_change_no_update(batch_size: int, content: float) -> None:
    """Whatever a row of weight 0 holds, the weights move as if it held the smallest thing."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(9, 2)), random.normal(size=(9, 1))
    weight = np.array([1, 0, 2, 1, 1, 0, 1, 1, 0])
    ends = []
    for inside in (0.0, content):
        X[weight == 0], y[weight == 0] = inside, inside
        store = store_of(X, y, weight)
        problem = linear_problem(store, optimizer="momentum")
        plan = BatchPlan(9, batch_size, seed=1, updates_per_chunk=9)
        state = problem.begin().state
        chunk = next(chunks(store, plan))
        rates = np.full(len(chunk.batch.weight), 0.1, np.float32)
        run_chunk = problem.compiled(plan)
        ends.append(run_chunk(state, chunk.batch, rates, chunk.updates, chunk.examples)[0])
    assert np.isfinite(ends[0].params["kernel"]).all()
    assert same_bits(ends[0], ends[1])
