"""The trials that find the law of updates and batch size: until when they run, and which follow."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.regret_cases import noisy_quadratic
from descend.tuning.advice.critical_batch import MeasuredLaw, fit_law
from descend.tuning.advice.law_trials import _next_size, run_past
from descend.tuning.advice.trials import TrialRunner, make_runner

SIZES = (1, 8, 32, 128, 512, 2048, 8192)


@pytest.fixture(scope="module")
def runner() -> TrialRunner:
    return make_runner(noisy_quadratic(20, 2048))


def test_a_trial_ends_at_the_first_evaluation_past_the_level(runner: TrialRunner) -> None:
    level = 0.5 * runner.start_loss
    trial = run_past(runner, 64, 0.5, level, 2000)
    *before, (updates, loss) = trial.losses
    assert loss <= level < min(loss for _, loss in before)
    assert updates == trial.updates < 2000
    assert trial.state is None


def test_a_trial_that_does_not_arrive_makes_the_most_updates(runner: TrialRunner) -> None:
    trial = run_past(runner, 64, 1e-4, 0.0, 100)
    assert trial.updates == 100
    assert not trial.diverged


def test_a_trial_that_diverges_ends(runner: TrialRunner) -> None:
    trial = run_past(runner, 8, 1e3, 0.0, 5000)
    assert trial.diverged
    assert trial.updates < 5000


def measured(critical: float, *sizes: int) -> MeasuredLaw:
    updates = {size: 100.0 * (1.0 + critical / size) for size in sizes}
    return MeasuredLaw(1.0, updates, dict.fromkeys(sizes, 0.1), fit_law(updates))


def next_size(found: MeasuredLaw, left: float = 1e9, failed: frozenset[int] = frozenset()) -> Any:
    work: Any = SimpleNamespace(possible=SIZES, cost=float)
    return _next_size(work, found, set(failed), left)


@pytest.mark.parametrize(
    ("critical", "sizes", "expected"),
    [
        (10_000.0, (8, 32), 128),
        (10_000.0, (8, 32, 128), 512),
        (5.0, (128, 512, 2048), 32),
        (40.0, (128,), 512),
    ],
)
def test_the_next_size_lies_towards_the_critical_one(
    critical: float, sizes: tuple[int, ...], expected: int
) -> None:
    assert next_size(measured(critical, *sizes)) == expected


def test_a_size_that_costs_too_much_or_failed_is_not_tried() -> None:
    found = measured(10_000.0, 32, 128)
    assert next_size(found, failed=frozenset({512})) == 8
    assert next_size(found, left=1.0) is None


def test_a_law_is_known_with_sizes_on_both_sides_of_the_critical_one() -> None:
    assert measured(60.0, 8, 32, 128, 512).known
    assert not measured(60.0, 128, 512, 2048).known
    assert not measured(60.0, 1, 8, 32).known
    assert not measured(60.0, 8, 32).known
