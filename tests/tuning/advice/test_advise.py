"""The advice as a whole: what it keeps to, what it leaves alone, and what it says."""

from __future__ import annotations

import json

import jax
import numpy as np
import pytest

from descend.errors import DivergedError
from descend.reporting.text.advice import advice_text, short_text
from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from descend.tuning.advice.advise import advise
from descend.types import Advice
from tests.problems import linear_problem, mlp_problem, numbers, same_bits, store_of
from tests.tuning.advice.made_machine import ticking


@pytest.fixture(scope="module")
def problem() -> Problem:
    return mlp_problem(numbers(900, 5, noise=0.5), numbers(200, 5, seed=1))


@pytest.fixture(scope="module")
def advised(problem: Problem) -> Advice:
    return advise(problem, budget=1.0, clock=ticking())[0]


@pytest.mark.slow
def test_the_advice_is_possible_and_lies_in_its_regions(advised: Advice) -> None:
    assert 1 <= advised.batch_size <= 900
    low, high = advised.flat_region
    assert low <= advised.batch_size <= high
    slow, fast = advised.interval
    assert slow <= advised.learning_rate <= fast
    assert advised.cost > 0


def test_the_evidence_is_plain(advised: Advice) -> None:
    evidence = json.loads(json.dumps(advised.evidence, allow_nan=False))
    assert {"speed", "noise", "trials", "curve", "law", "breaking", "undetermined"} <= set(evidence)
    assert [line["batch_size"] for line in evidence["speed"]] == sorted(
        line["batch_size"] for line in evidence["speed"]
    )
    assert evidence["decided_by"] == "trial"


def test_the_text_names_what_to_set_and_what_it_cost(advised: Advice) -> None:
    text = advice_text(advised)
    assert text.startswith(f"Batch size {advised.batch_size:,}; ")
    assert f"learning rate {advised.learning_rate:g}" in text
    assert "Measuring took" in text
    assert str(advised.batch_size) in short_text(advised)


def test_nothing_that_was_there_is_changed_and_training_goes_on(problem: Problem) -> None:
    before = jax.tree.map(np.array, problem.begin().state)
    advice, loop = advise(problem, budget=0.5, clock=ticking())
    assert same_bits(before, jax.tree.map(np.array, problem.begin().state))
    assert loop is not None
    assert loop.state.update > 0
    run = problem.loop_config(advice.batch_size, advice.learning_rate, limits=Limits(epochs=200))
    done, _ = fit(run, loop, Callback())
    assert done.progress.best <= done.history[0].validation_loss


@pytest.mark.slow
def test_the_same_seed_and_times_give_the_same_advice(problem: Problem) -> None:
    def once() -> Advice:
        return advise(problem, budget=2.0, clock=ticking())[0]

    assert once() == once()


@pytest.mark.parametrize("batch_size", [1, 32, 900])
def test_a_given_batch_size_stays(problem: Problem, batch_size: int) -> None:
    advice, loop = advise(problem, batch_size=batch_size, budget=0.5, clock=ticking())
    assert advice.batch_size == batch_size
    assert advice.flat_region == (batch_size, batch_size)
    assert loop is not None
    assert "as given" in advice_text(advice)


def test_a_given_learning_rate_stays(problem: Problem) -> None:
    advice, _ = advise(problem, learning_rate=0.03, budget=0.5, clock=ticking())
    assert advice.learning_rate == 0.03
    assert advice.interval == (0.03, 0.03)


def test_nothing_is_measured_where_both_are_given(problem: Problem) -> None:
    advice, loop = advise(problem, batch_size=8, learning_rate=0.5)
    assert (advice.batch_size, advice.learning_rate, loop) == (8, 0.5, None)
    assert "nothing to measure" in advice_text(advice)


@pytest.mark.parametrize("goal", ["examples", "quality"])
def test_other_goals(problem: Problem, goal: str) -> None:
    advice, _ = advise(problem, goal=goal, budget=0.5, clock=ticking())
    assert advice.evidence["goal"] == goal


def test_an_unknown_goal_is_refused(problem: Problem) -> None:
    with pytest.raises(ValueError, match="time, examples, quality"):
        advise(problem, goal="money")


def test_rules_that_find_their_own_rate_get_one() -> None:
    own = linear_problem(numbers(300), optimizer="dog")
    advice, _ = advise(own, optimizer="dog", budget=0.5, clock=ticking())
    assert advice.learning_rate == 1.0


def test_little_memory_keeps_batches_small(problem: Problem) -> None:
    advice, _ = advise(problem, memory=1, budget=0.5, clock=ticking())
    assert advice.batch_size == 1


def test_a_handful_of_rows_is_enough() -> None:
    advice, _ = advise(linear_problem(numbers(5)), budget=0.3, clock=ticking())
    assert advice.batch_size <= 5


def test_a_target_that_breaks_every_rate_is_told() -> None:
    X = np.random.default_rng(0).normal(size=(60, 2))
    y = np.full((60, 1), np.nan)
    with pytest.raises(DivergedError, match="extreme values"):
        advise(linear_problem(store_of(X, y)), budget=0.3, clock=ticking())
