"""Leaving a shallow minimum: a slow loop, the law of B/η, and what never leaves."""

from __future__ import annotations

import jax
import numpy as np
import pytest

from descend.settings import Settings
from descend.training.optimizers import make_optimizer
from descend.tuning.landscape.escape import Escape, escape_law, escapes
from descend.tuning.landscape.surfaces import double_well


def test_many_runs_at_once_are_the_runs_one_by_one() -> None:
    surface = double_well(rows=256)
    rule = make_optimizer(Settings("y", optimizer="momentum", momentum=0.5))
    found = escapes(surface, 4, 0.1, runs=16, updates=150, optimizer=rule, seed=3)
    key, left = jax.random.key(3), 0
    theta = np.tile(np.array(surface.start), (16, 1))
    velocity, out = np.zeros_like(theta), np.zeros(16, bool)
    spent = np.full(16, 150.0)
    for update in range(1, 151):
        draws = np.asarray(jax.random.randint(jax.random.fold_in(key, update), (16, 4), 0, 256))
        well = theta**3 - theta
        slope = np.stack([well[:, 0] - 0.05, theta[:, 1]], axis=1)
        velocity = 0.5 * velocity + slope + surface.rows[draws].mean(axis=1)
        theta = theta - 0.1 * velocity
        new = (theta[:, 0] > 0) & ~out
        spent[new] = update
        out |= new
    left = out.mean()
    assert found.left == left
    assert left > 0
    assert found.time == pytest.approx(0.1 * spent.sum() / out.sum())


@pytest.mark.slow
def test_the_time_to_leave_depends_on_batch_over_rate_alone() -> None:
    """Claim 9: log time is linear in B/η, and two learning rates lie on one line."""
    surface = double_well()
    found = [
        escapes(surface, round(ratio * rate), rate, runs=96, updates=round(250 / rate))
        for ratio in (60, 100, 140)
        for rate in (0.05, 0.1)
    ]
    law = escape_law(found)
    assert law is not None
    # A well of depth 0.2 and noise of deviation 4: 2·0.2/4² = 0.025.
    assert law.slope == pytest.approx(0.025, rel=0.2)
    assert law.explained > 0.97
    assert law.apart < 1.5


def test_little_noise_stays() -> None:
    assert escapes(double_well(noise=0.0), 4, 0.1, runs=4, updates=200).left == 0.0
    assert escapes(double_well(noise=0.0), 4, 0.1, runs=4, updates=200).time is None


def test_two_points_are_no_line() -> None:
    one = Escape(4, 0.1, "SGD", 8, 1.0, 5.0)
    assert escape_law([one, one]) is None
