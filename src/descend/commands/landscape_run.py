"""The loss of a run's model on a plane, with the paths of the methods over it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from descend.errors import InputError, SettingsError
from descend.reporting.progress import Progress
from descend.reporting.text.losses import loss_note
from descend.runs.folder import read_run_record
from descend.runtime.auto import choose
from descend.runtime.table_run import NOTHING_NAMED, Named, reopen_run
from descend.runtime.trial_setup import MakeSetup
from descend.settings import Settings
from descend.training.build import problem_of
from descend.training.problem import Problem
from descend.tuning.advice.lr_range import round_rate
from descend.tuning.advice.trials import TrialRunner, make_runner
from descend.tuning.compare.classical import check_small
from descend.tuning.compare.methods import BASIC, CUSTOM_RULE, Method, methods_for, tune_rate
from descend.tuning.landscape import plane
from descend.types import Params, split_variables

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
    if record.get("own"):
        raise InputError(
            f"{path} is a run of a custom model, which only your program can build. Call "
            "descend.landscape(data, model=...) with what descend.fit got."
        )
    run = reopen_run(path, record, progress, named=named)
    prepared, settings = run.prepared, run.settings
    problems = {
        rule: problem_of(settings.replace(optimizer=rule, averaging=False), prepared)
        for rule in dict.fromkeys((settings.optimizer, *BASIC))
    }
    found = _plane_record(problems, settings, directions, progress, str(path), settings.target)
    return {**found, "loss_note": loss_note(record)}


def setup_record(
    make_setup: MakeSetup, asked: Settings, directions: str, progress: Progress
) -> dict[str, Any]:
    """The same of a problem that is not a run: a table, or a custom model.

    Args:
        make_setup: makes the problem.
        asked: settings; a batch size and a learning rate that are not given are found first.
        directions: of the plane.
        progress: shows what is being measured.
    """
    setup = make_setup(asked, progress)
    settings = choose(setup.problem, setup.settings, progress).settings
    first = CUSTOM_RULE if setup.custom_optimizer else settings.optimizer
    problems = {
        rule: _on_a_plane(setup.again(rule, settings.seed))
        for rule in dict.fromkeys((first, *BASIC))
    }
    name = str(setup.own.get("model", settings.model))
    found = _plane_record(problems, settings, directions, progress, name, settings.target)
    described = {"settings": setup.recorded(settings), "own": setup.own, "data": setup.data}
    return {**found, "loss_note": loss_note(described)}


def _on_a_plane(problem: Problem) -> Problem:
    """The problem without the mean of the weights, which hides the noise.

    A running mean belongs to the weights along its path; elsewhere in the plane there is none. So
    a model that takes the rows of a batch together is evaluated as it is while it is trained.
    """
    problem = dataclasses.replace(problem, averaging=False)
    training = problem.training_apply
    if training is None or not problem.couples_rows:
        return problem

    def apply(params: Params, x: Any) -> Any:
        return training(*split_variables(params), x, jax.random.key(0))[0]

    return dataclasses.replace(problem, apply=apply)


def _plane_record(
    problems: Mapping[str, Problem],
    settings: Settings,
    directions: str,
    progress: Progress,
    name: str,
    target: str,
) -> dict[str, Any]:
    """The paths of all methods and the loss on a plane through them.

    Args:
        problems: by update rule, the one of the run first. Rates rise at first as in the run,
            whose rate was found so.
        settings: of the run, with numbers.
        directions: of the plane.
        progress: shows what is being measured.
        name: of the run or model.
        target: what is predicted.
    """
    first = next(iter(problems))
    trajectories = _trajectories(problems, settings, progress)
    runner = make_runner(problems[first])
    centre = trajectories[0].snapshots[-1].astype(np.float64)
    if directions == "path":
        axes = plane.principal_axes(trajectories, centre)
    else:
        weights, _ = split_variables(runner.snapshot.params)
        _, unravel = jax.flatten_util.ravel_pytree(weights)
        axes = plane.random_axes(unravel(jnp.asarray(centre, jnp.float32)), settings.seed)
    progress.message("The loss on the plane")
    found = plane.loss_plane(runner, trajectories, centre, axes)
    return {
        "of": "run",
        "name": name,
        "target": target,
        "optimizer": "your own" if first == CUSTOM_RULE else first,
        "title": "The loss on a plane through the paths of the methods",
        "directions": directions,
        "explained": found.explained,
        "rows": len(runner.problem.store),
        "grid": {"x": found.x.tolist(), "y": found.y.tolist(), "loss": found.losses.tolist()},
        "paths": [
            {
                "method": trajectory.title,
                "points": found.points(trajectory).tolist(),
                "away": found.distance(trajectory),
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
    problems: Mapping[str, Problem], settings: Settings, progress: Progress
) -> list[plane.Trajectory]:
    """The path of the run first, then those of the other methods and of conjugate gradient."""
    first = next(iter(problems))
    trajectories: list[plane.Trajectory] = []
    seconds = SECONDS_OF_TRIALS
    if settings.advice_budget is not None:
        seconds = min(seconds, settings.advice_budget / (3 * len(problems)))
    for rule, problem in problems.items():
        runner = make_runner(problem)
        smaller: float | None = None
        for one in _methods(problem, settings, rule):
            progress.message(f"Path of {one.title}")
            own = one.batch_size == settings.batch_size and rule == first
            smaller = (
                float(settings.learning_rate)
                if own
                else tune_rate(runner, one.batch_size, seconds, smaller).learning_rate
            )
            trajectory = _whole_trajectory(runner, one, smaller)
            trajectories.insert(0 if own else len(trajectories), trajectory)
            runner.chunk_caches.pop(one.batch_size, None)
    problem = problems[first]
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
    custom = rule == CUSTOM_RULE
    found = methods_for(
        len(problem.store),
        int(settings.batch_size),
        added=() if custom else (rule,),
        custom_optimizer=custom,
    )
    least = 2 if problem.couples_rows else 1  # One row by itself has no mean and variance.
    kept = (one for one in found if one.optimizer == rule and one.batch_size >= least)
    return sorted(kept, key=lambda one: one.batch_size)


def stops_for(batch_size: int, rows: int) -> list[int]:
    """Updates after which weights are recorded: over about three epochs, denser at first."""
    total = max(FEWEST_UPDATES, min(MOST_UPDATES, 3 * rows // batch_size))
    places = np.geomspace(1, total, SNAPSHOTS)
    return sorted({round(float(place)) for place in places})
