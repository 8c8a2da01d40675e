"""Gradient descent, stochastic and mini-batch side by side: the same seeds, the same seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from descend.training.problem import Problem
from descend.tuning.compare.measures import Deviation, arrival, gradient_deviation, roughness
from descend.tuning.compare.methods import Method, Tuned
from descend.tuning.compare.run import SAME, TUNED, ComparedRun, Conditions, classical_run, one_run
from descend.types import Params

TARGET_PART = 0.05
"""The target lies so far above the best loss of all methods, as a part of the best gain."""

Make = Callable[[str, int], Problem]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Repeats:
    """How often every method is run, each time with another seed.

    How many seeds there are depends on what the first ones cost, never on what they showed:
    stopping where the result looks clear would make it look clearer than it is.

    Attributes:
        fewest: seeds in any case.
        most: seeds, where there are seconds for them; those beyond the fewest at tuned rates alone.
        seconds: that all runs may take together, about.
    """

    fewest: int = 3
    most: int = 8
    seconds: float = 90.0

    @classmethod
    def exactly(cls, seeds: int) -> Repeats:
        """So many seeds, whatever they cost."""
        return cls(seeds, seeds)

    def another(self, done: int, spent: float, last: float) -> bool:
        """Whether to run one more seed.

        Args:
            done: seeds so far.
            spent: seconds so far.
            last: of those, what the tuned runs of the last seed took.
        """
        return done < self.fewest or (done < self.most and spent + last < self.seconds)


def compare(
    make_problem: Make,
    methods: Sequence[Method],
    tuned: Mapping[str, Tuned],
    conditions: Conditions,
    *,
    first_seed: int,
    repeats: Repeats,
    same_rate: float | None,
    say: Say = lambda text: None,
) -> list[ComparedRun]:
    """Run every method with every seed, at its own rate and at one rate, and measure it.

    Args:
        make_problem: `(optimizer, seed) -> problem`.
        methods: to compare.
        tuned: the learning rate of each, by name.
        conditions: of each run.
        first_seed: the others follow it.
        repeats: how many seeds.
        same_rate: the one rate of the second panel; None leaves that panel out.
        say: told what is being done.
    """
    places = {method.name: place for place, method in enumerate(methods)}
    found: list[ComparedRun] = []
    begun = time.perf_counter()
    done, last = 0, 0.0
    while repeats.another(done, time.perf_counter() - begun, last):
        seed, started = first_seed + done, time.perf_counter()
        # A machine that is slow for a while should not always be slow for the same method.
        turned = [*methods[done % len(methods) :], *methods[: done % len(methods)]]
        say(f"Seed {seed}: {len(methods)} methods, each at its own learning rate")
        runs, kept = _tuned_runs(make_problem, turned, tuned, conditions, seed)
        last = time.perf_counter() - started
        if same_rate is not None and done < repeats.fewest:
            say(f"Seed {seed}: all at learning rate {same_rate:.3g}")
            runs += _same_runs(make_problem, turned, same_rate, conditions, seed, runs)
        measured = _measured(make_problem("sgd", seed), runs, kept)
        found += sorted(measured, key=lambda run: (run.panel == SAME, places[run.method.name]))
        done += 1
    return found


def target_of(runs: Sequence[ComparedRun]) -> float:
    """The loss that all are timed to: 95 % of the best gain among the tuned runs of a seed."""
    tuned = [run for run in runs if run.panel == TUNED]
    best = min(run.best for run in tuned)
    start = tuned[0].history[0].validation_loss
    return best + TARGET_PART * (start - best)


def _tuned_runs(
    make_problem: Make,
    methods: Sequence[Method],
    tuned: Mapping[str, Tuned],
    conditions: Conditions,
    seed: int,
) -> tuple[list[ComparedRun], dict[str, Params]]:
    """The runs at tuned rates, and the best weights of those that have a rate."""
    runs: list[ComparedRun] = []
    kept: dict[str, Params] = {}
    for method in methods:
        if method.family == "classical":
            runs.append(classical_run(make_problem("sgd", seed), method, conditions))
            continue
        rate = tuned[method.name].learning_rate
        problem = make_problem(method.optimizer, seed)
        compared, kept[method.name] = one_run(problem, method, TUNED, rate, conditions)
        runs.append(compared)
    return runs, kept


def _same_runs(
    make_problem: Make,
    methods: Sequence[Method],
    rate: float,
    conditions: Conditions,
    seed: int,
    tuned: Sequence[ComparedRun],
) -> list[ComparedRun]:
    """The runs at one rate; one that is tuned to it was run already."""
    before = {run.method.name: run for run in tuned if run.learning_rate == rate}
    runs = []
    for method in methods:
        if method.family == "classical":
            continue
        if method.name in before:
            runs.append(dataclasses.replace(before[method.name], panel=SAME))
            continue
        problem = make_problem(method.optimizer, seed)
        runs.append(one_run(problem, method, SAME, rate, conditions)[0])
    return runs


def _measured(
    problem: Problem, runs: Sequence[ComparedRun], kept: Mapping[str, Params]
) -> list[ComparedRun]:
    """The runs of one seed with the numbers that compare them."""
    target = target_of(runs)
    sizes = sorted({run.method.batch_size for run in runs})
    start = gradient_deviation(problem, problem.begin().state.params, sizes)
    tuned = [run for run in runs if run.panel == TUNED and run.method.name in kept]
    reference = min(tuned, key=lambda run: run.best)
    later = gradient_deviation(problem, kept[reference.method.name], sizes)
    return [_with_measures(run, target, start, later) for run in runs]


def _with_measures(
    run: ComparedRun, target: float, start: Mapping[int, Deviation], later: Mapping[int, Deviation]
) -> ComparedRun:
    came = arrival(run.history, target)
    first, last = run.history[0], run.history[-1]
    at_start, trained = start[run.method.batch_size], later[run.method.batch_size]
    steady = run.history[: run.steady]
    rough = roughness([line.examples for line in steady], [line.validation_loss for line in steady])
    # The target is a part of the best gain above the best loss; so that gain is known from it.
    gain = (first.validation_loss - target) / (1.0 - TARGET_PART)
    measures: dict[str, float | None] = {
        "target": target,
        "best": run.best,
        "updates_to_target": came.update if came else None,
        "epochs_to_target": came.epoch if came else None,
        "seconds_to_target": came.seconds if came else None,
        "seconds": last.seconds,
        "deviation_at_start": at_start.value,
        "deviation_at_start_error": at_start.error,
        "deviation_when_trained": trained.value,
        "deviation_when_trained_error": trained.error,
        "gradients_drawn": at_start.draws,
        "roughness": rough / gain if rough is not None and gain > 0 else None,
        "rows_per_second": last.examples / last.seconds if last.seconds > 0 else None,
        "memory": float(run.memory),
    }
    return dataclasses.replace(run, measures=measures)
