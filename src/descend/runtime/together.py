"""What several processes that train together have to agree on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, final

import numpy as np

from descend.reporting.progress import Progress
from descend.runtime.auto import Chosen, choose
from descend.settings import Settings
from descend.training.callback import Callback
from descend.training.loop import LoopConfig, LoopState
from descend.training.parallel import Place, from_all, from_first, local, replicated
from descend.training.problem import Problem
from descend.types import History, StopReason

_REASONS = list(StopReason)
_NONE = -1


def choose_together(
    problem: Problem, settings: Settings, progress: Progress, place: Place
) -> Chosen:
    """What `auto` stands for: process 0 measures, the others take what it found.

    All begin with the initial weights: the trials of process 0 are not known to the others.
    """
    if place.count == 1:
        return choose(problem, settings, progress)
    found = np.zeros(2)
    advice = None
    if place.first:
        chosen, advice = choose(problem, settings, progress)[::2]
        found[:] = chosen.batch_size, chosen.learning_rate
    batch_size, learning_rate = from_first(found).tolist()
    numbers = {"batch_size": int(batch_size), "learning_rate": learning_rate}
    return Chosen(settings.replace(**numbers), problem.begin(), advice)


def config_for(problem: Problem, config: LoopConfig, place: Place) -> LoopConfig:
    """A run in this process as one of several; the time budget is kept by `Agreed`."""
    if place.count == 1:
        return config
    shared = problem.in_parallel(config, place)
    return dataclasses.replace(shared, limits=dataclasses.replace(shared.limits, seconds=None))


def in_all_processes(loop: LoopState) -> LoopState:
    """The loop state with arrays that all processes share."""
    return _with_arrays(loop, replicated)


def in_this_process(loop: LoopState) -> LoopState:
    """The loop state with arrays of this process alone."""
    return _with_arrays(loop, local)


def _with_arrays(loop: LoopState, change: Any) -> LoopState:
    def changed(state: Any) -> Any:
        params, opt_state, mean = change((state.params, state.opt_state, state.mean))
        return state._replace(params=params, opt_state=opt_state, mean=mean)

    return loop._replace(state=changed(loop.state), best=changed(loop.best))


@final
class Agreed(Callback):
    """Callbacks whose answers are the same in every process.

    Each process has its own clock, and only process 0 has the user's callbacks. What ends a run or
    changes its learning rate must do so everywhere at the same update.

    Args:
        callbacks: of this process.
        seconds: time budget, or None; process 0 keeps the time.
    """

    def __init__(self, callbacks: Callback, seconds: float | None) -> None:
        self._callbacks = callbacks
        self._budget = math.inf if seconds is None else seconds
        self._seconds = 0.0

    def begin(self, record: Mapping[str, Any], folder: Path | None, history: History) -> None:
        """Pass it on."""
        self._callbacks.begin(record, folder, history)

    def chunk(self, loop: LoopState) -> None:
        """Pass it on."""
        self._seconds = loop.seconds
        self._callbacks.chunk(loop)

    def evaluation(self, loop: LoopState) -> float | None:
        """The factor of process 0."""
        factor = self._callbacks.evaluation(loop)
        sent = math.nan if factor is None else factor
        (came,) = from_first(np.array([sent])).tolist()
        return None if math.isnan(came) else came

    def message(self, text: str) -> None:
        """Pass it on."""
        self._callbacks.message(text)

    def stop_requested(self) -> StopReason | None:
        """`INTERRUPTED` where any process was interrupted, else the answer of process 0."""
        reason = self._callbacks.stop_requested()
        if reason is None and self._seconds >= self._budget:
            reason = StopReason.TIME_BUDGET
        mine = _NONE if reason is None else _REASONS.index(reason)
        came = from_all(np.array([mine]))[:, 0].tolist()
        if _REASONS.index(StopReason.INTERRUPTED) in came:
            return StopReason.INTERRUPTED
        return None if came[0] == _NONE else _REASONS[came[0]]

    def end(self, loop: LoopState, reason: StopReason) -> None:
        """Pass it on."""
        self._callbacks.end(loop, reason)

    def finish(self, record: Mapping[str, Any], history: History) -> None:
        """Pass it on."""
        self._callbacks.finish(record, history)

    def close(self) -> None:
        """Pass it on."""
        self._callbacks.close()
