"""Why the loss of a custom model became NaN or infinite, as far as its rows show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from descend.custom.precision import computes_in_float16
from descend.custom.problem import CustomProblem
from descend.custom.trees import TARGET
from descend.data.rows.store import RowStore
from descend.data.rows.store_header import leaves_of
from descend.runtime.diagnosis import (
    Extreme,
    cause_of_divergence,
    cause_of_rescue,
    farthest,
    list_extremes,
    penalty_cause,
    rescue_text,
)
from descend.settings import Settings
from descend.training.evaluation import blocks
from descend.training.gradient import value_and_gradient
from descend.training.jax_setup import jit_program
from descend.training.loop_state import LoopState
from descend.types import Batch, Params, StopReason

MOST_ROWS = 100_000
"""Most rows whose gradients are computed one by one."""
WENT_ON = (
    "The loss became NaN or infinite; training went on from the best weights at a lower rate. "
)
OVERFLOW = (
    "Probable cause: float16, whose largest number is 65,504; the model has larger ones, in its "
    "layers or in their gradients at any factor that was tried. bfloat16 holds numbers as large as "
    "float32 does. The learning rate may also be too large."
)
UNSCALED = 100.0
"""Numbers of this size make the steps of usual learning rates too large."""


def custom_cause(
    own: CustomProblem, settings: Settings, loop: LoopState, reason: StopReason
) -> str:
    """The probable cause of a divergence, and what to change.

    Args:
        own: what was trained.
        settings: with numbers.
        loop: at the end of the run.
        reason: why it ended.
    """
    if not loop.history:
        begun = own.setup.problem.init(own.setup.problem.seed)
        row = _infinite_loss(own, own.rows.validation, begun)
        if _overflows(own, begun):
            return OVERFLOW
        if row is not None:
            return f"Probable cause: the loss, which is not finite at the initial weights. {row}"
        return (
            "Probable cause: the loss, whose mean over the rows is too large for float32 at the "
            "initial weights, although that of each row is finite. Divide the targets by a "
            "constant, or begin with smaller weights. The learning rate is not the cause."
        )
    went_on = "" if reason is StopReason.DIVERGED else WENT_ON
    for params in (loop.best.mean, own.setup.problem.init(own.setup.problem.seed)):
        cause = _infinite_gradient(own, params)
        row = None if cause is not None else _infinite_loss(own, own.rows.sampled, params)
        if (cause is not None or row is not None) and _overflows(own, params):
            return f"{went_on}{OVERFLOW}"
        if cause is not None:
            return went_on + cause
        if row is not None:
            return (
                f"{went_on}Probable cause: the loss, which is not finite for a training row. "
                f"{row} The learning rate is not the cause."
            )
    encoder = own.rows.encoder
    if encoder is not None:
        settings = settings.replace(loss=own.loss_name or "auto")
        if reason is not StopReason.DIVERGED:
            return cause_of_rescue(encoder.schema, settings)
        rows = blocks(own.rows.validation)
        return cause_of_divergence(encoder.schema, settings, rows)
    columns = list(_columns(own.rows.sampled))
    extremes = [one for one in map(_extreme, columns) if one is not None]
    if reason is not StopReason.DIVERGED:
        return rescue_text(settings, extremes)
    if penalty := penalty_cause(settings):
        return penalty
    if extremes:
        more = ", or take the loss huber" if own.loss_name == "squared_error" else ""
        return (
            f"Probable cause: extreme values; {list_extremes(extremes)}. Correct these rows{more}."
        )
    large = max(columns, key=lambda one: one.size, default=None)
    if large is not None and large.size > UNSCALED:
        return (
            f"Probable cause: large numbers; {large.name} is about {large.size:.3g} in size, and "
            "arrays are taken as they are. Subtract the mean and divide by the deviation."
        )
    lower = min(0.01, 0.01 * float(settings.learning_rate))
    return (
        f"Probable cause: the learning rate {settings.learning_rate:.4g}, so large that steps "
        f"overshoot the minimum. Give learning_rate={lower:.2g} or 'auto'."
    )


class _Column(NamedTuple):
    """Statistics of one number in each row: an input or a target.

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
    """Statistics of every input and target, over the rows whose weight is above 0."""
    totals: dict[str, Any] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    count = 0
    for block in blocks(store):
        used = block.weight > 0
        count += int(used.sum())
        for name, values in leaves_of(block).items():
            if (
                name == "weight"
                or name.startswith(TARGET)
                or values.dtype.kind not in "fiu"
                or not used.any()
            ):
                continue
            shapes[name] = values.shape[1:]
            flat = values[used].reshape(int(used.sum()), -1).astype(np.float64)
            part = (flat.min(0), flat.max(0), flat.sum(0), np.square(flat).sum(0))
            totals[name] = part if name not in totals else _join(totals[name], part)
    for name, (least, most, total, squares) in totals.items():
        mean, square = total / count, squares / count
        deviation = np.sqrt(np.maximum(0.0, square - mean**2))
        for place in range(len(mean)):
            at = [int(one) for one in np.unravel_index(place, shapes[name] or (1,))]
            yield _Column(
                f"{name}{at}" if shapes[name] else name,
                *(float(one[place]) for one in (least, most, mean, deviation, np.sqrt(square))),
            )


def _join(one: tuple[Any, ...], other: tuple[Any, ...]) -> tuple[NDArray[Any], ...]:
    least, most, total, squares = (np.stack(pair) for pair in zip(one, other, strict=True))
    return least.min(0), most.max(0), total.sum(0), squares.sum(0)


def _infinite_gradient(own: CustomProblem, params: Params) -> str | None:
    """Describe rows whose loss is finite but whose gradient is not, at the given weights.

    This happens with the root of 0, and with a branch that `where` discards: 0 · ∞ is NaN.
    """
    problem = own.setup.problem
    gradient = value_and_gradient(problem.objective.loss_sum)

    @jit_program
    def finite(params: Params, rows: Batch) -> Any:
        def one(row: Batch) -> tuple[Any, Any]:
            loss, slopes = gradient(params, jax.tree.map(lambda leaf: leaf[None], row))
            sizes = [jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes)]
            return jnp.isfinite(loss), jnp.stack(sizes).all()

        return jax.lax.map(one, rows)

    store = own.rows.sampled
    found, first, read = 0, "", 0
    for block in blocks(store):
        losses, slopes = (np.asarray(one) for one in finite(params, block))
        wrong = np.flatnonzero(losses & ~slopes & (block.weight > 0))
        if len(wrong) and not found:
            outputs, _ = own.targets_of(problem.apply(params, block.x), block.y)
            first = _row_text(block, outputs, int(wrong[0]))
        found += len(wrong)
        read += len(losses)
        if read >= MOST_ROWS:
            break
    if not found:
        return None
    return (
        f"Probable cause: the gradient of the loss, which is not finite for {found:,} "
        f"row{'s' if found > 1 else ''} although their loss is; {first}. The square root, the "
        "logarithm or a power at 0 does so, also in the part that jnp.where leaves out: put the "
        "jnp.where inside, jnp.sqrt(jnp.where(x > 0, x, 1.0))."
    )


def _overflows(own: CustomProblem, params: Params) -> bool:
    """Whether the model computes in float16, beyond which its numbers may be."""
    few = own.rows.sampled.gather(np.arange(1))
    return computes_in_float16(own.setup.problem.apply, params, few.x)


def _row_text(block: Batch, outputs: Any, row: int) -> str:
    shown = [_shorten(np.asarray(leaf)[row]) for leaf in jax.tree.leaves(outputs)]
    return f"the first has y = {_shorten(block.y[row])} and outputs {', '.join(shown)}"


def _infinite_loss(own: CustomProblem, store: RowStore, params: Params) -> str | None:
    """Describe the first row whose loss is not finite at the given weights."""
    problem = own.setup.problem
    for number, block in enumerate(blocks(store)):
        if number * len(block.weight) >= MOST_ROWS:
            break
        outputs = problem.apply(params, block.x)
        losses = np.asarray(problem.per_example(outputs, block.y))
        wrong = np.flatnonzero(~np.isfinite(losses) & (block.weight > 0))
        if len(wrong):
            row = int(wrong[0])
            shown, targets = (
                ", ".join(_shorten(np.asarray(leaf)[row]) for leaf in jax.tree.leaves(tree))
                for tree in own.targets_of(outputs, block.y)
            )
            return f"A row with y = {targets} and outputs {shown} has the loss {losses[row]}."
    return None


def _shorten(values: Any) -> str:
    return np.array2string(np.asarray(values), threshold=6, edgeitems=3, precision=4)
