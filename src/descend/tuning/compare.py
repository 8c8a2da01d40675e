"""Gradient descent, stochastic and mini-batch side by side, by the same loop that trains models."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import jax
import numpy as np

from descend.training.fit import fit
from descend.training.problem import Problem
from descend.training.stopping import Limits
from descend.tuning.classical import check_small, run_classical
from descend.tuning.measures import arrival, gradient_deviation, roughness
from descend.tuning.methods import Method, Tuned
from descend.tuning.speed import Footprint, compile_sizes
from descend.types import History, Params

TARGET_PART = 0.05
"""The target lies so far above the best loss of all methods, as a part of the best gain."""
TUNED, SAME = "tuned", "same"

Make = Callable[[str, int], Problem]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Course:
    """One run of the comparison, and what was measured of it.

    Attributes:
        method: which.
        panel: `tuned`, or `same` where all have one learning rate.
        seed: of the split, the weights and the order of rows.
        learning_rate: peak; None where a method has none.
        history: a line per evaluation.
        outcome: the name of a StopReason, or a sentence of SciPy's.
        rescues: times its rate was lowered because the loss exploded.
        weights: SHA-256 of the best weights.
        memory: bytes that training at this batch size holds.
        measures: target, arrival, noise and speed, by name; None where there is none.
    """

    method: Method
    panel: str
    seed: int
    learning_rate: float | None
    history: History
    outcome: str
    rescues: int
    weights: str
    memory: int
    measures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The least validation loss."""
        return min(line.validation_loss for line in self.history)


def compare(
    make_problem: Make,
    methods: Sequence[Method],
    tuned: Mapping[str, Tuned],
    *,
    seeds: Sequence[int],
    same_rate: float | None,
    limits: Limits,
    schedule: str = "constant",
    warmup: float = 0.0,
    say: Say = lambda text: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Course]:
    """Run every method with every seed, at its own rate and at one rate, and measure it.

    Args:
        make_problem: `(optimizer, seed) -> problem`.
        methods: to compare.
        tuned: the learning rate of each, by name.
        seeds: a run for each.
        same_rate: the one rate of the second panel; None leaves that panel out.
        limits: of each run.
        schedule: of the learning rate.
        warmup: part of a run in which it rises.
        say: told what is being done.
        clock: seconds, for tests.
    """
    found: list[Course] = []
    for seed in seeds:
        kept: dict[str, Params] = {}
        runs: list[Course] = []
        for panel in (TUNED, SAME) if same_rate is not None else (TUNED,):
            for method in methods:
                if method.family == "classical":
                    if panel == TUNED:
                        say(f"Seed {seed}: {method.title}")
                        problem = make_problem("sgd", seed)
                        runs.append(_classical(problem, method, limits.seconds, clock))
                    continue
                rate = tuned[method.name].learning_rate if panel == TUNED else same_rate
                assert rate is not None
                say(f"Seed {seed}: {method.title}, learning rate {rate:.3g}")
                problem = make_problem(method.optimizer, seed)
                course, best = one_run(
                    problem, method, panel, rate, limits, schedule, warmup, clock
                )
                runs.append(course)
                if panel == TUNED:
                    kept[method.name] = best
        found += _measured(make_problem("sgd", seed), runs, kept)
    return found


def one_run(
    problem: Problem,
    method: Method,
    panel: str,
    rate: float,
    limits: Limits,
    schedule: str = "constant",
    warmup: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Course, Params]:
    """A run as `descend train` makes it, and its best weights."""
    if method.family == "full":
        # Another seed splits the table elsewhere: all rows may be some more or fewer.
        method = dataclasses.replace(method, batch_size=len(problem.store))
    run = problem.run(method.batch_size, rate, schedule=schedule, warmup=warmup, limits=limits)
    begun = problem.begin()
    if run.partwise is None:
        # Compiling would count as training otherwise.
        compile_sizes(problem, begun.state, [method.batch_size])
    memory = Footprint(problem, begun.state)(method.batch_size)
    course, reason = fit(run, begun, clock=clock)
    best = course.best.mean
    done = Course(
        method,
        panel,
        problem.seed,
        rate,
        course.history,
        reason.name,
        course.progress.rescues,
        digest(best),
        memory,
    )
    return done, best


def digest(params: Params) -> str:
    """SHA-256 of weights: equal where every bit is."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        found.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return found.hexdigest()


def target_of(runs: Sequence[Course]) -> float:
    """The loss that all are timed to: 95 % of the best gain among the tuned runs of a seed."""
    tuned = [run for run in runs if run.panel == TUNED]
    best = min(run.best for run in tuned)
    start = tuned[0].history[0].validation_loss
    return best + TARGET_PART * (start - best)


def _classical(
    problem: Problem, method: Method, seconds: float | None, clock: Callable[[], float]
) -> Course:
    check_small(problem, method.optimizer)
    method = dataclasses.replace(method, batch_size=len(problem.store))
    history, best, why = run_classical(problem, method.optimizer, seconds or 10.0, clock)
    memory = Footprint(problem, problem.begin().state)(method.batch_size)
    return Course(method, TUNED, problem.seed, None, history, why, 0, digest(best), memory)


def _measured(problem: Problem, runs: Sequence[Course], kept: Mapping[str, Params]) -> list[Course]:
    """The runs of one seed with the numbers that compare them."""
    target = target_of(runs)
    sizes = sorted({run.method.batch_size for run in runs})
    start = gradient_deviation(problem, problem.begin().state.params, sizes)
    tuned = [run for run in runs if run.panel == TUNED and run.method.name in kept]
    reference = min(tuned, key=lambda run: run.best)
    later = gradient_deviation(problem, kept[reference.method.name], sizes)
    return [_with_measures(run, target, start, later) for run in runs]


def _with_measures(
    run: Course, target: float, start: Mapping[int, float], later: Mapping[int, float]
) -> Course:
    came = arrival(run.history, target)
    last = run.history[-1]
    measures: dict[str, float | None] = {
        "target": target,
        "best": run.best,
        "updates_to_target": came.update if came else None,
        "epochs_to_target": came.epoch if came else None,
        "seconds_to_target": came.seconds if came else None,
        "seconds": last.seconds,
        "deviation_at_start": start[run.method.batch_size],
        "deviation_when_trained": later[run.method.batch_size],
        "roughness": roughness([line.validation_loss for line in run.history]),
        "rows_per_second": last.examples / last.seconds if last.seconds > 0 else None,
        "memory": float(run.memory),
    }
    return dataclasses.replace(run, measures=measures)
