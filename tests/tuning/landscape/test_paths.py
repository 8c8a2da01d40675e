"""Paths on a quadratic against their closed forms."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from descend.settings import Settings
from descend.training.optimizers import make_optimizer
from descend.tuning.landscape.paths import Path, classical_path, descend_path, full_loss
from descend.tuning.landscape.rates import RATES, walk_rate
from descend.tuning.landscape.surfaces import (
    SURFACES,
    Surface,
    bowl,
    double_well,
    many_minima,
    valley,
)

QUADRATICS = [bowl, valley]


def walked(surface: Surface, rule: str, rate: float, updates: int, **options: int) -> Path:
    optimizer = make_optimizer(Settings("y", optimizer=rule))
    given = {"batch_size": len(surface.rows), **options}
    return descend_path(surface, rule, optimizer, learning_rate=rate, updates=updates, **given)


@pytest.mark.parametrize("make", QUADRATICS)
def test_gradient_descent(make: type) -> None:
    """θ_t = (1 − ηh)^t θ_0 along each axis."""
    surface = make()
    curvature = np.diag(surface.hessian)
    path = walked(surface, "sgd", 0.3, 40)
    powers = (1.0 - 0.3 * curvature) ** np.arange(41)[:, None]
    np.testing.assert_allclose(path.points, powers * surface.start, atol=2e-5)


@pytest.mark.parametrize("make", QUADRATICS)
def test_momentum(make: type) -> None:
    """(v, θ) goes through one 2×2 matrix at each update: its powers are the path."""
    surface = make()
    rate, keep = 0.1, 0.9
    path = walked(surface, "momentum", rate, 40)
    for axis, curvature in enumerate(np.diag(surface.hessian)):
        # v ← m·v + h·θ,  θ ← θ − η·v
        matrix = np.array([[keep, curvature], [-rate * keep, 1.0 - rate * curvature]])
        begun = np.array([0.0, surface.start[axis]])
        expected = [(np.linalg.matrix_power(matrix, n) @ begun)[1] for n in range(41)]
        np.testing.assert_allclose(path.points[:, axis], expected, atol=3e-5)


@pytest.mark.parametrize("make", QUADRATICS)
def test_conjugate_gradient_ends_in_two_exact_steps(make: type) -> None:
    surface = make()
    path = classical_path(surface, "conjugate-gradient")
    start, hessian = np.array(surface.start), surface.hessian
    slope = hessian @ start
    first = start - (slope @ slope) / (slope @ hessian @ slope) * slope
    assert len(path.points) == 3
    np.testing.assert_allclose(path.points[1], first, atol=1e-5)
    np.testing.assert_allclose(path.points[2], 0.0, atol=1e-4)


@pytest.mark.parametrize("make", QUADRATICS)
def test_coordinate_descent_walks_along_the_axes(make: type) -> None:
    """On an axis-parallel quadratic one turn of each coordinate ends at the minimum."""
    surface = make()
    path = classical_path(surface, "coordinate-descent")
    np.testing.assert_allclose(path.points[1], [0.0, surface.start[1]], atol=5e-3)
    np.testing.assert_allclose(path.points[2], [0.0, 0.0], atol=2e-2)
    steps = np.diff(path.points, axis=0)
    assert np.all(np.min(np.abs(steps), axis=1) == 0.0)


@pytest.mark.parametrize("make", QUADRATICS)
def test_the_rate_of_gradient_descent_is_the_best_of_its_closed_form(make: type) -> None:
    """The loss along the path is Σ_k ½·h_k·(1 − ηh_k)^{2t}·θ_k² above that of the minimum."""
    surface = make()
    curvature, start = np.diag(surface.hessian), np.array(surface.start)
    steps = np.arange(1, 41)[:, None]
    optimizer = make_optimizer(Settings("y", optimizer="sgd"))
    found = walk_rate(surface, optimizer, batch_size=len(surface.rows), updates=40)
    floor = float(full_loss(surface)(np.zeros(2, np.float32)))
    for rate, loss in zip(RATES, found.losses, strict=True):
        along = 0.5 * curvature * (1 - rate * curvature) ** (2 * steps) * start**2
        expected = floor + along.sum(axis=1).mean()
        if expected < 1e6:
            assert loss == pytest.approx(expected, rel=1e-3)
    known = [np.inf if loss is None else loss for loss in found.losses]
    assert found.learning_rate == RATES[int(np.argmin(known))]


def test_a_noisier_gradient_gets_a_lower_rate() -> None:
    optimizer = make_optimizer(Settings("y", optimizer="sgd"))
    rates = [
        walk_rate(valley(), optimizer, batch_size=size, updates=50).learning_rate
        for size in (1, 32, 512)
    ]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]


def test_gradient_descent_zigzags_only_in_the_valley() -> None:
    """Across the valley the sign turns at every update; in the bowl it never does."""
    across = walked(valley(), "sgd", 0.38, 10).points[:, 0]
    assert np.all(np.sign(across[1:]) == -np.sign(across[:-1]))
    assert np.all(walked(bowl(), "sgd", 0.38, 10).points[:, 0] < 0)


def test_mini_batches_scatter_round_gradient_descent_with_variance_one_over_b() -> None:
    surface = bowl()
    exact = walked(surface, "sgd", 0.2, 5).points
    spread = {}
    for size in (4, 64):
        ends = [walked(surface, "sgd", 0.2, 5, batch_size=size, seed=n).points for n in range(60)]
        spread[size] = np.mean(np.sum((np.array(ends)[:, 1] - exact[1]) ** 2, axis=-1))
    rows = len(surface.rows)
    law = (rows - 4) / 4 / ((rows - 64) / 64)
    assert spread[4] / spread[64] == pytest.approx(law, rel=0.35)


@pytest.mark.parametrize("name", SURFACES)
def test_the_minimum_is_where_it_is_said_to_be(name: str) -> None:
    surface = SURFACES[name]()
    loss = jax.jit(full_loss(surface))
    gradient = jax.grad(full_loss(surface))(np.array(surface.minimum, np.float32))
    np.testing.assert_allclose(gradient, 0.0, atol=0.06)
    assert loss(np.array(surface.minimum, np.float32)) < loss(np.array(surface.start, np.float32))


def test_annealing_finds_the_deep_minimum_where_descent_stays_in_a_shallow_one() -> None:
    for surface in (double_well(), many_minima()):
        found = classical_path(surface, "simulated-annealing")
        stuck = walked(surface, "sgd", 0.1, 100)
        assert min(found.losses) < stuck.losses[-1] - 0.05
