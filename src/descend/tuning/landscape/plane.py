"""The loss of a model on a plane through the way that its weights took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.training.problem import Problem
from descend.tuning.advice.trials import TrialRunner
from descend.tuning.compare.classical import run_classical
from descend.types import Params

Floats = npt.NDArray[np.float64]

MARGIN = 0.15
"""The window reaches so far beyond the paths, as a part of their extent."""


@dataclass(frozen=True)
class Way:
    """Where a method took the weights.

    Attributes:
        title: of the method.
        batch_size: rows per update.
        learning_rate: constant, after the rise that the problem's runs begin with; None where a
            method has none.
        updates: made when each snapshot was taken, the start first.
        snapshots: float32 `[n, weights]`.
        losses: validation loss of each.
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
        axes: `[2, weights]`, at right angles to each other.
        explained: part of the ways' squared extent that lies in the plane.
        x: `[n]`, places along the first axis.
        y: `[m]`, places along the second.
        losses: `[m, n]`.
    """

    centre: Floats
    axes: Floats
    explained: float
    x: Floats
    y: Floats
    losses: Floats

    def points(self, way: Way) -> Floats:
        """`[n, 2]`: a way as seen on the plane."""
        apart = way.snapshots.astype(np.float64) - self.centre
        found: Floats = apart @ self.axes.T / np.sum(self.axes**2, axis=1)
        return found


def way_of(
    runner: TrialRunner, title: str, batch_size: int, learning_rate: float, stops: Sequence[int]
) -> Way:
    """Go from the snapshot of an arena, and look at the weights after so many updates.

    It ends early where the loss left all reason.
    """
    trial = runner.enter(batch_size, learning_rate)
    assert trial.state is not None
    loop = runner.problem.loop_config(batch_size, learning_rate).schedule
    snapshots, losses, updates = [flat(trial.state.params)], [runner.start_loss], [0]
    for stop in stops:
        rates = learning_rate * loop(np.arange(trial.updates, stop))
        trial, batch_losses = runner.advance(trial, rates.astype(np.float32))
        assert trial.state is not None
        loss = runner.evaluate(trial.state.params)
        if not np.isfinite(batch_losses).all() or runner.hopeless(loss):
            break
        snapshots.append(flat(trial.state.params))
        losses.append(loss)
        updates.append(trial.updates)
    return Way(title, batch_size, learning_rate, tuple(updates), np.stack(snapshots), tuple(losses))


def classical_way(problem: Problem, method: str, seconds: float, most: int) -> Way:
    """Where a classical method on all rows takes the weights.

    Args:
        problem: small enough for it.
        method: of `run_classical`.
        seconds: most time.
        most: snapshots that are kept, closer together at first.
    """
    seen: list[npt.NDArray[np.float32]] = []
    history, _, _ = run_classical(
        problem, method, seconds, look=lambda params: seen.append(flat(params))
    )
    last = len(history) - 1
    kept = sorted({0, *(round(float(place)) for place in np.geomspace(1, max(1, last), most))})
    kept = [place for place in kept if place <= last]
    return Way(
        method.replace("-", " ").capitalize(),
        len(problem.store),
        None,
        tuple(kept),
        np.stack([seen[place] for place in kept]),
        tuple(history[place].validation_loss for place in kept),
    )


def flat(params: Params) -> npt.NDArray[np.float32]:
    """All weights in a row."""
    row: npt.NDArray[np.float32] = np.array(jax.flatten_util.ravel_pytree(params)[0], np.float32)
    return row


def principal_axes(ways: Sequence[Way], centre: Floats) -> Floats:
    """The two directions in which the snapshots lie furthest from a centre."""
    apart = np.concatenate([way.snapshots for way in ways]).astype(np.float64) - centre
    _, lengths, axes = np.linalg.svd(apart, full_matrices=False)
    found: Floats = axes[:2] if len(axes) > 1 else np.concatenate([axes, np.zeros_like(axes)])
    if len(lengths) < 2 or lengths[1] < 1e-9 * max(lengths[0], 1e-30):
        raise ValueError("the ways lie on a line: there is no plane through them")
    return found


def random_axes(params: Params, seed: int) -> Floats:
    """Two random directions, filter by filter as long as the weights (Li et al. 2018).

    Each unit's incoming weights are a filter; biases stay as they are. The second direction is
    made to stand at right angles on the first. (arXiv 1712.09913, section 4)
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
    runner: TrialRunner, ways: Sequence[Way], centre: Floats, axes: Floats, points: int = 25
) -> Plane:
    """The validation loss on a plane, over a window that holds all ways.

    Args:
        runner: whose evaluation it is.
        ways: to be seen on it.
        centre: a point of the plane.
        axes: its directions.
        points: looked at along each axis.
    """
    empty = Plane(centre, axes, 0.0, np.zeros(0), np.zeros(0), np.zeros((0, 0)))
    seen = np.concatenate([empty.points(way) for way in ways])
    apart = np.concatenate([way.snapshots for way in ways]).astype(np.float64) - centre
    inside = float(np.sum((seen @ axes) ** 2)) if seen.size else 0.0
    low, high = seen.min(axis=0), seen.max(axis=0)
    # A window with some height even where all ways run along one axis.
    extent = np.maximum(high - low, 0.3 * float(np.max(high - low)) + 1e-6)
    middle = (low + high) / 2
    x, y = (
        np.linspace(middle[k] - half, middle[k] + half, points)
        for k, half in enumerate(extent * (0.5 + MARGIN))
    )
    _, unravel = jax.flatten_util.ravel_pytree(runner.snapshot.params)
    losses = np.array(
        [
            [
                runner.evaluate(
                    unravel(jnp.asarray(centre + across * axes[0] + up * axes[1], jnp.float32))
                )
                for across in x
            ]
            for up in y
        ]
    )
    total = float(np.sum(apart**2))
    return Plane(centre, axes, inside / total if total else 0.0, x, y, losses)
