"""What ends a run, and what the rules that end it remember."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from descend.defaults import PATIENCE

REDUCTION = 0.2
"""Every reduction of the learning rate multiplies it by this factor."""


class StoppingState(NamedTuple):
    """What the stopping rules remember.

    Attributes:
        best: lowest validation loss so far.
        mark: the loss that must be beaten by `MIN_IMPROVEMENT` to count as an improvement.
        stale: evaluations since the last improvement.
        lowerings: times the learning rate was reduced on a plateau.
        rescues: times training restarted from the best weights because the loss diverged.
        start: validation loss before the first update.
        scale: factor by which callbacks have multiplied the learning rate.
        decay_start: the update at which the learning rate began to decay early, or will again.
        decay_updates: number of updates that this decay takes; 0 where there is none.
        decay_mark: lowest validation loss when this decay was planned.
        courses: courses at the peak rate that followed a decay.
    """

    best: float = math.inf
    mark: float = math.inf
    stale: int = 0
    lowerings: int = 0
    rescues: int = 0
    start: float = math.inf
    scale: float = 1.0
    decay_start: int = 0
    decay_updates: int = 0
    decay_mark: float = -math.inf
    courses: int = 0

    @property
    def rate_factor(self) -> float:
        """Factor on the learning rate after all plateaus, restarts and callbacks."""
        return self.scale * REDUCTION ** (self.lowerings + self.rescues)


@dataclass(frozen=True)
class Limits:
    """What ends a run.

    Attributes:
        patience: evaluations without improvement before the learning rate is reduced.
        epochs: maximum number of epochs, or None.
        seconds: maximum training time in seconds, or None.
        target: a validation loss at which training is done, or None.
        lower_first: whether a plateau reduces the learning rate before it ends the run; if False,
            patience ends the run at once.
        early_decay: whether the planned decay of the learning rate may begin earlier, where the
            validation loss falls slowly, and the run end after it.
    """

    patience: int = PATIENCE
    epochs: int | None = None
    seconds: float | None = None
    target: float | None = None
    lower_first: bool = True
    early_decay: bool = False
