"""How many processes pay, on made-up seconds."""

from __future__ import annotations

import math

import pytest

from descend.tuning.advice.processes import (
    Link,
    choose_job,
    compared_jobs,
    extrapolated_seconds,
    link_of,
)
from descend.types import Speed


def test_the_seconds_of_an_all_reduce() -> None:
    link = link_of(little=2e-5, much=2.2e-4, size=1000)
    # An exchange: both directions one after the other.
    assert link == Link(latency=2e-5, bandwidth=pytest.approx(1e7))
    assert link.all_reduce(2, 1000) == pytest.approx(2.2e-4)
    # Sums of two, then of four.
    assert link.all_reduce(4, 1000) == pytest.approx(4.4e-4)
    # Of three processes each sends a third to two others, twice.
    assert link.all_reduce(3, 1000) == pytest.approx(4e-5 + 8 / 3 * 1e-4)
    # In a ring each byte goes out 2(P-1)/P times.
    assert link.all_reduce(4, 1_000_000) == pytest.approx(12e-5 + 1.5e-1)
    ring = link_of(little=2e-5, much=1.0, size=1_000_000)
    assert ring.all_reduce(2, 1_000_000) == pytest.approx(1.0)


def test_extrapolation_shares_the_rows_and_adds_the_messages() -> None:
    alone = Speed((64, 1024), (1e-3, 1.6e-2), ())
    link = Link(1e-4, 1e9)
    found = extrapolated_seconds(alone, link, count=16, batch=1024, size=1_000_000)
    assert found == pytest.approx(1e-3 + 30e-4 + 30 / 16 * 1e-3)


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
