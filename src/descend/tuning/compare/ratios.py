"""Ratios of two methods' measurements, with confidence intervals and tests."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy  # Its parts are imported when they are used.

HELD, FAILED, UNDETERMINED = "held", "did not hold", "undetermined"
EQUIVALENT = "little difference"
RISK = 0.05
"""Significance level: the risk of calling a ratio above 1, or below 1, when it is not."""
EQUIVALENCE_MARGIN = 1.5
"""The largest ratio that still makes little difference: between two noisy curves nobody sees it. A
ratio is equivalent to 1 if its 90 % interval lies within this factor of 1 (two one-sided tests;
Schuirmann 1987, J. Pharmacokinet. Biopharm. 15)."""


class Ratio(NamedTuple):
    """The ratio of one measurement to another.

    Attributes:
        log: mean of the logarithm.
        error: its standard error; 0 if exact, infinite if unknown.
        freedom: degrees of freedom of the error (Student's t).
    """

    log: float
    error: float
    freedom: float

    @property
    def value(self) -> float:
        """The ratio: a geometric mean."""
        return math.exp(self.log)

    def above(self) -> bool:
        """Whether it is significantly above 1."""
        return self.log > self._half_width(RISK)

    def below(self, risk: float = RISK) -> bool:
        """Whether it is significantly below 1."""
        return -self.log > self._half_width(risk)

    def is_equivalent(self) -> bool:
        """Whether it is certainly within `EQUIVALENCE_MARGIN` of 1."""
        return abs(self.log) + self._half_width(RISK) < math.log(EQUIVALENCE_MARGIN)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Its 90 % interval; None if the error is unknown."""
        width = self._half_width(RISK)
        if not math.isfinite(width):
            return None
        # Bounded at e^±100, so that the exponential cannot overflow.
        return tuple(math.exp(min(100.0, max(-100.0, self.log + end))) for end in (-width, width))  # type: ignore[return-value]

    def __str__(self) -> str:
        interval = self.interval
        if interval is None:
            return f"{short(self.value)} ×, of one seed"
        if self.error == 0.0:
            return f"{short(self.value)} ×"
        return f"{short(self.value)} × ({short(interval[0])} to {short(interval[1])})"

    def as_json(self, risk: float) -> dict[str, Any]:
        """The ratio as a record, its verdict at the given risk."""
        verdict = HELD if self.above() else FAILED if self.below(risk) else UNDETERMINED
        if verdict == UNDETERMINED and self.is_equivalent():
            verdict = EQUIVALENT
        return {
            "value": self.value,
            "interval": self.interval,
            "verdict": verdict,
            "text": str(self),
        }

    def _half_width(self, risk: float) -> float:
        if self.error == 0.0 or not math.isfinite(self.error):
            return self.error
        return self.error * float(scipy.special.stdtrit(self.freedom, 1.0 - risk))


def ratio_of(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """The ratio of the first to the second of each pair, with one pair for each seed.

    >>> str(ratio_of([(4.0, 2.0), (6.0, 3.0), (2.0, 1.0)]))
    '2 ×'
    >>> str(ratio_of([(4.0, 2.0), (6.0, 2.0)]))
    '2.45 × (0.681 to 8.81)'
    """
    logs = np.array([math.log(one / other) for one, other in pairs])
    mean, count = float(logs.mean()), len(logs)
    if count < 2:
        return Ratio(mean, math.inf, 1)
    error = float(logs.std(ddof=1)) / math.sqrt(count)
    return Ratio(mean, error, count - 1)


def exact_ratio(pairs: Sequence[tuple[float, float]]) -> Ratio:
    """The same for pairs that are counted, not measured."""
    return ratio_of(pairs)._replace(error=0.0)


def drawn_ratio(
    pairs: Sequence[tuple[float, float]], errors: Sequence[tuple[float, float]], draws: int
) -> Ratio:
    """The same for measurements that are means over draws and have standard errors.

    The interval is over the draws, at the weights of these runs, so one seed is enough.

    Args:
        pairs: one for each seed.
        errors: standard errors of the logarithms.
        draws: smallest number of draws behind any of the errors.
    """
    squares = sum(one**2 + other**2 for one, other in errors)
    return ratio_of(pairs)._replace(error=math.sqrt(squares) / len(pairs), freedom=draws - 1)


def verdict_of(parts: Mapping[str, Ratio | None]) -> str:
    """Whether every ratio is above 1.

    The claim held if each is, at risk `RISK` (an intersection-union test keeps that level). It did
    not hold if one is below 1, at `RISK` divided by their number (Bonferroni). There is little
    difference if one is near 1 and the others are near 1 or above it. A ratio of None is not known.
    """
    known = [part for part in parts.values() if part is not None]
    if any(part.below(shared_risk(parts)) for part in known):
        return FAILED
    if not known or len(known) < len(parts):
        return UNDETERMINED
    if all(map(Ratio.above, known)):
        return HELD
    return (
        EQUIVALENT if all(part.above() or part.is_equivalent() for part in known) else UNDETERMINED
    )


def shared_risk(parts: Mapping[str, Ratio | None]) -> float:
    """The risk of each of several tests such that all together have `RISK`."""
    return RISK / max(1, len(parts))


def short(value: float) -> str:
    """Three significant digits.

    >>> short(0.12345), short(12345.6)
    ('0.123', '12,346')
    """
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"
