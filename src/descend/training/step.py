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
from descend.types import (
    Array,
    Batch,
    Metrics,
    Params,
    TrainState,
    join_variables,
    split_variables,
)

Carry = tuple[Params, Any]
Summed = tuple[Array, Params, Any]
"""The weighted sum of losses of some rows, its gradient, and the state of the model after them."""
SummedGradient = Callable[[Params, Batch, Array | None], Summed]
Rates = npt.NDArray[np.float32]
Apply = Callable[[Carry, Array, Params, Array, Any], Carry]


class GradientOf(Protocol):
    """The mean loss of a batch and the gradient of its objective."""

    def __call__(
        self, params: Params, batch: Batch, key: Array | None = None
    ) -> tuple[Array, Params]:
        """`(params, batch) -> (mean loss, gradient)`; the key is of the noise in the model."""


class Step(Protocol):
    """One update."""

    def __call__(
        self, carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        """`((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`."""


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
        seed: int = 0,
    ) -> tuple[TrainState, Array]:
        """The state after the first `updates` batches, and the losses `[U]` of these.

        Args:
            state: where the chunk begins.
            batch: leaves `[U, B, ...]`.
            rates: learning rates `[U]`.
            updates: batches that count.
            examples: rows that count.
            marks: which weights enter the mean; None: the mean is the newest weights.
            seed: of the noise in the model; the key of an update is a function of the seed and
                the number of the update.
        """


class Sums(NamedTuple):
    """What the parts of a large batch have added up to.

    Attributes:
        loss: weighted sum of the rows' losses.
        gradient: its gradient.
        rows: rows whose weight is not 0.
        state: of the model, after the part added last.
    """

    loss: Array
    gradient: Params
    rows: Array
    state: Any = ()


class PartwiseUpdate(NamedTuple):
    """An update whose batch comes in parts.

    Attributes:
        add: `(sums or None, state, part, seed) -> sums`; the part has leaves `[1, places, ...]`,
            and the sums passed in are used up.
        finish: `(state, sums, learning_rates [1], rows, share) -> (state, losses [1])`; `share`
            is that of the new weights in the mean. The state passed in is used up.
    """

    add: Callable[..., Sums]
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
    summed = _make_sum(objective, microbatches)
    applied = _make_apply(optimizer)

    def step(
        carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        loss, gradient, state = summed(carry[0], objective.shares(batch), key)
        gradient = _with_penalty(objective, carry[0], gradient)
        return applied(carry, loss, gradient, learning_rate, state), Metrics(loss)

    return step


def _make_apply(optimizer: optax.GradientTransformation) -> Apply:
    """`((params, opt_state), loss, gradient, learning_rate, state) -> (params, opt_state)`."""
    rule = optax.with_extra_args_support(optimizer)

    def applied(
        carry: Carry, loss: Array, gradient: Params, learning_rate: Array, state: Any
    ) -> Carry:
        variables, opt_state = carry
        params, _ = split_variables(variables)
        direction, opt_state = rule.update(gradient, opt_state, params, value=loss)
        params = jax.tree.map(
            lambda weight, change: weight + learning_rate.astype(weight.dtype) * change,
            params,
            direction,
        )
        return join_variables(params, state, variables), opt_state

    return applied


def make_gradient(objective: Objective, microbatches: int = 1) -> GradientOf:
    """The mean loss of a batch and the gradient of its objective.

    Args:
        objective: what to make small.
        microbatches: micro-batches that the batch is cut into, their gradients summed.

    Returns:
        `(params, batch) -> (mean loss, gradient)`; the penalty is in the gradient alone. It is the
        gradient by the weights that an update moves.
    """
    summed = _make_sum(objective, microbatches)

    def gradient_of(params: Params, batch: Batch, key: Array | None = None) -> tuple[Array, Params]:
        loss, gradient, _ = summed(params, objective.shares(batch), key)
        return loss, _with_penalty(objective, params, gradient)

    return gradient_of


def _make_sum(objective: Objective, microbatches: int) -> SummedGradient:
    """The weighted sum of the losses of a batch and its gradient, micro-batch by micro-batch."""
    piece_gradient = _value_gradient_state(objective)

    def summed(params: Params, batch: Batch, key: Array | None) -> Summed:
        if microbatches == 1:
            return piece_gradient(params, batch, key)
        cut = jax.tree.map(
            lambda leaf: leaf.reshape(microbatches, leaf.shape[0] // microbatches, *leaf.shape[1:]),
            batch,
        )
        weights, state = split_variables(params)
        piece = jax.tree.map(lambda leaf: leaf[0], cut)
        shapes = jax.eval_shape(piece_gradient, params, piece, key)[:2]
        first = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        def add(so_far: Any, numbered: tuple[Array, Batch]) -> tuple[Any, None]:
            total, state = so_far
            number, piece = numbered
            own_key = None if key is None else jax.random.fold_in(key, number)
            present = join_variables(weights, state, params)
            *found, state = piece_gradient(present, piece, own_key)
            return (jax.tree.map(jnp.add, total, tuple(found)), state), None

        numbered = (jnp.arange(microbatches), cut)
        (total, state), _ = jax.lax.scan(add, (first, state), numbered)
        return total[0], total[1], state

    return summed


def _value_gradient_state(objective: Objective) -> SummedGradient:
    """`(params, rows, key) -> (weighted sum of losses, its gradient, state after it)`."""
    training_sum = objective.training_sum

    def found(params: Params, rows: Batch, key: Array | None) -> Summed:
        weights, state = split_variables(params)

        def summed(weights: Params) -> tuple[Array, Any]:
            if training_sum is not None:
                # Where a size or a program is measured, any key will do.
                return training_sum(weights, state, rows, jax.random.key(0) if key is None else key)
            return objective.loss_sum(join_variables(weights, state, params), rows), state

        (loss, after), gradient = jax.value_and_grad(summed, has_aux=True)(weights)
        return loss, gradient, jax.lax.stop_gradient(after)

    return found


def value_and_gradient(function: Callable[..., Array]) -> Callable[..., tuple[Array, Params]]:
    """`(params, ...) -> (value, gradient)` by the weights that an update moves."""

    def both(params: Params, *arguments: Any) -> tuple[Array, Params]:
        weights, state = split_variables(params)

        def by_weights(weights: Params) -> Array:
            return function(join_variables(weights, state, params), *arguments)

        found: tuple[Array, Params] = jax.value_and_grad(by_weights)(weights)
        return found

    return both


def _with_penalty(objective: Objective, params: Params, gradient: Params) -> Params:
    if objective.penalty is None:
        return gradient
    weights, _ = split_variables(params)
    return jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(weights))


class NoiseOf(NamedTuple):
    """What the keys of a chunk's updates are made of: the seed, and the number of the first."""

    seed: Array
    update: Array


def _noise_of(seed: int, update: int) -> NoiseOf:
    return NoiseOf(np.uint32(seed), np.uint32(update))


def update_key(seed: Array, update: Array) -> Array:
    """The key of an update's noise: arithmetic in (seed, update), so that runs resume exactly."""
    return jax.random.fold_in(jax.random.key(seed), update)


def compile_chunk(step: Step, *, one_kernel: bool = False, noisy: bool = False) -> RunChunk:
    """A stretch of updates over the batches of a chunk, compiled once for each shape.

    The number of updates is an argument, not a shape: a short chunk at the end of an epoch runs
    in the same program. The state passed in is used up (its buffers are donated).

    The mean of the weights is taken between two stretches of updates, so that it costs nothing
    within them.

    Args:
        step: one update.
        one_kernel: whether the loops may be one kernel where an update is small.
        noisy: whether the model takes a key for each update.
    """
    # Traced once, for the question whether it is small and for the loop.
    step = jax.jit(step, inline=True)

    def small(
        carry: Carry,
        mean: Params,
        batch: Batch,
        rates: Array,
        marks: AveragingSchedule,
        noise: NoiseOf | None,
    ) -> tuple[Carry, Params, Array]:
        first, rate = jax.eval_shape(lambda: jax.tree.map(lambda leaf: leaf[0], (batch, rates)))
        fits = one_kernel and noise is None and fits_one_kernel(step, carry, first, rate)
        return (in_one_kernel(loops) if fits else loops)(carry, mean, batch, rates, marks, noise)

    def loops(
        carry: Carry,
        mean: Params,
        batch: Batch,
        rates: Array,
        marks: AveragingSchedule,
        noise: NoiseOf | None,
    ) -> tuple[Carry, Params, Array]:
        def one(index: Array, so_far: tuple[Carry, Array]) -> tuple[Carry, Array]:
            carry, losses = so_far
            mini_batch = jax.tree.map(lambda leaf: leaf[index], batch)
            key = None if noise is None else update_key(noise.seed, noise.update + index)
            carry, metrics = step(carry, mini_batch, rates[index], key)
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
        seed: int = 0,
    ) -> tuple[TrainState, Array]:
        marks = marks or newest(updates, len(rates))
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state),
            state.mean,
            batch,
            rates,
            marks._replace(used=np.asarray(marks.used, np.int32)),
            _noise_of(seed, state.update) if noisy else None,
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

    def one(params: Params, part: Batch, noise: NoiseOf, before: Array | int = 0) -> Sums:
        batch = jax.tree.map(lambda leaf: leaf[0], part)
        # The rows before a part tell it from the other parts of its batch.
        key = jax.random.fold_in(update_key(noise.seed, noise.update), before)
        loss, gradient, state = summed(params, batch, key)
        return Sums(loss, gradient, jnp.count_nonzero(batch.weight), state)

    def more(sums: Sums, params: Params, part: Batch, noise: NoiseOf) -> Sums:
        present = join_variables(split_variables(params)[0], sums.state, params)
        added = one(present, part, noise, sums.rows)
        totals = jax.tree.map(jnp.add, sums._replace(state=()), added._replace(state=()))
        return Sums(totals.loss, totals.gradient, totals.rows, added.state)

    def apply(
        carry: Carry, mean: Params, sums: Sums, rates: Array, part: Array
    ) -> tuple[Carry, Params, Array]:
        share = 1.0 / (jnp.maximum(1, sums.rows) * objective.mean_weight)
        gradient = jax.tree.map(lambda leaf: leaf * share.astype(leaf.dtype), sums.gradient)
        gradient = _with_penalty(objective, carry[0], gradient)
        loss = sums.loss * share
        carry = applied(carry, loss, gradient, rates[0], sums.state)
        return carry, _mixed(mean, carry[0], part), loss[None]

    first = jax.jit(one)
    following = jax.jit(more, donate_argnums=0)
    compiled = jax.jit(apply, donate_argnums=(0, 1))

    def add(sums: Sums | None, state: TrainState, part: Batch, seed: int = 0) -> Sums:
        arguments = (state.params, part, _noise_of(seed, state.update))
        total: Sums = first(*arguments) if sums is None else following(sums, *arguments)
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
    weights, _ = split_variables(params)
    return copied(TrainState(params, jax.jit(optimizer.init)(weights), params, 0, 0))


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
    """(1 − share) · mean + share · weights: exactly the one or the other at 0 and 1.

    Whole numbers in the state of a model have no mean: they are the newest.
    """

    def mixed(one: Array, other: Array) -> Array:
        if not jnp.issubdtype(one.dtype, jnp.inexact):
            return jnp.where(share > 0, other, one)
        part = share.astype(one.dtype)
        return (1 - part) * one + part * other

    both: Params = jax.tree.map(mixed, mean, weights)
    return both
