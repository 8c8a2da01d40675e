"""A linear model on the same encoded rows: what a model has to beat to be worth its weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from descend.assessment.sample import Inputs, Numbers, category_names
from descend.data.encoding.places import Places
from descend.data.schema.columns import CategoryColumn

MOST_FEATURES = 600
MOST_WORK = 2e9
"""Multiplications of a fit; larger tables are fitted on fewer rows."""
ROWS_EACH = 5
"""Rows for each feature that a fit of classes sees at the least."""
ITERATIONS = 60
MEMORY = 10
"""Steps that the next direction is made from."""
LEAST_GAIN = 1e-9
"""Where a step lowers the loss by less than this share of it, the minimum is reached."""
RIDGE = 1e-3
"""Penalty on standardised features, as a share of the rows."""

Design = Callable[[Inputs], npt.NDArray[np.float64]]


class Features(NamedTuple):
    """What a linear model sees of encoded rows.

    Attributes:
        matrix: `encoded rows [n] -> [n, F]`.
        columns: the table's column of each feature.
        most_values: values of a column of categories that have a feature of their own; None
            where all have. The code of rare values has one, too.
    """

    matrix: Design
    columns: list[str]
    most_values: int | None


def features_of(places: list[Places], most: int = MOST_FEATURES) -> Features | None:
    """Encoded rows as one matrix: numbers, and a 0/1 column for each category value.

    Where these are too many, only the commonest values of each column of categories have one.

    Args:
        places: of the columns.
        most: features.

    Returns:
        The features; None where the numbers alone are too many, or nothing is left.
    """
    sizes = [len(category_names(p.column)) for p in places if isinstance(p.column, CategoryColumn)]
    room = most - sum(len(place.numeric) for place in places)
    longest = _longest(sizes, room)
    if longest is None:
        return None
    columns: list[str] = []
    for place in places:
        if isinstance(place.column, CategoryColumn):
            columns += [place.column.name] * min(longest, len(category_names(place.column)))
        columns += [place.column.name] * len(place.numeric)

    def matrix(x: Inputs) -> npt.NDArray[np.float64]:
        parts = []
        for place in places:
            if isinstance(place.column, CategoryColumn):
                size = min(longest, len(category_names(place.column)))
                codes = np.asarray(x["category"])[:, place.category]
                parts.append((codes[:, None] == np.arange(size)).astype(np.float64))
            for one in place.numeric:
                parts.append(np.asarray(np.asarray(x["numeric"])[:, one : one + 1], np.float64))
        return np.concatenate(parts, axis=1)

    if not columns:
        return None
    return Features(matrix, columns, longest - 1 if longest < max(sizes, default=0) else None)


def _longest(sizes: list[int], room: int) -> int | None:
    """The most values of a column so that all fit; None where that is below 2."""
    if sum(sizes) <= room:
        return max(sizes, default=0)
    longest = 1
    while sum(min(size, longest + 1) for size in sizes) <= room:
        longest += 1
    return longest if longest >= 2 else None


def most_features(classes: int) -> int:
    """The most features of a fit that still sees several rows for each."""
    if not classes:
        return MOST_FEATURES
    return min(MOST_FEATURES, math.isqrt(int(MOST_WORK / (ROWS_EACH * _work_of_row(1, classes)))))


def most_rows(features: int, classes: int = 0) -> int:
    """Rows that a fit may take.

    Args:
        features: of the linear model.
        classes: 0 for numbers, which are fitted in closed form.
    """
    if classes:
        return int(max(500, min(5_000, MOST_WORK / _work_of_row(features, classes))))
    return int(max(500, min(20_000, MOST_WORK / max(1, features) ** 2)))


def _work_of_row(features: int, classes: int) -> int:
    """Multiplications for a row: its scores and its gradient, in each iteration."""
    return 2 * ITERATIONS * max(1, features) * classes


def fit_numbers(matrix: Numbers, y: Numbers, weight: Numbers) -> Callable[[Numbers], Numbers]:
    """Ridge regression in closed form; returns `matrix -> predictions`."""
    mean = np.average(matrix, axis=0, weights=weight)
    middle = float(np.average(y, weights=weight))
    centred = (matrix - mean) * np.sqrt(weight)[:, None]
    gram = centred.T @ centred
    gram[np.diag_indices_from(gram)] += RIDGE * float(weight.sum())
    coefficients = np.linalg.solve(gram, centred.T @ ((y - middle) * np.sqrt(weight)))
    return lambda other: np.asarray(middle + (other - mean) @ coefficients)


def fit_classes(
    matrix: Numbers, codes: npt.NDArray[np.int64], weight: Numbers, classes: int
) -> Callable[[Numbers], Numbers]:
    """Multinomial logistic regression by L-BFGS; returns `matrix -> probabilities [n, K]`."""
    rows, width = matrix.shape
    wide = np.concatenate([matrix, np.ones((rows, 1))], axis=1)
    truth = np.eye(classes)[codes]
    share = weight / weight.sum()

    def loss(flat: Numbers) -> tuple[float, Numbers]:
        weights = flat.reshape(width + 1, classes)
        probability = softmax(wide @ weights)
        picked = np.maximum(probability[np.arange(rows), codes], 1e-300)
        penalty = 0.5 * RIDGE * float(np.sum(weights[:-1] ** 2))
        gradient = wide.T @ ((probability - truth) * share[:, None])
        gradient[:-1] += RIDGE * weights[:-1]
        return float(-share @ np.log(picked)) + penalty, gradient.ravel()

    found = minimum(loss, np.zeros((width + 1) * classes))
    weights = found.reshape(width + 1, classes)
    return lambda other: softmax(other @ weights[:-1] + weights[-1])


def minimum(
    loss: Callable[[Numbers], tuple[float, Numbers]], start: Numbers, iterations: int = ITERATIONS
) -> Numbers:
    """Where a smooth convex function is lowest, by L-BFGS with steps halved until the loss falls.

    SciPy's takes 0.3 to 0.6 seconds to import, and its threads compete with NumPy's.

    Args:
        loss: `point -> (value, gradient)`.
        start: where to begin.
        iterations: after which the search ends in any case.

    Source: Nocedal & Wright 2006, Numerical Optimization, algorithms 7.4 and 3.1.
    """
    point, (value, gradient) = start, loss(start)
    steps: list[tuple[Numbers, Numbers, float]] = []
    for _ in range(iterations):
        direction = _quasi_newton(gradient, steps)
        slope = float(gradient @ direction)
        if not slope < 0.0:
            break
        length = 1.0 if steps else min(1.0, 1.0 / float(np.abs(gradient).sum()))
        while True:
            moved = point + length * direction
            new_value, new_gradient = loss(moved)
            if new_value <= value + 1e-4 * length * slope:
                break
            length *= 0.5
            if length < 1e-10:
                return point
        step, change = moved - point, new_gradient - gradient
        curvature = float(step @ change)
        if curvature > 0.0:
            steps = [*steps[1 - MEMORY :], (step, change, curvature)]
        gain, size = value - new_value, max(abs(value), abs(new_value))
        point, value, gradient = moved, new_value, new_gradient
        if gain <= LEAST_GAIN * size:
            break
    return point


def _quasi_newton(gradient: Numbers, steps: list[tuple[Numbers, Numbers, float]]) -> Numbers:
    """The direction −H·gradient, H the inverse Hessian as the last steps show it.

    Args:
        gradient: at the point where the search is.
        steps: of each, how far it went, how the gradient changed, and their product.
    """
    direction, shares = -gradient, []
    for step, change, curvature in reversed(steps):
        share = float(step @ direction) / curvature
        direction = direction - share * change
        shares.append(share)
    if steps:
        _, change, curvature = steps[-1]
        direction = direction * (curvature / float(change @ change))
    for (step, change, curvature), share in zip(steps, reversed(shares), strict=True):
        direction = direction + (share - float(change @ direction) / curvature) * step
    return direction


def softmax(scores: Numbers) -> Numbers:
    """Rows of scores as probabilities."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
