"""Paths on a quadratic against their closed forms."""

from __future__ import annotations

import itertools

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


def along_axes(surface: Surface) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Curvatures, the directions they belong to, and the start in these directions."""
    curvature, directions = np.linalg.eigh(surface.hessian)
    return curvature, directions, np.array(surface.start) @ directions


@pytest.mark.parametrize("make", QUADRATICS)
def test_gradient_descent(make: type) -> None:
    """θ_t = (1 − ηh)^t θ_0 along each direction of the curvature."""
    surface = make()
    curvature, directions, start = along_axes(surface)
    path = walked(surface, "sgd", 0.3, 40)
    powers = (1.0 - 0.3 * curvature) ** np.arange(41)[:, None]
    np.testing.assert_allclose(path.points @ directions, powers * start, atol=2e-5)


@pytest.mark.parametrize("make", QUADRATICS)
def test_momentum(make: type) -> None:
    """(v, θ) goes through one 2×2 matrix at each update: its powers are the path."""
    surface = make()
    rate, keep = 0.1, 0.9
    path = walked(surface, "momentum", rate, 40)
    for axis, curvature, start in zip(
        along_axes(surface)[1].T, *along_axes(surface)[::2], strict=True
    ):
        # v ← m·v + h·θ,  θ ← θ − η·v
        matrix = np.array([[keep, curvature], [-rate * keep, 1.0 - rate * curvature]])
        begun = np.array([0.0, start])
        expected = [(np.linalg.matrix_power(matrix, n) @ begun)[1] for n in range(41)]
        np.testing.assert_allclose(path.points @ axis, expected, atol=3e-5)


@pytest.mark.parametrize("make", QUADRATICS)
def test_conjugate_gradient_ends_in_two_exact_steps(make: type) -> None:
    surface = make()
    path = classical_path(surface, "conjugate-gradient")
    start, hessian = np.array(surface.start), surface.hessian
    slope = hessian @ start
    first = start - (slope @ slope) / (slope @ hessian @ slope) * slope
    np.testing.assert_allclose(path.points[1], first, atol=1e-5)
    # In the round bowl the first step ends it.
    np.testing.assert_allclose(path.points[-1], 0.0, atol=1e-4)
    assert len(path.points) <= 3


def test_coordinate_descent_takes_stairs_where_the_valley_is_tilted() -> None:
    """Each step is along an axis; in the round bowl the first two end at the minimum."""
    path = classical_path(bowl(), "coordinate-descent")
    np.testing.assert_allclose(path.points[1], [0.0, bowl().start[1]], atol=5e-3)
    np.testing.assert_allclose(path.points[2], [0.0, 0.0], atol=2e-2)
    stairs = classical_path(valley(), "coordinate-descent")
    assert np.all(np.min(np.abs(np.diff(stairs.points, axis=0)), axis=1) == 0.0)
    assert np.linalg.norm(stairs.points[6]) > 0.1
    assert stairs.rows_read > len(valley().rows)


def test_steepest_descent_zigzags_at_right_angles() -> None:
    steps = np.diff(classical_path(valley(), "steepest-descent").points, axis=0)[:4]
    for one, other in itertools.pairwise(steps):
        assert abs(one @ other) < 1e-2 * np.linalg.norm(one) * np.linalg.norm(other)


@pytest.mark.parametrize("make", QUADRATICS)
def test_the_rate_of_gradient_descent_is_the_best_of_its_closed_form(make: type) -> None:
    """The loss at the end is Σ_k ½·h_k·(1 − ηh_k)^{2T}·θ_k² above that of the minimum."""
    surface = make()
    curvature, _, start = along_axes(surface)
    optimizer = make_optimizer(Settings("y", optimizer="sgd"))
    found = walk_rate(surface, optimizer, batch_size=len(surface.rows), updates=40)
    floor = float(full_loss(surface)(np.zeros(2, np.float32)))
    for rate, loss in zip(RATES, found.losses, strict=True):
        above = float(np.sum(0.5 * curvature * (1 - rate * curvature) ** 80 * start**2))
        if above < 1e6:
            assert loss == pytest.approx(floor + above, rel=1e-3)
    known = [np.inf if loss is None else loss for loss in found.losses]
    assert found.learning_rate == RATES[int(np.argmin(known))]


def test_gradient_descent_whose_loss_must_fall_does_not_bounce_between_minima() -> None:
    surface = many_minima()
    optimizer = make_optimizer(Settings("y", optimizer="sgd"))
    size = len(surface.rows)
    found = walk_rate(surface, optimizer, batch_size=size, updates=20, must_fall=True)
    # The ripples of the mean are exp(-½ · 4² · 0.25²) of those of a row: no curvature is above 5.4.
    assert found.learning_rate < 2 / (0.5 + 8 * np.exp(-0.5))
    assert found.losses[RATES.index(0.5)] is None
    path = descend_path(
        surface, "", optimizer, batch_size=size, learning_rate=found.learning_rate, updates=20
    )
    assert np.all(np.diff(path.losses) < 1e-4)


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
    _, directions, _ = along_axes(valley())
    across = walked(valley(), "sgd", 0.9, 8).points @ directions[:, 1]
    assert np.all(np.sign(across[1:]) == -np.sign(across[:-1]))
    assert np.all(walked(bowl(), "sgd", 0.9, 8).points[:, 0] < 0)


@pytest.mark.slow
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


@pytest.mark.slow
def test_annealing_finds_the_deep_minimum_where_descent_stays_in_a_shallow_one() -> None:
    for surface in (double_well(), many_minima()):
        found = classical_path(surface, "simulated-annealing")
        stuck = walked(surface, "sgd", 0.1, 100)
        assert min(found.losses) < stuck.losses[-1] - 0.05


def test_a_step_of_conjugate_gradient_reads_as_many_rows_as_one_of_steepest_descent() -> None:
    surface = valley()
    paths = [classical_path(surface, name) for name in ("conjugate-gradient", "steepest-descent")]
    assert [path.rows_read for path in paths] == [len(surface.rows)] * 2
