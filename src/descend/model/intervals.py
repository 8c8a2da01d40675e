"""Intervals of predictions, and their calibration on rows that the model has not learned from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from descend.data.schema.columns import ClassificationTarget, RegressionTarget
from descend.errors import SettingsError
from descend.training.intervals import Calibration, calibrate, half_widths
from descend.types import Batch

if TYPE_CHECKING:
    from descend.model.model import Model

Numbers = npt.NDArray[np.float64]


def interval(model: Model, x: Mapping[str, npt.NDArray[Any]], level: float) -> Numbers:
    """`[n, k, 2]`: lower and upper bounds for encoded rows."""
    calibration = check_interval(model, level)
    values, spread = _values_and_spread(model, x)
    half = half_widths(calibration, spread, level)
    bounds = np.stack([values - half, values + half], axis=-1)
    for place in model.counted:
        bounds[:, place] = np.maximum(bounds[:, place], 0.0)
    return bounds


def calibration_on(model: Model, parts: Iterator[Batch]) -> Calibration | None:
    """What intervals are made from, measured on rows that the model has not learned from.

    None for a model that has no intervals.
    """
    if _why_none(model):
        return None
    errors, spreads, weights = [], [], []
    for part in parts:
        used = part.weight > 0
        values, spread = _values_and_spread(model, part.x)
        truth = model.encoder.decode_regression(part.y)
        errors.append(np.abs(truth - values)[used])
        spreads.append(spread[used])
        weights.append(part.weight[used].astype(np.float64))
    return calibrate(*map(np.concatenate, (errors, spreads, weights)))


def check_interval(model: Model, level: float) -> Calibration:
    """What intervals are made from.

    Raises:
        SettingsError: there are none, or none of this level.
    """
    if model.calibration is None:
        why = _why_none(model) or "it was not calibrated on validation rows"
        raise SettingsError(f"This model has no intervals: {why}.")
    half_widths(model.calibration, np.zeros((0, len(model.schema.target.names))), level)
    return model.calibration


def _why_none(model: Model) -> str:
    """Why a model of this kind has no intervals; empty where it may have them."""
    if isinstance(model.schema.target, ClassificationTarget):
        return "it predicts classes, whose probabilities it gives"
    if model.settings.loss == "binary_cross_entropy":
        return "it predicts the probability of 1, which says itself how sure it is"
    if model.settings.quantiles:
        return "it predicts quantiles, which are bounds themselves"
    return ""


def _values_and_spread(model: Model, x: Mapping[str, npt.NDArray[Any]]) -> tuple[Numbers, Numbers]:
    """Predictions `[n, k]` in the target's units, and the deviation of the members."""
    outputs, each = model.outputs_and_members(x)
    values = model.decoded(outputs).values
    if each is None:
        return values, np.zeros_like(values)
    spread = each.std(axis=1)
    target = model.schema.target
    if isinstance(target, RegressionTarget) and target.standardised:
        spread = spread * np.asarray(target.deviation)
    return values, spread
