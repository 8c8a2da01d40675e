"""Scores of a model: its predictions for rows that have a target, beside the targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from descend.data.schema.columns import ClassificationTarget
from descend.errors import DataError
from descend.metrics import (
    ClassificationScore,
    HingeScore,
    LabelScore,
    QuantileScore,
    RegressionScore,
)
from descend.types import Batch

if TYPE_CHECKING:
    from descend.model.model import Model


def score(model: Model, parts: Iterator[Batch]) -> dict[str, dict[str, float]]:
    """Metrics over encoded rows."""
    target = model.schema.target
    if isinstance(target, ClassificationTarget):
        kind = HingeScore if model.settings.loss == "hinge" else ClassificationScore
        classes = kind(np.asarray(target.shares, dtype=np.float64))
        for part in model.pieces(parts):
            classes.add(part.y, model.outputs(part.x), part.weight.astype(np.float64))
        return _result(classes)
    numbers: RegressionScore | QuantileScore | LabelScore
    if model.settings.quantiles:
        trivial = np.asarray(target.quantiles, dtype=np.float64)
        numbers = QuantileScore(model.settings.quantiles, trivial)
    elif model.settings.loss == "binary_cross_entropy":
        numbers = LabelScore(np.asarray(target.mean, dtype=np.float64))
    else:
        mean = np.asarray(target.mean, dtype=np.float64)
        numbers = RegressionScore(mean, names=target.names)
    for part in model.pieces(parts):
        truth = model.encoder.decode_regression(part.y)
        predicted = model.decoded(model.outputs(part.x)).values
        numbers.add(truth, predicted, part.weight.astype(np.float64))
    return _result(numbers)


def predictions_and_targets(
    model: Model, parts: Iterator[Batch]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Predictions for encoded rows as `predict` gives them, and their targets likewise.

    Rows of weight 0 are left out.
    """
    classes = isinstance(model.schema.target, ClassificationTarget)
    values, truths = [], []
    for part in model.pieces(parts):
        used = part.weight > 0
        values.append(model.decoded(model.outputs(part.x)).values[used])
        encoder = model.encoder
        decode = encoder.decode_classes if classes else encoder.decode_regression
        truths.append(np.asarray(decode(part.y))[used])
    y = np.concatenate(truths)
    return model.shaped(np.concatenate(values)), y if classes or y.shape[1] > 1 else y[:, 0]


def _result(
    score: ClassificationScore | RegressionScore | QuantileScore | LabelScore,
) -> dict[str, dict[str, float]]:
    """The metrics, or a DataError where no row was counted."""
    if not score.weight > 0:
        raise DataError(
            "No row is left to compute metrics on: every row lacks its target or its weight, or "
            "has a class that training did not have. Expected rows with a target as in training."
        )
    return score.result()
