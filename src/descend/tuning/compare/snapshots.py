"""The weights along the runs of a comparison, and the loss on a plane through them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.tuning.advice.trials import make_runner
from descend.tuning.compare.run import ComparedRun
from descend.tuning.landscape.plane import Trajectory, flat, loss_plane, principal_axes

MOST_SNAPSHOTS = 40
"""Snapshots of a run: enough for a smooth path."""
MOST_NUMBERS = 50_000_000
"""Weights times snapshots, of all runs together, that are kept in memory."""
GRID = 21


class Snapshots(Callback):
    """Keeps the weights at the evaluations of a run, evenly thinned to `MOST_SNAPSHOTS`."""

    def __init__(self) -> None:
        self.lines: list[int] = []
        self.weights: list[npt.NDArray[np.float32]] = []
        self._seen, self._stride = 0, 1

    def evaluation(self, loop: LoopState) -> None:
        """Keep the weights of one evaluation in `stride`."""
        if self._seen % self._stride == 0:
            self.lines.append(self._seen)
            self.weights.append(flat(loop.state.params))
        self._seen += 1
        if len(self.lines) > MOST_SNAPSHOTS:
            self.lines, self.weights = self.lines[::2], self.weights[::2]
            self._stride *= 2


def fits_in_memory(problem: Problem, methods: int) -> bool:
    """Whether the snapshots of this number of methods can be kept."""
    weights = len(flat(problem.begin().state.params))
    return weights * methods * MOST_SNAPSHOTS <= MOST_NUMBERS


def trajectory_of(run: ComparedRun, kept: Snapshots) -> Trajectory:
    """The weights of a run at those of its evaluations that were kept."""
    lines = [run.history[place] for place in kept.lines]
    return Trajectory(
        run.method.title,
        run.method.batch_size,
        run.learning_rate,
        tuple(line.update for line in lines),
        np.stack(kept.weights),
        tuple(line.validation_loss for line in lines),
    )


def plane_record(
    problem: Problem, runs: Sequence[ComparedRun], kept: Sequence[Snapshots]
) -> dict[str, Any] | None:
    """The loss on a plane through the runs, and their paths over it.

    The plane goes through the end of the run with the lowest loss, along the two principal
    directions of all snapshots.

    Args:
        problem: gives the validation loss at any weights.
        runs: of one seed, each at its own rate.
        kept: the snapshots of each.

    Returns:
        `explained`, `grid` (x, y, loss) and `paths` with a value for each snapshot: points, losses,
        updates, examples, seconds; None where all snapshots lie on a line.
    """
    trajectories = [trajectory_of(run, one) for run, one in zip(runs, kept, strict=True)]
    best = min(range(len(runs)), key=lambda place: runs[place].best)
    centre = trajectories[best].snapshots[-1].astype(np.float64)
    try:
        axes = principal_axes(trajectories, centre)
    except ValueError:
        return None
    runner = make_runner(dataclasses.replace(problem, averaging=False))
    found = loss_plane(runner, trajectories, centre, axes, GRID)
    paths = []
    for run, one, trajectory in zip(runs, kept, trajectories, strict=True):
        lines = [run.history[place] for place in one.lines]
        paths.append(
            {
                "method": run.method.title,
                "batch_size": run.method.batch_size,
                "learning_rate": run.learning_rate,
                "points": found.points(trajectory).tolist(),
                "away": found.distance(trajectory),
                "losses": list(trajectory.losses),
                "updates": list(trajectory.updates),
                "examples": [line.examples for line in lines],
                "seconds": [line.seconds for line in lines],
            }
        )
    grid = {"x": found.x.tolist(), "y": found.y.tolist(), "loss": found.losses.tolist()}
    return {"explained": found.explained, "grid": grid, "paths": paths}
