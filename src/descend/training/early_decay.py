"""Let the learning rate fall as soon as the validation loss falls slowly.

A schedule with a constant stretch can end at any time: from its high rate a short decay brings
most of what a whole planned course brings (Hägele et al. 2024, arXiv 2405.18392, section 4). So
the decay begins where the best loss of the last evaluations is not much lower than the best before
them, from the best weights, and takes a share of the evaluations so far.

What the decay brings tells whether more training pays. Most tables, which would only fit their
noise from there on, gain next to nothing, and are finished after a few epochs; where half of the
decay brings nothing at all, the rest is left out. Where the loss falls
far in it, the high rate had hidden what was learned: the rate returns to its peak and decays
again, in a course as long as all before (as the restarts of Loshchilov & Hutter 2017,
arXiv 1608.03983, section 3, double their length), until one brings little or the epochs are used.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from descend.training.schedules import MIN_FACTOR, RISE, fall
from descend.training.stopping_state import StoppingState

WINDOW = 0.125
"""Fraction of the planned evaluations in which the loss has to improve."""
IMPROVEMENT = 0.05
"""By this fraction of the best loss before."""
GAIN = IMPROVEMENT
"""A course that lowers the loss by this fraction is followed by another."""
LENGTH = 0.4
"""Length of the decay, as a fraction of the evaluations before it; of a further course, of all."""
SHORTEST = 3
"""Evaluations that it takes at the least."""
FUTILE = 0.5
"""Part of a decay after which it ends if it has not lowered the loss."""

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
    """Whether the validation loss falls slowly, or not at all, at the full learning rate.

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
    return progress._replace(
        stale=0, decay_start=update, decay_updates=length, decay_mark=progress.best
    )


def extend(progress: StoppingState, update: int, plan: Plan) -> StoppingState | None:
    """The state of a further course, after a decay that brought much; None where there is none.

    It is as long as all before, or as what is left of the plan. The rate decays over `LENGTH` of
    all evaluations to its end, and is at its peak before.

    Args:
        progress: at the end of a decay.
        update: number of updates so far, a multiple of those between two evaluations.
        plan: of the run.

    >>> helped = StoppingState(best=0.8, decay_mark=1.0, decay_start=60, decay_updates=40)
    >>> extend(helped, 100, Plan(updates=400, between=10))[-4:]
    (120, 80, 0.8, 1)
    """
    evaluations = min(update, plan.updates - update) // plan.between
    needed = progress.decay_mark - GAIN * abs(progress.decay_mark)
    if progress.best > needed or evaluations < SHORTEST:
        return None
    falling = min(evaluations, round(LENGTH * (update // plan.between + evaluations)))
    return progress._replace(
        stale=0,
        decay_start=update + (evaluations - falling) * plan.between,
        decay_updates=falling * plan.between,
        decay_mark=progress.best,
        courses=progress.courses + 1,
    )


def has_begun(progress: StoppingState) -> bool:
    """Whether the rate decays earlier than the schedule says."""
    return progress.decay_updates > 0


def is_over(progress: StoppingState, update: int, between: int) -> bool:
    """Whether the decay has reached its end, or has not helped in its first half.

    Args:
        progress: so far.
        update: number of updates so far.
        between: updates from one evaluation to the next.

    >>> helped, in_vain = (
    ...     StoppingState(stale=stale, decay_start=60, decay_updates=40) for stale in (1, 2)
    ... )
    >>> [is_over(progress, 80, between=10) for progress in (helped, in_vain)]
    [False, True]
    """
    if not has_begun(progress):
        return False
    made = update - progress.decay_start
    return made >= progress.decay_updates or is_in_vain(progress, update, between)


def is_in_vain(progress: StoppingState, update: int, between: int) -> bool:
    """Whether no evaluation in the first half of a decay or more was the best so far.

    Where a lower rate helps, it helps at once: what was learned shows as soon as the weights move
    less. Where it does not, the network fits the noise of its rows, and the more so the longer.
    After a further course the best loss is that of a decay before, and first has to be reached.
    """
    if progress.courses:
        return False
    made = update - progress.decay_start
    return progress.stale * between >= made >= FUTILE * progress.decay_updates > 0


def factors(progress: StoppingState, updates: npt.NDArray[np.int64]) -> Floats:
    """Factors on the peak rate once it decays earlier: 1 before the decay of a further course."""
    done = np.clip((updates - progress.decay_start) / progress.decay_updates, 0.0, 1.0)
    return np.maximum(fall(done), MIN_FACTOR)
