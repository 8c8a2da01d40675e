"""Batch size and learning rate where the user left them to us: by measuring."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

from descend.data.prepare import Prepared, prepare
from descend.reporting.page import advice_report
from descend.reporting.progress import Progress
from descend.runs.files import write_json, write_whole
from descend.settings import Settings
from descend.training.engine import set_up
from descend.training.fit import Course
from descend.training.problem import Problem
from descend.training.recipe import problem_of, resolved
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


def choose(problem: Problem, settings: Settings, progress: Progress) -> Chosen:
    """Decide what `auto` stands for; with numbers given, nothing is measured.

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
        memory=settings.memory,
        optimizer=settings.optimizer,
        on_progress=progress.message,
    )
    numbers = {"batch_size": advice.batch_size, "learning_rate": advice.learning_rate}
    return Chosen(settings.replace(**numbers), course or problem.begin(), advice)


def advise(
    data: Any, settings: Settings, *, progress: Progress, out: Path | None = None
) -> tuple[Advice, dict[str, Any]]:
    """Advice for a table, and the record that its report is made from.

    Args:
        data: whatever `open_table` takes.
        settings: as the user gave them.
        progress: who is told what happens.
        out: a folder for the record and its page, or None.
    """
    set_up()
    prepared = prepare(data, settings, say=progress.message)
    settings = resolved(settings, prepared.schema)
    chosen = choose(problem_of(settings, prepared), settings, progress)
    advice = chosen.advice or Advice(
        batch_size=int(chosen.settings.batch_size),
        learning_rate=float(chosen.settings.learning_rate),
        interval=(float(chosen.settings.learning_rate),) * 2,
        flat_region=(int(chosen.settings.batch_size),) * 2,
    )
    record = advice_record(advice, prepared, chosen.settings)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / "advice.json", record)
        write_whole(out / "advice.html", advice_report(record))
    return advice, record


def advice_record(advice: Advice, prepared: Prepared, settings: Settings) -> dict[str, Any]:
    """What `descend advise --json` prints."""
    return {
        "advice": dataclasses.asdict(advice),
        "settings": settings.as_json(),
        "rows": dataclasses.asdict(prepared.schema.rows),
        "task": prepared.schema.task,
    }
