"""The protocol of everything that takes part in a run without being part of the training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.types import History, StopReason

if TYPE_CHECKING:
    from descend.training.loop_state import LoopState


class Callback:
    """Takes part in a run: a progress bar, checkpoints, a live page, a function of the user's.

    Every method does nothing here; a subclass overrides those it needs. All are called in the
    thread that trains, in the order in which they stand below.
    """

    def begin(self, record: Mapping[str, Any], folder: Path | None, history: History) -> None:
        """Called before the first update.

        Args:
            record: what run.json holds so far; empty for a run that leaves no record.
            folder: the run directory, or None.
            history: what an earlier part of the same run measured; empty for a new run.
        """

    def chunk(self, loop: LoopState) -> None:
        """Called after each chunk of updates; the arrays are valid until the call returns."""

    def evaluation(self, loop: LoopState) -> float | None:
        """Called after each evaluation, which is the last line of the history.

        Returns:
            What to multiply the learning rate by from here on; None leaves it.
        """

    def message(self, text: str) -> None:
        """Called when something happened that the user should know."""

    def stop_requested(self) -> StopReason | None:
        """Why the run should end here, or None; asked before each chunk.

        `INTERRUPTED` ends it at once, to be resumed from exactly here; before any other reason
        the updates since the last evaluation are evaluated too.
        """

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Called when the loop has ended, before the model and the report are written."""

    def finish(self, record: Mapping[str, Any], history: History) -> None:
        """Called when the run is finished and all its files are written."""

    def close(self) -> None:
        """Called last, whatever happened; also where `begin` was never reached."""
