"""The loss of a model on a plane through the trajectory that its weights took."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.training.problem import Problem
from descend.tuning.advice.trials import TrialRunner
from descend.tuning.compare.classical import run_classical
from descend.types import Params, join_variables, split_variables

Floats = npt.NDArray[np.float64]

BLOCK_WEIGHTS = 1 << 14
"""Weights of all snapshots that are in float64 at a time."""
MOST_IN_MEMORY = 4 << 20
"""Bytes of the snapshots of a method that stay in memory."""
MARGIN = 0.15
"""Margin of the window around the trajectories, as a fraction of their extent."""


@dataclass(frozen=True)
class Trajectory:
    """The weights along the run of a method.

    Attributes:
        title: of the method.
        batch_size: rows per update.
        learning_rate: constant, after the warm-up of the problem's runs; None if the method has
            none.
        updates: number of updates before each snapshot, 0 first.
        snapshots: float32 `[n, weights]`.
        losses: validation loss of each snapshot.
    """

    title: str
    batch_size: int
    learning_rate: float | None
    updates: tuple[int, ...]
    snapshots: npt.NDArray[np.float32]
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Plane:
    """A plane in the space of the weights, and the loss on it.

    Attributes:
        centre: `[weights]`.
        axes: `[2, weights]`, orthogonal.
        explained: fraction of the trajectories' squared extent that lies in the plane.
        x: `[n]`, coordinates along the first axis.
        y: `[m]`, coordinates along the second axis.
        losses: `[m, n]`.
    """

    centre: Floats
    axes: Floats
    explained: float
    x: Floats
    y: Floats
    losses: Floats

    def points(self, trajectory: Trajectory) -> Floats:
        """`[n, 2]`: a trajectory projected on the plane."""
        found = np.zeros((len(trajectory.snapshots), 2))
        for block, apart in _blocks([trajectory], self.centre):
            found += apart @ self.axes[:, block].T
        points: Floats = found / np.sum(self.axes**2, axis=1)
        return points

    def distance(self, trajectory: Trajectory) -> float:
        """How far the end of a trajectory lies off the plane, as a share of the window's width.

        At 0 the loss at its place on the plane is its own; the larger the distance, the less the
        drawn height says about it. The width is that of the longer side.
        """
        apart = trajectory.snapshots[-1].astype(np.float64) - self.centre
        inside = (apart @ self.axes.T / np.sum(self.axes**2, axis=1)) @ self.axes
        lengths = np.linalg.norm(self.axes, axis=1)
        width = max(float(np.ptp(self.x) * lengths[0]), float(np.ptp(self.y) * lengths[1]))
        return float(np.linalg.norm(apart - inside)) / max(1e-12, width)


def record_trajectory(
    runner: TrialRunner, title: str, batch_size: int, learning_rate: float, stops: Sequence[int]
) -> Trajectory:
    """Train from the snapshot of a runner, and record the weights after given numbers of updates.

    Args:
        runner: what trials share.
        title: of the method.
        batch_size: rows per update.
        learning_rate: peak rate.
        stops: numbers of updates, rising.

    Returns:
        The trajectory; it ends early if the loss diverges.
    """
    trial = runner.start(batch_size, learning_rate)
    assert trial.state is not None
    schedule = runner.problem.loop_config(batch_size, learning_rate).schedule
    begun = flat(trial.state.params)
    snapshots = _space_for(1 + len(stops), len(begun))
    snapshots[0] = begun
    losses, updates = [runner.start_loss], [0]
    for stop in stops:
        rates = learning_rate * schedule(np.arange(trial.updates, stop))
        trial, batch_losses = runner.advance(trial, rates.astype(np.float32))
        assert trial.state is not None
        loss = runner.evaluate(trial.state.params)
        if not np.isfinite(batch_losses).all() or runner.has_diverged(loss):
            break
        snapshots[len(updates)] = flat(trial.state.params)
        losses.append(loss)
        updates.append(trial.updates)
    return Trajectory(
        title,
        batch_size,
        learning_rate,
        tuple(updates),
        snapshots[: len(updates)],
        tuple(losses),
    )


def _space_for(count: int, weights: int) -> npt.NDArray[np.float32]:
    """Room for so many snapshots: a temporary file where they are large, else memory.

    Of each method as many copies of the model are kept as training never has.
    """
    if 4 * count * weights <= MOST_IN_MEMORY:
        return np.zeros((count, weights), np.float32)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, np.float32, "w+", shape=(count, weights))


def run_classical_trajectory(
    problem: Problem, method: str, seconds: float, most: int
) -> Trajectory:
    """Run a classical method on all rows, and record the weights.

    Args:
        problem: small enough for the method.
        method: a method of `run_classical`.
        seconds: time limit.
        most: maximum number of snapshots, denser at first.
    """
    weights: list[npt.NDArray[np.float32]] = []
    history, _, _ = run_classical(
        problem, method, seconds, on_line=lambda params: weights.append(flat(params))
    )
    last = len(history) - 1
    lines = sorted({0, *(round(float(line)) for line in np.geomspace(1, max(1, last), most))})
    lines = [line for line in lines if line <= last]
    return Trajectory(
        method.replace("-", " ").capitalize(),
        len(problem.store),
        None,
        tuple(lines),
        _stacked([weights[line] for line in lines]),
        tuple(history[line].validation_loss for line in lines),
    )


def _stacked(rows: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    found = _space_for(len(rows), len(rows[0]))
    for place, row in enumerate(rows):
        found[place] = row
    return found


def flat(params: Params) -> npt.NDArray[np.float32]:
    """All weights as one vector; a state beside them is left out."""
    weights, _ = split_variables(params)
    row: npt.NDArray[np.float32] = np.array(jax.flatten_util.ravel_pytree(weights)[0], np.float32)
    return row


def principal_axes(trajectories: Sequence[Trajectory], centre: Floats) -> Floats:
    """The two principal directions of the snapshots around a centre.

    Found from the products of the snapshots with each other, a block of weights at a time: all
    snapshots of a large model in float64, and their singular vectors, would fill the memory.
    """
    count = sum(len(trajectory.snapshots) for trajectory in trajectories)
    products = np.zeros((count, count))
    for _, apart in _blocks(trajectories, centre):
        products += apart @ apart.T
    squares, vectors = np.linalg.eigh(products)
    lengths = np.sqrt(np.maximum(squares[::-1], 0.0))
    # The square of a length is known to 1e-16 of the largest.
    if len(lengths) < 2 or lengths[1] < 1e-7 * max(lengths[0], 1e-30):
        raise ValueError("all snapshots lie on a line, so no plane is determined")
    axes: Floats = np.zeros((2, len(centre)))
    for block, apart in _blocks(trajectories, centre):
        axes[:, block] = vectors[:, :-3:-1].T @ apart / lengths[:2, None]
    axes[0] /= np.linalg.norm(axes[0])
    axes[1] -= (axes[1] @ axes[0]) * axes[0]
    axes[1] /= np.linalg.norm(axes[1])
    return axes


def _blocks(trajectories: Sequence[Trajectory], centre: Floats) -> Iterator[tuple[slice, Floats]]:
    """Some weights at a time: which, and `[n, b]`, all snapshots less the centre."""
    for start in range(0, len(centre), BLOCK_WEIGHTS):
        block = slice(start, start + BLOCK_WEIGHTS)
        found = [trajectory.snapshots[:, block] for trajectory in trajectories]
        yield block, np.concatenate(found).astype(np.float64) - centre[block]


def random_axes(params: Params, seed: int) -> Floats:
    """Two random directions, normalized filter by filter to the weights (Li et al. 2018).

    A filter is the incoming weights of a unit; biases are not moved. The second direction is made
    orthogonal to the first. (arXiv 1712.09913, section 4)
    """
    random = np.random.default_rng((seed, 17))

    def like(leaf: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        values = np.asarray(leaf)
        if values.ndim < 2:
            return np.zeros_like(values)
        drawn = random.normal(size=values.shape)
        axes = tuple(range(values.ndim - 1))
        lengths = np.sqrt(np.sum(values**2, axis=axes) / np.sum(drawn**2, axis=axes))
        scaled: npt.NDArray[np.float32] = (drawn * lengths).astype(values.dtype)
        return scaled

    first, second = (flat(jax.tree.map(like, params)).astype(np.float64) for _ in range(2))
    second -= (second @ first) / (first @ first) * first
    return np.stack([first, second])


def loss_plane(
    runner: TrialRunner,
    trajectories: Sequence[Trajectory],
    centre: Floats,
    axes: Floats,
    points: int = 25,
) -> Plane:
    """The validation loss on a plane, over a window that contains all trajectories.

    Args:
        runner: gives the validation loss.
        trajectories: that the window must contain.
        centre: a point of the plane.
        axes: directions of the plane.
        points: number of grid points along each axis.
    """
    empty = Plane(centre, axes, 0.0, np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    projected = np.concatenate([empty.points(trajectory) for trajectory in trajectories])
    # The axes are orthogonal.
    inside = float(np.sum(projected**2 * np.sum(axes**2, axis=1)))
    low, high = projected.min(axis=0), projected.max(axis=0)
    # The window has some height even if all trajectories run along one axis.
    extent = np.maximum(high - low, 0.3 * float(np.max(high - low)) + 1e-6)
    middle = (low + high) / 2
    x, y = (
        np.linspace(middle[k] - half, middle[k] + half, points)
        for k, half in enumerate(extent * (0.5 + MARGIN))
    )
    begun = runner.snapshot.params
    weights, state = split_variables(begun)
    _, unravel = jax.flatten_util.ravel_pytree(weights)

    def loss(across: float, up: float) -> float:
        place = jnp.asarray(centre + across * axes[0] + up * axes[1], jnp.float32)
        return runner.evaluate(join_variables(unravel(place), state, begun))

    losses = np.array([[loss(across, up) for across in x] for up in y])
    total = sum(float(np.sum(apart**2)) for _, apart in _blocks(trajectories, centre))
    return Plane(centre, axes, inside / total if total else 0.0, x, y, losses)
