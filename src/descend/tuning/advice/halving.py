"""Successive halving: all settings run a short rung, the better half runs twice as far.

(Jamieson & Talwalkar 2016, arXiv 1502.07943; Li et al. 2018, "Hyperband", arXiv 1603.06560.) Here
settings are compared at equal cost, new settings may be added between two rungs, and costs are
counted from measured seconds per update rather than timed, so that the result does not depend on
what else the machine does.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from descend.training.jax_setup import in_this_context
from descend.tuning.advice.trials import FEW_EVALUATIONS, Trial, TrialRunner

FINALISTS, SHORT_FINALISTS = 3, 2
"""Trials that run to the end. With fewer, the winner of a short comparison is left to chance; where
training is short, a third one costs more than it can save."""
MIN_RUNGS = 3
SAME_RATE_FACTOR = 1.3
"""Learning rates of one batch size within this factor are not tried both."""

Cost = Callable[[int], float]
Refine = Callable[[Sequence[Trial], Sequence[Trial], int], list[tuple[int, float]]]
"""`(trials still running, best first; eliminated trials; rung) -> settings to add`."""


def successive_halving(
    runner: TrialRunner,
    trials: Sequence[Trial],
    cost: Cost,
    length: float,
    *,
    least: float = 0.0,
    finalists: int = FINALISTS,
    refine: Refine = lambda ranked, eliminated, rung: [],
    between: tuple[float, ...] | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
    report: Callable[[str], None] = lambda text: None,
) -> tuple[list[Trial], list[Trial]]:
    """Run trials rung by rung; each rung is as long as those before it together.

    Args:
        runner: what the trials share.
        trials: at the snapshot, or a little further.
        cost: `batch_size -> cost of an update`.
        length: cost of a trial that runs to the end.
        least: cost of a trial in the first rung, at least.
        finalists: number of trials that run to the end; the best of each batch size and a lower
            rate are added to them (`survivors`).
        refine: settings to add between two rungs.
        between: when a trial is evaluated in a rung that is not the last, as fractions of it; None:
            as often as in the others.
        out_of_time: whether to stop after this rung.
        report: called with a message when a rung begins.

    Returns:
        The finalists, best first, and all others as they were when they were eliminated.
    """
    running, eliminated = list(trials), []
    tried = {(one.batch_size, one.learning_rate) for one in running}
    rungs = rung_count(len(running), finalists)
    for rung in range(rungs):
        reached = max(least, length / 2 ** (rungs - 1 - rung))
        last = rung == rungs - 1
        running = run_to_cost(runner, running, cost, reached, None if last else between)
        eliminated += [one for one in running if one.diverged]
        running = sorted((one for one in running if not one.diverged), key=lambda one: one.score)
        if last or out_of_time():
            break
        surviving = survivors(running, finalists)
        eliminated += [
            dataclasses.replace(one, state=None) for one in running if one not in surviving
        ]
        running, added = surviving, []
        for setting in refine(running, eliminated, rung):
            if not any(_nearly_equal(setting, other) for other in tried):
                added.append(setting)
                tried.add(setting)
        running += [runner.start(*setting) for setting in added]
        report(f"Rung {rung + 2} of {rungs}: {len(running)} settings")
    back = _eliminated_too_early(running, eliminated)
    if back:
        again = [runner.start(one.batch_size, one.learning_rate) for one in back]
        running += [one for one in run_to_cost(runner, again, cost, reached) if not one.diverged]
        running.sort(key=lambda one: one.score)
        eliminated = [one for one in eliminated if one not in back]
    return running, eliminated


def rung_count(trials: int, finalists: int = FINALISTS) -> int:
    """Number of rungs after which only the finalists are left.

    >>> rung_count(4), rung_count(24)
    (3, 4)
    """
    return max(MIN_RUNGS, math.ceil(math.log2(max(1.0, trials / finalists))) + 1)


def run_to_cost(
    runner: TrialRunner,
    trials: Sequence[Trial],
    cost: Cost,
    reached: float,
    evaluations: tuple[float, ...] | None = None,
) -> list[Trial]:
    """Run every trial to a total cost, `runner.concurrent` at a time.

    Trials that are there already are returned unchanged. The result of a trial does not depend on
    the trials that run beside it.

    Args:
        runner: what the trials share.
        trials: at the snapshot, or further.
        cost: `batch_size -> cost of an update`.
        reached: the total cost of each.
        evaluations: when a trial is evaluated, as fractions of what it has yet to run; None: as
            the runner does.
    """

    def run(one: Trial) -> Trial:
        until = max(len(FEW_EVALUATIONS), round(reached / cost(one.batch_size)))
        return (
            one if one.scores and one.updates >= until else runner.run_rung(one, until, evaluations)
        )

    for one in trials:
        runner.chunk_cache(one.batch_size)
    with ThreadPoolExecutor(runner.concurrent) as pool:
        return list(pool.map(in_this_context(run), trials))


def survivors(ranked: Sequence[Trial], finalists: int) -> list[Trial]:
    """The better half; and of each of three batch sizes the best rate and the next below the half.

    Early losses favour small batches, and rates that are too high to last: after 75 updates 0.5 and
    0.26 may be ahead of the rate that is the best in the end, 0.13.
    """
    half = list(ranked[: max(finalists, -(-len(ranked) // 2))])
    surviving = list(half)
    for size in list(dict.fromkeys(one.batch_size for one in ranked))[:3]:
        same_size = [one for one in ranked if one.batch_size == size]
        kept = [one for one in half if one.batch_size == size] or same_size[:1]
        lowest = min(one.learning_rate for one in kept)
        lower = [one for one in same_size if one.learning_rate < lowest]
        next_lower = sorted(lower, key=lambda one: one.learning_rate)[-1:]
        surviving += [one for one in (same_size[0], *next_lower) if one not in surviving]
    return surviving


def _eliminated_too_early(running: Sequence[Trial], eliminated: Sequence[Trial]) -> list[Trial]:
    """The two best eliminated trials whose loss was below every finalist's.

    There are such trials where the rates of all finalists were too high and their losses rose.
    """
    lowest = min((one.score for one in running), default=math.inf)
    better = (one for one in eliminated if one.score < lowest)
    return sorted(better, key=lambda one: one.score)[:2]


def _nearly_equal(one: tuple[int, float], other: tuple[int, float]) -> bool:
    """Whether two settings are too close for trials to tell them apart."""
    return one[0] == other[0] and 1 / SAME_RATE_FACTOR < one[1] / other[1] < SAME_RATE_FACTOR
