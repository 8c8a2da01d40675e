"""Planes in the space of the weights."""

from __future__ import annotations

import dataclasses

import jax
import jax.flatten_util
import numpy as np
import pytest

from descend.tuning.advice.trials import TrialRunner, make_runner
from descend.tuning.landscape import plane
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


@pytest.mark.slow
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
    found = loss_plane(runner, trajectories, centre, principal_axes(trajectories, centre), points=5)
    _, unravel = jax.flatten_util.ravel_pytree(runner.snapshot.params)
    at = centre + found.x[1] * found.axes[0] + found.y[3] * found.axes[1]
    assert found.losses[3, 1] == pytest.approx(runner.evaluate(unravel(at.astype(np.float32))))
    assert 0.5 < found.explained <= 1.0 + 1e-9
    for trajectory in trajectories:
        seen = found.points(trajectory)
        assert found.x[0] <= seen[:, 0].min() <= seen[:, 0].max() <= found.x[-1]
        assert found.y[0] <= seen[:, 1].min() <= seen[:, 1].max() <= found.y[-1]


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


def drawn(snapshots: int, weights: int, seed: int) -> Trajectory:
    random = np.random.default_rng(seed)
    walk = random.normal(size=(snapshots, 3)) @ random.normal(size=(3, weights))
    walk += 0.01 * random.normal(size=walk.shape)
    found = walk.astype(np.float32)
    return Trajectory("drawn", 8, 0.1, tuple(range(snapshots)), found, (1.0,) * snapshots)


def test_axes_of_many_weights_are_found_in_blocks_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    trajectories = [drawn(6, 1000, 1), drawn(5, 1000, 2)]
    centre = trajectories[0].snapshots[-1].astype(np.float64)
    apart = np.concatenate([one.snapshots for one in trajectories]).astype(np.float64) - centre
    expected = np.linalg.svd(apart, full_matrices=False)[2][:2]
    monkeypatch.setattr(plane, "BLOCK_WEIGHTS", 64)
    found = principal_axes(trajectories, centre)
    np.testing.assert_allclose(np.abs(found @ expected.T), np.eye(2), atol=1e-6)


def test_snapshots_on_a_line_determine_no_plane() -> None:
    one = drawn(5, 200, 3)
    line = np.linspace(0, 1, 5)[:, None] * one.snapshots[:1]
    with pytest.raises(ValueError, match="on a line"):
        principal_axes([dataclasses.replace(one, snapshots=line)], np.zeros(200))


def test_snapshots_in_a_file_are_those_in_memory(
    runner: TrialRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = record_trajectory(runner, "a", 8, 0.05, [1, 4])
    monkeypatch.setattr(plane, "MOST_IN_MEMORY", 0)
    kept = record_trajectory(runner, "a", 8, 0.05, [1, 4])
    assert isinstance(kept.snapshots, np.memmap)
    np.testing.assert_array_equal(kept.snapshots, usual.snapshots)
