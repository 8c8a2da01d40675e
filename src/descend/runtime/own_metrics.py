"""What the user asks for at each evaluation: metrics of their own, further validation rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from descend.data.rows.store import RowStore
from descend.errors import DescendError, InputError, warn_user
from descend.runs.history import COLUMNS
from descend.runtime.argument_order import outputs_first
from descend.runtime.result import Metrics
from descend.training.evaluation import Evaluate
from descend.training.problem import Problem
from descend.types import Params

Metric = Callable[[Any, Any], float]
"""`(predictions, y) -> number`, over all rows of a validation set."""
TOLERANCE = 1e-3
"""Figures that differ by a smaller part are equal: another machine rounds otherwise."""
LOSS = "loss"
"""What the loss on further validation rows is called, after their name: `winter/loss`."""


def check_names(metrics: Any, sets: Any) -> None:
    """Raise InputError unless metrics and further validation sets are given by name."""
    if not isinstance(metrics, Mapping) or not all(map(callable, metrics.values())):
        raise InputError(
            "Expected metrics={'name': f} with f(predictions, y) -> a number, over all validation "
            f"rows; found {metrics!r}."
        )
    for name, metric in metrics.items():
        if type(metric).__module__.split(".")[0] in ("keras", "tensorflow", "torchmetrics"):
            raise InputError(
                f"metrics[{name!r}] is an object of {type(metric).__module__.split('.')[0]} that "
                "adds up over all calls. Expected a function of all validation rows, "
                "f(predictions, y) -> a number."
            )
    if not isinstance(sets, Mapping):
        raise InputError(
            "Expected validation_sets={'name': rows}, further rows that the model is measured on; "
            f"found {type(sets).__name__}."
        )
    for what, names in (("metrics", metrics), ("validation_sets", sets)):
        for name in names:
            if not isinstance(name, str) or not name.isprintable() or not name.strip():
                raise InputError(f"Expected a name for each of {what}, found {name!r}.")
            if "/" in name or name in (*COLUMNS, LOSS):
                raise InputError(
                    f"{name!r} cannot be a name in {what}: a name has no slash, and is none of "
                    f"{', '.join((*COLUMNS, LOSS))}."
                )


@dataclass(frozen=True)
class Asked:
    """What the user asks to be measured on a table beside the usual.

    Attributes:
        metrics: `(predictions, y) -> number`, by name.
        sets: further tables by name.
    """

    metrics: Mapping[str, Metric] = field(default_factory=dict)
    sets: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_names(self.metrics, self.sets)


def losses_over(problem: Problem, sets: Mapping[str, RowStore]) -> dict[str, Evaluate]:
    """`params -> loss` of a problem over each of several sets of rows."""
    return {name: problem.evaluation_of(rows) for name, rows in sets.items()}


@dataclass(frozen=True)
class OwnMetrics:
    """Measures weights by the user's metrics, on the validation rows and on further ones.

    Attributes:
        metrics: the user's, by name.
        validation: the rows of `validation`.
        sets: further rows by name.
        losses: `params -> loss` over each of these.
        predicted: `(params, rows) -> (predictions, y)` as a metric gets them, NumPy arrays.
    """

    metrics: Mapping[str, Metric]
    validation: RowStore
    sets: Mapping[str, RowStore]
    losses: Mapping[str, Evaluate]
    predicted: Callable[[Params, RowStore], tuple[Any, Any]]

    def watched(self, params: Params) -> dict[str, float]:
        """The metrics on the validation rows; on further sets the loss and all metrics.

        Those of further rows have the name of the rows before theirs, as in `winter/accuracy`.
        """
        found = self._of_rows(params, self.validation)
        for name, rows in self.sets.items():
            found[f"{name}/{LOSS}"] = self.losses[name](params)
            values = self._of_rows(params, rows)
            found |= {f"{name}/{metric}": value for metric, value in values.items()}
        return found

    def beside(self, found: Metrics, params: Params) -> Metrics:
        """The metrics of a task with the user's own, of which the baseline is None."""
        values = self.watched(params)
        if not values:
            return found
        baseline: dict[str, Any] = {**dict.fromkeys(values), **found.get("baseline", {})}
        return {"model": {**found.get("model", {}), **values}, "baseline": baseline}

    def _of_rows(self, params: Params, rows: RowStore) -> dict[str, float]:
        if not self.metrics:
            return {}
        predictions, y = self.predicted(params, rows)
        return {name: _value(name, one, predictions, y) for name, one in self.metrics.items()}


def warn_of_other_metrics(found: Mapping[str, float], recorded: Mapping[str, float]) -> None:
    """Warn where figures of the same weights are not what they were when they were recorded.

    Args:
        found: by the functions and rows that are given now.
        recorded: at an earlier evaluation.
    """
    for name in found.keys() & recorded.keys():
        one, other = found[name], recorded[name]
        if not math.isfinite(one) or not math.isfinite(other):
            continue
        if not math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9):
            warn_user(
                f"{name!r} of the saved weights was {other:.6g} and is {one:.6g} with the metrics "
                "and validation sets given now: in the history of the run, lines before this call "
                "and after it cannot be compared. Give what differs a name of its own.",
                UserWarning,
            )


def _value(name: str, metric: Metric, predictions: Any, y: Any) -> float:
    try:
        # Copies: a metric that changes its arrays must not change what the next one gets.
        value = float(outputs_first(metric)(*jax.tree.map(np.array, (predictions, y))))
    except DescendError:
        raise
    except Exception as error:
        raise InputError(
            f"metrics[{name!r}] fails: {type(error).__name__}: {error}. It gets predictions and y "
            "as NumPy arrays of all validation rows, and returns a number."
        ) from error
    return value if math.isfinite(value) else math.nan
