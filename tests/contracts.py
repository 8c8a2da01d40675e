"""One contract for every member of a family: losses, optimizers, schedules, row stores."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from descend import choices
from descend.data.rows.batches import BatchPlan, chunks
from descend.data.rows.mapped_store import open_store
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.rows.write_store import write_store
from descend.defaults import LEARNING_RATES
from descend.settings import Settings
from descend.training.losses import LOSSES, make_loss
from descend.training.network.models import ACTIVATIONS
from descend.training.optimizers import FACTORIES, make_optimizer
from descend.training.problem import Problem
from descend.training.schedules import make_schedule
from descend.training.step import Carry, make_step
from descend.types import Batch
from tests.problems import linear_problem, numbers, rows_of, same_bits

loss_names = pytest.mark.parametrize("loss", choices.LOSSES[1:])
optimizer_names = pytest.mark.parametrize("optimizer", choices.OPTIMIZERS)
schedule_names = pytest.mark.parametrize("schedule", choices.SCHEDULES)


def test_each_name_that_settings_take_has_its_part() -> None:
    assert set(choices.LOSSES) == {"auto", "quantile", *LOSSES}
    assert set(choices.OPTIMIZERS) == set(FACTORIES)
    assert set(LEARNING_RATES) <= set(FACTORIES)
    assert set(choices.ACTIVATIONS) == set(ACTIVATIONS)


# Losses


def targets(loss: str, outputs: int, rows: int = 12) -> np.ndarray:
    """Targets that fit a loss."""
    random = np.random.default_rng(outputs)
    if loss in choices.CLASS_LOSSES:
        return random.integers(max(2, outputs), size=rows).astype(np.int32)
    if loss == "poisson":
        return random.poisson(2.0, size=(rows, outputs)).astype(np.float64)
    if loss == "binary_cross_entropy":
        return random.uniform(0.1, 0.9, size=(rows, outputs))
    return random.normal(size=(rows, outputs))


@pytest.mark.parametrize("outputs", [1, 3])
@loss_names
def test_the_gradient_of_a_loss_equals_finite_differences(loss: str, outputs: int) -> None:
    per_example = make_loss(loss, (0.3,)).per_example
    values = np.random.default_rng(7).normal(size=(12, outputs)) * 1.5
    y = targets(loss, outputs)
    width = 1e-6
    with jax.enable_x64(True):
        losses = jax.jit(lambda outputs: per_example(outputs, y))
        gradient = jax.jit(jax.grad(lambda outputs: jnp.sum(per_example(outputs, y))))(values)
        for column in range(outputs):
            nudge = width * np.eye(outputs)[column]
            slopes = (losses(values + nudge) - losses(values - nudge)) / (2 * width)
            np.testing.assert_allclose(gradient[:, column], slopes, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("outputs", [1, 3])
@loss_names
def test_a_loss_takes_each_row_by_itself(loss: str, outputs: int) -> None:
    per_example = make_loss(loss, (0.3,)).per_example
    values = np.random.default_rng(8).normal(size=(12, outputs)).astype(np.float32)
    y = targets(loss, outputs)
    together = jax.jit(per_example)(values, y)
    assert together.shape == (12,)
    single = jax.jit(per_example)
    alone = [single(values[row : row + 1], y[row : row + 1])[0] for row in range(12)]
    np.testing.assert_allclose(together, np.asarray(alone), rtol=1e-6)


@loss_names
def test_a_loss_is_finite_wherever_a_network_may_begin(loss: str) -> None:
    values = np.array([[-80.0], [-1e-8], [0.0], [80.0]], np.float32)
    y = np.array([0, 1, 1, 0]) if loss in choices.CLASS_LOSSES else np.array([[0], [1], [1], [0.0]])
    per_example = make_loss(loss, (0.3,)).per_example
    total = jax.jit(jax.value_and_grad(lambda outputs: jnp.sum(per_example(outputs, y))))
    loss_sum, slopes = total(values)
    assert np.isfinite(loss_sum)
    assert np.isfinite(slopes).all()


@pytest.mark.parametrize("outputs", [1, 3])
@loss_names
def test_predictions_minimise_the_loss_they_belong_to(loss: str, outputs: int) -> None:
    """Outputs fitted to one repeated target predict that target."""
    y = targets(loss, outputs, rows=1)
    per_example, link, _ = make_loss(loss, (0.3,))
    slope = jax.grad(lambda outputs: jnp.sum(per_example(outputs, y)))

    @jax.jit
    def fitted() -> jax.Array:
        def update(turn: jax.Array, values: jax.Array) -> jax.Array:
            return values - jnp.where(turn < 100, 0.5, 0.02) * slope(values)

        return link(jax.lax.fori_loop(0, 400, update, jnp.zeros((1, outputs), jnp.float32)))

    predicted = np.asarray(fitted())
    if loss in choices.CLASS_LOSSES:
        assert predicted.shape == (1, max(2, outputs))
        assert predicted.argmax() == y[0]
        assert predicted[0, y[0]] > 0.9
        assert loss == "hinge" or predicted.sum() == pytest.approx(1.0, abs=1e-6)
    else:
        np.testing.assert_allclose(predicted, y, atol=0.05)


# Optimizers


GOOD_RATES = {"adam": 0.05, "adamw": 0.05, "rmsprop": 0.05, "adagrad": 0.5}


class Descent(NamedTuple):
    """A small problem and its compiled updates."""

    problem: Problem
    start: Carry
    run: Callable[[Carry, int, float], Carry]


@functools.cache
def descent(optimizer: str) -> Descent:
    """Gradient descent on least squares by an optimizer."""
    problem = linear_problem(numbers(64), optimizer=optimizer)
    step = make_step(problem.objective, problem.optimizer)
    batch = rows_of(problem.store)

    @jax.jit
    def run(carry: Carry, updates: int, rate: float) -> Carry:
        def update(_: jax.Array, carry: Carry) -> Carry:
            return step(carry, batch, jnp.float32(rate))[0]

        return jax.lax.fori_loop(0, updates, update, carry)

    state = problem.begin().state
    return Descent(problem, (state.params, state.opt_state), run)


@optimizer_names
def test_an_optimizer_brings_a_convex_loss_down(optimizer: str) -> None:
    problem, start, run = descent(optimizer)
    rate = GOOD_RATES.get(optimizer, LEARNING_RATES.get(optimizer, 1.0))
    params, _ = run(start, 300, rate)
    assert problem.evaluate(params) < 0.6 * problem.evaluate(start[0])


@optimizer_names
def test_an_optimizer_is_a_function_of_its_state(optimizer: str) -> None:
    _, start, run = descent(optimizer)
    assert same_bits(run(run(start, 2, 0.01), 3, 0.01), run(start, 5, 0.01))


@optimizer_names
def test_a_rate_of_0_moves_nothing(optimizer: str) -> None:
    _, start, run = descent(optimizer)
    assert same_bits(run(start, 3, 0.0)[0], start[0])


@optimizer_names
def test_an_optimizer_keeps_the_types_of_what_it_holds(optimizer: str) -> None:
    _, (params, opt_state), _ = descent(optimizer)
    for changes in ({}, {"clip": 1.0, "weight_decay": 0.01}):
        rule = make_optimizer(Settings("y", optimizer=optimizer, **changes))
        state = rule.init(params) if changes else opt_state
        update = functools.partial(optax.with_extra_args_support(rule).update, value=1.0)
        direction, after = jax.eval_shape(update, params, state, params)
        for ours, theirs in [(direction, params), (after, state)]:
            assert jax.tree.structure(ours) == jax.tree.structure(theirs)
            for one, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
                assert (one.shape, one.dtype) == (np.shape(other), jnp.asarray(other).dtype)


# Schedules


@pytest.mark.parametrize("total", [None, 1, 7, 1000])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.99])
@schedule_names
def test_a_schedule_stays_within_its_peak_and_above_0(
    schedule: str, total: int | None, warmup: float
) -> None:
    factors = make_schedule(schedule, total, warmup)(np.arange(2000))
    assert factors.shape == (2000,)
    assert np.isfinite(factors).all()
    assert factors.min() > 0
    assert factors.max() <= 1
    far = make_schedule(schedule, total, warmup)(np.asarray([10**12]))
    assert 0 < far[0] <= 1


@schedule_names
def test_a_schedule_is_a_function_of_the_update_alone(schedule: str) -> None:
    loop = make_schedule(schedule, 500, 0.1)
    one_by_one = [loop(np.asarray([update]))[0] for update in range(500)]
    assert np.array_equal(loop(np.arange(500)), one_by_one)


@schedule_names
def test_a_schedule_reaches_its_peak(schedule: str) -> None:
    assert make_schedule(schedule, 1000)(np.arange(1000)).max() == pytest.approx(1.0, abs=1e-3)


@schedule_names
def test_warm_up_is_a_straight_line_into_the_schedule(schedule: str) -> None:
    plain = make_schedule(schedule, 1000)(np.arange(1000))
    warmed = make_schedule(schedule, 1000, 0.2)(np.arange(1000))
    assert np.array_equal(warmed[200:], plain[200:])
    rising = np.arange(1, 201) / 200
    np.testing.assert_allclose(warmed[:200], np.maximum(plain[:200] * rising, 1e-3))


# Row stores: each makes a store of its own kind from one in memory.


def in_memory(whole: MemoryStore, folder: Path) -> RowStore:
    """The rows as they are."""
    return whole


def memory_mapped(whole: MemoryStore, folder: Path) -> RowStore:
    """The rows in files that are mapped into memory."""
    np.save(folder / "y.npy", whole.y)
    np.save(folder / "numeric.npy", whole.x["numeric"])
    numeric = np.load(folder / "numeric.npy", mmap_mode="r")
    y = np.load(folder / "y.npy", mmap_mode="r")
    return MemoryStore({**whole.x, "numeric": numeric}, y, whole.weight)


def on_disk(whole: MemoryStore, folder: Path) -> RowStore:
    """The rows in a store on disk, which keeps the order of validation rows."""
    parts = [("training", rows_of(whole, [0])), ("validation", rows_of(whole))]
    rows = {"training": 1, "validation": len(whole)}
    write_store(folder / "store", parts, key={}, rows=rows, seed=0)
    return open_store(folder / "store")[1]


STORES: list[Callable[[MemoryStore, Path], RowStore]] = [in_memory, memory_mapped, on_disk]
stores = pytest.mark.parametrize("make", STORES)


def table() -> MemoryStore:
    """Rows that can be told from each other, with weights."""
    whole = numbers(40)
    weight = np.linspace(0, 2, 40, dtype=np.float32)
    category = np.arange(80, dtype=np.int32).reshape(40, 2)
    return MemoryStore({**whole.x, "category": category}, whole.y, weight)


def same_rows(batch: Batch, whole: MemoryStore, rows: list[int]) -> bool:
    """Whether a batch holds these rows of a table, in this order, to the bit."""
    expected = Batch(
        {name: values[rows] for name, values in whole.x.items()}, whole.y[rows], whole.weight[rows]
    )
    return same_bits(batch._replace(x=dict(batch.x)), expected)


@stores
@pytest.mark.parametrize("rows", [[0], [3, 1, 2], [39, 39, 0], [], list(range(40))])
def test_a_store_gives_the_rows_asked_for_in_their_order(
    make: Callable[[MemoryStore, Path], RowStore], rows: list[int], tmp_path: Path
) -> None:
    store = make(table(), tmp_path)
    assert len(store) == 40
    assert same_rows(store.gather(np.asarray(rows, dtype=np.int64)), table(), rows)


@stores
def test_a_store_gives_rows_that_the_caller_may_change(
    make: Callable[[MemoryStore, Path], RowStore], tmp_path: Path
) -> None:
    store = make(table(), tmp_path)
    first = store.gather(np.arange(5))
    for values in (*first.x.values(), first.y, first.weight):
        values[:] = 99
    assert same_rows(store.gather(np.arange(5)), table(), list(range(5)))


@stores
def test_a_store_knows_its_weights_and_its_size(
    make: Callable[[MemoryStore, Path], RowStore], tmp_path: Path
) -> None:
    store = make(table(), tmp_path)
    weight = table().weight
    assert store.mean_weight == pytest.approx(float(weight[weight > 0].mean()), rel=1e-6)
    assert store.row_bytes == table().row_bytes


@stores
def test_a_store_feeds_the_same_chunks_as_memory(
    make: Callable[[MemoryStore, Path], RowStore], tmp_path: Path
) -> None:
    plan = BatchPlan(rows=40, batch_size=7, seed=2, updates_per_chunk=2)
    ours, theirs = chunks(make(table(), tmp_path), plan), chunks(table(), plan)
    for _ in range(8):
        one, other = next(ours), next(theirs)
        assert one[1:] == other[1:]
        assert same_bits(one.batch, other.batch)
