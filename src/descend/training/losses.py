"""The loss of one row, and what the outputs of a network mean under it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from descend.types import Array


def _mean(outputs: Array) -> Array:
    return jnp.mean(outputs, axis=-2)


class Loss(NamedTuple):
    """A loss and its link.

    Attributes:
        per_example: `(outputs [B, k], y) -> [B]`.
        link: outputs `[B, k]` to predictions: means `[B, k]`, rates, or probabilities.
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


def _identity(outputs: Array) -> Array:
    return outputs


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
        return _log_mean(jax.nn.log_sigmoid(outputs)) - _log_mean(jax.nn.log_sigmoid(-outputs))
    return _log_mean(jax.nn.log_softmax(outputs, axis=-1))


LOSSES: dict[str, Loss] = {
    "squared_error": Loss(squared_error, _identity),
    "absolute_error": Loss(absolute_error, _identity),
    "huber": Loss(huber, _identity),
    "poisson": Loss(poisson, jnp.exp, _log_mean),
    "cross_entropy": Loss(cross_entropy, _probabilities, _pooled_classes),
}


def resolve_loss(loss: str, task: str) -> str:
    """The loss that `auto` stands for in a task."""
    if loss != "auto":
        return loss
    return "cross_entropy" if task == "classification" else "squared_error"
