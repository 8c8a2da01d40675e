"""The mean of the weights: its shares by the formula, update after update; what it is for."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.data.rows.batches import chunks
from descend.training.averaging import (
    GROWTH,
    SAMPLES,
    WINDOW,
    averaging_schedule,
    blend,
    no_averaging,
)
from descend.training.loop import fit
from descend.training.problem import Problem
from descend.training.rate_and_batch_size import updates_between
from descend.training.stopping_state import Limits
from tests.problems import linear_problem, mlp_problem, numbers, same_bits, store_of


def network() -> Problem:
    """A small network with momentum on 120 rows, validated on 40 others."""
    whole = numbers(160, noise=0.5)
    training = store_of(whole.x["numeric"][:120], whole.y[:120])
    return mlp_problem(training, store_of(whole.x["numeric"][120:], whole.y[120:]))


def weight_of_each(updates: int, cuts: list[int], window: float) -> np.ndarray:
    """How much each update's weights count in the mean, the marks applied one after the other."""
    share = np.zeros(updates + 1)
    share[0] = 1.0
    first = 0
    for last in [*cuts, updates]:
        if last <= first:
            continue
        marks = averaging_schedule(first, last - first, last - first + 3, window)
        assert marks.stops[marks.used - 1] == last - first
        for stop, part in zip(
            marks.stops[: marks.used], marks.shares[: marks.used].astype(float), strict=True
        ):
            share *= 1.0 - part
            share[first + stop] += part
        first = last
    return share


@given(st.integers(2, 2000), st.floats(1.0, 500.0), st.data())
def test_where_a_run_is_cut_into_chunks_changes_nothing(
    updates: int, window: float, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(1, updates), max_size=4)))

    whole, cut = weight_of_each(updates, [], window), weight_of_each(updates, cuts, window)

    np.testing.assert_allclose(cut, whole, atol=1e-12)
    assert whole.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("window", [3.0, 17.0, 300.0])
def test_what_no_update_changes_keeps_every_bit(window: float) -> None:
    """A model may hold numbers of columns, and 6.9999995 would be read as column 6."""
    schedule = averaging_schedule(0, 400, 400, window)
    columns = np.arange(300, dtype=np.float32)
    fixed = np.append(columns, np.random.default_rng(0).normal(size=300).astype(np.float32))

    @jax.jit
    def averaged(weights: jax.Array, shares: jax.Array) -> jax.Array:
        def sample(number: jax.Array, mean: jax.Array) -> jax.Array:
            return blend(mean, weights, shares[number])

        return jax.lax.fori_loop(0, len(schedule.shares), sample, weights)

    assert (np.asarray(averaged(fixed, schedule.shares)) == fixed).all()


def test_short_windows_sample_every_update_by_the_formula() -> None:
    marks = averaging_schedule(0, 50, 50, float(SAMPLES))

    number = np.arange(1, 51)
    wide = np.maximum(1.0, np.minimum(SAMPLES, (number + GROWTH) / (1 + GROWTH)))
    np.testing.assert_allclose(marks.shares, 1.0 / wide, rtol=1e-6)
    np.testing.assert_array_equal(marks.stops, number)


def test_a_sampled_mean_reaches_as_far_back_as_one_of_every_update() -> None:
    window, updates = 640.0, 20_000
    every = (1.0 - 1.0 / window) ** np.arange(updates)[::-1] / window

    sampled = weight_of_each(updates, [], window)[1:]

    place = np.arange(updates)
    back = updates - sampled @ place / sampled.sum()
    assert back == pytest.approx(updates - every @ place / every.sum(), rel=0.05)
    assert np.count_nonzero(sampled[-int(window) :]) <= 2 * SAMPLES + 1


def mean_by_hand(problem: Problem, size: int, epochs: int) -> list[np.ndarray]:
    """The mean after so many epochs, from runs that are stopped after each update."""
    plain = dataclasses.replace(problem, averaging=False)
    plan = plain.plan(size)
    step = plain.compiled(plan)
    state = plain.begin().state
    mean = [np.array(leaf, np.float64) for leaf in jax.tree.leaves(state.params)]
    source = chunks(plain.store, plan)
    done = 0
    while done < epochs * plan.updates_per_epoch:
        chunk = next(source)
        for place in range(chunk.updates):
            one = jax.tree.map(lambda leaf, at=place: np.roll(leaf, -at, axis=0), chunk.batch)
            rates = np.full(plan.updates_per_chunk, 0.05, np.float32)
            state, _ = step(state, one, rates, 1, size)
            done += 1
            window = max(1.0, WINDOW * updates_between(plan))
            wide = max(1.0, min(window, (done + GROWTH) / (1 + GROWTH)))
            leaves = jax.tree.leaves(state.params)
            mean = [m + (np.array(leaf) - m) / wide for m, leaf in zip(mean, leaves, strict=True)]
    return mean


def test_the_mean_of_a_run_equals_a_loop_that_stops_after_each_update() -> None:
    problem = dataclasses.replace(network(), averaging=True)
    run = problem.loop_config(8, 0.05, limits=Limits(epochs=2))

    loop, _ = fit(run, problem.begin())

    expected = mean_by_hand(problem, 8, 2)
    for found, leaf in zip(jax.tree.leaves(loop.state.mean), expected, strict=True):
        np.testing.assert_allclose(found, leaf, rtol=2e-4, atol=2e-6)
    assert loop.history[-1].validation_loss == problem.evaluate(loop.state.mean)


def test_without_a_mean_what_is_kept_are_the_weights() -> None:
    problem = network()

    loop, _ = fit(problem.loop_config(8, 0.05, limits=Limits(epochs=2)), problem.begin())

    assert same_bits(loop.state.mean, loop.state.params)
    assert no_averaging(3, 5).stops.tolist() == [3, 0, 0, 0, 0]


def test_gradient_descent_has_no_noise_to_average_out() -> None:
    problem = dataclasses.replace(network(), averaging=True)

    loop, _ = fit(
        problem.loop_config(len(problem.store), 0.05, limits=Limits(epochs=12)), problem.begin()
    )

    assert same_bits(loop.state.mean, loop.state.params)


def test_the_mean_of_noisy_updates_is_nearer_to_the_solution() -> None:
    problem = dataclasses.replace(linear_problem(numbers(200, noise=0.5)), averaging=True)

    loop, _ = fit(problem.loop_config(1, 0.01, limits=Limits(epochs=6)), problem.begin())

    assert problem.evaluate(loop.state.mean) < problem.evaluate(loop.state.params)
