"""Figures of a custom model on its validation rows: those of the task, and the user's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from descend.custom.problem import CustomProblem, with_targets
from descend.custom.result import Outputs
from descend.data.rows.store import RowStore
from descend.errors import DescendError, InputError
from descend.metrics import ClassificationScore, RegressionScore
from descend.runtime.result import Metrics
from descend.training.evaluation import blocks
from descend.training.losses import LOSSES
from descend.types import Params

Metric = Callable[[Any, Any], float]


def check_metrics(metrics: Any) -> None:
    """Raise InputError where metrics are no functions by name."""
    if isinstance(metrics, Mapping) and all(
        isinstance(name, str) and callable(one) for name, one in metrics.items()
    ):
        return
    raise InputError(
        "Expected metrics={'name': f} with f(predictions, y) -> a number, over all validation "
        f"rows; found {metrics!r}."
    )


def custom_metrics(
    custom: CustomProblem, params: Params, metrics: Mapping[str, Metric] | None = None
) -> Metrics:
    """Metrics on the validation rows.

    Args:
        custom: what was trained.
        params: at which weights.
        metrics: the user's own, `(predictions, y) -> number`.

    Returns:
        `{"model": {...}, "baseline": {...}}`; of the user's own the baseline is None. Empty where
        the loss is the user's own and there are no metrics.
    """
    found = _of_the_task(custom, params)
    if not metrics:
        return found
    values = _of_the_user(custom, params, metrics)
    baseline: dict[str, Any] = {**dict.fromkeys(values), **found.get("baseline", {})}
    return {"model": {**found.get("model", {}), **values}, "baseline": baseline}


def _of_the_user(
    custom: CustomProblem, params: Params, metrics: Mapping[str, Metric]
) -> dict[str, float]:
    outputs = Outputs.of(custom)
    predictions, targets = [], []
    for block in blocks(custom.rows.validation):
        predictions.append(outputs(params, block.x))
        _, y = custom.targets_of(with_targets(None, block.x), block.y)
        targets.append(jax.tree.map(lambda leaf: outputs.in_units(np.asarray(leaf)), y))
    rows = len(custom.rows.validation)  # The last block is longer than what is left.
    whole, y = (
        jax.tree.map(lambda *leaves: np.concatenate(leaves)[:rows], *parts)
        for parts in (predictions, targets)
    )
    values = {}
    for name, metric in metrics.items():
        try:
            value = float(metric(whole, y))
        except DescendError:
            raise
        except Exception as error:
            raise InputError(
                f"metrics[{name!r}] fails: {type(error).__name__}: {error}. It gets predictions "
                "and y as NumPy arrays of all validation rows, and returns a number."
            ) from error
        values[name] = value if math.isfinite(value) else math.nan
    return values


def _of_the_task(custom: CustomProblem, params: Params) -> Metrics:
    """Those of a named loss."""
    if custom.loss_name not in LOSSES:
        return {}
    outputs, rows = Outputs.of(custom), custom.rows
    found = (
        (block, outputs(params, block.x), block.weight.astype(np.float64))
        for block in blocks(rows.validation)
    )
    if custom.loss_name == "cross_entropy":
        few = rows.validation.gather(np.arange(1))
        if few.y.dtype.kind not in "iub" or few.y.size > 1:
            return {}  # Probabilities of classes, or a class for each place of a sequence.
        classes = ClassificationScore(_shares(rows.training, outputs(params, few.x).shape[-1]))
        for block, probabilities, weight in found:
            codes = block.y.reshape(-1).astype(np.int32)
            classes.add(codes, probabilities.astype(np.float64), weight)
        return classes.result()
    numbers = RegressionScore(_flat(outputs.in_units(_mean(rows.training)[None]))[0])
    for block, predicted, weight in found:
        numbers.add(_flat(outputs.in_units(block.y)), _flat(predicted), weight)
    return numbers.result()


def _shares(store: RowStore, classes: int) -> NDArray[np.float64]:
    """The part of the rows that is of each class."""
    counts = np.zeros(classes)
    for block in blocks(store):
        counts += np.bincount(block.y.reshape(-1).astype(np.int64), block.weight, minlength=classes)
    return np.asarray(counts / counts.sum())


def _mean(store: RowStore) -> NDArray[np.float64]:
    """The mean target of the rows."""
    total, weight = np.zeros(()), 0.0
    for block in blocks(store):
        total = total + np.tensordot(block.weight.astype(np.float64), block.y, axes=1)
        weight += float(block.weight.sum())
    return np.asarray(total / weight)


def _flat(values: NDArray[Any]) -> NDArray[np.float64]:
    return values.reshape(len(values), -1).astype(np.float64)
