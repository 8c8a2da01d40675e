"""Learning rate schedules, as a factor on the peak rate at each update.

Reducing the rate on a plateau of the validation loss is in `plateau`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Updates = npt.NDArray[np.int64] | npt.NDArray[np.float64]
"""Numbers of updates, from 0; between whole numbers where the batch has grown."""
Schedule = Callable[[Updates], Floats]

MIN_FACTOR = 1e-3
"""Factors never go below it, so that no update is wasted."""
RISE, HOLD = 0.05, 0.6
"""Parts of the course of `warmup-stable-decay` at which it is up and at which it begins to fall."""
ENDLESS = 100_000
"""Assumed number of updates of a run without a planned end."""


def make_schedule(name: str, total: int | None, warmup: float = 0.0, rise: int = 0) -> Schedule:
    """A function from update numbers (from 0) to factors in (0, 1].

    Args:
        name: `constant`; `cosine` (½(1 + cos πp), Loshchilov & Hutter 2017, arXiv 1608.03983,
            section 3); `one-cycle` (up over the first 30 %, then down, Smith 2018,
            arXiv 1803.09820); `warmup-stable-decay` (up over the first 5 %, constant until 60 %,
            then down along half a cosine, Hu et al. 2024, arXiv 2404.06395, section 4, and
            Hägele et al. 2024, arXiv 2405.18392); `inverse-time` (1/(1 + 10p), Robbins & Monro
            1951), where p is the fraction of the updates done.
        total: updates in the whole run, or None if it has no planned end: p is then a fraction
            of 100,000 updates.
        warmup: fraction of the run over which the factor rises linearly from 0.
        rise: number of updates over which it rises, if that is longer.

    Returns:
        The schedule; factors stay above 0, so that no update is wasted.
    """
    curve = _CURVES[name]
    horizon = max(1, total if total is not None else ENDLESS)
    rising = max(warmup * horizon, rise)

    def schedule(updates: Updates) -> Floats:
        done = np.minimum(updates / horizon, 1.0)
        factor = curve(done)
        if rising > 1:
            factor = factor * np.minimum(1.0, (updates + 1) / rising)
        return np.maximum(factor, MIN_FACTOR)

    return schedule


def _constant(done: Floats) -> Floats:
    return np.ones_like(done)


def _cosine(done: Floats) -> Floats:
    return fall(done)


def fall(done: Floats) -> Floats:
    """½(1 + cos πp): from 1 to 0."""
    return np.asarray(0.5 * (1.0 + np.cos(np.pi * done)), dtype=np.float64)


def _warmup_stable_decay(done: Floats) -> Floats:
    rising = np.maximum(0.04, np.minimum(1.0, done / RISE))
    return rising * fall(np.maximum(0.0, (done - HOLD) / (1.0 - HOLD)))


def _one_cycle(done: Floats) -> Floats:
    rising = 0.04 + 0.96 * 0.5 * (1.0 - np.cos(np.pi * done / 0.3))
    falling = fall((done - 0.3) / 0.7)
    return np.where(done < 0.3, rising, falling)


def _inverse_time(done: Floats) -> Floats:
    return 1.0 / (1.0 + 10.0 * done)


_CURVES: dict[str, Callable[[Floats], Floats]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one-cycle": _one_cycle,
    "warmup-stable-decay": _warmup_stable_decay,
    "inverse-time": _inverse_time,
}
