"""The one loop: run a chunk, write the history, ask the stopping rule."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from descend.data.rows.batches import Chunk, Plan
from descend.data.rows.store import RowStore
from descend.training import stopping
from descend.training.averaging import Marks, fading, newest
from descend.training.device_feed import feed
from descend.training.evaluation import Evaluate
from descend.training.schedules import Schedule
from descend.training.step import PartwiseUpdate, RunChunk, Sums, at_mean, copied
from descend.training.stopping import Limits, Progress
from descend.types import Array, History, HistoryLine, Position, StopReason, TrainState

FEWEST_UPDATES = 10
"""Updates between two evaluations at the least, so that large batches are not judged on noise."""


class Course(NamedTuple):
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


class Watcher(Protocol):
    """Who looks on while a run goes: a progress bar, a checkpoint, a test."""

    def chunk(self, course: Course) -> None:
        """Called after each chunk; arrays in the course are valid until the call returns."""

    def evaluation(self, course: Course) -> None:
        """Called after each evaluation, its line last in the history."""

    def message(self, text: str) -> None:
        """Called when something happened that the user should know."""

    def stop_asked(self) -> bool:
        """Whether the user wants the run to stop here."""


class Silent:
    """A watcher that does nothing."""

    def chunk(self, course: Course) -> None:
        """Do nothing."""

    def evaluation(self, course: Course) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""

    def stop_asked(self) -> bool:
        """Never."""
        return False


@dataclass(frozen=True)
class Run:
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
    plan: Plan
    run_chunk: RunChunk
    evaluate: Evaluate
    learning_rate: float
    schedule: Schedule
    limits: Limits
    partwise: PartwiseUpdate | None = None
    window: float | None = None


def begin(state: TrainState) -> Course:
    """The course of a run before its first update; the state given stays whole."""
    return Course(copied(state), Position(0, 0), copied(state))


def fit(
    run: Run,
    course: Course,
    watcher: Watcher | None = None,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Course, StopReason]:
    """Train until a limit is met, and return where the run then stands and why it ended.

    Args:
        run: what stays fixed.
        course: where to begin; `begin(state)` for a new run. Its `state` is used up.
        watcher: who looks on.
        clock: seconds, for tests.

    Returns:
        The course at the end and the reason; `course.best.mean` are the weights to keep.
    """
    watcher = watcher or Silent()
    if not course.history:
        course = _evaluated(run, course, watcher)
        if not course.history:
            return course, StopReason.DIVERGED
    sums: Sums | None = None
    with closing(feed(run.store, run.plan, course.position)) as coming:
        while True:
            reason = stopping.ended(course.progress, run.limits, course.position, course.seconds)
            if reason is not None:
                return _concluded(run, course, watcher, reason)
            if watcher.stop_asked():
                return course, StopReason.INTERRUPTED
            if stopping.stands_still(course.progress, run.limits):
                course = _lowered(run, course, watcher)
            started, seconds = clock(), course.seconds
            chunk = coming.take()
            if run.partwise is not None:
                sums = run.partwise.add(sums, course.state.params, chunk.batch)
            if not chunk.updates:
                course = course._replace(seconds=seconds + clock() - started)
                continue
            course, losses = _dispatched(run, course, chunk, sums)
            sums = None
            if not stopping.used_up(run.limits, course.position, seconds):
                coming.look_ahead()
            course, loss, share = _counted(run, course, chunk, losses)
            course = course._replace(seconds=seconds + clock() - started)
            if stopping.exploded(course.progress, loss, share):
                course = _rescued(run, course, watcher, loss)
            elif _evaluation_due(run.plan, course):
                course = _evaluated(run, course, watcher)
            course = course._replace(seconds=seconds + clock() - started)
            watcher.chunk(course)


def learning_rate(run: Run, course: Course) -> float:
    """The learning rate of the next update."""
    return _rate_at(run, course, course.state.update)


def _rate_at(run: Run, course: Course, update: int) -> float:
    factor = run.schedule(np.asarray([update]))[0]
    return float(run.learning_rate * course.progress.rate_factor * factor)


def _dispatched(run: Run, course: Course, chunk: Chunk, sums: Sums | None) -> tuple[Course, Array]:
    """The course after a chunk, and its losses; both may still be being computed."""
    numbers = course.state.update + np.arange(run.plan.updates_per_chunk)
    peak = run.learning_rate * course.progress.rate_factor
    rates = (peak * run.schedule(numbers)).astype(np.float32)
    if run.partwise is not None and sums is not None:
        rows = run.plan.batch_rows(course.position)
        share = float(marks_of(run, course.state.update, 1).shares[0])
        state, losses = run.partwise.finish(course.state, sums, rates, rows, share)
    else:
        marks = marks_of(run, course.state.update, chunk.updates)
        state, losses = run.run_chunk(
            course.state, chunk.batch, rates, chunk.updates, chunk.examples, marks
        )
    return course._replace(state=state, position=chunk.position), losses


def marks_of(run: Run, first: int, updates: int) -> Marks:
    """Which weights of the next updates enter the mean."""
    length = run.plan.updates_per_chunk
    if run.window is None:
        return newest(updates, length)
    return fading(first, updates, length, run.window)


def _counted(run: Run, course: Course, chunk: Chunk, losses: Array) -> tuple[Course, float, float]:
    """The course with the losses of a chunk, their mean, and the chunk's share of all rows."""
    total = float(np.sum(np.asarray(losses)[: chunk.updates], dtype=np.float64))
    course = course._replace(
        loss_sum=course.loss_sum + total, loss_count=course.loss_count + chunk.updates
    )
    examples = max(chunk.examples, run.plan.batch_size if run.plan.parts > 1 else 0)
    return course, total / chunk.updates, examples / run.plan.rows


def _evaluation_due(plan: Plan, course: Course) -> bool:
    """At the cuts of the plan; where an epoch has few updates, only after several epochs."""
    if course.position.index != 0:
        return (course.position.index // plan.batch_size) % plan.updates_per_stretch == 0
    return course.position.epoch % _epochs_between(plan) == 0


def updates_between(plan: Plan) -> int:
    """Updates from one evaluation to the next."""
    return plan.updates_per_stretch * _epochs_between(plan)


def _epochs_between(plan: Plan) -> int:
    return -(-FEWEST_UPDATES // plan.updates_per_epoch)


def _evaluated(run: Run, course: Course, watcher: Watcher) -> Course:
    """The course after an evaluation: a line of history, or back where the loss exploded."""
    loss = run.evaluate(course.state.mean)
    if stopping.exploded(course.progress, loss):
        return _rescued(run, course, watcher, loss)
    progress = stopping.seen(course.progress, loss)
    improved = progress.best < course.progress.best
    rows = run.plan.rows
    line = HistoryLine(
        update=course.state.update,
        epoch=course.position.epoch + course.position.index / rows,
        examples=course.state.examples,
        seconds=course.seconds,
        train_loss=course.loss_sum / course.loss_count if course.loss_count else float("nan"),
        validation_loss=loss,
        batch_size=run.plan.batch_size,
        learning_rate=_rate_at(run, course, max(0, course.state.update - 1)),
    )
    course = course._replace(
        progress=progress,
        best=copied(course.state) if improved else course.best,
        history=(*course.history, line),
        loss_sum=0.0,
        loss_count=0,
    )
    watcher.evaluation(course)
    return course


def _concluded(
    run: Run, course: Course, watcher: Watcher, reason: StopReason
) -> tuple[Course, StopReason]:
    """The end: updates that no evaluation has seen yet are judged too."""
    if course.loss_count:
        course = _evaluated(run, course, watcher)
        reason = stopping.finished(course.progress, run.limits) or reason
    if course.progress.rescues and len(course.history) < 2:
        # The epochs are over, and nothing finite was ever reached: that is no trained model.
        reason = StopReason.DIVERGED
    return course, reason


def _lowered(run: Run, course: Course, watcher: Watcher) -> Course:
    """Back to the best weights with a lower learning rate, because the loss stands still."""
    course = _retreat(course, stopping.lowered(course.progress))
    watcher.message(
        f"No improvement in {run.limits.patience} evaluations: back to the best weights, "
        f"learning rate lowered to {learning_rate(run, course):.3g}."
    )
    return course


def _rescued(run: Run, course: Course, watcher: Watcher, loss: float) -> Course:
    """Back to the best weights with a lower learning rate, because the loss exploded."""
    what = f"grew to {loss:.3g}" if math.isfinite(loss) else "left the finite numbers"
    place = f"at update {course.state.update:,}"
    course = _retreat(course, stopping.rescued(course.progress))
    if not course.history:
        text = "Look for extreme values in the data."
    elif course.progress.rescues > stopping.MOST_RESCUES:
        text = "Lower learning rates did not help."
    else:
        rate = learning_rate(run, course)
        text = f"Back to the best weights, learning rate lowered to {rate:.3g}."
    watcher.message(f"The loss {what} {place}. {text}")
    return course


def _retreat(course: Course, progress: Progress) -> Course:
    """Back to the best weights; the counts of work done and the position stay."""
    best = at_mean(course.best)
    state = best._replace(update=course.state.update, examples=course.state.examples)
    return course._replace(state=state, progress=progress, loss_sum=0.0, loss_count=0)


def summary_of(course: Course, reason: StopReason) -> dict[str, Any]:
    """What a record says of how a run went."""
    return {
        "stop_reason": reason.name,
        "stop_text": reason.value,
        "updates": course.state.update,
        "epochs": course.history[-1].epoch if course.history else 0.0,
        "examples": course.state.examples,
        "seconds": course.seconds,
        "best_validation_loss": course.progress.best if course.history else None,
        "lowerings": course.progress.lowerings,
        "rescues": course.progress.rescues,
    }
