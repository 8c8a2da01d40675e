"""The learning rate: a rising rate brackets it, short trials from one snapshot decide."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from descend.tuning.race import Arena, Trial

LOWEST, HIGHEST = 1e-6, 1e3
UPDATES_PER_OCTAVE = 8
SMALL_BATCH = 64
SPREAD = (0.5, 0.125, 0.03125)
"""Rates to try first, as parts of the one at which a rising rate breaks down."""


def breaking_rate(
    arena: Arena, batch_size: int, low: float = LOWEST, high: float = HIGHEST
) -> float | None:
    """Where the loss breaks down while the rate doubles every few updates from the snapshot.

    It only brackets: the rate that training stands is lower, by a factor that depends on how
    fast the rate rose. The breakdown is sought from the end, since a small batch with a rare row
    in it looks like one too.

    Returns:
        The last rate at which the smoothed loss was below twice that of the start; None where
        even the lowest rate was too high.
    """
    octaves = math.log2(high / low)
    steps = UPDATES_PER_OCTAVE * (4 if batch_size <= SMALL_BATCH else 1)
    rates = np.geomspace(low, high, max(2, round(octaves * steps))).astype(np.float32)
    trial, losses = arena.advance(arena.enter(batch_size, low), rates)
    sound = _smoothed(losses, steps) <= arena.start_loss + max(abs(arena.start_loss), 1e-12)
    if trial.updates < len(rates):
        sound = sound[: trial.updates]
    if not sound.any():
        return None
    return float(rates[int(np.flatnonzero(sound)[-1])])


def breaking_rates(arena: Arena, sizes: Sequence[int]) -> dict[int, float]:
    """The breaking rate of each size, each sought near that of the size before."""
    found: dict[int, float] = {}
    before: float | None = None
    for size in sorted(sizes):
        if before is None:
            rate = breaking_rate(arena, size)
        else:
            low, high = max(LOWEST, before / 8), min(HIGHEST, before * 16)
            rate = breaking_rate(arena, size, low, high) or breaking_rate(arena, size)
        if rate is not None:
            found[size] = before = rate
    return found


def rates_below(breaking: float, parts: Sequence[float] = SPREAD) -> list[float]:
    """Plain rates at these parts of a breaking rate.

    >>> rates_below(0.4)
    [0.2, 0.05, 0.012]
    """
    return [plain(breaking * part) for part in parts]


def plain(value: float) -> float:
    """Two significant digits: nobody can tell the rest.

    >>> plain(0.01234)
    0.012
    """
    return float(f"{value:.2g}")


def best_rates(trials: Sequence[Trial]) -> dict[int, float]:
    """For each size the rate with the least loss among the trials that went furthest."""
    found = {}
    for size in sorted({one.batch_size for one in trials}):
        own = [one for one in trials if one.batch_size == size and not one.diverged and one.losses]
        last = [one for one in own if one.updates >= 0.9 * max(other.updates for other in own)]
        if last:
            found[size] = min(last, key=lambda one: one.loss).learning_rate
    return found


def rate_exponent(rates: dict[int, float]) -> float | None:
    """The slope of log rate over log batch size; None from fewer than three sizes."""
    if len(rates) < 3:
        return None
    slope, _ = np.polyfit(np.log(list(rates)), np.log(list(rates.values())), 1)
    return float(slope)


def _smoothed(losses: npt.NDArray[np.float32], window: int) -> npt.NDArray[np.float64]:
    """Mean over the window after each place: a rate is judged by what follows it."""
    filled = np.where(np.isfinite(losses), losses, np.inf).astype(np.float64)
    padded = np.concatenate([filled, np.full(window - 1, filled[-1])])
    view = np.lib.stride_tricks.sliding_window_view(padded, window)
    return np.asarray(view.mean(axis=1))
