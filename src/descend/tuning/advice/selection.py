"""What the trials and the measurements say: the winner, how much it matters, and the record."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from descend.tuning.advice import critical_batch, lr_range, speed
from descend.tuning.advice.critical_batch import UpdatesLaw
from descend.tuning.advice.trials import Trial
from descend.types import Speed

LATE_GAIN = 0.8
"""The law is read where so much of the best gain was made: the first part says nothing of noise."""
TOLD_RATIO = 10.0
"""Costs beyond are of trials that did not last, and tell no number of updates."""
FLAT = 1.10
"""Costs within 10 % are as good: of such rates the lowest is taken, such sizes are the region."""
SURE_LARGER, SURE_SMALLER = 1.25, 1.4
"""A size has to be as much better than the one that everything began with: which of two neighbours
wins a short race changes by chance, and early losses favour small batches, since the critical batch
size rises as the loss falls (McCandlish et al. 2018, arXiv 1812.06162, section 2.2)."""


def ranked(finalists: Sequence[Trial], ratios: Sequence[float], reference: int) -> list[Trial]:
    """The finalists in the order of choice.

    The reference size comes first unless another is surely better. Of the rates of the first size
    that are as good as its best (10 %) the lowest is first: a short race flatters high rates, whose
    noise floor it does not reach, and a low one is further from divergence. Then the others by
    cost.
    """
    pairs = list(zip(finalists, ratios, strict=True))
    best, least = min(pairs, key=lambda pair: pair[1])
    own = [ratio for one, ratio in pairs if one.batch_size == reference]
    kept = own and min(own) <= needed(best.batch_size, reference) * least
    size = reference if kept else best.batch_size
    same = FLAT * min(ratio for one, ratio in pairs if one.batch_size == size)

    def order(pair: tuple[Trial, float]) -> tuple[bool, float]:
        one, ratio = pair
        first = one.batch_size == size and ratio <= same
        return not first, one.learning_rate if first else ratio

    return [one for one, _ in sorted(pairs, key=order)]


def needed(size: int, reference: int) -> float:
    """How many times as fast as the reference a size has to be."""
    return SURE_SMALLER if size < reference else SURE_LARGER


def good_rates(
    winner: Trial, finalists: Sequence[Trial], ratios: Sequence[float]
) -> tuple[float, float]:
    """The lowest and highest rate of the winner's size that did about as well."""
    good = [
        one.learning_rate
        for one, ratio in zip(finalists, ratios, strict=True)
        if one.batch_size == winner.batch_size and ratio <= FLAT
    ]
    good.append(winner.learning_rate)
    return min(good), max(good)


def fitted_law(trials: Sequence[Trial], start: float) -> tuple[UpdatesLaw | None, float]:
    """The law through the updates to the lowest loss that three sizes came past with two rates.

    Came past, not ended at: where a curve ends it is flat, and a little more or less loss would
    stand for many updates. Of a size that came there with one rate, or fastest with the lowest that
    was tried, nobody knows whether another is faster: it does not count.

    Args:
        trials: all that ran.
        start: loss of the snapshot.

    Returns:
        The law, None where too few sizes tell or went far enough, and the loss.
    """
    sizes = sorted({one.batch_size for one in trials})
    own = {size: [one for one in trials if one.batch_size == size] for size in sizes}
    passed = (sorted(_passed(one) for one in own[size])[1:2] for size in sizes)
    levels = sorted(loss for losses in passed for loss in losses if math.isfinite(loss))
    if len(levels) < critical_batch.FEWEST_SIZES:
        return None, math.nan
    level = levels[critical_batch.FEWEST_SIZES - 1]
    best = min(one.loss for one in trials)
    if start - level < LATE_GAIN * (start - best):
        return None, level
    found = {size: _fewest_updates(own[size], level, start) for size in sizes}
    return critical_batch.fit_law(
        {size: one for size, one in found.items() if one is not None}
    ), level


def _passed(trial: Trial) -> float:
    """The loss at the look before the last, or at the last where that was higher."""
    losses = [loss for _, loss in trial.marks]
    return max(losses[-2:]) if len(losses) > 1 and not trial.diverged else math.inf


def _fewest_updates(trials: Sequence[Trial], level: float, start: float) -> float | None:
    """Updates of the fastest rate of a size to a loss; None where that is not known."""
    reached = [critical_batch.updates_to(((1, start), *one.marks), level) for one in trials]
    times = [math.inf if one is None else one for one in reached]
    least = min(times)
    rate = trials[times.index(least)].learning_rate
    slower = any(one.learning_rate < rate and one.updates >= least for one in trials)
    return least if slower and sum(map(math.isfinite, times)) > 1 else None


def predicted(
    winner: Trial,
    tried: Mapping[int, float],
    found: Speed,
    fitted: UpdatesLaw | None,
    cost: Callable[[int], float],
) -> list[dict[str, float]]:
    """What each size is predicted to need to the loss that the winner reached.

    Args:
        winner: of the race.
        tried: cost over the winner's of the sizes that ran to the end: they tell it themselves.
        found: seconds of an update.
        fitted: the law, for the sizes that did not.
        cost: `batch_size -> cost of an update`, as the race counted it.
    """
    lines = []
    for size in sorted({*found.batch_sizes, winner.batch_size}):
        if size == winner.batch_size:
            part = 1.0
        elif size in tried and tried[size] > TOLD_RATIO:
            continue
        elif size in tried:
            part = tried[size] * cost(winner.batch_size) / cost(size)
        elif fitted is not None:
            part = fitted.updates(size) / fitted.updates(winner.batch_size)
        else:
            continue
        updates = winner.updates * part
        lines.append(
            {
                "batch_size": size,
                "updates": updates,
                "examples": updates * size,
                "seconds": updates * speed.seconds_at(found, size),
            }
        )
    return lines


def to_winner(
    winner: Trial, finalists: Sequence[Trial], ratios: Sequence[float]
) -> tuple[list[float], dict[int, float]]:
    """Costs over the best of the winner's size: of each finalist, and of the best of each size.

    The winner need not be the best of all: another size may look better, but not surely so.
    """
    best: dict[int, float] = {}
    for one, ratio in zip(finalists, ratios, strict=True):
        best[one.batch_size] = min(ratio, best.get(one.batch_size, math.inf))
    own = best.get(winner.batch_size, 1.0)
    return [ratio / own for ratio in ratios], {size: ratio / own for size, ratio in best.items()}


def flat_region(
    winner: Trial, tried: Mapping[int, float], costs: Mapping[int, float]
) -> tuple[int, int]:
    """The sizes round the winner's that cost at most 10 % more.

    Where a size took part to the end its trial counts, else what the law predicts; the region
    ends at the first size that does not belong to it.

    Args:
        winner: its size is in the region.
        tried: cost over the winner's of the sizes that ran to the end.
        costs: of the sizes in between, as the law predicts.
    """
    least = min(costs.values(), default=math.inf)
    sizes = sorted({*tried, *costs, winner.batch_size})

    def belongs(size: int) -> bool:
        if size in tried:
            return tried[size] <= FLAT
        return costs[size] <= FLAT * min(least, costs.get(winner.batch_size, math.inf))

    place = sizes.index(winner.batch_size)
    low = high = place
    while low > 0 and belongs(sizes[low - 1]):
        low -= 1
    while high + 1 < len(sizes) and belongs(sizes[high + 1]):
        high += 1
    return sizes[low], sizes[high]


def trial_record(trial: Trial, found: Speed, ratio: float | None = None) -> dict[str, Any]:
    """A trial as a record; `ratio` is its cost over the winner's size, where it ran to the end."""
    return {
        "batch_size": trial.batch_size,
        "learning_rate": trial.learning_rate,
        "updates": trial.updates,
        "seconds": trial.updates * speed.seconds_at(found, trial.batch_size),
        "loss": trial.reached if math.isfinite(trial.reached) else None,
        "judged": trial.loss if math.isfinite(trial.loss) else None,
        "diverged": trial.diverged,
        "ratio": ratio,
        "losses": [list(look) for look in trial.losses],
        "marks": [list(mark) for mark in trial.marks],
    }


def speed_records(found: Speed) -> list[dict[str, float]]:
    """A line for each size."""
    return [
        {"batch_size": size, "seconds_per_update": seconds, "peak_memory": memory}
        for size, seconds, memory in zip(
            found.batch_sizes, found.seconds_per_update, found.peak_memory, strict=True
        )
    ]


def law_record(
    fitted: UpdatesLaw | None, level: float, trials: Sequence[Trial]
) -> dict[str, Any] | None:
    """The law and the exponent of the learning rate; None where it could not be fitted."""
    if fitted is None:
        return None
    return {
        "critical": fitted.critical,
        "interval": finite(fitted.interval),
        "least_updates": fitted.least_updates,
        "level": level,
        "rate_exponent": lr_range.rate_exponent(lr_range.best_rates(trials)),
    }


def finite(values: Sequence[float]) -> list[float | None]:
    """The values as JSON holds them: None for what is not finite."""
    return [one if math.isfinite(one) else None for one in values]
