"""Gradient noise at fixed moments: the same answer twice, whatever the clock says."""

from __future__ import annotations

import dataclasses
import itertools
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from descend.tuning.advice import noise_growth
from descend.tuning.advice.advise import advise
from descend.tuning.advice.noise_growth import MOMENTS
from descend.tuning.advice.trials import make_runner
from descend.types import Speed
from tests.problems import mlp_problem, numbers
from tests.tuning.advice.made_machine import ticking

PROBLEM = mlp_problem(numbers(900, 5, noise=0.5), numbers(200, 5, seed=1))


def noise_at(step: float) -> list[dict[str, object]]:
    """The noise that an advice measures on a machine whose clock ticks in such steps."""
    advice, _ = advise(PROBLEM, budget=5.0, clock=ticking(step))
    return list(advice.evidence["noise"])


@pytest.mark.slow
def test_the_noise_is_measured_at_the_same_moments_on_fast_and_slow_machines() -> None:
    fast, slow = noise_at(1e-4), noise_at(1e-3)
    assert [one["updates"] for one in fast] == list(MOMENTS)
    assert fast == slow


@pytest.mark.slow
def test_every_moment_names_its_loss() -> None:
    losses = [one["loss"] for one in noise_at(1e-4)]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < losses[0]


def records_with(seed: int, seconds: float = 1e-5) -> list[dict[str, Any]]:
    """What is recorded from other initial weights, with another order of rows.

    Args:
        seed: of both.
        seconds: of an update.
    """
    runner = make_runner(dataclasses.replace(PROBLEM, seed=seed))
    work: Any = SimpleNamespace(
        runner=runner,
        possible=(32,),
        reference=32,
        left_out=[],
        noise=[],
        budget=10.0,
        speed=Speed((32,), (seconds,), (0,)),
        evidence={},
    )
    noise_growth.measure_noise(work, 0.05)
    return list(work.evidence["noise"])


def noise_with(seed: int) -> list[list[float]]:
    """The intervals at each moment, from other initial weights and with another order of rows."""
    ends = [one["interval"] for one in records_with(seed)]
    return [[low, math.inf if high is None else high] for low, high in ends]


@pytest.mark.slow
def test_fewer_rows_are_sampled_where_a_gradient_takes_long() -> None:
    """A fifth of ten seconds is 18 times 8 groups of rows whose gradient takes 0.01 seconds."""
    usual, slow = records_with(0), records_with(0, seconds=0.01)
    assert [one["rows"] for one in usual] == [14 * 32] * 3  # All groups of these 900 rows.
    assert [one["rows"] for one in slow] == [8 * 32] * 3


def test_runs_from_other_weights_agree_within_their_intervals() -> None:
    measured = [noise_with(100 * seed) for seed in range(5)]
    agree = [
        max(one[0], other[0]) <= min(one[1], other[1])
        for first, second in itertools.combinations(measured, 2)
        for one, other in zip(first, second, strict=True)
    ]
    assert len(agree) == 30
    assert np.mean(agree) >= 0.9
