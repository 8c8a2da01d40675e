"""Training of a model, a loss or an optimizer that is not ours."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from numpy.typing import NDArray

import descend
from descend.data.encoding.encoder import Encoder
from descend.data.reading.table import open_table
from descend.data.rows.batches import MICRO_ROWS
from descend.errors import DataError, DivergedError, InterruptedRunError, SettingsError
from descend.jobs.in_memory import decided, run_problem
from descend.jobs.own_data import OwnRows, own_rows
from descend.jobs.own_models import OwnModel, check_rows_apart, own_model
from descend.reporting.progress import Progress
from descend.runs.checkpoint import load_checkpoint, save_checkpoint
from descend.runs.model_file import save_model_file
from descend.runs.run import RunFolder, check_replaceable, create_run, open_run
from descend.settings import Settings
from descend.training.engine import describe_device, set_up
from descend.training.fit import Course, summary_of
from descend.training.losses import LOSSES, Loss, resolve_loss
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.training.recipe import resolved
from descend.training.saved import course_restored, course_saved
from descend.types import Array, History, Params, StopReason

PROBED_ROWS = 8


@dataclass(frozen=True)
class OwnRun:
    """A finished run of an own model.

    Attributes:
        params: the best weights, as NumPy arrays.
        history: a line per evaluation.
        stop_reason: why it ended.
        record: what run.json holds.
        folder: the run directory, or None where nothing was written.
    """

    params: Params
    history: History
    stop_reason: StopReason
    record: Mapping[str, Any]
    folder: Path | None
    _model: OwnModel
    _rows: OwnRows
    _apply: Callable[[Params, Any], Array]

    @property
    def model(self) -> Any:
        """The model as it was given, with the best weights; a Keras model gets them itself."""
        return self._model.rebuilt(jax.tree.map(jax.numpy.asarray, self.params))

    def predict(self, X: Any) -> NDArray[Any]:
        """Outputs of the model for rows, through the link of the loss where that is one of ours.

        Args:
            X: inputs as in training: arrays, or a table.
        """
        if self._rows.schema is not None:
            encoder = Encoder(self._rows.schema)
            parts = [part.batch.x for part in encoder.encode(open_table(X), target=False)]
        else:
            x = X if isinstance(X, Mapping) else {"x": np.asarray(X)}
            count = len(next(iter(x.values())))
            parts = [
                {name: values[start : start + MICRO_ROWS] for name, values in x.items()}
                for start in range(0, count, MICRO_ROWS)
            ]
        return np.concatenate([np.asarray(self._compiled(self.params, part)) for part in parts])

    @functools.cached_property
    def _compiled(self) -> Any:
        return jax.jit(self._apply)

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        loss = self.record["result"]["best_validation_loss"]
        return f"<descend.OwnRun{where}: validation loss {loss:.4g}; {self.stop_reason.name}>"


def fit_own(
    model: Any,
    data: Any,
    settings: Settings,
    *,
    loss: str | Callable[[Array, Array], Array],
    optimizer: str | optax.GradientTransformation,
    validation: Any,
    out: str | Path | None,
    resume: bool,
    force: bool,
    progress: Progress,
) -> OwnRun:
    """What `descend.fit` does; see there."""
    set_up()
    if resume and out is None:
        raise SettingsError("resume=True needs out=, the folder of the run to go on with.")
    if out is not None and not resume:
        check_replaceable(Path(out), force=force)
    rows = own_rows(data, settings, validation)
    made = own_model(model)
    chosen = _chosen_loss(loss, rows, settings)
    bare: Callable[[Params, Any], Array] = made.apply
    if rows.single:
        # What is asked of the model is one array; a store has its arrays by name.
        def bare(params: Params, x: Any) -> Array:
            return made.apply(params, x["x"])

    few = rows.training.gather(np.arange(min(PROBED_ROWS, len(rows.training))))
    check_rows_apart(made._replace(apply=bare), chosen.per_example, few, settings.seed)
    if not isinstance(optimizer, str):
        rate = 1.0 if settings.learning_rate == "auto" else settings.learning_rate
        settings = settings.replace(learning_rate=rate)
    problem = Problem(
        store=rows.training,
        validation=rows.validation,
        init=made.init,
        apply=bare,
        per_example=chosen.per_example,
        optimizer=make_optimizer(settings) if isinstance(optimizer, str) else optimizer,
        l2=settings.l2,
        seed=settings.seed,
    )
    folder: RunFolder | None = None
    if resume and out is not None:
        folder = open_run(Path(out))
        record, settings, course = _restored(folder, problem, settings, rows)
    else:
        settings, course, advice = decided(problem, settings, progress)
        record = _first_record(settings, rows)
        if advice is not None:
            record["advice"] = dataclasses.asdict(advice)
        if out is not None:
            folder = create_run(Path(out), "run", force=force)
            save_checkpoint(folder.checkpoint, 0, *course_saved(course))
            folder.write_record(record)
    try:
        course, reason = run_problem(problem, settings, course, progress, folder=folder)
        params = jax.tree.map(np.array, course.best.mean)
        record = {**record, "state": "finished", "result": summary_of(course, reason)}
        if folder is not None:
            _leave(folder, params, course, record, reason)
    finally:
        if folder is not None:
            folder.release()
    if reason is StopReason.DIVERGED:
        raise DivergedError(reason.value)
    return OwnRun(
        params,
        course.history,
        reason,
        record,
        folder.path if folder else None,
        made,
        rows,
        lambda weights, x: chosen.link(bare(weights, x)),
    )


def _chosen_loss(
    loss: str | Callable[[Array, Array], Array], rows: OwnRows, settings: Settings
) -> Loss:
    """The loss of a row by itself, and its link."""
    if callable(loss):
        return Loss(loss, lambda outputs: outputs)
    if rows.schema is not None:
        return LOSSES[resolved(settings.replace(loss=loss), rows.schema).loss]
    y = rows.training.gather(np.arange(1)).y
    labels = y.ndim == 1 and y.dtype.kind in "iub"
    name = resolve_loss(loss, "classification" if labels else "regression")
    if name == "cross_entropy":
        return LOSSES[name]
    chosen = LOSSES[name]

    def flat(outputs: Array, y: Array) -> Array:
        count = outputs.shape[0]
        return chosen.per_example(outputs.reshape(count, -1), y.reshape(count, -1))

    return Loss(flat, chosen.link)


def _first_record(settings: Settings, rows: OwnRows) -> dict[str, Any]:
    return {
        "descend": descend.__version__,
        "kind": "own",
        "state": "running",
        "asked": settings.as_json(),
        "settings": settings.as_json(),
        "data": {
            "source": None,
            "fingerprint": rows.fingerprint,
            "rows": {"training": len(rows.training), "validation": len(rows.validation)},
        },
        "versions": {"jax": jax.__version__, "numpy": np.__version__},
        "device": describe_device(),
    }


def _restored(
    folder: RunFolder, problem: Problem, settings: Settings, rows: OwnRows
) -> tuple[dict[str, Any], Settings, Course]:
    """The run in a folder, to go on with the same model and data."""
    record = folder.read_record()
    if record.get("kind") != "own":
        raise SettingsError(f"{folder.path} is a run of `descend train`; type: descend resume.")
    if record["data"]["fingerprint"] != rows.fingerprint:
        raise DataError(f"The data of the run {folder.path} changed since. Train anew.")
    numbers = {name: record["settings"][name] for name in ("batch_size", "learning_rate")}
    course = problem.begin()
    saved = load_checkpoint(folder.checkpoint)
    if saved is not None:
        course = course_restored(*saved, like=course)
    return record, settings.replace(**numbers), course


def _leave(
    folder: RunFolder, params: Params, course: Course, record: dict[str, Any], reason: StopReason
) -> None:
    folder.write_history(course.history)
    if reason is StopReason.INTERRUPTED:
        raise InterruptedRunError(
            f"Stopped after {course.state.update:,} updates; everything is saved.\n"
            "To go on, call descend.fit again with resume=True."
        )
    save_model_file(folder.model, _named_leaves(params), {"kind": "own"})
    folder.write_record(record)


def _named_leaves(params: Params) -> dict[str, Any]:
    """Weights by their path in the tree."""
    found, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}
