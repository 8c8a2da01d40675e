"""One update, and many updates as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import optax

from descend.training.averaging import AveragingSchedule, no_averaging
from descend.training.kernel import fits_one_kernel, in_one_kernel, with_fallback
from descend.training.objective import Objective
from descend.training.parallel import (
    mean_over_processes,
    over_processes,
    slice_index,
    sum_over_processes,
)
from descend.training.resident import batch_at
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
LossAndGradient = tuple[Array, Params, Any]
"""The weighted sum of losses of some rows, its gradient, and the state of the model after them."""
SumGradients = Callable[[Params, Batch, Array | None], LossAndGradient]
Rates = npt.NDArray[np.float32]
ApplyGradient = Callable[[Carry, Array, Params, Array, Any], Carry]


class GradientOf(Protocol):
    """The mean loss of a batch and the gradient of its objective."""

    def __call__(
        self, params: Params, batch: Batch, key: Array | None = None
    ) -> tuple[Array, Params]:
        """`(params, batch) -> (mean loss, gradient)`; the key is for noise in the model."""


class Step(Protocol):
    """One update."""

    def __call__(
        self, carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        """`((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`."""


class RunChunk(Protocol):
    """The updates of a chunk; the state passed in is consumed."""

    def __call__(
        self,
        state: TrainState,
        batch: Batch,
        rates: Rates,
        updates: int,
        examples: int,
        averaging: AveragingSchedule | None = None,
        seed: int = 0,
    ) -> tuple[TrainState, Array]:
        """The state after the first `updates` batches, and their losses `[U]`.

        Args:
            state: where the chunk begins.
            batch: leaves `[U, B, ...]`.
            rates: learning rates `[U]`.
            updates: number of batches that count; the rest is padding.
            examples: number of rows that count.
            averaging: when the weights enter the average; None: the average is the newest weights.
            seed: of noise in the model; the key of an update is a function of the seed and the
                number of the update.
        """


class GradientSums(NamedTuple):
    """Sums over the microbatches of a large batch so far.

    Attributes:
        loss: weighted sum of the rows' losses.
        gradient: its gradient.
        rows: number of rows whose weight is not 0.
        state: of the model, after the newest microbatch.
    """

    loss: Array
    gradient: Params
    rows: Array
    state: Any = ()


class AccumulatedUpdate(NamedTuple):
    """An update whose batch is too large for one chunk: gradients are accumulated over several.

    Attributes:
        add: `(sums or None, state, chunk, seed) -> sums`; the chunk has leaves
            `[1, padded_rows, ...]`, and the sums passed in are consumed.
        finish: `(state, sums, learning_rates [1], rows, share) -> (state, losses [1])`; `share`
            is that of the new weights in the average. The state passed in is consumed.
    """

    add: Callable[..., GradientSums]
    finish: Callable[[TrainState, GradientSums, Rates, int, float], tuple[TrainState, Array]]


def make_step(
    objective: Objective,
    optimizer: optax.GradientTransformation,
    microbatches: int = 1,
    *,
    parallel: bool = False,
) -> Step:
    """One update: θ ← θ + learning rate · direction(gradient of the batch).

    Args:
        objective: what to minimize.
        optimizer: an Optax transformation made with learning rate 1; it gives the direction.
        microbatches: number of microbatches the batch is split into. Their gradients are summed,
            so the update is the same up to rounding, in less memory.
        parallel: whether several processes have a slice of the batch each. Their sums meet in one
            all-reduce, and all of them make the same update.

    Returns:
        `((params, opt_state), batch, learning_rate) -> ((params, opt_state), metrics)`, pure.
    """
    sum_gradients = _make_sum(objective, microbatches)
    apply_gradient = _make_apply(optimizer)

    def mean_gradient(params: Params, batch: Batch, key: Array | None) -> LossAndGradient:
        own_key = None if key is None else jax.random.fold_in(key, slice_index())
        loss, gradient, state = sum_gradients(params, batch, own_key)
        rows = jnp.count_nonzero(batch.weight).astype(jnp.float32)
        if jax.tree.leaves(state):
            state = mean_over_processes(state, rows)
        loss, gradient, rows = sum_over_processes((loss, gradient, rows))
        per_row = 1.0 / (jnp.maximum(1.0, rows) * objective.mean_weight)
        scaled = jax.tree.map(lambda leaf: leaf * per_row.astype(leaf.dtype), gradient)
        return loss * per_row, scaled, state

    def step(
        carry: Carry, batch: Batch, learning_rate: Array, key: Array | None = None
    ) -> tuple[Carry, Metrics]:
        if parallel:
            loss, gradient, state = mean_gradient(carry[0], batch, key)
        else:
            normalized = objective.normalize_weights(batch)
            loss, gradient, state = sum_gradients(carry[0], normalized, key)
        gradient = _add_penalty(objective, carry[0], gradient)
        return apply_gradient(carry, loss, gradient, learning_rate, state), Metrics(loss)

    return step


def _make_apply(optimizer: optax.GradientTransformation) -> ApplyGradient:
    """`((params, opt_state), loss, gradient, learning_rate, state) -> (params, opt_state)`."""
    rule = optax.with_extra_args_support(optimizer)

    def apply_gradient(
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

    return apply_gradient


def make_gradient(objective: Objective, microbatches: int = 1) -> GradientOf:
    """The mean loss of a batch and the gradient of its objective.

    Args:
        objective: what to minimize.
        microbatches: number of microbatches the batch is split into, their gradients summed.

    Returns:
        `(params, batch) -> (mean loss, gradient)`; the penalty is in the gradient alone. The
        gradient is with respect to the weights that an update changes.
    """
    sum_gradients = _make_sum(objective, microbatches)

    def gradient_of(params: Params, batch: Batch, key: Array | None = None) -> tuple[Array, Params]:
        loss, gradient, _ = sum_gradients(params, objective.normalize_weights(batch), key)
        return loss, _add_penalty(objective, params, gradient)

    return gradient_of


def _make_sum(objective: Objective, microbatches: int) -> SumGradients:
    """The weighted sum of the losses of a batch and its gradient, one microbatch at a time."""
    gradient_of_one = _value_gradient_state(objective)

    def sum_gradients(params: Params, batch: Batch, key: Array | None) -> LossAndGradient:
        if microbatches == 1:
            return gradient_of_one(params, batch, key)
        split = jax.tree.map(
            lambda leaf: leaf.reshape(microbatches, leaf.shape[0] // microbatches, *leaf.shape[1:]),
            batch,
        )
        weights, state = split_variables(params)
        first = jax.tree.map(lambda leaf: leaf[0], split)
        shapes = jax.eval_shape(gradient_of_one, params, first, key)[:2]
        zeros = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)

        def add(so_far: Any, numbered: tuple[Array, Batch]) -> tuple[Any, None]:
            total, state = so_far
            number, microbatch = numbered
            key_of_one = None if key is None else jax.random.fold_in(key, number)
            present = join_variables(weights, state, params)
            *found, state = gradient_of_one(present, microbatch, key_of_one)
            return (jax.tree.map(jnp.add, total, tuple(found)), state), None

        numbered = (jnp.arange(microbatches), split)
        (total, state), _ = jax.lax.scan(add, (zeros, state), numbered)
        return total[0], total[1], state

    return sum_gradients


def _value_gradient_state(objective: Objective) -> SumGradients:
    """`(params, rows, key) -> (weighted sum of losses, its gradient, state after it)`."""
    training_sum = objective.training_sum

    def evaluate(params: Params, rows: Batch, key: Array | None) -> LossAndGradient:
        weights, state = split_variables(params)

        def loss_of(weights: Params) -> tuple[Array, Any]:
            if training_sum is not None:
                # Measurements of memory or noise may use any key.
                return training_sum(weights, state, rows, jax.random.key(0) if key is None else key)
            return objective.loss_sum(join_variables(weights, state, params), rows), state

        (loss, after), gradient = jax.value_and_grad(loss_of, has_aux=True)(weights)
        return loss, gradient, jax.lax.stop_gradient(after)

    return evaluate


def value_and_gradient(function: Callable[..., Array]) -> Callable[..., tuple[Array, Params]]:
    """`(params, ...) -> (value, gradient)` with respect to the weights that an update changes."""

    def both(params: Params, *arguments: Any) -> tuple[Array, Params]:
        weights, state = split_variables(params)

        def by_weights(weights: Params) -> Array:
            return function(join_variables(weights, state, params), *arguments)

        found: tuple[Array, Params] = jax.value_and_grad(by_weights)(weights)
        return found

    return both


def _add_penalty(objective: Objective, params: Params, gradient: Params) -> Params:
    if objective.penalty is None:
        return gradient
    weights, _ = split_variables(params)
    return jax.tree.map(jnp.add, gradient, jax.grad(objective.penalty)(weights))


class KeySource(NamedTuple):
    """Origin of the random keys of a chunk's updates: the seed, and the number of the first."""

    seed: Array
    update: Array


def _key_source(seed: int, update: int) -> KeySource:
    return KeySource(np.uint32(seed), np.uint32(update))


def update_key(seed: Array, update: Array) -> Array:
    """The random key of an update: a function of (seed, update), so that runs resume exactly."""
    return jax.random.fold_in(jax.random.key(seed), update)


def compile_chunk(
    step: Step, *, one_kernel: bool = False, noisy: bool = False, parallel: bool = False
) -> RunChunk:
    """A loop of updates over the batches of a chunk, compiled once for each shape.

    The number of updates is an argument, not a shape: a short chunk at the end of an epoch runs
    in the same program. The state passed in is consumed (its buffers are donated).

    The average of the weights is updated between two runs of updates, so that it costs nothing
    within them.

    Args:
        step: one update.
        one_kernel: whether the loop may be compiled as one kernel where an update is small.
        noisy: whether the model needs a random key for each update.
        parallel: whether several processes have a slice of each batch.
    """
    # Traced once, for the question whether it is small and for the loop.
    step = jax.jit(step, inline=True)

    def small(
        carry: Carry,
        mean: Params,
        batch: Batch,
        rates: Array,
        averaging: AveragingSchedule,
        keys: KeySource | None,
    ) -> tuple[Carry, Params, Array]:
        first, rate = jax.eval_shape(lambda: (batch_at(batch, 0), rates[0]))
        fits = one_kernel and keys is None and fits_one_kernel(step, carry, first, rate)
        return (in_one_kernel(loops) if fits else loops)(carry, mean, batch, rates, averaging, keys)

    def loops(
        carry: Carry,
        mean: Params,
        batch: Batch,
        rates: Array,
        averaging: AveragingSchedule,
        keys: KeySource | None,
    ) -> tuple[Carry, Params, Array]:
        def one_update(index: Array, so_far: tuple[Carry, Array]) -> tuple[Carry, Array]:
            carry, losses = so_far
            mini_batch = batch_at(batch, index)
            key = None if keys is None else update_key(keys.seed, keys.update + index)
            carry, metrics = step(carry, mini_batch, rates[index], key)
            return carry, losses.at[index].set(metrics.loss)

        def until_next_sample(
            number: Array, so_far: tuple[Carry, Params, Array, Array]
        ) -> tuple[Carry, Params, Array, Array]:
            carry, mean, losses, start = so_far
            stop = averaging.stops[number]
            carry, losses = jax.lax.fori_loop(start, stop, one_update, (carry, losses))
            return carry, mixed(mean, carry[0], averaging.shares[number]), losses, stop

        first = (carry, mean, jnp.zeros_like(rates), jnp.int32(0))
        carry, mean, losses, _ = jax.lax.fori_loop(0, averaging.used, until_next_sample, first)
        return carry, mean, losses

    compiled: Callable[..., Any]
    if parallel:
        only_batches = (False, False, True, False, False, False)
        compiled = jax.jit(over_processes(loops, only_batches), donate_argnums=(0, 1))
    else:
        compiled = with_fallback(
            jax.jit(small, donate_argnums=(0, 1)), jax.jit(loops, donate_argnums=(0, 1))
        )

    return as_run_chunk(compiled, numbered=noisy)


def as_run_chunk(compiled: Callable[..., Any], *, numbered: bool) -> RunChunk:
    """A compiled loop over arrays as a function of training states.

    Args:
        compiled: `((params, opt_state), mean, batch, rates, averaging, keys)`.
        numbered: whether it needs the seed and the number of the first update; else `keys` is None.
    """

    def run_chunk(
        state: TrainState,
        batch: Batch,
        rates: Rates,
        updates: int,
        examples: int,
        averaging: AveragingSchedule | None = None,
        seed: int = 0,
    ) -> tuple[TrainState, Array]:
        averaging = averaging or no_averaging(updates, len(rates))
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state),
            state.mean,
            batch,
            rates,
            averaging._replace(used=np.asarray(averaging.used, np.int32)),
            _key_source(seed, state.update) if numbered else None,
        )
        update, examples = state.update + updates, state.examples + examples
        return TrainState(params, opt_state, mean, update, examples), losses

    return run_chunk


def compile_accumulation(
    objective: Objective, optimizer: optax.GradientTransformation, microbatches: int = 1
) -> AccumulatedUpdate:
    """An update over a batch that is never in memory as a whole: its gradients are accumulated.

    The update equals that of `make_step` up to rounding. Between two microbatches nothing of the
    run has changed: it can be stopped there, and resumes from the beginning of the batch.

    Args:
        objective: what to minimize.
        optimizer: an Optax transformation made with learning rate 1.
        microbatches: number of microbatches that each chunk of the batch is split into.
    """
    sum_gradients = _make_sum(objective, microbatches)
    apply_gradient = _make_apply(optimizer)

    def sums_of(
        params: Params, chunk: Batch, keys: KeySource, before: Array | int = 0
    ) -> GradientSums:
        batch = jax.tree.map(lambda leaf: leaf[0], chunk)
        # The number of rows before a chunk tells it from the other chunks of its batch.
        key = jax.random.fold_in(update_key(keys.seed, keys.update), before)
        loss, gradient, state = sum_gradients(params, batch, key)
        return GradientSums(loss, gradient, jnp.count_nonzero(batch.weight), state)

    def add_to(sums: GradientSums, params: Params, chunk: Batch, keys: KeySource) -> GradientSums:
        present = join_variables(split_variables(params)[0], sums.state, params)
        added = sums_of(present, chunk, keys, sums.rows)
        totals = jax.tree.map(jnp.add, sums._replace(state=()), added._replace(state=()))
        return GradientSums(totals.loss, totals.gradient, totals.rows, added.state)

    def apply(
        carry: Carry, mean: Params, sums: GradientSums, rates: Array, share: Array
    ) -> tuple[Carry, Params, Array]:
        per_row = 1.0 / (jnp.maximum(1, sums.rows) * objective.mean_weight)
        gradient = jax.tree.map(lambda leaf: leaf * per_row.astype(leaf.dtype), sums.gradient)
        gradient = _add_penalty(objective, carry[0], gradient)
        loss = sums.loss * per_row
        carry = apply_gradient(carry, loss, gradient, rates[0], sums.state)
        return carry, mixed(mean, carry[0], share), loss[None]

    first = jax.jit(sums_of)
    following = jax.jit(add_to, donate_argnums=0)
    compiled = jax.jit(apply, donate_argnums=(0, 1))

    def add(
        sums: GradientSums | None, state: TrainState, chunk: Batch, seed: int = 0
    ) -> GradientSums:
        arguments = (state.params, chunk, _key_source(seed, state.update))
        total: GradientSums = first(*arguments) if sums is None else following(sums, *arguments)
        # Chunks waiting in a queue would fill the memory that accumulation is meant to save.
        jax.block_until_ready(total)
        return total

    def finish(
        state: TrainState, sums: GradientSums, rates: Rates, rows: int, share: float = 1.0
    ) -> tuple[TrainState, Array]:
        (params, opt_state), mean, losses = compiled(
            (state.params, state.opt_state), state.mean, sums, rates, np.float32(share)
        )
        return TrainState(params, opt_state, mean, state.update + 1, state.examples + rows), losses

    return AccumulatedUpdate(add, finish)


def initial_state(
    init: Callable[[int], Params], optimizer: optax.GradientTransformation, seed: int
) -> TrainState:
    """The state before the first update; the same seed gives the same weights."""
    return state_at(jax.device_put(init(seed)), optimizer)


def state_at(params: Params, optimizer: optax.GradientTransformation) -> TrainState:
    """The state before the first update at given weights, which are copy_state."""
    weights, _ = split_variables(params)
    return copy_state(TrainState(params, jax.jit(optimizer.init)(weights), params, 0, 0))


def copy_state(state: TrainState) -> TrainState:
    """A copy with arrays of its own, so that the original may be donated."""
    params, opt_state, mean = _copy((state.params, state.opt_state, state.mean))
    return TrainState(params, opt_state, mean, state.update, state.examples)


def at_average(state: TrainState) -> TrainState:
    """A copy of the state whose weights are the averaged ones."""
    return copy_state(state._replace(params=state.mean))


@jax.jit
def _copy(tree: Any) -> Any:
    return jax.tree.map(jnp.copy, tree)


def mixed(mean: Params, weights: Params, share: Array) -> Params:
    """(1 − share) · mean + share · weights: exactly one or the other at 0 and 1.

    Integers in the state of a model cannot be averaged: the newest are taken.
    """

    def mix_leaf(one: Array, other: Array) -> Array:
        if not jnp.issubdtype(one.dtype, jnp.inexact):
            return jnp.where(share > 0, other, one)
        part = share.astype(one.dtype)
        return (1 - part) * one + part * other

    mean_now: Params = jax.tree.map(mix_leaf, mean, weights)
    return mean_now
