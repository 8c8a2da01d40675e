"""The one loop: run a chunk, write the history, ask the stopping rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from descend.data.rows.batches import BatchPlan, Chunk
from descend.data.rows.store import RowStore
from descend.training import stopping
from descend.training.averaging import AveragingSchedule, fading, newest
from descend.training.callback import Callback
from descend.training.device_feed import feed
from descend.training.evaluation import Evaluate
from descend.training.schedules import Schedule
from descend.training.step import PartwiseUpdate, RunChunk, Sums, at_mean, copied
from descend.training.stopping import Limits, Progress
from descend.types import Array, History, HistoryLine, Position, StopReason, TrainState

FEWEST_UPDATES = 10
"""Updates between two evaluations at the least, so that large batches are not judged on noise."""


class LoopState(NamedTuple):
    """All that a run is at a moment; given back to `fit`, it goes on from there bit for bit.

    Attributes:
        state: what the next update starts from.
        position: where the order of rows stands.
        best: the state with the least validation loss; its mean are the weights to keep.
        progress: what the stopping rule remembers.
        history: a line per evaluation.
        seconds: training time so far.
        loss_sum: sum of the batch losses since the last evaluation.
        loss_count: how many were summed.
    """

    state: TrainState
    position: Position
    best: TrainState
    progress: Progress = Progress()
    history: History = ()
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0


@dataclass(frozen=True)
class LoopConfig:
    """What stays fixed while a run goes.

    Attributes:
        store: the training rows.
        plan: how they are cut into updates.
        run_chunk: the compiled updates.
        evaluate: the validation loss of some weights.
        learning_rate: peak learning rate.
        schedule: its course.
        limits: what ends the run.
        partwise: the compiled update where `plan` cuts a batch into parts, else None.
        window: longest window of the mean of the weights, in updates; None: no mean is taken.
    """

    store: RowStore
    plan: BatchPlan
    run_chunk: RunChunk
    evaluate: Evaluate
    learning_rate: float
    schedule: Schedule
    limits: Limits
    partwise: PartwiseUpdate | None = None
    window: float | None = None


def begin(state: TrainState) -> LoopState:
    """The course of a run before its first update; the state given stays whole."""
    return LoopState(copied(state), Position(0, 0), copied(state))


def fit(
    config: LoopConfig,
    loop: LoopState,
    callback: Callback | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[LoopState, StopReason]:
    """Train until a limit is met, and return where the run then stands and why it ended.

    Args:
        config: what stays fixed.
        loop: where to begin; `begin(state)` for a new run. Its `state` is used up.
        callback: told what happens; it may ask to stop or change the learning rate.
        clock: seconds, for tests.

    Returns:
        The course at the end and the reason; `loop.best.mean` are the weights to keep.
    """
    callback = callback or Callback()
    if not loop.history:
        loop = _evaluated(config, loop, callback)
        if not loop.history:
            return loop, StopReason.DIVERGED
    sums: Sums | None = None
    with closing(feed(config.store, config.plan, loop.position)) as coming:
        while True:
            reason = stopping.ended(loop.progress, config.limits, loop.position, loop.seconds)
            if reason is not None:
                return _concluded(config, loop, callback, reason)
            reason = callback.stop_requested()
            if reason is StopReason.INTERRUPTED:
                return loop, reason
            if reason is not None:
                return _concluded(config, loop, callback, reason)
            if stopping.stands_still(loop.progress, config.limits):
                loop = _lowered(config, loop, callback)
            started, seconds = clock(), loop.seconds
            chunk = coming.take()
            if config.partwise is not None:
                sums = config.partwise.add(sums, loop.state, chunk.batch)
            if not chunk.updates:
                loop = loop._replace(seconds=seconds + clock() - started)
                continue
            loop, losses = _dispatched(config, loop, chunk, sums)
            sums = None
            if not stopping.used_up(config.limits, loop.position, seconds):
                coming.look_ahead()
            loop, loss, share = _counted(config, loop, chunk, losses)
            loop = loop._replace(seconds=seconds + clock() - started)
            if stopping.exploded(loop.progress, loss, share):
                loop = _rescued(config, loop, callback, loss)
            elif _evaluation_due(config.plan, loop):
                loop = _evaluated(config, loop, callback)
            loop = loop._replace(seconds=seconds + clock() - started)
            callback.chunk(loop)


def learning_rate(config: LoopConfig, loop: LoopState) -> float:
    """The learning rate of the next update."""
    return _rate_at(config, loop, loop.state.update)


def _rate_at(config: LoopConfig, loop: LoopState, update: int) -> float:
    factor = config.schedule(np.asarray([update]))[0]
    return float(config.learning_rate * loop.progress.rate_factor * factor)


def _dispatched(
    config: LoopConfig, loop: LoopState, chunk: Chunk, sums: Sums | None
) -> tuple[LoopState, Array]:
    """The course after a chunk, and its losses; both may still be being computed."""
    numbers = loop.state.update + np.arange(config.plan.updates_per_chunk)
    peak = config.learning_rate * loop.progress.rate_factor
    rates = (peak * config.schedule(numbers)).astype(np.float32)
    if config.partwise is not None and sums is not None:
        rows = config.plan.batch_rows(loop.position)
        share = float(averaging_of(config, loop.state.update, 1).shares[0])
        state, losses = config.partwise.finish(loop.state, sums, rates, rows, share)
    else:
        marks = averaging_of(config, loop.state.update, chunk.updates)
        state, losses = config.run_chunk(
            loop.state, chunk.batch, rates, chunk.updates, chunk.examples, marks
        )
    return loop._replace(state=state, position=chunk.position), losses


def averaging_of(config: LoopConfig, first: int, updates: int) -> AveragingSchedule:
    """Which weights of the next updates enter the mean."""
    length = config.plan.updates_per_chunk
    if config.window is None:
        return newest(updates, length)
    return fading(first, updates, length, config.window)


def _counted(
    config: LoopConfig, loop: LoopState, chunk: Chunk, losses: Array
) -> tuple[LoopState, float, float]:
    """The course with the losses of a chunk, their mean, and the chunk's share of all rows."""
    total = float(np.sum(np.asarray(losses)[: chunk.updates], dtype=np.float64))
    loop = loop._replace(loss_sum=loop.loss_sum + total, loss_count=loop.loss_count + chunk.updates)
    examples = max(chunk.examples, config.plan.batch_size if config.plan.parts > 1 else 0)
    return loop, total / chunk.updates, examples / config.plan.rows


def _evaluation_due(plan: BatchPlan, loop: LoopState) -> bool:
    """At the cuts of the plan; where an epoch has few updates, only after several epochs."""
    if loop.position.index != 0:
        return (loop.position.index // plan.batch_size) % plan.updates_per_interval == 0
    return loop.position.epoch % _epochs_between(plan) == 0


def updates_between(plan: BatchPlan) -> int:
    """Updates from one evaluation to the next."""
    return plan.updates_per_interval * _epochs_between(plan)


def _epochs_between(plan: BatchPlan) -> int:
    return -(-FEWEST_UPDATES // plan.updates_per_epoch)


def _evaluated(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
    """The course after an evaluation: a line of history, or back where the loss exploded."""
    loss = config.evaluate(loop.state.mean)
    if stopping.exploded(loop.progress, loss):
        return _rescued(config, loop, callback, loss)
    progress = stopping.seen(loop.progress, loss)
    improved = progress.best < loop.progress.best
    rows = config.plan.rows
    line = HistoryLine(
        update=loop.state.update,
        epoch=loop.position.epoch + loop.position.index / rows,
        examples=loop.state.examples,
        seconds=loop.seconds,
        train_loss=loop.loss_sum / loop.loss_count if loop.loss_count else float("nan"),
        validation_loss=loss,
        batch_size=config.plan.batch_size,
        learning_rate=_rate_at(config, loop, max(0, loop.state.update - 1)),
    )
    loop = loop._replace(
        progress=progress,
        best=copied(loop.state) if improved else loop.best,
        history=(*loop.history, line),
        loss_sum=0.0,
        loss_count=0,
    )
    factor = callback.evaluation(loop)
    return loop if factor is None else loop._replace(progress=stopping.scaled(progress, factor))


def _concluded(
    config: LoopConfig, loop: LoopState, callback: Callback, reason: StopReason
) -> tuple[LoopState, StopReason]:
    """The end: updates that no evaluation has seen yet are judged too."""
    if loop.loss_count:
        loop = _evaluated(config, loop, callback)
        reason = stopping.finished(loop.progress, config.limits) or reason
    if loop.progress.rescues and len(loop.history) < 2:
        # The epochs are over, and nothing finite was ever reached: that is no trained model.
        reason = StopReason.DIVERGED
    return loop, reason


def _lowered(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
    """Back to the best weights with a lower learning rate, because the loss stands still."""
    loop = _retreat(loop, stopping.lowered(loop.progress))
    callback.message(
        f"No improvement in {config.limits.patience} evaluations: back to the best weights, "
        f"learning rate lowered to {learning_rate(config, loop):.3g}."
    )
    return loop


def _rescued(config: LoopConfig, loop: LoopState, callback: Callback, loss: float) -> LoopState:
    """Back to the best weights with a lower learning rate, because the loss exploded."""
    what = f"grew to {loss:.3g}" if math.isfinite(loss) else "left the finite numbers"
    place = f"at update {loop.state.update:,}"
    loop = _retreat(loop, stopping.rescued(loop.progress))
    if not loop.history:
        text = "Look for extreme values in the data."
    elif loop.progress.rescues > stopping.MOST_RESCUES:
        text = "Lower learning rates did not help."
    else:
        rate = learning_rate(config, loop)
        text = f"Back to the best weights, learning rate lowered to {rate:.3g}."
    callback.message(f"The loss {what} {place}. {text}")
    return loop


def _retreat(loop: LoopState, progress: Progress) -> LoopState:
    """Back to the best weights; the counts of work done and the position stay."""
    best = at_mean(loop.best)
    state = best._replace(update=loop.state.update, examples=loop.state.examples)
    return loop._replace(state=state, progress=progress, loss_sum=0.0, loss_count=0)


def summary_of(loop: LoopState, reason: StopReason) -> dict[str, Any]:
    """What a record says of how a run went."""
    return {
        "stop_reason": reason.name,
        "stop_text": reason.value,
        "updates": loop.state.update,
        "epochs": loop.history[-1].epoch if loop.history else 0.0,
        "examples": loop.state.examples,
        "seconds": loop.seconds,
        "best_validation_loss": loop.progress.best if loop.history else None,
        "lowerings": loop.progress.lowerings,
        "rescues": loop.progress.rescues,
    }
