"""One run of a comparison, with the training loop."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import jax
import numpy as np

from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from descend.tuning.advice.speed import Footprint, compile_sizes
from descend.tuning.compare.classical import check_small, run_classical
from descend.tuning.compare.methods import Method
from descend.types import History, Params

TUNED, SAME, RATE_OF_SGD = "tuned", "same", "rate-of-sgd"

Clock = Callable[[], float]


@dataclass(frozen=True)
class Conditions:
    """Conditions shared by all runs of a comparison.

    Attributes:
        limits: what ends a run.
        schedule: of the learning rate.
        warmup: fraction of a run over which it rises.
        clock: seconds, for tests.
    """

    limits: Limits
    schedule: str = "constant"
    warmup: float = 0.0
    clock: Clock = time.perf_counter


@dataclass(frozen=True)
class ComparedRun:
    """One run of the comparison, and what was measured of it.

    Attributes:
        method: the method.
        panel: `tuned`; `same` where all methods have one learning rate; `rate-of-sgd` where a
            mini-batch has the rate of one row.
        seed: of the split, the weights and the order of rows.
        learning_rate: peak rate; None if the method has none.
        history: a line per evaluation.
        steady: number of its lines before the rate was first reduced.
        outcome: the name of a StopReason, or a sentence from SciPy.
        rescues: number of restarts after a diverging loss.
        weights: SHA-256 of the best weights.
        memory: bytes that training takes at this batch size.
        measures: target, arrival, noise and speed by name; None if undefined.
    """

    method: Method
    panel: str
    seed: int
    learning_rate: float | None
    history: History
    steady: int
    outcome: str
    rescues: int
    weights: str
    memory: int
    measures: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """The lowest validation loss."""
        return min(line.validation_loss for line in self.history)


def run_method(
    problem: Problem,
    method: Method,
    panel: str,
    rate: float,
    conditions: Conditions,
    callback: Callback | None = None,
) -> tuple[ComparedRun, Params]:
    """A run like that of `descend train`, and its best weights."""
    if method.family == "full":
        # Another seed splits the table differently, so the number of all rows may differ a little.
        method = dataclasses.replace(method, batch_size=len(problem.store))
    run = problem.loop_config(
        method.batch_size,
        rate,
        schedule=conditions.schedule,
        warmup=conditions.warmup,
        limits=conditions.limits,
    )
    begin = problem.begin()
    if run.accumulated is None:
        # Otherwise compilation would count as training time.
        compile_sizes(problem, begin.state, [method.batch_size])
    memory = Footprint(problem, begin.state)(method.batch_size)
    loop, reason = fit(run, begin, callback, clock=conditions.clock)
    best = loop.best.mean
    done = ComparedRun(
        method,
        panel,
        problem.seed,
        rate,
        loop.history,
        _steady_lines(run, loop.history),
        reason.name,
        loop.progress.rescues,
        digest(best),
        memory,
    )
    return done, best


def run_classical_method(problem: Problem, method: Method, conditions: Conditions) -> ComparedRun:
    """The run of a classical method, with the same time limit as the others."""
    check_small(problem, method.optimizer)
    method = dataclasses.replace(method, batch_size=len(problem.store))
    seconds = conditions.limits.seconds or 10.0
    history, best, why = run_classical(problem, method.optimizer, seconds, conditions.clock)
    memory = Footprint(problem, problem.begin().state)(method.batch_size)
    return ComparedRun(
        method, TUNED, problem.seed, None, history, len(history), why, 0, digest(best), memory
    )


def digest(params: Params) -> str:
    """SHA-256 of weights; equal digests mean bit-identical weights."""
    found = hashlib.sha256()
    for leaf in jax.tree.leaves(params):
        found.update(np.ascontiguousarray(np.asarray(leaf)).tobytes())
    return found.hexdigest()


def _steady_lines(run: LoopConfig, history: History) -> int:
    """Number of history lines before the rate was first below that of the schedule."""
    updates = np.maximum(0, np.asarray([line.update for line in history]) - 1)
    planned = run.learning_rate * run.schedule(updates)
    lowered = np.asarray([line.learning_rate for line in history]) < 0.999 * planned
    return int(np.argmax(lowered)) if lowered.any() else len(history)
