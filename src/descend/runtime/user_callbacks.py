"""The user's functions as callbacks of a run: what they are given, and what they may do."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, final

import jax
import numpy as np

from descend.errors import InputError, SettingsError, warn_user
from descend.runtime.result import Metrics
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.training.processes.place import this_place
from descend.types import History, HistoryLine, Params, StopReason


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
        try:
            rate = float(value)
        except (TypeError, ValueError):
            rate = math.nan
        if not (math.isfinite(rate) and rate > 0):
            raise SettingsError(f"learning_rate must be a number greater than 0; found {value!r}.")
        self._rate = rate

    @functools.cached_property
    def params(self) -> Params:
        """The weights that were evaluated, as NumPy arrays, in the form of `run.params`.

        They are copied when they are asked for, which has to be before the function returns.
        """
        return self._model.shown(self._weights)

    @functools.cached_property
    def _weights(self) -> Params:
        try:
            return jax.tree.map(np.array, self._state.mean)
        except RuntimeError as error:  # As JAX says that later updates used up the arrays.
            raise InputError(
                "The weights of an evaluation are there until the callback returns: ask for "
                "evaluation.params or evaluation.metrics within it."
            ) from error

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
        answer = np.asarray(self._rule(Evaluation(loop, self._model)))
        if answer.shape or answer.dtype.kind != "b":
            raise InputError(
                "stop must give True where the run ends and False where not, a comparison such as "
                f"evaluation.validation_loss < 0.1; found {answer.tolist()!r}."
            )
        self._met = bool(answer)

    def stop_requested(self) -> StopReason | None:
        """Whether the rule was met at the last evaluation."""
        return StopReason.STOPPED if self._met else None


def stopping_rule(
    given: Callable[[Evaluation], object] | None,
    record: Mapping[str, Any],
    loop: LoopState,
    model: Evaluated,
) -> list[StopByRule]:
    """The stopping rule of the user's, if there is one; that of a run that goes on is not saved.

    A run that its rule ended is finished, unless another rule is given by which it goes on.

    Args:
        given: now.
        record: run.json.
        loop: where the run stands.
        model: what the rule may ask for.
    """
    had_one = record.get("stop_rule", False)
    ended = had_one and record.get("result", {}).get("stop_reason") == StopReason.STOPPED.name
    if given is None and not ended:
        if had_one and this_place().first:
            warn_user(
                "The run has a stopping rule of yours (stop=), which is not saved with it: without "
                "the rule it goes on until patience or its epochs end it. Give the rule again, "
                "descend.resume(run, stop=f), or descend.fit(..., stop=f, resume=True).",
                UserWarning,
            )
        return []
    rule = StopByRule((lambda evaluation: True) if given is None else given, model)
    if ended:
        rule.evaluation(loop)
    return [rule]


def as_callbacks(given: Sequence[Any], model: Evaluated) -> list[Callback]:
    """Callbacks as they are, functions wrapped."""
    return [one if isinstance(one, Callback) else CallFunction(one, model) for one in given]


def check_callbacks(given: Any, stop: Any = None) -> None:
    """Raise SettingsError unless callbacks are a list of functions, and a stopping rule is one.

    Args:
        given: `callbacks`.
        stop: a stopping rule, or None.
    """
    if not isinstance(given, list | tuple):
        raise SettingsError(
            f"callbacks must be a list: callbacks=[f]; found {type(given).__name__}."
        )
    for one in given:
        if isinstance(one, type) or not (isinstance(one, Callback) or callable(one)):
            raise SettingsError(
                "callbacks must be functions that take an evaluation, like "
                f"callbacks=[lambda evaluation: print(evaluation.validation_loss)]; found {one!r}."
            )
        if not isinstance(one, Callback):
            _check_takes_evaluation(one, "a callback", "f(evaluation)")
    if stop is not None and not callable(stop):
        raise SettingsError(
            "stop must be a function that takes an evaluation and returns True where training is "
            f"to end, like stop=lambda evaluation: evaluation.epoch >= 5; found {stop!r}."
        )
    if stop is not None:
        _check_takes_evaluation(stop, "stop", "stop(evaluation)")


def _check_takes_evaluation(function: Callable[..., object], what: str, call: str) -> None:
    """Raise SettingsError unless a function can be called with an evaluation and nothing else."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # Some functions written in C tell nothing of their arguments.
    try:
        signature.bind(None)
    except TypeError:
        name = getattr(function, "__name__", type(function).__name__)
        raise SettingsError(
            f"{name}{signature} cannot be {what}, which is called with one argument, {call}; its "
            "epoch, losses, metrics and params are attributes of the evaluation."
        ) from None
