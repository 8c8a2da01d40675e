"""How many processes pay, on made-up seconds."""

from __future__ import annotations

import math

import pytest

from descend.training.processes.all_reduce import DIRECTIONS, Link
from descend.tuning.advice.processes import choose_job, compared_jobs, extrapolated_seconds
from descend.types import Speed


def test_extrapolation_shares_the_rows_and_adds_the_messages() -> None:
    alone = Speed((64, 1024), (1e-3, 1.6e-2), ())
    link = Link(1e-4, 1e9)
    found = extrapolated_seconds(alone, link, count=16, batch=1024, size=1_000_000)
    assert found == pytest.approx(1e-3 + 30e-4 + 30 / 16 * 1e-3)


def test_the_prediction_sums_as_training_would_on_such_a_link() -> None:
    alone = Speed((64,), (1e-3,), ())
    slow, fast = Link(1e-4, 12.5e6), Link(1e-4, 1e9)
    seconds = [extrapolated_seconds(alone, one, 2, batch=128, size=80_000) for one in (slow, fast)]
    # In a ring the bytes of one direction, in an exchange some of the other one too.
    assert seconds == pytest.approx([1e-3 + 2e-4 + 6.4e-3, 1e-3 + 1e-4 + DIRECTIONS * 0.8e-4])


def test_a_larger_batch_pays_as_far_as_it_saves_updates() -> None:
    seconds = {
        (1, 100): [1.0, 1.0, 1.0],
        (2, 100): [0.9, 0.9, 0.9],
        (2, 400): [1.0, 1.0, 1.0],
    }
    critical = (1000.0, 1000.0, 1000.0)
    one, two = compared_jobs(seconds, 100, critical)
    assert (one.time, one.interval) == (1.0, (1.0, 1.0))
    # u(400)/u(100) = (1 + 1000/400) / (1 + 1000/100)
    assert two.batch_size == 400
    assert two.time == pytest.approx(3.5 / 11)
    assert choose_job([one, two]) == two
    # Where larger batches save nothing, two processes do not pay by much.
    _, two = compared_jobs(seconds, 100, (0.0, 0.0, 0.0))
    assert (two.batch_size, two.time) == (100, 0.9)


def test_what_is_not_sure_is_not_advised() -> None:
    seconds = {(1, 100): [1.0, 1.0, 1.3], (2, 100): [0.7, 0.8, 1.1]}
    jobs = compared_jobs(seconds, 100, None)
    assert jobs[1].interval == (pytest.approx(0.7 / 1.3), pytest.approx(1.1))
    assert choose_job(jobs).processes == 1


def test_an_unbounded_critical_batch_size() -> None:
    seconds = {(1, 100): [1.0], (4, 400): [1.0]}
    four = compared_jobs(seconds, 100, (100.0, 1000.0, math.inf), frozenset({4}))[1]
    # At B_crit = infinity four times the rows need a quarter of the updates.
    assert four.interval == (pytest.approx(0.25), pytest.approx(1.25 / 2))
    assert four.extrapolated


def test_without_a_critical_batch_size_all_have_the_same() -> None:
    seconds = {(1, 100): [1.0], (2, 100): [0.6], (2, 400): [0.7]}
    assert compared_jobs(seconds, 100, None)[1].batch_size == 100
