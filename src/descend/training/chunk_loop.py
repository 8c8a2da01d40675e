"""The updates of a chunk as one compiled program."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.training.averaging import AveragingSchedule, blend, no_averaging
from descend.training.jax_setup import jit_program
from descend.training.kernel import fits_one_kernel, in_one_kernel, with_fallback
from descend.training.keys import KeySource, key_source, update_key
from descend.training.processes.place import are_alike
from descend.training.processes.slices import of_first_process, over_processes
from descend.training.resident import batch_at
from descend.training.schedule_free import weights_to_evaluate
from descend.training.step import Carry, Step
from descend.types import Array, Batch, Params, TrainState

Rates = npt.NDArray[np.float32]
AfterChunk = tuple[Carry, Params, Array]
"""Weights and the memory of the optimizer, the average of the weights, and the losses `[U]`."""
CallOfChunk = Callable[[TrainState, Any, Rates, AveragingSchedule, int], AfterChunk]
"""`(state, batch, rates, averaging, seed)`: the updates up to the last stop of the averaging."""


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
            return carry, losses.at[index].set(metrics.loss.astype(losses.dtype))

        def until_next_sample(
            number: Array, so_far: tuple[Carry, Params, Array, Array]
        ) -> tuple[Carry, Params, Array, Array]:
            carry, mean, losses, start = so_far
            stop = averaging.stops[number]
            carry, losses = jax.lax.fori_loop(start, stop, one_update, (carry, losses))
            return (
                carry,
                blend(mean, weights_to_evaluate(*carry), averaging.shares[number]),
                losses,
                stop,
            )

        first = (carry, mean, jnp.zeros_like(rates), jnp.int32(0))
        carry, mean, losses, _ = jax.lax.fori_loop(0, averaging.used, until_next_sample, first)
        return carry, mean, losses

    def loops_on_unlike_processors(*arguments: Any) -> tuple[Carry, Params, Array]:
        carry, mean, losses = loops(*arguments)
        # They round an update differently, and what is evaluated and saved has to be the same.
        carry, mean = of_first_process((carry, mean))
        return carry, mean, losses

    if parallel:
        run = loops if are_alike() else loops_on_unlike_processors
        return as_run_chunk(compile_over_processes(run), numbered=noisy)
    compiled = with_fallback(
        jit_program(small, donate_argnums=(0, 1)), jit_program(loops, donate_argnums=(0, 1))
    )
    return as_run_chunk(compiled, numbered=noisy)


def compile_over_processes(loops: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a loop over a chunk of which each process has its slice of every batch.

    Args:
        loops: `((params, opt_state), mean, batch, rates, averaging, keys)`; only batches are cut.
    """
    only_batches = (False, False, True, False, False, False)
    return jit_program(over_processes(loops, only_batches), donate_argnums=(0, 1))


def as_run_chunk(compiled: Callable[..., Any], *, numbered: bool) -> RunChunk:
    """A compiled loop over arrays as a function of training states.

    Args:
        compiled: `((params, opt_state), mean, batch, rates, averaging, keys)`.
        numbered: whether it needs the seed and the number of the first update; else `keys` is None.
    """

    def call(
        state: TrainState, batch: Batch, rates: Rates, averaging: AveragingSchedule, seed: int
    ) -> AfterChunk:
        result: AfterChunk = compiled(
            (state.params, state.opt_state),
            state.mean,
            batch,
            rates,
            averaging._replace(used=np.asarray(averaging.used, np.int32)),
            key_source(seed, state.update) if numbered else None,
        )
        return result

    return count_updates(call)


def count_updates(call: CallOfChunk) -> RunChunk:
    """A call that makes the updates of a chunk, as a function that counts them in the state."""

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
        (params, opt_state), mean, losses = call(state, batch, rates, averaging, seed)
        update, examples = state.update + updates, state.examples + examples
        return TrainState(params, opt_state, mean, update, examples), losses

    return run_chunk
