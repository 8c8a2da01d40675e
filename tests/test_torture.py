"""The short form of `make torture`: killed at random moments, resumed, the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.torture_runs import Kill, Task, made_place, survives, undisturbed

MOST_RUNS = 12
OPTIONS = "--epochs 10 --batch-size 16 --hidden 16 --learning-rate 0.02"


@pytest.mark.slow
@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path) -> None:
    place = made_place(Task("short", OPTIONS), tmp_path)
    whole, phases = undisturbed(place)
    dice = random.Random(3)
    kills: list[Kill] = []
    for _ in range(MOST_RUNS):  # A run may be over before its kill comes.
        killed, problem = survives(place, whole, phases, dice)
        kills += killed
        assert problem == ""
        if len(kills) >= 3:
            break
    assert len(kills) >= 3
