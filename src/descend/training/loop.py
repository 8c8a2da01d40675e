"""The training loop: run a chunk, evaluate, stop when a rule says so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from descend.data.rows.batches import CHUNK_BYTES, BatchPlan, Chunk
from descend.data.rows.order import HASHED
from descend.data.rows.store import RowStore
from descend.io.units import count_text, percent_text
from descend.training import batch_schedule, early_decay, plateau, stopping
from descend.training.accumulation import AccumulatedUpdate
from descend.training.batch_schedule import BatchSchedule, Growth
from descend.training.callback import Callback
from descend.training.chunk_loop import Rates, RunChunk
from descend.training.device_feed import feed
from descend.training.evaluation import Evaluate, EvaluateRows
from descend.training.networks import (
    ENDS_ONE,
    Beginning,
    Finished,
    Networks,
    go_to_next,
    losses_of_networks,
    next_beginning,
)
from descend.training.parallel import ALONE, Place
from descend.training.schedules import Floats, Schedule
from descend.training.state import at_average, copy_state
from descend.training.stopping import Limits, StoppingState
from descend.training.updates import ChunkUpdater
from descend.training.watch import steps
from descend.types import (
    Array,
    History,
    HistoryLine,
    Params,
    Position,
    StopReason,
    TrainState,
    counted_from_first,
)

MIN_UPDATES_BETWEEN_EVALUATIONS = 10
"""Fewer updates between two evaluations would measure noise where batches are large."""
AHEAD_SECONDS = 0.25
"""Chunks that take longer are not begun in advance: a call costs a thousandth of them, and one that
is dropped would keep the processor busy for as long."""
AHEAD_BYTES = CHUNK_BYTES
"""Larger states are not copied for it: the copy takes as long as what it saves."""


class LoopState(NamedTuple):
    """All that a run is at a moment; passed to `fit` again, it continues from there bit for bit.

    Attributes:
        state: what the next update starts from.
        position: where the order of rows stands.
        best: the state with the lowest validation loss; its averaged weights are the result.
        progress: what the stopping rules remember.
        history: a line per evaluation.
        seconds: training time so far.
        loss_sum: sum of the batch losses since the last evaluation.
        loss_count: number of batch losses in that sum.
        order: which order of `data.rows.order` the run uses; it keeps the one it began with.
        growth: the newest growth of the batch; None while it has its first size.
        finished: the networks whose training has ended; all else is of the one in training.
        begun: what those had used when it began.
        complete: whether its training has ended too, and was not cut off; then it is the last.
    """

    state: TrainState
    position: Position
    best: TrainState
    progress: StoppingState = StoppingState()
    history: History = ()
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    order: int = HASHED
    growth: Growth | None = None
    finished: tuple[Finished, ...] = ()
    begun: Beginning = Beginning()
    complete: bool = False

    @property
    def own_position(self) -> Position:
        """The position, in epochs of the network in training."""
        return Position(self.position.epoch - self.begun.epochs, self.position.index)

    @property
    def own_history(self) -> History:
        """The lines of the network in training, their counts its own."""
        lines = self.history[self.begun.lines :]
        return counted_from_first(lines) if self.begun.lines else lines

    @property
    def updates(self) -> int:
        """Updates made so far, those of finished networks too."""
        return self.begun.updates + self.state.update

    @property
    def examples(self) -> int:
        """Rows seen so far, repeats counted, those of finished networks too."""
        return self.begun.examples + self.state.examples


@dataclass(frozen=True)
class LoopConfig:
    """What stays fixed during a run.

    Attributes:
        store: the training rows.
        plan: how they are divided into updates.
        run_chunk: the compiled updates.
        evaluate: `params -> validation loss`.
        learning_rate: peak learning rate.
        schedule: its factor at each update.
        limits: what ends the run.
        accumulated: the compiled update where `plan` spreads a batch over several chunks, else
            None.
        window: longest window of the averaged weights, in updates; None: no averaging.
        place: which of several processes that share the batches this is.
        metrics: `params -> figures by name`, for the history; None measures none.
        batch_schedule: lets the batch grow; None: `plan` holds for the whole run.
        networks: how many are trained one after another; None: one.
    """

    store: RowStore
    plan: BatchPlan
    run_chunk: RunChunk
    evaluate: Evaluate
    learning_rate: float
    schedule: Schedule
    limits: Limits
    accumulated: AccumulatedUpdate | None = None
    window: float | None = None
    place: Place = ALONE
    metrics: Callable[[Params], Mapping[str, float]] | None = None
    batch_schedule: BatchSchedule | None = None
    networks: Networks | None = None

    @property
    def queued_evaluation(self) -> EvaluateRows | None:
        """The evaluation, if the device can make it and go on while the host looks at losses."""
        evaluate = self.evaluate
        if self.plan.resident and isinstance(evaluate, EvaluateRows) and evaluate.queues:
            return evaluate
        return None

    def runs_ahead(self, state: TrainState) -> bool:
        """Whether a CPU may begin the next chunk while the host looks at the newest losses.

        Otherwise it waits for the host between two chunks and during each evaluation: a tenth of
        the time where epochs take some milliseconds. The updates are the same.
        """
        if jax.default_backend() != "cpu" or self.accumulated is not None or self.store.waits:
            return False
        leaves = jax.tree.leaves((state.params, state.opt_state, state.mean))
        return self.place.count == 1 and sum(leaf.nbytes for leaf in leaves) <= AHEAD_BYTES


def begin(state: TrainState) -> LoopState:
    """The loop state before the first update; the given state is copied."""
    return LoopState(copy_state(state), Position(0, 0), copy_state(state))


def fit(
    config: LoopConfig,
    loop: LoopState,
    callback: Callback | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[LoopState, StopReason]:
    """Train until a limit is met.

    Args:
        config: what stays fixed.
        loop: where to begin; `begin(state)` for a new run. Its `state` is consumed.
        callback: called after chunks and evaluations; it may stop the run or scale the learning
            rate.
        clock: seconds, for tests.

    Returns:
        The loop state at the end and why the run ended; `loop.best.mean` are the weights to keep.
    """
    callback = callback or Callback()
    while True:
        loop, reason = _fit_network(config, loop, callback, clock)
        following = next_beginning(config.networks, loop, config.limits, reason)
        if isinstance(following, StopReason):
            return loop._replace(complete=reason in ENDS_ONE), following
        assert config.networks is not None
        number, loss = len(loop.finished) + 1, loop.progress.best
        callback.message(
            f"Network {number} of {config.networks.number} is trained, with a validation loss of "
            f"{loss:.4g}: the next begins at random weights of its own."
        )
        loop = go_to_next(config.networks, loop, following)


def _fit_network(
    config: LoopConfig, loop: LoopState, callback: Callback, clock: Callable[[], float]
) -> tuple[LoopState, StopReason]:
    """Train the network that the loop state is at."""
    if len(loop.history) == loop.begun.lines:
        loop = _evaluate(config, loop, callback)
        if len(loop.history) == loop.begun.lines:
            return loop, StopReason.DIVERGED
    schedule, reason = config.batch_schedule, None
    while reason is None:
        current = config if schedule is None else schedule.config(config, loop.growth)
        loop, reason = _fit_at_one_size(current, loop, callback, clock)
    return loop, reason


def _fit_at_one_size(
    config: LoopConfig, loop: LoopState, callback: Callback, clock: Callable[[], float]
) -> tuple[LoopState, StopReason | None]:
    """Train until a limit is met, or until the batch grows: the reason is then None."""
    plan = replace(config.plan, order=loop.order)
    runs_ahead, newest = config.runs_ahead(loop.state), math.inf
    with (
        closing(ChunkUpdater(config)) as updater,
        closing(feed(config.store, plan, loop.position, config.place)) as chunks,
    ):
        while True:
            reason = stopping.stop_reason(
                loop.progress, config.limits, loop.own_position, loop.seconds
            )
            if reason is None and early_decay.is_over(
                loop.progress, loop.state.update, updates_between(config.plan)
            ):
                further = _further_course(config, loop, callback)
                reason = StopReason.DECAYED if further is None else None
                loop = further or loop
            if reason is not None:
                return _conclude(config, loop, callback, reason)
            reason = callback.stop_requested()
            if reason is StopReason.INTERRUPTED:
                return loop, reason
            if reason is not None:
                return _conclude(config, loop, callback, reason)
            if plateau.is_patience_exhausted(loop.progress, config.limits):
                loop = _reduce_rate(config, loop, callback)
            if config.limits.early_decay:
                loop = _decay_early(config, loop, callback)
            started, seconds = clock(), loop.seconds
            grown = _grow_batch(config, loop, callback)
            if grown is not None:
                return grown._replace(seconds=seconds + clock() - started), None
            steps.begin("the rows of the next batches")
            chunk = chunks.take()
            steps.begin("the updates of some batches")
            state, losses = updater.apply(loop.state, chunk, _next_rates(config, loop))
            if losses is None:
                loop = loop._replace(seconds=seconds + clock() - started)
                continue
            loop = loop._replace(state=state, position=chunk.position)
            due = _evaluation_due(config.plan, loop.own_position)
            validation_loss = None
            if not stopping.stop_by_budget(config.limits, loop.own_position, seconds):
                chunks.look_ahead()
                # The device goes on while the host waits for the losses and looks at them.
                pays = updater.ahead_pays or not due
                if due and pays and (queued := config.queued_evaluation) is not None:
                    validation_loss = queued.start(loop.state.mean)
                if validation_loss or (runs_ahead and pays and newest < AHEAD_SECONDS):
                    rates = _next_rates(config, loop)
                    ahead = updater.run_ahead(loop.state, chunks.peek(), rates, apart=due)
                    loop = loop._replace(state=ahead)
            loop, loss, share = _add_losses(config, loop, chunk, losses)
            newest = clock() - started
            loop = loop._replace(seconds=seconds + newest)
            steps.begin("an evaluation, a checkpoint or a callback")
            if stopping.has_diverged(loop.progress, loss, share):
                loop = _restart(config, loop, callback, loss)
            elif due:
                loop = _evaluate(config, loop, callback, validation_loss)
            loop = loop._replace(seconds=seconds + clock() - started)
            callback.chunk(loop)


def learning_rate(config: LoopConfig, loop: LoopState) -> float:
    """The learning rate of the next update."""
    return _rate_at(config, loop, loop.state.update)


def _rate_at(config: LoopConfig, loop: LoopState, update: int) -> float:
    factor = _factors(config, loop, np.asarray([update]))[0]
    return float(config.learning_rate * loop.progress.rate_factor * factor)


def _factors(config: LoopConfig, loop: LoopState, numbers: npt.NDArray[np.int64]) -> Floats:
    """The factors of updates on the peak rate."""
    if early_decay.has_begun(loop.progress):
        return early_decay.factors(loop.progress, numbers)
    return config.schedule(batch_schedule.course_of(loop.growth, numbers))


def _next_rates(config: LoopConfig, loop: LoopState) -> Rates:
    """The learning rates of the next updates, as many as a chunk may have."""
    numbers = loop.state.update + np.arange(config.plan.updates_per_chunk)
    peak = config.learning_rate * loop.progress.rate_factor
    return (peak * _factors(config, loop, numbers)).astype(np.float32)


def _add_losses(
    config: LoopConfig, loop: LoopState, chunk: Chunk, losses: Array
) -> tuple[LoopState, float, float]:
    """The loop state with the losses of a chunk, their mean, and the chunk's share of all rows."""
    total = float(np.sum(np.asarray(losses)[: chunk.updates], dtype=np.float64))
    loop = loop._replace(loss_sum=loop.loss_sum + total, loss_count=loop.loss_count + chunk.updates)
    accumulated = config.plan.accumulation_steps > 1
    examples = max(chunk.examples, config.plan.batch_size if accumulated else 0)
    return loop, total / chunk.updates, examples / config.plan.rows


def _evaluation_due(plan: BatchPlan, position: Position) -> bool:
    """Whether an evaluation interval ends here; it may span several epochs of few updates."""
    if position.index != 0:
        return (position.index // plan.batch_size) % plan.updates_per_interval == 0
    return position.epoch % _epochs_between(plan) == 0


def updates_between(plan: BatchPlan) -> int:
    """Number of updates from one evaluation to the next."""
    return plan.updates_per_interval * _epochs_between(plan)


def _epochs_between(plan: BatchPlan) -> int:
    return -(-MIN_UPDATES_BETWEEN_EVALUATIONS // plan.updates_per_epoch)


def _evaluate(
    config: LoopConfig,
    loop: LoopState,
    callback: Callback,
    validation_loss: Callable[[], float] | None = None,
) -> LoopState:
    """The loop state after an evaluation: a history line more, or a restart if it diverged."""
    loss = validation_loss() if validation_loss else config.evaluate(loop.state.mean)
    if stopping.has_diverged(loop.progress, loss):
        return _restart(config, loop, callback, loss)
    progress = stopping.record_evaluation(loop.progress, loss)
    improved = progress.best < loop.progress.best
    rows = config.plan.rows
    line = HistoryLine(
        update=loop.updates,
        epoch=loop.position.epoch + loop.position.index / rows,
        examples=loop.examples,
        seconds=loop.seconds,
        train_loss=loop.loss_sum / loop.loss_count if loop.loss_count else float("nan"),
        validation_loss=loss,
        batch_size=config.plan.batch_size,
        learning_rate=_rate_at(config, loop, max(0, loop.state.update - 1)),
        network=len(loop.finished) + 1,
        metrics=config.metrics(loop.state.mean) if config.metrics else {},
    )
    loop = loop._replace(
        progress=progress,
        best=copy_state(loop.state) if improved else loop.best,
        history=(*loop.history, line),
        loss_sum=0.0,
        loss_count=0,
    )
    factor = callback.evaluation(loop)
    return loop if factor is None else loop._replace(progress=stopping.scale_rate(progress, factor))


def _conclude(
    config: LoopConfig, loop: LoopState, callback: Callback, reason: StopReason
) -> tuple[LoopState, StopReason]:
    """The end: updates made since the last evaluation are evaluated too."""
    if loop.loss_count:
        loop = _evaluate(config, loop, callback)
        reason = stopping.stop_by_result(loop.progress, config.limits) or reason
    if loop.progress.rescues and len(loop.history) < loop.begun.lines + 2:
        # The epochs are used up and no evaluation was ever finite: there is no trained model.
        reason = StopReason.DIVERGED
    elif config.batch_schedule is not None and loop.growth is None:
        why = config.batch_schedule.why_constant(loop, config.plan.batch_size)
        callback.message(f"The batch did not grow: {why}.")
    return loop, reason


def _reduce_rate(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
    """Back to the best weights with a lower learning rate, because the loss is on a plateau."""
    loop = _return_to_best(config, loop, plateau.reduce_rate(loop.progress))
    callback.message(
        f"No improvement in {config.limits.patience} evaluations: back to the best weights, "
        f"learning rate reduced to {learning_rate(config, loop):.3g}."
    )
    return loop


def _decay_early(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
    """The learning rate begins to decay, from the best weights, if the loss falls slowly."""
    plan, update = _decay_plan(config), loop.state.update
    if plan is None or early_decay.has_begun(loop.progress):
        return loop
    # Only right after an evaluation, so that the decay ends with one.
    factor = _factors(config, loop, np.asarray([update]))[0]
    if loop.history[-1].update != loop.updates or factor < 1.0:
        return loop
    losses = [line.validation_loss for line in loop.own_history]
    made = _updates_at_this_size(config, loop)
    if not early_decay.is_due(losses, made, plan):
        return loop
    progress = early_decay.begin(loop.progress, made[-1], plan)._replace(decay_start=update)
    last = losses[-1] <= loop.progress.best
    loop = loop._replace(progress=progress) if last else _return_to_best(config, loop, progress)
    evaluations = -(-progress.decay_updates // plan.between)
    callback.message(
        f"The validation loss falls slowly: the learning rate decays from here, "
        f"over {count_text(evaluations, 'evaluation')}."
    )
    return loop


def _further_course(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState | None:
    """The learning rate returns to its peak, if its decay has lowered the loss by much."""
    plan, update = _decay_plan(config), loop.state.update
    if plan is None:
        return None
    made = _updates_at_this_size(config, loop)[-1]
    progress = early_decay.extend(loop.progress, made, plan)
    if progress is None:
        left = loop.progress.decay_start + loop.progress.decay_updates - update
        if left > 0:
            callback.message(
                "The decay of the learning rate has not lowered the validation loss: it ends "
                f"{count_text(-(-left // plan.between), 'evaluation')} early."
            )
        return None
    end = progress.decay_start + progress.decay_updates
    before = loop.progress.decay_mark
    fallen = (before - progress.best) / abs(before)
    callback.message(
        f"The validation loss fell by {percent_text(fallen)} as the learning rate decayed: the "
        f"rate returns to its peak, and training goes on for "
        f"{count_text((end - made) // plan.between, 'further evaluation')}."
    )
    return loop._replace(
        progress=progress._replace(decay_start=progress.decay_start + update - made)
    )


def _decay_plan(config: LoopConfig) -> early_decay.Plan | None:
    """How long the run may take; None without a planned end."""
    epochs, between = config.limits.epochs, updates_between(config.plan)
    if epochs is None:
        return None
    return early_decay.Plan(epochs * config.plan.updates_per_epoch, between)


def _updates_at_this_size(config: LoopConfig, loop: LoopState) -> list[int]:
    """Updates before each evaluation, had the batch had the size of now from the beginning."""
    if loop.growth is None:
        return [line.update for line in loop.own_history]
    return [round(line.epoch * config.plan.updates_per_epoch) for line in loop.own_history]


def _grow_batch(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState | None:
    """The loop state with a larger batch where the gradient is mostly noise, else None.

    Not once the rate decays early, whose end is planned in updates of one size.
    """
    schedule, size = config.batch_schedule, config.plan.batch_size
    if schedule is None or early_decay.has_begun(loop.progress) or not schedule.is_due(loop, size):
        return None
    noise = schedule.noise(loop.state.params)
    if not batch_schedule.can_grow(noise, size):
        return None
    larger = batch_schedule.GROWTH * size
    callback.message(
        f"{batch_schedule.noise_text(noise)}, at a validation loss of "
        f"{loop.history[-1].validation_loss:.4g}: from here on batches of "
        f"{count_text(larger, 'row')} instead of {size:,}, at the same learning rate."
    )
    return batch_schedule.grow(loop, config, schedule.at_size(config, larger))


def _restart(config: LoopConfig, loop: LoopState, callback: Callback, loss: float) -> LoopState:
    """Back to the best weights with a lower learning rate, because the loss diverged."""
    what = f"grew to {loss:.3g}" if math.isfinite(loss) else "became NaN or infinite"
    place = f"at update {loop.updates:,}"
    loop = _return_to_best(config, loop, stopping.record_restart(loop.progress))
    if len(loop.history) == loop.begun.lines:
        text = "Look for extreme values in the data."
    elif loop.progress.rescues > stopping.MAX_RESTARTS:
        text = "Lower learning rates did not help."
    else:
        rate = learning_rate(config, loop)
        text = f"Back to the best weights, learning rate reduced to {rate:.3g}."
    callback.message(f"The loss {what} {place}. {text}")
    return loop


def _return_to_best(config: LoopConfig, loop: LoopState, progress: StoppingState) -> LoopState:
    """Back to the best weights; the counts of work done and the position stay.

    Without averaging the weights are those that the memory of the optimizer belongs to.
    """
    best = copy_state(loop.best) if config.window is None else at_average(loop.best)
    state = best._replace(update=loop.state.update, examples=loop.state.examples)
    return loop._replace(state=state, progress=progress, loss_sum=0.0, loss_count=0)


def summary_of(loop: LoopState, reason: StopReason) -> dict[str, Any]:
    """What the record of a run says of how it went."""
    return {
        "stop_reason": reason.name,
        "stop_text": reason.value,
        "updates": loop.updates,
        "epochs": loop.history[-1].epoch if loop.history else 0.0,
        "examples": loop.examples,
        "seconds": loop.seconds,
        "best_validation_loss": min(losses_of_networks(loop)) if loop.history else None,
        **({"networks": losses_of_networks(loop)} if loop.finished else {}),
        "lowerings": loop.progress.lowerings,
        "rescues": loop.progress.rescues,
    }
