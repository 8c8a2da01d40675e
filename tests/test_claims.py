"""Claims held against records that were made up."""

from __future__ import annotations

from typing import Any

import pytest

from descend.tuning.claims import claims, ratio_of

SIZES = {"full": 1000, "mini": 32, "stochastic": 1}


def record(family: str, rule: str, seed: int, **measures: float | None) -> dict[str, Any]:
    usual = {
        "seconds_to_target": 1.0,
        "seconds": 10.0,
        "best": 0.5,
        "deviation_at_start": 0.0 if family == "full" else SIZES[family] ** -0.5,
        "deviation_when_trained": 0.0 if family == "full" else 3.0 * SIZES[family] ** -0.5,
        "roughness": 0.2,
        "memory": 100.0 * SIZES[family],
    }
    method = {
        "name": f"{family}-{rule}",
        "title": family,
        "family": family,
        "optimizer": rule,
        "batch_size": SIZES[family],
        "advised": family == "mini",
        "basic": True,
    }
    return {"method": method, "panel": "tuned", "seed": seed, "measures": {**usual, **measures}}


def verdicts(**seconds: Any) -> dict[str, str]:
    runs = [
        record(family, rule, seed, seconds_to_target=value(seed) if callable(value) else value)
        for family, value in seconds.items()
        for rule in ("sgd", "momentum")
        for seed in range(3)
    ]
    return {claim["name"]: claim["verdict"] for claim in claims(runs)}


def test_what_is_clear_held() -> None:
    found = verdicts(full=9.0, mini=1.0, stochastic=5.0)
    assert found["closer"] == found["noise"] == found["faster"] == found["memory"] == "held"
    assert found["momentum"] == found["curve"] == "undetermined"


def test_the_data_may_say_otherwise() -> None:
    assert verdicts(full=9.0, mini=1.0, stochastic=0.5)["faster"] == "did not hold"


def test_overlapping_intervals_leave_it_open() -> None:
    assert (
        verdicts(full=9.0, mini=1.0, stochastic=lambda seed: (0.5, 3.0, 1.1)[seed])["faster"]
        == "undetermined"
    )


def test_a_run_that_never_came_counts_with_its_budget() -> None:
    assert verdicts(full=None, mini=1.0, stochastic=5.0)["faster"] == "held"
    # A mini-batch that never came cannot have been faster, however short its budget was.
    assert verdicts(full=20.0, mini=None, stochastic=20.0)["faster"] == "undetermined"


def test_where_nobody_came_nothing_is_told() -> None:
    assert verdicts(full=None, mini=None, stochastic=None)["faster"] == "undetermined"


def test_a_single_seed_tells_nothing() -> None:
    assert ratio_of([(9.0, 1.0)]).verdict == "undetermined"


def test_the_interval_is_students() -> None:
    ratio = ratio_of([(1.0, 1.0), (4.0, 1.0)])
    # Mean log 2 = 0.693, its standard error 0.693, t(0.95, 1) = 6.314.
    assert ratio.value == pytest.approx(2.0)
    assert ratio.low == pytest.approx(2.0 * 2.0**-6.3138, rel=1e-3)
