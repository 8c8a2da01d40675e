"""Reducing the learning rate on a plateau."""

import pytest

from descend.training import plateau, stopping
from descend.training.plateau import MAX_REDUCTIONS
from descend.training.stopping_state import Limits, StoppingState
from descend.types import StopReason


def after(losses: list[float], progress: StoppingState | None = None) -> StoppingState:
    progress = progress or StoppingState()
    for loss in losses:
        progress = stopping.record_evaluation(progress, loss)
    return progress


def test_patience_reduces_the_rate_before_it_ends_the_run() -> None:
    limits = Limits(patience=2)
    progress = after([1.0])
    factors = []
    for _ in range(MAX_REDUCTIONS):
        progress = after([1.0, 1.0], progress)
        assert plateau.is_patience_exhausted(progress, limits)
        assert stopping.stop_by_result(progress, limits) is None
        progress = plateau.reduce_rate(progress)
        assert not plateau.is_patience_exhausted(progress, limits)
        factors.append(progress.rate_factor)
    assert factors == pytest.approx([0.2, 0.04, 0.008])
    progress = after([1.0, 1.0], progress)
    assert stopping.stop_by_result(progress, limits) is StopReason.NO_IMPROVEMENT


def test_patience_ends_the_run_where_the_rate_is_not_to_be_reduced() -> None:
    progress = after([1.0, 1.0, 1.0])
    reason = stopping.stop_by_result(progress, Limits(patience=2, lower_first=False))
    assert reason is StopReason.NO_IMPROVEMENT
