"""The learning rate and the batch size in the course of a run: when they change, and to what."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from descend.data.rows.batches import BatchPlan
from descend.io.units import count_text, percent_text
from descend.training import batch_schedule, early_decay, plateau, stopping
from descend.training.callback import Callback
from descend.training.chunk_loop import Rates
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.schedules import Floats
from descend.training.state import at_average, copy_state
from descend.training.stopping_state import StoppingState

MIN_UPDATES_BETWEEN_EVALUATIONS = 10
"""Fewer updates between two evaluations would measure noise where batches are large."""


def learning_rate(config: LoopConfig, loop: LoopState) -> float:
    """The learning rate of the next update."""
    return rate_at(config, loop, loop.state.update)


def rate_at(config: LoopConfig, loop: LoopState, update: int) -> float:
    """The learning rate of an update, counted from the first of the network in training."""
    factor = _factors(config, loop, np.asarray([update]))[0]
    return float(config.learning_rate * loop.progress.rate_factor * factor)


def _factors(config: LoopConfig, loop: LoopState, numbers: npt.NDArray[np.int64]) -> Floats:
    """The factors of updates on the peak rate."""
    if early_decay.has_begun(loop.progress):
        return early_decay.factors(loop.progress, numbers)
    return config.schedule(batch_schedule.course_of(loop.growth, numbers))


def next_rates(config: LoopConfig, loop: LoopState) -> Rates:
    """The learning rates of the next updates, as many as a chunk may have."""
    numbers = loop.state.update + np.arange(config.plan.updates_per_chunk)
    peak = config.learning_rate * loop.progress.rate_factor
    return (peak * _factors(config, loop, numbers)).astype(np.float32)


def updates_between(plan: BatchPlan) -> int:
    """Number of updates from one evaluation to the next."""
    return plan.updates_per_interval * epochs_between(plan)


def epochs_between(plan: BatchPlan) -> int:
    """Epochs from one evaluation to the next; more than one where they have few updates."""
    return -(-MIN_UPDATES_BETWEEN_EVALUATIONS // plan.updates_per_epoch)


def reduce_rate(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
    """Back to the best weights with a lower learning rate, because the loss is on a plateau."""
    loop = _return_to_best(config, loop, plateau.reduce_rate(loop.progress))
    callback.message(
        f"No improvement in {config.limits.patience} evaluations: back to the best weights, "
        f"learning rate reduced to {learning_rate(config, loop):.3g}."
    )
    return loop


def decay_early(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState:
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


def further_course(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState | None:
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


def grow_batch(config: LoopConfig, loop: LoopState, callback: Callback) -> LoopState | None:
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


def restart(config: LoopConfig, loop: LoopState, callback: Callback, loss: float) -> LoopState:
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
