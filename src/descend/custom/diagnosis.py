"""Why the loss of an own model left the finite numbers, as well as its rows tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from descend.custom.problem import CustomProblem
from descend.data.rows.store import RowStore
from descend.data.rows.store_header import leaves_of
from descend.runtime.diagnosis import (
    Extreme,
    cause_of_divergence,
    cause_of_rescue,
    farthest,
    listed,
    rescue_text,
)
from descend.settings import Settings
from descend.training.evaluation import blocks
from descend.training.loop import LoopState
from descend.types import StopReason

UNSCALED = 100.0
"""Numbers of this size make the steps of the usual learning rates too long."""


def custom_cause(
    own: CustomProblem, settings: Settings, loop: LoopState, reason: StopReason
) -> str:
    """What made a run explode, and what to change.

    Args:
        own: what was trained.
        settings: with numbers.
        loop: at the end of the run.
        reason: why it ended.
    """
    encoder = own.rows.encoder
    if encoder is not None:
        settings = settings.replace(loss=own.loss_name or "auto")
        explain = cause_of_divergence if reason is StopReason.DIVERGED else cause_of_rescue
        return explain(encoder.schema, settings)
    columns = list(_columns(own.rows.training))
    extremes = [one for one in map(_extreme, columns) if one is not None]
    if reason is not StopReason.DIVERGED:
        return rescue_text(settings, extremes)
    if not loop.history:
        row = _row_without_loss(own)
        if row is not None:
            return f"Probable cause: the loss, which is not finite at the initial weights. {row}"
    if extremes:
        more = ", or take the loss huber" if own.loss_name == "squared_error" else ""
        return f"Probable cause: extreme values; {listed(extremes)}. Correct these rows{more}."
    large = max(columns, key=lambda one: one.size, default=None)
    if large is not None and large.size > UNSCALED:
        return (
            f"Probable cause: large numbers; {large.name} is about {large.size:.3g} in size, and "
            "arrays are taken as they are. Subtract the mean and divide by the deviation."
        )
    lower = min(0.01, 0.01 * float(settings.learning_rate))
    return (
        f"Probable cause: the learning rate {settings.learning_rate:.4g}, whose steps are longer "
        f"than the slope of the loss holds. Give learning_rate={lower:.2g} or 'auto'."
    )


class _Column(NamedTuple):
    """One number of a row.

    Attributes:
        name: like `x[3]`.
        least: over all rows.
        most: over all rows.
        mean: over all rows.
        deviation: over all rows.
        size: the root of the mean square.
    """

    name: str
    least: float
    most: float
    mean: float
    deviation: float
    size: float


def _extreme(column: _Column) -> Extreme | None:
    return farthest(column.name, column.least, column.most, column.mean, column.deviation)


def _columns(store: RowStore) -> Iterator[_Column]:
    """Every number of a row, inputs and target, over the rows that count."""
    totals: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    count = 0
    for block in blocks(store):
        used = block.weight > 0
        count += int(used.sum())
        for name, values in leaves_of(block).items():
            if name == "weight" or values.dtype.kind not in "fi" or not used.any():
                continue
            shapes[name] = values.shape[1:]
            flat = values[used].reshape(int(used.sum()), -1).astype(np.float64)
            part = (flat.min(0), flat.max(0), flat.sum(0), np.square(flat).sum(0))
            totals[name] = part if name not in totals else _joined(totals[name], part)
    for name, (least, most, total, squares) in totals.items():
        mean, square = total / count, squares / count
        deviation = np.sqrt(np.maximum(0.0, square - mean**2))
        for place in range(len(mean)):
            at = [int(one) for one in np.unravel_index(place, shapes[name] or (1,))]
            yield _Column(
                f"{name}{at}" if shapes[name] else name,
                *(float(one[place]) for one in (least, most, mean, deviation, np.sqrt(square))),
            )


def _joined(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
    least, most, total, squares = (np.stack(pair) for pair in zip(one, other, strict=True))
    return least.min(0), most.max(0), total.sum(0), squares.sum(0)


def _row_without_loss(own: CustomProblem) -> str | None:
    """The first row to judge by whose loss is not finite at the initial weights."""
    problem = own.setup.problem
    params = problem.init(problem.seed)
    for block in blocks(own.rows.validation):
        outputs = problem.apply(params, block.x)
        losses = np.asarray(problem.per_example(outputs, block.y))
        wrong = np.flatnonzero(~np.isfinite(losses) & (block.weight > 0))
        if len(wrong):
            row = int(wrong[0])
            return (
                f"A row with y = {_shortened(block.y[row])} and outputs "
                f"{_shortened(np.asarray(outputs)[row])} has the loss {losses[row]}."
            )
    return None


def _shortened(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=6, edgeitems=3, precision=4)
