import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.training import stopping
from descend.training.stopping import MAX_RESTARTS
from descend.training.stopping_state import Limits, StoppingState
from descend.types import Position, StopReason

losses = st.floats(-1e30, 1e30)


def seen_all(values: list[float], progress: StoppingState | None = None) -> StoppingState:
    progress = progress or StoppingState()
    for value in values:
        progress = stopping.record_evaluation(progress, value)
    return progress


@given(values=st.lists(losses, min_size=1))
def test_the_best_and_the_first_loss_are_remembered(values: list[float]) -> None:
    progress = seen_all(values)
    assert progress.best == min(values)
    assert progress.start == values[0]
    assert 0 <= progress.stale < len(values)


@given(values=st.lists(st.floats(0, 1e30), min_size=1))
def test_stale_counts_evaluations_since_the_last_gain(values: list[float]) -> None:
    mark, stale = math.inf, -1
    for value in values:
        if value < mark - stopping.MIN_IMPROVEMENT * (mark if math.isfinite(mark) else 0):
            mark, stale = value, 0
        else:
            stale += 1
    assert seen_all(values).stale == stale


def test_a_gain_too_small_to_count_does_not_hide_a_slow_fall() -> None:
    creeping = [1.0 - 0.4e-4 * turn for turn in range(4)]
    assert seen_all(creeping[:3]).stale == 2
    assert seen_all(creeping).stale == 0


def test_negative_losses_improve_by_falling() -> None:
    assert seen_all([-1.0, -1.00001]).stale == 1
    assert seen_all([-1.0, -1.1]).stale == 0
    assert seen_all([-1.0, -0.9]).stale == 1


def test_a_target_ends_the_run() -> None:
    assert stopping.stop_by_result(seen_all([1.0]), Limits(target=0.5)) is None
    assert (
        stopping.stop_by_result(seen_all([1.0, 0.5]), Limits(target=0.5))
        is StopReason.TARGET_REACHED
    )
    assert stopping.stop_by_result(seen_all([1.0, 0.5, 2]), Limits(target=0.5)) is not None


def test_epochs_and_seconds_are_used_up() -> None:
    both = Limits(epochs=3, seconds=10.0)
    assert stopping.stop_by_budget(both, Position(2, 999), 9.9) is None
    assert stopping.stop_by_budget(both, Position(3, 0), 0.0) is StopReason.EPOCHS
    assert stopping.stop_by_budget(both, Position(0, 5), 10.0) is StopReason.TIME_BUDGET
    assert stopping.stop_by_budget(Limits(), Position(10**9, 0), 1e12) is None


def test_what_was_measured_counts_before_what_was_used_up() -> None:
    limits = Limits(epochs=3, target=0.5)
    ended = stopping.stop_reason(seen_all([0.4]), limits, Position(3, 0), 0.0)
    assert ended is StopReason.TARGET_REACHED
    assert stopping.stop_reason(seen_all([0.6]), limits, Position(3, 0), 0.0) is StopReason.EPOCHS
    assert stopping.stop_reason(seen_all([0.6]), limits, Position(2, 0), 0.0) is None


def test_too_many_restarts_are_a_divergence() -> None:
    progress = seen_all([1.0])
    for _ in range(MAX_RESTARTS):
        progress = stopping.record_restart(progress)
        assert stopping.stop_by_result(progress, Limits()) is None
    assert (
        stopping.stop_by_result(stopping.record_restart(progress), Limits()) is StopReason.DIVERGED
    )


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_has_diverged(loss: float) -> None:
    assert stopping.has_diverged(StoppingState(), loss)
    assert stopping.has_diverged(seen_all([1.0]), loss, 1e-6)


def test_a_loss_far_above_the_start_has_diverged() -> None:
    progress = seen_all([0.5])
    assert not stopping.has_diverged(progress, 100.0)
    assert stopping.has_diverged(progress, 200.0)
    assert not stopping.has_diverged(StoppingState(), 1e30)


@given(rows=st.integers(1, 10**9), start=st.floats(0, 1e6))
def test_one_row_with_all_of_the_loss_is_no_divergence(rows: int, start: float) -> None:
    assert not stopping.has_diverged(seen_all([start]), start * rows, 1 / rows)
