"""Loss surfaces of two parameters, each a mean over rows, so that mini-batches make sense.

Each is the smallest example of a situation in training: a bowl, a long valley, two wells with a
pass between them, many shallow minima around a deep one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.types import Array

Floats = npt.NDArray[np.float64]


TILT = np.array([[-0.5, np.sqrt(0.75)], [np.sqrt(0.75), 0.5]])
"""Columns: the steep direction across the tilted valley, and the flat one along it."""


@dataclass(frozen=True)
class Surface:
    """A loss over two parameters.

    Attributes:
        name: as typed on the command line.
        title: a sentence on what it shows.
        rows: float32 `[N, m]`, the data of each row.
        loss: `(theta [2], row [m]) -> loss` of one row.
        start: first point of the paths.
        window: (low, high) of each parameter in the plot.
        minimum: the global minimum.
        hessian: for quadratic surfaces, else None.
    """

    name: str
    title: str
    rows: npt.NDArray[np.float32]
    loss: Callable[[Array, Array], Array]
    start: tuple[float, float]
    window: tuple[tuple[float, float], tuple[float, float]]
    minimum: tuple[float, float]
    hessian: Floats | None = None


def bowl(rows: int = 512, seed: int = 0) -> Surface:
    """½ |θ − c|², a centre c for each row with mean 0: the same curvature in every direction."""
    return _quadratic(
        "bowl",
        "A round bowl: the gradient points at the bottom. Momentum swings past it, and at a high "
        "learning rate the noise of small batches keeps them from settling.",
        np.eye(2),
        (-2.0, 1.5),
        rows,
        seed,
    )


def valley(rows: int = 512, seed: int = 0) -> Surface:
    """½ (θ − c)ᵀ H (θ − c) with condition number 10, tilted by 30 degrees.

    Steep across, nearly flat along. Since it is tilted, neither axis points along the valley:
    coordinate descent goes down in stairs.
    """
    return _quadratic(
        "valley",
        "A tilted valley: steepest descent zig-zags, coordinate descent takes stairs, conjugate "
        "gradient ends in two steps.",
        TILT @ np.diag([2.0, 0.2]) @ TILT.T,
        (1.76, 1.36),
        rows,
        seed,
    )


def double_well(rows: int = 1024, seed: int = 0, noise: float = 4.0) -> Surface:
    """¼(θ_0² − 1)² − θ_0/20 + ½θ_1² + noise·ξ·θ, with ξ of mean 0 for each row.

    The wells are near θ_0 = −1 and +1; the right one is deeper. The gradient noise does not depend
    on θ, as in the theory of escape (Kramers 1940).
    """
    pushes = _centred_normals(rows, seed, noise)

    def loss(theta: Array, row: Array) -> Array:
        well = 0.25 * (theta[0] ** 2 - 1.0) ** 2 - 0.05 * theta[0] + 0.5 * theta[1] ** 2
        return well + jnp.dot(row, theta)

    return Surface(
        "double-well",
        "Two wells: whether a path leaves the shallow one depends on learning rate over batch.",
        pushes,
        loss,
        (-1.0, 0.5),
        ((-1.8, 1.8), (-1.2, 1.2)),
        (1.0245, 0.0),
    )


def many_minima(rows: int = 1024, seed: int = 0) -> Surface:
    """¼|θ − c|² − ½ Σ_k cos(4(θ_k − c_k)), a centre c for each row with mean 0.

    Averaged over rows the ripples shrink but remain: many shallow minima around a deep one.
    """
    centres = _centred_normals(rows, seed, 0.25)

    def loss(theta: Array, row: Array) -> Array:
        apart = theta - row
        return 0.25 * jnp.sum(apart**2) - 0.5 * jnp.sum(jnp.cos(4.0 * apart))

    return Surface(
        "many-minima",
        "Many shallow minima: noise or momentum decides in which of them a path ends.",
        centres,
        loss,
        (-2.9, 2.9),
        ((-3.6, 3.6), (-3.6, 3.6)),
        (0.0, 0.0),
    )


SURFACES: dict[str, Callable[..., Surface]] = {
    "bowl": bowl,
    "valley": valley,
    "double-well": double_well,
    "many-minima": many_minima,
}


def _quadratic(
    name: str, title: str, hessian: Floats, start: tuple[float, float], rows: int, seed: int
) -> Surface:
    centres = _centred_normals(rows, seed, 0.5)
    curvature = hessian.astype(np.float32)

    def loss(theta: Array, row: Array) -> Array:
        apart = theta - row
        return 0.5 * jnp.dot(apart, jnp.dot(curvature, apart))

    window = ((-2.5, 2.5), (-2.0, 2.0))
    return Surface(name, title, centres, loss, start, window, (0.0, 0.0), hessian)


def _centred_normals(rows: int, seed: int, spread: float) -> npt.NDArray[np.float32]:
    """`[rows, 2]` normal random numbers, shifted so that their mean is exactly 0."""
    values = np.random.default_rng(seed).normal(0.0, spread, (rows, 2))
    centred: npt.NDArray[np.float32] = (values - values.mean(axis=0)).astype(np.float32)
    return centred
