"""What a run does, and who looks on."""

import dataclasses
import itertools
import math
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import pytest

from descend.training import problem as problem_module
from descend.training.loop import fit, summary_of
from descend.training.loop_state import LoopState, begin
from descend.training.rate_and_batch_size import learning_rate
from descend.training.stopping_state import Limits
from descend.types import Position, StopReason
from tests.fitting import least_squares, network, prefetch_threads, with_chunks
from tests.problems import (
    Recorder,
    linear_problem,
    numbers,
    same_bits,
)


def test_100_000_rows_at_batch_size_1_000_are_100_updates_an_epoch() -> None:
    problem = linear_problem(numbers(100_000), numbers(100, seed=1))
    loop, _ = fit(problem.loop_config(1000, 0.1, limits=Limits(epochs=2)), problem.begin())
    assert [line.update for line in loop.history] == [0, 100, 200]
    assert [line.examples for line in loop.history] == [0, 100_000, 200_000]
    assert [line.epoch for line in loop.history] == [0, 1, 2]
    assert loop.position == Position(2, 0)


def test_a_short_last_batch_counts_its_own_rows() -> None:
    problem = least_squares()
    loop, _ = fit(problem.loop_config(50, 0.1, limits=Limits(epochs=1)), problem.begin())
    assert (loop.state.update, loop.state.examples) == (3, 120)


def test_the_history_says_what_happened() -> None:
    run = network().loop_config(16, 0.05, schedule="cosine", limits=Limits(epochs=4))
    loop, reason = fit(run, network().begin())
    assert reason is StopReason.EPOCHS
    assert [line.update for line in loop.history] == [0, 16, 32]
    first, *rest = loop.history
    assert math.isnan(first.train_loss)
    for line in rest:
        assert line.batch_size == 16
        assert line.examples == line.epoch * 120
        assert 0 < line.train_loss < 5
        assert line.learning_rate == 0.05 * run.schedule(np.asarray([line.update - 1]))[0]
    assert first.learning_rate == 0.05
    assert loop.history[-1].validation_loss == network().evaluate(loop.state.params)
    assert loop.progress.best == min(line.validation_loss for line in loop.history)
    assert loop.progress.best == network().evaluate(loop.best.params)


def test_the_train_loss_is_the_mean_of_the_batch_losses() -> None:
    problem = least_squares()
    loop, _ = fit(problem.loop_config(120, 1e-9, limits=Limits(epochs=20)), problem.begin())
    losses = [line.train_loss for line in loop.history[1:]]
    assert losses == pytest.approx([problem.evaluate(problem.begin().state.params)] * 2, rel=1e-5)


def test_large_batches_are_evaluated_after_ten_updates_or_more() -> None:
    problem = least_squares()
    loop, _ = fit(problem.loop_config(40, 0.1, limits=Limits(epochs=12)), problem.begin())
    assert [line.epoch for line in loop.history] == [0, 4, 8, 12]


def test_the_last_updates_are_evaluated_before_the_end() -> None:
    problem = least_squares()
    loop, reason = fit(problem.loop_config(120, 0.1, limits=Limits(epochs=3)), problem.begin())
    assert reason is StopReason.EPOCHS
    assert [line.epoch for line in loop.history] == [0, 3]
    assert loop.best.update == 3
    assert loop.loss_count == 0


def test_long_epochs_are_evaluated_between_their_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem_module, "EVALUATION_INTERVAL_ROWS", 50)
    problem = dataclasses.replace(least_squares())
    loop, _ = fit(problem.loop_config(8, 0.05, limits=Limits(epochs=2)), problem.begin())
    assert [line.update for line in loop.history] == [0, 5, 10, 15, 20, 25, 30]
    assert [line.epoch for line in loop.history] == pytest.approx([n / 3 for n in range(7)])


def test_beginning_leaves_the_state_whole() -> None:
    state = network().begin().state
    fit(network().loop_config(16, 0.05, limits=Limits(epochs=1)), begin(state))
    assert np.isfinite(state.params["layers"][0]["kernel"]).all()


def test_a_watcher_sees_each_chunk_and_each_evaluation() -> None:
    callback = Recorder()
    run = with_chunks(network().loop_config(16, 0.05, limits=Limits(epochs=4)), 3)
    loop, _ = fit(run, network().begin(), callback)
    assert callback.chunks == 4 * 3
    assert [seen.history[-1] for seen in callback.loops] == list(loop.history)


def test_asking_to_stop_before_the_first_chunk_trains_nothing() -> None:
    loop, reason = fit(network().loop_config(16, 0.05), network().begin(), Recorder(stop_after=0))
    assert reason is StopReason.INTERRUPTED
    assert loop.state.update == 0
    assert same_bits(loop.state, network().begin().state)


class Broken(Recorder):
    def chunk(self, loop: LoopState) -> None:
        raise OSError("disk full")


def test_an_error_of_a_watcher_comes_out_and_the_thread_ends() -> None:
    with pytest.raises(OSError, match="disk full"):
        fit(network().loop_config(16, 0.05), network().begin(), Broken())
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
    run = dataclasses.replace(network().loop_config(16, 0.05), store=Failing(network().store, 3))
    with pytest.raises(OSError, match="the source is gone"):
        fit(run, network().begin())
    assert not prefetch_threads()


def test_gradient_descent_brings_its_batch_to_the_device_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = network().loop_config(120, 0.05, limits=Limits(epochs=15))
    loop = network().begin()
    placed: Iterator[int] = itertools.count()
    put = jax.device_put

    def counted(*args: Any, **options: Any) -> Any:
        next(placed)
        return put(*args, **options)

    monkeypatch.setattr(jax, "device_put", counted)
    fit(run, loop)
    assert next(placed) == 1


def test_the_learning_rate_is_that_of_the_next_update() -> None:
    run = network().loop_config(16, 0.5, schedule="inverse-time", limits=Limits(epochs=10))
    loop = network().begin()
    assert learning_rate(run, loop) == 0.5
    loop = loop._replace(state=loop.state._replace(update=40))
    assert learning_rate(run, loop) == pytest.approx(0.5 / (1 + 10 * 40 / 80))


def test_a_summary_holds_what_json_holds() -> None:
    loop, reason = fit(network().loop_config(16, 0.05, limits=Limits(epochs=1)), network().begin())
    summary = summary_of(loop, reason)
    assert summary["stop_reason"] == "EPOCHS"
    assert summary["updates"] == 8
    assert summary["examples"] == 120
    assert summary["best_validation_loss"] == loop.progress.best
    assert all(isinstance(value, str | int | float) for value in summary.values())
