"""Which of the finalists has a learning rate that lasts: longer trials of the best of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from descend.defaults import RISE_UPDATES
from descend.training.state import copy_state
from descend.tuning.advice import critical_batch, lr_range, selection, speed
from descend.tuning.advice.halving import FINALISTS, run_to_cost
from descend.tuning.advice.search import all_diverged
from descend.tuning.advice.trials import Trial
from descend.tuning.advice.work import Work

NEARLY_AS_GOOD = 1.25
"""Of two rates whose costs differ by less, a longer trial decides."""
FOLLOW_FRACTION = 0.05
"""Most that following the next lower rate may take, as a fraction of the seconds that the advice
took before. Compiling alone takes as long as thousands of updates of a small model."""
LOWER_BETWEEN = (0.3, 0.8)
"""The next lower rate is one within these multiples of a rate."""
VERIFY_FRACTION = 0.1
"""Fraction of the budget for verifying that the selected rate lasts for an epoch."""
CONFIRMING_UPDATES = 2 * RISE_UPDATES
"""Updates after which a rate counts as confirmed: those of the warm-up, and as many at its full
height. After fewer, the highest rate is ahead, whether or not it lasts."""
UNCONFIRMED_FRACTIONS = (1 / 4, 1 / 16, 1 / 64)
"""What is advised where no rate could be confirmed, as fractions of the one that was ahead: the
first after which training has not diverged."""


def tell_nearest_rates_apart(
    work: Work, finalists: Sequence[Trial], others: Sequence[Trial]
) -> tuple[list[Trial], list[Trial]]:
    """Run the two best rates of the selected size twice as far, where neither is clearly better.

    The rate that is ahead in a short trial is often higher than the one that lasts. Training goes
    on from the winner, so only the updates of the other one are spent. No trial is longer than
    training itself, as far as is known: both would be past its end.

    Returns:
        The finalists and the other trials, with those that diverged now.
    """
    finalists, others = list(finalists), list(others)
    if work.budget_given and work.spent() > work.budget:
        return finalists, others
    ratios = selection.cost_ratios(finalists, work.cost, work.runner.start_loss)
    size = selection.rank(finalists, ratios, work.reference)[0].batch_size
    nearest = sorted(
        (ratio, place)
        for place, ratio in enumerate(ratios)
        if finalists[place].batch_size == size and finalists[place].state is not None
    )[:2]
    if len(nearest) < 2 or nearest[1][0] >= NEARLY_AS_GOOD * nearest[0][0]:
        return finalists, others
    pair = [finalists[place] for _, place in nearest]
    reached = 2.0 * max(one.updates for one in pair) * work.cost(size)
    if work.goal == "examples" or reached > work.training:
        return finalists, others
    return _run_on(work, finalists, others, pair, reached)


def follow_lower_rate(
    work: Work, finalists: Sequence[Trial], others: Sequence[Trial]
) -> tuple[list[Trial], list[Trial]]:
    """Run the best rate and the next lower one on, twice as far each time, while that costs little.

    Until noise holds the loss up, twice the rate is twice as fast. How far down that goes, a trial
    shows only when it gets there: on logistic regression with directions of very different
    curvature, a rate was ahead at 0.6 of the cost for 1,500 updates, and at 3,000, just above the
    loss that training aims at, no longer. Training goes on from the winner, so only the updates of
    the other one are spent. The one that first reached what the better of them reached is
    kept: of two that are past the end of training, both loss curves are flat.

    Returns:
        The finalists and the other trials, with those that lost or diverged now.
    """
    finalists, others = list(finalists), list(others)
    started = work.spent()
    if work.goal == "examples" or (work.budget_given and started > work.budget):
        return finalists, others
    left = FOLLOW_FRACTION * started
    while True:
        ratios = selection.cost_ratios(finalists, work.cost, work.runner.start_loss)
        best = selection.rank(finalists, ratios, work.reference)[0]
        lower = _next_lower(work, best, [*finalists, *others])
        updates = 2 * best.updates
        per_update = speed.seconds_at(work.speed, best.batch_size)
        left -= (updates - lower.updates) * per_update
        if best.state is None or left < 0.0 or updates * per_update > work.training:
            return finalists, others
        rest = [one for one in finalists if one is not best and one is not lower]
        others = [one for one in others if one is not lower]
        both = [
            dataclasses.replace(one, state=copy_state(one.state))
            for one in (best, lower)
            if one.state is not None
        ]
        ran = run_to_cost(work.runner, both, work.cost, updates * work.cost(best.batch_size))
        lasting = [one for one in ran if not one.diverged]
        others += [one for one in ran if one.diverged]
        if not lasting:
            return [*rest, best, lower], others  # Which of them lasts is seen next.
        if len(lasting) > 1:
            lasting.sort(key=_updates_to_the_best_of(work, lasting))
            others.append(lasting.pop())  # It may catch up.
        if lasting[0].learning_rate < best.learning_rate:
            # What was behind the rate that lost has lost as well, however good a short trial looks.
            lost = [one for one in rest if one.batch_size == best.batch_size]
            rest = [one for one in rest if one not in lost]
            others += [dataclasses.replace(one, state=None) for one in lost]
        finalists = [*rest, *lasting]


def _next_lower(work: Work, best: Trial, trials: Sequence[Trial]) -> Trial:
    """The longest trial of the next lower rate that can go on; a new one where there is none."""
    least, most = (best.learning_rate * part for part in LOWER_BETWEEN)
    lower = [
        one
        for one in trials
        if one.batch_size == best.batch_size
        and least < one.learning_rate < most
        and one.state is not None
    ]
    if lower:
        return max(lower, key=lambda one: one.updates)
    return work.runner.start(best.batch_size, lr_range.round_rate(best.learning_rate / 2.0))


def _updates_to_the_best_of(work: Work, trials: Sequence[Trial]) -> Callable[[Trial], float]:
    """`trial -> updates` after which it was as good as the best of these is, by what counts."""
    start = work.runner.start_loss
    lowest = min(score for one in trials for _, score in one.scores)
    level = lowest + selection.equal_within(start, lowest)

    def updates(trial: Trial) -> float:
        found = critical_batch.updates_to(((1, start), *trial.scores), level)
        return math.inf if found is None else found

    return updates


def confirm(
    work: Work, finalists: Sequence[Trial], others: Sequence[Trial]
) -> tuple[list[Trial], list[Trial]]:
    """Run the best rates of the selected size on where their trials ended after a few updates.

    So it is where the budget is tiny or the machine is busy. They go on only if that takes no
    longer than the advice took so far: otherwise their rates stay unconfirmed.

    Returns:
        The finalists and the other trials, with those that diverged now.
    """
    finalists, others = list(finalists), list(others)
    ratios = selection.cost_ratios(finalists, work.cost, work.runner.start_loss)
    order = selection.rank(finalists, ratios, work.reference)
    size = order[0].batch_size
    wanted = _confirming_updates(work, size)
    if order[0].updates >= wanted:
        return finalists, others
    short = [one for one in order if one.batch_size == size and one.updates < wanted][:FINALISTS]
    left = sum(wanted - one.updates for one in short)
    if left * speed.seconds_at(work.speed, size) > work.spent():
        return finalists, others
    return _run_on(work, finalists, others, short, wanted * work.cost(size))


def _confirming_updates(work: Work, size: int) -> int:
    """Updates that confirm a rate; no more than training makes, as far as is known."""
    most = work.needed / speed.seconds_at(work.speed, size)
    return CONFIRMING_UPDATES if most >= CONFIRMING_UPDATES else math.ceil(most)


def _run_on(
    work: Work,
    finalists: Sequence[Trial],
    others: Sequence[Trial],
    chosen: Sequence[Trial],
    reached: float,
) -> tuple[list[Trial], list[Trial]]:
    """Run some of the finalists to a total cost; nothing changes where none of them is left then.

    Returns:
        The finalists and the other trials, with those that diverged now.
    """
    again = [
        dataclasses.replace(one, state=copy_state(one.state))
        for one in chosen
        if one.state is not None
    ]
    ran = run_to_cost(work.runner, again, work.cost, reached)
    rest = [one for one in finalists if not any(one is other for other in chosen)]
    lasting = [*rest, *(one for one in ran if not one.diverged)]
    if not lasting:
        return list(finalists), list(others)  # Which of them lasts is seen next.
    return lasting, [*others, *(one for one in ran if one.diverged)]


def select_lasting_finalist(
    work: Work, finalists: Sequence[Trial], ratios: Sequence[float]
) -> Trial:
    """The first finalist in order of preference whose rate lasts.

    It must last for an epoch, or for as much of it as a tenth of the budget buys, be confirmed, and
    leave a loss no worse than at the start. If none does, a lower rate is run: nobody knows how
    long the one that was ahead would last. A rate that was given stays.

    Raises:
        DivergedError: training diverged at lower rates, too, or at the one that was given.
    """
    order = selection.rank(finalists, ratios, work.reference)
    given = "learning rate" in work.evidence.get("given", ())
    for trial in order:
        epoch = work.runner.problem.plan(trial.batch_size).updates_per_epoch
        per_update = speed.seconds_at(work.speed, trial.batch_size)
        affordable = round(VERIFY_FRACTION * work.budget / per_update)
        updates = min(epoch - trial.updates, affordable)
        if updates > 0:
            trial = work.runner.run_rung(trial, trial.updates + updates)  # noqa: PLW2901
        if not trial.diverged and (given or _is_confirmed(work, trial)):
            return trial
    first = order[0]
    for fraction in () if given else UNCONFIRMED_FRACTIONS:
        rate = lr_range.round_rate(first.learning_rate * fraction)
        lower = work.runner.run_rung(work.runner.start(first.batch_size, rate), first.updates)
        if not lower.diverged:
            return lower
    raise all_diverged()


def _is_confirmed(work: Work, trial: Trial) -> bool:
    """Whether a trial was long enough, and its loss is at most a little above that at the start."""
    if trial.updates < _confirming_updates(work, trial.batch_size):
        return False
    start = work.runner.start_loss
    return trial.losses[-1][1] <= start + lr_range.MIN_GAIN * abs(start)
