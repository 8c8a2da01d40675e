"""Reduce the learning rate on a plateau: when the validation loss stops improving.

Like `ReduceLROnPlateau` in other libraries, except that training continues from the best weights
rather than the newest.
"""

from __future__ import annotations

from descend.training.stopping_state import Limits, StoppingState

MAX_REDUCTIONS = 3
"""Reductions after which a further plateau ends the run."""


def is_patience_exhausted(progress: StoppingState, limits: Limits) -> bool:
    """Whether `limits.patience` evaluations in a row brought no improvement."""
    return progress.stale >= limits.patience


def can_reduce(progress: StoppingState, limits: Limits) -> bool:
    """Whether the rate may be reduced once more; otherwise the next plateau ends the run."""
    return limits.lower_first and progress.lowerings < MAX_REDUCTIONS


def reduce_rate(progress: StoppingState) -> StoppingState:
    """The state after the learning rate was reduced because of a plateau."""
    return progress._replace(stale=0, lowerings=progress.lowerings + 1)
