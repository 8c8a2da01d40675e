"""When to stop, and when a loss has diverged: pure functions of what was measured."""

from __future__ import annotations

import math

from descend.training import plateau
from descend.training.stopping_state import Limits, StoppingState
from descend.types import Position, StopReason

MAX_RESTARTS = 4
"""Restarts after a diverging loss; one more ends the run."""
DIVERGENCE_FACTOR = 100.0
"""A mean loss above this multiple of (1 + |loss at the start|) has diverged; noise is smaller."""
MIN_IMPROVEMENT = 1e-4
"""A validation loss is an improvement if it is lower by this fraction of the one to beat."""


def record_evaluation(progress: StoppingState, validation_loss: float) -> StoppingState:
    """The state after one more evaluation with a finite loss."""
    improved = validation_loss < progress.mark - MIN_IMPROVEMENT * abs(progress.mark)
    if math.isinf(progress.mark):
        improved = True
    return progress._replace(
        best=min(progress.best, validation_loss),
        mark=validation_loss if improved else progress.mark,
        stale=0 if improved else progress.stale + 1,
        start=validation_loss if math.isinf(progress.start) else progress.start,
    )


def record_restart(progress: StoppingState) -> StoppingState:
    """The state after training restarted at a lower rate because the loss diverged."""
    return progress._replace(stale=0, rescues=progress.rescues + 1)


def scale_rate(progress: StoppingState, factor: float) -> StoppingState:
    """The state after a callback multiplied the learning rate."""
    return progress._replace(scale=progress.scale * factor)


def has_diverged(progress: StoppingState, mean_loss: float, share: float = 1.0) -> bool:
    """Whether a mean loss is not finite, or far above anything that noise explains.

    Args:
        progress: what was measured so far.
        mean_loss: over some rows.
        share: those rows as a fraction of all rows. If the mean over N rows equals the loss at
            the start, a single row may have N times that loss, so a few rows with extreme
            targets are not taken for divergence.
    """
    if not math.isfinite(mean_loss):
        return True
    usual = 1.0 + abs(progress.start)
    return mean_loss * share > DIVERGENCE_FACTOR * usual


def stop_reason(
    progress: StoppingState, limits: Limits, position: Position, seconds: float
) -> StopReason | None:
    """Why the run ends here, or None. What was measured takes precedence over a spent budget."""
    return stop_by_result(progress, limits) or stop_by_budget(limits, position, seconds)


def stop_by_budget(limits: Limits, position: Position, seconds: float) -> StopReason | None:
    """The reason if the epochs or the seconds are used up, else None."""
    if limits.epochs is not None and position.epoch >= limits.epochs:
        return StopReason.EPOCHS
    if limits.seconds is not None and seconds >= limits.seconds:
        return StopReason.TIME_BUDGET
    return None


def stop_by_result(progress: StoppingState, limits: Limits) -> StopReason | None:
    """The reason if what was evaluated ends the run, else None."""
    if progress.rescues > MAX_RESTARTS:
        return StopReason.DIVERGED
    if limits.target is not None and progress.best <= limits.target:
        return StopReason.TARGET_REACHED
    if plateau.is_patience_exhausted(progress, limits) and not plateau.can_reduce(progress, limits):
        return StopReason.NO_IMPROVEMENT
    return None
