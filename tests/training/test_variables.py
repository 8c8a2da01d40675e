"""Models that take a key and carry a state: keys are arithmetic, the state is handed on."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.data.rows.batches import chunks
from descend.data.rows.order import epoch_rows
from descend.errors import SettingsError
from descend.training.accumulation import compile_accumulation
from descend.training.averaging import averaging_schedule
from descend.training.keys import update_key
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.stopping_state import Limits
from descend.tuning.advice.noise import NoiseMeter, estimate
from descend.tuning.compare.measures import full_gradient, gradient_deviation
from descend.types import Variables
from tests.problems import Recorder, linear_problem, numbers, rows_of, same_bits

STORE = numbers(50)
RATE = 0.05


def noisy(seed: int = 0, **options: Any) -> Problem:
    """A linear model whose inputs get noise while it is trained, and that keeps their mean."""
    plain = linear_problem(STORE, seed=seed, **options)

    def init(seed: int) -> Variables:
        return Variables(plain.init(seed), {"mean": jnp.zeros(3), "calls": jnp.int32(0)})

    def apply(variables: Variables, x: Any) -> Any:
        return plain.apply(variables.params, {**x, "numeric": x["numeric"]})

    def training_apply(params: Any, state: Any, x: Any, key: Any) -> tuple[Any, Any]:
        values = x["numeric"] + jax.random.normal(key, x["numeric"].shape)
        mean = 0.9 * state["mean"] + 0.1 * jnp.mean(x["numeric"], axis=0)
        return plain.apply(params, {**x, "numeric": values}), {
            "mean": mean,
            "calls": state["calls"] + 1,
        }

    return dataclasses.replace(
        plain, init=init, apply=apply, training_apply=training_apply, noisy=True
    )


def trained(problem: Problem, batch_size: int, epochs: int) -> LoopState:
    run = problem.loop_config(batch_size, RATE, limits=Limits(patience=99, epochs=epochs))
    return fit(run, problem.begin())[0]


def test_updates_equal_a_plain_loop_with_the_same_keys() -> None:
    problem = noisy(seed=3)
    state = trained(problem, 10, 2).state
    X, y = STORE.x["numeric"], STORE.y
    kernel, bias = np.zeros((3, 1)), np.zeros(1)
    mean = np.zeros(3)
    for epoch in range(2):
        order = epoch_rows(3, epoch, 0, 50, 50)
        for place in range(5):
            rows = order[place * 10 : place * 10 + 10]
            key = update_key(np.uint32(3), np.uint32(epoch * 5 + place))
            values = X[rows] + np.asarray(jax.random.normal(key, (10, 3)))
            residual = values @ kernel + bias - y[rows]
            kernel = kernel - RATE * values.T @ residual / 10
            bias = bias - RATE * residual.mean(axis=0)
            mean = 0.9 * mean + 0.1 * X[rows].mean(axis=0)
    np.testing.assert_allclose(state.params.params["kernel"], kernel, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.params.params["bias"], bias, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(state.params.state["mean"], mean, rtol=1e-4, atol=1e-6)
    assert int(state.params.state["calls"]) == 10


def test_another_seed_is_another_noise() -> None:
    problem = dataclasses.replace(noisy(), seed=0)
    other = dataclasses.replace(problem, seed=1)
    assert problem.compiled(problem.plan(5)).func is other.compiled(other.plan(5)).func
    plan, state = problem.plan(5), problem.begin().state
    chunk = next(chunks(STORE, plan))
    rates = np.full(plan.updates_per_chunk, RATE, np.float32)
    ends = [
        one.compiled(plan)(problem.begin().state, chunk.batch, rates, 3, 15)[0]
        for one in (problem, other)
    ]
    assert not same_bits(ends[0].params, ends[1].params)
    assert int(state.params.state["calls"]) == 0


@pytest.mark.parametrize("averaging", [False, True])
def test_a_run_that_goes_on_has_the_same_bits(averaging: bool) -> None:
    problem = dataclasses.replace(noisy(optimizer="adam"), averaging=averaging)
    run = problem.loop_config(7, RATE, limits=Limits(patience=99, epochs=8))
    whole, _ = fit(run, problem.begin())
    stopped, _ = fit(run, problem.begin(), Recorder(stop_after=2))
    saved = save_loop_state(stopped)
    again, _ = fit(run, restore_loop_state(*saved, like=problem.begin()))
    assert same_bits(again.state, whole.state)
    assert same_bits(again.best.mean, whole.best.mean)


@pytest.mark.slow
def test_parts_and_microbatches_have_keys_of_their_own() -> None:
    problem = noisy()
    state = problem.begin().state
    partwise = compile_accumulation(problem.objective, problem.optimizer, 2)
    sums = None
    for start in (0, 20):
        part = jax.tree.map(lambda leaf: leaf[None], rows_of(STORE, range(start, start + 20)))
        sums = partwise.add(sums, state, part, 5)
    assert sums is not None
    assert int(sums.state["calls"]) == 4
    base = update_key(np.uint32(5), np.uint32(0))
    expected = np.zeros((3, 1))
    for part, before in ((0, 0), (1, 20)):
        for number in range(2):
            key = jax.random.fold_in(jax.random.fold_in(base, before), number)
            rows = np.arange(10) + 20 * part + 10 * number
            values = STORE.x["numeric"][rows] + np.asarray(jax.random.normal(key, (10, 3)))
            expected -= values.T @ STORE.y[rows]
    np.testing.assert_allclose(sums.gradient["kernel"], expected, rtol=1e-4, atol=1e-4)
    after, _ = partwise.finish(state, sums, np.float32([0.1]), 40)
    assert int(after.params.state["calls"]) == 4


def test_the_mean_of_a_state_is_taken_as_that_of_weights_but_for_whole_numbers() -> None:
    problem = noisy()
    plan = problem.plan(10)
    chunk = next(chunks(STORE, plan))
    rates = np.full(plan.updates_per_chunk, RATE, np.float32)
    run_chunk = problem.compiled(plan)
    marks = averaging_schedule(0, 3, plan.updates_per_chunk, 100.0)
    mean = run_chunk(problem.begin().state, chunk.batch, rates, 3, 30, marks)[0].mean
    newest = run_chunk(problem.begin().state, chunk.batch, rates, 3, 30)[0].mean
    assert int(mean.state["calls"]) == int(newest.state["calls"]) == 3
    assert not np.allclose(mean.state["mean"], newest.state["mean"])


def test_noise_and_gradients_are_by_the_weights_alone() -> None:
    problem = noisy(l2=0.1)
    params = problem.begin().state.params
    _, trace = estimate(NoiseMeter(problem)(params))
    still = dataclasses.replace(problem, training_apply=None, noisy=False)
    _, trace_of_rows = estimate(NoiseMeter(still)(params))
    assert trace > trace_of_rows, "the model's own noise is part of the noise"
    whole = full_gradient(problem, params)
    assert set(whole) == {"kernel", "bias"}
    assert gradient_deviation(problem, params, [5])[5].value > 0


@pytest.mark.slow
def test_a_batch_that_is_taken_together_is_never_divided() -> None:
    problem = dataclasses.replace(noisy(), couples_rows=True)
    many = dataclasses.replace(problem, store=numbers(20_000))
    assert many.plan(20_000).microbatches == 1
    for size in (7, 16, 30, 49):
        plan = problem.plan(size)
        last = [chunk for _, chunk in zip(range(9), chunks(STORE, plan), strict=False)]
        assert all(chunk.updates > 1 for chunk in last if chunk.position.index == 0)
    wide = dataclasses.replace(problem, store=numbers(1000, 100_000))
    with pytest.raises(SettingsError, match="Give at most"):
        wide.plan(1000)


def test_a_short_batch_is_filled_with_other_rows() -> None:
    problem = dataclasses.replace(noisy(), couples_rows=True)
    plan = problem.plan(30)
    chunk = next(chunks(STORE, plan))
    assert chunk.updates == 2
    filled = chunk.batch.x["numeric"][1]
    assert len(np.unique(filled, axis=0)) == 30
    assert (chunk.batch.weight[1] > 0).sum() == 20


def test_the_meter_takes_no_gradients_of_single_rows_where_rows_are_coupled() -> None:
    problem = dataclasses.replace(noisy(), couples_rows=True)
    measured = NoiseMeter(problem)(problem.begin().state.params)
    assert measured.singles.shape == (0, 0)
    assert measured.products.shape[0] > 1
