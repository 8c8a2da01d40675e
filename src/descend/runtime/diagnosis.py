"""Why a loss left the finite numbers, as well as it can be told from what was learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from descend.data.schema.columns import NumberColumn, RegressionTarget, Schema
from descend.settings import Settings

DIVERGED = "The loss left the finite numbers again and again, at lower learning rates too."
EXTREME = 50.0
"""Deviations from the mean beyond which a value is no part of any usual distribution."""
LARGE_COUNT = 1e4
"""A Poisson target whose logarithm the first steps easily overshoot."""


class Extreme(NamedTuple):
    """A value far out.

    Attributes:
        column: that holds it.
        value: in the column's own units.
        deviations: how many standard deviations it is from the mean.
    """

    column: str
    value: float
    deviations: float

    def __str__(self) -> str:
        return (
            f"column {self.column!r} holds {self.value:.4g}, "
            f"{self.deviations:,.0f} deviations from its mean"
        )


def cause_of_divergence(schema: Schema, settings: Settings) -> str:
    """What made a run diverge that lower learning rates did not help, and what to type instead.

    Args:
        schema: of the training rows.
        settings: resolved.
    """
    targets = list(_extreme_targets(schema.target)) if schema.task == "regression" else []
    inputs = sorted(_extreme_inputs(schema), key=lambda one: -one.deviations)
    rate = f"--learning-rate {min(0.01, 0.01 * float(settings.learning_rate)):.2g}"
    if settings.loss == "poisson" and isinstance(schema.target, RegressionTarget):
        largest = max(schema.target.maximum)
        if largest >= LARGE_COUNT:
            return (
                f"Probable cause: the loss. Poisson takes the exponential of the output, and the "
                f"target reaches {largest:.4g}. Type --loss huber, or {rate}."
            )
    if targets and settings.loss == "squared_error":
        return (
            f"Probable cause: the loss. Squared error grows with the square of an extreme target; "
            f"{listed(targets)}. Correct these rows, or type --loss huber."
        )
    if inputs:
        names = ",".join(one.column for one in inputs[:3])
        return (
            f"Probable cause: extreme values; {listed(inputs)}. Correct these rows, or leave "
            f"the column out with --exclude {names}."
        )
    return (
        f"Probable cause: the learning rate {settings.learning_rate:.4g}, whose steps are longer "
        f"than the slope of the loss holds. Type {rate}, --learning-rate auto, or --clip 1."
    )


def cause_of_rescue(schema: Schema, settings: Settings) -> str:
    """What made a run explode that went on at a lower learning rate."""
    extremes = [*_extreme_inputs(schema)]
    if isinstance(schema.target, RegressionTarget):
        extremes += _extreme_targets(schema.target)
    return rescue_text(settings, extremes)


def rescue_text(settings: Settings, extremes: Sequence[Extreme]) -> str:
    """Why a run exploded that went on at a lower learning rate.

    Args:
        settings: with a number for the learning rate.
        extremes: values far out, which make steps long.
    """
    text = (
        f"The learning rate {settings.learning_rate:.4g} was too high: steps were longer than the "
        "slope of the loss holds, and at a lower rate the explosions ended."
    )
    if extremes:
        worst = max(extremes, key=lambda one: one.deviations)
        text += f" Extreme values make steps long: {worst}."
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
    """The farther end of a range, where it is EXTREME."""
    value = max(least, most, key=lambda one: abs(one - mean))
    deviations = abs(value - mean) / deviation if deviation > 0 else 0.0
    return Extreme(name, value, deviations) if deviations >= EXTREME else None


def listed(extremes: Sequence[Extreme]) -> str:
    """The first of them in words."""
    return "; ".join(map(str, extremes[:3]))
