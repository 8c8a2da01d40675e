"""Learning rate range test: a rising rate brackets the useful rates before short trials decide."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from descend.tuning.advice.trials import Trial, TrialRunner

LOWEST, FIRST, HIGHEST = 1e-6, 1e-3, 1e3
"""Learning rates at which the test begins (`FIRST`) and between which it stays."""
UPDATES_PER_OCTAVE = 8
"""Updates in which the rate doubles."""
SMALL_BATCH = 64
"""Up to this batch size the rate rises four times more slowly, since losses are noisier."""
MIN_GAIN = 0.02
"""A gain of less than this fraction of the loss at the start may be chance."""
BAD_OCTAVES = 3
"""The test ends after this many octaves in a row without a good loss."""
FIRST_FRACTIONS = (1 / 2, 1 / 4, 1 / 8, 1 / 32)
"""Rates to try first, as fractions of the maximum stable rate."""
LOWER_FRACTIONS = (1 / 4, 1 / 16, 1 / 64)
"""Rates to try where all have diverged, as fractions of the lowest one."""


def max_stable_rate(
    runner: TrialRunner, batch_size: int, low: float = FIRST, high: float = HIGHEST
) -> float | None:
    """The highest rate that keeps the gain, while the rate doubles every few updates (Smith 2015).

    The result is only a bracket: the rate that long training tolerates is lower, by a factor that
    depends on how fast the rate rose. If even the first rate was too high, the test starts again
    from lower ones. It uses the validation loss, because a small batch with a rare row in it looks
    like divergence. A network whose units have died returns to the loss of the snapshot and does
    not get worse, so the criterion is half of the best gain. (arXiv 1506.01186, section 3.3)

    Returns:
        The last rate after which at least half of the best gain was left; None if even the lowest
        rate was too high.
    """
    steps = UPDATES_PER_OCTAVE * (4 if batch_size <= SMALL_BATCH else 1)
    trial = runner.start(batch_size, low)
    evaluations: list[tuple[float, float]] = []
    rate = low
    while rate <= high:
        rates = (rate * 2.0 ** (np.arange(1, steps + 1) / steps)).astype(np.float32)
        rate = float(rates[-1])
        trial, _ = runner.advance(trial, rates)
        assert trial.state is not None
        loss = runner.evaluate(trial.state.params)
        if runner.has_diverged(loss):
            break
        evaluations.append((rate, loss))
        limit = _highest_good_loss(runner.start_loss, evaluations)
        newest = evaluations[-BAD_OCTAVES:]
        if len(newest) == BAD_OCTAVES and all(loss > limit for _, loss in newest):
            break
    limit = _highest_good_loss(runner.start_loss, evaluations)
    found = max((rate for rate, loss in evaluations if loss <= limit), default=None)
    if found is None and low > LOWEST:
        return max_stable_rate(runner, batch_size, LOWEST, 2 * low)
    return found


def _highest_good_loss(start: float, evaluations: Sequence[tuple[float, float]]) -> float:
    """The loss at half of the best gain; slightly above the start if there was almost no gain."""
    best = min((loss for _, loss in evaluations), default=start)
    if start - best < MIN_GAIN * abs(start):
        return start + MIN_GAIN * abs(start)
    return best + 0.5 * (start - best)


def max_stable_rates(
    runner: TrialRunner, sizes: Sequence[int], before: float | None = None
) -> dict[int, float]:
    """The maximum stable rate of each batch size, searched near that of the size before.

    Args:
        runner: what the trials share.
        sizes: batch sizes.
        before: maximum stable rate of another batch size, or None.
    """
    found: dict[int, float] = {}
    for size in sorted(sizes):
        if before is None:
            rate = max_stable_rate(runner, size)
        else:
            low, high = max(LOWEST, before / 8), min(HIGHEST, before * 16)
            rate = max_stable_rate(runner, size, low, high)
        if rate is not None:
            found[size] = before = rate
    return found


def rates_below(highest: float, fractions: Sequence[float] = FIRST_FRACTIONS) -> list[float]:
    """Rounded learning rates at these fractions of the maximum stable rate.

    >>> rates_below(0.4)
    [0.2, 0.1, 0.05, 0.013]
    """
    return [round_rate(highest * fraction) for fraction in fractions]


def lower_rates(lowest: float) -> list[float]:
    """Rates to try where every trial has diverged; none below those that the range test allows.

    The maximum stable rate may be far too high. A network with batch normalization computes the
    same from weights of any length, so its loss stays finite while the rate rises into the
    thousands, and becomes NaN later at a rate that stays.

    >>> lower_rates(32.0), lower_rates(1e-6)
    ([8.0, 2.0, 0.5], [])
    """
    return [rate for rate in rates_below(lowest, LOWER_FRACTIONS) if rate >= LOWEST]


def round_rate(value: float) -> float:
    """A learning rate with two significant digits; more make no difference.

    >>> round_rate(0.01234)
    0.012
    """
    return float(f"{value:.2g}")


def best_rates(trials: Sequence[Trial]) -> dict[int, float]:
    """For each batch size the rate with the lowest loss among the trials that ran longest."""
    found = {}
    for size in sorted({one.batch_size for one in trials}):
        same_size = [
            one for one in trials if one.batch_size == size and not one.diverged and one.losses
        ]
        most = max((one.updates for one in same_size), default=0)
        longest = [one for one in same_size if one.updates >= 0.9 * most]
        if longest:
            found[size] = min(longest, key=lambda one: one.score).learning_rate
    return found


def rate_exponent(rates: dict[int, float]) -> float | None:
    """The slope of log rate over log batch size; None for fewer than three batch sizes."""
    if len(rates) < 3:
        return None
    slope, _ = np.polyfit(np.log(list(rates)), np.log(list(rates.values())), 1)
    return float(slope)
