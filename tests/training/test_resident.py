"""Batches that the device gathers for itself: the same rows as those the host sends."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from descend.data.rows import order
from descend.data.rows.batches import chunks, plan_batches
from descend.data.rows.order import DRAWN, HASHED, epoch_rows, round_keys
from descend.data.rows.store import MemoryStore
from descend.training import device_feed
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.resident import batch_at, hashed_rows
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.stopping_state import Limits
from descend.tuning.advice.trials import make_runner
from descend.types import Batch, Position
from tests.problems import linear_problem, mlp_problem, numbers, same_bits, store_of


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), epoch=st.integers(0, 99), rows=st.integers(2, 300_000))
def test_the_device_computes_the_order_of_the_host(seed: int, epoch: int, rows: int) -> None:
    places = np.random.default_rng(seed).integers(rows, size=64).astype(np.int32)
    rounds = order._hashed_rounds(seed, epoch, rows)
    found = hashed_rows(places, round_keys(seed, epoch), rows)
    assert np.array_equal(found, order._feistel(places, rounds, rows))


def test_the_device_computes_it_up_to_the_last_rows_of_32_bits() -> None:
    rows = order.MOST_HASHED
    places = np.arange(rows - 64, rows, dtype=np.int32)
    expected = epoch_rows(3, 1, rows - 64, rows, rows, HASHED)
    assert np.array_equal(hashed_rows(places, round_keys(3, 1), rows), expected)


def counted(batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a batch that count, sorted by their target, and their weights."""
    weight, y = np.asarray(batch.weight), np.asarray(batch.y)[:, 0]
    inside = weight > 0
    ranks = np.argsort(y[inside])
    return np.asarray(batch.x["numeric"])[inside][ranks], weight[inside][ranks]


@pytest.mark.slow
@pytest.mark.parametrize("which", [DRAWN, HASHED])
@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_batches_have_the_rows_that_the_host_sends(
    which: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(order.MOST_DRAWN, HASHED, 10)
    store = numbers(203)
    plan = dataclasses.replace(plan_batches(store, batch_size, seed=3), order=which)
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)
    wide = device_feed.for_device(store, plan)
    assert wide.updates_per_chunk == plan.updates_per_epoch
    host = dataclasses.replace(plan, updates_per_chunk=wide.updates_per_chunk)
    at = jax.jit(batch_at)  # One program; alone, each place would be a program of its own.
    for _, sent, own in zip(
        range(3), chunks(store, host), device_feed.chunk_source(store, wide), strict=False
    ):
        assert sent[1:] == own[1:]
        for update in range(sent.updates):
            one = counted(at(sent.batch, np.int32(update)))
            other = counted(at(own.batch, np.int32(update)))
            assert all(np.array_equal(*pair) for pair in zip(one, other, strict=True))


def test_an_interval_is_one_call(on_device: None) -> None:
    problem = linear_problem(numbers(500))
    assert problem.plan(4).updates_per_chunk == problem.plan(4).updates_per_interval == 125


def test_rows_of_weight_0_do_not_count_whatever_they_hold(on_device: None) -> None:
    plain = numbers(60)
    X, y = plain.x["numeric"].copy(), plain.y.copy()
    X[7], y[3] = np.nan, np.inf
    weight = np.ones(60)
    weight[[3, 7]] = 0
    problem = linear_problem(store_of(X, y, weight))
    loop, _ = fit(problem.loop_config(8, 0.05, limits=Limits(epochs=2)), problem.begin())
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(loop.state.params))


@pytest.mark.slow
def test_a_trial_and_a_run_make_the_same_updates(on_device: None) -> None:
    runner = make_runner(mlp_problem(numbers(230), numbers(50, seed=1)))
    trial = runner.start(16, 0.01)
    for updates in (7, 8, 15):
        trial, _ = runner.advance(trial, np.full(updates, 0.01, np.float32))
    run = runner.problem.loop_config(16, 0.01, limits=Limits(epochs=2))
    loop, _ = fit(run, runner.problem.begin())
    assert same_bits(trial.state, loop.state)
    assert runner.chunk_cache(16).position(trial.cursor) == loop.position == Position(2, 0)


def test_a_run_keeps_the_order_it_began_with(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(order.MOST_DRAWN, HASHED, 10)
    problem = linear_problem(numbers(120))

    def end(begin: LoopState, epochs: int) -> LoopState:
        run = problem.loop_config(16, 0.05, limits=Limits(epochs=epochs))
        return fit(run, begin)[0]

    old = problem.begin()._replace(order=DRAWN)
    whole = end(problem.begin()._replace(order=DRAWN), 4)
    arrays, record = save_loop_state(end(old, 2))
    resumed = end(restore_loop_state(arrays, record, problem.begin()), 4)
    assert same_bits(resumed.state, whole.state)
    assert not same_bits(end(problem.begin(), 4).state, whole.state)
    # Records of earlier versions do not name an order.
    del record["order"]
    assert restore_loop_state(arrays, record, problem.begin()).order == DRAWN


@pytest.mark.slow
def test_a_large_table_trains_the_same_on_host_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = 3005
    monkeypatch.setitem(order.MOST_DRAWN, HASHED, 1000)
    random = np.random.default_rng(0)
    x = random.standard_normal((rows, 2)).astype(np.float32)
    store: MemoryStore = store_of(x, x @ np.float32([[1.0], [-2.0]]))
    problem = linear_problem(store)

    def end() -> LoopState:
        run = problem.loop_config(512, 0.05, limits=Limits(epochs=2))
        return fit(run, problem.begin())[0]

    expected = end()
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)
    found = end()
    for one, other in zip(
        jax.tree.leaves(found.state.params), jax.tree.leaves(expected.state.params), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-5)
