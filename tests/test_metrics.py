"""Metrics that are added up part by part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descend import metrics
from descend.metrics import ClassificationScore, HingeScore, Ranks, RegressionScore


def score(truth: list[float], predicted: list[float], mean: float) -> dict[str, float]:
    made = RegressionScore(np.array([mean]))
    for part in np.array_split(np.arange(len(truth)), 3):
        y = np.asarray(truth)[part][:, None]
        made.add(y, np.asarray(predicted)[part][:, None], np.ones(len(part)))
    return made.result()["model"]


@pytest.mark.parametrize("value", [7.0, 0.1, 1e9 + 0.1])
def test_r2_of_equal_targets_has_no_value(value: float) -> None:
    """It had been -1e16: rounding left a spread of 1e-15 beside the mean of training."""
    found = score([value] * 40, [0.3] * 40, mean=-0.0123)
    assert math.isnan(found["r2"])
    assert found["rmse"] == pytest.approx(abs(value - 0.3))


def test_r2_far_from_the_mean_of_training() -> None:
    truth = 1e9 + np.linspace(0, 1e-3, 50)
    predicted = truth + 1e-4 * np.sin(np.arange(50))
    expected = 1 - np.sum((predicted - truth) ** 2) / np.sum((truth - truth.mean()) ** 2)
    assert score(truth.tolist(), predicted.tolist(), mean=0.0)["r2"] == pytest.approx(
        expected, rel=1e-4
    )


def test_targets_of_different_units_have_an_error_each() -> None:
    """The mean of both had been that of the first alone."""
    random = np.random.default_rng(0)
    truth = random.normal(size=(50, 2)) * [1000.0, 0.1]
    predicted = truth + random.normal(size=(50, 2)) * [100.0, 0.05]
    weight = random.uniform(size=50)
    made = RegressionScore(np.zeros(2), names=("price", "share"))
    for part in np.array_split(np.arange(50), 3):
        made.add(truth[part], predicted[part], weight[part])
    found = made.result()
    assert list(found["model"]) == [
        "r2",
        *(f"{m} ({t})" for t in made.names for m in ("rmse", "mae")),
    ]
    for place, name in enumerate(made.names):
        error = predicted[:, place] - truth[:, place]
        mean = np.average(np.abs(error), weights=weight)
        assert found["model"][f"mae ({name})"] == pytest.approx(mean)
        rmse = np.sqrt(np.average(error**2, weights=weight))
        assert found["model"][f"rmse ({name})"] == pytest.approx(rmse)
        trivial = np.average(np.abs(truth[:, place]), weights=weight)
        assert found["baseline"][f"mae ({name})"] == pytest.approx(trivial)


@pytest.mark.parametrize("score", [ClassificationScore, HingeScore])
def test_rows_of_one_class_have_no_auc(score: type[ClassificationScore]) -> None:
    found = score(np.array([0.5, 0.5]))
    found.add(np.array([1, 1], np.int32), np.array([[0.2, 0.8], [0.6, 0.4]]), np.ones(2))
    one = found.result()
    assert math.isnan(one["model"]["auc"])
    assert math.isnan(one["baseline"]["auc"])
    found.add(np.array([0], np.int32), np.array([[0.9, 0.1]]), np.ones(1))
    both = found.result()
    assert both["model"]["auc"] == 1.0
    assert both["baseline"]["auc"] == 0.5


def exact_area(score: np.ndarray, positive: np.ndarray, weight: np.ndarray) -> float:
    """By its definition, over all pairs."""
    ups, downs = np.flatnonzero(positive), np.flatnonzero(~positive)
    above = score[ups][:, None] - score[downs][None]
    pairs = weight[ups][:, None] * weight[downs][None]
    return float(np.sum(pairs * ((above > 0) + 0.5 * (above == 0))) / np.sum(pairs))


@pytest.mark.parametrize("most", [1 << 20, 50])
@pytest.mark.parametrize("share", [0.5, 1e-3, 1e-6, 1 - 1e-6])
def test_area_of_rare_classes(monkeypatch: pytest.MonkeyPatch, most: int, share: float) -> None:
    """Where a class is rare, all probabilities lie close together, and their order counts."""
    monkeypatch.setattr(metrics, "MOST_EXACT", most)
    random = np.random.default_rng(5)
    odds = random.normal(np.log(share / (1 - share)), 1.0, 300)
    odds[::7] = odds[0]
    positive = random.random(300) < 1 / (1 + np.exp(-(odds - np.median(odds))))
    weight = random.uniform(0, 3, 300)
    ranks = Ranks()
    for part in np.array_split(np.arange(300), 4):
        ranks.add(1 / (1 + np.exp(-odds[part])), positive[part], weight[part])
    expected = exact_area(odds, positive, weight)
    assert 0.6 < expected < 0.9
    assert ranks.area() == pytest.approx(expected, abs=1e-12 if most > 300 else 1e-4)


def test_targets_in_other_units_count_alike() -> None:
    random = np.random.default_rng(2)
    truth = np.stack([1e6 * random.normal(size=50), random.normal(size=50)], axis=1)
    predicted = np.stack([truth[:, 0], np.zeros(50)], axis=1)
    found = RegressionScore(np.zeros(2))
    found.add(truth, predicted, np.ones(50))
    spread = np.sum((truth[:, 1] - truth[:, 1].mean()) ** 2)
    expected = (1.0 + 1 - np.sum(truth[:, 1] ** 2) / spread) / 2
    assert found.result()["model"]["r2"] == pytest.approx(expected)
    parts = RegressionScore(np.zeros(2), one_unit=True)
    parts.add(truth, predicted, np.ones(50))
    assert parts.result()["model"]["r2"] > 0.999
