"""The search of an advice: which settings enter successive halving, and which one is selected."""

from __future__ import annotations

import math
from collections.abc import Sequence

from descend.errors import DivergedError, option_text
from descend.tuning.advice import lr_range, selection, speed
from descend.tuning.advice.first_trials import record_stable_rates
from descend.tuning.advice.further_sizes import ensure_speed
from descend.tuning.advice.halving import Refine, run_to_cost, successive_halving
from descend.tuning.advice.trials import AT_THE_END, Trial
from descend.tuning.advice.work import Work, format_sizes

OVERTIME = 2.0
"""The search stops after the rung in which this multiple of the planned time has elapsed, and at
least the time that compiling a program takes: counted costs contain neither evaluations nor
compilation."""
NEARBY_FRACTIONS = (2.0, 1.0, 0.5)
"""Rates to try at another batch size. With 1.0, the rate is the same fraction of the maximum stable
rate as the best one at the reference size."""


def search(
    work: Work,
    sizes: Sequence[int],
    learning_rate: float | None,
    trials: Sequence[Trial],
) -> tuple[list[Trial], list[Trial]]:
    """Run trials of several batch sizes and learning rates by successive halving.

    Args:
        work: what the stages share.
        sizes: batch sizes to try.
        learning_rate: the only rate to try, or None.
        trials: those already run at the reference size.

    Returns:
        The finalists, best first, and all other trials.

    Raises:
        DivergedError: every rate diverged.
    """
    runner = work.runner
    work.report(f"Trying batches of {format_sizes(sizes)} rows")
    entered = [one for one in trials if one.batch_size in sizes and one.state is not None]
    others = [one for one in trials if one not in entered]
    missing = [size for size in sizes if size not in {one.batch_size for one in trials}]
    if learning_rate is not None:
        entered += [runner.start(size, learning_rate) for size in missing]
    else:
        known = {line["batch_size"]: line["learning_rate"] for line in work.evidence["breaking"]}
        highest = lr_range.max_stable_rates(runner, missing, known.get(work.reference))
        record_stable_rates(work, highest)
        fractions = _fractions_to_try(entered, known.get(work.reference))
        for size, rate in highest.items():
            entered += [runner.start(size, one) for one in lr_range.rates_below(rate, fractions)]
    per_update = speed.seconds_at(work.speed, work.reference)
    end = work.budget
    if not work.budget_given:
        end = work.spent() + max(OVERTIME * work.trial_seconds, work.compiling)
    work.limit_concurrency([work.reference, *sizes])
    finalists: list[Trial] = []
    if not entered and learning_rate is None:
        entered = _at_lower_rates(work, others)
    while entered and not finalists:
        found, eliminated = successive_halving(
            runner,
            entered,
            work.cost,
            work.length / per_update * work.cost(work.reference),
            least=work.first_rung / per_update * work.cost(work.reference),
            finalists=work.finalists,
            refine=_refinement(work, learning_rate),
            between=AT_THE_END if work.short_training and runner.problem.averaging else None,
            out_of_time=lambda: work.spent() > end,
            report=work.report,
        )
        others += eliminated
        finalists = [one for one in found if math.isfinite(one.score)]
        entered = _at_lower_rates(work, others) if learning_rate is None else []
    work.record_time("race")
    if not finalists:
        raise all_diverged()
    return finalists, others


def all_diverged() -> DivergedError:
    """The error for a problem that no learning rate could train."""
    return DivergedError(
        "Training diverged at every learning rate that was tried. "
        f"Look for extreme values in the data, or set {option_text('learning_rate')}."
    )


def _at_lower_rates(work: Work, diverged: Sequence[Trial]) -> list[Trial]:
    """Trials below the lowest rate of each batch size that was tried."""
    lowest: dict[int, float] = {}
    for one in diverged:
        size, rate = one.batch_size, one.learning_rate
        lowest[size] = min(rate, lowest.get(size, rate))
    return [
        work.runner.start(size, one)
        for size, rate in lowest.items()
        for one in lr_range.lower_rates(rate)
    ]


def _fractions_to_try(trials: Sequence[Trial], highest: float | None) -> Sequence[float]:
    """Fractions of the maximum stable rate that other batch sizes should try."""
    alive = [one for one in trials if not one.diverged]
    if highest is None or not alive:
        return lr_range.FIRST_FRACTIONS
    best = min(alive, key=lambda one: one.score).learning_rate / highest
    return [min(1.0, best * fraction) for fraction in NEARBY_FRACTIONS]


def _refinement(work: Work, learning_rate: float | None) -> Refine:
    """Settings to add between two rungs: rates around the best, and sizes beyond the edge."""

    def refine(
        ranked: Sequence[Trial], eliminated: Sequence[Trial], rung: int
    ) -> list[tuple[int, float]]:
        if not ranked:
            return []
        added = []
        sizes = list(dict.fromkeys(one.batch_size for one in ranked))
        if learning_rate is None:
            for size in sizes[:2] if rung == 0 else []:
                best = next(one for one in ranked if one.batch_size == size)
                added += [
                    (size, lr_range.round_rate(best.learning_rate * factor))
                    for factor in (2.0, 0.5)
                ]
        if rung == 0 or work.short_training:
            return added
        tried = {one.batch_size for one in (*ranked, *eliminated)}
        best = ranked[0]
        larger = [size for size in work.possible if size > max(tried)][:1]
        smaller = [size for size in work.possible if size < min(tried)][-1:]
        for size in (larger if best.batch_size == max(tried) else []) + (
            smaller if best.batch_size == min(tried) else []
        ):
            ensure_speed(work, size)
            work.limit_concurrency([size, *tried])
            factor = size / best.batch_size
            rates = {best.learning_rate * factor, best.learning_rate * math.sqrt(factor)}
            added += [
                (size, lr_range.round_rate(one) if learning_rate is None else learning_rate)
                for one in rates
            ]
        return added

    return refine


def go_beyond_edge(
    work: Work, finalists: Sequence[Trial], others: Sequence[Trial]
) -> tuple[list[Trial], list[Trial]]:
    """Try the next learning rate where the best one is the highest or the lowest that was tried.

    Returns:
        The finalists and the other trials, with those that ran now.
    """
    finalists, others = list(finalists), list(others)
    if work.budget_given and work.spent() > work.budget:
        return finalists, others
    ratios = selection.cost_ratios(finalists, work.cost, work.runner.start_loss)
    first = selection.rank(finalists, ratios, work.reference)[0]
    size, best = first.batch_size, first.learning_rate
    tried = [one.learning_rate for one in (*finalists, *others) if one.batch_size == size]
    beyond = [2.0 * best] if best == max(tried) else []
    beyond += [best / 2.0] if best == min(tried) else []
    added = [work.runner.start(size, lr_range.round_rate(rate)) for rate in beyond]
    for trial in run_to_cost(work.runner, added, work.cost, first.updates * work.cost(size)):
        (others if trial.diverged else finalists).append(trial)
    return finalists, others
