"""Planes in the space of the weights."""

from __future__ import annotations

import dataclasses

import jax
import jax.flatten_util
import numpy as np
import pytest

from descend.tuning.advice.trials import TrialRunner, make_runner
from descend.tuning.landscape.plane import (
    Trajectory,
    flat,
    loss_plane,
    principal_axes,
    random_axes,
    record_trajectory,
)
from tests.problems import linear_problem, mlp_problem, numbers


@pytest.fixture(scope="module")
def runner() -> TrialRunner:
    return make_runner(linear_problem(numbers(120, columns=4), optimizer="sgd"))


def test_a_trajectory_is_the_trajectory_of_fit(runner: TrialRunner) -> None:
    trajectory = record_trajectory(runner, "all rows", 120, 0.1, [1, 2, 4])
    assert trajectory.updates == (0, 1, 2, 4)
    assert trajectory.losses[0] == runner.start_loss
    weights, unravel = jax.flatten_util.ravel_pytree(runner.snapshot.params)
    objective, store = runner.problem.objective, runner.problem.store
    batch = store.gather(np.arange(120))
    for _ in range(4):
        slope = jax.grad(lambda one: objective(unravel(one), batch))(weights)
        weights = weights - 0.1 * slope
    np.testing.assert_allclose(trajectory.snapshots[-1], weights, atol=1e-5)


def test_rates_rise_along_a_trajectory_as_in_the_runs_of_the_problem() -> None:
    plain = linear_problem(numbers(120, columns=4), optimizer="sgd")
    problem = dataclasses.replace(plain, rising=True)
    runner = make_runner(problem)
    stops = [1, 2, 20]
    trajectory = record_trajectory(runner, "rising", 8, 0.1, stops)
    trial = runner.start(8, 0.1)
    updates = np.arange(stops[-1])
    rates = 0.1 * np.minimum(1.0, (updates + 1) / problem.rise(problem.plan(8)))
    trial, _ = runner.advance(trial, rates.astype(np.float32))
    assert trial.state is not None
    np.testing.assert_allclose(trajectory.snapshots[-1], flat(trial.state.params), atol=1e-6)


def test_a_trajectory_that_explodes_ends(runner: TrialRunner) -> None:
    trajectory = record_trajectory(runner, "too far", 120, 1e4, [1, 2, 50])
    assert len(trajectory.updates) < 4
    assert np.isfinite(trajectory.losses).all()


def test_principal_axes_are_those_of_the_covariance(runner: TrialRunner) -> None:
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 5)) * [5.0, 3.0, 0.1, 0.1, 0.1]
    trajectory = Trajectory("", 1, 0.1, tuple(range(50)), points.astype(np.float32), (0.0,) * 50)
    axes = principal_axes([trajectory], np.zeros(5))
    _, vectors = np.linalg.eigh(points.T @ points)
    for axis, expected in zip(axes, (vectors[:, -1], vectors[:, -2]), strict=True):
        assert abs(axis @ expected) == pytest.approx(1.0, abs=1e-4)


def test_the_loss_on_the_plane_is_the_loss_of_the_weights(runner: TrialRunner) -> None:
    trajectories = [record_trajectory(runner, "", size, 0.1, [1, 4, 16]) for size in (8, 120)]
    centre = trajectories[0].snapshots[-1].astype(np.float64)
    plane = loss_plane(runner, trajectories, centre, principal_axes(trajectories, centre), points=5)
    _, unravel = jax.flatten_util.ravel_pytree(runner.snapshot.params)
    at = centre + plane.x[1] * plane.axes[0] + plane.y[3] * plane.axes[1]
    assert plane.losses[3, 1] == pytest.approx(runner.evaluate(unravel(at.astype(np.float32))))
    assert 0.5 < plane.explained <= 1.0 + 1e-9
    for trajectory in trajectories:
        seen = plane.points(trajectory)
        assert plane.x[0] <= seen[:, 0].min() <= seen[:, 0].max() <= plane.x[-1]
        assert plane.y[0] <= seen[:, 1].min() <= seen[:, 1].max() <= plane.y[-1]


def test_random_axes_are_as_long_as_the_weights_filter_by_filter() -> None:
    """Li et al. 2018: each filter of the first direction has the norm of that of the weights."""
    problem = mlp_problem(numbers(50), numbers(20))
    params = problem.begin().state.params
    axes = random_axes(params, seed=0)
    _, unravel = jax.flatten_util.ravel_pytree(params)
    direction = unravel(axes[0].astype(np.float32))
    for leaf, drawn in zip(jax.tree.leaves(params), jax.tree.leaves(direction), strict=True):
        if np.ndim(leaf) > 1:
            np.testing.assert_allclose(
                np.linalg.norm(drawn, axis=0), np.linalg.norm(leaf, axis=0), rtol=1e-4
            )
        else:
            assert not np.any(drawn)
    assert abs(axes[0] @ axes[1]) < 1e-6 * np.linalg.norm(axes[0]) * np.linalg.norm(axes[1])
    assert len(flat(params)) == axes.shape[1]
