"""Event files that TensorBoard follows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

from descend.io.event_files import EventWriter
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.types import History


@final
class TensorBoard(Callback):
    """Event files in the `tensorboard` folder of a run."""

    def __init__(self) -> None:
        self._writer: EventWriter | None = None

    def begin(self, record: Mapping[str, Any], folder: Path | None, history: History) -> None:
        """Begin a file, where the run has a folder."""
        if folder is not None:
            self._writer = EventWriter(folder / "tensorboard")

    def evaluation(self, loop: LoopState) -> None:
        """Write the newest line."""
        if self._writer is not None:
            self._writer.add(loop.history[-1])

    def close(self) -> None:
        """End the file."""
        if self._writer is not None:
            self._writer.close()
