"""The short form of `make torture`: killed at random moments, resumed, the same bytes."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.torture import survives, undisturbed

OPTIONS = ["--epochs", "12", "--batch-size", "16", "--hidden", "16", "--learning-rate", "0.02"]


@pytest.mark.slow
def test_killed_runs_end_as_undisturbed_ones(tmp_path: Path) -> None:
    task = undisturbed("short", OPTIONS, tmp_path)
    dice = random.Random(3)
    kills = 0
    for number in range(3):
        killed, problem = survives(task, tmp_path / str(number), dice)
        kills += killed
        assert problem == ""
    assert kills >= 3
