"""Ratios, their intervals and what several of them say together."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descend.tuning.compare.ratios import (
    EQUIVALENCE_MARGIN,
    EQUIVALENT,
    FAILED,
    HELD,
    UNDETERMINED,
    drawn_ratio,
    exact_ratio,
    ratio_of,
    verdict_of,
)


def test_the_interval_is_students() -> None:
    ratio = ratio_of([(1.0, 1.0), (4.0, 1.0)])
    # Mean log 2 = 0.693, its standard error 0.693, t(0.95, 1) = 6.314.
    assert ratio.value == pytest.approx(2.0)
    assert ratio.interval is not None
    assert ratio.interval[0] == pytest.approx(2.0 * 2.0**-6.3138, rel=1e-3)
    assert ratio.interval[1] == pytest.approx(2.0 * 2.0**6.3138, rel=1e-3)


def test_a_single_seed_tells_nothing_of_what_is_timed() -> None:
    ratio = ratio_of([(9.0, 1.0)])
    assert ratio.interval is None
    assert verdict_of({"": ratio}) == UNDETERMINED
    assert verdict_of({"": exact_ratio([(9.0, 1.0)])}) == HELD


def test_errors_of_draws_add_up() -> None:
    ratio = drawn_ratio([(4.0, 2.0), (4.0, 2.0)], [(0.3, 0.4), (0.3, 0.4)], 100)
    assert ratio.error == pytest.approx(math.sqrt(2 * 0.25) / 2)
    assert ratio.freedom == 99


@pytest.mark.parametrize("parts", [1, 4])
def test_wrong_verdicts_are_as_rare_as_promised(parts: int) -> None:
    """Where no ratio differs from 1, each sure verdict comes 5 % of the time at most."""
    random = np.random.default_rng(parts)
    found = []
    for _ in range(2000):
        logs = random.normal(0.0, 0.5, (parts, 4))
        ratios = {
            str(number): ratio_of([(math.exp(log), 1.0) for log in row])
            for number, row in enumerate(logs)
        }
        found.append(verdict_of(ratios))
    # Three deviations of a share of 0.05 in 2000.
    assert found.count(HELD) / len(found) < 0.05 + 3 * 0.0049
    assert found.count(FAILED) / len(found) < 0.05 + 3 * 0.0049
    assert found.count(FAILED) > 0


def test_little_difference_is_said_of_a_difference_as_rarely_as_promised() -> None:
    """At the margin 5 % of the time at most; where the ratio is 1, often enough."""
    random = np.random.default_rng(1)

    def share(ratio: float) -> float:
        logs = math.log(ratio) + random.normal(0.0, 0.2, (2000, 6))
        found = [verdict_of({"": ratio_of([(math.exp(one), 1.0) for one in row])}) for row in logs]
        return sum(verdict == EQUIVALENT for verdict in found) / len(found)

    assert share(EQUIVALENCE_MARGIN) <= 0.055
    assert share(1.0) > 0.7


def test_a_claim_of_which_one_part_is_clear_and_one_makes_no_difference_is_no_open_one() -> None:
    clear = ratio_of([(4.0, 1.0), (4.2, 1.0), (4.1, 1.0)])
    alike = ratio_of([(1.0, 1.0), (1.02, 1.0), (0.98, 1.0)])
    assert verdict_of({"a": clear, "b": alike}) == EQUIVALENT
    assert verdict_of({"a": clear, "b": None}) == UNDETERMINED
