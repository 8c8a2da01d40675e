"""The race of an advice: who enters, what is entered on the way, and whose rate lasts."""

from __future__ import annotations

import math
from collections.abc import Sequence

from descend.errors import DivergedError
from descend.tuning.advice import lr_range, selection, speed
from descend.tuning.advice.stages import Work, learn_speed, listed, note_breaking
from descend.tuning.advice.trials import Refine, Trial, run_legs

LATE, SHORTEST = 2.0, 0.3
"""The race ends with the leg in which so many times its time, and so many seconds, are over:
evaluations, and sizes that are compiled on the way, are not in its counted costs."""
AROUND = (2.0, 1.0, 0.5)
"""Rates of the other sizes, as parts of what was best at the reference, relative to where both
break down."""


def raced(
    work: Work,
    sizes: Sequence[int],
    learning_rate: float | None,
    trials: Sequence[Trial],
) -> tuple[list[Trial], list[Trial]]:
    """The finalists, best first, and the others."""
    runner = work.runner
    work.say(f"Trying batches of {listed(sizes)} rows")
    entered = [one for one in trials if one.batch_size in sizes and one.state is not None]
    out = [one for one in trials if one not in entered]
    missing = [size for size in sizes if size not in {one.batch_size for one in trials}]
    if learning_rate is not None:
        entered += [runner.enter(size, learning_rate) for size in missing]
    else:
        known = {line["batch_size"]: line["learning_rate"] for line in work.evidence["breaking"]}
        breaking = lr_range.breaking_rates(runner, missing, known.get(work.reference))
        note_breaking(work, breaking)
        parts = _parts(entered, known.get(work.reference))
        for size, found in breaking.items():
            entered += [runner.enter(size, one) for one in lr_range.rates_below(found, parts)]
    each = speed.seconds_at(work.speed, work.reference)
    end = work.budget if work.asked else work.spent() + max(LATE * work.racing, SHORTEST)
    work.keep_apart([work.reference, *sizes])
    finalists, gone = run_legs(
        runner,
        entered,
        work.cost,
        work.length / each * work.cost(work.reference),
        refine=_refinement(work, learning_rate),
        late=lambda: work.spent() > end,
        say=work.say,
    )
    out += gone
    finalists = [one for one in finalists if math.isfinite(one.loss)]
    work.note("race")
    if not finalists:
        raise DivergedError(
            "Every learning rate that was tried made the loss grow. "
            "Look for extreme values in the data, or set --learning-rate."
        )
    return finalists, out


def _parts(trials: Sequence[Trial], breaking: float | None) -> Sequence[float]:
    """Which parts of their breaking rates other sizes should try, from what the trials say."""
    alive = [one for one in trials if not one.diverged]
    if breaking is None or not alive:
        return lr_range.SPREAD
    best = min(alive, key=lambda one: one.loss).learning_rate / breaking
    return [min(1.0, best * part) for part in AROUND]


def _refinement(work: Work, learning_rate: float | None) -> Refine:
    """What to enter between two legs: rates between those tried, and sizes beyond the edge."""

    def refine(
        ranked: Sequence[Trial], out: Sequence[Trial], number: int
    ) -> list[tuple[int, float]]:
        if not ranked:
            return []
        new = []
        sizes = list(dict.fromkeys(one.batch_size for one in ranked))
        if learning_rate is None:
            for size in sizes[:2] if number == 0 else []:
                best = next(one for one in ranked if one.batch_size == size)
                new += [(size, lr_range.plain(best.learning_rate * part)) for part in (2.0, 0.5)]
        if number == 0 or work.hurried:
            return new
        possible = work.possible
        raced = {one.batch_size for one in (*ranked, *out)}
        first = ranked[0]
        beyond = [size for size in possible if size > max(raced)][:1]
        below = [size for size in possible if size < min(raced)][-1:]
        for size in (beyond if first.batch_size == max(raced) else []) + (
            below if first.batch_size == min(raced) else []
        ):
            learn_speed(work, size)
            work.keep_apart([size, *raced])
            part = size / first.batch_size
            rates = {first.learning_rate * part, first.learning_rate * math.sqrt(part)}
            new += [
                (size, lr_range.plain(one) if learning_rate is None else learning_rate)
                for one in rates
            ]
        return new

    return refine


def lasting_winner(work: Work, finalists: Sequence[Trial], ratios: Sequence[float]) -> Trial:
    """The first in the order of choice whose rate lasts an epoch, or what a tenth buys of it."""
    order = selection.ranked(finalists, ratios, work.reference)
    for trial in order:
        epoch = work.runner.problem.plan(trial.batch_size).updates_per_epoch
        afford = 0.1 * work.budget / speed.seconds_at(work.speed, trial.batch_size)
        lasting = work.runner.verified(trial, min(epoch - trial.updates, round(afford)))
        if not lasting.diverged:
            return lasting
    first = order[0]
    return work.runner.leg(
        work.runner.enter(first.batch_size, lr_range.plain(first.learning_rate / 4)), first.updates
    )
