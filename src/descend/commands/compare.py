"""A comparison of methods on a problem, and the files it leaves."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from descend.commands.outputs import COMPARISON, free_folder, write_record_and_page
from descend.defaults import COMPARE_SECONDS
from descend.errors import SettingsError, option_text
from descend.io.atomic import write_whole
from descend.io.machine import utc_now
from descend.io.ownership import PAGE, check_replaceable
from descend.reporting.measures import MEASURES, TO_TARGET
from descend.reporting.notebook import comparison_html
from descend.reporting.pages.compare_play import compare_play_page
from descend.reporting.progress import Progress
from descend.runtime.auto import choose
from descend.runtime.together import check_alone
from descend.runtime.trial_setup import MakeSetup, TrialSetup
from descend.settings import Settings
from descend.training.jax_setup import describe_device, set_up
from descend.training.stopping_state import Limits
from descend.tuning.compare.claims import claims
from descend.tuning.compare.classical import check_small
from descend.tuning.compare.compare import Repeats
from descend.tuning.compare.compare import compare as run_all
from descend.tuning.compare.methods import (
    BASIC,
    Method,
    Tuned,
    check_methods,
    methods_for,
    tune_rates,
)
from descend.tuning.compare.run import ComparedRun, Conditions
from descend.tuning.compare.snapshots import fits_in_memory

PLAY = "play.html"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Methods side by side.

    Attributes:
        record: what compare.json holds: `table`, `claims`, `runs` with their histories.
        folder: where it was written, or None.
    """

    record: Mapping[str, Any]
    folder: Path | None

    @property
    def table(self) -> list[dict[str, Any]]:
        """A line for each method and panel, each measure with its range over the seeds."""
        return list(self.record["table"])

    @property
    def claims(self) -> list[dict[str, Any]]:
        """Common claims about batch sizes, and whether they held here."""
        return list(self.record["claims"])

    def _repr_html_(self) -> str:
        return comparison_html(self.record)

    def __repr__(self) -> str:
        where = f" in {self.folder}" if self.folder else ""
        return f"<descend.Comparison{where}: {len(self.table)} lines, {len(self.claims)} claims>"


def compare(
    make_setup: MakeSetup,
    settings: Settings,
    *,
    name: str = "table",
    sizes: Sequence[int] = (),
    methods: Sequence[str] = (),
    seeds: int | None = None,
    budget: float | None = None,
    same_rate: bool = True,
    out: str | Path | None = None,
    write: bool = False,
    force: bool = False,
    play: bool = False,
    progress: Progress,
    command: list[str] | None = None,
) -> Comparison:
    """Run the methods on a problem and say what was measured.

    Args:
        make_setup: makes the problem.
        settings: as the user gave them; batch size and learning rate, where given, are those of
            the mini-batch.
        name: what the folder is called where `out` is None.
        sizes: further batch sizes.
        methods: further update rules and classical methods.
        seeds: runs of each method; None takes 5 to 12, as many as `Repeats.seconds` allow
            (3 of methods that read all rows for each step).
        budget: seconds of training for each run; the settings' epochs end it too.
        same_rate: whether a second panel runs all at one learning rate.
        out: the folder to write; None takes the next free name under `runs/`.
        write: whether to leave files at all.
        force: whether an existing comparison may be replaced.
        play: whether to write play.html, which plays the runs of the first seed.
        progress: shows what is being measured.
        command: what was typed, for the record.
    """
    if seeds is not None and seeds < 1:
        raise SettingsError(f"{option_text('seeds')} must be at least 1; found {seeds}.")
    if budget is not None and not budget > 0:
        raise SettingsError(f"{option_text('budget')} must be greater than 0; found {budget}.")
    check_methods(sizes, methods)
    check_alone("compare")
    began = utc_now()
    set_up()
    folder = free_folder(out, COMPARISON, stem=name, force=force) if write else None
    if play and folder is None:
        raise SettingsError(
            f"{option_text('play', True)} writes a page into a folder: name one with "
            f"{option_text('out', 'FOLDER')}."
        )
    if play and folder is not None:
        check_replaceable(folder / PLAY, PAGE, option_text("out"), force=force)
    if settings.batch_schedule != "constant":
        raise SettingsError(
            f"compare trains each method with one batch size; leave "
            f"{option_text('batch_schedule', settings.batch_schedule)} out."
        )
    asked = settings
    if settings.time_budget is None and (budget is not None or settings.epochs is None):
        settings = settings.replace(time_budget=budget or COMPARE_SECONDS)
    elif budget is not None:
        settings = settings.replace(time_budget=budget)
    setup = make_setup(settings, progress)
    settings, make = setup.settings, setup.again
    rows = len(setup.problem.store)
    advised = _choose_size(setup, progress)
    chosen = methods_for(rows, advised, sizes, methods, custom_optimizer=setup.custom_optimizer)
    if setup.problem.couples_rows:
        chosen = [one for one in chosen if one.batch_size > 1]
        progress.message(
            "Stochastic gradient descent (batch size 1) is left out: the model takes the rows of a "
            "batch together (batch normalization), and one row by itself has no mean and variance."
        )
    for one in chosen:
        if one.family == "classical":
            check_small(make("sgd", settings.seed), one.optimizer)
    seconds = settings.time_budget or COMPARE_SECONDS
    if settings.advice_budget is not None:
        seconds = min(seconds, settings.advice_budget / len(chosen))
    tuned = tune_rates(lambda rule: make(rule, settings.seed), chosen, seconds, progress.message)
    reference = next(one for one in chosen if one.advised and one.optimizer == "momentum")
    rate = tuned[reference.name].learning_rate
    if play and not fits_in_memory(make("sgd", settings.seed), len(chosen)):
        raise SettingsError(
            f"{option_text('play', True)} keeps the weights along every run, and this model has "
            "too many of them. Leave it out, or compare a smaller model."
        )
    runs, noise, plane = run_all(
        make,
        chosen,
        tuned,
        Conditions(
            Limits(settings.patience, settings.epochs, settings.time_budget),
            settings.schedule,
            settings.rising_part,
        ),
        first_seed=settings.seed,
        repeats=Repeats() if seeds is None else Repeats.exactly(seeds),
        same_rate=rate if same_rate else None,
        report=progress.message,
        with_plane=play,
    )
    records = [run_record(run) for run in runs]
    content = {
        "started": began,
        "asked": asked.as_json(),
        "settings": setup.recorded(settings),
        "own": dict(setup.own),
        "data": dict(setup.data),
        "device": describe_device(),
        "seeds": len({run.seed for run in runs}),
        "budget": settings.time_budget,
        "advised": advised,
        "same_rate": rate if same_rate else None,
        "roughness_relative_to": "loss",
        "tuning": [_tuned_record(name, one) for name, one in tuned.items()],
        "runs": records,
        "table": table_of(records),
        "claims": claims(records),
        "noise": noise,
        **({"plane": plane} if plane is not None else {}),
    }
    record = write_record_and_page(folder, COMPARISON, content, command)
    if folder is not None and play:
        if plane is None:
            progress.message("No page to play: the weights of all runs lie on one line.")
        else:
            write_whole(folder / PLAY, compare_play_page(record))
    return Comparison(record, folder)


def table_of(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line for each method and panel: of each measure the median and the range over seeds.

    Of what a run took to the target, the median is over all runs: one that did not come to it took
    longer than any that did. Where most did not, there is none; the range is of those that did.
    """
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for record in records:
        groups.setdefault((record["panel"], record["method"]["name"]), []).append(record)
    lines = []
    for (panel, _), group in groups.items():
        line: dict[str, Any] = {
            "panel": panel,
            "method": group[0]["method"],
            "learning_rate": group[0]["learning_rate"],
            "runs": len(group),
            "arrived": sum(one["measures"]["seconds_to_target"] is not None for one in group),
            "exploded": sum(one["rescues"] > 0 or one["outcome"] == "DIVERGED" for one in group),
        }
        for measure in MEASURES:
            values = [one["measures"][measure.name] for one in group]
            known = [value for value in values if value is not None]
            late = len(values) - len(known) if measure.name in TO_TARGET else 0
            middle = statistics.median([*known, *late * [math.inf]]) if known else math.inf
            line[measure.name] = (
                {"median": middle, "low": min(known), "high": max(known)}
                if math.isfinite(middle)
                else None
            )
        lines.append(line)
    return lines


def run_record(run: ComparedRun) -> dict[str, Any]:
    """A run as compare.json holds it; the history by columns."""
    history = {
        name: [getattr(line, name) for line in run.history]
        for name in ("update", "epoch", "examples", "seconds", "train_loss", "validation_loss")
    }
    return {
        "method": _method_record(run.method),
        "panel": run.panel,
        "seed": run.seed,
        "learning_rate": run.learning_rate,
        "outcome": run.outcome,
        "rescues": run.rescues,
        "steady": run.steady,
        "weights_sha256": run.weights,
        "measures": dict(run.measures),
        "history": history,
    }


def _method_record(method: Method) -> dict[str, Any]:
    basic = method.optimizer in BASIC and (method.family != "mini" or method.advised)
    return {**dataclasses.asdict(method), "basic": basic}


def _tuned_record(name: str, tuned: Tuned) -> dict[str, Any]:
    return {
        "method": name,
        "learning_rate": tuned.learning_rate,
        "trials": [
            {"learning_rate": rate, "updates": updates, "loss": loss}
            for rate, updates, loss in tuned.trials
        ],
    }


def _choose_size(setup: TrialSetup, progress: Progress) -> int:
    """The size that the user names, or that measuring recommends."""
    settings, rows = setup.settings, len(setup.problem.store)
    if isinstance(settings.batch_size, int):
        return settings.batch_size
    chosen = choose(setup.problem, settings.replace(batch_size="auto"), progress)
    return min(max(2, int(chosen.settings.batch_size)), max(2, rows // 2))
