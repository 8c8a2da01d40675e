"""The batch size that trials begin with follows from measured seconds per update."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from descend.tuning.advice import further_sizes, speed
from descend.tuning.advice.reference import choose_reference
from descend.tuning.advice.work import time_to_measure_all
from tests.tuning.advice.made_machine import begun


def reference_where(
    cost: Callable[[int], float],
    monkeypatch: pytest.MonkeyPatch,
    goal: str = "time",
    epochs: int | None = None,
) -> tuple[int, list[int]]:
    """The reference on a machine with these seconds per update, and the sizes measured."""
    work = begun(cost, monkeypatch, goal, epochs)
    choose_reference(work)
    return work.reference, list(work.speed.batch_sizes)


def test_it_stays_small_where_an_update_costs_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, measured = reference_where(lambda size: 5e-6 + 0.6e-6 * size, monkeypatch)
    assert reference == 128
    assert measured == [128, 2048]


@pytest.mark.parametrize(("own_rows", "size"), [(0.9, 32), (4.0, 32), (30.0, 128), (300.0, 128)])
def test_measuring_begins_lower_where_an_update_costs_little_beside_its_rows(
    own_rows: float, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """√(500 · 0.9) = 21 rows, √(500 · 4) = 45: of 8, 32, 128, ... the nearest is 32."""
    work = begun(lambda size: 1e-6 * size, monkeypatch, own_rows=own_rows)
    assert work.reference == size


def test_it_grows_where_larger_batches_cost_nearly_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reference, _ = reference_where(lambda size: 40e-6 + 0.01e-6 * size, monkeypatch)
    assert reference == 2048


def test_a_faster_clock_alone_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    slow, _ = reference_where(lambda size: 40e-3 + 0.01e-3 * size, monkeypatch)
    fast, _ = reference_where(lambda size: 40e-6 + 0.01e-6 * size, monkeypatch)
    assert slow == fast


def test_no_larger_size_is_probed_to_see_few_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    reference, measured = reference_where(lambda size: 1e-6, monkeypatch, goal="examples")
    assert (reference, measured) == (128, [128])


def test_a_planned_training_keeps_updates_enough_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    """70,000 rows hold 64 updates of 1,094 rows, and 16 of 4,375."""
    reference, measured = reference_where(lambda size: 1e-5, monkeypatch, epochs=20)
    assert reference == 512
    assert max(measured) == 512
    assert reference_where(lambda size: 1e-5, monkeypatch)[0] > 512


@pytest.mark.parametrize("compiling", [0.4, 1.503, 1.519, 2.0, 4.9])
def test_a_thorough_advice_measures_all_however_long_compiling_takes(
    compiling: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = time_to_measure_all(10.0, compiling)
    work = replace(begun(lambda size: 1e-6, monkeypatch), compiling=compiling, budget=least)
    assert not work.short_training


@pytest.mark.parametrize(
    ("compiling", "per_row", "sizes"), [(0.2, 0.0, [512]), (0.2, 1e-6, []), (1.0, 0.0, [])]
)
def test_in_a_short_training_a_size_is_compiled_only_if_it_may_save_more(
    compiling: float, per_row: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    work = begun(lambda size: 1e-4, monkeypatch)
    work = replace(work, compiling=compiling)
    compiled: list[int] = []
    monkeypatch.setattr(further_sizes, "_compile", lambda work, sizes: compiled.extend(sizes))
    monkeypatch.setattr(speed, "seconds_per_row", lambda *_: per_row)
    assert work.weighs_compiling
    further_sizes.start_compiling(work)
    assert not compiled
    further_sizes.measure_speeds(work)
    assert compiled == sizes
