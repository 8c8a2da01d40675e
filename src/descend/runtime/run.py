"""The one life of a run: of a network on a table, a custom model, or rows in memory.

start    the folder is free -> prepare -> choose batch size and rate -> run.json, checkpoint 0
resume   run.json, the newest checkpoint -> prepare
then     the loop, with its callbacks -> the ending -> model, history, run.json, report
"""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import descend
from descend.errors import DivergedError, FileFormatError, InterruptedRunError
from descend.io.machine import machine, utc_now
from descend.io.units import count_text
from descend.reporting.progress import Progress, make_progress
from descend.reporting.text.advice import short_text
from descend.runs.checkpoint import CheckpointWriter, save_checkpoint
from descend.runs.contents import RECORD
from descend.runs.folder import RunFolder, claim_run, open_run, read_assessment
from descend.runs.identity import IDENTITY, check_identity, identity_of
from descend.runtime.callbacks import Callbacks, SaveCheckpoints, ShowProgress, WriteHistory
from descend.runtime.compile_ahead import compiled_ahead
from descend.runtime.diagnosis import AT_START, DIVERGED
from descend.runtime.interrupts import CTRL_C, SIGNALS, stop_requests
from descend.runtime.own_metrics import warn_of_other_metrics
from descend.runtime.result import FinishedRun
from descend.runtime.same_work import check_same, check_same_start, least_memory
from descend.runtime.together import (
    AS_USUAL,
    AskedOfNetworks,
    callbacks_that_agree,
    checkpoint_of_first,
    choose_together,
    config_for,
    in_all_processes,
    in_this_process,
    link_record,
    noticing_lost_processes,
    of_another_number,
    record_of_first,
    several_networks,
    use_recorded_link,
)
from descend.runtime.trainable import R, Trainable
from descend.runtime.user_callbacks import Evaluated, Evaluation, as_callbacks, stopping_rule
from descend.settings import Settings
from descend.training.build import limits_of
from descend.training.callback import Callback
from descend.training.jax_setup import describe_device, set_up, versions
from descend.training.loop import fit, summary_of
from descend.training.loop_state import LoopState
from descend.training.processes.place import Place, this_place
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.several_networks import kept_weights
from descend.types import Params, StopReason


@dataclass(frozen=True)
class Options:
    """Where a run goes and who follows it; what it learns is in `Settings`.

    Attributes:
        progress: the bar, the lines or nothing.
        callbacks: functions that the user wrote, a live page, event files.
        out: the run directory; None takes the next free name under `runs/`.
        name: the first part of that name.
        write: whether to leave a run directory at all.
        force: whether an existing run directory may be replaced.
        command: what was typed, for the record.
        title: what the page of the run is called; None: after its target and data.
        note: a remark of the user's, for the record and the page.
        stop: a stopping rule of the user's, in place of patience.
    """

    progress: Progress
    callbacks: Sequence[Any] = ()
    out: str | Path | None = None
    name: str = "run"
    write: bool = True
    force: bool = False
    command: list[str] | None = None
    title: str | None = None
    note: str | None = None
    stop: Callable[[Evaluation], object] | None = None

    def for_place(self, place: Place) -> Options:
        """The options for one of several processes: process 0 alone writes and shows anything."""
        if place.first:
            return self
        quiet = make_progress("silent")
        return dataclasses.replace(self, progress=quiet, callbacks=(), out=None, write=False)


def start_run(
    make: Callable[[Settings, Progress], Trainable[R]], settings: Settings, options: Options
) -> R:
    """Start a run and train until it ends.

    Args:
        make: prepares what is trained; called when the folder is known to be free.
        settings: as the user gave them.
        options: where and how.

    Raises:
        InputError: the folder, the data or an option cannot be used.
        DivergedError: no learning rate was low enough.
        InterruptedRunError: Ctrl-C, with everything saved.
    """
    set_up()
    place = this_place()
    options = options.for_place(place)
    out = None if options.out is None else Path(options.out)
    with contextlib.ExitStack() as held:
        held.enter_context(noticing_lost_processes(place))
        check_same_start("train", settings.as_json(), place)
        settings = least_memory(settings, place)
        folder: RunFolder | None = None
        if options.write:
            folder = held.enter_context(claim_run(out, options.name, force=options.force))
        progress = options.progress
        with progress.doing("Reading the table"):
            trainable = make(settings, progress)
        with progress.doing("Measuring the batch size and the learning rate"):
            chosen = choose_together(trainable.problem, trainable.settings, progress, place)
        record = _first_record(trainable, settings, chosen.settings, options)
        if chosen.advice is not None:
            progress.message(short_text(chosen.advice))
            record["advice"] = dataclasses.asdict(chosen.advice)
        if folder is not None:
            folder.begin()
            record |= trainable.fingerprint()
            # The checkpoint first: a run that has a record can be resumed from where it began.
            arrays, saved = save_loop_state(chosen.loop)
            save_checkpoint(folder.checkpoint, 0, arrays, {**saved, IDENTITY: identity_of(record)})
            folder.write_record(record)
        return _train_to_end(trainable, chosen.settings, chosen.loop, record, folder, options)


def resume_run(
    path: Path, make: Callable[[Path, dict[str, Any]], Trainable[R]], options: Options
) -> R:
    """Continue the run in a folder as if it had never been interrupted.

    Args:
        path: of the run.
        make: prepares what is trained as it was, from what run.json holds.
        options: only its progress and callbacks are used.

    Raises:
        InputError: there is no run, or it cannot go on.
        DataError: the data changed since.
    """
    set_up()
    place = this_place()
    options = options.for_place(place)
    with contextlib.ExitStack() as held:
        held.enter_context(noticing_lost_processes(place))
        folder = held.enter_context(open_run(path)) if place.first else None
        record = record_of_first(path, place)
        if "seal" not in record:
            raise FileFormatError(f"{path / RECORD} is damaged: it has no checksum.")
        saved = checkpoint_of_first(path, place)
        if saved is not None:
            check_identity(path, record, saved[1])
        check_same_start("resume", record["settings"], place)
        use_recorded_link(record, place)
        told = of_another_number(record, place)
        if told is not None:
            options.progress.message(told)
        with options.progress.doing("Reading the table"):
            trainable = make(path, record)
        measured = ("batch_size", "learning_rate", "sync_every")
        known = record["settings"]
        found = {name: known[name] for name in measured if name in known}
        settings = trainable.settings.replace(**found)
        if saved is None:
            loop = trainable.problem.begin()
        else:
            trainable, loop = _restored(trainable, saved, record)
        trainable.check_resumed(record, loop)
        if place.count == 1:
            _compare_metrics(trainable, loop)
        return _train_to_end(trainable, settings, loop, record, folder, options)


def _restored(
    trainable: Trainable[R], saved: tuple[dict[str, Any], dict[str, Any]], record: Mapping[str, Any]
) -> tuple[Trainable[R], LoopState]:
    """What is trained, as its checkpoint has it, and where it stood.

    Raises:
        DataError: the checkpoint is of another model.
        FileFormatError: it is damaged.
    """
    loop = trainable.problem.begin()
    try:
        return trainable, restore_loop_state(*saved, like=loop)
    except FileFormatError as error:
        before = trainable.as_before()
        while before is not None:
            with contextlib.suppress(FileFormatError):
                return before, restore_loop_state(*saved, like=before.problem.begin())
            before = before.as_before()
        # Another model or optimizer, if the check finds one, tells more than its arrays.
        trainable.check_resumed(record, loop)
        raise error


def _compare_metrics(trainable: Trainable[Any], loop: LoopState) -> None:
    """Warn where the metrics of the best weights are not what the history says."""
    best = loop.progress.best
    lines = [one for one in loop.own_history if one.validation_loss == best and one.metrics]
    if lines:
        warn_of_other_metrics(trainable.watched(loop.best.mean), lines[0].metrics)


def run_in_memory(
    trainable: Trainable[Any],
    settings: Settings,
    loop: LoopState,
    progress: Progress,
    *,
    interruptible: bool = True,
    networks: AskedOfNetworks = AS_USUAL,
) -> tuple[LoopState, StopReason]:
    """Train until the run ends, without writing files.

    Args:
        trainable: what is trained.
        settings: with numbers for batch size and learning rate.
        loop: where to begin.
        progress: shows how far the run is.
        interruptible: whether Ctrl-C ends the training and leaves what was learned.
        networks: how several networks are trained.

    Raises:
        DivergedError: no learning rate was low enough.
    """
    rescues = loop.progress.rescues
    callbacks = _members(trainable, settings, progress)
    place = this_place()
    with noticing_lost_processes(place), callbacks.taking_part({}, None, loop.history):
        check_same_start("fit", settings.as_json(), place)
        signals = (CTRL_C if place.count == 1 else SIGNALS) if interruptible else ()
        loop, reason = _run_loop(trainable, settings, loop, callbacks, signals, networks=networks)
    if loop.progress.rescues > rescues:
        said = DIVERGED if loop.history else AT_START
        _explain(trainable.cause(settings, loop, reason), reason, progress, said)
    return loop, reason


def _train_to_end(
    trainable: Trainable[R],
    settings: Settings,
    loop: LoopState,
    record: Mapping[str, Any],
    folder: RunFolder | None,
    options: Options,
) -> R:
    """Run the loop and write its files."""
    own: list[Callback] = []
    if folder is not None:
        writer = CheckpointWriter(folder.checkpoint, {IDENTITY: identity_of(record)})
        own = [WriteHistory(folder), SaveCheckpoints(writer)]
    model = Evaluated(lambda params: trainable.metrics(params, settings), trainable.shown)
    given = as_callbacks(options.callbacks, model)
    rule = stopping_rule(options.stop, record, loop, model)
    callbacks = _members(trainable, settings, options.progress, *own, *given, *rule)
    with callbacks.taking_part(record, folder.path if folder else None, loop.history):
        try:
            own_rule = options.stop is not None
            saves = folder is not None or this_place().count > 1
            signals = SIGNALS if saves else CTRL_C
            loop, reason = _run_loop(
                trainable, settings, loop, callbacks, signals, own_rule=own_rule
            )
        except KeyboardInterrupt:
            if folder is None:
                raise
            raise InterruptedRunError(
                "Stopped at once; what the last checkpoint holds is saved.\n"
                f"{trainable.resume_hint(folder.path)}"
            ) from None
        if reason is StopReason.INTERRUPTED and folder is not None:
            # The best model so far predicts already, whether or not somebody goes on.
            trainable.save(folder.model, kept_weights(loop), settings)
            raise InterruptedRunError(
                f"Stopped after {count_text(loop.updates, 'update')}; everything is saved.\n"
                f"{trainable.resume_hint(folder.path)}"
            )
        if reason is StopReason.INTERRUPTED and this_place().count == 1:
            raise InterruptedRunError(
                f"Stopped after {count_text(loop.updates, 'update')}. Nothing is saved; a run "
                'with out="runs/name" saves what it has learned, and can go on.'
            )
        with options.progress.doing("Assessing the model"):
            run = _finish(trainable, settings, loop, reason, record, folder)
        if loop.progress.rescues:
            said = DIVERGED if run.history else AT_START
            if folder is not None and run.history:
                said += f" The best weights so far are kept in {folder.path}."
            _explain(run.record["result"]["cause"], reason, options.progress, said)
        callbacks.finish(run.record, run.history)
    return run


def _finish(
    trainable: Trainable[R],
    settings: Settings,
    loop: LoopState,
    reason: StopReason,
    record: Mapping[str, Any],
    folder: RunFolder | None,
) -> R:
    """Write the files of a finished run, and return it."""
    params = kept_weights(loop)
    result = {**summary_of(loop, reason), "metrics": {}}
    if loop.history:
        result["metrics"] = trainable.metrics(params, settings)
    if loop.progress.rescues:
        result["cause"] = trainable.cause(settings, loop, reason)
    record = {**record, "state": "finished", "ended": utc_now(), "result": result}
    if folder is not None:
        trainable.save(folder.model, params, settings)
        folder.write_record(record)
        # Only now: whatever happens from here on, the model is saved and the run is finished.
        folder.write_assessment(_assess(trainable, params, settings))
        from descend.reporting.pages.train import train_page
        from descend.reporting.render import render

        # From the files, so that `descend report` builds the same page.
        page = train_page(folder.read_record(), loop.history, read_assessment(folder.path))
        folder.write_report(render(page))
    place = folder.path if folder else None
    return trainable.result(params, settings, FinishedRun(loop.history, reason, record, place))


def _assess(trainable: Trainable[Any], params: Params, settings: Settings) -> Mapping[str, Any]:
    """The assessment of the model; an error in it does not take away a run that is finished."""
    try:
        return trainable.assessment(params, settings)
    except Exception as error:
        return {"failed": f"{type(error).__name__}: {error}"}


def _members(
    trainable: Trainable[Any], settings: Settings, progress: Progress, *others: Callback
) -> Callbacks:
    rows = len(trainable.problem.store)
    epochs = settings.epochs and settings.epochs * (settings.networks or 1)
    shown = ShowProgress(progress, epochs, rows, settings.time_budget)
    return Callbacks([shown, *others])


def _run_loop(
    trainable: Trainable[Any],
    settings: Settings,
    loop: LoopState,
    callbacks: Callbacks,
    signals: Sequence[signal.Signals],
    *,
    own_rule: bool = False,
    networks: AskedOfNetworks = AS_USUAL,
) -> tuple[LoopState, StopReason]:
    """Run the loop until a limit, a callback or one of the signals ends it."""
    problem, limits = trainable.problem, limits_of(settings)
    if own_rule:
        limits = dataclasses.replace(limits, patience=sys.maxsize, early_decay=False)
    assert isinstance(settings.batch_size, int)
    assert isinstance(settings.learning_rate, float)
    config = problem.loop_config(
        settings.batch_size,
        settings.learning_rate,
        schedule=settings.schedule,
        warmup=settings.rising_part,
        limits=limits,
    )
    place = this_place()
    several = several_networks(problem, settings, place, networks)
    config = dataclasses.replace(config, metrics=trainable.watched, networks=several)
    config = config_for(problem, config, place, settings)
    with stop_requests(signals) as stop_request:
        together = Callbacks([stop_request, callbacks])
        if place.count > 1:
            check_same(problem, config, loop)
            loop = in_all_processes(loop)
            together = callbacks_that_agree([stop_request, callbacks], settings.time_budget)
        meanwhile = trainable.for_the_end(settings)
        with compiled_ahead(config, loop.state, meanwhile) as ready:
            loop, reason = fit(ready, loop, together)
        loop = in_this_process(loop) if place.count > 1 else loop
        callbacks.end(loop, reason)
    return loop, reason


def _explain(cause: str, reason: StopReason, progress: Progress, said: str) -> None:
    """Tell the user why the loss exploded: as an error where lower rates did not help.

    Args:
        cause: why.
        reason: why the run ended.
        progress: told where a lower rate helped; a warning says it where it shows nothing.
        said: what the error says before the cause.
    """
    if reason is StopReason.DIVERGED:
        raise DivergedError(f"{said}\n{cause}")
    progress.warn(cause)


def _first_record(
    trainable: Trainable[Any], asked: Settings, settings: Settings, options: Options
) -> dict[str, Any]:
    return {
        "descend": descend.__version__,
        "state": "running",
        **({"name": options.title} if options.title else {}),
        **({"note": options.note} if options.note else {}),
        **({"stop_rule": True} if options.stop is not None else {}),
        "started": utc_now(),
        "command": options.command,
        "asked": asked.as_json(),
        **trainable.described(settings),
        "versions": versions(),
        "device": describe_device(),
        "machine": machine(),
        "processes": this_place().count,
        **link_record(),
    }
