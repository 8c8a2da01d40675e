"""The law of updates against batch size, and the shortlist that it gives."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descend.tuning.advice.critical_batch import fit_law, shortlist, updates_to

SIZES = (1, 4, 16, 64, 256, 1024)
CURVATURE = 1.0 / np.arange(1, 10_001)


def expected_loss(rate: float, batch_size: int, updates: float) -> float:
    """Of SGD on ½ Σ h θ² from ones with gradient variance h/B, h_i = 1/i: closed form."""
    shrink = (1.0 - rate * CURVATURE) ** 2
    power = shrink**updates
    floor = rate**2 * CURVATURE / batch_size / (1.0 - shrink)
    return float(0.5 * np.sum(CURVATURE * (power + (1.0 - power) * floor)))


def updates_needed(rate: float, batch_size: int, target: float) -> float:
    low, high = 1.0, 2.0
    while expected_loss(rate, batch_size, high) > target:
        low, high = high, high * 2.0
        if high > 1e6:
            return math.inf
    while high > low * 1.01:
        middle = math.sqrt(low * high)
        low, high = (
            (middle, high) if expected_loss(rate, batch_size, middle) > target else (low, middle)
        )
    return high


def best_updates(batch_size: int, target: float, rates: np.ndarray) -> float:
    return min(updates_needed(rate, batch_size, target) for rate in rates)


@pytest.fixture(scope="module")
def by_rate() -> dict[int, dict[float, float]]:
    """Updates to 0.5 for each size and rates by eighths of a factor of two."""
    return {
        size: {
            power: updates_needed(2.0**power, size, 0.5) for power in np.arange(-7.0, 1.0, 0.125)
        }
        for size in SIZES
    }


def test_the_noisy_quadratic_follows_the_hyperbola(by_rate: dict[int, dict[float, float]]) -> None:
    updates = {size: min(found.values()) for size, found in by_rate.items()}
    law = fit_law(updates)
    assert law is not None
    assert law.critical == pytest.approx(35, rel=0.25)
    for size, measured in updates.items():
        assert law.updates(size) == pytest.approx(measured, rel=0.15)


def test_the_critical_size_rises_as_the_target_falls() -> None:
    rates = 2.0 ** np.arange(-6.0, 1.0, 0.5)
    easy, strict = (
        fit_law({size: best_updates(size, target, rates) for size in (1, 16, 256)})
        for target in (0.5, 0.1)
    )
    assert easy is not None
    assert strict is not None
    assert strict.critical > 2 * easy.critical
    assert strict.critical == pytest.approx(112, rel=0.25)


def test_the_interval_covers_the_critical_size_of_the_noisy_quadratic(
    by_rate: dict[int, dict[float, float]],
) -> None:
    """Rates by factors of two that begin anywhere, and updates that scatter by 10 %."""
    law = fit_law({size: min(found.values()) for size, found in by_rate.items()})
    assert law is not None
    random = np.random.default_rng(0)
    covered = 0
    for _ in range(100):
        updates = {}
        for size in (4, 16, 64, 256):
            offset = random.integers(8)
            coarse = min(list(by_rate[size].values())[offset::8])
            updates[size] = coarse * math.exp(0.1 * random.standard_normal())
        low, high = fit_law(updates).interval  # type: ignore[union-attr]
        covered += low <= law.critical <= high
    assert covered >= 85


def test_two_sizes_fit_no_law() -> None:
    assert fit_law({1: 100.0, 16: 50.0}) is None


def test_updates_to_a_loss_are_read_between_looks() -> None:
    curve = [(10, 1.0), (100, 0.5), (1000, 0.5)]
    assert updates_to(curve, 0.5) == pytest.approx(100)
    assert updates_to(curve, 0.75) == pytest.approx(math.sqrt(1000))
    assert updates_to(curve, 2.0) == 10
    assert updates_to(curve, 0.1) is None


def test_the_shortlist_holds_the_sizes_that_may_be_best() -> None:
    def cost(size: int) -> float:
        return 1.0 + size / 64

    assert 1 not in shortlist(SIZES, cost, (300, 3000))
    assert set(shortlist(SIZES, cost, (0.01, 0.1))) >= {1, 4}
    assert len(shortlist(SIZES, cost, (0.0, math.inf))) == 5
    assert shortlist((7,), cost, (1, 10)) == [7]
