"""Escape of noisy paths from a shallow minimum: how often, and after how long; many runs at once.

With gradient noise of variance Σ/B a path moves like a particle at temperature ∝ η/B, so the
logarithm of the escape time, measured in η·updates, is linear in B/η (Kramers 1940; for SGD see
Jastrzębski et al. 2017, arXiv 1711.04623).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from descend.training.jax_setup import jit_program
from descend.tuning.landscape.surfaces import Surface
from descend.types import Array

Carry = tuple[Array, Any, Array]

PLAIN = optax.sgd(1.0)
MIN_ESCAPED = 0.2
"""An escape time is given if at least this fraction of the runs escaped."""


@dataclass(frozen=True)
class Escape:
    """Result of many runs from the shallow minimum.

    Attributes:
        batch_size: rows per update, drawn with replacement.
        learning_rate: constant.
        rule: the update rule.
        runs: number of runs.
        left: fraction of the runs that left the basin within the updates.
        time: mean escape time in learning rate × updates: the total time in the basin divided by
            the number of runs that left it. None if too few did.
    """

    batch_size: int
    learning_rate: float
    rule: str
    runs: int
    left: float
    time: float | None


@dataclass(frozen=True)
class EscapeLaw:
    """log(escape time) = intercept + slope · B/η.

    Attributes:
        slope: of the line through all points.
        intercept: of that line.
        explained: R² of that line.
        apart: the largest ratio of the times of two learning rates at one B/η.
    """

    slope: float
    intercept: float
    explained: float
    apart: float


def escapes(
    surface: Surface,
    batch_size: int,
    learning_rate: float,
    *,
    rule: str = "SGD",
    optimizer: optax.GradientTransformation | None = None,
    runs: int = 256,
    updates: int = 20_000,
    seed: int = 0,
    border: float = 0.0,
) -> Escape:
    """Run a method many times from the shallow side of a double well.

    A run escapes when θ_0 passes `border`. The rows of a batch are drawn with replacement, so that
    the noise has variance exactly Σ/B. The runs are vectorised and independent.

    Args:
        surface: `double-well`, or another whose shallow basin lies at θ_0 < border.
        batch_size: rows per update.
        learning_rate: constant.
        rule: name of the update rule.
        optimizer: an Optax transformation made with learning rate 1; None is plain SGD.
        runs: number of runs.
        updates: maximum number of updates.
        seed: of the draws.
        border: position of the pass between the basins.
    """
    left_at = _compiled()(
        surface.loss,
        optimizer or PLAIN,
        batch_size,
        runs,
        jnp.asarray(surface.rows),
        jnp.asarray(surface.start, jnp.float32),
        jnp.float32(learning_rate),
        jnp.int32(updates),
        jnp.float32(border),
        jax.random.key(seed),
    )
    return _summary(np.asarray(left_at), batch_size, learning_rate, rule, updates)


@functools.cache
def _compiled() -> Callable[..., Array]:
    """`_updates_to_escape`, compiled for each loss, optimizer, batch size and number of runs."""
    return jit_program(_updates_to_escape, static_argnums=(0, 1, 2, 3))


def _updates_to_escape(
    loss: Callable[[Array, Array], Array],
    optimizer: optax.GradientTransformation,
    batch_size: int,
    runs: int,
    rows: Array,
    start: Array,
    learning_rate: Array,
    updates: Array,
    border: Array,
    key: Array,
) -> Array:
    """The update at which each run first passed the border; −1 if it never did."""
    losses = jax.vmap(loss, (None, 0))
    gradient = jax.vmap(jax.grad(lambda theta, batch: jnp.mean(losses(theta, batch))))

    def one_update(number: Array, carry: Carry) -> Carry:
        theta, memory, left_at = carry
        draws = jax.random.randint(
            jax.random.fold_in(key, number), (runs, batch_size), 0, len(rows)
        )
        change, memory = jax.vmap(optimizer.update)(gradient(theta, rows[draws]), memory, theta)
        theta = theta + learning_rate * change
        first = (theta[:, 0] > border) & (left_at < 0)
        return theta, memory, jnp.where(first, number, left_at)

    theta = jnp.tile(start, (runs, 1))
    carry = (theta, jax.vmap(optimizer.init)(theta), jnp.full((runs,), -1, jnp.int32))
    return jax.lax.fori_loop(1, updates + 1, one_update, carry)[2]


def escape_law(found: Sequence[Escape]) -> EscapeLaw | None:
    """Fit a line to log(time) over B/η; None for fewer than three points."""
    known = [(one.batch_size / one.learning_rate, one.time) for one in found if one.time]
    if len(known) < 3:
        return None
    ratios = np.array([ratio for ratio, _ in known])
    logs = np.log([time for _, time in known])
    slope, intercept = np.polyfit(ratios, logs, 1)
    rest = logs - (slope * ratios + intercept)
    explained = 1.0 - float(rest @ rest) / float(np.sum((logs - logs.mean()) ** 2))
    apart = max(
        float(np.ptp(logs[np.isclose(ratios, ratio, rtol=1e-3)])) for ratio in np.unique(ratios)
    )
    return EscapeLaw(float(slope), float(intercept), explained, float(np.exp(apart)))


def _summary(
    left_at: npt.NDArray[np.int32],
    batch_size: int,
    learning_rate: float,
    rule: str,
    updates: int,
) -> Escape:
    left = left_at > 0
    share = float(left.mean())
    spent = float(np.sum(np.where(left, left_at, updates)))
    time = spent / int(left.sum()) * learning_rate if share >= MIN_ESCAPED else None
    return Escape(batch_size, learning_rate, rule, len(left_at), share, time)
