"""Functions that take the target first get it first."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import optax
import pytest
from sklearn import metrics

from descend.runtime.argument_order import outputs_first

OUTPUTS, Y = np.array([0.2, 0.4]), np.array([0.0, 1.0])


@pytest.mark.parametrize(
    "function",
    [
        lambda y_true, y_pred: (y_pred, y_true),
        lambda y, y_pred: (y_pred, y),
        lambda target, output: (output, target),
        lambda label, logit: (logit, label),
        lambda y, predictions: (predictions, y),
        lambda labels, x: (x, labels),
        lambda outputs, y: (outputs, y),
        lambda predictions, targets: (predictions, targets),
        lambda y, t: (y, t),  # Bishop (2006): y is the output of the network, t the target.
        lambda y_pred, y_true: (y_pred, y_true),
        lambda a, b: (a, b),
        lambda *both: both,
    ],
)
def test_the_names_of_the_arguments_tell_their_order(function: Any) -> None:
    assert outputs_first(function)("outputs", "y") == ("outputs", "y")


def test_functions_of_libraries_get_what_they_expect() -> None:
    assert outputs_first(metrics.r2_score)(OUTPUTS, Y) == metrics.r2_score(Y, OUTPUTS)
    part = functools.partial(metrics.r2_score, multioutput="raw_values")
    assert outputs_first(part)(OUTPUTS, Y) == part(Y, OUTPUTS)
    squares = optax.losses.squared_error
    assert outputs_first(squares) is squares
    assert outputs_first(np.subtract) is np.subtract
