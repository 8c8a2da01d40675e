"""What the life of a run asks of a model with its rows, of whatever kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from descend.runtime.result import FinishedRun, Metrics
from descend.settings import Settings
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.types import Params, StopReason

R = TypeVar("R", bound=FinishedRun)


@dataclass(frozen=True)
class Trainable(ABC, Generic[R]):
    """A model with its rows, as the life of a run sees it.

    Attributes:
        settings: resolved, but for a batch size and a learning rate that are to be found.
    """

    settings: Settings

    @property
    @abstractmethod
    def problem(self) -> Problem:
        """Model, loss and rows."""

    @abstractmethod
    def described(self, settings: Settings) -> dict[str, Any]:
        """What run.json says of it: `settings`, `data` and whatever its kind adds."""

    def fingerprint(self) -> dict[str, Any]:
        """What run.json also holds, so that `check_resumed` recognises the same model."""
        return {}

    def check_resumed(self, record: Mapping[str, Any], loop: LoopState) -> None:
        """Raise DataError where the saved run was of another model, as far as numbers show it.

        Args:
            record: run.json.
            loop: as it was saved.
        """

    def as_before(self) -> Trainable[R] | None:
        """As older versions made it, whose checkpoints hold other arrays; None: just as now."""
        return None

    @abstractmethod
    def resume_hint(self, folder: Path) -> str:
        """How to continue an interrupted run."""

    @abstractmethod
    def cause(self, settings: Settings, loop: LoopState, reason: StopReason) -> str:
        """The probable reason why the loss became NaN or infinite, as far as the data show it."""

    @abstractmethod
    def metrics(self, params: Params, settings: Settings) -> Metrics:
        """Metrics of some weights on the validation rows."""

    def watched(self, params: Params) -> Mapping[str, float]:
        """Figures for the history at every evaluation: the user's own, on the validation rows."""
        return {}

    def assessment(self, params: Params, settings: Settings) -> Mapping[str, Any]:
        """What assessment.json says of a finished model; empty where nothing more is known."""
        return {}

    def for_the_end(self, settings: Settings) -> Callable[[], object] | None:
        """What imports and compiles what is needed after training, while the updates are compiled.

        None, as for a model of the user's, means that all of it is done in turn, in one thread.
        """
        return None

    def shown(self, params: Params) -> Params:
        """The weights in the form in which a user knows them."""
        return params

    @abstractmethod
    def save(self, path: Path, params: Params, settings: Settings) -> None:
        """Write the model file."""

    @abstractmethod
    def result(self, params: Params, settings: Settings, finished: FinishedRun) -> R:
        """What the caller gets."""
