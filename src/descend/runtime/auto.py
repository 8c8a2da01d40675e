"""Choose the batch size and the learning rate that the user left at `auto`."""

from __future__ import annotations

from typing import NamedTuple

from descend.data.rows.budget import divide
from descend.reporting.progress import Progress
from descend.settings import Settings
from descend.training.build import PLANNED, with_default_numbers
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.types import Advice


class Chosen(NamedTuple):
    """Settings with numbers for batch size and learning rate.

    Attributes:
        settings: resolved.
        loop: where training begins: the state of the trial that won, or a new one.
        advice: what was measured, or None where nothing was left open.
    """

    settings: Settings
    loop: LoopState
    advice: Advice | None


def choose(
    problem: Problem, settings: Settings, progress: Progress, *, at_least: float = 0.0
) -> Chosen:
    """Choose values for what is `auto`; where numbers are given, nothing is measured.

    Nor is it for the tabular network, whose course from a high rate to none is little sensitive
    to both, unless somebody asks for advice.

    Args:
        problem: what is to be trained.
        settings: with `auto` where something is to be found.
        progress: shows what is being measured.
        at_least: seconds that it may take however short the training is.

    Raises:
        DivergedError: no learning rate was low enough.
    """
    rows = len(problem.store)
    if settings.model == "tabular" and not at_least and settings.advice_budget is None:
        settings = with_default_numbers(settings, rows)
    size = rows if settings.batch_size == "all" else settings.batch_size
    batch_size = None if size == "auto" else int(size)
    rate = None if settings.learning_rate == "auto" else float(settings.learning_rate)
    if batch_size is not None and rate is not None:
        numbers = {"batch_size": batch_size, "learning_rate": rate}
        return Chosen(settings.replace(**numbers), problem.begin(), None)
    from descend.tuning.advice.advise import advise as measure

    advice, loop = measure(
        problem.alone,
        batch_size=batch_size,
        learning_rate=rate,
        goal=settings.goal,
        epochs=settings.epochs if settings.schedule in PLANNED else None,
        budget=settings.advice_budget,
        at_least=at_least,
        memory=None if settings.memory is None else divide(settings.memory).working,
        optimizer=settings.optimizer,
        on_progress=progress.message,
    )
    numbers = {"batch_size": advice.batch_size, "learning_rate": advice.learning_rate}
    # Trials run at a constant rate: only a run that does too can continue from one.
    continues = loop is not None and settings.schedule == "constant"
    begin = loop if continues and loop is not None else problem.begin()
    return Chosen(settings.replace(**numbers), begin, advice)
