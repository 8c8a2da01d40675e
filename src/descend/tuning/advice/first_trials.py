"""The first trials: rates at the reference size, and how long training takes by their losses."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from descend.tuning.advice import lr_range, selection, speed
from descend.tuning.advice.halving import run_to_cost
from descend.tuning.advice.trials import Trial
from descend.tuning.advice.work import Work, default_budget, time_to_measure_all

FIRST_RUNG_DIVISOR = 4
"""The first rung is this many times shorter than a trial that runs to the end."""
EARLY_PART = 1 / 4
"""The part of the first rung that runs before it is known whether the rest is needed."""
THE_REST = (1 / 3, 1.0)
"""When a trial is evaluated in the rest of it: its updates doubled, and doubled again."""
MIN_DOUBLED = 4
"""Losses that `updates_needed` looks at: the first, and three whose updates doubled twice."""


def run_reference_trials(
    work: Work, learning_rate: float | None, at_least: float = 0.0
) -> list[Trial]:
    """Short trials at the reference size, which take part in the search.

    Args:
        work: what the stages share; the length of the first rung is set.
        learning_rate: the only rate to try, or None.
        at_least: minimum budget in seconds if none was given.
    """
    size = work.reference
    if learning_rate is not None:
        rates = [learning_rate]
    else:
        highest = lr_range.max_stable_rate(work.runner, size)
        record_stable_rates(work, {size: highest} if highest is not None else {})
        rates = lr_range.rates_below(highest) if highest is not None else []
    per_update = speed.seconds_at(work.speed, size)
    trials = [work.runner.start(size, rate) for rate in rates]
    work.share_budget()
    work.first_rung = work.length / FIRST_RUNG_DIVISOR
    if work.short_training:
        trials = run_to_cost(work.runner, trials, lambda _: per_update, work.first_rung)
    else:
        trials = _run_in_two_parts(work, trials, per_update, at_least)
    while rates and learning_rate is None and all(one.diverged for one in trials):
        rates = lr_range.lower_rates(min(rates))
        lower = [work.runner.start(size, rate) for rate in rates]
        trials += run_to_cost(work.runner, lower, lambda _: per_update, work.first_rung)
    return trials


def _run_in_two_parts(
    work: Work, trials: Sequence[Trial], per_update: float, at_least: float
) -> list[Trial]:
    """Run a part of the first rung, and the rest unless training is nearly over by then.

    The length of the rung follows from the rows of the table. A convolutional network may learn all
    it can from many images in fewer updates than one such trial makes.
    """

    def run(trials: Sequence[Trial], evaluations: tuple[float, ...] | None) -> list[Trial]:
        reached = work.first_rung
        return run_to_cost(work.runner, trials, lambda _: per_update, reached, evaluations)

    whole = work.first_rung
    work.first_rung *= EARLY_PART
    trials = run(trials, None)
    so_far = dataclasses.replace(work)
    reconsider_budget(so_far, trials, at_least)
    if so_far.length / FIRST_RUNG_DIVISOR <= work.first_rung:
        return trials
    work.first_rung = whole
    diverged = [one for one in trials if one.diverged]
    return diverged + run([one for one in trials if not one.diverged], THE_REST)


def reconsider_budget(work: Work, trials: Sequence[Trial], at_least: float = 0.0) -> None:
    """Spend less where the first trials show that training is nearly over.

    The size of a table says little about how long training takes: on many rows a network may learn
    all it can within the first epoch.

    Args:
        work: with the reference trials run; `needed` and the budget are updated.
        trials: those of the reference size.
        at_least: minimum budget in seconds if none was given.
    """
    alive = [one for one in trials if math.isfinite(one.score)]
    if not alive:
        return
    best = min(alive, key=lambda one: one.score)
    problem = work.runner.problem
    rise = problem.rise(problem.plan(best.batch_size))
    updates = updates_needed([(0, work.runner.start_loss), *best.losses], rise)
    if updates is None:
        return
    work.needed = updates * speed.seconds_at(work.speed, best.batch_size)
    if not work.budget_given:
        at_least = time_to_measure_all(at_least, work.compiling)
        work.budget = default_budget(work.training, at_least)
        work.share_budget()


def updates_needed(losses: Sequence[tuple[int, float]], rise: int) -> float | None:
    """Updates after which doubling them lowers the loss by less than it can be told apart.

    From one doubling to the next the gain is taken to shrink by the same factor r, as it does where
    the loss approaches its limit like a power of the updates: with g the gain of the last doubling
    and d the difference that counts as equal, log(d/g)/log(r) doublings are left. r is at least
    1/2, since with noise in the gradient the loss falls no faster than 1/updates (Polyak & Juditsky
    1992, SIAM J. Control Optim. 30(4)).

    Args:
        losses: (updates, validation loss), from the loss before the first update on, the updates
            of the last three doubled twice.
        rise: updates of the warm-up.

    Returns:
        The updates; None where the gain does not shrink, or where half of the updates were made
        during the warm-up, in which they do less.

    >>> updates_needed([(0, 4.0), (100, 2.0), (200, 1.5), (400, 1.25)], 60)
    7273.0
    """
    if len(losses) < MIN_DOUBLED or losses[-2][0] < rise:
        return None
    start = losses[0][1]
    (_, first), (_, second), (updates, last) = losses[-3:]
    equal = selection.equal_within(start, min(first, second, last))
    before, gain = first - second, second - last
    if gain <= equal:
        return float(updates)
    if gain >= before:
        return None
    doublings = math.log(equal / gain) / math.log(max(0.5, gain / before))
    return float(round(updates * 2.0**doublings))


def record_stable_rates(work: Work, found: dict[int, float]) -> None:
    """Record the maximum stable rate of each batch size."""
    lines = work.evidence.setdefault("breaking", [])
    lines += [{"batch_size": size, "learning_rate": rate} for size, rate in found.items()]
