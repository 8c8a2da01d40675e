"""Paths of methods over a surface of two parameters, point by point."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax
import scipy  # Its parts are imported when they are used.

from descend.data.rows.order import epoch_rows
from descend.training.jax_setup import jit_program
from descend.training.objective import Objective, make_objective
from descend.training.step import make_step
from descend.tuning.landscape.surfaces import Surface
from descend.types import Array, Batch

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Path:
    """The points a method visited.

    Attributes:
        method: name of the method.
        points: `[updates + 1, 2]`, the start first.
        losses: loss over all rows at each point.
        rows_read: mean number of rows read per update.
    """

    method: str
    points: Floats
    losses: Floats
    rows_read: float


def surface_objective(surface: Surface) -> Objective:
    """The mean of the rows' losses as an objective for `make_step`."""
    per_row = jax.vmap(surface.loss, in_axes=(None, 0))
    return make_objective(lambda theta, x: per_row(theta, x["row"]), lambda losses, y: losses)


def full_loss(surface: Surface) -> Callable[[Array], Array]:
    """`theta [2] -> ` the loss over all rows."""
    rows = jnp.asarray(surface.rows)
    return lambda theta: jnp.mean(jax.vmap(surface.loss, in_axes=(None, 0))(theta, rows))


def batches_for(surface: Surface, batch_size: int, updates: int, seed: int) -> Batch:
    """The mini-batches of `updates` updates, epoch after epoch: `[updates, B, m]`."""
    count = len(surface.rows)
    per_epoch = count // batch_size
    numbers = [
        epoch_rows(seed, epoch, 0, per_epoch * batch_size, count)
        for epoch in range(-(-updates // per_epoch))
    ]
    order = np.concatenate(numbers)[: updates * batch_size].reshape(updates, batch_size)
    ones = np.ones(order.shape, np.float32)
    return Batch({"row": surface.rows[order]}, ones, ones)


def descend_path(
    surface: Surface,
    method: str,
    optimizer: optax.GradientTransformation,
    *,
    batch_size: int,
    learning_rate: float,
    updates: int,
    seed: int = 0,
    start: Sequence[float] | None = None,
) -> Path:
    """The path of an update rule, by the same step that trains models.

    Args:
        surface: the surface.
        method: name to show.
        optimizer: an Optax transformation made with learning rate 1.
        batch_size: rows per update.
        learning_rate: constant.
        updates: number of updates.
        seed: of the order of rows.
        start: first point; None: that of the surface.
    """
    step = make_step(surface_objective(surface), optimizer)
    theta = jnp.asarray(surface.start if start is None else start, jnp.float32)

    @jit_program
    def run(theta: Array, batches: Batch) -> Array:
        def one(carry: tuple[Array, optax.OptState], batch: Batch) -> tuple[Any, Array]:
            carry, _ = step(carry, batch, jnp.float32(learning_rate))
            return carry, carry[0]

        return jax.lax.scan(one, (theta, optimizer.init(theta)), batches)[1]

    points = np.asarray(run(theta, batches_for(surface, batch_size, updates, seed)))
    return _path(surface, method, [np.asarray(theta), *points], batch_size)


def classical_path(surface: Surface, method: str) -> Path:
    """The path of a classical method on all rows.

    Args:
        surface: the surface.
        method: `steepest-descent` (an exact line search along the gradient),
            `coordinate-descent` (an exact line search along each axis in turn),
            `conjugate-gradient` (SciPy's, Nocedal & Wright 2006, section 5.2) or
            `simulated-annealing` (SciPy's dual annealing, the points it accepted).
    """
    loss = jit_program(full_loss(surface))
    gradient = jit_program(jax.grad(full_loss(surface)))
    read = 0

    def value(theta: Floats) -> float:
        nonlocal read
        read += 1
        return float(loss(jnp.asarray(theta, jnp.float32)))

    def slope(theta: Floats) -> Floats:
        nonlocal read
        read += 1
        return np.asarray(gradient(jnp.asarray(theta, jnp.float32)), dtype=np.float64)

    start = np.asarray(surface.start, dtype=np.float64)
    points = _CLASSICAL[method](value, slope, start, surface)
    # Line searches and rejected points read every row too.
    per_update = read * len(surface.rows) / max(1, len(points) - 1)
    return _path(surface, method, points, per_update)


Value = Callable[[Floats], float]
Gradient = Callable[[Floats], Floats]


def _coordinate_descent(
    value: Value, gradient: Gradient, start: Floats, surface: Surface
) -> list[Floats]:
    points = [start]
    for turn in range(20):
        axis = np.eye(2)[turn % 2]
        at = points[-1]
        along = functools.partial(_value_along, value, at, axis)
        best = scipy.optimize.minimize_scalar(along, bracket=(0.0, 0.1))
        points.append(at + best.x * axis)
    return points


def _value_along(value: Value, at: Floats, axis: Floats, length: float) -> float:
    return value(at + length * axis)


def _steepest_descent(
    value: Value, gradient: Gradient, start: Floats, surface: Surface
) -> list[Floats]:
    points = [start]
    for _ in range(20):
        at, slope = points[-1], gradient(points[-1])
        if surface.hessian is not None:
            curved = float(slope @ surface.hessian @ slope)
            length = float(slope @ slope) / curved if curved > 0 else 0.0
        else:
            along = functools.partial(_value_along, value, at, -slope)
            length = float(scipy.optimize.minimize_scalar(along, bracket=(0.0, 0.1)).x)
        points.append(at - length * slope)
    return points


def _conjugate_gradient(
    value: Value, gradient: Gradient, start: Floats, surface: Surface
) -> list[Floats]:
    if surface.hessian is not None:
        return _linear_conjugate_gradient(gradient, start, surface.hessian)
    points = [start]
    scipy.optimize.minimize(
        value, start, jac=gradient, method="CG", callback=lambda at: points.append(np.array(at))
    )
    return points


def _linear_conjugate_gradient(gradient: Gradient, start: Floats, hessian: Floats) -> list[Floats]:
    """Conjugate gradient on a quadratic: two exact steps (Hestenes & Stiefel 1952)."""
    points, direction, before = [start], np.zeros_like(start), math.inf
    for _ in range(2):
        residual = -gradient(points[-1])  # Reads all rows, as a step of steepest descent does.
        square = float(residual @ residual)
        if not square:
            break
        direction = residual + square / before * direction
        length = (residual @ direction) / (direction @ hessian @ direction)
        points.append(points[-1] + length * direction)
        before = square
    return points


def _simulated_annealing(
    value: Value, gradient: Gradient, start: Floats, surface: Surface
) -> list[Floats]:
    points = [start]
    scipy.optimize.dual_annealing(
        value,
        bounds=list(surface.window),
        x0=start,
        seed=0,
        maxiter=50,
        no_local_search=True,
        callback=lambda at, _value, _context: points.append(np.array(at)),
    )
    return points


_CLASSICAL: dict[str, Callable[[Value, Gradient, Floats, Surface], list[Floats]]] = {
    "steepest-descent": _steepest_descent,
    "coordinate-descent": _coordinate_descent,
    "conjugate-gradient": _conjugate_gradient,
    "simulated-annealing": _simulated_annealing,
}


def _path(surface: Surface, method: str, points: Sequence[Floats], rows_read: float) -> Path:
    stacked = np.asarray(points, dtype=np.float64)
    losses = jit_program(jax.vmap(full_loss(surface)))(jnp.asarray(stacked, jnp.float32))
    return Path(method, stacked, np.asarray(losses, dtype=np.float64), rows_read)
