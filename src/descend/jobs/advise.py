"""Batch size and learning rate where the user left them to us: by measuring."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from descend.jobs.posed import Pose
from descend.reporting.advice_page import advice_page
from descend.reporting.page import render
from descend.reporting.progress import Progress
from descend.runs.files import write_error, write_json, write_whole
from descend.settings import Settings
from descend.training.engine import set_up
from descend.training.fit import Course
from descend.training.problem import Problem
from descend.tuning.advice import advise as measure
from descend.types import Advice


class Chosen(NamedTuple):
    """Settings with numbers for batch size and learning rate.

    Attributes:
        settings: resolved.
        course: where training begins: the state of the trial that won, or a new one.
        advice: what was measured, or None where nothing was left open.
    """

    settings: Settings
    course: Course
    advice: Advice | None


THOROUGH = 10.0
"""Seconds that an advice takes at the least where somebody asked for one."""


def choose(
    problem: Problem, settings: Settings, progress: Progress, *, at_least: float = 0.0
) -> Chosen:
    """Decide what `auto` stands for; with numbers given, nothing is measured.

    Args:
        problem: what is to be trained.
        settings: with `auto` where something is to be found.
        progress: who is told what happens.
        at_least: seconds that it may take however short the training is.

    Raises:
        DivergedError: no learning rate was low enough.
    """
    rows = len(problem.store)
    size = rows if settings.batch_size == "all" else settings.batch_size
    batch_size = None if size == "auto" else int(size)
    rate = None if settings.learning_rate == "auto" else float(settings.learning_rate)
    if batch_size is not None and rate is not None:
        numbers = {"batch_size": batch_size, "learning_rate": rate}
        return Chosen(settings.replace(**numbers), problem.begin(), None)
    advice, course = measure(
        problem,
        batch_size=batch_size,
        learning_rate=rate,
        goal=settings.goal,
        budget=settings.advice_budget,
        at_least=at_least,
        memory=settings.memory,
        optimizer=settings.optimizer,
        on_progress=progress.message,
    )
    numbers = {"batch_size": advice.batch_size, "learning_rate": advice.learning_rate}
    return Chosen(settings.replace(**numbers), course or problem.begin(), advice)


def advise(
    pose: Pose, settings: Settings, *, progress: Progress, out: Path | None = None
) -> tuple[Advice, dict[str, Any]]:
    """Advice for a problem, and the record that its report is made from.

    Args:
        pose: makes the problem.
        settings: as the user gave them.
        progress: who is told what happens.
        out: a folder for the record and its page, or None.
    """
    set_up()
    posed = pose(settings, progress)
    chosen = choose(posed.problem, posed.settings, progress, at_least=THOROUGH)
    advice = chosen.advice or Advice(
        batch_size=int(chosen.settings.batch_size),
        learning_rate=float(chosen.settings.learning_rate),
        interval=(float(chosen.settings.learning_rate),) * 2,
        flat_region=(int(chosen.settings.batch_size),) * 2,
    )
    record = {
        "advice": dataclasses.asdict(advice),
        "settings": posed.recorded(chosen.settings),
        "rows": posed.data["rows"],
        "task": posed.data["task"],
        "own": dict(posed.own),
    }
    if out is not None:
        write_advice(out, record)
    return advice, record


def write_advice(out: Path, record: Mapping[str, Any]) -> None:
    """Leave the record of an advice and its page in a folder.

    Raises:
        InputError: the folder cannot be written.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(out, error) from error
    write_json(out / "advice.json", record)
    write_whole(out / "advice.html", render(advice_page(record)))
