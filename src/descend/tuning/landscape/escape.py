"""How often, and after how long, a noisy path leaves a shallow minimum: many runs at once.

With gradient noise of variance Σ/B the path moves like a particle at temperature ∝ η/B, so that the
logarithm of the time to leave, counted in η·updates, is linear in B/η (Kramers 1940; for SGD see
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

from descend.tuning.landscape.surfaces import Surface
from descend.types import Array

Carry = tuple[Array, Any, Array]

PLAIN = optax.sgd(1.0)
FEWEST_LEFT = 0.2
"""The time to leave is told where at least this part of the runs left."""


@dataclass(frozen=True)
class Escape:
    """What many runs from the shallow minimum did.

    Attributes:
        batch_size: rows per update, drawn with replacement.
        learning_rate: constant.
        rule: the update rule.
        runs: how many.
        left: part of the runs that left the basin within the updates.
        time: mean time to leave in learning rate × updates: the time that all runs together
            spent in the basin, for each that left. None where too few left to tell.
    """

    batch_size: int
    learning_rate: float
    rule: str
    runs: int
    left: float
    time: float | None


@dataclass(frozen=True)
class EscapeLaw:
    """log(time to leave) = intercept + slope · B/η.

    Attributes:
        slope: of the line through all points.
        intercept: of that line.
        explained: R² of that line.
        apart: the largest factor between the times of two learning rates at one B/η.
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

    A run has left when θ_0 passes `border`. The rows of a batch are drawn with replacement, so
    that the noise has variance Σ/B exactly; runs are vectorised and share nothing.

    Args:
        surface: `double-well`, or another whose shallow basin lies at θ_0 < border.
        batch_size: rows per update.
        learning_rate: constant.
        rule: name of the update rule.
        optimizer: an Optax transformation made with learning rate 1; None is plain SGD.
        runs: how many at once.
        updates: most updates.
        seed: of the draws.
        border: the pass between the basins.
    """
    left_at = _left_at(
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


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _left_at(
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
    """The update after which each run was beyond the border; −1 where it never was."""
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
    begun = (theta, jax.vmap(optimizer.init)(theta), jnp.full((runs,), -1, jnp.int32))
    return jax.lax.fori_loop(1, updates + 1, one_update, begun)[2]


def escape_law(found: Sequence[Escape]) -> EscapeLaw | None:
    """The line through log(time) over B/η; None from fewer than three points."""
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
    time = spent / int(left.sum()) * learning_rate if share >= FEWEST_LEFT else None
    return Escape(batch_size, learning_rate, rule, len(left_at), share, time)
