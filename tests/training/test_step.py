import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.data.rows.batches import BatchPlan, chunks
from descend.data.rows.order import epoch_rows
from descend.training.step import (
    compile_accumulation,
    compile_chunk,
    copy_state,
    initial_state,
    make_gradient,
    make_step,
)
from descend.types import TrainState
from tests.problems import linear_problem, numbers, rows_of, same_bits, store_of

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


@pytest.mark.parametrize("microbatches", [1, 2])
def test_parts_make_the_same_update(microbatches: int) -> None:
    random = np.random.default_rng(0)
    weight = random.uniform(0.1, 2, size=60) * (random.uniform(size=60) > 0.2)
    store = store_of(STORE.x["numeric"], STORE.y, weight)
    problem = linear_problem(store, l2=0.5, optimizer="momentum")
    accumulated = compile_accumulation(problem.objective, problem.optimizer, microbatches)
    step = jax.jit(make_step(problem.objective, problem.optimizer))
    state = problem.begin().state
    carry = (state.params, state.opt_state)
    for _ in range(2):
        carry, metrics = step(carry, rows_of(store), np.float32(0.1))
        sums = None
        for start in range(0, 60, 20):
            part = rows_of(store, range(start, start + 20))
            part = jax.tree.map(lambda leaf: leaf[None], part)
            sums = accumulated.add(sums, state, part)
        assert sums is not None
        state, losses = accumulated.finish(state, sums, np.float32([0.1]), 60)
        assert float(losses[0]) == pytest.approx(float(metrics.loss), rel=1e-5)
    assert_close(state, carry[0]["kernel"], carry[0]["bias"])
    assert (state.update, state.examples) == (2, 120)


def test_micro_batches_work_in_float64() -> None:
    with jax.enable_x64(True):
        problem = linear_problem(STORE)
        batch = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), rows_of(STORE))
        params = {"kernel": jnp.ones((3, 1)), "bias": jnp.ones(1)}
        whole = make_gradient(problem.objective)(params, batch)
        microbatches = make_gradient(problem.objective, 4)(params, batch)
        for one, other in zip(*map(jax.tree.leaves, (whole, microbatches)), strict=True):
            assert one.dtype == other.dtype == jnp.float64
            np.testing.assert_allclose(one, other, rtol=1e-12)


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


def test_only_the_updates_asked_for_are_run() -> None:
    problem = linear_problem(STORE)
    plan = BatchPlan(60, 6, seed=0, updates_per_chunk=10)
    batch = next(chunks(STORE, plan)).batch
    run_chunk = problem.compiled(plan)
    rates = np.full(10, 0.1, np.float32)
    for updates in (0, 1, 4):
        some, losses = run_chunk(problem.begin().state, batch, rates, updates, updates * 6)
        short = jax.tree.map(lambda leaf, stop=updates: leaf[:stop], batch)
        state = problem.begin().state
        if updates:
            state, expected = run_chunk(state, short, rates[:updates], updates, updates * 6)
            np.testing.assert_array_equal(losses[:updates], expected)
            state = state._replace(update=0, examples=0)
        assert same_bits(some.params, state.params)
        assert (some.update, some.examples) == (updates, updates * 6)


def test_losses_of_a_chunk_are_those_before_each_update() -> None:
    problem = linear_problem(STORE)
    plan = BatchPlan(60, 20, seed=0, updates_per_chunk=3)
    batch = next(chunks(STORE, plan)).batch
    rates = np.float32([0.1, 0.2, 0.3])
    state = problem.begin().state
    _, losses = problem.compiled(plan)(copy_state(state), batch, rates, 3, 60)
    step = jax.jit(make_step(problem.objective, problem.optimizer))
    carry = (state.params, state.opt_state)
    for number in range(3):
        one = jax.tree.map(lambda leaf, number=number: leaf[number], batch)
        assert float(problem.objective(carry[0], one)) == pytest.approx(
            float(losses[number]), rel=1e-5
        )
        carry, _ = step(carry, one, rates[number])


def test_the_same_seed_begins_with_the_same_weights() -> None:
    def init(seed: int) -> np.ndarray:
        return np.random.default_rng(seed).normal(size=(3, 1)).astype(np.float32)

    optimizer = linear_problem(STORE).optimizer
    states = [initial_state(init, optimizer, seed) for seed in (0, 0, 1, 2**32 - 1)]
    assert same_bits(states[0], states[1])
    assert len({np.asarray(state.params).tobytes() for state in states}) == 3


def test_a_copy_outlives_its_original() -> None:
    problem = linear_problem(STORE, optimizer="dog")
    plan = BatchPlan(60, 60, seed=0, updates_per_chunk=1)
    state = problem.begin().state
    kept = copy_state(state)
    batch = next(chunks(STORE, plan)).batch
    problem.compiled(plan)(state, batch, np.ones(1, np.float32), 1, 60)
    assert not np.any(kept.params["kernel"])


def test_an_update_in_parts_says_nothing_on_the_screen() -> None:
    problem = linear_problem(STORE)
    accumulated = compile_accumulation(problem.objective, problem.optimizer)
    state = problem.begin().state
    part = jax.tree.map(lambda leaf: leaf[None], rows_of(STORE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sums = accumulated.add(None, state, part)
        sums = accumulated.add(sums, state, part)
        accumulated.finish(state, sums, np.float32([0.1]), 60)
