"""Why a loss became NaN or infinite, from what was learned about the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from descend.data.encoding.places import places_of
from descend.data.encoding.sparse import sparse_base
from descend.data.schema.columns import NumberColumn, RegressionTarget, Schema
from descend.errors import option_text
from descend.settings import Settings
from descend.types import Batch

DIVERGED = (
    "Training diverged: the loss kept becoming NaN or infinite, even at lower learning rates."
)
AT_START = "Training could not begin: the loss is NaN or infinite before the first update."
EXTREME = 50.0
"""A value this many standard deviations from the mean belongs to no usual distribution."""
OVERSHOOTS = 2.0
"""Learning rate times penalty beyond which weights change their sign and grow."""
LARGE_COUNT = 1e4
"""The first steps easily overshoot the logarithm of a Poisson target this large."""


class Extreme(NamedTuple):
    """An extreme value.

    Attributes:
        column: that holds it.
        value: in the units of the column.
        deviations: how many standard deviations it is from the mean.
    """

    column: str
    value: float
    deviations: float

    def __str__(self) -> str:
        return (
            f"column {self.column!r} holds {self.value:.4g}, "
            f"{self.deviations:,.0f} standard deviations from its mean"
        )


def cause_of_divergence(
    schema: Schema, settings: Settings, validation: Iterable[Batch] = ()
) -> str:
    """The probable cause where lower learning rates did not help, and what to type instead.

    Args:
        schema: of the training rows.
        settings: resolved.
        validation: the validation rows as the network gets them, in blocks.
    """
    penalty = penalty_cause(settings)
    if penalty:
        return penalty
    targets = list(_extreme_targets(schema.target)) if schema.task == "regression" else []
    inputs = sorted(_extreme_inputs(schema), key=lambda one: -one.deviations)
    lower = min(0.01, 0.01 * float(settings.learning_rate))
    rate = option_text("learning_rate", float(f"{lower:.2g}"))
    if settings.loss == "poisson" and isinstance(schema.target, RegressionTarget):
        largest = max(schema.target.maximum)
        if largest >= LARGE_COUNT:
            return (
                "Probable cause: the loss. Poisson takes the exponential of the output, and the "
                f"target reaches {largest:.4g}. Type {option_text('loss', 'huber')}, or {rate}."
            )
    if targets and settings.loss == "squared_error":
        return (
            "Probable cause: the loss. Squared error grows with the square of an extreme target; "
            f"{list_extremes(targets)}. Correct these rows, or type {option_text('loss', 'huber')}."
        )
    if inputs:
        names = [one.column for one in inputs[:3]]
        return (
            f"Probable cause: extreme values; {list_extremes(inputs)}. Correct these rows, or "
            f"leave the column out with {option_text('exclude', names)}."
        )
    far = far_from_training(schema, validation)
    if far:
        listed = "; ".join(f"column {name!r}, {size:,.0f}" for name, size in far[:3])
        return (
            "Probable cause: validation rows far from all training rows, in standard deviations "
            f"from the mean of these: {listed}. Correct them, or leave the column out with "
            f"{option_text('exclude', [name for name, _ in far[:3]])}."
        )
    return (
        f"Probable cause: the learning rate {settings.learning_rate:.4g}, so large that steps "
        f"overshoot the minimum. Type {rate}, {option_text('learning_rate', 'auto')}, or "
        f"{option_text('clip', 1)}."
    )


def far_from_training(schema: Schema, rows: Iterable[Batch]) -> list[tuple[str, float]]:
    """Columns in which rows are extreme beside the training rows, the farthest first.

    A network without bounds on its inputs predicts anything there, so the validation loss explodes
    at whatever learning rate.

    Args:
        schema: of the training rows.
        rows: encoded, so that the training rows have mean 0 and standard deviation 1.

    Returns:
        Names of columns, and how many standard deviations they are from the mean.
    """
    largest = np.zeros(0)
    for block in rows:
        sizes = _largest_sizes(schema, block)
        largest = np.maximum(largest, sizes) if largest.size else sizes
    found = [
        (place.column.name, float(largest[list(place.numeric)].max()))
        for place in places_of(schema)
        if place.numeric and largest.size
    ]
    return sorted((one for one in found if one[1] >= EXTREME), key=lambda one: -one[1])


def _largest_sizes(schema: Schema, block: Batch) -> NDArray[np.float64]:
    """The largest size of each standardised input, of dense rows or of sparse ones."""
    if "numeric" in block.x:
        return np.asarray(np.nan_to_num(np.abs(block.x["numeric"]), nan=0.0).max(axis=0))
    base, column = sparse_base(schema), block.x["column"]
    sizes = np.abs(base)
    np.maximum.at(sizes, column, np.nan_to_num(np.abs(base[column] + block.x["value"]), nan=0.0))
    return sizes


def penalty_cause(settings: Settings) -> str:
    """That a penalty is so strong that it makes weights grow; empty where none is.

    It multiplies a weight by 1 - rate·strength in each update, which must not be below -1. Where
    that is so for a strength of at most 1, the rate is above 2 and is the cause.
    """
    rate = float(settings.learning_rate)
    for name in ("l2", "weight_decay"):
        strength = getattr(settings, name) or 0.0
        if rate * strength > OVERSHOOTS and strength > 1.0:
            return (
                f"Probable cause: {option_text(name, strength)}. At the learning rate {rate:.4g} "
                "each update multiplies the weights by one minus their product, "
                f"{1.0 - rate * strength:.4g}. Type {option_text(name, float(f'{0.1 / rate:.1g}'))}"
                " or less."
            )
    return ""


def cause_at_start(schema: Schema) -> str:
    """The probable cause where the loss of the initial weights was not finite.

    No update had been made, so no learning rate is to blame.

    Args:
        schema: of the training rows.
    """
    text = "The learning rate is not the cause. Probable cause: "
    if not isinstance(schema.target, RegressionTarget):
        return text + "extreme inputs in the validation rows. Look at them, or hold out others."
    ranges = ", ".join(
        f"{name!r} is {least:.4g} to {most:.4g}"
        for name, least, most in zip(
            schema.target.names[:3], schema.target.minimum, schema.target.maximum, strict=False
        )
    )
    return text + (
        f"extreme targets in the validation rows; in the training rows {ranges}. Correct them, "
        f"hold out other rows with {option_text('validation', 0.1)}, or type "
        f"{option_text('loss', 'huber')}."
    )


def cause_of_rescue(schema: Schema, settings: Settings) -> str:
    """Why the loss exploded in a run that a lower learning rate saved."""
    extremes = [*_extreme_inputs(schema)]
    if isinstance(schema.target, RegressionTarget):
        extremes += _extreme_targets(schema.target)
    return rescue_text(settings, extremes)


def rescue_text(settings: Settings, extremes: Sequence[Extreme]) -> str:
    """Why the loss exploded in a run that a lower learning rate saved.

    Args:
        settings: with a number for the learning rate.
        extremes: extreme values, which make gradients large.
    """
    text = (
        f"The learning rate {settings.learning_rate:.4g} was too high: its steps overshot the "
        "minimum. Training went on at a lower rate, and the loss did not explode again."
    )
    if extremes:
        worst = max(extremes, key=lambda one: one.deviations)
        text += f" Extreme values make gradients large: {worst}."
    return text


def _extreme_inputs(schema: Schema) -> Iterator[Extreme]:
    for column in schema.columns:
        if isinstance(column, NumberColumn):
            one = farthest(
                column.name, column.minimum, column.maximum, column.mean, column.deviation
            )
            if one is not None:
                yield one


def _extreme_targets(target: object) -> Iterator[Extreme]:
    if not isinstance(target, RegressionTarget):
        return
    for name, mean, deviation, least, most in zip(
        target.names, target.mean, target.deviation, target.minimum, target.maximum, strict=True
    ):
        one = farthest(name, least, most, mean, deviation)
        if one is not None:
            yield one


def farthest(name: str, least: float, most: float, mean: float, deviation: float) -> Extreme | None:
    """The end of a range that is farther from the mean, if it is extreme."""
    value = max(least, most, key=lambda one: abs(one - mean))
    deviations = abs(value - mean) / deviation if deviation > 0 else 0.0
    return Extreme(name, value, deviations) if deviations >= EXTREME else None


def list_extremes(extremes: Sequence[Extreme]) -> str:
    """The first three, in words."""
    return "; ".join(map(str, extremes[:3]))
