"""The batch grows at the end of an epoch, by measured noise; nothing else of the run changes."""

import dataclasses
import functools
from collections.abc import Iterator

import jax
import numpy as np
import pytest

from descend.training.batch_schedule import BatchSchedule
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.problem import Problem
from descend.training.rate_and_batch_size import learning_rate
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.stopping_state import Limits
from descend.types import GradientNoise, Params, Position
from tests.problems import Recorder, mlp_problem, numbers, same_bits, same_loop, store_of

LIMITS = Limits(epochs=6)
ROWS = 960


@functools.cache
def network() -> Problem:
    """A small network on rows enough for several updates of 64 of them an epoch."""
    whole = numbers(ROWS + 40, noise=0.5)
    x, y = whole.x["numeric"], whole.y
    return mlp_problem(store_of(x[:ROWS], y[:ROWS]), store_of(x[ROWS:], y[ROWS:]))


def noise_of(*scales: float) -> Iterator[GradientNoise]:
    """Noise with these low ends of its interval; the last of them holds on."""
    for scale in scales:
        yield GradientNoise(1.0, scale, 2 * scale, (scale, 3 * scale))
    while True:
        yield GradientNoise(1.0, scales[-1], 2 * scales[-1], (scales[-1], 3 * scales[-1]))


def growing(
    *scales: float, largest: int = 64, schedule: str = "constant", limits: Limits = LIMITS
) -> LoopConfig:
    """A run of batches of 4 rows that meets this noise; measuring it reads next to no rows."""
    measured = noise_of(*scales)
    batch_schedule = BatchSchedule(lambda _: next(measured), 1, largest, network().at_size)
    config = network().loop_config(4, 0.01, schedule=schedule, limits=limits)
    return dataclasses.replace(config, batch_schedule=batch_schedule)


def sizes(loop: LoopState) -> list[int]:
    return [line.batch_size for line in loop.history]


@pytest.mark.slow
def test_the_batch_grows_fourfold_where_the_noise_is_at_least_four_times_the_batch() -> None:
    looked = Recorder()
    loop, _ = fit(growing(15.0, 16.0, 63.0, 64.0), network().begin(), looked)
    assert sizes(loop) == [4, 4, 4, 16, 16, 64, 64]
    assert [line.epoch for line in loop.history] == [0, 1, 2, 3, 4, 5, 6]
    assert [line.update for line in loop.history] == [0, 240, 480, 540, 600, 615, 630]
    assert [line.examples for line in loop.history] == [ROWS * epoch for epoch in range(7)]
    assert {line.learning_rate for line in loop.history} == {0.01}
    assert looked.messages[0] == (
        "The gradient noise scale is 32 rows (16 to 48), at a validation loss of "
        f"{loop.history[2].validation_loss:.4g}: from here on batches of 16 rows instead of 4, "
        "at the same learning rate."
    )


@pytest.mark.parametrize(
    ("largest", "measured_rows", "why"),
    [
        (4, 1, "too few updates an epoch"),
        (64, 1000, "first measured after 20,000 rows"),
        (64, 1, "nowhere measured to be several times"),
    ],
)
def test_a_run_says_why_its_batch_did_not_grow(largest: int, measured_rows: int, why: str) -> None:
    config = growing(0.0, largest=largest, limits=Limits(epochs=2))
    assert config.batch_schedule is not None
    schedule = dataclasses.replace(config.batch_schedule, measured_rows=measured_rows)
    looked = Recorder()
    fit(dataclasses.replace(config, batch_schedule=schedule), network().begin(), looked)
    [message] = looked.messages
    assert message.startswith("The batch did not grow: ")
    assert why in message


def test_after_it_grew_the_run_is_that_of_the_larger_batch_from_there_on() -> None:
    begun, _ = fit(growing(0.0, limits=Limits(epochs=2)), network().begin())
    grown, _ = fit(growing(0.0, 100.0, 0.0), network().begin())
    plain = network().loop_config(16, 0.01, limits=LIMITS)
    after, _ = fit(plain, begun._replace(position=Position(2, 0)))
    assert same_bits(grown.state, after.state)
    assert same_bits(grown.best, after.best)


@pytest.mark.parametrize("schedule", ["cosine", "inverse-time", "warmup-stable-decay"])
def test_a_planned_learning_rate_is_the_same_at_the_same_epoch(schedule: str) -> None:
    def at_ends(config: LoopConfig) -> list[float]:
        seen = Recorder()
        fit(config, network().begin(), seen)
        return [learning_rate(config, loop) for loop in seen.loops]

    assert at_ends(growing(100.0, schedule=schedule)) == pytest.approx(
        at_ends(growing(0.0, schedule=schedule))
    )


@pytest.mark.parametrize("stop_after", range(1, 8))
def test_a_run_that_was_interrupted_goes_on_bit_for_bit(stop_after: int) -> None:
    def asked(params: Params) -> GradientNoise:
        scale = 2.0 * float(sum(np.abs(leaf).sum() for leaf in jax.tree.leaves(params)))
        return next(noise_of(scale))

    def run(limits: Limits = LIMITS) -> LoopConfig:
        config = growing(0.0, limits=limits)
        assert config.batch_schedule is not None
        measured = dataclasses.replace(config.batch_schedule, noise=asked)
        return dataclasses.replace(config, batch_schedule=measured)

    whole, _ = fit(run(), network().begin())
    part, _ = fit(run(), network().begin(), Recorder(stop_after))
    restored = restore_loop_state(*save_loop_state(part), like=network().begin())
    assert restored.growth == part.growth
    loop, _ = fit(run(), restored)
    assert len(set(sizes(whole))) > 1
    assert sizes(loop) == sizes(whole)
    assert same_loop(loop, whole)


def test_it_is_measured_only_as_often_as_reads_a_twentieth_of_the_rows() -> None:
    count = [0]

    def noise(params: Params) -> GradientNoise:
        count[0] += 1
        return next(noise_of(0.0))

    config = growing(0.0, limits=Limits(epochs=20))
    schedule = BatchSchedule(noise, 240, 64, network().at_size)
    fit(dataclasses.replace(config, batch_schedule=schedule), network().begin())
    assert count[0] == 20 * ROWS * 0.05 / 240 - 1  # None is measured at the very end.


def test_the_early_decay_still_ends_with_an_evaluation_and_keeps_its_batch() -> None:
    limits = Limits(patience=100, epochs=20, lower_first=False, early_decay=True)
    config = growing(100.0, 0.0, schedule="warmup-stable-decay", limits=limits)

    def with_losses(config: LoopConfig) -> LoopState:
        losses = iter([9.0, 8.0, 7.0])
        level = dataclasses.replace(config, evaluate=lambda _: next(losses, 7.0))
        return fit(level, network().begin())[0]

    loop, fixed = with_losses(config), with_losses(dataclasses.replace(config, batch_schedule=None))
    assert sizes(loop)[:3] == [4, 4, 16]
    assert [line.epoch for line in loop.history] == [line.epoch for line in fixed.history]
    assert loop.history[-1].epoch < 20
    assert loop.history[-1].update == loop.state.update
