"""How often, and after how long, a noisy path leaves a shallow minimum: many runs at once."""

from __future__ import annotations

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.tuning.surfaces import Surface
from descend.types import Array

Carry = tuple[Array, Array]


@dataclass(frozen=True)
class Escape:
    """What many runs from the shallow minimum did.

    Attributes:
        batch_size: rows per update, drawn with replacement.
        learning_rate: constant.
        runs: how many.
        left: part of the runs that left the basin within the updates.
        time: mean time to leave in learning rate × updates; None unless over nine tenths left.
    """

    batch_size: int
    learning_rate: float
    runs: int
    left: float
    time: float | None


def escapes(
    surface: Surface,
    batch_size: int,
    learning_rate: float,
    *,
    runs: int = 256,
    updates: int = 20_000,
    seed: int = 0,
    border: float = 0.0,
) -> Escape:
    """Run plain SGD many times from the shallow side of a double well.

    A run has left when θ_0 passes `border`. The rows of a batch are drawn with replacement, so
    that the noise has variance Σ/B exactly; runs are vectorised and share nothing.

    Args:
        surface: `double-well`, or another whose shallow basin lies at θ_0 < border.
        batch_size: rows per update.
        learning_rate: constant.
        runs: how many at once.
        updates: most updates.
        seed: of the draws.
        border: the pass between the basins.
    """
    rows = jnp.asarray(surface.rows)
    losses = jax.vmap(surface.loss, (None, 0))
    gradient = jax.grad(lambda theta, batch: jnp.mean(losses(theta, batch)))

    @jax.jit
    def all_runs(key: Array) -> Array:
        def one_update(carry: Carry, number: Array) -> tuple[Carry, None]:
            theta, left_at = carry
            draws = jax.random.randint(
                jax.random.fold_in(key, number), (runs, batch_size), 0, len(rows)
            )
            theta = theta - learning_rate * jax.vmap(gradient)(theta, rows[draws])
            first = (theta[:, 0] > border) & (left_at < 0)
            return (theta, jnp.where(first, number, left_at)), None

        start = jnp.tile(jnp.asarray(surface.start, jnp.float32), (runs, 1))
        begun = (start, jnp.full((runs,), -1, jnp.int32))
        return jax.lax.scan(one_update, begun, jnp.arange(1, updates + 1))[0][1]

    return _summary(np.asarray(all_runs(jax.random.key(seed))), batch_size, learning_rate)


def _summary(left_at: npt.NDArray[np.int32], batch_size: int, learning_rate: float) -> Escape:
    left = left_at > 0
    share = float(left.mean())
    time = float(left_at[left].mean() * learning_rate) if share > 0.9 else None
    return Escape(batch_size, learning_rate, len(left_at), share, time)
