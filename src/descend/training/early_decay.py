"""Let the learning rate fall as soon as the validation loss does not.

A schedule with a constant stretch can end at any time: from its high rate a short decay brings
most of what a whole planned course brings (Hägele et al. 2024, arXiv 2405.18392, section 4). So
the decay begins where the best loss of the last evaluations is hardly lower than the best before
them, from the best weights, and takes a share of the evaluations so far. Noisy tables, which
would only fit their noise from there on, are finished after a few epochs; others use them all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from descend.training.schedules import MIN_FACTOR, RISE, fall
from descend.training.stopping import StoppingState

WINDOW = 0.25
"""Fraction of the planned evaluations in which the loss has to improve."""
IMPROVEMENT = 5e-3
"""By this fraction of the best loss before."""
LENGTH = 0.4
"""Length of the decay, as a fraction of the evaluations before it."""
SHORTEST = 3
"""Evaluations that it takes at the least."""

Floats = npt.NDArray[np.float64]


class Plan(NamedTuple):
    """How long a run may take.

    Attributes:
        updates: of the whole run.
        between: updates from one evaluation to the next.
    """

    updates: int
    between: int

    @property
    def window(self) -> int:
        """Evaluations in which the loss has to improve."""
        return max(2, math.ceil(WINDOW * self.updates / self.between))


def is_due(losses: Sequence[float], updates: Sequence[int], plan: Plan) -> bool:
    """Whether the validation loss has stopped falling at the full learning rate.

    Args:
        losses: on the validation rows, of all evaluations so far.
        updates: before each of them.
        plan: of the run.

    >>> plan = Plan(updates=120, between=10)
    >>> falling, level = [9, 8, 7, 6, 5, 4], [9, 8, 5, 5, 5, 5]
    >>> [is_due(losses, range(0, 60, 10), plan) for losses in (falling, level)]
    [False, True]
    """
    window = plan.window
    if len(losses) <= window or updates[-window - 1] < RISE * plan.updates:
        return False
    before = min(losses[:-window])
    return min(losses[-window:]) > before - IMPROVEMENT * abs(before)


def begin(progress: StoppingState, update: int, plan: Plan) -> StoppingState:
    """The state from which the learning rate decays.

    Args:
        progress: before.
        update: number of updates so far, a multiple of those between two evaluations.
        plan: of the run; the decay does not take longer than is left of it.
    """
    evaluations = max(SHORTEST, round(LENGTH * update / plan.between))
    length = min(evaluations * plan.between, plan.updates - update)
    return progress._replace(stale=0, decay_start=update, decay_updates=length)


def has_begun(progress: StoppingState) -> bool:
    """Whether the rate decays earlier than the schedule says."""
    return progress.decay_updates > 0


def is_over(progress: StoppingState, update: int) -> bool:
    """Whether it has reached its end."""
    return has_begun(progress) and update >= progress.decay_start + progress.decay_updates


def factors(progress: StoppingState, updates: npt.NDArray[np.int64]) -> Floats:
    """Factors on the peak rate at updates of a decay that has begun."""
    done = np.clip((updates - progress.decay_start) / progress.decay_updates, 0.0, 1.0)
    return np.maximum(fall(done), MIN_FACTOR)
