"""Training of a model, a loss or an optimizer that is not ours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import jax
import numpy as np

import descend
from descend.custom.diagnosis import custom_cause
from descend.custom.problem import CustomParts, CustomProblem, custom_problem
from descend.custom.result import CustomRun, Outputs, custom_metrics
from descend.data.rows.layout import layout_from
from descend.errors import DivergedError, FileFormatError, InterruptedRunError, SettingsError
from descend.reporting.pages.train import train_page
from descend.reporting.progress import Progress
from descend.reporting.render import render
from descend.reporting.text.advice import short_text
from descend.runs.checkpoint import load_checkpoint, save_checkpoint
from descend.runs.fingerprint import check_unchanged
from descend.runs.folder import RECORD, RunFolder, check_replaceable, create_run, open_run
from descend.runs.model_file import save_model_file
from descend.runtime.auto import choose
from descend.runtime.diagnosis import DIVERGED
from descend.runtime.run import run_problem
from descend.settings import Settings, settings_from
from descend.training.jax_setup import describe_device, set_up, versions
from descend.training.loop import LoopState, summary_of
from descend.training.saved_state import loop_state_restored, loop_state_saved
from descend.types import Params, StopReason

ENDS = ("epochs", "time_budget", "patience")
PLACES = ("memory", "store")
"""Settings that may be others when a run goes on: where it ends, and where its rows stand."""


def fit_custom(
    own: CustomParts,
    settings: Settings,
    *,
    out: str | Path | None,
    resume: bool,
    force: bool,
    progress: Progress,
) -> CustomRun:
    """What `descend.fit` does; see there."""
    set_up()
    if resume:
        if out is None:
            raise SettingsError("resume=True needs out=, the folder of the run to go on with.")
        with open_run(Path(out)) as folder:
            record = folder.read_record()
            _check_same(folder, record, settings)
            layout = layout_from(record["data"]["layout"])
            problem = custom_problem(own, settings, progress, layout)
            before = {"own": record["own"], "data": record["data"]["fingerprint"]}
            now = {"own": dict(problem.setup.own), "data": problem.rows.fingerprint}
            check_unchanged(folder.path, before, now, "Train anew.")
            settings, loop = _restored(folder, problem, record)
            return _trained(problem, settings, loop, record, folder, progress)
    if out is not None:
        check_replaceable(Path(out), force=force)
    problem = custom_problem(own, settings, progress)
    chosen = choose(problem.setup.problem, problem.setup.settings, progress)
    record = _first_record(settings, chosen.settings, problem)
    if chosen.advice is not None:
        progress.message(short_text(chosen.advice))
        record["advice"] = dataclasses.asdict(chosen.advice)
    if out is None:
        return _trained(problem, chosen.settings, chosen.loop, record, None, progress)
    with create_run(Path(out), "run", force=force) as folder:
        save_checkpoint(folder.checkpoint, 0, *loop_state_saved(chosen.loop))
        folder.write_record(record)
        return _trained(problem, chosen.settings, chosen.loop, record, folder, progress)


def _trained(
    own: CustomProblem,
    settings: Settings,
    loop: LoopState,
    record: dict[str, Any],
    folder: RunFolder | None,
    progress: Progress,
) -> CustomRun:
    """Run the loop from a course on, and leave the files."""
    loop, reason = run_problem(own.setup.problem, settings, loop, progress, folder=folder)
    if reason is StopReason.INTERRUPTED and folder is not None:
        folder.write_history(loop.history)
        raise InterruptedRunError(
            f"Stopped after {loop.state.update:,} updates; everything is saved.\n"
            "To go on, call descend.fit again with resume=True."
        )
    params = jax.tree.map(np.array, loop.best.mean)
    result = {**summary_of(loop, reason), "metrics": {}}
    if loop.history:
        result["metrics"] = custom_metrics(own, params)
    if loop.progress.rescues:
        result["cause"] = custom_cause(own, settings, loop, reason)
    record = {**record, "state": "finished", "result": result}
    if folder is not None:
        save_model_file(folder.model, _named_leaves(params), {"kind": "own"})
        folder.write_history(loop.history)
        folder.write_record(record)
        folder.write_report(render(train_page(folder.read_record(), loop.history)))
    if reason is StopReason.DIVERGED:
        kept = f" The best weights so far are kept in {folder.path}." if folder else ""
        raise DivergedError(f"{DIVERGED}{kept}\n{result['cause']}")
    if loop.progress.rescues:
        progress.message(result["cause"])
    return CustomRun(
        params,
        loop.history,
        reason,
        record,
        folder.path if folder else None,
        own.model,
        Outputs.of(own),
    )


def _first_record(asked: Settings, settings: Settings, own: CustomProblem) -> dict[str, Any]:
    return {
        "descend": descend.__version__,
        "state": "running",
        "command": None,
        "asked": asked.as_json(),
        "settings": own.setup.recorded(settings),
        "own": dict(own.setup.own),
        "data": dict(own.setup.data),
        "versions": versions(),
        "device": describe_device(),
    }


def _check_same(folder: RunFolder, record: dict[str, Any], settings: Settings) -> None:
    """Refuse a run of another kind, or one that other settings would lead elsewhere."""
    if "own" not in record:
        raise SettingsError(
            f"{folder.path} is a run of descend train; type: descend resume {folder.path}"
        )
    if record.get("seal") is None:
        raise FileFormatError(f"{folder.path / RECORD} is damaged: it has no checksum.")
    before = settings_from(record["asked"])
    free = {*ENDS, *PLACES}
    if settings.schedule != "constant" or settings.rising_part:
        free.remove("epochs")  # They are the horizon of the schedule.
    for name, value in settings.as_json().items():
        if name not in free and value != getattr(before, name):
            raise SettingsError(
                f"{name} was {getattr(before, name)!r} when the run {folder.path} began, and is "
                f"{value!r} now. Go on with the same, or train anew."
            )


def _restored(
    folder: RunFolder, own: CustomProblem, record: dict[str, Any]
) -> tuple[Settings, LoopState]:
    """The settings and the course of the run in a folder."""
    numbers = {name: record["settings"][name] for name in ("batch_size", "learning_rate")}
    loop = own.setup.problem.begin()
    saved = load_checkpoint(folder.checkpoint)
    if saved is not None:
        loop = loop_state_restored(*saved, like=loop)
    return own.setup.settings.replace(**numbers), loop


def _named_leaves(params: Params) -> dict[str, Any]:
    """Weights by their path in the tree."""
    found, _ = jax.tree_util.tree_flatten_with_path(params)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in found}
