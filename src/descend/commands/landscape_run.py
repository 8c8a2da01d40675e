"""The loss of a run's model on a plane, with the paths of the methods over it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.errors import SettingsError
from descend.reporting.progress import Progress
from descend.runs.folder import read_run_record
from descend.runtime.table_run import NOTHING_NAMED, Named, recorded_run
from descend.settings import Settings
from descend.training.build import problem_of
from descend.training.problem import Problem
from descend.tuning.advice.lr_range import round_rate
from descend.tuning.advice.trials import TrialRunner, make_runner
from descend.tuning.compare.classical import check_small
from descend.tuning.compare.methods import BASIC, Method, methods_for, tune_rate
from descend.tuning.landscape import plane

CONJUGATE = "conjugate-gradient"
SECONDS_OF_TRIALS = 1.5
SNAPSHOTS = 24
MOST_UPDATES = 50_000
FEWEST_UPDATES = 48
MOST_HALVINGS = 6


def run_record(
    path: Path, directions: str, progress: Progress, named: Named = NOTHING_NAMED
) -> dict[str, Any]:
    """What landscape.json holds of a run: the paths of all methods from its initial weights.

    Args:
        path: the run directory.
        directions: of the plane: `path` or `random`.
        progress: shows what is being measured.
        named: what the user names himself of what stands in the record.
    """
    record = read_run_record(path)
    run = recorded_run(path, record, progress, named=named)
    prepared, settings = run.prepared, run.settings
    # The rule of the run first. Rates rise at first as in the run, whose rate was found so; the
    # weights are not averaged, because that hides the noise.
    problems = {
        rule: problem_of(settings.replace(optimizer=rule, averaging=False), prepared)
        for rule in dict.fromkeys((settings.optimizer, *BASIC))
    }
    trajectories = _trajectories(problems, settings, progress)
    runner = make_runner(problems[settings.optimizer])
    centre = trajectories[0].snapshots[-1].astype(np.float64)
    if directions == "path":
        axes = plane.principal_axes(trajectories, centre)
    else:
        _, unravel = jax.flatten_util.ravel_pytree(runner.snapshot.params)
        axes = plane.random_axes(unravel(jnp.asarray(centre, jnp.float32)), settings.seed)
    progress.message("The loss on the plane")
    found = plane.loss_plane(runner, trajectories, centre, axes)
    return {
        "of": "run",
        "name": str(path),
        "target": settings.target,
        "optimizer": settings.optimizer,
        "title": "The loss on a plane through the paths of the methods",
        "directions": directions,
        "explained": found.explained,
        "rows": len(runner.problem.store),
        "grid": {"x": found.x.tolist(), "y": found.y.tolist(), "loss": found.losses.tolist()},
        "paths": [
            {
                "method": trajectory.title,
                "points": found.points(trajectory).tolist(),
                "off": found.distance(trajectory),
                "losses": list(trajectory.losses),
                "updates": list(trajectory.updates),
                "rows_read": trajectory.batch_size,
                "learning_rate": trajectory.learning_rate,
                "trials": None,
            }
            for trajectory in trajectories
        ],
    }


def _trajectories(
    problems: dict[str, Problem], settings: Settings, progress: Progress
) -> list[plane.Trajectory]:
    """The path of the run first, then those of the other methods and of conjugate gradient."""
    trajectories: list[plane.Trajectory] = []
    seconds = SECONDS_OF_TRIALS
    if settings.advice_budget is not None:
        seconds = min(seconds, settings.advice_budget / (3 * len(problems)))
    for rule, problem in problems.items():
        runner = make_runner(problem)
        smaller: float | None = None
        for one in _methods(problem, settings, rule):
            progress.message(f"Path of {one.title}")
            own = one.batch_size == settings.batch_size and rule == settings.optimizer
            smaller = (
                float(settings.learning_rate)
                if own
                else tune_rate(runner, one.batch_size, seconds, smaller).learning_rate
            )
            trajectory = _whole_trajectory(runner, one, smaller)
            trajectories.insert(0 if own else len(trajectories), trajectory)
            runner.chunk_caches.pop(one.batch_size, None)
    problem = problems[settings.optimizer]
    try:
        check_small(problem, CONJUGATE)
    except SettingsError:
        return trajectories
    progress.message("Path of conjugate gradient")
    return [
        *trajectories,
        plane.run_classical_trajectory(problem, CONJUGATE, 2 * seconds, SNAPSHOTS),
    ]


def _whole_trajectory(runner: TrialRunner, method: Method, rate: float) -> plane.Trajectory:
    """The path at a learning rate, or at a lower one where it breaks off.

    Short trials may keep a rate that later breaks down.
    """
    stops = stops_for(method.batch_size, len(runner.problem.store))
    for _ in range(MOST_HALVINGS):
        trajectory = plane.record_trajectory(runner, method.title, method.batch_size, rate, stops)
        if trajectory.updates[-1] == stops[-1]:
            break
        rate = round_rate(rate / 2)
    return trajectory


def _methods(problem: Problem, settings: Settings, rule: str) -> list[Method]:
    """The methods that use an update rule, smallest batch first."""
    found = methods_for(len(problem.store), int(settings.batch_size), added=(rule,))
    return sorted((one for one in found if one.optimizer == rule), key=lambda one: one.batch_size)


def stops_for(batch_size: int, rows: int) -> list[int]:
    """Updates after which weights are recorded: over about three epochs, denser at first."""
    total = max(FEWEST_UPDATES, min(MOST_UPDATES, 3 * rows // batch_size))
    places = np.geomspace(1, total, SNAPSHOTS)
    return sorted({round(float(place)) for place in places})
