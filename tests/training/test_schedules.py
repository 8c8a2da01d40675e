import numpy as np
import pytest

from descend.training.schedules import ENDLESS, MIN_FACTOR, make_schedule


def test_constant_is_1() -> None:
    assert np.array_equal(make_schedule("constant", 10)(np.arange(20)), np.ones(20))


def test_cosine_falls_from_1_through_a_half_to_the_least() -> None:
    factors = make_schedule("cosine", 1000)(np.asarray([0, 250, 500, 1000, 5000]))
    np.testing.assert_allclose(factors, [1, 0.5 * (1 + np.sqrt(0.5)), 0.5, MIN_FACTOR, MIN_FACTOR])
    assert (np.diff(make_schedule("cosine", 1000)(np.arange(1000))) <= 0).all()


def test_one_cycle_rises_over_three_tenths_and_falls() -> None:
    factors = make_schedule("one-cycle", 1000)(np.arange(1001))
    assert factors[0] == pytest.approx(0.04)
    assert factors.argmax() == 300
    assert (np.diff(factors[:301]) >= 0).all()
    assert (np.diff(factors[300:]) <= 0).all()
    assert factors[-1] == MIN_FACTOR


def test_warmup_stable_decay_holds_its_peak_between_its_ends() -> None:
    factors = make_schedule("warmup-stable-decay", 1000)(np.arange(1001))
    assert factors[0] == pytest.approx(0.04)
    assert (factors[50:601] == 1).all()
    assert (np.diff(factors[600:]) <= 0).all()
    assert factors[800] == pytest.approx(0.5)
    assert factors[-1] == MIN_FACTOR


def test_inverse_time_equals_its_formula() -> None:
    updates = np.arange(0, 1001, 100)
    factors = make_schedule("inverse-time", 1000)(updates)
    np.testing.assert_allclose(factors, 1 / (1 + 10 * updates / 1000))


def test_a_run_without_a_planned_end_has_a_horizon() -> None:
    updates = np.asarray([0, 10, 50_000])
    assert np.array_equal(
        make_schedule("cosine", None)(updates), make_schedule("cosine", ENDLESS)(updates)
    )


def test_warm_up_loses_no_update() -> None:
    factors = make_schedule("constant", 100, 0.1)(np.arange(100))
    np.testing.assert_allclose(factors[:10], np.arange(1, 11) / 10)
    assert (factors[10:] == 1).all()
    assert make_schedule("constant", 3, 0.1)(np.arange(3)).tolist() == [1, 1, 1]
