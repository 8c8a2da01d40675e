"""Metrics with bootstrap intervals, and the curves and tables of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import Numbers, Sample

RESAMPLES = 400
LEVEL = 0.90
MOST_RESAMPLED = 4000
"""Rows of a bootstrap; the interval of more rows is scaled down by the square root of the ratio."""
MOST_CLASSES = 12
CURVE_POINTS = 80


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
    """Each metric for each row of weights `[R, n]`."""
    total = np.maximum(weights.sum(axis=1), 1e-300)
    if not sample.classes:
        error = predicted - sample.truth
        squared = weights @ error**2 / total
        mean = weights @ sample.truth / total
        spread = np.maximum(weights @ sample.truth**2 / total - mean**2, 1e-300)
        return {
            "r2": 1.0 - squared / spread,
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
    chosen = np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).round().astype(int))
    return {
        "positive": sample.classes[1],
        "share": float(hits[-1] / (hits[-1] + false[-1])),
        "roc": [[0.0, *fallout[chosen].tolist()], [0.0, *recall[chosen].tolist()]],
        "precision_recall": [recall[chosen].tolist(), precision[chosen].tolist()],
    }


def confusion(sample: Sample) -> dict[str, Any]:
    """Rows by true and predicted class: the most frequent classes, and the rest together."""
    predicted = sample.predicted.argmax(axis=1)
    truth = sample.truth.astype(int)
    counts = np.zeros((len(sample.classes),) * 2, np.int64)
    np.add.at(counts, (truth, predicted), 1)
    names = list(sample.classes)
    if len(names) > MOST_CLASSES:
        order = np.argsort(-counts.sum(axis=1), kind="stable")
        kept = np.sort(order[: MOST_CLASSES - 1])
        group = np.full(len(names), len(kept))
        group[kept] = np.arange(len(kept))
        small = np.zeros((len(kept) + 1,) * 2, np.int64)
        np.add.at(small, (group[truth], group[predicted]), 1)
        counts, names = small, [*(names[one] for one in kept), "(other classes)"]
    return {"classes": names, "counts": counts.tolist()}


def calibration(sample: Sample, bins: int = 10) -> list[dict[str, float]]:
    """Predicted probability against how often it was right, in bins of equal rows.

    For two classes the probability of the second, for more that of the predicted class. The
    interval is Wilson's (1927), 90 %.
    """
    if len(sample.classes) == 2:
        probability, right = sample.predicted[:, 1], sample.truth > 0.5
    else:
        probability = sample.predicted.max(axis=1)
        right = sample.predicted.argmax(axis=1) == sample.truth
    order = np.argsort(probability, kind="stable")
    found = []
    for part in np.array_split(order, min(bins, max(1, len(order) // 10))):
        if not len(part):
            continue
        share = float(right[part].mean())
        low, high = wilson(share, len(part))
        found.append(
            {
                "predicted": float(probability[part].mean()),
                "observed": share,
                "low": low,
                "high": high,
                "rows": len(part),
            }
        )
    return found


def per_class(sample: Sample) -> list[dict[str, Any]]:
    """Precision and recall of each class, the most frequent first."""
    predicted, truth = sample.predicted.argmax(axis=1), sample.truth.astype(int)
    found: list[dict[str, Any]] = []
    for code, name in enumerate(sample.classes):
        real, said = truth == code, predicted == code
        both = int(np.sum(real & said))
        found.append(
            {
                "class": name,
                "rows": int(real.sum()),
                "precision": both / int(said.sum()) if said.any() else None,
                "recall": both / int(real.sum()) if real.any() else None,
            }
        )
    return sorted(found, key=lambda one: -int(one["rows"]))[: 2 * MOST_CLASSES]


def wilson(share: float, rows: float, z: float = 1.645) -> tuple[float, float]:
    """The 90 % interval of a share that was found in `rows` rows (Wilson 1927)."""
    middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
    half = z / (1 + z * z / rows) * np.sqrt(share * (1 - share) / rows + z * z / (4 * rows * rows))
    return float(max(0.0, middle - half)), float(min(1.0, middle + half))
