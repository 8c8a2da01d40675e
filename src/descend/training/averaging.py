"""The mean of the weights along the way: what is evaluated and kept.

Weights that follow noisy gradients move about a place rather than towards it; their mean over the
recent updates is far closer to it than any of them (Polyak & Juditsky 1992, SIAM J. Control Optim.
30(4)). The mean fades: what lies further back than a window counts less and less. The window grows
with the run, so that the beginning is forgotten (Shamir & Zhang 2013, arXiv 1212.1824, section
4), up to a part of the updates between two evaluations.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from descend.data.rows.batches import BatchPlan
from descend.types import Array

WINDOW = 0.3
"""Longest window, as a part of the updates from one evaluation to the next."""
GROWTH = 4
"""The window is about a fifth of the updates made so far, until it is as long as it gets."""
SAMPLES = 16
"""The mean takes about so many samples from a window: more hardly change it, and each costs a pass
over the weights."""


class AveragingSchedule(NamedTuple):
    """After which of the next updates the weights enter the mean, and with which share.

    Attributes:
        stops: `[U]` updates of the chunk, counted from 1, rising; the last is the last update.
        shares: `[U]` mean ← (1 − share) · mean + share · weights.
        used: how many of both mean anything.
    """

    stops: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]
    used: int | Array


def newest(updates: int, length: int) -> AveragingSchedule:
    """No mean: after the last update it is the weights themselves."""
    stops, shares = np.zeros(length, np.int32), np.zeros(length, np.float32)
    stops[0], shares[0] = updates, 1.0
    return AveragingSchedule(stops, shares, 1)


def fading(first: int, updates: int, length: int, window: float) -> AveragingSchedule:
    """The marks of a fading mean.

    With w = min(window, (u + g)/(1 + g)) after update u, g the growth, a sample of the last k
    updates has the share 1 − (1 − 1/w)^k. Samples are taken where u is a multiple of k, the
    largest power of two within w/`SAMPLES`: how a run is cut into chunks changes nothing.

    Args:
        first: updates made before the chunk.
        updates: in the chunk.
        length: of the arrays.
        window: longest window in updates.

    >>> [f"{share:.2f}" for share in fading(0, 3, 4, window=10.0).shares]
    ['1.00', '0.83', '0.71', '0.00']
    """
    number = first + 1 + np.arange(updates, dtype=np.int64)
    wide = np.maximum(1.0, np.minimum(window, (number + GROWTH) / (1 + GROWTH)))
    every = 2 ** np.floor(np.log2(np.maximum(1.0, wide / SAMPLES))).astype(np.int64)
    taken = number % every == 0
    shares = np.where(taken, 1.0 - (1.0 - 1.0 / wide) ** every, 0.0)
    # The program runs from stop to stop, so the last update is one; it may count for nothing.
    taken[-1] = True
    count = int(np.count_nonzero(taken))
    marks = newest(updates, length)
    marks.stops[:count] = np.flatnonzero(taken) + 1
    marks.shares[:count] = shares[taken]
    return marks._replace(used=count)


def window_of(plan: BatchPlan, updates_between: int) -> float:
    """The longest window of a plan whose runs are evaluated after so many updates.

    Where every update reads all rows there is no noise to average out.
    """
    return 1.0 if plan.updates_per_epoch == 1 else max(1.0, WINDOW * updates_between)
