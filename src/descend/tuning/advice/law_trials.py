"""Trials of more batch sizes that show how updates and batch size depend on each other.

The search stops trials whose batch size cannot win, so few sizes pass the same loss: where rows
cost the same, only sizes far below the critical one, which all need the same examples; where
updates cost the same, only sizes far above it. Here one loss is chosen, and sizes below and above
the advised one run until they have passed it, until the law is known or the time is up.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from descend.io.units import count_text
from descend.training.jax_setup import in_this_context
from descend.tuning.advice import lr_range
from descend.tuning.advice.critical_batch import (
    MIN_SIZES,
    SPAN,
    MeasuredLaw,
    fit_law,
    updates_to,
)
from descend.tuning.advice.further_sizes import ensure_speed
from descend.tuning.advice.selection import LATE_GAIN
from descend.tuning.advice.trials import Trial, TrialRunner
from descend.tuning.advice.work import Work

LAW_COST = 8.0
"""These trials together cost at most this many times as much as one that runs to the end."""
LAW_TIME = 0.5
"""They take at most this fraction of the budget, where the user set none."""
LEVEL_PART = 1 / 4
"""The loss that counts is the one the advised trial passed after this part of its updates, so that
sizes which need several times as many examples can reach it too."""
RISES = 2
"""And after this many times the warm-up, in which updates do less, whatever the batch size."""
FIRST_EVALUATION, EVALUATION_STEP = 4, 1.2
"""Updates before the first evaluation, and the factor from one to the next."""
MOST_RATES = 6
"""Learning rates per batch size, by factors of two."""
SLOWER = 2.0
"""A learning rate that needs this many times the updates of the best one is given up."""


def run_law_trials(work: Work, winner: Trial, rates: dict[int, float]) -> MeasuredLaw | None:
    """Measure the updates of several batch sizes to a loss that the advised trial passed.

    Args:
        work: what the stages share; sizes that were not timed yet are timed.
        winner: the trial whose setting is advised.
        rates: the best learning rate found for each batch size so far.

    Returns:
        What was found, perhaps for one or two sizes only; None where the advised trial made too
        little progress to choose a loss.
    """
    level = _level(work, winner)
    if level is None:
        return None
    found = MeasuredLaw(level)
    left = LAW_COST * winner.updates * work.cost(winner.batch_size)
    end = work.budget if work.budget_given else work.spent() + LAW_TIME * work.budget
    rates = {**rates, winner.batch_size: winner.learning_rate}
    failed: set[int] = set()
    size: int | None = winner.batch_size
    while size is not None and left > 0.0 and work.spent() < end:
        work.report(f"Counting the updates that batches of {count_text(size, 'row')} need")
        ensure_speed(work, size)
        work.limit_concurrency([size])
        rate = rates.get(size) or _scaled_rate(size, found.rates)
        used = _fewest_updates(work, found, size, rate, left / 2)
        left -= used
        if size not in found.updates:
            failed.add(size)
        found.law = fit_law(found.updates)
        size = None if found.known else _next_size(work, found, failed, left)
    return found


def _level(work: Work, winner: Trial) -> float | None:
    """A loss that the winner passed early, but late enough to tell of noise."""
    start, problem = work.runner.start_loss, work.runner.problem
    if not winner.losses:
        return None
    best = min(loss for _, loss in winner.losses)
    warm = RISES * problem.rise(problem.plan(winner.batch_size))
    passed_after = max(LEVEL_PART * winner.updates, min(warm, winner.updates / 2))
    early = next((loss for updates, loss in winner.losses if updates >= passed_after), best)
    level = min(early, start - LATE_GAIN * (start - best))
    return level if best < level < start else None


def _scaled_rate(size: int, rates: dict[int, float]) -> float:
    """The rate of the nearest size times the square root of the ratio of the sizes."""
    near = min(rates, key=lambda other: abs(math.log(other / size)))
    return lr_range.round_rate(rates[near] * math.sqrt(size / near))


def _fewest_updates(
    work: Work, found: MeasuredLaw, size: int, rate: float, most_cost: float
) -> float:
    """Find the best learning rate of a size by factors of two; record it and its updates.

    A rate is the best if the rates on both sides need more updates or do not arrive at all.

    Returns:
        The cost of the trials.
    """
    per_update = work.cost(size)
    most = max(FIRST_EVALUATION, int(most_cost / per_update))
    times: dict[int, float] = {}
    used, asked = 0.0, [0]
    while asked and len(times) < MOST_RATES and used < most_cost:
        trials = _run(work.runner, size, [rate * 2.0**power for power in asked], found.level, most)
        for power, trial in zip(asked, trials, strict=True):
            used += trial.updates * per_update
            passed = None if trial.diverged else updates_to(_curve(work, trial), found.level)
            times[power] = math.inf if passed is None else passed
        best = min(times, key=lambda power: (times[power], power))
        if math.isfinite(times[best]):
            most = min(most, math.ceil(SLOWER * times[best]))
            asked = [power for power in (best - 1, best + 1) if power not in times]
        else:
            asked = [min(times) - 1, max(times) + 1]
    if math.isfinite(times[best]) and times.get(best - 1, 0.0) > times[best]:
        found.updates[size] = times[best]
        found.rates[size] = lr_range.round_rate(rate * 2.0**best)
    return used


def _curve(work: Work, trial: Trial) -> list[tuple[int, float]]:
    return [(1, work.runner.start_loss), *trial.losses]


def _run(
    runner: TrialRunner, size: int, rates: Sequence[float], level: float, most: int
) -> list[Trial]:
    def run(rate: float) -> Trial:
        return run_past(runner, size, rate, level, most)

    runner.chunk_cache(size)
    with ThreadPoolExecutor(runner.concurrent) as pool:
        return list(pool.map(in_this_context(run), rates))


def run_past(runner: TrialRunner, size: int, rate: float, level: float, most: int) -> Trial:
    """Run a trial from the snapshot until its loss is at or below a level, or `most` updates."""
    trial = runner.start(size, rate)
    schedule = runner.problem.loop_config(size, rate).schedule
    stop = min(FIRST_EVALUATION, most)
    while stop > trial.updates:
        factors = schedule(np.arange(trial.updates, stop))
        trial, losses = runner.advance(trial, (rate * factors).astype(np.float32))
        assert trial.state is not None
        loss = runner.evaluate(trial.state.mean)
        if not np.isfinite(losses).all() or runner.has_diverged(loss):
            return dataclasses.replace(trial, state=None, diverged=True)
        trial = dataclasses.replace(trial, losses=(*trial.losses, (trial.updates, loss)))
        if loss <= level:
            break
        stop = min(most, max(stop + 1, math.ceil(stop * EVALUATION_STEP)))
    return dataclasses.replace(trial, state=None)


def _next_size(work: Work, found: MeasuredLaw, failed: set[int], left: float) -> int | None:
    """The next batch size to run: a neighbour of those known, on the side where more is to be seen.

    Sizes are left out whose trials would probably cost more than is left.
    """
    if not found.updates:
        return None
    low, high = min(found.updates), max(found.updates)
    smaller = max((size for size in work.possible if size < low), default=None)
    larger = min((size for size in work.possible if size > high), default=None)

    def affordable(size: int | None, updates: float) -> bool:
        if size is None or size in failed:
            return False
        return 2.0 * updates * work.cost(size) <= left

    # A smaller size needs at most the same examples more of updates, a larger one no more updates.
    if smaller is not None and not affordable(smaller, found.updates[low] * low / smaller):
        smaller = None
    if not affordable(larger, found.updates[high] / (SPAN if len(found.updates) < 2 else 1.0)):
        larger = None
    if smaller is None or larger is None:
        return larger if smaller is None else smaller
    if found.law is not None and len(found.updates) >= MIN_SIZES:
        critical = found.law.critical
    else:
        critical = _rough_critical(found)
    # The side that is nearer to B_crit, as a factor, has less of the curve on it.
    return larger if high / critical < critical / low else smaller


def _rough_critical(found: MeasuredLaw) -> float:
    """B_crit through two sizes; the only size where there is one."""
    low, high = min(found.updates), max(found.updates)
    if low == high:
        return float(low) * 1.5
    ratio = found.updates[low] / found.updates[high]
    if ratio <= 1.0:
        return float(low) / SPAN
    if ratio >= high / low:
        return float(high) * SPAN
    return (ratio - 1.0) / (1.0 / low - ratio / high)
