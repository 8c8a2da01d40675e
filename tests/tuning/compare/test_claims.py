"""Claims held against records that were made up."""

from __future__ import annotations

from typing import Any

import pytest

from descend.tuning.compare.claims import claims

SIZES = {"full": 1000, "mini": 32, "stochastic": 1}


def record(family: str, rule: str, seed: int, **measures: float | None) -> dict[str, Any]:
    usual = {
        "seconds_to_target": 1.0,
        "seconds": 10.0,
        "best": 0.5,
        "deviation_at_start": 0.0 if family == "full" else SIZES[family] ** -0.5,
        "deviation_at_start_error": 0.0 if family == "full" else 0.05,
        "deviation_when_trained": 0.0 if family == "full" else 3.0 * SIZES[family] ** -0.5,
        "deviation_when_trained_error": 0.0 if family == "full" else 0.05,
        "gradients_drawn": 1 if family == "full" else 64,
        "roughness": 0.02 + 0.001 * seed,
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
    known = {**usual, **measures}
    arrives = known["seconds_to_target"]
    history = {"seconds": [0.0, arrives or 10.0], "validation_loss": [1.0, 0.5 if arrives else 0.8]}
    if arrives is None:
        known["best"] = 0.8
    return {
        "method": method,
        "panel": "tuned",
        "seed": seed,
        "measures": {"target": 0.5, **known},
        "history": history,
    }


def runs_of(measure: str, seeds: int = 3, **values: Any) -> list[dict[str, Any]]:
    """Runs of all kinds; of each, a measure that is a number or a function of rule and seed."""
    return [
        record(family, rule, seed, **{measure: value(rule, seed) if callable(value) else value})
        for family, value in values.items()
        for rule in ("sgd", "momentum")
        for seed in range(seeds)
    ]


def told(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {claim["name"]: claim for claim in claims(runs)}


def ratios_of(claim: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {ratio["part"]: ratio for ratio in claim["ratios"]}


def verdicts(measure: str = "seconds_to_target", **values: Any) -> dict[str, str]:
    return {name: claim["verdict"] for name, claim in told(runs_of(measure, **values)).items()}


def test_what_is_clear_held() -> None:
    found = verdicts(full=9.0, mini=1.0, stochastic=5.0)
    assert found["closer"] == found["noise"] == found["memory"] == "held"
    assert found["faster"] == found["faster-sgd"] == "held"
    assert found["momentum"] == found["curve"] == "little difference"
    # The mini-batch was not run at the learning rate of SGD.
    assert "curve-one-rate" not in found


def test_the_data_may_say_otherwise() -> None:
    found = verdicts(full=9.0, mini=1.0, stochastic=0.5)
    assert (found["faster"], found["faster-sgd"]) == ("held", "did not hold")
    assert verdicts(full=0.9, mini=1.0, stochastic=0.5)["faster"] == "did not hold"
    smaller = verdicts("memory", full=10.0, mini=20.0, stochastic=1.0)
    assert smaller["memory"] == "did not hold"
    noisier = runs_of("deviation_when_trained", full=0.0, mini=2.0, stochastic=1.0)
    assert told(noisier)["noise"]["verdict"] == "held in part"
    assert "only in part" in told(noisier)["noise"]["sentence"]


def test_overlapping_intervals_leave_it_open() -> None:
    times = (0.5, 3.0, 1.1)  # Far apart: neither faster nor little difference.
    found = verdicts(full=9.0, mini=1.0, stochastic=lambda _, seed: times[seed])
    assert found["faster-sgd"] == "undetermined"


def test_gradients_are_compared_over_their_draws_so_one_seed_is_enough() -> None:
    runs = runs_of("best", seeds=1, full=0.5, mini=0.5, stochastic=0.5)
    assert told(runs)["closer"]["verdict"] == "held"
    assert told(runs)["faster"]["verdict"] == "undetermined"
    vague = runs_of("deviation_when_trained_error", seeds=1, full=0.0, mini=2.0, stochastic=2.0)
    assert told(vague)["closer"]["verdict"] == "undetermined"


def test_a_run_that_never_came_is_compared_at_the_loss_that_both_reached() -> None:
    runs = runs_of("seconds_to_target", full=None, mini=1.0, stochastic=None)
    claim = told(runs)["faster"]
    # Gradient descent came to 0.8 after 10 s; the mini-batch was there after 0.4 s.
    assert ratios_of(claim)["plain"]["value"] == pytest.approx(25.0)
    assert claim["verdict"] == "held"
    # A mini-batch that came as far in the same time was not faster.
    slower = runs_of("seconds_to_target", full=20.0, mini=None, stochastic=20.0)
    assert ratios_of(told(slower)["faster"])["plain"]["value"] == pytest.approx(0.8)


def test_where_nobody_came_the_losses_that_both_reached_decide() -> None:
    assert verdicts(full=None, mini=None, stochastic=None)["faster"] == "little difference"


def test_momentum_smooths_where_the_curves_are_smoother() -> None:
    def rough(rule: str, seed: int) -> float:
        return (0.05 if rule == "sgd" else 0.01) * (1 + 0.1 * seed)

    found = told(runs_of("roughness", full=rough, mini=rough, stochastic=rough))
    for name in ("momentum", "momentum-sgd", "momentum-full"):
        assert found[name]["verdict"] == "held"
    assert ratios_of(found["momentum-sgd"])["roughness"]["value"] == pytest.approx(5.0)


def test_a_mini_batch_is_smoother_at_the_rate_of_sgd_and_may_not_be_at_its_own() -> None:
    def rough(family: str, seed: int, panel: str = "tuned") -> float:
        value = {"tuned": 0.2, "rate-of-sgd": 0.02}[panel] if family == "mini" else 0.1
        return value * (1 + 0.1 * seed)

    runs = [
        record(family, rule, seed, roughness=rough(family, seed))
        for family in SIZES
        for rule in ("sgd", "momentum")
        for seed in range(3)
    ]
    at_that_rate = [
        {**record("mini", "sgd", seed, roughness=rough("mini", seed, panel)), "panel": panel}
        for panel in ("rate-of-sgd",)
        for seed in range(3)
    ]
    found = told([*runs, *at_that_rate])
    assert found["curve-one-rate"]["verdict"] == "held"
    assert ratios_of(found["curve-one-rate"])["plain"]["value"] == pytest.approx(5.0)
    assert found["curve-plain"]["verdict"] == "did not hold"
    assert ratios_of(found["curve-plain"])["plain"]["value"] == pytest.approx(0.5)


def test_what_is_not_known_of_one_method_leaves_the_others_decided() -> None:
    """Gradient descent made too few evaluations for a roughness."""

    def rough(rule: str, seed: int) -> float:
        return (0.05 if rule == "sgd" else 0.01) * (1 + 0.1 * seed)

    found = told(runs_of("roughness", full=None, mini=rough, stochastic=rough))
    assert found["momentum"]["verdict"] == "held"
    assert found["momentum-full"]["verdict"] == "undetermined"


def test_how_much_is_tuning() -> None:
    runs = runs_of(
        "best",
        full=lambda _, seed: 0.5 + 0.01 * seed,
        mini=lambda _, seed: 0.4,
        stochastic=lambda _, seed: 0.5,
    )
    same = runs_of("best", full=0.9, mini=0.5, stochastic=1.0)
    for run in same:
        run["panel"] = "same"
    # Above the best, 0.4: at one rate 0.4 on average; tuned (0.1 + 0 + 0.1)/3, somewhat more later.
    claim = told([*runs, *same])["tuning"]
    assert claim["verdict"] == "held"
    gaps = [0.2 / 3, 0.21 / 3, 0.22 / 3]
    expected = (0.4**3 / (gaps[0] * gaps[1] * gaps[2])) ** (1 / 3)
    assert ratios_of(claim)["all methods"]["value"] == pytest.approx(expected)
