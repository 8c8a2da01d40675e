"""Whole advices on made devices: what an update costs is given, the trials are real."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from benchmarks.regret_cases import teacher
from descend.tuning.advice import speed
from descend.tuning.advice.advise import advise
from descend.types import Advice, Speed

START = 50e-6
"""Seconds in which a device starts an update, whatever its size."""
COMPILING = 0.15
"""Seconds per program: a fifth of a whole training of batches of 128 rows."""
Cost = Callable[[int], float]


def flat_to(rows: int) -> Cost:
    """Seconds of an update on a device that computes so many rows while it starts."""
    return lambda size: START * max(1.0, size / rows)


def by_the_row(size: int) -> float:
    """Seconds of an update where rows cost the same, as on a CPU."""
    return START * size / 128


@pytest.fixture
def advise_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Advice]:
    """Advises on a device with this cost of an update, on which compiling takes seconds."""
    now, lock = [0.0], threading.Lock()

    def clock() -> float:
        with lock:
            now[0] += 1e-6
            return now[0]

    def run(cost: Cost, **options: Any) -> Advice:
        def measure(problem: Any, state: Any, sizes: Sequence[int], **_: Any) -> Speed:
            ordered = tuple(sorted(sizes))
            return Speed(ordered, tuple(map(cost, ordered)), (0,) * len(ordered))

        def compile_sizes(problem: Any, state: Any, sizes: Iterable[int], threads: int = 2) -> None:
            with lock:
                now[0] += COMPILING * len(list(sizes)) / threads

        monkeypatch.setattr(speed, "measure_speed", measure)
        monkeypatch.setattr(speed, "compile_sizes", compile_sizes)
        monkeypatch.setattr(speed, "seconds_per_row", lambda runner, clock: cost(1 << 20) / 2**20)
        problem = teacher(40_000, 10, (16,), noise=1.0)(None)
        return advise(problem, clock=clock, **options)[0]

    return run


@pytest.mark.parametrize("at_least", [0.0, 10.0], ids=["auto", "advise"])
@pytest.mark.parametrize(("flat", "fewest", "most"), [(1024, 512, 2048), (4096, 2048, 8192)])
@pytest.mark.slow
def test_a_large_size_is_chosen_where_larger_updates_cost_the_same(
    advise_on: Callable[..., Advice], flat: int, fewest: int, most: int, at_least: float
) -> None:
    advice = advise_on(flat_to(flat), at_least=at_least)
    assert fewest <= advice.batch_size <= most


@pytest.mark.slow
@pytest.mark.parametrize("at_least", [0.0, 10.0], ids=["auto", "advise"])
def test_a_small_size_is_chosen_where_rows_cost_the_same(
    advise_on: Callable[..., Advice], at_least: float
) -> None:
    assert advise_on(by_the_row, at_least=at_least).batch_size <= 128
