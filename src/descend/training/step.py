"""One update, and a stretch of updates as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from descend.training.averaging import AveragingSchedule, newest
from descend.training.kernel import fits_one_kernel, in_one_kernel, with_other
from descend.training.objective import Objective
from descend.types import Array, Batch, Metrics, Params, TrainState

Carry = tuple[Params, Any]
GradientOf = Callable[[Params, Batch], tuple[Array, Params]]
Step = Callable[[Carry, Batch, Array], tuple[Carry, Metrics]]
Rates = npt.NDArray[np.float32]
Apply = Callable[[Carry, Array, Params, Array], Carry]


class RunChunk(Protocol):
    """The updates of a chunk; the state passed in is used up."""

    def __call__(
        self,
        state: TrainState,
        batch: Batch,
        rates: Rates,
        updates: int,
        examples: int,
        marks: AveragingSchedule | None = None,
    ) -> tuple[TrainState, Array]:
        """The state after the first `updates` batches, and the losses `[U]` of these.

        Args:
            state: where the chunk begins.
            batch: leaves `[U, B, ...]`.
            rates: learning rates `[U]`.
            updates: batches that count.
            examples: rows that count.
            marks: which weights enter the mean; None: the mean is the newest weights.
        """


class Sums(NamedTuple):
    """What the parts of a large batch have added up to.

    Attributes:
        loss: weighted sum of the rows' losses.
        gradient: its gradient.
        rows: rows whose weight is not 0.
    """

    loss: Array
    gradient: Params
    rows: Array


class PartwiseUpdate(NamedTuple):
    """An update whose batch comes in parts.

    Attributes:
        add: `(sums or None, params, part) -> sums`; the part has leaves `[1, places, ...]`, and
            the sums passed in are used up.
        finish: `(state, sums, learning_rates [1], rows, share) -> (state, losses [1])`; `share`
            is that of the new weights in the mean. The state passed in is used up.
    """

    add: Callable[[Sums | None, Params, Batch], Sums]
    finish: Callable[[TrainState, Sums, Rates, int, float], tuple[TrainState, Array]]


def make_step(
    objective: Objective, optimizer: optax.GradientTransformation, microbatches: int = 1
) -> Step:
    """One update: gradient of the batch, the optimizer's direction, times the learning rate.

    Args:
        objective: what to make small.
        optimizer: an Optax transformation made with learning rate 1.
        microbatches: micro-batches that the batch is cut into; their gradients are summed, so the
            update is the same to rounding, in less memory.

    Returns:
        `((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`, pure.
    """
    gradient_of = make_gradient(objective, microbatches)
    applied = _make_apply(optimizer)

    def step(carry: Carry, batch: Batch, learning_rate: Array) -> tuple[Carry, Metrics]:
        loss, gradient = gradient_of(carry[0], batch)
        return applied(carry, loss, gradient, learning_rate), Metrics(loss)

    return step


def _make_apply(optimizer: optax.GradientTransformation) -> Apply:
    """`((params, opt_state), loss, gradient, learning_rate) -> (params, opt_state)`."""
    rule = optax.with_extra_args_support(optimizer)

    def applied(carry: Carry, loss: Array, gradient: Params, learning_rate: Array) -> Carry:
        params, opt_state = carry
        direction, opt_state = rule.update(gradient, opt_state, params, value=loss)
        params = jax.tree.map(
            lambda weight, change: weight + learning_rate.astype(weight.dtype) * change,
            params,
            direction,
        )
        return params, opt_state

    return applied


def make_gradient(objective: Objective, microbatches: int = 1) -> GradientOf:
    """The mean loss of a batch and the gradient of its objective.

    Args:
        objective: what to make small.
        microbatches: micro-batches that the batch is cut into, their gradients summed.

    Returns:
        `(params, batch) -> (mean loss, gradient)`; the penalty is in the gradient alone.
    """
    summed = _make_sum(objective, microbatches)

    def gradient_of(params: Params, batch: Batch) -> tuple[Array, Params]:
        loss, gradient = summed(params, objective.shares(batch))
        return loss, _with_penalty(objective, params, gradient)

    return gradient_of


def _make_sum(objective: Objective, microbatches: int) -> GradientOf:
    """The weighted sum of the losses of a batch and its gradient, piece by piece."""
    piece_gradient: GradientOf = jax.value_and_grad(objective.loss_sum)

    def summed(params: Params, batch: Batch) -> tuple[Array, Params]:
        if microbatches == 1:
            return piece_gradient(params, batch)
        cut = jax.tree.map(
            lambda leaf: leaf.reshape(microbatches, leaf.shape[0] // microbatches, *leaf.shape[1:]),
            batch,
        )
        shapes = jax.eval_shape(piece_gradient, params, jax.tree.map(lambda leaf: leaf[0], cut))
        first = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        def add(total: tuple[Array, Params], piece: Batch) -> tuple[tuple[Array, Params], None]:
            return jax.tree.map(jnp.add, total, piece_gradient(params, piece)), None

        total, _ = jax.lax.scan(add, first, cut)
        return total[0], total[1]

    return summed


def _with_penalty(objective: Objective, params: Params, gradient: Params) -> Params:
    if objective.penalty is None:
        return gradient
    return jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(params))


def compile_chunk(step: Step, *, one_kernel: bool = False) -> RunChunk:
    """A stretch of updates over the batches of a chunk, compiled once for each shape.

    The number of updates is an argument, not a shape: a short chunk at the end of an epoch runs
    in the same program. The state passed in is used up (its buffers are donated).

    The mean of the weights is taken between two stretches of updates, so that it costs nothing
    within them.

    Args:
        step: one update.
        one_kernel: whether the loops may be one kernel where an update is small.
    """
    # Traced once, for the question whether it is small and for the loop.
    step = jax.jit(step, inline=True)

    def small(
        carry: Carry, mean: Params, batch: Batch, rates: Array, marks: AveragingSchedule
    ) -> tuple[Carry, Params, Array]:
        first, rate = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[0], (batch, rates)))
        fits = one_kernel and fits_one_kernel(step, carry, first, rate)
        return (in_one_kernel(loops) if fits else loops)(carry, mean, batch, rates, marks)

    def loops(
        carry: Carry, mean: Params, batch: Batch, rates: Array, marks: AveragingSchedule
    ) -> tuple[Carry, Params, Array]:
        def one(index: Array, so_far: tuple[Carry, Array]) -> tuple[Carry, Array]:
            carry, losses = so_far
            mini_batch = jax.tree.map(lambda leaf: leaf[index], batch)
            carry, metrics = step(carry, mini_batch, rates[index])
            return carry, losses.at[index].set(metrics.loss)

        def stretch(
            number: Array, so_far: tuple[Carry, Params, Array, Array]
        ) -> tuple[Carry, Params, Array, Array]:
            carry, mean, losses, start = so_far
            stop = marks.stops[number]
            carry, losses = jax.lax.fori_loop(start, stop, one, (carry, losses))
            return carry, _mixed(mean, carry[0], marks.shares[number]), losses, stop

        first = (carry, mean, jnp.zeros_like(rates), jnp.int32(0))
        carry, mean, losses, _ = jax.lax.fori_loop(0, marks.used, stretch, first)
        return carry, mean, losses

    compiled = with_other(
        jax.jit(small, donate_argnums=(0, 1)), jax.jit(loops, donate_argnums=(0, 1))
    )

    def run_chunk(
        state: TrainState,
        batch: Batch,
        rates: Rates,
        updates: int,
        examples: int,
        marks: AveragingSchedule | None = None,
    ) -> tuple[TrainState, Array]:
        marks = marks or newest(updates, len(rates))
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state),
            state.mean,
            batch,
            rates,
            marks._replace(used=np.asarray(marks.used, np.int32)),
        )
        update, seen = state.update + updates, state.examples + examples
        return TrainState(params, opt_state, mean, update, seen), losses

    return run_chunk


def compile_parts(
    objective: Objective, optimizer: optax.GradientTransformation, microbatches: int = 1
) -> PartwiseUpdate:
    """An update whose batch comes in parts, so that it need not be in memory as a whole.

    The update is that of `make_step` to rounding. Between two parts nothing of the run has
    changed: it can be stopped there, and goes on from the beginning of the batch.

    Args:
        objective: what to make small.
        optimizer: an Optax transformation made with learning rate 1.
        microbatches: micro-batches that a part is cut into.
    """
    summed = _make_sum(objective, microbatches)
    applied = _make_apply(optimizer)

    def one(params: Params, part: Batch) -> Sums:
        batch = jax.tree.map(lambda leaf: leaf[0], part)
        loss, gradient = summed(params, batch)
        return Sums(loss, gradient, jnp.count_nonzero(batch.weight))

    def more(sums: Sums, params: Params, part: Batch) -> Sums:
        added: Sums = jax.tree.map(jnp.add, sums, one(params, part))
        return added

    def apply(
        carry: Carry, mean: Params, sums: Sums, rates: Array, part: Array
    ) -> tuple[Carry, Params, Array]:
        share = 1.0 / (jnp.maximum(1, sums.rows) * objective.mean_weight)
        gradient = jax.tree.map(lambda leaf: leaf * share.astype(leaf.dtype), sums.gradient)
        gradient = _with_penalty(objective, carry[0], gradient)
        loss = sums.loss * share
        carry = applied(carry, loss, gradient, rates[0])
        return carry, _mixed(mean, carry[0], part), loss[None]

    first = jax.jit(one)
    following = jax.jit(more, donate_argnums=0)
    compiled = jax.jit(apply, donate_argnums=(0, 1))

    def add(sums: Sums | None, params: Params, part: Batch) -> Sums:
        total: Sums = first(params, part) if sums is None else following(sums, params, part)
        # Parts that wait for their turn would fill the memory that they are meant to save.
        jax.block_until_ready(total)
        return total

    def finish(
        state: TrainState, sums: Sums, rates: Rates, rows: int, share: float = 1.0
    ) -> tuple[TrainState, Array]:
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state), state.mean, sums, rates, np.float32(share)
        )
        return TrainState(params, opt_state, mean, state.update + 1, state.examples + rows), losses

    return PartwiseUpdate(add, finish)


def initial_state(
    init: Callable[[int], Params], optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """The state before the first update; the same seed gives the same weights."""
    return state_at(jax.device_put(init(seed)), optimizer)


def state_at(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update, at some weights, which stay whole."""
    return copied(TrainState(params, jax.jit(optimizer.init)(params), params, 0, 0))


def copied(state: TrainState) -> TrainState:
    """A state whose arrays are its own, so that the original may be donated."""
    params, opt_state, mean = _copy((state.params, state.opt_state, state.mean))
    return TrainState(params, opt_state, mean, state.update, state.examples)


def at_mean(state: TrainState) -> TrainState:
    """The state whose weights are the mean; its arrays are its own."""
    return copied(state._replace(params=state.mean))


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def _mixed(mean: Params, weights: Params, share: Array) -> Params:
    """(1 − share) · mean + share · weights: exactly the one or the other at 0 and 1."""

    def mixed(one: Array, other: Array) -> Array:
        part = share.astype(one.dtype)
        return (1 - part) * one + part * other

    both: Params = jax.tree.map(mixed, mean, weights)
    return both
