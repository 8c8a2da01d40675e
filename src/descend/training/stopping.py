"""When to lower the learning rate and when to stop: pure functions of what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from descend.types import Position, StopReason

LOWERED_BY = 0.2
MOST_LOWERINGS = 3
MOST_RESCUES = 4
EXPLOSION = 100.0
"""A loss so many times the one at the start is no noise."""
LEAST_GAIN = 1e-4
"""A validation loss counts as better when it falls by this part of the best one."""


class Progress(NamedTuple):
    """What the stopping rule remembers.

    Attributes:
        best: least validation loss so far.
        mark: the loss that has to be beaten by `LEAST_GAIN` to count as improvement.
        stale: evaluations since the last improvement.
        lowerings: times the rate was lowered because the loss stood still.
        rescues: times the rate was lowered because the loss left the finite numbers.
        start: validation loss before the first update.
        scale: what callbacks have multiplied the learning rate by.
    """

    best: float = math.inf
    mark: float = math.inf
    stale: int = 0
    lowerings: int = 0
    rescues: int = 0
    start: float = math.inf
    scale: float = 1.0

    @property
    def rate_factor(self) -> float:
        """What the learning rate is multiplied by after all that happened."""
        return self.scale * LOWERED_BY ** (self.lowerings + self.rescues)


@dataclass(frozen=True)
class Limits:
    """What ends a run.

    Attributes:
        patience: evaluations without improvement before the rate is lowered.
        epochs: most epochs, or None.
        seconds: most seconds, or None.
        target: a validation loss that is good enough, or None.
        lower_first: False where the learning rate is not to be lowered: then patience ends the run.
    """

    patience: int = 5
    epochs: int | None = None
    seconds: float | None = None
    target: float | None = None
    lower_first: bool = True


def seen(progress: Progress, validation_loss: float) -> Progress:
    """The progress after one more evaluation with a finite loss."""
    better = validation_loss < progress.mark - LEAST_GAIN * abs(progress.mark)
    if math.isinf(progress.mark):
        better = True
    return progress._replace(
        best=min(progress.best, validation_loss),
        mark=validation_loss if better else progress.mark,
        stale=0 if better else progress.stale + 1,
        start=validation_loss if math.isinf(progress.start) else progress.start,
    )


def stands_still(progress: Progress, limits: Limits) -> bool:
    """Whether patience has run out at this learning rate."""
    return progress.stale >= limits.patience


def lowered(progress: Progress) -> Progress:
    """The progress after the rate was lowered for standing still."""
    return progress._replace(stale=0, lowerings=progress.lowerings + 1)


def rescued(progress: Progress) -> Progress:
    """The progress after the rate was lowered for a loss that was not finite."""
    return progress._replace(stale=0, rescues=progress.rescues + 1)


def scaled(progress: Progress, factor: float) -> Progress:
    """The progress after a callback multiplied the learning rate."""
    return progress._replace(scale=progress.scale * factor)


def exploded(progress: Progress, mean_loss: float, share: float = 1.0) -> bool:
    """Whether a mean loss is not finite, or far beyond anything that noise explains.

    Args:
        progress: what was seen so far.
        mean_loss: over some rows.
        share: those rows as a part of all. Where the mean over N rows is the loss at the start,
            a single row may have N times as much: a few rows with extreme targets are no explosion.
    """
    if not math.isfinite(mean_loss):
        return True
    usual = 1.0 + abs(progress.start)
    return mean_loss * share > EXPLOSION * usual


def ended(
    progress: Progress, limits: Limits, position: Position, seconds: float
) -> StopReason | None:
    """Whether the run ends here; what was measured counts before what was used up."""
    return finished(progress, limits) or used_up(limits, position, seconds)


def used_up(limits: Limits, position: Position, seconds: float) -> StopReason | None:
    """Whether the epochs or the seconds are over."""
    if limits.epochs is not None and position.epoch >= limits.epochs:
        return StopReason.EPOCHS
    if limits.seconds is not None and seconds >= limits.seconds:
        return StopReason.TIME_BUDGET
    return None


def finished(progress: Progress, limits: Limits) -> StopReason | None:
    """Whether what was evaluated ends the run."""
    if progress.rescues > MOST_RESCUES:
        return StopReason.DIVERGED
    if limits.target is not None and progress.best <= limits.target:
        return StopReason.TARGET_REACHED
    spent = not limits.lower_first or progress.lowerings >= MOST_LOWERINGS
    if stands_still(progress, limits) and spent:
        return StopReason.NO_IMPROVEMENT
    return None
