"""Scores, curves and their intervals, against scikit-learn and by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from descend.assessment import scores
from descend.assessment.failures import slices
from descend.assessment.sample import Sample
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn


def test_the_bootstrap_interval_of_a_mean_is_the_normal_one() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(size=4000)
    predicted = truth + random.normal(size=4000)
    sample = Sample({}, truth, predicted, np.ones(4000), lambda x: predicted, ())
    low, high = scores.score_intervals(sample, predicted, np.zeros(4000), 0)["mae"]
    error = np.abs(predicted - truth)
    half = 1.645 * error.std() / np.sqrt(4000)
    assert (high - low) / 2 == pytest.approx(half, rel=0.15)
    assert low < error.mean() < high


def test_the_interval_of_r2_far_from_zero() -> None:
    """The squares of numbers near 1e9 have no digits left for differences of 1."""
    random = np.random.default_rng(0)
    truth = random.normal(size=400)
    predicted = truth + 0.5 * random.normal(size=400)
    ends = []
    for origin in (0.0, 1e9):
        sample = Sample({}, truth + origin, predicted + origin, np.ones(400), lambda x: x, ())
        ends.append(scores.score_intervals(sample, sample.predicted, np.zeros(400), 0)["r2"])
    assert ends[1] == pytest.approx(ends[0], abs=1e-5)


def test_the_auc_counts_ties_half() -> None:
    probabilities = np.array([0.1, 0.4, 0.4, 0.8])
    predicted = np.stack([1 - probabilities, probabilities], axis=1)
    truth = np.array([0.0, 0.0, 1.0, 1.0])
    sample = Sample({}, truth, predicted, np.ones(4), lambda x: predicted, ("no", "yes"))
    assert scores.scores(sample, predicted, predicted)["auc"] == pytest.approx(3.5 / 4)


def test_few_rows_that_are_all_right_leave_room_for_errors() -> None:
    kind = np.array([0] * 3 + [1] * 300)
    predicted = np.tile([1.0, 0.0], (303, 1))
    predicted[100:150] = [0.0, 1.0]
    column = CategoryColumn("kind", "text", 0, 2, ("few", "many"), (3, 300))
    x = {"category": (kind + 1)[:, None].astype(np.int32)}
    sample = Sample(x, np.zeros(303), predicted, np.ones(303), lambda _: predicted, ("a", "b"))
    [found] = slices(sample, [Places(column, (), 0)])
    few, many = found["parts"]
    assert few["error"] == few["low"] == 0.0
    assert few["high"] > 0.4
    assert many["low"] < many["error"] < many["high"] < few["high"]


def classified(
    truth: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None = None
) -> Sample:
    """Rows of a classifier whose classes are `c0`, `c1`, ..."""
    names = tuple(f"c{one}" for one in range(predicted.shape[1]))
    weight = np.ones(len(truth)) if weight is None else weight
    return Sample({}, truth.astype(float), predicted, weight, lambda _: predicted, names)


def two_classes(
    rows: int, share: float, ties: bool, weights: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The truth, the probabilities of the second class and the weights of made-up rows."""
    random = np.random.default_rng(rows)
    truth = random.random(rows) < share
    score = 1 / (1 + np.exp(-(random.normal(size=rows) + 2.0 * truth - 1.0)))
    score = np.round(score, 1) if ties else score
    weight = random.lognormal(size=rows) if weights else np.ones(rows)
    return truth, score, weight


CASES = pytest.mark.parametrize(
    ("rows", "share", "ties", "weights"),
    [
        (40, 0.4, False, False),
        (60, 0.5, True, True),
        (3000, 0.3, True, False),
        (8000, 0.5, False, True),
        (20_000, 0.005, False, False),
        (20_000, 0.99, False, True),
    ],
)


@CASES
def test_the_curves_of_two_classes_are_those_of_scikit_learn(
    rows: int, share: float, ties: bool, weights: bool
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    truth, score, weight = two_classes(rows, share, ties, weights)
    found = scores.curves(classified(truth, np.stack([1 - score, score], axis=1), weight))
    fallout, recall, _ = metrics.roc_curve(
        truth, score, sample_weight=weight, drop_intermediate=False
    )
    x, y = map(np.asarray, found["roc"])
    assert len(x) <= scores.CURVE_POINTS
    # Each point drawn is one of the curve, and the curve lies near the lines between them.
    assert _distance((x, y), (fallout, recall)) < 1e-9
    assert _distance((fallout, recall), (x, y)) < 0.004
    area = metrics.roc_auc_score(truth, score, sample_weight=weight)
    assert np.trapezoid(y, x) == pytest.approx(area, abs=1e-3)

    precision, recall, _ = metrics.precision_recall_curve(truth, score, sample_weight=weight)
    x, y = map(np.asarray, found["precision_recall"])
    assert len(x) <= scores.CURVE_POINTS
    # scikit-learn ends its curve at precision 1, which no row has.
    assert _distance((x[1:], y[1:]), (recall[:-1], precision[:-1])) < 1e-9
    assert x[0] == 0.0
    assert y[0] in precision
    assert _distance((recall[:-1], precision[:-1]), (x, y)) < 0.02
    assert found["share"] == pytest.approx(np.average(truth, weights=weight))


def _distance(points: Any, curve: Any) -> float:
    """The largest distance of points `[x, y]` from the lines between the points of a curve."""
    here = np.stack(points, axis=1)
    here = here[:: max(1, len(here) // 2000)]
    along = np.stack(curve, axis=1)
    starts, steps = along[:-1], np.diff(along, axis=0)
    length = np.maximum((steps**2).sum(axis=1), 1e-300)
    largest = 0.0
    for point in here:
        part = np.clip(((point - starts) * steps).sum(axis=1) / length, 0, 1)
        nearest = starts + part[:, None] * steps
        largest = max(largest, float(np.sqrt(((point - nearest) ** 2).sum(axis=1)).min()))
    return largest


@CASES
def test_the_calibration_of_two_classes_is_that_of_scikit_learn(
    rows: int, share: float, ties: bool, weights: bool
) -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    truth, score, _ = two_classes(rows, share, False, False)
    sample = classified(truth, np.stack([1 - score, score], axis=1))
    observed, predicted = calibration.calibration_curve(
        truth, score, n_bins=min(10, rows // 10), strategy="quantile"
    )
    found = scores.calibration(sample)
    if rows % len(found) == 0 and rows > 100:
        # Its bins end between two quantiles, which is where ours end but for a row.
        np.testing.assert_allclose([one["observed"] for one in found], observed, atol=0.01)
        np.testing.assert_allclose([one["predicted"] for one in found], predicted, atol=0.01)
    # A row of weight 2 counts as two rows.
    double = classified(truth, sample.predicted, np.full(rows, 2.0))
    assert [one["observed"] for one in scores.calibration(double)] == pytest.approx(
        [one["observed"] for one in found]
    )
    heavy = classified(truth, sample.predicted, np.where(truth, 3.0, 1.0))
    for one, other in zip(scores.calibration(heavy), found, strict=True):
        hits = other["observed"]
        assert one["observed"] == pytest.approx(3 * hits / (3 * hits + (1 - hits)))


@pytest.mark.parametrize("classes", [2, 5, 30])
@pytest.mark.parametrize("weights", [False, True])
def test_confusion_precision_and_recall_are_those_of_scikit_learn(
    classes: int, weights: bool
) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(classes)
    truth = random.integers(0, classes, 2000) * random.integers(0, 2, 2000)
    predicted = random.dirichlet(np.ones(classes), size=2000)
    predicted[np.arange(2000), truth] += 0.2
    weight = random.lognormal(size=2000) if weights else np.ones(2000)
    sample = classified(truth, predicted, weight)
    said = predicted.argmax(axis=1)
    found = scores.confusion(sample)
    labels = list(range(classes))
    expected = metrics.confusion_matrix(truth, said, labels=labels)
    sums = metrics.confusion_matrix(truth, said, labels=labels, sample_weight=weight)
    if classes <= scores.MOST_CLASSES:
        np.testing.assert_array_equal(found["counts"], expected)
        if weights:
            np.testing.assert_allclose(found["weights"], sums)
    else:
        # The rarest classes are one; what is right among them stays on the diagonal.
        shown = [int(name[1:]) for name in found["classes"][:-1]]
        block = np.asarray(found["counts"])
        np.testing.assert_array_equal(block[:-1, :-1], expected[np.ix_(shown, shown)])
        assert block.sum() == 2000
    assert ("weights" in found) == weights
    per = metrics.precision_recall_fscore_support(
        truth, said, labels=labels, sample_weight=weight, zero_division=0.0
    )
    for one in scores.per_class(sample):
        code = int(one["class"][1:])
        assert one["precision"] == pytest.approx(per[0][code])
        assert one["recall"] == pytest.approx(per[1][code])
        assert one["rows"] == int((truth == code).sum())
