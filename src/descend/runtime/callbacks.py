"""The callbacks of a run: progress, history.csv, checkpoints, functions of the user's."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, final

import jax
import numpy as np

from descend.errors import SettingsError
from descend.reporting.progress import Progress
from descend.runs.checkpoint import CheckpointWriter
from descend.runs.folder import RunFolder
from descend.runs.history import metric_names
from descend.runtime.result import Metrics
from descend.training.callback import Callback
from descend.training.loop import LoopState
from descend.training.saved_state import save_loop_state
from descend.types import History, HistoryLine, Params, StopReason

SECONDS_BETWEEN = 1.0
LARGEST_SHARE = 0.005
"""Saving may take this part of the time at most; large models are saved less often."""

Record = Mapping[str, Any]


class Agreement(NamedTuple):
    """What several processes make of the loop and of what the callbacks of each answer.

    Attributes:
        view: the loop as this process's callbacks see it.
        factor: that for the learning rate which holds in every process, from this one's.
        reason: why the run ends in every process, from this one's.
    """

    view: Callable[[LoopState], LoopState]
    factor: Callable[[float | None], float | None]
    reason: Callable[[StopReason | None], StopReason | None]


NOBODY_ELSE = Agreement(lambda loop: loop, lambda factor: factor, lambda reason: reason)
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
        return self._agreement.factor(math.prod(known) if known else None)

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
            loop.state.examples,
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
        clock: seconds, for tests.
    """

    def __init__(
        self, writer: CheckpointWriter, clock: Callable[[], float] = time.perf_counter
    ) -> None:
        self._writer = writer
        self._clock = clock
        self._next_save = clock() + SECONDS_BETWEEN

    def chunk(self, loop: LoopState) -> None:
        """Save the run when it is time."""
        if self._clock() >= self._next_save:
            started = self._clock()
            self._writer.save(*save_loop_state(loop))
            cost = self._clock() - started
            self._next_save = started + max(SECONDS_BETWEEN, cost / LARGEST_SHARE)

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Save the end, and wait until it is on the disk."""
        self._writer.save(*save_loop_state(loop))
        self._writer.close()

    def close(self) -> None:
        """Where the loop ended with an error: no thread goes on writing to the folder."""
        self._writer.close()


class Evaluated(NamedTuple):
    """What an `Evaluation` needs to know of a model.

    Attributes:
        score: metrics of some weights on the validation rows.
        shown: the weights in the form in which a user knows them.
    """

    score: Callable[[Params], Metrics]
    shown: Callable[[Params], Params]


@final
class Evaluation:
    """What a function given as `callbacks=[f]` is called with: one evaluation of a run.

    Attributes:
        line: update, epoch, examples, seconds, losses, batch size and learning rate.
        history: all lines so far, this one last.

    Examples:
        >>> import descend
        >>> def stop_early(evaluation: descend.Evaluation) -> None:
        ...     if evaluation.epoch >= 2:
        ...         evaluation.stop()
        >>> run = descend.train("bikes.csv", target="count", batch_size=16, learning_rate=0.05,
        ...     callbacks=[stop_early])
        >>> run.stop_reason.name, run.history[-1].epoch
        ('STOPPED', 2.0)
    """

    def __init__(self, loop: LoopState, model: Evaluated) -> None:
        self.line: HistoryLine = loop.history[-1]
        self.history: History = loop.history
        self._state = loop.state
        self._model = model
        self._rate: float | None = None
        self._stopped = False

    @property
    def update(self) -> int:
        """Updates made so far."""
        return self.line.update

    @property
    def epoch(self) -> float:
        """Epochs made so far, with a fraction."""
        return self.line.epoch

    @property
    def train_loss(self) -> float:
        """Mean batch loss since the last evaluation; NaN before the first update."""
        return self.line.train_loss

    @property
    def validation_loss(self) -> float:
        """Mean loss over the validation rows."""
        return self.line.validation_loss

    @property
    def improved(self) -> bool:
        """Whether no earlier evaluation had as low a validation loss."""
        before = (line.validation_loss for line in self.history[:-1])
        return self.validation_loss < min(before, default=math.inf)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the last update; assign to change that of the next ones.

        A schedule goes on from the new value: its factor at this moment stays what it is.
        """
        return self.line.learning_rate if self._rate is None else self._rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        if not (math.isfinite(value) and value > 0):
            raise SettingsError(f"learning_rate must be a number greater than 0; found {value!r}.")
        self._rate = float(value)

    @functools.cached_property
    def params(self) -> Params:
        """The weights that were evaluated, as NumPy arrays, in the form of `run.params`.

        They are copied when they are asked for, which has to be before the function returns.
        """
        return self._model.shown(self._weights)

    @functools.cached_property
    def _weights(self) -> Params:
        return jax.tree.map(np.array, self._state.mean)

    @functools.cached_property
    def metrics(self) -> Metrics:
        """Metrics on the validation rows, `{"model": {...}, "baseline": {...}}`.

        They are computed when asked for; empty where you wrote the loss.
        """
        return self._model.score(self._weights)

    def stop(self) -> None:
        """End the run here; it is finished like one whose epochs are over."""
        self._stopped = True

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped

    @property
    def rate_factor(self) -> float | None:
        """What the learning rate is to be multiplied by, or None."""
        if self._rate is None or not self.line.learning_rate:
            return None
        return self._rate / self.line.learning_rate


@final
class CallFunction(Callback):
    """Calls a function that the user wrote, at each evaluation.

    Args:
        function: called with an `Evaluation`.
        model: gives it metrics and params.
    """

    def __init__(self, function: Callable[[Evaluation], object], model: Evaluated) -> None:
        self._function = function
        self._model = model
        self._stopped = False

    def evaluation(self, loop: LoopState) -> float | None:
        """Call the function and pass on what it asks for."""
        evaluation = Evaluation(loop, self._model)
        self._function(evaluation)
        self._stopped = self._stopped or evaluation.stopped
        return evaluation.rate_factor

    def stop_requested(self) -> StopReason | None:
        """Whether the function has called `stop`."""
        return StopReason.STOPPED if self._stopped else None


@final
class StopByRule(Callback):
    """A stopping rule that the user wrote, in place of patience.

    Args:
        rule: called with an `Evaluation` after each evaluation; whether the run ends there.
        model: gives it metrics and params.
    """

    def __init__(self, rule: Callable[[Evaluation], object], model: Evaluated) -> None:
        if not callable(rule):
            raise SettingsError(
                "stop must be a function of an evaluation that says whether the run ends, like "
                f"stop=lambda evaluation: evaluation.validation_loss < 0.1; found {rule!r}."
            )
        self._rule = rule
        self._model = model
        self._met = False

    def evaluation(self, loop: LoopState) -> None:
        """Ask the rule."""
        self._met = bool(self._rule(Evaluation(loop, self._model)))

    def stop_requested(self) -> StopReason | None:
        """Whether the rule was met at the last evaluation."""
        return StopReason.STOPPED if self._met else None


def as_callbacks(given: Sequence[Any], model: Evaluated) -> list[Callback]:
    """Callbacks as they are, functions wrapped.

    Raises:
        SettingsError: one is neither.
    """
    made: list[Callback] = []
    for one in given:
        if isinstance(one, Callback):
            made.append(one)
        elif callable(one):
            made.append(CallFunction(one, model))
        else:
            raise SettingsError(
                "callbacks must be functions that take an evaluation, like "
                f"callbacks=[lambda evaluation: print(evaluation.validation_loss)]; found {one!r}."
            )
    return made
