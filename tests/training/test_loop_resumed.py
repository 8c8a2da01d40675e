"""The same seed gives the same bytes, in one go or resumed, however rows are cut."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from descend.errors import FileFormatError
from descend.training.accumulation import compile_accumulation
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.problem import Problem
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.stopping_state import Limits
from descend.types import StopReason
from tests.fitting import LOWERING, least_squares, network, with_chunks
from tests.problems import (
    Recorder,
    linear_problem,
    numbers,
    same_bits,
    same_loop,
)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    def trained(seed: int) -> LoopState:
        problem = dataclasses.replace(network(), seed=seed)
        return fit(problem.loop_config(16, 0.05, limits=Limits(epochs=3)), problem.begin())[0]

    first = trained(5)
    assert same_loop(first, trained(5))
    assert not same_bits(first.state.params, trained(6).state.params)


def test_the_order_of_rows_depends_on_the_seed_alone() -> None:
    runs = [
        dataclasses.replace(least_squares(), seed=seed).loop_config(
            16, 0.05, limits=Limits(epochs=2)
        )
        for seed in (0, 0, 1)
    ]
    ends = [fit(run, least_squares().begin())[0].state for run in runs]
    assert same_bits(ends[0], ends[1])
    assert not same_bits(ends[0], ends[2])


@pytest.mark.parametrize(
    "batch_size", [16, *(pytest.param(one, marks=pytest.mark.slow) for one in (1, 50))]
)
def test_the_size_of_chunks_changes_nothing(batch_size: int) -> None:
    run = network().loop_config(batch_size, 0.002, limits=Limits(epochs=2))
    whole, _ = fit(run, network().begin())
    assert whole.progress.rescues == 0
    for updates in (1, 3, 200):
        again, _ = fit(with_chunks(run, updates), network().begin())
        assert same_bits(again.state, whole.state)
        assert same_bits(again.best, whole.best)
        for ours, theirs in zip(again.history, whole.history, strict=True):
            assert ours.validation_loss == theirs.validation_loss
            assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-12, nan_ok=True)


def in_parts(run: LoopConfig, parts: int) -> LoopConfig:
    """The run with batches that are brought in parts."""
    problem = network()
    return dataclasses.replace(
        run,
        plan=dataclasses.replace(run.plan, accumulation_steps=parts, updates_per_chunk=1),
        accumulated=compile_accumulation(problem.objective, problem.optimizer),
    )


@pytest.mark.parametrize("batch_size", [50, 120])
def test_batches_in_parts_make_the_same_run(batch_size: int) -> None:
    run = network().loop_config(batch_size, 0.01, limits=Limits(epochs=4))
    whole, _ = fit(run, network().begin())
    loop, _ = fit(in_parts(run, 3), network().begin())
    assert loop.position == whole.position
    assert loop.state.update == whole.state.update
    assert loop.state.examples == whole.state.examples
    for ours, theirs in zip(loop.history, whole.history, strict=True):
        assert ours.validation_loss == pytest.approx(theirs.validation_loss, rel=1e-4)
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-4, nan_ok=True)


SETTINGS: dict[str, Callable[[], tuple[Problem, LoopConfig]]] = {
    "mini-batch": lambda: (
        network(),
        with_chunks(network().loop_config(16, 0.05, limits=Limits(epochs=3)), 3),
    ),
    "gradient descent": lambda: (
        network(),
        network().loop_config(120, 0.05, limits=Limits(epochs=12)),
    ),
    "lowered": lambda: (network(), with_chunks(network().loop_config(8, 0.05, limits=LOWERING), 4)),
    "rescued": lambda: (
        least_squares(),
        with_chunks(least_squares().loop_config(16, 5.0, limits=Limits(epochs=4)), 3),
    ),
    "parts": lambda: (
        network(),
        in_parts(network().loop_config(50, 0.05, limits=Limits(epochs=3)), 3),
    ),
    "micro-batches": lambda: (
        network(),
        dataclasses.replace(
            run := network().loop_config(50, 0.05, limits=Limits(epochs=3)),
            plan=dataclasses.replace(run.plan, micro_rows=20, updates_per_chunk=1),
            run_chunk=network().compiled(dataclasses.replace(run.plan, micro_rows=20)),
        ),
    ),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_stopped_after_any_chunk_goes_on_bit_for_bit(name: str) -> None:
    problem, run = SETTINGS[name]()
    callback = Recorder()
    whole, reason = fit(run, problem.begin(), callback)
    assert (whole.progress.lowerings > 0) == (name == "lowered")
    assert (whole.progress.rescues > 0) == (name == "rescued")
    for stop in range(callback.chunks):
        loop, interrupted = fit(run, problem.begin(), Recorder(stop_after=stop))
        assert interrupted is StopReason.INTERRUPTED
        saved = save_loop_state(loop)
        loop, ended = fit(run, restore_loop_state(*saved, like=problem.begin()))
        assert ended is reason
        assert same_loop(loop, whole)


def test_a_run_stopped_after_each_chunk_goes_on_bit_for_bit() -> None:
    problem, run = SETTINGS["lowered"]()
    whole, _ = fit(run, problem.begin())
    loop, reason = fit(run, problem.begin(), Recorder(stop_after=0))
    while reason is StopReason.INTERRUPTED:
        loop, reason = fit(run, loop, Recorder(stop_after=1))
    assert same_loop(loop, whole)


def test_a_finished_run_stays_as_it_is() -> None:
    run = network().loop_config(16, 0.05, limits=Limits(epochs=2))
    loop, reason = fit(run, network().begin())
    again, same = fit(run, loop)
    assert same is reason
    assert same_loop(again, loop)


@pytest.mark.parametrize("part", ["best", "state"])
def test_weights_that_are_not_finite_are_no_model(part: str) -> None:
    problem = linear_problem(numbers(20))
    arrays, record = save_loop_state(problem.begin())
    arrays[f"{part}/0"] = np.full_like(arrays[f"{part}/0"], np.nan)
    if part == "best":
        with pytest.raises(FileFormatError, match="best/0 holds numbers that are not finite"):
            restore_loop_state(arrays, record, problem.begin())
    else:  # The loop tells what went wrong.
        restore_loop_state(arrays, record, problem.begin())
