"""How many processes are advised, from jobs that are measured one after another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from descend.reporting.progress import make_progress
from descend.reporting.text.processes import processes_text
from descend.runs.schemas.advice import ProcessesAdvice
from descend.runtime import measured_processes
from descend.settings import Settings
from descend.types import Advice

SIZES = [16, 64, 256, 1024]


def advised(
    monkeypatch: pytest.MonkeyPatch, seconds_of: dict[int, list[float]], counts: Sequence[int]
) -> tuple[list[int], dict[str, Any]]:
    """The jobs that were measured, and the record, where the jobs of a number take these seconds.

    Args:
        monkeypatch: undone after the test.
        seconds_of: per update at 64 rows, one for each job of this number of processes.
        counts: that are compared.
    """
    jobs: list[int] = []

    def measure(data: str, settings: Settings, sizes: Sequence[int], count: int) -> dict[str, Any]:
        each = seconds_of[count][jobs.count(count)]
        jobs.append(count)
        seconds = [[each * size / 64 * (1 + one / 100) for one in range(3)] for size in sizes]
        return {"sizes": list(sizes), "seconds": seconds, "link": [1e-4, 1e9], "bytes": 4000}

    monkeypatch.setattr(measured_processes, "_measure_in_processes", measure)
    monkeypatch.setattr(measured_processes.os, "sched_getaffinity", lambda _: range(4))
    advice = Advice(
        64, 0.1, (0.05, 0.2), (32, 128), {"law": {"interval": [60, 80], "critical": 70.0}}
    )
    record = measured_processes.processes_record(
        "t.csv", Settings("y"), advice, counts, make_progress("silent")
    )
    return jobs, record


def test_what_is_advised_is_measured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    times = {1: [1e-3, 1e-3], 2: [5e-4, 5.2e-4], 4: [5.1e-4]}
    jobs, record = advised(monkeypatch, times, [2, 4])
    assert jobs == [1, 2, 4, 2, 1]
    assert record["advised"]["processes"] == 2
    assert record["confirmed"] is True
    assert msgspec.convert(record, ProcessesAdvice).advised.processes == 2, "as it is read again"
    assert "Measured twice, in both orders" in " ".join(processes_text(record).split())


def test_a_second_measurement_may_say_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine was busy while one process was measured first."""
    jobs, record = advised(monkeypatch, {1: [3e-3, 1e-3], 2: [1.1e-3, 1.2e-3]}, [2])
    assert jobs == [1, 2, 2, 1]
    assert record["advised"]["processes"] == 1
    assert record["confirmed"] is False
    one, two = record["jobs"]
    low, high = two["interval"]
    # From what the first measurement said to what the second did.
    assert low < 0.5 * one["time"]
    assert high > one["time"]
    assert "did not confirm" in " ".join(processes_text(record).split())


def test_one_process_needs_no_second_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, record = advised(monkeypatch, {1: [1e-3], 2: [2e-3]}, [2])
    assert jobs == [1, 2]
    assert record["confirmed"] is None
    assert "twice" not in processes_text(record)


def test_what_was_only_extrapolated_is_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    jobs, record = advised(monkeypatch, {1: [1.0], 2: [2.0]}, [8])
    assert jobs == [1, 2]
    assert record["advised"]["processes"] == 8
    assert record["confirmed"] is None
    assert "Nothing confirms it here" in " ".join(processes_text(record).split())
