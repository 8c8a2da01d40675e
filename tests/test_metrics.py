"""Metrics that are added up part by part."""

from __future__ import annotations

import math

import numpy as np
import pytest

from descend.metrics import ClassificationScore, HingeScore, RegressionScore


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
