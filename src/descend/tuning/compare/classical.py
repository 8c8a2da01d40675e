"""Classical methods (SciPy's) on a small problem; every evaluation reads all rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.errors import SettingsError, option_text
from descend.training.problem import Problem
from descend.tuning.compare.measures import full_value_and_gradient
from descend.types import History, HistoryLine, Params, Variables

Floats = npt.NDArray[np.float64]
MAX_WEIGHTS = {
    "conjugate-gradient": 1_000_000,
    "coordinate-descent": 1_000,
    "simulated-annealing": 1_000,
}
MAX_ROWS = 200_000
ANNEALING_RANGE = 3.0
"""Simulated annealing searches weights within this distance of the initial ones."""


class _OutOfTimeError(Exception):
    """Raised in a callback to end a SciPy method."""


def check_small(problem: Problem, method: str) -> None:
    """Refuse a problem that is too large for a classical method.

    Raises:
        SettingsError: too many weights or rows, or a model that is another while it is trained.
    """
    if problem.training_apply is not None or isinstance(problem.begin().state.params, Variables):
        raise SettingsError(
            f"{method} needs one function of the weights, and this model has noise or a state of "
            f"its own (dropout, batch normalization, frozen weights). Leave {method} out."
        )
    weights = len(jax.flatten_util.ravel_pytree(problem.begin().state.params)[0])
    if weights > MAX_WEIGHTS[method]:
        raise SettingsError(
            f"{method} needs a model of at most {MAX_WEIGHTS[method]:,} weights; this one has "
            f"{weights:,}. Leave it out of {option_text('methods')}, or type "
            f"{option_text('model', 'linear')}."
        )
    if len(problem.store) > MAX_ROWS:
        raise SettingsError(
            f"{method} reads all rows at every step and needs at most {MAX_ROWS:,}; found "
            f"{len(problem.store):,}. Leave it out of {option_text('methods')}."
        )


def run_classical(
    problem: Problem,
    method: str,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    on_line: Callable[[Params], None] = lambda params: None,
) -> tuple[History, Params, str]:
    """Run a classical method from the initial weights until a time limit.

    Args:
        problem: its objective over all training rows is minimized.
        method: `conjugate-gradient`, `coordinate-descent` or `simulated-annealing`.
        seconds: time limit.
        clock: seconds, for tests.
        on_line: called with the weights of each history line.

    Returns:
        A history line for each step, with the rows read as `examples`; the best weights; and why
        it ended.
    """
    from scipy import optimize

    initial = problem.begin().state.params
    start, unravel = jax.flatten_util.ravel_pytree(initial)
    both = full_value_and_gradient(problem)
    both(initial)
    lines: list[HistoryLine] = []
    best: tuple[float, Params] = (math.inf, initial)
    readings, paused = 0, 0.0
    started = clock()

    def value_and_gradient(flat: Floats) -> tuple[float, Floats]:
        nonlocal readings
        if lines and clock() - started - paused > seconds:
            raise _OutOfTimeError
        readings += 1
        value, gradient = both(unravel(jnp.asarray(flat, jnp.float32)))
        return value, np.asarray(jax.flatten_util.ravel_pytree(gradient)[0], dtype=np.float64)

    def value_of(flat: Floats) -> float:
        return value_and_gradient(flat)[0]

    def record_line(flat: Floats) -> None:
        nonlocal best, paused
        now = clock()
        params = unravel(jnp.asarray(flat, jnp.float32))
        loss = problem.evaluate(params)
        best = min(best, (loss, params), key=lambda one: one[0])
        on_line(params)
        rows = len(problem.store)
        lines.append(
            HistoryLine(
                update=len(lines),
                epoch=float(readings),
                examples=readings * rows,
                seconds=now - started - paused,
                train_loss=math.nan,
                validation_loss=loss,
                batch_size=rows,
                learning_rate=math.nan,
            )
        )
        paused += clock() - now

    first = np.asarray(start, dtype=np.float64)
    record_line(first)
    try:
        if method == "conjugate-gradient":
            done = optimize.minimize(
                value_and_gradient, first, jac=True, method="CG", callback=record_line
            )
            why = str(done.message)
        elif method == "coordinate-descent":
            _descend_coordinates(value_of, first, record_line)
            why = "No coordinate improved the objective."
        else:
            bounds = np.stack([first - ANNEALING_RANGE, first + ANNEALING_RANGE], axis=1)
            optimize.dual_annealing(
                value_of,
                bounds,
                x0=first,
                rng=problem.seed,
                no_local_search=True,
                maxiter=10**6,
                callback=lambda flat, value, context: record_line(flat),
            )
            why = "The annealing ended."
    except _OutOfTimeError:
        why = "The time budget was used up."
    return tuple(lines), best[1], why


def _descend_coordinates(
    value: Callable[[Floats], float], start: Floats, record_line: Callable[[Floats], None]
) -> None:
    """An exact line search along each weight in turn, round after round."""
    from scipy import optimize

    at, before = start.copy(), math.inf
    while True:
        loss = before
        for place in range(len(at)):

            def along(length: float, place: int = place) -> float:
                moved = at.copy()
                moved[place] += length
                return value(moved)

            found = optimize.minimize_scalar(along, bracket=(0.0, 0.1), options={"maxiter": 12})
            at[place] += found.x
            loss = float(found.fun)
            record_line(at)
        if math.isfinite(before) and loss >= before - 1e-9 * abs(before):
            return
        before = loss
