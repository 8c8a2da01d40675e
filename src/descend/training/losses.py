"""The loss of one row, and what the outputs of a network mean under it."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.types import Array


def _mean(outputs: Array) -> Array:
    return jnp.mean(outputs, axis=-2)


class Loss(NamedTuple):
    """A loss and its link.

    Attributes:
        per_example: `(outputs [B, k], y) -> [B]`.
        link: outputs `[B, k]` to predictions: means `[B, k]`, rates, probabilities, scores of the
            classes, or quantiles.
        pool: outputs of several members `[B, M, k]` to outputs `[B, k]` whose predictions are the
            mean of theirs.
    """

    per_example: Callable[[Array, Array], Array]
    link: Callable[[Array], Array]
    pool: Callable[[Array], Array] = _mean


def squared_error(outputs: Array, y: Array) -> Array:
    """½·Σ_k (output − y)²: its gradient by the output is the residual. `[B, k], [B, k] -> [B]`."""
    return 0.5 * jnp.sum(jnp.square(outputs - y), axis=-1)


def absolute_error(outputs: Array, y: Array) -> Array:
    """Σ_k |output − y|, least at the median. `[B, k], [B, k] -> [B]`."""
    return jnp.sum(jnp.abs(outputs - y), axis=-1)


def huber(outputs: Array, y: Array) -> Array:
    """½r² up to |r| = 1 (one deviation of the target), |r| − ½ beyond.

    Huber 1964, "Robust estimation of a location parameter". `[B, k], [B, k] -> [B]`.
    """
    return jnp.sum(optax.losses.huber_loss(outputs, y, delta=1.0), axis=-1)


def poisson(outputs: Array, y: Array) -> Array:
    """exp(output) − y·output: the output is the logarithm of a rate. `[B, k], [B, k] -> [B]`."""
    return jnp.sum(jnp.exp(outputs) - y * outputs, axis=-1)


def cross_entropy(outputs: Array, y: Array) -> Array:
    """−log of the probability given to the true class. `[B, k], [B] int -> [B]`.

    Two classes share one output, the log-odds of the second; more have one output each.
    """
    if outputs.shape[-1] == 1:
        logit = outputs[..., 0]
        return jax.nn.softplus(logit) - y * logit
    return optax.losses.softmax_cross_entropy_with_integer_labels(outputs, y)


def binary_cross_entropy(outputs: Array, y: Array) -> Array:
    """Σ_k −log of the probability given to the true answer to each of k yes-or-no questions.

    An output is the log-odds of a yes; y is 0 or 1, or the share of yes between them.
    `[B, k], [B, k] -> [B]`.
    """
    return jnp.sum(jax.nn.softplus(outputs) - y * outputs, axis=-1)


def hinge(outputs: Array, y: Array) -> Array:
    """Σ_c max(0, 1 − s_c·output_c), with s_c = 1 for the true class and −1 for the others.

    Two classes share one output, positive for the second; more have one output each, as many
    support vector machines of one class against the rest. `[B, k], [B] int -> [B]`.
    """
    count = outputs.shape[-1]
    true = y[..., None] == (jnp.arange(count) if count > 1 else 1)
    return jnp.sum(jnp.maximum(0.0, 1.0 - jnp.where(true, outputs, -outputs)), axis=-1)


@functools.lru_cache(maxsize=32)
def quantile_loss(levels: tuple[float, ...]) -> Loss:
    """The pinball loss of several quantiles at once, least where each output is its quantile.

    Σ_k Σ_τ max(τ·(y_k − output_kτ), (τ − 1)·(y_k − output_kτ))

    Koenker & Bassett 1978, "Regression quantiles", Econometrica 46(1). The link sorts the
    quantiles of a row, so that a higher one is never below a lower one (Chernozhukov,
    Fernández-Val & Galichon 2010, "Quantile and probability curves without crossing",
    Econometrica 78(3)).

    Args:
        levels: Q rising levels between 0 and 1; outputs are `[B, k·Q]`, the quantiles of the first
            target first.
    """
    wanted = jnp.asarray(levels, jnp.float32)

    def pinball(outputs: Array, y: Array) -> Array:
        apart = y[..., None] - outputs.reshape(*y.shape, len(levels))
        return jnp.sum(jnp.maximum(wanted * apart, (wanted - 1.0) * apart), axis=(-2, -1))

    def in_order(outputs: Array) -> Array:
        each = outputs.reshape(*outputs.shape[:-1], -1, len(levels))
        return jnp.sort(each, axis=-1).reshape(outputs.shape)

    return Loss(pinball, in_order)


def _identity(outputs: Array) -> Array:
    return outputs


def _scores(outputs: Array) -> Array:
    """A score for each class: the greatest is that of the predicted one."""
    return jnp.concatenate([-outputs, outputs], axis=-1) if outputs.shape[-1] == 1 else outputs


def _probabilities(outputs: Array) -> Array:
    if outputs.shape[-1] == 1:
        second = jax.nn.sigmoid(outputs)
        return jnp.concatenate([1.0 - second, second], axis=-1)
    return jax.nn.softmax(outputs, axis=-1)


def _log_mean(logs: Array) -> Array:
    """The logarithm of the members' mean, from their logarithms."""
    return jax.nn.logsumexp(logs, axis=-2) - math.log(logs.shape[-2])


def _pooled_classes(outputs: Array) -> Array:
    """Log-odds, or logarithms, of the members' mean probabilities."""
    if outputs.shape[-1] == 1:
        return _pooled_odds(outputs)
    return _log_mean(jax.nn.log_softmax(outputs, axis=-1))


def _pooled_odds(outputs: Array) -> Array:
    """Log-odds of the members' mean probabilities, each output by itself."""
    return _log_mean(jax.nn.log_sigmoid(outputs)) - _log_mean(jax.nn.log_sigmoid(-outputs))


LOSSES: dict[str, Loss] = {
    "squared_error": Loss(squared_error, _identity),
    "absolute_error": Loss(absolute_error, _identity),
    "huber": Loss(huber, _identity),
    "poisson": Loss(poisson, jnp.exp, _log_mean),
    "cross_entropy": Loss(cross_entropy, _probabilities, _pooled_classes),
    "hinge": Loss(hinge, _scores),
    "binary_cross_entropy": Loss(binary_cross_entropy, jax.nn.sigmoid, _pooled_odds),
}
"""Losses that need no more than their name; that of quantiles needs their levels."""


def make_loss(name: str, quantiles: tuple[float, ...] = ()) -> Loss:
    """The loss of a name.

    Args:
        name: as in `--loss`, but for `auto`.
        quantiles: the levels, for the loss `quantile`.
    """
    return quantile_loss(quantiles) if name == "quantile" else LOSSES[name]


@functools.lru_cache(maxsize=32)
def weigh_classes(loss: Loss, weights: tuple[float, ...]) -> Loss:
    """The loss of a row times the weight of its class.

    Args:
        loss: of one class out of several.
        weights: by class code, not negative.
    """
    by_code = np.asarray(weights, np.float32)

    def per_example(outputs: Array, y: Array) -> Array:
        return loss.per_example(outputs, y) * jnp.asarray(by_code)[y]

    return loss._replace(per_example=per_example)


def resolve_loss(loss: str, task: str) -> str:
    """The loss that `auto` stands for in a task."""
    if loss != "auto":
        return loss
    return "cross_entropy" if task == "classification" else "squared_error"
