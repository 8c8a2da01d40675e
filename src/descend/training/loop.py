"""The training loop: run a chunk, evaluate, stop when a rule says so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from descend.data.rows.batches import BatchPlan, Chunk
from descend.training import early_decay, plateau, rate_and_batch_size, stopping
from descend.training.callback import Callback
from descend.training.device_feed import feed
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.processes.watch import steps
from descend.training.several_networks import (
    ENDS_ONE,
    go_to_next,
    losses_of_networks,
    next_beginning,
)
from descend.training.state import copy_state
from descend.training.updates import ChunkUpdater
from descend.types import Array, HistoryLine, Position, StopReason

AHEAD_SECONDS = 0.25
"""Chunks that take longer are not begun in advance: a call costs a thousandth of them, and one that
is dropped would keep the processor busy for as long."""


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
                loop.progress, loop.state.update, rate_and_batch_size.updates_between(config.plan)
            ):
                further = rate_and_batch_size.further_course(config, loop, callback)
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
                loop = rate_and_batch_size.reduce_rate(config, loop, callback)
            if config.limits.early_decay:
                loop = rate_and_batch_size.decay_early(config, loop, callback)
            started, seconds = clock(), loop.seconds
            grown = rate_and_batch_size.grow_batch(config, loop, callback)
            if grown is not None:
                return grown._replace(seconds=seconds + clock() - started), None
            steps.begin("the rows of the next batches")
            chunk = chunks.take()
            steps.begin("the updates of some batches")
            state, losses = updater.apply(
                loop.state, chunk, rate_and_batch_size.next_rates(config, loop)
            )
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
                    rates = rate_and_batch_size.next_rates(config, loop)
                    ahead = updater.run_ahead(loop.state, chunks.peek(), rates, apart=due)
                    loop = loop._replace(state=ahead)
            loop, loss, share = _add_losses(config, loop, chunk, losses)
            newest = clock() - started
            loop = loop._replace(seconds=seconds + newest)
            steps.begin("an evaluation, a checkpoint or a callback")
            if stopping.has_diverged(loop.progress, loss, share):
                loop = rate_and_batch_size.restart(config, loop, callback, loss)
            elif due:
                loop = _evaluate(config, loop, callback, validation_loss)
            loop = loop._replace(seconds=seconds + clock() - started)
            callback.chunk(loop)


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
    return position.epoch % rate_and_batch_size.epochs_between(plan) == 0


def _evaluate(
    config: LoopConfig,
    loop: LoopState,
    callback: Callback,
    validation_loss: Callable[[], float] | None = None,
) -> LoopState:
    """The loop state after an evaluation: a history line more, or a restart if it diverged."""
    loss = validation_loss() if validation_loss else config.evaluate(loop.state.mean)
    if stopping.has_diverged(loop.progress, loss):
        return rate_and_batch_size.restart(config, loop, callback, loss)
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
        learning_rate=rate_and_batch_size.rate_at(config, loop, max(0, loop.state.update - 1)),
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
