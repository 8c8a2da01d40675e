"""The critical batch size: updates to reach a loss as a function of the batch size.

S(B) = S_min (1 + B_crit/B), the same as (S/S_min − 1)(E/E_min − 1) = 1 with E = B·S and
B_crit = E_min/S_min (McCandlish et al. 2018, arXiv 1812.06162, section 2.3).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

GRID = np.geomspace(1e-2, 1e7, 1081)
"""Values of B_crit that are tried."""
MIN_SIZES = 3
"""Batch sizes needed to fit the law."""
SLACK = 1.5
"""Highest ratio to the lowest cost in a short list: measured seconds are uncertain."""
MOST_SIZES = 5
"""Most sizes in it."""
PRIOR_SPREAD, PRIOR_WEIGHT = 0.17, 4
"""Prior for the standard deviation of log S, from single runs with rates in factors of two, and its
weight in degrees of freedom beside the residuals."""
QUANTILE_F = {5: 4.06, 6: 3.78, 7: 3.59, 8: 3.46, 9: 3.36, 10: 3.29}
"""Upper 10 % of F with 1 and n degrees of freedom."""

NARROW, SPAN = 10.0, 2.0
"""The law counts as known when the ends of the interval of B_crit are at most the first factor
apart, and B_crit is at least the second factor away from the smallest and the largest size."""

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class UpdatesLaw:
    """S(B) = S_min (1 + B_crit/B), fitted to the measured updates to one loss.

    Attributes:
        least_updates: S_min, the updates that a very large batch needs.
        critical: B_crit, the batch size that needs twice as many.
        interval: 90 % interval of B_crit; 0 or infinity where the data set no bound.
    """

    least_updates: float
    critical: float
    interval: tuple[float, float]

    def updates(self, batch_size: float) -> float:
        """S(B)."""
        return self.least_updates * (1.0 + self.critical / batch_size)


@dataclass
class MeasuredLaw:
    """Updates to one loss by batch size, and the law through them.

    Attributes:
        level: the loss.
        updates: to that loss, with the best learning rate of each batch size.
        rates: the best learning rates.
        law: fitted to the updates; None for fewer than three sizes.
    """

    level: float
    updates: dict[int, float] = field(default_factory=dict)
    rates: dict[int, float] = field(default_factory=dict)
    law: UpdatesLaw | None = None

    @property
    def bounded(self) -> bool:
        """Whether the data set an upper bound on B_crit."""
        return self.law is not None and math.isfinite(self.law.interval[1])

    @property
    def known(self) -> bool:
        """Whether the interval is narrow and there are sizes on both sides of B_crit."""
        if self.law is None:
            return False
        low, high = self.law.interval
        inside = SPAN * min(self.updates) <= self.law.critical <= max(self.updates) / SPAN
        return inside and low > 0.0 and high <= NARROW * low


def fit_law(updates: Mapping[int, float]) -> UpdatesLaw | None:
    """Fit the law by least squares in log S; None for fewer than three batch sizes.

    The interval is a profile interval: all B_crit whose residuals are not significantly larger.

    Args:
        updates: updates until the loss was reached, by batch size.
    """
    if len(updates) < MIN_SIZES:
        return None
    sizes = np.array(list(updates), dtype=np.float64)
    logs = np.log(np.array(list(updates.values()), dtype=np.float64))
    residuals = logs[None, :] - np.log1p(GRID[:, None] / sizes[None, :])
    level = residuals.mean(axis=1)
    squares = np.sum((residuals - level[:, None]) ** 2, axis=1)
    best = int(np.argmin(squares))
    free = PRIOR_WEIGHT + len(sizes) - 2
    variance = (PRIOR_WEIGHT * PRIOR_SPREAD**2 + float(squares[best])) / free
    allowed = QUANTILE_F.get(free, 3.0) * variance
    inside = np.flatnonzero(squares <= squares[best] + allowed)
    low, high = float(GRID[inside[0]]), float(GRID[inside[-1]])
    if inside[0] == 0:
        low = 0.0
    if inside[-1] == len(GRID) - 1:
        high = math.inf
    return UpdatesLaw(float(math.exp(level[best])), float(GRID[best]), (low, high))


def updates_to(curve: Sequence[tuple[int, float]], level: float) -> float | None:
    """Updates until a loss curve first reaches a level, interpolated linearly in log updates."""
    before: tuple[int, float] | None = None
    for updates, loss in curve:
        if loss <= level:
            if before is None or before[1] <= level:
                return float(updates)
            part = (before[1] - level) / max(before[1] - loss, 1e-300)
            return float(math.exp(_interpolate(math.log(before[0]), math.log(updates), part)))
        before = (updates, loss)
    return None


def shortlist(
    sizes: Sequence[int],
    cost: Callable[[int], float],
    critical: tuple[float, float],
) -> list[int]:
    """The batch sizes whose cost is at most `SLACK` times the lowest for some B_crit in a range.

    There are `MIN_SIZES` at least and `MOST_SIZES` at most: those with the lowest mean excess.

    Args:
        sizes: candidate batch sizes.
        cost: `batch_size -> cost of an update`.
        critical: lowest and highest possible B_crit.
    """
    low, high = (float(np.clip(one, GRID[0], GRID[-1])) for one in critical)
    grid = np.geomspace(low, high, 25)
    totals = np.array([[cost(size) * (1.0 + one / size) for size in sizes] for one in grid])
    excess = totals / totals.min(axis=1, keepdims=True)
    mean = np.exp(np.mean(np.log(excess), axis=0))
    ranked = sorted(range(len(sizes)), key=lambda place: float(mean[place]))
    likely = [place for place in ranked if excess[:, place].min() <= SLACK]
    count = max(MIN_SIZES, min(MOST_SIZES, len(likely)))
    chosen = list(dict.fromkeys([*likely, *ranked]))[:count]
    return sorted(sizes[place] for place in chosen)


def _interpolate(low: float, high: float, part: float) -> float:
    return low + (high - low) * min(1.0, max(0.0, part))
