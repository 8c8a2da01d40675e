"""A training run, from the opened table to the files it leaves."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

import descend
from descend.data.prepare import Prepared, prepare
from descend.data.schema.describe import describe
from descend.errors import DivergedError, InterruptedRunError
from descend.model import Model
from descend.reporting.notebook import card
from descend.reporting.pages.train import train_page
from descend.reporting.progress import Progress
from descend.reporting.render import render
from descend.reporting.text.advice import short_text
from descend.runs.checkpoint import save_checkpoint
from descend.runs.folder import RunFolder, check_replaceable, create_run
from descend.runtime.auto import choose
from descend.runtime.diagnosis import DIVERGED, cause_of_divergence, cause_of_rescue
from descend.runtime.live_page import Onlooker, looked_on
from descend.runtime.run import run_problem
from descend.runtime.trial_setup import data_name
from descend.settings import Settings
from descend.training.build import problem_of, resolved
from descend.training.evaluation import blocks
from descend.training.jax_setup import describe_device, set_up, versions
from descend.training.loop import LoopState, summary_of
from descend.training.problem import Problem
from descend.training.saved_state import loop_state_restored, loop_state_saved
from descend.types import History, StopReason


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        model: the best model.
        history: a line per evaluation.
        stop_reason: why it ended.
        record: what run.json holds.
        folder: the run directory, or None where nothing was written.
    """

    model: Model
    history: History
    stop_reason: StopReason
    record: Mapping[str, Any]
    folder: Path | None

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Metrics on the validation rows: `{"model": {...}, "baseline": {...}}`."""
        return dict(self.record["result"]["metrics"])

    def __repr__(self) -> str:
        figures = ", ".join(f"{name} {value:.4g}" for name, value in self.metrics["model"].items())
        where = f" in {self.folder}" if self.folder else ""
        return f"<descend.Run{where}: {figures}; {self.stop_reason.name}>"

    def _repr_html_(self) -> str:
        baseline = self.metrics["baseline"]
        figures = [
            (name, f"{value:.4g} (trivial prediction: {baseline[name]:.4g})")
            for name, value in self.metrics["model"].items()
            if name in baseline
        ]
        settings = self.model.settings
        facts = [
            ("predicts", ", ".join(self.model.schema.target.names)),
            *figures,
            ("batch size", settings.batch_size),
            ("learning rate", settings.learning_rate),
            ("epochs", self.record["result"]["epochs"]),
            ("seconds", self.record["result"]["seconds"]),
            ("ended", self.stop_reason.value),
            *([("folder", self.folder)] if self.folder else []),
        ]
        return card("descend.Run", facts)


def train(
    data: Any,
    settings: Settings,
    *,
    out: str | Path | None,
    write: bool,
    force: bool,
    progress: Progress,
    command: list[str] | None = None,
    onlookers: Sequence[Onlooker] = (),
) -> Run:
    """Train a model on a table.

    Args:
        data: whatever `open_table` takes.
        settings: as the user gave them.
        out: the run directory; None takes the next free name under `runs/`.
        write: whether to leave a run directory at all.
        force: whether an existing run directory may be replaced.
        progress: who is told what happens.
        command: what was typed, for the record.
        onlookers: a live page, event files.
    """
    set_up()
    if out is not None:
        check_replaceable(Path(out), force=force)
    prepared = prepare(data, settings, say=progress.message)
    for warning in prepared.schema.warnings:
        progress.message(f"Warning: {warning}")
    asked = settings
    settings = resolved(asked, prepared.schema)
    problem = problem_of(settings, prepared)
    settings, loop, advice = choose(problem, settings, progress)
    if advice is not None:
        progress.message(short_text(advice))
    folder = (
        create_run(Path(out) if out else None, data_name(data, "run"), force=force)
        if write
        else None
    )
    record = _first_record(data, asked, settings, prepared, command)
    if advice is not None:
        record["advice"] = dataclasses.asdict(advice)
    try:
        if folder is not None:
            # The checkpoint first: a run that has a record can be resumed from where it began.
            save_checkpoint(folder.checkpoint, 0, *loop_state_saved(loop))
            folder.write_record(record)
        return _trained(problem, loop, settings, prepared, record, folder, progress, onlookers)
    finally:
        if folder is not None:
            folder.release()


def continue_run(
    prepared: Prepared,
    settings: Settings,
    record: dict[str, Any],
    folder: RunFolder,
    progress: Progress,
    saved: tuple[dict[str, np.ndarray], dict[str, Any]] | None,
    onlookers: Sequence[Onlooker] = (),
) -> Run:
    """Go on from what a checkpoint holds; from the start where none was written yet."""
    problem = problem_of(settings, prepared)
    loop = problem.begin()
    if saved is not None:
        loop = loop_state_restored(*saved, like=loop)
    return _trained(problem, loop, settings, prepared, record, folder, progress, onlookers)


def _trained(
    problem: Problem,
    loop: LoopState,
    settings: Settings,
    prepared: Prepared,
    record: dict[str, Any],
    folder: RunFolder | None,
    progress: Progress,
    onlookers: Sequence[Onlooker],
) -> Run:
    """Run the loop from a course on, and leave the files."""
    with looked_on(onlookers, record, folder.path if folder else None, loop.history):
        loop, reason = run_problem(
            problem, settings, loop, progress, folder=folder, onlookers=onlookers
        )
        done = _ended(loop, reason, settings, prepared, record, folder, progress)
        for one in onlookers:
            one.finish(done.record, done.history)
    return done


def _ended(
    loop: LoopState,
    reason: StopReason,
    settings: Settings,
    prepared: Prepared,
    record: dict[str, Any],
    folder: RunFolder | None,
    progress: Progress,
) -> Run:
    """The finished run, or the error that says how to go on."""
    if reason is StopReason.INTERRUPTED and folder is not None:
        folder.write_history(loop.history)
        raise InterruptedRunError(
            f"Stopped after {loop.state.update:,} updates; everything is saved.\n"
            f"To go on: descend resume {folder.path}"
        )
    if loop.progress.rescues and reason is not StopReason.DIVERGED:
        progress.message(cause_of_rescue(prepared.schema, settings))
    return _finished(loop, reason, settings, prepared, record, folder)


def _finished(
    loop: LoopState,
    reason: StopReason,
    settings: Settings,
    prepared: Prepared,
    record: dict[str, Any],
    folder: RunFolder | None,
) -> Run:
    params = jax.tree.map(np.array, loop.best.mean)
    model = Model(prepared.schema, settings, params)
    metrics = model.score(blocks(prepared.validation, 65536))
    result = {**summary_of(loop, reason), "metrics": metrics}
    if loop.progress.rescues:
        diverged = reason is StopReason.DIVERGED
        explain = cause_of_divergence if diverged else cause_of_rescue
        result["cause"] = explain(prepared.schema, settings)
    record = {**record, "state": "finished", "result": result}
    run = Run(model, loop.history, reason, record, folder.path if folder else None)
    if folder is not None:
        model.save(folder.model)
        folder.write_history(loop.history)
        folder.write_record(record)
        # From the file, so that the same page can be built again.
        folder.write_report(render(train_page(folder.read_record(), loop.history)))
    if reason is StopReason.DIVERGED:
        kept = f" The best weights so far are kept in {folder.path}." if folder else ""
        raise DivergedError(f"{DIVERGED}{kept}\n{result['cause']}")
    return run


def _first_record(
    data: Any,
    asked: Settings,
    settings: Settings,
    prepared: Prepared,
    command: list[str] | None,
) -> dict[str, Any]:
    schema = prepared.schema
    return {
        "descend": descend.__version__,
        "state": "running",
        "command": command,
        "asked": asked.as_json(),
        "settings": settings.as_json(),
        "data": {
            "source": data if isinstance(data, str | Path) and str(data) else None,
            "fingerprint": prepared.fingerprint,
            "layout": prepared.layout.as_json(),
            "rows": dataclasses.asdict(schema.rows),
            "task": schema.task,
            "task_reason": schema.task_reason,
            "columns": [dataclasses.asdict(line) for line in describe(schema)],
            "warnings": list(schema.warnings),
        },
        "schema": schema.as_json(),
        "versions": versions(),
        "device": describe_device(),
    }
