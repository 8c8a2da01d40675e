"""Metrics of a custom model on its validation rows: those of the task, and the user's functions."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from descend.custom.problem import CustomProblem, with_targets
from descend.custom.result import Outputs
from descend.custom.task_metrics import TaskMetrics
from descend.data.rows.store import RowStore
from descend.runtime.own_metrics import Metric, OwnMetrics, losses_over
from descend.runtime.result import Metrics
from descend.training.evaluation import blocks
from descend.types import Params


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

    @functools.cached_property
    def _task(self) -> TaskMetrics:
        return TaskMetrics(self.custom, self.outputs)

    def watched(self, params: Params) -> dict[str, float]:
        """What is measured at each evaluation.

        The user's metrics on the validation rows; on further sets these and the loss; and of
        several outputs the loss and the metrics of each, since the validation loss is their sum.
        """
        found = self._task.of(params)["model"] if self.custom.chosen.parts else {}
        return {**found, **self._asked.watched(params)}

    def metrics(self, params: Params) -> Metrics:
        """Metrics on the validation rows.

        Returns:
            `{"model": {...}, "baseline": {...}}`; of the user's own the baseline is None. Empty
            where the loss is the user's own and there are no metrics.
        """
        return self._asked.beside(self._task.of(params), params)

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
