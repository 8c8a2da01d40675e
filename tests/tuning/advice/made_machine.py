"""An advice that has begun on a machine whose seconds per update are made up."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from descend.tuning.advice import speed
from descend.tuning.advice.reference import begin_work
from descend.tuning.advice.work import Work
from descend.types import Speed
from tests.problems import linear_problem, numbers

PROBLEM = linear_problem(numbers(70_000, 2))


def ticking(step: float = 1e-3) -> speed.Clock:
    """A clock that goes on by one step whenever it is read, however busy the machine is."""
    ticks = itertools.count()
    return lambda: next(ticks) * step


def begun(
    cost: Callable[[int], float],
    monkeypatch: pytest.MonkeyPatch,
    goal: str = "time",
    epochs: int | None = None,
    own_rows: float = 30.0,
) -> Work:
    """An advice that has begun on such a machine.

    Args:
        cost: `batch size -> seconds per update`.
        monkeypatch: to make them up.
        goal: what the advice optimizes.
        epochs: of a training that is planned to its end.
        own_rows: the rows that an update costs beside its rows; 30 as of a small network.
    """

    def measure(problem: Any, state: Any, sizes: Sequence[int], **_: Any) -> Speed:
        ordered = tuple(sorted(sizes))
        return Speed(ordered, tuple(map(cost, ordered)), (0,) * len(ordered))

    monkeypatch.setattr(speed, "measure_speed", measure)
    monkeypatch.setattr(speed.Footprint, "own_rows", own_rows)
    return begin_work(
        PROBLEM,
        batch_size=None,
        memory=None,
        goal=goal,
        epochs=epochs,
        budget=None,
        at_least=0.0,
        clock=ticking(1e-6),
        started=0.0,
        report=lambda text: None,
    )
