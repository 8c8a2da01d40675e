"""The callbacks of a run that write and show it: progress, history.csv, checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

from descend.reporting.progress import Progress
from descend.runs.checkpoint import CheckpointWriter
from descend.runs.folder import RunFolder
from descend.runs.history import metric_names
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.training.saved_state import save_loop_state
from descend.types import History, StopReason

SECONDS_BETWEEN = 1.0
LARGEST_SHARE = 0.005
"""Saving may take this part of the time at most; large models are saved less often."""

Record = Mapping[str, Any]


class Agreement(NamedTuple):
    """What several processes make of the loop and of what the callbacks of each answer.

    Attributes:
        view: the loop as this process's callbacks see it.
        factor: that for the learning rate which holds in every process, from what is evaluated
            and this process's own.
        reason: why the run ends in every process, from this one's.
    """

    view: Callable[[LoopState], LoopState]
    factor: Callable[[LoopState, float | None], float | None]
    reason: Callable[[StopReason | None], StopReason | None]


NOBODY_ELSE = Agreement(lambda loop: loop, lambda loop, factor: factor, lambda reason: reason)
"""A single process has nobody to agree with."""


@final
class Callbacks(Callback):
    """Several callbacks as one: each is called in turn.

    Args:
        members: in the order in which they are called.
        agreement: with the other processes.
    """

    def __init__(self, members: Sequence[Callback], agreement: Agreement = NOBODY_ELSE) -> None:
        self._members = members
        self._agreement = agreement

    @contextmanager
    def taking_part(self, record: Record, folder: Path | None, history: History) -> Iterator[None]:
        """From `begin` to `close`, however the block ends."""
        try:
            self.begin(record, folder, history)
            yield
        finally:
            self.close()

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Call each."""
        for one in self._members:
            one.begin(record, folder, history)

    def chunk(self, loop: LoopState) -> None:
        """Call each."""
        seen = self._agreement.view(loop)
        for one in self._members:
            one.chunk(seen)

    def evaluation(self, loop: LoopState) -> float | None:
        """Call each; the factors for the learning rate are multiplied."""
        seen = self._agreement.view(loop)
        factors = [one.evaluation(seen) for one in self._members]
        known = [factor for factor in factors if factor is not None]
        return self._agreement.factor(seen, math.prod(known) if known else None)

    def message(self, text: str) -> None:
        """Call each."""
        for one in self._members:
            one.message(text)

    def stop_requested(self) -> StopReason | None:
        """The reason of the first that has one."""
        reasons = (one.stop_requested() for one in self._members)
        return self._agreement.reason(next(filter(None, reasons), None))

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Call each."""
        seen = self._agreement.view(loop)
        for one in self._members:
            one.end(seen, reason)

    def finish(self, record: Record, history: History) -> None:
        """Call each."""
        for one in self._members:
            one.finish(record, history)

    def close(self) -> None:
        """Call each, the others too where one raises an error."""
        with ExitStack() as stack:
            for one in reversed(self._members):
                stack.callback(one.close)


@final
class KeepTime(Callback):
    """Ends the run when its time is used up.

    Args:
        budget: most seconds of training.
    """

    def __init__(self, budget: float) -> None:
        self._budget = budget
        self._seconds = 0.0

    def chunk(self, loop: LoopState) -> None:
        """Note how long the run has trained."""
        self._seconds = loop.seconds

    def stop_requested(self) -> StopReason | None:
        """Whether that is the budget or more."""
        return StopReason.TIME_BUDGET if self._seconds >= self._budget else None


@final
class ShowProgress(Callback):
    """The progress bar or its lines, while the loop runs.

    Args:
        progress: what is shown.
        epochs: most epochs, or None.
        rows: training rows of an epoch.
        budget: most seconds of training, or None.
    """

    def __init__(
        self, progress: Progress, epochs: int | None, rows: int, budget: float | None = None
    ) -> None:
        self._progress = progress
        self._size = (epochs, rows, budget)
        self._shown = ExitStack()

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Show the bar."""
        self._shown.enter_context(self._progress.open(*self._size))

    def chunk(self, loop: LoopState) -> None:
        """Show how far the run is."""
        self._progress.update(
            loop.position.epoch,
            loop.examples,
            loop.loss_sum / loop.loss_count if loop.loss_count else None,
        )

    def evaluation(self, loop: LoopState) -> None:
        """Show the newest line of the history."""
        self._progress.evaluated(loop.history[-1])

    def message(self, text: str) -> None:
        """Print it."""
        self._progress.message(text)

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Remove the bar."""
        self._shown.close()

    def close(self) -> None:
        """Remove the bar where the loop ended with an error."""
        self._shown.close()


class WriteHistory(Callback):
    """Writes history.csv as the run goes: a line is appended at each evaluation.

    So `descend report` works during a run and after one that was killed.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._sink: BinaryIO | None = None
        self._names: tuple[str, ...] = ()

    def begin(self, record: Record, folder: Path | None, history: History) -> None:
        """Begin the file with what the checkpoint holds: lines after it are measured again."""
        self.close()
        self._names = metric_names(history)
        self._folder.write_history(history)
        self._sink = self._folder.open_history()

    def evaluation(self, loop: LoopState) -> None:
        """Append the newest line; the first with a new metric writes the file with its column."""
        assert self._sink is not None
        if loop.history[-1].metrics.keys() <= set(self._names):
            self._folder.append_history(self._sink, loop.history[-1], self._names)
        else:
            self.begin({}, None, loop.history)

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Write the file whole, and make it survive power loss."""
        self._folder.write_history(loop.history)

    def close(self) -> None:
        """Append no more."""
        if self._sink is not None:
            self._sink.close()


class SaveCheckpoints(Callback):
    """Saves checkpoints in the background, and one at the end.

    Args:
        writer: writes them.
    """

    def __init__(self, writer: CheckpointWriter) -> None:
        self._writer = writer
        self._next_save = time.perf_counter() + SECONDS_BETWEEN

    def chunk(self, loop: LoopState) -> None:
        """Save the run when it is time."""
        if time.perf_counter() >= self._next_save:
            started = time.perf_counter()
            self._writer.save(*save_loop_state(loop))
            cost = time.perf_counter() - started
            self._next_save = started + max(SECONDS_BETWEEN, cost / LARGEST_SHARE)

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Save the end, and wait until it is on the disk."""
        self._writer.save(*save_loop_state(loop))
        self._writer.close()

    def close(self) -> None:
        """Where the loop ended with an error: no thread goes on writing to the folder."""
        self._writer.close()
