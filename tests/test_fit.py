import dataclasses
import functools
import itertools
import math
import threading
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
import pytest

from descend.data.rows.store import MemoryStore
from descend.training import problem as problem_module
from descend.training.fit import Course, Run, begin, fit, learning_rate, summary_of
from descend.training.problem import Problem
from descend.training.saved import course_restored, course_saved
from descend.training.step import compile_parts
from descend.training.stopping import MOST_LOWERINGS, MOST_RESCUES, Limits
from descend.types import Position, StopReason
from tests.problems import (
    Recorder,
    labels,
    linear_problem,
    mlp_problem,
    numbers,
    same_bits,
    same_course,
    store_of,
)


@functools.cache
def network() -> Problem:
    """A small network with momentum on 120 rows, judged on 40 others."""
    whole = numbers(160, noise=0.5)
    training = store_of(whole.x["numeric"][:120], whole.y[:120])
    return mlp_problem(training, store_of(whole.x["numeric"][120:], whole.y[120:]))


@functools.cache
def least_squares() -> Problem:
    """The linear model on 120 rows, judged on the same."""
    return linear_problem(numbers(120, noise=0.5), optimizer="momentum")


def with_chunks(run: Run, updates: int) -> Run:
    """The run with other chunks."""
    return dataclasses.replace(run, plan=dataclasses.replace(run.plan, updates_per_chunk=updates))


def prefetch_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "descend-prefetch"]


# What a run does


def test_100_000_rows_at_batch_size_1_000_are_100_updates_an_epoch() -> None:
    problem = linear_problem(numbers(100_000), numbers(100, seed=1))
    course, _ = fit(problem.run(1000, 0.1, limits=Limits(epochs=2)), problem.begin())
    assert [line.update for line in course.history] == [0, 100, 200]
    assert [line.examples for line in course.history] == [0, 100_000, 200_000]
    assert [line.epoch for line in course.history] == [0, 1, 2]
    assert course.position == Position(2, 0)


def test_a_short_last_batch_counts_its_own_rows() -> None:
    problem = least_squares()
    course, _ = fit(problem.run(50, 0.1, limits=Limits(epochs=1)), problem.begin())
    assert (course.state.update, course.state.examples) == (3, 120)


def test_the_history_says_what_happened() -> None:
    run = network().run(16, 0.05, schedule="cosine", limits=Limits(epochs=4))
    course, reason = fit(run, network().begin())
    assert reason is StopReason.EPOCHS
    assert [line.update for line in course.history] == [0, 16, 32]
    first, *rest = course.history
    assert math.isnan(first.train_loss)
    for line in rest:
        assert line.batch_size == 16
        assert line.examples == line.epoch * 120
        assert 0 < line.train_loss < 5
        assert line.learning_rate == 0.05 * run.schedule(np.asarray([line.update - 1]))[0]
    assert first.learning_rate == 0.05
    assert course.history[-1].validation_loss == network().evaluate(course.state.params)
    assert course.progress.best == min(line.validation_loss for line in course.history)
    assert course.progress.best == network().evaluate(course.best.params)


def test_the_train_loss_is_the_mean_of_the_batch_losses() -> None:
    problem = least_squares()
    course, _ = fit(problem.run(120, 1e-9, limits=Limits(epochs=20)), problem.begin())
    losses = [line.train_loss for line in course.history[1:]]
    assert losses == pytest.approx([problem.evaluate(problem.begin().state.params)] * 2, rel=1e-5)


def test_large_batches_are_judged_after_ten_updates_or_more() -> None:
    problem = least_squares()
    course, _ = fit(problem.run(40, 0.1, limits=Limits(epochs=12)), problem.begin())
    assert [line.epoch for line in course.history] == [0, 4, 8, 12]


def test_the_last_updates_are_judged_before_the_end() -> None:
    problem = least_squares()
    course, reason = fit(problem.run(120, 0.1, limits=Limits(epochs=3)), problem.begin())
    assert reason is StopReason.EPOCHS
    assert [line.epoch for line in course.history] == [0, 3]
    assert course.best.update == 3
    assert course.loss_count == 0


def test_long_epochs_are_judged_between_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_module, "STRETCH_ROWS", 50)
    problem = dataclasses.replace(least_squares())
    course, _ = fit(problem.run(8, 0.05, limits=Limits(epochs=2)), problem.begin())
    assert [line.update for line in course.history] == [0, 5, 10, 15, 20, 25, 30]
    assert [line.epoch for line in course.history] == pytest.approx([n / 3 for n in range(7)])


def test_beginning_leaves_the_state_whole() -> None:
    state = network().begin().state
    fit(network().run(16, 0.05, limits=Limits(epochs=1)), begin(state))
    assert np.isfinite(state.params["layers"][0]["kernel"]).all()


# Convergence


def augmented(store: MemoryStore) -> np.ndarray:
    return np.column_stack([store.x["numeric"].astype(np.float64), np.ones(len(store))])


@pytest.mark.parametrize("batch_size", [120, 10])
def test_squared_error_converges_to_least_squares(batch_size: int) -> None:
    problem = least_squares()
    store = problem.store
    assert isinstance(store, MemoryStore)
    run = problem.run(batch_size, 0.05, schedule="cosine", limits=Limits(100, epochs=300))
    course, _ = fit(run, problem.begin())
    best = np.linalg.lstsq(augmented(store), store.y.astype(np.float64), rcond=None)[0]
    tolerance = 1e-4 if batch_size == 120 else 5e-3
    np.testing.assert_allclose(course.state.params["kernel"], best[:3], atol=tolerance)
    np.testing.assert_allclose(course.state.params["bias"], best[3], atol=tolerance)


def test_weighted_squared_error_converges_to_weighted_least_squares_at_a_small_batch() -> None:
    plain = numbers(120, noise=0.5)
    weight = np.where(plain.y[:, 0] > 0.5, 6.0, 0.5)
    store = store_of(plain.x["numeric"], plain.y, weight)
    problem = linear_problem(store)
    run = problem.run(1, 0.02, schedule="cosine", limits=Limits(100, epochs=100))
    course, _ = fit(run, problem.begin())
    root = np.sqrt(weight)[:, None]
    X, y = augmented(store), plain.y.astype(np.float64)
    best = np.linalg.lstsq(root * X, root * y, rcond=None)[0]
    np.testing.assert_allclose(course.state.params["kernel"], best[:3], atol=2e-2)
    np.testing.assert_allclose(course.state.params["bias"], best[3], atol=2e-2)
    unweighted = np.linalg.lstsq(X, y, rcond=None)[0]
    assert np.abs(unweighted - best).max() > 0.1


@pytest.mark.parametrize("classes", [2, 4])
def test_cross_entropy_converges_to_the_coefficients_of_scikit_learn(classes: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    store = labels(200, classes=classes)
    C = 0.5
    problem = linear_problem(
        store,
        loss="cross_entropy",
        outputs=1 if classes == 2 else classes,
        l2=1 / (C * len(store)),
        optimizer="momentum",
    )
    course, _ = fit(problem.run(200, 0.5, limits=Limits(100, epochs=600)), problem.begin())
    peer = linear_model.LogisticRegression(C=C, tol=1e-10, max_iter=1000)
    peer.fit(store.x["numeric"].astype(np.float64), store.y)
    kernel, bias = (np.asarray(course.state.params[name]) for name in ("kernel", "bias"))
    np.testing.assert_allclose(kernel.T, peer.coef_, atol=2e-4)
    # The biases of several classes are known up to a constant.
    centred = bias - bias.mean() if classes > 2 else bias
    theirs = peer.intercept_ - peer.intercept_.mean() if classes > 2 else peer.intercept_
    np.testing.assert_allclose(centred, theirs, atol=2e-4)


# The same again


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    def trained(seed: int) -> Course:
        problem = dataclasses.replace(network(), seed=seed)
        return fit(problem.run(16, 0.05, limits=Limits(epochs=3)), problem.begin())[0]

    first = trained(5)
    assert same_course(first, trained(5))
    assert not same_bits(first.state.params, trained(6).state.params)


def test_the_order_of_rows_depends_on_the_seed_alone() -> None:
    runs = [
        dataclasses.replace(least_squares(), seed=seed).run(16, 0.05, limits=Limits(epochs=2))
        for seed in (0, 0, 1)
    ]
    ends = [fit(run, least_squares().begin())[0].state for run in runs]
    assert same_bits(ends[0], ends[1])
    assert not same_bits(ends[0], ends[2])


@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_the_size_of_chunks_changes_nothing(batch_size: int) -> None:
    run = network().run(batch_size, 0.002, limits=Limits(epochs=2))
    whole, _ = fit(run, network().begin())
    assert whole.progress.rescues == 0
    for updates in (1, 3, 200):
        again, _ = fit(with_chunks(run, updates), network().begin())
        assert same_bits(again.state, whole.state)
        assert same_bits(again.best, whole.best)
        for ours, theirs in zip(again.history, whole.history, strict=True):
            assert ours.validation_loss == theirs.validation_loss
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-12, nan_ok=True)


LOWERING = Limits(patience=1, epochs=10)


def in_parts(run: Run, parts: int) -> Run:
    """The run with batches that are brought in parts."""
    problem = network()
    return dataclasses.replace(
        run,
        plan=dataclasses.replace(run.plan, parts=parts, updates_per_chunk=1),
        partwise=compile_parts(problem.objective, problem.optimizer),
    )


@pytest.mark.parametrize("batch_size", [50, 120])
def test_batches_in_parts_make_the_same_run(batch_size: int) -> None:
    run = network().run(batch_size, 0.01, limits=Limits(epochs=4))
    whole, _ = fit(run, network().begin())
    course, _ = fit(in_parts(run, 3), network().begin())
    assert course.position == whole.position
    assert course.state.update == whole.state.update
    assert course.state.examples == whole.state.examples
    for ours, theirs in zip(course.history, whole.history, strict=True):
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-4)
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4, nan_ok=True)


SETTINGS: dict[str, Callable[[], tuple[Problem, Run]]] = {
    "mini-batch": lambda: (
        network(),
        with_chunks(network().run(16, 0.05, limits=Limits(epochs=3)), 3),
    ),
    "gradient descent": lambda: (network(), network().run(120, 0.05, limits=Limits(epochs=12))),
    "lowered": lambda: (network(), with_chunks(network().run(8, 0.05, limits=LOWERING), 4)),
    "rescued": lambda: (
        least_squares(),
        with_chunks(least_squares().run(16, 5.0, limits=Limits(epochs=4)), 3),
    ),
    "parts": lambda: (network(), in_parts(network().run(50, 0.05, limits=Limits(epochs=3)), 3)),
    "micro-batches": lambda: (
        network(),
        dataclasses.replace(
            run := network().run(50, 0.05, limits=Limits(epochs=3)),
            plan=dataclasses.replace(run.plan, micro_rows=20, updates_per_chunk=1),
            run_chunk=network().compiled(dataclasses.replace(run.plan, micro_rows=20)),
        ),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_after_any_chunk_goes_on_bit_for_bit(name: str) -> None:
    problem, run = SETTINGS[name]()
    watcher = Recorder()
    whole, reason = fit(run, problem.begin(), watcher)
    assert (whole.progress.lowerings > 0) == (name == "lowered")
    assert (whole.progress.rescues > 0) == (name == "rescued")
    for stop in range(watcher.chunks):
        course, interrupted = fit(run, problem.begin(), Recorder(stop_after=stop))
        assert interrupted is StopReason.INTERRUPTED
        saved = course_saved(course)
        course, ended = fit(run, course_restored(*saved, like=problem.begin()))
        assert ended is reason
        assert same_course(course, whole)


def test_a_run_stopped_after_each_chunk_goes_on_bit_for_bit() -> None:
    problem, run = SETTINGS["lowered"]()
    whole, _ = fit(run, problem.begin())
    course, reason = fit(run, problem.begin(), Recorder(stop_after=0))
    while reason is StopReason.INTERRUPTED:
        course, reason = fit(run, course, Recorder(stop_after=1))
    assert same_course(course, whole)


def test_a_finished_run_stays_as_it_is() -> None:
    run = network().run(16, 0.05, limits=Limits(epochs=2))
    course, reason = fit(run, network().begin())
    again, same = fit(run, course)
    assert same is reason
    assert same_course(again, course)


# Why a run ends


def test_a_run_ends_when_lower_rates_do_not_help() -> None:
    watcher = Recorder()
    run = network().run(16, 0.05, limits=Limits(patience=2))
    course, reason = fit(run, network().begin(), watcher)
    assert reason is StopReason.NO_IMPROVEMENT
    assert course.progress.lowerings == MOST_LOWERINGS
    assert len(watcher.messages) == MOST_LOWERINGS
    assert "No improvement in 2 evaluations" in watcher.messages[0]
    assert "lowered to 0.01." in watcher.messages[0]
    rates = [line.learning_rate for line in course.history]
    assert rates == sorted(rates, reverse=True)
    assert sorted(set(rates), reverse=True) == pytest.approx([0.05, 0.01, 0.002, 0.0004])


def test_lowering_goes_back_to_the_best_weights() -> None:
    run = network().run(8, 0.05, limits=LOWERING)
    seen = Recorder()
    fit(run, network().begin(), seen)
    stale = next(course for course in seen.courses if course.progress.stale == 1)
    course, _ = fit(run, network().begin(), Recorder(stop_after=len(stale.history) - 1))
    assert course.progress.stale == 1
    assert not same_bits(course.state.params, course.best.params)
    still = dataclasses.replace(run, learning_rate=0.0)
    after, _ = fit(still, course, Recorder(stop_after=1))
    assert after.progress.lowerings == 1
    assert same_bits(after.state.params, course.best.params)
    assert after.state.update == course.state.update + run.plan.updates_per_epoch


def test_a_target_ends_a_run() -> None:
    reached = Limits(target=0.2, epochs=100)
    course, reason = fit(least_squares().run(16, 0.02, limits=reached), least_squares().begin())
    assert reason is StopReason.TARGET_REACHED
    assert course.progress.best <= 0.2
    assert all(line.validation_loss > 0.2 for line in course.history[:-1])


def ticking() -> Callable[[], float]:
    """A clock that goes on by a second whenever it is read."""
    ticks = itertools.count()
    return lambda: float(next(ticks))


def test_a_time_budget_ends_a_run_and_judges_it() -> None:
    run = with_chunks(network().run(16, 0.05, limits=Limits(seconds=5.0)), 2)
    course, reason = fit(run, network().begin(), clock=ticking())
    assert reason is StopReason.TIME_BUDGET
    # Two seconds a chunk by this clock: read before, after the updates, and at the end.
    assert course.seconds == 6.0
    assert course.state.update == 6
    assert [line.update for line in course.history] == [0, 6]


def test_lines_of_the_history_count_the_time_of_their_own_chunk() -> None:
    run = network().run(16, 0.05, limits=Limits(epochs=6))
    course, _ = fit(run, network().begin(), clock=ticking())
    seconds = [line.seconds for line in course.history]
    assert seconds == [0.0, *[2.0 * line.epoch - 1.0 for line in course.history[1:]]]


def test_the_time_of_resumed_parts_adds_up() -> None:
    run = network().run(16, 0.05, limits=Limits(epochs=4))
    course, _ = fit(run, network().begin(), Recorder(stop_after=2), clock=ticking())
    assert course.seconds == 4.0
    course, _ = fit(run, course, clock=ticking())
    assert course.seconds == 8.0


# Divergence


@pytest.mark.parametrize("rate", [3.0, 30.0])
def test_a_rate_that_is_too_high_is_lowered_and_the_run_rescued(rate: float) -> None:
    watcher = Recorder()
    problem = least_squares()
    course, reason = fit(problem.run(16, rate, limits=Limits(epochs=30)), problem.begin(), watcher)
    assert reason is StopReason.EPOCHS
    assert 1 <= course.progress.rescues <= MOST_RESCUES
    assert len([text for text in watcher.messages if "Back to the best" in text]) >= 1
    assert course.progress.best < 0.2


def test_an_absurd_rate_ends_diverged_with_finite_weights() -> None:
    watcher = Recorder()
    problem = least_squares()
    course, reason = fit(problem.run(16, 1e30), problem.begin(), watcher)
    assert reason is StopReason.DIVERGED
    assert course.progress.rescues == MOST_RESCUES + 1
    assert "Lower learning rates did not help" in watcher.messages[-1]
    for leaf in jax.tree.leaves((course.best, course.state)):
        assert np.isfinite(leaf).all()
    assert same_bits(course.best.params, problem.begin().state.params)
    assert fit(problem.run(16, 1e30), course)[1] is StopReason.DIVERGED
    assert not prefetch_threads()


def test_a_validation_loss_that_is_not_finite_from_the_start_ends_the_run() -> None:
    plain = numbers(20)
    spoiled = store_of(plain.x["numeric"], np.where(plain.y > 1, np.inf, plain.y))
    problem = linear_problem(numbers(40), spoiled)
    watcher = Recorder()
    course, reason = fit(problem.run(8, 0.1), problem.begin(), watcher)
    assert reason is StopReason.DIVERGED
    assert course.history == ()
    assert "extreme values in the data" in watcher.messages[0]
    assert summary_of(course, reason)["best_validation_loss"] is None


def test_a_validation_loss_that_stops_being_finite_ends_the_run() -> None:
    calls = itertools.count()
    problem = least_squares()
    run = problem.run(16, 0.05)
    spoiled = dataclasses.replace(
        run, evaluate=lambda params: run.evaluate(params) if next(calls) < 3 else math.nan
    )
    course, reason = fit(spoiled, problem.begin())
    assert reason is StopReason.DIVERGED
    assert len(course.history) == 3


def test_a_few_rows_with_extreme_targets_are_no_divergence() -> None:
    plain = numbers(3000)
    y = plain.y.copy()
    y[::1000] = 50 * y.std()
    store = store_of(plain.x["numeric"], (y - y.mean()) / y.std())
    problem = linear_problem(store)
    run = with_chunks(problem.run(5, 1e-4, limits=Limits(epochs=1)), 1)
    course, _ = fit(run, problem.begin())
    # One such row alone has a loss hundreds of times the mean at the start.
    assert 0.5 * float(np.square(store.y).max()) > 300 * course.history[0].validation_loss
    assert course.progress.rescues == 0


# Around the loop


def test_a_watcher_sees_each_chunk_and_each_evaluation() -> None:
    watcher = Recorder()
    run = with_chunks(network().run(16, 0.05, limits=Limits(epochs=4)), 3)
    course, _ = fit(run, network().begin(), watcher)
    assert watcher.chunks == 4 * 3
    assert [seen.history[-1] for seen in watcher.courses] == list(course.history)


def test_asking_to_stop_before_the_first_chunk_trains_nothing() -> None:
    course, reason = fit(network().run(16, 0.05), network().begin(), Recorder(stop_after=0))
    assert reason is StopReason.INTERRUPTED
    assert course.state.update == 0
    assert same_bits(course.state, network().begin().state)


class Broken(Recorder):
    def chunk(self, course: Course) -> None:
        raise OSError("disk full")


def test_an_error_of_a_watcher_comes_out_and_the_thread_ends() -> None:
    with pytest.raises(OSError, match="disk full"):
        fit(network().run(16, 0.05), network().begin(), Broken())
    assert not prefetch_threads()


class Failing:
    """Rows that cannot be read after a while."""

    def __init__(self, store: Any, reads: int) -> None:
        self.store = store
        self.reads = reads
        self.windows = None
        self.waits = True

    def __len__(self) -> int:
        return len(self.store)

    @property
    def row_bytes(self) -> int:
        return int(self.store.row_bytes)

    @property
    def mean_weight(self) -> float:
        return float(self.store.mean_weight)

    def gather(self, rows: np.ndarray) -> Any:
        self.reads -= 1
        if self.reads < 0:
            raise OSError("the source is gone")
        return self.store.gather(rows)


def test_an_error_of_the_store_comes_out_and_the_thread_ends() -> None:
    run = dataclasses.replace(network().run(16, 0.05), store=Failing(network().store, 3))
    with pytest.raises(OSError, match="the source is gone"):
        fit(run, network().begin())
    assert not prefetch_threads()


def test_gradient_descent_brings_its_batch_to_the_device_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = network().run(120, 0.05, limits=Limits(epochs=15))
    course = network().begin()
    placed: Iterator[int] = itertools.count()
    put = jax.device_put

    def counted(*args: Any, **options: Any) -> Any:
        next(placed)
        return put(*args, **options)

    monkeypatch.setattr(jax, "device_put", counted)
    fit(run, course)
    assert next(placed) == 1


def test_the_learning_rate_is_that_of_the_next_update() -> None:
    run = network().run(16, 0.5, schedule="inverse-time", limits=Limits(epochs=10))
    course = network().begin()
    assert learning_rate(run, course) == 0.5
    course = course._replace(state=course.state._replace(update=40))
    assert learning_rate(run, course) == pytest.approx(0.5 / (1 + 10 * 40 / 80))


def test_a_summary_holds_what_json_holds() -> None:
    course, reason = fit(network().run(16, 0.05, limits=Limits(epochs=1)), network().begin())
    summary = summary_of(course, reason)
    assert summary["stop_reason"] == "EPOCHS"
    assert summary["updates"] == 8
    assert summary["examples"] == 120
    assert summary["best_validation_loss"] == course.progress.best
    assert all(isinstance(value, str | int | float) for value in summary.values())
