"""Losses and metrics that take the target first, as those of scikit-learn and Keras do."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

OUTPUTS = frozenset(
    (
        *("y_pred", "y_score", "y_prob", "y_proba", "y_hat", "yhat", "y_decision", "y_predicted"),
        *("pred", "preds", "prediction", "predictions", "predicted", "forecast", "estimate"),
        *("output", "outputs", "logit", "logits", "log_probs", "score", "scores", "probs"),
    )
)
TARGETS = frozenset(
    (
        *("y_true", "target", "targets", "label", "labels", "truth", "true", "actual", "expected"),
        *("ground_truth", "y_test", "y_target"),
    )
)
"""Names of arguments that leave no doubt which of the two they are."""
MAYBE_TARGETS = TARGETS | {"y", "t"}


def outputs_first(function: Callable[..., Any]) -> Callable[..., Any]:
    """A loss or metric as a function `(outputs, y)`, whatever order its arguments are in.

    The names of the first two arguments tell: `(y_true, y_pred)` are given the other way round.

    Args:
        function: the user's, or one of a library.

    Returns:
        The function itself, unless its arguments are named in the other order.

    Example:
        >>> outputs_first(lambda y_true, y_pred: (y_true, y_pred))("outputs", "y")
        ('y', 'outputs')
        >>> outputs_first(lambda outputs, y: (outputs, y))("outputs", "y")
        ('outputs', 'y')
    """
    if not _target_first(function):
        return function

    @functools.wraps(function)
    def reversed_arguments(outputs: Any, y: Any) -> Any:
        return function(y, outputs)

    return reversed_arguments


def _target_first(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    places = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    names = [one.name.lower() for one in parameters if one.kind in places][:2]
    if len(names) < 2:
        return False
    first, second = names
    if second in OUTPUTS:
        return first not in OUTPUTS
    return first in TARGETS and second not in MAYBE_TARGETS
