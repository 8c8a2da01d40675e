"""Optimizers of Optax as people give them: by themselves, or as functions of the rate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.custom.optimizers import check_descends, check_in_proportion
from descend.errors import InputError

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(64, 3)).astype(np.float32)
Y = (X @ [1.0, 2.0, 3.0] + 0.3 * RANDOM.normal(size=64)).astype(np.float32)
HELD_OUT = (X[:20], (X[:20] @ [1.0, 2.0, 3.0]).astype(np.float32))
MODEL = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
OPTIONS: dict[str, Any] = {"validation": HELD_OUT, "patience": 1000}
free_sgd, free_adamw = optax.contrib.schedule_free_sgd, optax.contrib.schedule_free_adamw


def by_hand(rule: Any, updates: int) -> Any:
    """What is to be evaluated after updates with all rows."""
    params = jnp.zeros((3, 1))
    state = rule.init(params)

    @jax.jit
    def update(params: Any, state: Any) -> Any:
        gradient = X.T @ (X @ params - Y[:, None]) / len(X)
        change, state = rule.update(gradient, state, params)
        return optax.apply_updates(params, change), state

    for _ in range(updates):
        params, state = update(params, state)
    return optax.contrib.schedule_free_eval_params(state, params)


@pytest.mark.parametrize(
    ("optimizer", "rate", "same"),
    [
        (free_sgd(0.3), "auto", free_sgd(0.3)),
        (free_sgd, 0.3, free_sgd(0.3)),
        (free_adamw, 0.1, free_adamw(0.1)),
    ],
)
def test_schedule_free_rules_are_evaluated_where_optax_says(
    optimizer: Any, rate: Any, same: Any
) -> None:
    seen = {}

    def look(evaluation: descend.Evaluation) -> None:
        seen[evaluation.line.update] = (evaluation.params, evaluation.validation_loss)

    options = {**OPTIONS, "batch_size": "all", "learning_rate": rate, "epochs": 20}
    run = descend.fit(MODEL, (X, Y), optimizer=optimizer, callbacks=[look], **options)
    x = np.asarray(by_hand(same, 20))
    np.testing.assert_allclose(seen[20][0], x, rtol=0, atol=2e-6)
    residuals = HELD_OUT[0] @ x[:, 0] - HELD_OUT[1]
    assert abs(seen[20][1] - 0.5 * np.mean(residuals**2)) < 1e-5
    losses = [line.validation_loss for line in run.history]
    assert min(losses) == seen[20][1]
    np.testing.assert_allclose(run.predict(HELD_OUT[0]), HELD_OUT[0] @ x, rtol=0, atol=2e-5)


def test_a_schedule_free_run_goes_on_to_the_same_weights_also_at_lower_rates(
    tmp_path: Path,
) -> None:
    """A patience of 1 lowers the rate and puts back the best weights, with z beside them."""
    out = tmp_path / "run"
    rule = {"optimizer": free_sgd(0.5), "batch_size": 4, "validation": HELD_OUT, "patience": 1}
    descend.fit(MODEL, (X, Y), epochs=4, out=out, **rule)
    more = descend.fit(MODEL, (X, Y), epochs=12, out=out, resume=True, **rule)
    whole = descend.fit(MODEL, (X, Y), epochs=12, **rule)
    assert min(line.learning_rate for line in whole.history) < 1
    np.testing.assert_array_equal(more.params, whole.params)
    solution = np.linalg.lstsq(X, Y, rcond=None)[0]
    assert np.abs(np.asarray(whole.params)[:, 0] - solution).max() < 0.1


def not_negative(rate: float) -> Any:
    return optax.chain(optax.sgd(rate), optax.keep_params_nonnegative())


@pytest.mark.parametrize(
    "function", [optax.fromage, optax.contrib.madgrad, optax.scale_by_adam, not_negative]
)
def test_a_function_whose_updates_are_no_multiple_of_the_rate_is_refused(function: Any) -> None:
    weights = {"w": jnp.full((4, 3), 0.2), "b": jnp.zeros(3)}
    with pytest.raises(
        descend.InputError, match=rf"not in proportion.*{function.__name__}\(0.01\)"
    ):
        check_in_proportion(function, function(1.0), weights)


def test_a_function_without_a_name_is_refused_too() -> None:
    optimizer: Any = lambda rate: optax.chain(optax.sgd(rate), optax.clip(0.1))  # noqa: E731
    options: dict[str, Any] = {"learning_rate": 0.1, "batch_size": 8, "epochs": 1}
    with pytest.raises(descend.InputError, match=r"not in proportion.*a function of it\.$"):
        descend.fit(MODEL, (X, Y), optimizer=optimizer, **options)


@pytest.mark.parametrize(
    "function",
    [
        *(optax.sgd, optax.adam, optax.adamw, optax.lamb, optax.lion, optax.adafactor),
        *(optax.contrib.muon, optax.contrib.prodigy, optax.contrib.schedule_free_adamw),
        lambda rate: optax.MultiSteps(optax.adam(rate), 2),
        lambda rate: optax.adam(optax.cosine_decay_schedule(rate, 4)),
        lambda rate: optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate)),
        optax.noisy_sgd,
    ],
)
def test_functions_in_proportion_to_the_rate_pass(function: Any) -> None:
    rule = function(1.0)
    if isinstance(rule, optax.MultiSteps):
        rule = rule.gradient_transformation()
    check_in_proportion(function, rule, {"w": jnp.full((4, 3), 0.2), "b": jnp.zeros(3)})


SEVERAL = {"kernel": jnp.ones((3, 2)), "bias": jnp.zeros(2), "one": -jnp.ones(())}


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (optax.identity(), "moves the weights up the gradient"),
        (optax.chain(optax.clip(1.0)), "moves the weights up"),
        (optax.scale_by_adam(), "moves the weights up"),
        (optax.masked(optax.sgd(0.1), {"kernel": True, "bias": False, "one": True}), r"\(bias\)"),
    ],
)
def test_a_rule_that_climbs_is_refused(rule: Any, said: str) -> None:
    """Its run had kept the initial weights, or was said to have too high a learning rate."""
    with pytest.raises(InputError, match=said):
        check_descends(rule, SEVERAL)


@pytest.mark.parametrize(
    "rule",
    [
        optax.sgd(0.1, momentum=0.9, nesterov=True),
        optax.set_to_zero(),
        optax.MultiSteps(optax.adam(0.1), 4).gradient_transformation(),
        optax.chain(optax.add_noise(1.0, 0.5, 0), optax.sgd(0.1)),
        optax.adamw(0.1, weight_decay=10.0),
        optax.lion(0.1),
        optax.adafactor(0.1),
        optax.contrib.prodigy(),
        free_adamw(0.1),
        optax.chain(optax.centralize(), optax.sgd(0.1)),
        optax.chain(optax.sgd(0.1), optax.keep_params_nonnegative()),
        optax.sgd(optax.linear_schedule(0.0, 0.1, 100)),
    ],
)
def test_rules_that_descend_pass(rule: Any) -> None:
    check_descends(rule, SEVERAL)
