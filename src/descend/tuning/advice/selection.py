"""Select the winner from the trials, say how much the choice matters, and make the records."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from descend.tuning.advice import critical_batch, lr_range, speed
from descend.tuning.advice.critical_batch import MeasuredLaw, UpdatesLaw
from descend.tuning.advice.halving import Cost
from descend.tuning.advice.trials import Trial
from descend.types import Speed

LATE_GAIN = 0.8
"""The law is fitted at a loss where at least this fraction of the best gain was made: the first
updates say nothing about noise."""
MAX_RATIO = 10.0
"""Higher cost ratios are ignored: the trial diverged later, so its update count means nothing."""
EQUAL_WITHIN = 1.10
"""Costs within 10 % count as equal: such batch sizes are the flat region, such rates as good."""
GAIN_OF_LARGER, GAIN_OF_SMALLER = 1.25, 1.4
"""How many times cheaper than the reference a larger or a smaller batch size must be to be chosen.
Which of two neighbours wins a short trial is partly chance, and early losses favour small batches,
because the critical batch size grows as the loss falls (McCandlish et al. 2018, arXiv 1812.06162,
section 2.2)."""
NORMAL_95 = 1.645
"""95 % quantile of the standard normal distribution."""
GAIN_RESOLUTION, LOSS_RESOLUTION = 0.005, 0.05
"""Losses closer than this fraction of the gain since the start, or of the loss itself if that is
less, count as equal: on a plateau smaller differences would stand for long times."""


def cost_ratios(finalists: Sequence[Trial], cost: Cost, start: float) -> list[float]:
    """How many times more than the best trial each one costs to reach the same losses.

    If a trial has a loss l after a cost C, and the trial with the lowest final loss first reached
    l after a cost c, the ratio is C/c. Each trial gets the geometric mean over its evaluations in
    the second half of its updates; the ratios are then divided by the lowest. Losses within
    `GAIN_RESOLUTION` or `LOSS_RESOLUTION` count as equal.

    Args:
        finalists: trials that ran to the end.
        cost: `batch_size -> cost of an update`.
        start: loss of the snapshot.
    """
    leader = min(finalists, key=lambda one: one.score)
    lowest = itertools.accumulate((score for _, score in leader.scores), min)
    spent_at = [updates * cost(leader.batch_size) for updates, _ in leader.scores]
    curve = [(0.0, start), *zip(spent_at, lowest, strict=True)]
    ratios = []
    for one in finalists:
        per_update = cost(one.batch_size)
        half = 0.5 * one.scores[-1][0]
        logs = []
        for updates, loss in one.scores:
            if updates >= half:
                level = loss + equal_within(start, loss, leader.score)
                logs.append(math.log(updates * per_update / _cost_to_reach(curve, level)))
        ratios.append(math.exp(sum(logs) / len(logs)))
    least = min(ratios)
    return [one / least for one in ratios]


def equal_within(start: float, loss: float, lowest: float | None = None) -> float:
    """Difference within which losses count as equal.

    Args:
        start: loss of the snapshot.
        loss: one of the losses.
        lowest: the lowest loss so far; None: `loss`.
    """
    gain = max(0.0, start - (loss if lowest is None else lowest))
    return min(GAIN_RESOLUTION * gain, LOSS_RESOLUTION * abs(loss))


def _cost_to_reach(curve: Sequence[tuple[float, float]], level: float) -> float:
    """The cost at which a falling loss curve first reaches a level, by linear interpolation.

    At least a thousandth of the curve's total cost; that total where the level is never reached.
    """
    before, high = curve[0]
    for spent, loss in curve[1:]:
        if loss <= level:
            part = (high - level) / max(high - loss, 1e-300)
            return max(before + (spent - before) * min(1.0, max(0.0, part)), 1e-3 * curve[-1][0])
        before, high = spent, loss
    return curve[-1][0]


def rank(finalists: Sequence[Trial], ratios: Sequence[float], reference: int) -> list[Trial]:
    """The finalists in the order of preference.

    The reference size comes first unless another is clearly cheaper, and of its rates those whose
    cost equals its best within 10 %. Everything else follows by cost.
    """
    pairs = list(zip(finalists, ratios, strict=True))
    best, least = min(pairs, key=lambda pair: pair[1])
    of_reference = [ratio for one, ratio in pairs if one.batch_size == reference]
    required = required_gain(best.batch_size, reference)
    keeps_reference = of_reference and min(of_reference) <= required * least
    size = reference if keeps_reference else best.batch_size
    equal = EQUAL_WITHIN * min(ratio for one, ratio in pairs if one.batch_size == size)

    def order(pair: tuple[Trial, float]) -> tuple[bool, float]:
        one, ratio = pair
        return one.batch_size != size or ratio > equal, ratio

    return [one for one, _ in sorted(pairs, key=order)]


def required_gain(size: int, reference: int) -> float:
    """How many times cheaper than the reference a batch size must be to be chosen."""
    return GAIN_OF_SMALLER if size < reference else GAIN_OF_LARGER


def good_rates(
    winner: Trial, finalists: Sequence[Trial], ratios: Sequence[float]
) -> tuple[float, float]:
    """The lowest and the highest learning rate of the winner's size that did about as well."""
    good = [
        one.learning_rate
        for one, ratio in zip(finalists, ratios, strict=True)
        if one.batch_size == winner.batch_size and ratio <= EQUAL_WITHIN
    ]
    good.append(winner.learning_rate)
    return min(good), max(good)


def fit_law_to_trials(trials: Sequence[Trial], start: float) -> MeasuredLaw:
    """Fit the law at the lowest loss that three batch sizes crossed with two learning rates each.

    The loss must be crossed, not just reached: a curve is flat at its end, where a slightly
    different loss would mean many more updates. A size is excluded if only one of its rates
    crossed the loss, or if the lowest rate tried was the fastest: its best rate is unknown.

    Args:
        trials: all trials.
        start: loss of the snapshot.

    Returns:
        The updates and the law; no law where too few sizes count or the loss is not low enough.
    """
    rates = lr_range.best_rates(trials)
    sizes = sorted({one.batch_size for one in trials})
    by_size = {size: [one for one in trials if one.batch_size == size] for size in sizes}
    crossed = (sorted(_crossed_loss(one) for one in by_size[size])[1:2] for size in sizes)
    levels = sorted(loss for losses in crossed for loss in losses if math.isfinite(loss))
    if len(levels) < critical_batch.MIN_SIZES:
        return MeasuredLaw(math.nan, rates=rates)
    level = levels[critical_batch.MIN_SIZES - 1]
    best = min(one.score for one in trials)
    if start - level < LATE_GAIN * (start - best):
        return MeasuredLaw(level, rates=rates)
    found = {size: _fewest_updates(by_size[size], level, start) for size in sizes}
    updates = {size: one for size, one in found.items() if one is not None}
    return MeasuredLaw(level, updates, rates, critical_batch.fit_law(updates))


def _crossed_loss(trial: Trial) -> float:
    """The lowest loss that a trial certainly crossed: the higher one of its last two scores."""
    losses = [score for _, score in trial.scores]
    return max(losses[-2:]) if len(losses) > 1 and not trial.diverged else math.inf


def _fewest_updates(trials: Sequence[Trial], level: float, start: float) -> float | None:
    """Updates to a loss with the fastest rate of a batch size; None if that is not known."""
    reached = [critical_batch.updates_to(((1, start), *one.scores), level) for one in trials]
    times = [math.inf if one is None else one for one in reached]
    least = min(times)
    rate = trials[times.index(least)].learning_rate
    slower = any(one.learning_rate < rate and one.updates >= least for one in trials)
    return least if slower and sum(map(math.isfinite, times)) > 1 else None


def predict_costs(
    winner: Trial,
    tried: Mapping[int, float],
    found: Speed,
    fitted: UpdatesLaw | None,
    cost: Cost,
) -> list[dict[str, float]]:
    """What each batch size is predicted to need to reach the winner's loss.

    Args:
        winner: the trial that was selected.
        tried: measured cost over the winner's, of the batch sizes that ran to the end.
        found: seconds of an update.
        fitted: the law, for the other sizes.
        cost: `batch_size -> cost of an update`, as counted in the trials.
    """
    lines = []
    for size in sorted({*found.batch_sizes, winner.batch_size}):
        if size == winner.batch_size:
            part = 1.0
        elif size in tried and tried[size] > MAX_RATIO:
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


def relative_to_winner(
    winner: Trial, finalists: Sequence[Trial], ratios: Sequence[float]
) -> tuple[list[float], dict[int, float]]:
    """Costs relative to the best of the winner's size: of each finalist, and of each batch size.

    The winner need not be the cheapest of all: another size may look cheaper, but not clearly so.
    """
    best: dict[int, float] = {}
    for one, ratio in zip(finalists, ratios, strict=True):
        best[one.batch_size] = min(ratio, best.get(one.batch_size, math.inf))
    unit = best.get(winner.batch_size, 1.0)
    return [ratio / unit for ratio in ratios], {size: ratio / unit for size, ratio in best.items()}


def flat_region(
    winner: Trial,
    tried: Mapping[int, float],
    costs: Mapping[int, float],
    timing: Callable[[int], float] = lambda size: 0.0,
) -> tuple[int, int]:
    """The range of batch sizes around the winner's that cost at most 10 % more.

    Or that may do so, where other work on the machine disturbed the timing of their updates.

    For a size that ran to the end its trial counts, otherwise the prediction of the law. The range
    ends at the first size that costs more.

    Args:
        winner: its size is in the range.
        tried: measured cost over the winner's, of the batch sizes that ran to the end.
        costs: predicted by the law, by batch size.
        timing: `batch size -> standard deviation` of the logarithm of its cost over the winner's,
            as far as it comes from timing.
    """
    own = costs.get(winner.batch_size, min(costs.values(), default=math.inf))
    sizes = sorted({*tried, *costs, winner.batch_size})

    def belongs(size: int) -> bool:
        within = EQUAL_WITHIN * math.exp(timing(size))
        if size in tried:
            return tried[size] <= within
        return costs[size] <= within * own

    place = sizes.index(winner.batch_size)
    low = high = place
    while low > 0 and belongs(sizes[low - 1]):
        low -= 1
    while high + 1 < len(sizes) and belongs(sizes[high + 1]):
        high += 1
    return sizes[low], sizes[high]


def timing_spread(found: Speed, size: int, other: int) -> float:
    """Standard deviation of the logarithm of the ratio of two sizes' costs, from timing alone."""
    if size == other:
        return 0.0
    return math.hypot(speed.spread_at(found, size), speed.spread_at(found, other))


def ratio_interval(ratio: float, timing: float = 0.0) -> list[float]:
    """90 % interval of a cost ratio of two trials.

    From the standard deviation of the logarithm of a single trial's updates (`PRIOR_SPREAD`):
    two seeds of one setting differ by about that much; and from that of the timing.

    >>> [round(end, 2) for end in ratio_interval(1.0)]
    [0.67, 1.49]
    """
    width = NORMAL_95 * math.hypot(math.sqrt(2.0) * critical_batch.PRIOR_SPREAD, timing)
    return [ratio * math.exp(-width), ratio * math.exp(width)]


def trial_record(
    trial: Trial, found: Speed, ratio: float | None = None, timing: float = 0.0
) -> dict[str, Any]:
    """A trial as a record.

    Args:
        trial: what is recorded.
        found: seconds of an update.
        ratio: its cost over the winner's, if it ran to the end.
        timing: standard deviation of the logarithm of that ratio, from timing alone.
    """
    return {
        "batch_size": trial.batch_size,
        "learning_rate": trial.learning_rate,
        "updates": trial.updates,
        "seconds": trial.updates * speed.seconds_at(found, trial.batch_size),
        "loss": trial.best_loss if math.isfinite(trial.best_loss) else None,
        "judged": trial.score if math.isfinite(trial.score) else None,
        "diverged": trial.diverged,
        "ratio": ratio,
        "ratio_interval": None if ratio is None else ratio_interval(ratio, timing),
        "losses": [list(evaluation) for evaluation in trial.losses],
        "marks": [list(score) for score in trial.scores],
    }


def speed_records(found: Speed) -> list[dict[str, float]]:
    """A record for each batch size."""
    return [
        {"batch_size": size, "seconds_per_update": seconds, "peak_memory": memory}
        for size, seconds, memory in zip(
            found.batch_sizes, found.seconds_per_update, found.peak_memory, strict=True
        )
    ]


def law_record(measured: MeasuredLaw) -> dict[str, Any] | None:
    """The law and the exponent of the learning rate as a record; None if it could not be fitted."""
    if measured.law is None:
        return None
    return {
        "critical": measured.law.critical,
        "interval": finite(measured.law.interval),
        "least_updates": measured.law.least_updates,
        "level": measured.level,
        "points": [
            {"batch_size": size, "updates": updates, "learning_rate": measured.rates.get(size)}
            for size, updates in sorted(measured.updates.items())
        ],
        "rate_exponent": lr_range.rate_exponent(measured.rates),
    }


def finite(values: Sequence[float]) -> list[float | None]:
    """The values as JSON can hold them: None for what is not finite."""
    return [one if math.isfinite(one) else None for one in values]
