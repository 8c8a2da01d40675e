"""The training objective: the same function at every batch size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from descend.types import Array, Batch, Params, split_variables

PerExample = Callable[[Array, Array], Array]
Apply = Callable[[Params, Mapping[str, Array]], Array]
LossSum = Callable[[Params, Batch], Array]
TrainingApply = Callable[[Params, Any, Mapping[str, Array], Array], tuple[Array, Any]]
"""`(params, state, x, key) -> (outputs, state)`: a model in training mode."""
TrainingSum = Callable[[Params, Any, Batch, Array], tuple[Array, Any]]


class Objective(NamedTuple):
    """Weighted mean of the rows' losses plus a penalty that does not depend on the batch.

    objective(θ) = Σ w_i·loss_i / (n·w̄) + penalty(θ)

    with n the number of rows of the batch whose weight is not 0, and w̄ the mean weight of the
    whole table.
    Over all rows this is the weighted mean; over a batch it is an unbiased estimate of it.
    (Dividing by the batch's own Σ w_i would weaken the weights the smaller the batch is, and
    cancel them at batch size 1.)

    Attributes:
        loss_sum: `(params, batch) -> Σ w_i·loss_i`, a sum, so that a batch can be split
            into microbatches.
        penalty: `params -> l2/2 · |weights|²`, or None.
        mean_weight: w̄.
        training_sum: `(params, state, batch, key) -> (Σ w_i·loss_i, state)`, the sum in
            training mode, for models that differ there (dropout, batch normalization); None:
            `loss_sum`.
    """

    loss_sum: LossSum
    penalty: Callable[[Params], Array] | None = None
    mean_weight: float = 1.0
    training_sum: TrainingSum | None = None

    def __call__(self, params: Params, batch: Batch) -> Array:
        """The objective over a batch."""
        loss = self.loss_sum(params, self.normalize_weights(batch))
        return loss + self.penalty(split_variables(params)[0]) if self.penalty else loss

    def normalize_weights(self, batch: Batch) -> Batch:
        """The batch with weights scaled so that the sum of the weighted losses is the mean loss."""
        # Counted as integers: a float32 sum of ones goes no further than 2²⁴.
        rows = jnp.maximum(1, jnp.count_nonzero(batch.weight))
        return batch._replace(weight=batch.weight / (rows * self.mean_weight))


def make_objective(
    apply: Apply,
    per_example: PerExample,
    l2: float = 0.0,
    mean_weight: float = 1.0,
    training_apply: TrainingApply | None = None,
    own_penalty: Callable[[Params], Array] | None = None,
) -> Objective:
    """The objective of a model: the same function at every batch size.

    Args:
        apply: `(params, x) -> outputs`.
        per_example: `(outputs, y) -> [B]`.
        l2: strength of the penalty on the weights; biases are not penalized.
        mean_weight: w̄, over the rows of the table whose weight is not 0.
        training_apply: the model in training mode, if it differs there.
        own_penalty: `params -> penalty` that the model itself asks for, or None.
    """

    def weighted_sum(outputs: Array, batch: Batch) -> Array:
        losses = per_example(outputs, batch.y)
        # A row of weight 0 must not count even if its loss is NaN.
        return jnp.sum(jnp.where(batch.weight > 0, losses * batch.weight, 0.0))

    def loss_sum(params: Params, batch: Batch) -> Array:
        return weighted_sum(apply(params, batch.x), batch)

    def training_sum(params: Params, state: Any, batch: Batch, key: Array) -> tuple[Array, Any]:
        assert training_apply is not None
        outputs, state = training_apply(params, state, batch.x, key)
        return weighted_sum(outputs, batch), state

    def penalty(params: Params) -> Array:
        ours = 0.5 * l2 * squared_weights(params)
        return ours if own_penalty is None else ours + own_penalty(params)

    return Objective(
        loss_sum,
        penalty if l2 or own_penalty is not None else None,
        mean_weight,
        training_sum if training_apply else None,
    )


def squared_weights(params: Params) -> Array:
    """|weights|², without arrays of fewer than two dimensions (biases)."""
    squares = [jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(params) if leaf.ndim > 1]
    return sum(squares, start=jnp.float32(0))
