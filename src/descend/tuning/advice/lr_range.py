"""The learning rate: a rising rate brackets it, short trials from one snapshot decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from descend.tuning.advice.trials import Trial, TrialRunner

LOWEST, LOW, HIGHEST = 1e-6, 1e-3, 1e3
"""Where the search for rates ends, begins, and ends."""
UPDATES_PER_OCTAVE = 8
SMALL_BATCH = 64
LEAST_GAIN = 0.02
"""A gain of less than this part of the loss at the start may be chance."""
GIVEN_UP = 3
"""Octaves in a row without a good loss after which the rate rises no further."""
SPREAD = (1 / 2, 1 / 4, 1 / 8, 1 / 32)
"""Rates to try first, as parts of the one at which a rising rate breaks down."""


def breaking_rate(
    runner: TrialRunner, batch_size: int, low: float = LOW, high: float = HIGHEST
) -> float | None:
    """Where the loss breaks down while the rate doubles every few updates from the snapshot.

    It only brackets: the rate that training stands is lower, by a factor that depends on how
    fast the rate rose. Where even the first rate was too high the search begins anew with lower
    ones. The validation loss is looked at, since a small batch with a rare row in
    it looks like a breakdown; and a network that has died is no better than the snapshot, not
    worse, so what counts is half of the best gain.

    Returns:
        The last rate after which at least half of the best gain was still there; None where even
        the lowest rate was too high.
    """
    steps = UPDATES_PER_OCTAVE * (4 if batch_size <= SMALL_BATCH else 1)
    trial = runner.enter(batch_size, low)
    looks: list[tuple[float, float]] = []
    rate = low
    while rate <= high:
        rates = (rate * 2.0 ** (np.arange(1, steps + 1) / steps)).astype(np.float32)
        rate = float(rates[-1])
        trial, _ = runner.advance(trial, rates)
        assert trial.state is not None
        loss = runner.evaluate(trial.state.params)
        if runner.hopeless(loss):
            break
        looks.append((rate, loss))
        limit = _sound(runner.start_loss, looks)
        if len(looks) >= GIVEN_UP and all(loss > limit for _, loss in looks[-GIVEN_UP:]):
            break
    limit = _sound(runner.start_loss, looks)
    found = max((rate for rate, loss in looks if loss <= limit), default=None)
    if found is None and low > LOWEST:
        return breaking_rate(runner, batch_size, LOWEST, 2 * low)
    return found


def _sound(start: float, looks: Sequence[tuple[float, float]]) -> float:
    """Half of the best gain; where there was next to none, a little above the start."""
    best = min((loss for _, loss in looks), default=start)
    if start - best < LEAST_GAIN * abs(start):
        return start + LEAST_GAIN * abs(start)
    return best + 0.5 * (start - best)


def breaking_rates(
    runner: TrialRunner, sizes: Sequence[int], before: float | None = None
) -> dict[int, float]:
    """The breaking rate of each size, sought near `before` and that of the size before."""
    found: dict[int, float] = {}
    for size in sorted(sizes):
        if before is None:
            rate = breaking_rate(runner, size)
        else:
            low, high = max(LOWEST, before / 8), min(HIGHEST, before * 16)
            rate = breaking_rate(runner, size, low, high)
        if rate is not None:
            found[size] = before = rate
    return found


def rates_below(breaking: float, parts: Sequence[float] = SPREAD) -> list[float]:
    """Plain rates at these parts of a breaking rate.

    >>> rates_below(0.4)
    [0.2, 0.1, 0.05, 0.013]
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
