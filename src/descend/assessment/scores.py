"""Metrics with bootstrap intervals, and the curves and tables of a classifier."""

from __future__ import annotations

import heapq
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import Numbers, Sample

RESAMPLES = 400
LEVEL = 0.90
MOST_RESAMPLED = 4000
"""Rows of a bootstrap; the interval of more rows is scaled down by the square root of the ratio."""
MOST_CLASSES = 12
Z = 1.645
"""Of a 90 % interval."""
CURVE_POINTS = 120
BINS = 10
"""Of predicted probabilities, in which the share that was right is counted."""
"""Of a drawn curve; the area below it stays the same to a thousandth."""
TINY = 1e-9
"""A point that is no farther from the line between its neighbours adds nothing to a curve."""


def interval(values: Numbers, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of bootstrap values (percentile interval, Efron 1979)."""
    known = values[np.isfinite(values)]
    if not len(known):
        return float("nan"), float("nan")
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def scores(sample: Sample, predicted: Numbers, trivial: Numbers) -> dict[str, float]:
    """The metrics of predictions over all rows of a sample."""
    return {
        name: float(values[0])
        for name, values in _metrics_by_weights(
            sample, predicted, trivial, sample.weight[None, :]
        ).items()
    }


def score_intervals(
    sample: Sample, predicted: Numbers, trivial: Numbers, seed: int
) -> dict[str, tuple[float, float]]:
    """A 90 % bootstrap interval of each metric, over the rows.

    Args:
        sample: the rows.
        predicted: of the model, like `sample.predicted`.
        trivial: of the trivial model: `[]` for regression, `[K]` for classification.
        seed: of the resamples.
    """
    small = sample.first(MOST_RESAMPLED)
    count = len(small)
    random = np.random.default_rng(seed)
    draws = random.multinomial(count, np.full(count, 1.0 / count), size=RESAMPLES)
    weights = draws * small.weight
    found = _metrics_by_weights(small, predicted[:count], trivial, weights)
    middle = _metrics_by_weights(small, predicted[:count], trivial, small.weight[None, :])
    # The spread of a mean shrinks with the square root of its rows.
    shrink = np.sqrt(count / len(sample))
    whole = scores(sample, predicted, trivial)
    ends = {}
    for name, values in found.items():
        low, high = interval(values)
        at = float(middle[name][0])
        ends[name] = (whole[name] + shrink * (low - at), whole[name] + shrink * (high - at))
    return ends


def _metrics_by_weights(
    sample: Sample, predicted: Numbers, trivial: Numbers, weights: Numbers
) -> dict[str, Numbers]:
    """Each metric for each row of weights `[R, n]`; R² is NaN where all values are equal."""
    total = np.maximum(weights.sum(axis=1), 1e-300)
    if not sample.classes:
        error = predicted - sample.truth
        squared = weights @ error**2 / total
        # From their mean: squares of 1e9 + 1 have no digits left for what they differ by.
        centred = sample.truth - np.average(sample.truth)
        mean = weights @ centred / total
        spread = weights @ centred**2 / total - mean**2
        varies = (spread > 0) & (np.ptp(sample.truth) > 0)
        return {
            "r2": 1.0 - squared / np.where(varies, spread, np.nan),
            "rmse": np.sqrt(squared),
            "mae": weights @ np.abs(error) / total,
        }
    right = predicted.argmax(axis=1) == sample.truth
    found = {
        "accuracy": weights @ right / total,
        "log_loss": weights @ sample.losses(predicted) / total,
    }
    if len(sample.classes) == 2:
        found["auc"] = _areas(predicted[:, 1], sample.truth > 0.5, weights)
    return found


def _areas(score: Numbers, positive: npt.NDArray[np.bool_], weights: Numbers) -> Numbers:
    """AUC for each row of weights; ties count half."""
    order = np.argsort(score, kind="stable")
    _, groups = np.unique(score[order], return_inverse=True)
    ups = weights[:, order] * positive[order]
    downs = weights[:, order] * ~positive[order]
    starts = np.flatnonzero(np.r_[True, np.diff(groups) > 0])
    up, down = np.add.reduceat(ups, starts, axis=1), np.add.reduceat(downs, starts, axis=1)
    below = np.cumsum(down, axis=1) - down
    pairs = up.sum(axis=1) * down.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.sum(up * (below + 0.5 * down), axis=1) / pairs)


def curves(sample: Sample) -> dict[str, Any]:
    """ROC and precision-recall of the second of two classes; empty for other targets."""
    if len(sample.classes) != 2:
        return {}
    score, positive = sample.predicted[:, 1], sample.truth > 0.5
    order = np.argsort(-score, kind="stable")
    hits = np.cumsum(sample.weight[order] * positive[order])
    false = np.cumsum(sample.weight[order] * ~positive[order])
    # Only where the score changes: rows of one score are accepted together.
    ends = np.flatnonzero(np.r_[np.diff(score[order]) != 0, True])
    if hits[-1] == 0 or false[-1] == 0:
        return {}
    recall, fallout = hits[ends] / hits[-1], false[ends] / false[-1]
    precision = hits[ends] / (hits[ends] + false[ends])
    roc = _thinned(np.r_[0.0, fallout], np.r_[0.0, recall])
    # Before the first row nothing is found, with the precision of that row.
    found = _thinned(np.r_[0.0, recall], np.r_[precision[0], precision])
    return {
        "positive": sample.classes[1],
        "share": float(hits[-1] / (hits[-1] + false[-1])),
        "roc": [one.tolist() for one in roc],
        "precision_recall": [one.tolist() for one in found],
    }


def _thinned(x: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    """At most `CURVE_POINTS` points of a curve, which stays near them.

    The point that is farthest from the lines between the points taken is taken next (Ramer 1972,
    Douglas & Peucker 1973), so that many lie where the curve bends: points evenly spaced in the
    rows would leave out its beginning where one class is rare.
    """

    def farthest(first: int, last: int) -> tuple[float, int, int, int]:
        """The negative distance of the farthest point from the line between two, and places."""
        if last - first < 2:
            return 0.0, first, first, last
        along, up = x[last] - x[first], y[last] - y[first]
        inner = slice(first + 1, last)
        apart = np.abs(along * (y[inner] - y[first]) - up * (x[inner] - x[first]))
        length = float(np.hypot(along, up))
        if length == 0:  # Two points at one place: their line is that place.
            apart, length = np.hypot(x[inner] - x[first], y[inner] - y[first]), 1.0
        place = int(np.argmax(apart))
        return -float(apart[place]) / length, first + 1 + place, first, last

    kept = {0, len(x) - 1}
    parts = [farthest(0, len(x) - 1)]
    while len(kept) < CURVE_POINTS and parts[0][0] < -TINY:
        _, place, first, last = heapq.heappop(parts)
        kept.add(place)
        heapq.heappush(parts, farthest(first, place))
        heapq.heappush(parts, farthest(place, last))
    chosen = sorted(kept)
    return x[chosen], y[chosen]


def confusion(sample: Sample) -> dict[str, Any]:
    """Rows by true and predicted class: the most frequent classes, and the rest together.

    Where rows have weights, `weights` holds their sums beside the counts.
    """
    predicted = sample.predicted.argmax(axis=1)
    truth = sample.truth.astype(int)
    names = list(sample.classes)
    if len(names) > MOST_CLASSES:
        rows = np.bincount(truth, minlength=len(names))
        kept = np.sort(np.argsort(-rows, kind="stable")[: MOST_CLASSES - 1])
        group = np.full(len(names), len(kept))
        group[kept] = np.arange(len(kept))
        truth, predicted = group[truth], group[predicted]
        names = [*(names[one] for one in kept), "(other classes)"]
    counts = np.zeros((len(names),) * 2, np.int64)
    np.add.at(counts, (truth, predicted), 1)
    found: dict[str, Any] = {"classes": names, "counts": counts.tolist()}
    if sample.weighted:
        sums = np.zeros((len(names),) * 2)
        np.add.at(sums, (truth, predicted), sample.weight)
        found["weights"] = sums.tolist()
    return found


def calibration(sample: Sample) -> list[dict[str, float]]:
    """Predicted probability against how often it was right, in bins of equal rows.

    For two classes the probability of the second, for more that of the predicted class. Both are
    means by weight. The interval is Wilson's (1927), 90 %; weights that differ count as fewer
    rows, (Σw)²/Σw² (Kish 1965).
    """
    if len(sample.classes) == 2:
        probability, right = sample.predicted[:, 1], sample.truth > 0.5
    else:
        probability = sample.predicted.max(axis=1)
        right = sample.predicted.argmax(axis=1) == sample.truth
    order = np.argsort(probability, kind="stable")
    found = []
    for part in np.array_split(order, min(BINS, max(1, len(order) // 10))):
        if not len(part):
            continue
        weight = sample.weight[part]
        share = float(np.average(right[part], weights=weight))
        low, high = wilson(share, float(weight.sum() ** 2 / np.sum(weight**2)))
        found.append(
            {
                "predicted": float(np.average(probability[part], weights=weight)),
                "observed": share,
                "low": low,
                "high": high,
                "rows": len(part),
            }
        )
    return found


def per_class(sample: Sample) -> list[dict[str, Any]]:
    """Precision and recall of each class by weight, the most frequent first."""
    predicted, truth = sample.predicted.argmax(axis=1), sample.truth.astype(int)
    found: list[dict[str, Any]] = []
    for code, name in enumerate(sample.classes):
        real, said = truth == code, predicted == code
        both = float(sample.weight[real & said].sum())
        found.append(
            {
                "class": name,
                "rows": int(real.sum()),
                "precision": both / float(sample.weight[said].sum()) if said.any() else None,
                "recall": both / float(sample.weight[real].sum()) if real.any() else None,
            }
        )
    return sorted(found, key=lambda one: -int(one["rows"]))[: 2 * MOST_CLASSES]


def wilson(share: float, rows: float) -> tuple[float, float]:
    """The 90 % interval of a share that was found in `rows` rows (Wilson 1927)."""
    middle = (share + Z * Z / (2 * rows)) / (1 + Z * Z / rows)
    half = Z / (1 + Z * Z / rows) * np.sqrt(share * (1 - share) / rows + Z * Z / (4 * rows * rows))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
