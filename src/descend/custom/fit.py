"""Training of a custom model, loss or optimizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax

from descend.custom.class_weights import class_weight_text
from descend.custom.diagnosis import custom_cause
from descend.custom.metrics import Measured
from descend.custom.problem import CustomParts, CustomProblem, custom_problem
from descend.custom.result import CustomRun
from descend.custom.same_functions import check_same_functions, fingerprint_of_functions
from descend.custom.sources import is_arrays, is_table
from descend.data.rows.layout import layout_from
from descend.errors import DataError, SettingsError, command_text
from descend.reporting.progress import Progress
from descend.runs.fingerprint import check_unchanged
from descend.runs.model_file import save_model_file
from descend.runtime.own_metrics import check_names
from descend.runtime.result import FinishedRun, Metrics
from descend.runtime.run import Options, resume_run, start_run
from descend.runtime.trainable import Trainable
from descend.settings import Settings, settings_from
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.training.processes.place import this_place
from descend.types import Params, StopReason

ENDS = ("epochs", "time_budget", "patience")
PLACES = ("memory", "store")
"""Settings that may change on resume: end conditions and data location."""


def fit_custom(
    own: CustomParts, settings: Settings, options: Options, *, resume: bool
) -> CustomRun:
    """Train a custom model; see `descend.fit`."""

    def start(settings: Settings, progress: Progress) -> CustomTrainable:
        problem = custom_problem(own, settings, progress)
        return trainable(problem)

    def trainable(problem: CustomProblem) -> CustomTrainable:
        settings = problem.setup.settings
        return CustomTrainable(settings, Measured(problem, own.metrics or {}, problem.further))

    check_names(own.metrics or {}, own.validation_sets or {})
    if not resume:
        return start_run(start, settings, options)
    if options.out is None:
        raise SettingsError("resume=True needs out=, the folder of the run to go on with.")

    def go_on(path: Path, record: dict[str, Any]) -> CustomTrainable:
        _check_same(path, record, settings, own)
        layout = layout_from(record["data"]["layout"])
        problem = custom_problem(own, settings, options.progress, layout)
        if this_place().first:
            # What the other processes have is compared with what process 0 has.
            _check_equal(
                path,
                [
                    (name, record["own"].get(name), found)
                    for name, found in problem.setup.own.items()
                ],
            )
            _check_unchanged(
                path, record["data"]["fingerprint"], problem.rows.fingerprint, own.data
            )
        return trainable(problem)

    return resume_run(Path(options.out), go_on, options)


@dataclass(frozen=True)
class CustomTrainable(Trainable[CustomRun]):
    """A custom model with its loss and rows, in the form that a run trains."""

    measured: Measured

    @property
    def custom(self) -> CustomProblem:
        """The model, loss and rows, and how to give results back in the user's form."""
        return self.measured.custom

    @property
    def problem(self) -> Problem:
        """What is trained."""
        return self.custom.setup.problem

    def described(self, settings: Settings) -> dict[str, Any]:
        """Settings, data, and the names of model, loss and optimizer."""
        setup = self.custom.setup
        return {
            "settings": setup.recorded(settings),
            "own": dict(setup.own),
            "data": dict(setup.data),
        }

    def fingerprint(self) -> dict[str, Any]:
        """What the functions compute from fixed weights and rows."""
        return {"functions": fingerprint_of_functions(self.custom)}

    def check_resumed(self, record: Mapping[str, Any], loop: LoopState) -> None:
        """Compare what model, loss and optimizer compute with what they did at the start."""
        check_same_functions(self.custom, record.get("functions"), loop)

    def shown(self, params: Params) -> Params:
        """The weights in the form of `CustomRun.params`."""
        return self.custom.model.shown(params)

    def resume_hint(self, folder: Path) -> str:
        """The call to repeat in order to resume."""
        return "To go on, call descend.fit again with resume=True."

    def cause(self, settings: Settings, loop: LoopState, reason: StopReason) -> str:
        """The probable cause of a divergence, from the ranges of inputs and targets."""
        return custom_cause(self.custom, settings, loop, reason)

    def metrics(self, params: Params, settings: Settings) -> Metrics:
        """The metrics of the task; none if the loss is a user's function."""
        return self.measured.metrics(params)

    def watched(self, params: Params) -> Mapping[str, float]:
        """The user's metrics, and the figures on further validation sets."""
        return self.measured.watched(params)

    def save(self, path: Path, params: Params, settings: Settings) -> None:
        """Write the weights by their path in the tree."""
        save_model_file(path, _named_leaves(params), {"kind": "own"})

    def result(self, params: Params, settings: Settings, finished: FinishedRun) -> CustomRun:
        """The finished run with its model."""
        return CustomRun(
            **vars(finished),
            _weights=params,
            _model=self.custom.model,
            _outputs=self.measured.outputs,
        )


def _check_same(path: Path, record: dict[str, Any], settings: Settings, own: CustomParts) -> None:
    """Refuse to resume a run of another kind, or with settings that change the training."""
    if "own" not in record:
        raise SettingsError(
            f"{path} is a run of descend.train; type: {command_text('resume', path)}"
        )
    before = settings_from(record["asked"])
    own_rule = "one of your own"
    now_own = {"precision": own.precision, "class_weight": class_weight_text(own.class_weight)}
    pairs = [(name, record["own"].get(name), given) for name, given in now_own.items()]
    rules = (
        own_rule if "optimizer" in record["own"] else before.optimizer,
        own.optimizer if isinstance(own.optimizer, str) else own_rule,
    )
    pairs.append(("optimizer", *rules))
    free = {*ENDS, *PLACES, "optimizer"}
    if settings.schedule not in ("auto", "constant") or settings.rising_part:
        free.remove("epochs")  # They are the horizon of the schedule.
    now = settings.as_json()
    pairs += [(name, getattr(before, name), now[name]) for name in now if name not in free]
    _check_equal(path, pairs)


def _check_equal(path: Path, pairs: Iterable[tuple[str, Any, Any]]) -> None:
    """Refuse to go on where a part of a run, by its name, is another than it was."""
    for name, old, new in pairs:
        if new != old:
            raise SettingsError(
                f"{name} was {old!r} when the run {path} began, and is {new!r} now. Go on with the "
                "same, or train anew."
            )


def _check_unchanged(path: Path, before: Any, now: Any, data: Any) -> None:
    """Raise DataError where model or data are no longer what they were."""
    try:
        check_unchanged(path, before, now)
    except DataError as error:
        if is_table(data) or is_arrays(data):
            raise
        raise DataError(
            f"{error} A data loader has to give the same rows in the same order: shuffle=False."
        ) from error


def _named_leaves(params: Params) -> dict[str, Any]:
    """The weights by their path in the tree."""
    found, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}
