"""Metrics of a custom model on its validation rows: those of the task, and the user's functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from descend.choices import CLASS_LOSSES
from descend.custom.problem import CustomProblem, with_targets
from descend.custom.result import Outputs
from descend.data.rows.store import RowStore
from descend.defaults import QUANTILES
from descend.metrics import (
    ClassificationScore,
    HingeScore,
    LabelScore,
    QuantileScore,
    RegressionScore,
)
from descend.runtime.own_metrics import Metric, OwnMetrics, losses_over
from descend.runtime.result import Metrics
from descend.training.evaluation import blocks
from descend.training.losses import LOSSES
from descend.types import Params

MOST_TARGETS = 10
"""Most columns of an array of targets that are told one by one."""


@dataclass(frozen=True)
class Measured:
    """Measures the weights of a custom model at each evaluation and at the end.

    Attributes:
        custom: what is trained.
        own: the user's metrics, `(predictions, y) -> number`, by name.
        sets: further validation rows by name.
    """

    custom: CustomProblem
    own: Mapping[str, Metric]
    sets: Mapping[str, RowStore]

    @functools.cached_property
    def outputs(self) -> Outputs:
        """`(params, x) -> outputs`, compiled once."""
        return Outputs.of(self.custom)

    @functools.cached_property
    def _asked(self) -> OwnMetrics:
        losses = losses_over(self.custom.setup.problem, self.sets)
        validation = self.custom.rows.validation
        return OwnMetrics(self.own, validation, self.sets, losses, self._predicted)

    def watched(self, params: Params) -> dict[str, float]:
        """The user's metrics on the validation rows; on further sets all metrics and the loss."""
        return self._asked.watched(params)

    def metrics(self, params: Params) -> Metrics:
        """Metrics on the validation rows.

        Returns:
            `{"model": {...}, "baseline": {...}}`; of the user's own the baseline is None. Empty
            where the loss is the user's own and there are no metrics.
        """
        return self._asked.beside(_of_the_task(self.custom, params, self.outputs), params)

    def _predicted(self, params: Params, rows: RowStore) -> tuple[Any, Any]:
        """Outputs and targets of the rows whose weight is not 0."""
        predictions, targets, used = [], [], []
        for block in blocks(rows):
            predictions.append(self.outputs(params, block.x))
            _, y = self.custom.targets_of(with_targets(None, block.x), block.y)
            targets.append(jax.tree.map(lambda leaf: self.outputs.in_units(np.asarray(leaf)), y))
            used.append(block.weight > 0)  # Those that fill up the last block have weight 0, too.
        kept = np.concatenate(used)
        whole, y = (
            jax.tree.map(lambda *leaves: np.concatenate(leaves)[kept], *parts)
            for parts in (predictions, targets)
        )
        return whole, y


def _of_the_task(custom: CustomProblem, params: Params, outputs: Outputs) -> Metrics:
    """The metrics that belong to a named loss."""
    if custom.loss_name not in (*LOSSES, "quantile"):
        return {}
    rows = custom.rows
    found = (
        (block, outputs(params, block.x), block.weight.astype(np.float64))
        for block in blocks(rows.validation)
    )
    if custom.loss_name in CLASS_LOSSES:
        few = rows.validation.gather(np.arange(1))
        if few.y.dtype.kind not in "iub" or few.y.size > 1:
            return {}  # Probabilities of classes, or a class for each place of a sequence.
        kind = HingeScore if custom.loss_name == "hinge" else ClassificationScore
        classes = kind(_shares(rows.sampled, outputs(params, few.x).shape[-1]))
        for block, probabilities, weight in found:
            codes = block.y.reshape(-1).astype(np.int32)
            classes.add(codes, probabilities.astype(np.float64), weight)
        return classes.result()
    numbers: RegressionScore | LabelScore | QuantileScore
    if custom.loss_name == "quantile":
        levels = custom.setup.settings.quantiles or QUANTILES
        numbers = QuantileScore(levels, _quantiles(rows.sampled, outputs, levels))
    else:
        mean = _flat(outputs.in_units(_mean(rows.sampled)[None]))[0]
        labels = custom.loss_name == "binary_cross_entropy"
        names = _target_names(custom)
        one_unit = len(names) < 2
        numbers = LabelScore(mean) if labels else RegressionScore(mean, one_unit, names)
    for block, predicted, weight in found:
        numbers.add(_flat(outputs.in_units(block.y)), _flat(predicted), weight)
    return numbers.result()


def _target_names(custom: CustomProblem) -> tuple[str, ...]:
    """What several targets are called that may have a unit each; empty where they have one.

    More columns of an array than `MOST_TARGETS`, or more dimensions, are the parts of one target,
    such as the pixels of an image.
    """
    rows = custom.rows
    if rows.encoder is not None:
        return rows.encoder.schema.target.names
    shape = np.shape(rows.validation.gather(np.arange(1)).y)
    if len(shape) != 2 or not 1 < shape[1] <= MOST_TARGETS:
        return ()
    return tuple(f"y[:, {place}]" for place in range(shape[1]))


def _shares(store: RowStore, classes: int) -> NDArray[np.float64]:
    """The share of rows in each class."""
    counts = np.zeros(classes)
    for block in blocks(store):
        counts += np.bincount(block.y.reshape(-1).astype(np.int64), block.weight, minlength=classes)
    return np.asarray(counts / counts.sum())


def _quantiles(store: RowStore, outputs: Outputs, levels: tuple[float, ...]) -> NDArray[np.float64]:
    """The quantiles of each target of the rows, `[k, Q]`."""
    y = np.concatenate([_flat(outputs.in_units(one.y))[one.weight > 0] for one in blocks(store)])
    return np.asarray(np.quantile(y, levels, axis=0).T)


def _mean(store: RowStore) -> NDArray[np.float64]:
    """The mean target of the rows."""
    total, weight = np.zeros(()), 0.0
    for block in blocks(store):
        total = total + np.tensordot(block.weight.astype(np.float64), block.y, axes=1)
        weight += float(block.weight.sum())
    return np.asarray(total / weight)


def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)
