"""Schedule-free rules: what is evaluated and kept is the mean x, whatever the rate does."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.training.schedule_free import is_schedule_free, weights_to_evaluate
from descend.training.step import make_apply
from descend.types import Variables

RANDOM = np.random.default_rng(5)
START = {"w": jnp.asarray(RANDOM.normal(size=(3, 2)), jnp.float32), "b": jnp.ones(2)}
GRADIENTS = [
    jax.tree.map(lambda leaf: np.asarray(RANDOM.normal(size=leaf.shape), np.float32), START)
    for _ in range(12)
]
FACTORS = [1.0, 1.0, 0.5, 0.5, 0.25, 1.0, 2.0, 0.0, 0.1, 0.1, 0.1, 1.0]
free = optax.contrib.schedule_free
free_sgd = optax.contrib.schedule_free_sgd


def followed(rule: Any, factors: list[float]) -> Any:
    """Weights and memory after an update at each factor of the rate."""
    apply_gradient = jax.jit(make_apply(rule))
    carry = (START, rule.init(START))
    for gradient, factor in zip(GRADIENTS, factors, strict=True):
        carry = apply_gradient(carry, jnp.float32(1), gradient, jnp.float32(factor), ())
    return carry


def by_optax(rule: Any) -> Any:
    """The same with Optax alone."""

    @jax.jit
    def update(params: Any, state: Any, gradient: Any) -> Any:
        change, state = rule.update(gradient, state, params)
        return optax.apply_updates(params, change), state

    params, state = START, rule.init(START)
    for gradient in GRADIENTS:
        params, state = update(params, state, gradient)
    return params, state


def same(one: Any, other: Any) -> None:
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=2e-6)


def test_a_rate_of_one_changes_nothing() -> None:
    rule = free_sgd(0.1)
    found, expected = followed(rule, [1.0] * len(GRADIENTS)), by_optax(rule)
    same(found, expected)
    same(weights_to_evaluate(*found), optax.contrib.schedule_free_eval_params(*expected[::-1]))


def test_multiplied_rates_are_those_of_a_schedule() -> None:
    """Optax takes the rates of z from a schedule; with power 0 all steps have one weight in x."""

    def rates(step: Any) -> Any:  # Schedule-free counts from 1, the rule within from 0.
        return 0.1 * jnp.asarray(FACTORS)[step]

    rule = free(optax.sgd(0.1), 0.1, weight_lr_power=0.0)
    expected = by_optax(free(optax.sgd(rates), 0.1, weight_lr_power=0.0))
    found = followed(rule, FACTORS)
    same(found[0], expected[0])
    x = optax.contrib.schedule_free_eval_params(expected[1], expected[0])
    same(weights_to_evaluate(*found), x)


def test_a_rule_for_a_part_is_found_within_others() -> None:
    """In a chain, between accumulated gradients, and for the weights that a label names."""
    factor = 0.3
    labels = {"w": "free", "b": "plain"}
    rule = optax.multi_transform({"free": free_sgd(0.1), "plain": optax.sgd(0.2)}, labels)
    found = followed(optax.chain(optax.clip(0.5), rule), [factor] * len(GRADIENTS))
    inner = optax.chain(optax.clip(0.5), free_sgd(0.1 * factor))
    params, state = by_optax(inner)
    expected = optax.contrib.schedule_free_eval_params(state[1], params)
    kept = weights_to_evaluate(*found)
    same(kept["w"], expected["w"])
    plain = sum(np.clip(one["b"], -0.5, 0.5) for one in GRADIENTS)
    same(kept["b"], START["b"] - 0.2 * factor * plain)
    steps = optax.MultiSteps(free_sgd(0.1 * factor), 3).gradient_transformation()
    scaled = optax.MultiSteps(free_sgd(0.1), 3).gradient_transformation()
    accumulated = followed(scaled, [factor] * len(GRADIENTS))
    params, state = by_optax(steps)
    expected = optax.contrib.schedule_free_eval_params(state.inner_opt_state, params)
    same(weights_to_evaluate(*accumulated), expected)


def test_other_rules_keep_the_weights_that_they_train() -> None:
    rule = optax.adam(0.1)
    assert not is_schedule_free(rule.init(START))
    variables = Variables(START, {"seen": 3})
    assert weights_to_evaluate(variables, rule.init(START)) == variables
