"""An exponential moving average of the weights: what is evaluated and saved.

Weights that follow noisy gradients wander around a point instead of settling on it; their average
over the recent updates is much closer to that point than any single one (Polyak & Juditsky 1992,
SIAM J. Control Optim. 30(4)). The average forgets: updates further back than a window count less
and less. The window grows with the run, so that the beginning is forgotten (Shamir & Zhang 2013,
arXiv 1212.1824, section 4), up to a fraction of the updates between two evaluations.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.data.rows.batches import BatchPlan
from descend.types import Array, Params

WINDOW = 0.3
"""Longest window, as a fraction of the updates from one evaluation to the next."""
GROWTH = 4
"""The window is 1/(1 + GROWTH) of the updates made so far, until it reaches its longest."""
SAMPLES = 16
"""Weights sampled per window. More samples hardly change the average, and each costs a pass over
all weights."""


class AveragingSchedule(NamedTuple):
    """After which of the next updates the weights enter the average, and with which share.

    Attributes:
        stops: `[U]` updates of the chunk, counted from 1, rising; the last is the last update.
        shares: `[U]` average ← (1 − share) · average + share · weights.
        used: number of entries of `stops` and `shares` that count; the rest is padding.
    """

    stops: npt.NDArray[np.int32]
    shares: npt.NDArray[np.float32]
    used: int | Array


def no_averaging(updates: int, length: int) -> AveragingSchedule:
    """The schedule without averaging: after the last update the average equals the weights.

    Args:
        updates: in the chunk.
        length: of the arrays.
    """
    stops, shares = np.zeros(length, np.int32), np.zeros(length, np.float32)
    stops[0], shares[0] = updates, 1.0
    return AveragingSchedule(stops, shares, 1)


def averaging_schedule(first: int, updates: int, length: int, window: float) -> AveragingSchedule:
    """The schedule of an exponential moving average over a growing window.

    With w = min(window, (u + g)/(1 + g)) after update u, g = `GROWTH`, a sample of the last k
    updates gets the share 1 − (1 − 1/w)^k. Samples are taken where u is a multiple of k, the
    largest power of two not above w/`SAMPLES`. All of this follows from the number of the update,
    so the average does not depend on how a run is cut into chunks.

    Args:
        first: updates made before the chunk.
        updates: in the chunk.
        length: of the arrays.
        window: longest window, in updates.

    >>> [f"{share:.2f}" for share in averaging_schedule(0, 3, 4, window=10.0).shares]
    ['1.00', '0.83', '0.71', '0.00']
    """
    number = first + 1 + np.arange(updates, dtype=np.int64)
    widths = np.maximum(1.0, np.minimum(window, (number + GROWTH) / (1 + GROWTH)))
    every = 2 ** np.floor(np.log2(np.maximum(1.0, widths / SAMPLES))).astype(np.int64)
    sampled = number % every == 0
    shares = np.where(sampled, 1.0 - (1.0 - 1.0 / widths) ** every, 0.0)
    # The program runs from stop to stop, so the last update must be one; its share may be 0.
    sampled[-1] = True
    count = int(np.count_nonzero(sampled))
    schedule = no_averaging(updates, length)
    schedule.stops[:count] = np.flatnonzero(sampled) + 1
    schedule.shares[:count] = shares[sampled]
    return schedule._replace(used=count)


def longest_window(plan: BatchPlan, updates_between: int) -> float:
    """The longest window, in updates, of a run that is evaluated every `updates_between` updates.

    It is 1, which means no averaging, where every update reads all rows: such gradients have no
    noise to average out.
    """
    return 1.0 if plan.updates_per_epoch == 1 else max(1.0, WINDOW * updates_between)


def blend(mean: Params, weights: Params, share: Array) -> Params:
    """(1 − share) · mean + share · weights: exactly one or the other at 0 and 1.

    What no update changes keeps every bit: (1 − s) · 7 + s · 7 may be rounded to 6.9999995, and a
    model may hold numbers of columns. Integers in the state of a model cannot be averaged: the
    newest are taken.
    """

    def mix_leaf(one: Array, other: Array) -> Array:
        if not jnp.issubdtype(one.dtype, jnp.inexact):
            return jnp.where(share > 0, other, one)
        part = share.astype(one.dtype)
        return jnp.where(one == other, one, (1 - part) * one + part * other)

    mean_now: Params = jax.tree.map(mix_leaf, mean, weights)
    return mean_now
