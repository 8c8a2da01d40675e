"""Tune the learning rate of a path over a surface, by the same rule for every method."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.training.jax_setup import jit_program
from descend.training.step import make_step
from descend.tuning.landscape.paths import batches_for, full_loss, surface_objective
from descend.tuning.landscape.surfaces import Surface
from descend.types import Array, Batch

RATES = tuple(2.0**power for power in range(-16, 4))
"""Rates to try, in factors of two; no method's best rate is at the ends."""
SEEDS = 8
"""Number of row orders that the loss of a rate is averaged over, for mini-batches."""
JITTER = 0.1
"""Deviation of the starts, where the surface has several minima."""
ROUNDING = 1e-5
"""A loss that rises by less has not risen."""


class WalkRate(NamedTuple):
    """A learning rate and the losses it was chosen by.

    Attributes:
        learning_rate: the one of `RATES` with the lowest loss.
        losses: for each of `RATES`, the loss over all rows at the end of the path, averaged over
            the row orders; None where a path diverged.
    """

    learning_rate: float
    losses: tuple[float | None, ...]


def walk_rate(
    surface: Surface,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    updates: int,
    must_fall: bool = False,
) -> WalkRate:
    """The rate of `RATES` with the lowest loss at the end of a path.

    The loss at the end counts: a rate that never settles is no good rate, however soon it gets
    down.

    Args:
        surface: the surface.
        optimizer: an Optax transformation made with learning rate 1.
        batch_size: rows per update.
        updates: number of updates, the same for every rate.
        must_fall: whether the loss may not rise in any update. Gradient descent on all rows at a
            rate at which it rises bounces between slopes, and where it ends is luck.
    """
    # Without noise and on a quadratic one path says all. Elsewhere a path from one start may end
    # low by luck: others begin a little beside it.
    seeds = 1 if batch_size == len(surface.rows) and surface.hessian is not None else SEEDS
    orders = [batches_for(surface, batch_size, updates, seed + 1) for seed in range(seeds)]
    found = _mean_losses(surface, optimizer, orders, must_fall)
    best = int(np.argmin(np.where(np.isfinite(found), found, np.inf)))
    return WalkRate(
        RATES[best], tuple(float(loss) if np.isfinite(loss) else None for loss in found)
    )


def _mean_losses(
    surface: Surface,
    optimizer: optax.GradientTransformation,
    orders: list[Batch],
    must_fall: bool,
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The loss at the end of each rate, averaged over all row orders.

    Infinite for a rate at which it rose on the way, if it must fall.
    """
    step = make_step(surface_objective(surface), optimizer)
    loss = full_loss(surface)
    random = np.random.default_rng(0)
    starts = np.asarray(surface.start) + random.normal(0.0, JITTER, (len(orders), 2))
    if surface.hessian is not None:
        starts[:] = surface.start

    def path_loss(rate: Array, batches: Batch, start: Array) -> Array:
        def one(carry: tuple[Array, optax.OptState], batch: Batch) -> tuple[Any, Array | None]:
            carry, _ = step(carry, batch, rate)
            return carry, loss(carry[0]) if must_fall else None

        (end, _), losses = jax.lax.scan(one, (start, optimizer.init(start)), batches)
        if losses is None:
            return loss(end)
        before = jnp.concatenate([loss(start)[None], losses[:-1]])
        rises = jnp.any(losses > before + ROUNDING * (1.0 + jnp.abs(before)))
        return jnp.where(rises, jnp.inf, losses[-1])

    losses_of_rates = jit_program(jax.vmap(path_loss, in_axes=(0, None, None)))
    rates = jnp.asarray(RATES, jnp.float32)
    sums = functools.reduce(
        np.add,
        (
            np.asarray(losses_of_rates(rates, batches, jnp.asarray(start, jnp.float32)))
            for batches, start in zip(orders, starts, strict=True)
        ),
    )
    return np.asarray(sums, np.float64) / len(orders)
