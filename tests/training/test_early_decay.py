"""The decay of the learning rate begins where the validation loss falls slowly."""

import dataclasses

import numpy as np
import pytest

from descend.training import early_decay
from descend.training.early_decay import Plan
from descend.training.loop import fit
from descend.training.loop_state import LoopConfig, LoopState
from descend.training.saved_state import restore_loop_state, save_loop_state
from descend.training.schedules import MIN_FACTOR
from descend.training.stopping_state import Limits, StoppingState
from descend.types import StopReason
from tests.fitting import network
from tests.problems import Recorder, same_loop

PLAN = Plan(updates=200, between=10)
"""Twenty evaluations, of which three in a row have to improve."""


@pytest.mark.parametrize(
    ("losses", "due"),
    [
        ([9, 5, 5, 5, 5], True),
        ([9, 5, 5, 5, 4.7], False),
        ([9, 5, 5, 5, 4.8], True),
        ([9, 5, 5.5, 6, 7], True),
        ([9, 5, 5, 5], False),
        ([-9, -9, -9, -9, -9], True),
        ([-8, -8, -8, -8, -9], False),
    ],
)
def test_it_is_due_where_a_window_brings_next_to_nothing(losses: list[float], due: bool) -> None:
    updates = [10 * place for place in range(len(losses))]
    # Three in a row have to improve.
    assert early_decay.is_due(losses, updates, Plan(updates=190, between=10)) is due


def test_it_takes_a_share_of_the_evaluations_so_far_and_never_more_than_is_left() -> None:
    lengths = [early_decay.begin(StoppingState(), u, PLAN).decay_updates for u in (50, 100, 180)]
    assert lengths == [30, 40, 20]


def test_the_factors_fall_from_1_to_the_least() -> None:
    progress = early_decay.begin(StoppingState(stale=4), 100, PLAN)
    assert progress.stale == 0
    found = early_decay.factors(progress, np.asarray([100, 120, 140, 150]))
    np.testing.assert_allclose(found, [1, 0.5, MIN_FACTOR, MIN_FACTOR])
    assert not early_decay.is_over(progress, 139, between=10)
    assert early_decay.is_over(progress, 140, between=10)


@pytest.mark.parametrize(
    ("stale", "update", "over"),
    [
        # No evaluation of the decay was the best so far: over after half of it.
        (1, 110, False),
        (2, 120, True),
        # One was; and evaluations before the decay of a further course do not count.
        (1, 120, False),
        (2, 130, False),
        (9, 90, False),
        (9, 110, False),
    ],
)
def test_a_decay_that_lowers_nothing_in_its_first_half_is_over(
    stale: int, update: int, over: bool
) -> None:
    progress = StoppingState(stale=stale, decay_start=100, decay_updates=40)
    assert early_decay.is_over(progress, update, between=10) is over
    assert not early_decay.is_over(progress._replace(courses=1), update, between=10)


def noisy_run(scripted: list[float]) -> LoopConfig:
    """A run whose validation losses are given; the last of them holds on."""
    limits = Limits(patience=100, epochs=20, lower_first=False, early_decay=True)
    config = network().loop_config(12, 0.01, schedule="warmup-stable-decay", limits=limits)
    losses = iter(scripted)
    return dataclasses.replace(config, evaluate=lambda _: next(losses, scripted[-1]))


def test_the_run_ends_after_the_decay_with_the_rate_near_0() -> None:
    losses = [9.0, 5.0, 4.0, 3.0, *[3.5] * 3, 3.5, 2.99, 3.5]
    recorder = Recorder()
    loop, reason = fit(noisy_run(losses), network().begin(), recorder)
    assert reason is StopReason.DECAYED
    assert len(loop.history) == 1 + 6 + 3
    rates = [line.learning_rate for line in loop.history]
    assert rates[6] == pytest.approx(0.01)
    assert rates[-1] < 0.002
    assert loop.best.update == loop.history[8].update
    assert any("decays from here, over 3 evaluations" in text for text in recorder.messages)


def test_the_run_ends_within_a_decay_that_lowers_nothing() -> None:
    recorder = Recorder()
    losses = [9.0, 5.0, 4.0, 3.0, *[3.5] * 30]
    loop, reason = fit(noisy_run(losses), network().begin(), recorder)
    assert reason is StopReason.DECAYED
    assert len(loop.history) == 1 + 6 + 2
    assert loop.best.update == loop.history[3].update
    assert any("it ends 1 evaluation early" in text for text in recorder.messages)


DECAYED = [9.0, 5.0, 4.0, 3.0, 3.5, 3.5, 3.5, 3.4, 2.9, 2.5]
"""The rate decays before the last three, which lower the loss by a sixth."""


@pytest.mark.parametrize(
    ("best", "mark", "update", "found"),
    [
        # As long as all before, then as long as what is left; falling over two fifths of all.
        (0.8, 1.0, 80, (100, 60)),
        (0.8, 1.0, 150, (150, 50)),
        (-1.2, -1.0, 80, (100, 60)),
        # A loss that fell by less than a twentieth, and hardly anything left.
        (0.96, 1.0, 80, None),
        (-1.04, -1.0, 80, None),
        (0.8, 1.0, 180, None),
    ],
)
def test_a_decay_that_brought_much_is_followed_by_a_course_as_long_as_all_before(
    best: float, mark: float, update: int, found: tuple[int, int] | None
) -> None:
    progress = StoppingState(best, decay_start=10, decay_updates=10, decay_mark=mark, stale=3)
    longer = early_decay.extend(progress, update, PLAN)
    assert (longer and longer[-4:]) == (found and (*found, best, 1))
    assert longer is None or longer.stale == 0


def test_no_course_follows_a_decay_of_a_run_that_did_not_write_its_mark() -> None:
    assert early_decay.extend(StoppingState(0.1, decay_updates=10), 80, PLAN) is None


def test_the_rate_returns_to_its_peak_where_the_decay_brought_much() -> None:
    recorder = Recorder()
    loop, reason = fit(noisy_run(DECAYED), network().begin(), recorder)
    assert reason is StopReason.DECAYED
    assert len(loop.history) == 1 + 9 + 9
    rates = [line.learning_rate for line in loop.history]
    assert rates[9] < 0.002
    np.testing.assert_allclose(rates[10:12], 0.01)
    assert rates[13] < 0.01
    assert rates[18] < 0.002
    assert any("goes on for 9 further evaluations" in text for text in recorder.messages)


@pytest.mark.parametrize("stop_after", [8, 9, 11, 15])
def test_a_further_course_goes_on_to_the_same_bits(stop_after: int) -> None:
    whole, _ = fit(noisy_run(DECAYED), network().begin())
    stopped, _ = fit(noisy_run(DECAYED), network().begin(), Recorder(stop_after=stop_after))
    again: LoopState = restore_loop_state(*save_loop_state(stopped), like=network().begin())
    rest = [*DECAYED, *[DECAYED[-1]] * 20][len(stopped.history) :]
    resumed, _ = fit(noisy_run(rest), again)
    assert same_loop(whole, resumed)


def test_a_loss_that_falls_to_the_end_uses_all_epochs() -> None:
    losses = [10.0 * 0.9**turn for turn in range(40)]
    loop, reason = fit(noisy_run(losses), network().begin())
    assert reason is StopReason.EPOCHS
    assert loop.progress.decay_updates == 0


@pytest.mark.parametrize("stop_after", [2, 6, 8, 10])
def test_it_goes_on_to_the_same_bits_wherever_it_was_stopped(stop_after: int) -> None:
    limits = Limits(patience=100, epochs=20, lower_first=False, early_decay=True)
    config = network().loop_config(12, 0.01, schedule="warmup-stable-decay", limits=limits)
    evaluate = config.evaluate
    config = dataclasses.replace(config, evaluate=lambda params: max(0.3, evaluate(params)))
    whole, _ = fit(config, network().begin())
    assert whole.progress.decay_updates > 0
    stopped, _ = fit(config, network().begin(), Recorder(stop_after=stop_after))
    again: LoopState = restore_loop_state(*save_loop_state(stopped), like=network().begin())
    resumed, _ = fit(config, again)
    assert same_loop(whole, resumed)
