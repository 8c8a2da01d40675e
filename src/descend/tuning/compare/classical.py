"""Classical methods on a small problem, all rows at every look: SciPy walks, the clock is ours."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.errors import SettingsError
from descend.training.problem import Problem
from descend.tuning.compare.measures import full_value_and_gradient
from descend.types import History, HistoryLine, Params, Variables

Floats = npt.NDArray[np.float64]
MOST_WEIGHTS = {
    "conjugate-gradient": 1_000_000,
    "coordinate-descent": 1_000,
    "simulated-annealing": 1_000,
}
MOST_ROWS = 200_000
REACH = 3.0
"""Annealing looks for weights this far from the initial ones."""


class _OutOfTimeError(Exception):
    """Ends a method of SciPy's."""


def check_small(problem: Problem, method: str) -> None:
    """Refuse a problem on which a classical method would not get anywhere.

    Raises:
        SettingsError: too many weights or rows, or a model that is another while it is trained.
    """
    if problem.training_apply is not None or isinstance(problem.begin().state.params, Variables):
        raise SettingsError(
            f"{method} needs one function of the weights, and this model has noise or a state of "
            f"its own (dropout, batch normalization, frozen weights). Leave {method} out."
        )
    weights = len(jax.flatten_util.ravel_pytree(problem.begin().state.params)[0])
    if weights > MOST_WEIGHTS[method]:
        raise SettingsError(
            f"{method} is offered up to {MOST_WEIGHTS[method]:,} weights; this model has "
            f"{weights:,}. Leave it out of --methods, or type --model linear."
        )
    if len(problem.store) > MOST_ROWS:
        raise SettingsError(
            f"{method} reads all rows at every look and is offered up to {MOST_ROWS:,}; there are "
            f"{len(problem.store):,}. Leave it out of --methods."
        )


def run_classical(
    problem: Problem,
    method: str,
    seconds: float,
    clock: Callable[[], float] = time.perf_counter,
    look: Callable[[Params], None] = lambda params: None,
) -> tuple[History, Params, str]:
    """The course of a classical method from the initial weights, for so many seconds.

    Args:
        problem: what is made small: its objective over all training rows.
        method: `conjugate-gradient`, `coordinate-descent` or `simulated-annealing`.
        seconds: most time.
        clock: for tests.
        look: given the weights of each line.

    Returns:
        A line for each step, with `examples` the rows read; the best weights; why it ended.
    """
    from scipy import optimize

    begun = problem.begin().state.params
    start, unravel = jax.flatten_util.ravel_pytree(begun)
    both = full_value_and_gradient(problem)
    both(begun)
    lines: list[HistoryLine] = []
    best: tuple[float, Params] = (math.inf, begun)
    looks, paused = 0, 0.0
    started = clock()

    def value_and_gradient(flat: Floats) -> tuple[float, Floats]:
        nonlocal looks
        if lines and clock() - started - paused > seconds:
            raise _OutOfTimeError
        looks += 1
        value, gradient = both(unravel(jnp.asarray(flat, jnp.float32)))
        return value, np.asarray(jax.flatten_util.ravel_pytree(gradient)[0], dtype=np.float64)

    def value_of(flat: Floats) -> float:
        return value_and_gradient(flat)[0]

    def seen(flat: Floats) -> None:
        nonlocal best, paused
        now = clock()
        params = unravel(jnp.asarray(flat, jnp.float32))
        loss = problem.evaluate(params)
        best = min(best, (loss, params), key=lambda one: one[0])
        look(params)
        rows = len(problem.store)
        lines.append(
            HistoryLine(
                update=len(lines),
                epoch=float(looks),
                examples=looks * rows,
                seconds=now - started - paused,
                train_loss=math.nan,
                validation_loss=loss,
                batch_size=rows,
                learning_rate=math.nan,
            )
        )
        paused += clock() - now

    first = np.asarray(start, dtype=np.float64)
    seen(first)
    try:
        if method == "conjugate-gradient":
            done = optimize.minimize(
                value_and_gradient, first, jac=True, method="CG", callback=seen
            )
            why = str(done.message)
        elif method == "coordinate-descent":
            _coordinates(value_of, first, seen)
            why = "No coordinate brought a gain."
        else:
            bounds = np.stack([first - REACH, first + REACH], axis=1)
            optimize.dual_annealing(
                value_of,
                bounds,
                x0=first,
                rng=problem.seed,
                no_local_search=True,
                maxiter=10**6,
                callback=lambda flat, value, context: seen(flat),
            )
            why = "The annealing was over."
    except _OutOfTimeError:
        why = "The time budget was used up."
    return tuple(lines), best[1], why


def _coordinates(
    value: Callable[[Floats], float], start: Floats, seen: Callable[[Floats], None]
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
            seen(at)
        if math.isfinite(before) and loss >= before - 1e-9 * abs(before):
            return
        before = loss
