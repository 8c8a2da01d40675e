"""The loop of a problem, with all who look on: progress, checkpoints, Ctrl-C, live pages."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from descend.reporting.progress import Progress
from descend.runs.checkpoint import CheckpointWriter
from descend.runs.folder import RunFolder
from descend.runtime.callbacks import RunWatcher
from descend.runtime.interrupts import StopRequest, stop_requests
from descend.runtime.live_page import Onlooker, Watched
from descend.settings import Settings
from descend.training.loop import LoopState, fit
from descend.training.problem import Problem
from descend.training.saved_state import loop_state_saved
from descend.training.stopping import Limits
from descend.types import StopReason


def run_problem(
    problem: Problem,
    settings: Settings,
    loop: LoopState,
    progress: Progress,
    *,
    folder: RunFolder | None = None,
    onlookers: Sequence[Onlooker] = (),
    interruptible: bool = True,
) -> tuple[LoopState, StopReason]:
    """Run the loop from a course on.

    Args:
        problem: what is trained.
        settings: with numbers for batch size and learning rate.
        loop: where to begin.
        progress: who is told what happens.
        folder: of the run, for checkpoints on the way; or None.
        onlookers: a live page, event files.
        interruptible: whether Ctrl-C ends the training, and leaves what was learned.
    """
    assert isinstance(settings.batch_size, int)
    assert isinstance(settings.learning_rate, float)
    run = problem.loop_config(
        settings.batch_size,
        settings.learning_rate,
        schedule=settings.schedule,
        warmup=settings.rising_part,
        limits=Limits(settings.patience, settings.epochs, settings.time_budget),
    )
    saver = CheckpointWriter(folder.checkpoint) if folder is not None else None
    stop_requests_here = stop_requests() if interruptible else contextlib.nullcontext(StopRequest())
    with stop_requests_here as stop_request, progress.open(settings.epochs, len(problem.store)):
        callback = Watched(RunWatcher(progress, saver, folder, stop_request), onlookers)
        loop, reason = fit(run, loop, callback)
        if saver is not None:
            saver.save(*loop_state_saved(loop))
            saver.close()
    return loop, reason
