from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from descend.settings import Settings
from descend.training.optimizers import is_weight, make_optimizer

Vector = np.ndarray
UPDATES = 12

random = np.random.default_rng(3)
START = random.normal(size=(4, 2))
GRADIENTS = random.normal(size=(UPDATES, 4, 2))


def followed(rate: float = 0.1, gradients: Vector = GRADIENTS, **options: Any) -> Vector:
    """Where the weights are after a fixed sequence of gradients."""
    rule = make_optimizer(Settings("y", **options))
    params = {"kernel": np.asarray(START, np.float32), "bias": np.zeros(2, np.float32)}
    opt_state = rule.init(params)
    update = jax.jit(rule.update)
    for gradient in gradients:
        step = {"kernel": np.asarray(gradient, np.float32), "bias": np.zeros(2, np.float32)}
        direction, opt_state = update(step, opt_state, params)
        params = jax.tree.map(lambda weight, change: weight + rate * change, params, direction)
    return np.asarray(params["kernel"])


def by_formula(update: Callable[[Vector, dict[str, Vector], int], Vector]) -> Vector:
    """The same by an update rule in float64; its memory begins at zero."""
    weights = START.copy()
    memory = {name: np.zeros_like(START) for name in ("v", "m", "s")}
    for number, gradient in enumerate(GRADIENTS, start=1):
        weights = weights - 0.1 * update(gradient, memory, number)
    return weights


def momentum(gradient: Vector, memory: dict[str, Vector], number: int) -> Vector:
    memory["v"] = 0.8 * memory["v"] + gradient
    return memory["v"]


def nesterov(gradient: Vector, memory: dict[str, Vector], number: int) -> Vector:
    memory["v"] = 0.8 * memory["v"] + gradient
    return gradient + 0.8 * memory["v"]


def adam(gradient: Vector, memory: dict[str, Vector], number: int) -> Vector:
    memory["m"] = 0.9 * memory["m"] + 0.1 * gradient
    memory["s"] = 0.999 * memory["s"] + 0.001 * gradient**2
    mean = memory["m"] / (1 - 0.9**number)
    return mean / (np.sqrt(memory["s"] / (1 - 0.999**number)) + 1e-8)


def rmsprop(gradient: Vector, memory: dict[str, Vector], number: int) -> Vector:
    memory["s"] = 0.99 * memory["s"] + 0.01 * gradient**2
    return gradient / np.sqrt(memory["s"] + 1e-8)


def adagrad(gradient: Vector, memory: dict[str, Vector], number: int) -> Vector:
    memory["s"] = memory["s"] + gradient**2
    return gradient / np.sqrt(0.1 + memory["s"] + 1e-7)


@pytest.mark.parametrize(
    ("name", "formula"),
    [
        ("sgd", lambda gradient, memory, number: gradient),
        ("momentum", momentum),
        ("nesterov", nesterov),
        ("adam", adam),
        ("adamw", adam),
        ("rmsprop", rmsprop),
        ("adagrad", adagrad),
    ],
)
def test_an_optimizer_equals_its_formula(
    name: str, formula: Callable[[Vector, dict[str, Vector], int], Vector]
) -> None:
    np.testing.assert_allclose(
        followed(optimizer=name, momentum=0.8, weight_decay=0.0),
        by_formula(formula),
        rtol=2e-4,
        atol=1e-5,
    )


def test_adamw_decays_unless_told_otherwise() -> None:
    default = followed(optimizer="adamw")
    assert np.array_equal(default, followed(optimizer="adamw", weight_decay=0.01))
    assert not np.array_equal(default, followed(optimizer="adamw", weight_decay=0.0))
    assert np.array_equal(followed(optimizer="adam"), followed(optimizer="adam", weight_decay=0.0))


def test_momentum_of_0_is_plain_descent() -> None:
    np.testing.assert_allclose(
        followed(optimizer="momentum", momentum=0.0), followed(optimizer="sgd"), rtol=1e-6
    )


def test_weight_decay_of_sgd_is_the_gradient_of_a_penalty() -> None:
    weights = START.copy()
    for gradient in GRADIENTS:
        weights = weights - 0.1 * (gradient + 0.3 * weights)
    np.testing.assert_allclose(followed(optimizer="sgd", weight_decay=0.3), weights, rtol=1e-5)


def test_weight_decay_of_adamw_stands_apart_from_its_moments() -> None:
    weights = START.copy()
    memory = {name: np.zeros_like(START) for name in ("m", "s")}
    for number, gradient in enumerate(GRADIENTS, start=1):
        weights = weights - 0.1 * (adam(gradient, memory, number) + 0.3 * weights)
    np.testing.assert_allclose(
        followed(optimizer="adamw", weight_decay=0.3), weights, rtol=2e-4, atol=1e-5
    )


def test_clipping_shortens_long_gradients_and_leaves_short_ones() -> None:
    norms = np.sqrt(np.square(GRADIENTS).sum(axis=(1, 2)))
    limit = float(np.median(norms))
    clipped = GRADIENTS * np.minimum(1, limit / norms)[:, None, None]
    expected = START - 0.1 * clipped.sum(axis=0)
    np.testing.assert_allclose(followed(optimizer="sgd", clip=limit), expected, rtol=1e-4)
    # Whole numbers beyond 64 bits, which compiled programs do not take.
    never = followed(optimizer="sgd", clip=2**112)
    np.testing.assert_allclose(never, followed(optimizer="sgd"), rtol=1e-6)
    assert followed(optimizer="sgd", weight_decay=2**66).shape == START.shape


def test_biases_do_not_decay() -> None:
    params = {"kernel": np.ones((2, 2), np.float32), "bias": np.ones(2, np.float32)}
    assert is_weight(params) == {"kernel": True, "bias": False}
    nothing = jax.tree.map(np.zeros_like, params)
    for name in ("sgd", "momentum", "adam", "adamw"):
        rule = make_optimizer(Settings("y", optimizer=name, weight_decay=0.3))
        direction, _ = jax.jit(rule.update)(nothing, rule.init(params), params)
        assert not np.any(direction["bias"])
        assert np.all(np.asarray(direction["kernel"]) < 0)
