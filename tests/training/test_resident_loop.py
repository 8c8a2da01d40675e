"""Updates that a device with memory of its own makes: the same as those of a CPU, run ahead or not.

A CPU stands for the device here: it is told that it holds the table.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np
import pytest

from descend.training import device_feed
from descend.training.evaluation import EvaluateRows
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.resident_loop import LONGEST_BLOCK, UNROLLED, block_length
from descend.training.stopping_state import Limits
from descend.training.updates import ChunkUpdater
from descend.types import StopReason
from tests.problems import linear_problem, mlp_problem, numbers, same_bits


@pytest.fixture
def on_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)


@pytest.mark.parametrize("updates", [1, 3, 7, 61, 64, 65, 100, 488, 3907, 32768])
def test_blocks_leave_few_updates_past_the_end(updates: int) -> None:
    block = block_length(updates)
    assert block <= LONGEST_BLOCK
    assert block % UNROLLED == 0 or block == updates
    assert -updates % block <= max(7, 0.035 * updates)


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "batch_size"), [(230, 64), (230, 7), (1201, 8), (90, 89)])
def test_the_updates_are_those_of_a_cpu(
    rows: int, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> LoopState:
        problem = dataclasses.replace(
            mlp_problem(numbers(rows), numbers(50, seed=1)), averaging=True
        )
        run = problem.loop_config(batch_size, 0.05, limits=Limits(epochs=3))
        return fit(run, problem.begin())[0]

    expected = end()
    monkeypatch.setattr(device_feed, "fits_device", lambda store: True)
    found = end()
    for one, other in zip(
        jax.tree.leaves((found.state.params, found.state.mean)),
        jax.tree.leaves((expected.state.params, expected.state.mean)),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-6)
    for line, same in zip(found.history, expected.history, strict=True):
        assert line.validation_loss == pytest.approx(same.validation_loss, rel=1e-4)
        assert line.update == same.update


def losses_of(loop: LoopState) -> list[tuple[int, float, float]]:
    return [(line.update, line.train_loss, line.validation_loss) for line in loop.history[1:]]


@pytest.mark.parametrize("learning_rate", [0.05, 0.9, 1e6])
def test_running_ahead_changes_nothing(
    learning_rate: float, on_device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The middle rate comes to plateaus, the last one diverges: then updates made ahead are dropped.
    ahead = 0
    run_ahead = ChunkUpdater.run_ahead

    def count(self: ChunkUpdater, *arguments: Any, apart: bool) -> Any:
        nonlocal ahead
        ahead += 1
        return run_ahead(self, *arguments, apart=apart)

    monkeypatch.setattr(ChunkUpdater, "run_ahead", count)
    # What a CPU does ahead is another test.
    monkeypatch.setattr("descend.training.loop.AHEAD_SECONDS", 0.0)

    def end(queues: bool) -> tuple[LoopState, StopReason]:
        monkeypatch.setattr(EvaluateRows, "queues", queues)
        problem = linear_problem(numbers(200), numbers(60, seed=1))
        limits = Limits(epochs=12, patience=2)
        return fit(problem.loop_config(16, learning_rate, limits=limits), problem.begin())

    plain, reason = end(queues=False)
    assert ahead == 0
    found, same_reason = end(queues=True)
    assert ahead >= 2
    assert same_bits(found.state, plain.state)
    assert same_bits(found.best, plain.best)
    assert losses_of(found) == losses_of(plain)
    assert found.progress == plain.progress
    assert reason is same_reason


def test_a_run_cut_off_anywhere_goes_on_with_the_same_bits(
    on_device: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(EvaluateRows, "queues", True)
    problem = linear_problem(numbers(200), numbers(60, seed=1))

    def end(begin: LoopState, epochs: int) -> LoopState:
        limits = Limits(epochs=epochs, patience=10**6)
        return fit(problem.loop_config(16, 0.05, limits=limits), begin)[0]

    assert same_bits(end(end(problem.begin(), 3), 7).state, end(problem.begin(), 7).state)
