"""Who looks on while a run trains: the progress bar, the checkpoint, and Ctrl-C."""

from __future__ import annotations

import time
from collections.abc import Callable

from descend.reporting.progress import Progress
from descend.runs.checkpoint import CheckpointWriter
from descend.runs.folder import RunFolder
from descend.runtime.interrupts import StopRequest
from descend.training.loop import LoopState
from descend.training.saved_state import loop_state_saved

SECONDS_BETWEEN = 1.0
LARGEST_SHARE = 0.005
"""Saving may take this part of the time at most; large models are saved less often."""


class RunWatcher:
    """Shows progress, saves checkpoints in the background, and passes on the wish to stop.

    Args:
        progress: the bar or the lines.
        saver: writes checkpoints, or None where nothing is written.
        folder: of the run, or None.
        stop_request: what Ctrl-C sets.
        clock: seconds, for tests.
    """

    def __init__(
        self,
        progress: Progress,
        saver: CheckpointWriter | None,
        folder: RunFolder | None,
        stop_request: StopRequest,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._progress = progress
        self._saver = saver
        self._folder = folder
        self._wish = stop_request
        self._clock = clock
        self._next_save = clock() + SECONDS_BETWEEN

    def chunk(self, loop: LoopState) -> None:
        """Show where the run stands; save it when it is time."""
        self._progress.update(
            loop.position.epoch,
            loop.state.examples,
            loop.loss_sum / loop.loss_count if loop.loss_count else None,
        )
        if self._saver is not None and self._clock() >= self._next_save:
            started = self._clock()
            self._saver.save(*loop_state_saved(loop))
            cost = self._clock() - started
            self._next_save = started + max(SECONDS_BETWEEN, cost / LARGEST_SHARE)

    def evaluation(self, loop: LoopState) -> None:
        """Show the newest line of the history."""
        self._progress.evaluated(loop.history[-1])

    def message(self, text: str) -> None:
        """Tell the user."""
        self._progress.message(text)

    def stop_requested(self) -> bool:
        """Whether Ctrl-C was pressed."""
        return self._wish.asked
