"""Gradient noise at fixed moments: the same answer twice, whatever the clock says."""

from __future__ import annotations

import itertools

import pytest

from descend.tuning.advice.advise import advise
from descend.tuning.advice.noise_growth import MOMENTS
from tests.problems import mlp_problem, numbers

PROBLEM = mlp_problem(numbers(900, 5, noise=0.5), numbers(200, 5, seed=1))


def noise_at(step: float) -> list[dict[str, object]]:
    """The noise that an advice measures on a machine whose clock ticks in such steps."""
    ticks = itertools.count()
    advice, _ = advise(PROBLEM, budget=5.0, clock=lambda: next(ticks) * step)
    return list(advice.evidence["noise"])


@pytest.mark.slow
def test_the_noise_is_measured_at_the_same_moments_on_fast_and_slow_machines() -> None:
    fast, slow = noise_at(1e-4), noise_at(1e-3)
    assert [one["updates"] for one in fast] == list(MOMENTS)
    assert fast == slow


def test_every_moment_names_its_loss() -> None:
    losses = [one["loss"] for one in noise_at(1e-4)]
    assert all(isinstance(loss, float) for loss in losses)
    assert losses[-1] < losses[0]
