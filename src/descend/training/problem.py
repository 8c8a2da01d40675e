"""A model, its loss and its rows: fixed for a run, shared by training, advice and comparison."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from descend.data.rows.batches import (
    MAX_BATCH_BYTES,
    MICRO_ROWS,
    BatchPlan,
    plan_batches,
    without_microbatches,
)
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.slices import slice_plan
from descend.data.rows.store import RowStore
from descend.defaults import RISE_UPDATES
from descend.errors import SettingsError
from descend.training.accumulation import AccumulatedUpdate, compile_accumulation
from descend.training.averaging import longest_window
from descend.training.chunk_loop import RunChunk, compile_chunk
from descend.training.device_feed import chunk_bytes, device_memory, for_device
from descend.training.evaluation import Evaluate, EvaluateRows, Program
from descend.training.footprint import gradient_bytes
from descend.training.kept_programs import kept
from descend.training.local_updates import compile_local_chunk, plan_between_meetings
from descend.training.loop_state import LoopConfig, LoopState, begin
from descend.training.objective import (
    Apply,
    Objective,
    PerExample,
    TrainingApply,
    make_objective,
)
from descend.training.processes.place import ALONE, Place
from descend.training.processes.slices import local
from descend.training.rate_and_batch_size import updates_between
from descend.training.resident_loop import compile_resident_chunk
from descend.training.schedules import make_schedule
from descend.training.state import initial_state
from descend.training.step import make_step
from descend.training.stopping_state import Limits
from descend.types import Array, Params, split_variables

EVALUATION_INTERVAL_ROWS = 1_000_000
"""Most training rows from one evaluation to the next."""
GRADIENT_BYTES = 128 << 20
"""Bytes of the values that the host computes for a gradient at once; about half are in memory."""
BATCH_SHARE, WORKING_SHARE = 0.125, 0.5
"""Under a bound of memory: the fraction of the working memory that the rows of a chunk take at
most, of which several are in memory, and that the values of a gradient do."""
FEWEST_AT_ONCE = 256
"""Rows whose gradient is computed at once whatever it takes."""
GRADIENT_SHARE = 0.25
"""Fraction of the memory of a device that the values computed for a gradient may take."""


class Programs(NamedTuple):
    """The objective, and its compiled updates by the number of microbatches per batch."""

    objective: Objective
    chunk: Callable[[int], RunChunk]
    resident_chunk: Callable[[int], RunChunk]
    parallel_chunk: Callable[[int], RunChunk]
    local_chunk: Callable[[int, int], RunChunk]
    accumulated: Callable[[int], AccumulatedUpdate]


@kept
def programs(
    apply: Apply,
    per_example: PerExample,
    optimizer: optax.GradientTransformation,
    l2: float,
    mean_weight: float,
    one_kernel: bool,
    training_apply: TrainingApply | None,
    noisy: bool,
    penalty: Callable[[Params], Array] | None,
) -> Programs:
    """Cached for each network, loss and update rule, so that a grid search compiles once."""
    objective = make_objective(apply, per_example, l2, mean_weight, training_apply, penalty)
    return Programs(
        objective,
        functools.cache(
            lambda microbatches: compile_chunk(
                make_step(objective, optimizer, microbatches), one_kernel=one_kernel, noisy=noisy
            )
        ),
        functools.cache(
            lambda microbatches: compile_resident_chunk(
                objective,
                make_step(objective, optimizer, microbatches, normalized=True),
                noisy=noisy,
            )
        ),
        functools.cache(
            lambda microbatches: compile_chunk(
                make_step(objective, optimizer, microbatches, parallel=True),
                noisy=noisy,
                parallel=True,
            )
        ),
        functools.cache(
            lambda microbatches, every: compile_local_chunk(
                make_step(objective, optimizer, microbatches), every, noisy=noisy
            )
        ),
        functools.cache(
            lambda microbatches: compile_accumulation(objective, optimizer, microbatches)
        ),
    )


@dataclass(frozen=True)
class Problem:
    """A model, its loss and its rows.

    Attributes:
        store: the training rows.
        validation: the validation rows.
        init: `seed -> params`.
        apply: `(params, x) -> outputs`, each row by itself: the model as it predicts.
        per_example: `(outputs, y) -> [B]`.
        optimizer: an Optax transformation made with learning rate 1.
        l2: strength of the penalty on the weights.
        seed: of the initial weights and of the order of rows.
        averaging: whether a running average of the weights is evaluated and saved.
        rising: whether the learning rate rises over the first updates if no warm-up is set.
        members: apply and loss of the members of an ensemble, `[B, M, k]`: what is trained, while
            `apply` and `per_example` evaluate their pooled outputs.
        one_kernel: whether small updates may be compiled as one kernel; only for networks it was
            tested with, since a program that XLA's emitter does not support may end the process.
        training_apply: `(params, state, x, key) -> (outputs, state)`: the model in training
            mode, if it differs there (dropout, batch normalization); None: `apply`.
        noisy: whether `training_apply` uses its key, which is another one for each update.
        couples_rows: whether `training_apply` processes the rows of a batch together; then a batch
            is never split into microbatches, and one too large for that is refused.
        penalty: `params -> penalty` that the model itself asks for, or None.
        working: bytes for batches, gradients and copies of the model under the bound that the user
            set; None where none is set. A run keeps it, since it decides how a large batch is
            divided, and so the last bits of its sum.
        forward: the program that predicts a piece of rows, where it evaluates on processors too.
    """

    store: RowStore
    validation: RowStore
    init: Callable[[int], Params]
    apply: Apply
    per_example: PerExample
    optimizer: optax.GradientTransformation
    l2: float = 0.0
    seed: int = 0
    averaging: bool = False
    rising: bool = False
    members: tuple[Apply, PerExample] | None = None
    one_kernel: bool = False
    training_apply: TrainingApply | None = None
    noisy: bool = False
    couples_rows: bool = False
    penalty: Callable[[Params], Array] | None = None
    working: int | None = None
    forward: Program | None = None

    @functools.cached_property
    def objective(self) -> Objective:
        """What training minimizes."""
        return self._programs.objective

    @functools.cached_property
    def evaluate(self) -> Evaluate:
        """`params -> validation loss`.

        If the training rows are the validation rows too, the penalty is included: otherwise the
        least regularized weights would be best. On held-out rows it is not.
        """
        return self.evaluate_in(ALONE)

    @property
    def alone(self) -> Problem:
        """The same on the rows that this process has, to be measured without the others.

        That is the problem itself, unless the rows are shared out.
        """
        if not isinstance(self.store, SharedStore):
            return self
        return dataclasses.replace(self, store=self.store.own)

    def evaluate_in(self, place: Place) -> Evaluate:
        """The same where each of several processes evaluates its share of the rows."""
        evaluate = self.evaluation_of(self.validation, place)
        penalty = self.objective.penalty
        if penalty is None or self.validation is not self.store:
            return evaluate
        return lambda params: evaluate(params) + float(penalty(split_variables(params)[0]))

    def evaluation_of(self, rows: RowStore, place: Place = ALONE) -> EvaluateRows:
        """`params -> loss` over other rows, without the penalty."""
        forward = self.forward if jax.default_backend() == "cpu" else None
        return EvaluateRows(self.apply, self.per_example, rows, place, forward)

    def plan(self, batch_size: int) -> BatchPlan:
        """How an epoch is divided into updates at a batch size, on the device that trains."""
        plan = for_device(self.store, self._host_plan(batch_size))
        if plan.resident and not self.couples_rows:
            plan = dataclasses.replace(plan, micro_rows=self._device_rows_at_once)
        return plan

    @functools.cached_property
    def _device_rows_at_once(self) -> int:
        """Most rows whose gradient a device with memory of its own computes at once."""
        return max(MICRO_ROWS, int(GRADIENT_SHARE * device_memory() / self._gradient_row_bytes))

    @functools.cached_property
    def gradient_bytes(self) -> tuple[float, float]:
        """Bytes of the values that the gradient of some rows computes: a constant, and per row.

        Counted once, since tracing the gradient takes a twentieth of a second.
        """
        params = jax.eval_shape(lambda: jax.tree.map(jnp.asarray, self.init(self.seed)))
        store = self.store.sample if isinstance(self.store, SharedStore) else self.store
        return gradient_bytes(self.objective, store, params)

    @property
    def _gradient_row_bytes(self) -> float:
        return max(1.0, self.gradient_bytes[1])

    def in_one_chunk(self, batch_size: int) -> bool:
        """Whether a batch is in memory as a whole; a larger one is read part by part."""
        return self._cut(batch_size).accumulation_steps == 1

    def _cut(self, batch_size: int, processes: int = 1) -> BatchPlan:
        """How the host gathers batches, whatever the model makes of them."""
        intervals = -(-len(self.store) // EVALUATION_INTERVAL_ROWS)
        return plan_batches(
            self.store,
            batch_size,
            self.seed,
            intervals_per_epoch=intervals,
            chunk_bytes=self._within(chunk_bytes(processes), BATCH_SHARE),
            most_bytes=self._within(MAX_BATCH_BYTES, BATCH_SHARE),
        )

    def _host_plan(self, batch_size: int, processes: int = 1) -> BatchPlan:
        """The same where the host gathers the rows, for its slices if several processes do."""
        plan = self._cut(batch_size, processes)
        if self.couples_rows:
            return without_microbatches(plan)
        if plan.chunk_rows <= FEWEST_AT_ONCE:
            return plan
        return dataclasses.replace(plan, micro_rows=self.rows_at_once)

    @functools.cached_property
    def rows_at_once(self) -> int:
        """Most rows whose gradient the host computes at once.

        Thousands of classes, or wide layers, take far more than the row they are for. However much
        memory is free, it is the same in every run: the order of a sum decides its last bits.
        """
        most = self._within(GRADIENT_BYTES, WORKING_SHARE)
        return max(FEWEST_AT_ONCE, min(MICRO_ROWS, int(most / self._gradient_row_bytes)))

    def _within(self, usual: int, share: float) -> int:
        """Bytes that something may take: the usual ones, or a share of the working memory."""
        return usual if self.working is None else min(usual, int(share * self.working))

    def compiled(self, plan: BatchPlan) -> RunChunk:
        """The updates of a plan as one program; plans with equally many microbatches share it."""
        programs = self._programs
        compile_plan = programs.resident_chunk if plan.resident else programs.chunk
        return self._seeded(compile_plan(plan.microbatches))

    def _seeded(self, program: RunChunk) -> RunChunk:
        return functools.partial(program, seed=self.seed) if self.noisy else program

    def in_parallel(self, config: LoopConfig, place: Place, sync_every: int = 1) -> LoopConfig:
        """The same run with a slice of every batch in each of several processes.

        Args:
            config: of the run in one process.
            place: which process this is.
            sync_every: updates that each makes by itself before their weights are averaged; 1
                sums the gradients of every batch.

        Raises:
            SettingsError: the model processes the rows of a batch together.
        """
        if place.count == 1:
            return config
        if self.couples_rows:
            raise SettingsError(
                "The model processes the rows of a batch together, as batch normalization does, "
                "and cannot be trained in several processes, each of which has a slice of the "
                "batch. Train it in one."
            )
        evaluate, metrics = self.evaluate_in(place), config.metrics
        # Every process gathers its slices itself.
        plan = self._host_plan(config.plan.batch_size, place.count)
        microbatches = slice_plan(self.store, plan, place.count).microbatches
        program = self._programs.parallel_chunk(microbatches)
        if sync_every > 1:
            plan = plan_between_meetings(plan, sync_every)
            program = self._programs.local_chunk(microbatches, sync_every)
        return dataclasses.replace(
            config,
            plan=dataclasses.replace(plan, accumulation_steps=1),
            run_chunk=self._seeded(program),
            accumulated=None,
            evaluate=lambda params: evaluate(local(params)),
            metrics=None if metrics is None else lambda params: metrics(local(params)),
            place=place,
        )

    def accumulated(self, plan: BatchPlan) -> AccumulatedUpdate | None:
        """The update of a plan that spreads a batch over several chunks, else None."""
        if plan.accumulation_steps == 1:
            return None
        program = self._programs.accumulated(plan.microbatches)
        if not self.noisy:
            return program
        return program._replace(add=functools.partial(program.add, seed=self.seed))

    @functools.cached_property
    def _programs(self) -> Programs:
        mean_weight = self.store.mean_weight
        apply, per_example = self.members or (self.apply, self.per_example)
        return programs(
            apply,
            per_example,
            self.optimizer,
            self.l2,
            mean_weight,
            self.one_kernel,
            self.training_apply,
            self.noisy,
            self.penalty,
        )

    def begin(self, seed: int | None = None) -> LoopState:
        """The loop state of a new run, at the initial weights of a seed."""
        return begin(initial_state(self.init, self.optimizer, self.seed if seed is None else seed))

    def loop_config(
        self,
        batch_size: int,
        learning_rate: float,
        *,
        schedule: str = "constant",
        warmup: float = 0.0,
        limits: Limits | None = None,
    ) -> LoopConfig:
        """A run of this problem, ready for `fit`.

        Args:
            batch_size: rows per update, at most the rows of the store.
            learning_rate: peak learning rate.
            schedule: name of its schedule.
            warmup: fraction of the run over which it rises.
            limits: what ends the run; its epochs are the horizon of the schedule.
        """
        limits = limits or Limits()
        plan = self.plan(batch_size)
        total = limits.epochs * plan.updates_per_epoch if limits.epochs else None
        return LoopConfig(
            store=self.store,
            plan=plan,
            run_chunk=self.compiled(plan),
            accumulated=self.accumulated(plan),
            evaluate=self.evaluate,
            learning_rate=learning_rate,
            schedule=make_schedule(schedule, total, warmup, self.rise(plan)),
            limits=limits,
            window=self.window(plan),
        )

    def at_size(self, config: LoopConfig, batch_size: int) -> LoopConfig:
        """The same run with another batch size; the schedule of its rate stays as it is."""
        plan = self.plan(batch_size)
        return dataclasses.replace(
            config,
            plan=plan,
            run_chunk=self.compiled(plan),
            accumulated=self.accumulated(plan),
            window=self.window(plan),
        )

    def rise(self, plan: BatchPlan) -> int:
        """Number of updates of the automatic warm-up; 0 without one."""
        return min(RISE_UPDATES, plan.updates_per_epoch) if self.rising else 0

    def window(self, plan: BatchPlan) -> float | None:
        """The longest window of the averaged weights, in updates; None without averaging."""
        return longest_window(plan, updates_between(plan)) if self.averaging else None
