"""Chunks that a CPU begins while the host looks at the newest losses: the results are the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import pytest

from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from descend.training.updates import ChunkUpdater
from tests.fitting import with_chunks
from tests.problems import Recorder, linear_problem, numbers, same_loop

Run = tuple[LoopConfig, Problem]


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """An entry for each chunk begun in advance: whether that was before an evaluation."""
    begun: list[bool] = []
    run_ahead = ChunkUpdater.run_ahead

    def count(self: ChunkUpdater, *arguments: Any, apart: bool) -> Any:
        begun.append(apart)
        return run_ahead(self, *arguments, apart=apart)

    monkeypatch.setattr(ChunkUpdater, "run_ahead", count)
    return begun


@pytest.fixture
def never_ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """Turns it off, or lets chunks of any length begin in advance."""
    return lambda off: monkeypatch.setattr(
        "descend.training.loop.AHEAD_SECONDS", 0.0 if off else math.inf
    )


def a_run(rate: float = 0.05, **limits: Any) -> Run:
    """A run of 13 updates an epoch, in four chunks."""
    problem = dataclasses.replace(
        linear_problem(numbers(200), numbers(60, seed=1), optimizer="momentum"), averaging=True
    )
    limited = Limits(**{"epochs": 8, **limits})
    return with_chunks(problem.loop_config(16, rate, limits=limited), 4), problem


@pytest.mark.parametrize("rate", [0.05, 0.9, 1e6])
def test_the_results_are_the_same(
    rate: float, ahead: list[bool], never_ahead: Callable[[bool], None]
) -> None:
    # The middle rate comes to plateaus, the last one diverges: then updates made ahead are dropped.
    config, problem = a_run(rate, patience=2)
    never_ahead(True)
    plain, reason = fit(config, problem.begin())
    assert not ahead
    never_ahead(False)
    found, same_reason = fit(config, problem.begin())
    assert set(ahead) == ({False} if rate == 1e6 else {True, False})
    assert same_loop(found, plain)
    assert reason is same_reason


class Halving(Callback):
    """Halves the learning rate at each evaluation."""

    def evaluation(self, loop: LoopState) -> float | None:
        return 0.5


def test_nothing_is_begun_before_evaluations_that_always_change_the_rate(
    ahead: list[bool], never_ahead: Callable[[bool], None]
) -> None:
    config, problem = a_run(epochs=30)
    never_ahead(True)
    plain, _ = fit(config, problem.begin(), Halving())
    never_ahead(False)
    found, _ = fit(config, problem.begin(), Halving())
    assert same_loop(found, plain)
    assert 2 <= sum(ahead) < 20


@pytest.mark.slow
@pytest.mark.parametrize("chunks", [1, 4, 6])
def test_a_run_that_was_stopped_goes_on_with_the_same_bits(
    chunks: int, ahead: list[bool], never_ahead: Callable[[bool], None]
) -> None:
    config, problem = a_run()
    never_ahead(False)
    whole, _ = fit(config, problem.begin())
    stopped, _ = fit(config, problem.begin(), Recorder(stop_after=chunks))
    assert stopped.state.update < whole.state.update
    again, _ = fit(config, stopped)
    assert ahead
    assert same_loop(again, whole)
