"""Gradient descent, stochastic and mini-batch side by side: the same seeds, the same seconds."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from descend.training.problem import Problem
from descend.tuning.compare.measures import (
    Deviation,
    arrival,
    gradient_deviations,
    noise_by_size,
    roughness,
)
from descend.tuning.compare.methods import Method, Tuned
from descend.tuning.compare.run import (
    RATE_OF_SGD,
    SAME,
    TUNED,
    ComparedRun,
    Conditions,
    run_classical_method,
    run_method,
)
from descend.tuning.compare.snapshots import Snapshots, plane_record
from descend.types import Params

TARGET_FRACTION = 0.05
"""Distance of the target above the best loss of all methods, as a fraction of the best gain."""

READ_ALL = ("full", "classical")
"""Families of methods that read all rows for each step."""
PANELS = (TUNED, RATE_OF_SGD, SAME)

Make = Callable[[str, int], Problem]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Repeats:
    """How many seeds every method is run with.

    The number of seeds depends on what the first ones cost, never on their results: stopping as
    soon as a result looks clear would make it look clearer than it is.

    Attributes:
        fewest: minimum number of seeds.
        most: maximum number of seeds.
        seconds: time that all runs together may take, about.
        alike: seeds that are run at common rates, too: all methods at that of the mini-batch, and
            the mini-batch at that of SGD. The later ones are run at tuned rates only.
        whole: seeds of the methods that read all rows for each step. They have no noise but that
            of their initial weights, and where they differ from mini-batches they differ by
            factors; the other claims are about smaller ratios and get the later seeds. At the
            common rate they have one.
    """

    fewest: int = 5
    most: int = 12
    seconds: float = 100.0
    alike: int = 3
    whole: int = 3

    @classmethod
    def exactly(cls, seeds: int) -> Repeats:
        """A fixed number of seeds, whatever they cost."""
        return cls(seeds, seeds, alike=seeds, whole=seeds)

    @property
    def told(self) -> str:
        """The number of seeds as far as it is known before they run."""
        return str(self.fewest) if self.fewest == self.most else f"{self.fewest} to {self.most}"

    def needs_another(self, done: int, spent: float, last: float) -> bool:
        """Whether to run one more seed.

        Args:
            done: number of seeds so far.
            spent: seconds so far.
            last: seconds of the tuned runs of the newest seed.
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
    report: Report = lambda text: None,
    with_plane: bool = False,
) -> tuple[list[ComparedRun], list[dict[str, float | int | str]], dict[str, Any] | None]:
    """Run every method with every seed, at its tuned rate and at one common rate, and measure it.

    Args:
        make_problem: `(optimizer, seed) -> problem`.
        methods: to compare.
        tuned: the tuned learning rate of each method, by name.
        conditions: of each run.
        first_seed: the other seeds follow it.
        repeats: how many seeds.
        same_rate: the common rate of the second panel; None leaves that panel out.
        report: called with a message when something begins.
        with_plane: whether to keep the weights of the first seed's runs, for a plane through them.

    Returns:
        The runs, the gradient noise by batch size at weights of the first seed, and the plane.
    """
    places = {method.name: place for place, method in enumerate(methods)}
    found: list[ComparedRun] = []
    noise: list[dict[str, float | int | str]] = []
    plane: dict[str, Any] | None = None
    begin = time.perf_counter()
    done, last = 0, 0.0
    while repeats.needs_another(done, time.perf_counter() - begin, last):
        seed, started = first_seed + done, time.perf_counter()
        # Rotate, so that a machine that is slow for a while is not slow for the same method.
        chosen = [one for one in methods if done < repeats.whole or one.family not in READ_ALL]
        rotated = [*chosen[done % len(chosen) :], *chosen[: done % len(chosen)]]
        which = f"Seed {done + 1} of {repeats.told}"
        kept: dict[str, Snapshots] = {}
        if with_plane and done == 0:
            kept = {one.name: Snapshots() for one in methods if one.family != "classical"}
        runs, best_params = _run_tuned(
            make_problem, rotated, tuned, conditions, seed, _add_prefix(report, which), kept
        )
        last = time.perf_counter() - started
        if same_rate is not None and done < repeats.alike:
            report(f"{which}: all at learning rate {same_rate:.3g}")
            repeated = [one for one in rotated if done == 0 or one.family not in READ_ALL]
            at_one = dict.fromkeys((one.name for one in repeated), same_rate)
            runs += _run_at(make_problem, SAME, repeated, at_one, conditions, seed, runs)
            advised, at_that = _at_rate_of_sgd(methods, tuned)
            if advised:
                report(f"{which}: mini-batch at the learning rate of SGD")
            runs += _run_at(make_problem, RATE_OF_SGD, advised, at_that, conditions, seed, runs)
        problem = make_problem("sgd", seed)
        if kept:
            report(f"{which}: the loss on a plane through the runs")
            shown = [run for run in runs if run.panel == TUNED and run.method.name in kept]
            plane = plane_record(problem, shown, [kept[run.method.name] for run in shown])
        measured = _measure(problem, runs, best_params)
        if not noise and best_params:
            report(f"{which}: gradient noise by batch size")
            moments = {"at the start": problem.begin().state.params}
            moments["when trained"] = best_params[_reference(runs, best_params).method.name]
            noise = noise_by_size(problem, moments)
        # Its rows go before those of the next seed are read.
        del problem
        found += sorted(
            measured, key=lambda run: (PANELS.index(run.panel), places[run.method.name])
        )
        done += 1
    return found, noise, plane


def _add_prefix(report: Report, prefix: str) -> Report:
    return lambda text: report(f"{prefix}: {text}")


def target_of(runs: Sequence[ComparedRun]) -> float:
    """The loss that runs are timed to: 95 % of the best gain among the tuned runs of a seed."""
    tuned = [run for run in runs if run.panel == TUNED]
    best = min(run.best for run in tuned)
    start = tuned[0].history[0].validation_loss
    return best + TARGET_FRACTION * (start - best)


def _run_tuned(
    make_problem: Make,
    methods: Sequence[Method],
    tuned: Mapping[str, Tuned],
    conditions: Conditions,
    seed: int,
    report: Report,
    kept: Mapping[str, Snapshots],
) -> tuple[list[ComparedRun], dict[str, Params]]:
    """The runs at tuned rates, and the best weights of each method that has a rate.

    What is in `kept` by the name of a method gets the weights along its run.
    """
    runs: list[ComparedRun] = []
    best_params: dict[str, Params] = {}
    for number, method in enumerate(methods, 1):
        report(f"{method.title} at its own learning rate ({number} of {len(methods)})")
        if method.family == "classical":
            runs.append(run_classical_method(make_problem("sgd", seed), method, conditions))
            continue
        rate = tuned[method.name].learning_rate
        problem = make_problem(method.optimizer, seed)
        compared, best_params[method.name] = run_method(
            problem, method, TUNED, rate, conditions, kept.get(method.name)
        )
        runs.append(compared)
    return runs, best_params


def _at_rate_of_sgd(
    methods: Sequence[Method], tuned: Mapping[str, Tuned]
) -> tuple[list[Method], dict[str, float]]:
    """The advised mini-batch with the rules that SGD is run with, too, and SGD's rates for it."""
    of_sgd = {one.optimizer: one.name for one in methods if one.family == "stochastic"}
    advised = [
        one for one in methods if one.advised and one.family == "mini" and one.optimizer in of_sgd
    ]
    return advised, {one.name: tuned[of_sgd[one.optimizer]].learning_rate for one in advised}


def _run_at(
    make_problem: Make,
    panel: str,
    methods: Sequence[Method],
    rates: Mapping[str, float],
    conditions: Conditions,
    seed: int,
    tuned: Sequence[ComparedRun],
) -> list[ComparedRun]:
    """The runs of a panel at given rates; a run whose tuned rate is the same is reused."""
    before = {(run.method.name, run.learning_rate): run for run in tuned if run.panel == TUNED}
    runs = []
    for method in methods:
        if method.family == "classical":
            continue
        rate = rates[method.name]
        if (method.name, rate) in before:
            runs.append(dataclasses.replace(before[method.name, rate], panel=panel))
            continue
        problem = make_problem(method.optimizer, seed)
        runs.append(run_method(problem, method, panel, rate, conditions)[0])
    return runs


def _measure(
    problem: Problem, runs: Sequence[ComparedRun], best_params: Mapping[str, Params]
) -> list[ComparedRun]:
    """The runs of one seed with their measures."""
    target = target_of(runs)
    sizes = sorted({run.method.batch_size for run in runs})
    reference = _reference(runs, best_params)
    moments = (problem.begin().state.params, best_params[reference.method.name])
    start, later = gradient_deviations(problem, moments, sizes)
    return [_add_measures(run, target, start, later) for run in runs]


def _reference(runs: Sequence[ComparedRun], best_params: Mapping[str, Params]) -> ComparedRun:
    """The tuned run with the lowest loss, at whose weights gradients are compared."""
    tuned = [run for run in runs if run.panel == TUNED and run.method.name in best_params]
    return min(tuned, key=lambda run: run.best)


def _add_measures(
    run: ComparedRun, target: float, start: Mapping[int, Deviation], later: Mapping[int, Deviation]
) -> ComparedRun:
    """A run with the figures that claims are decided by.

    Args:
        run: without them.
        target: the validation loss whose arrival is timed.
        start: deviation of gradients by batch size, at the initial weights.
        later: the same at the weights of the best run.
    """
    reached = arrival(run.history, target)
    last = run.history[-1]
    at_start, trained = start[run.method.batch_size], later[run.method.batch_size]
    steady = run.history[: run.steady]
    rough = roughness([line.examples for line in steady], [line.validation_loss for line in steady])
    measures: dict[str, float | None] = {
        "target": target,
        "best": run.best,
        "updates_to_target": reached.update if reached else None,
        "epochs_to_target": reached.epoch if reached else None,
        "seconds_to_target": reached.seconds if reached else None,
        "seconds": last.seconds,
        "deviation_at_start": at_start.value,
        "deviation_at_start_error": at_start.error,
        "deviation_when_trained": trained.value,
        "deviation_when_trained_error": trained.error,
        "gradients_drawn": at_start.draws,
        "roughness": rough,
        "rows_per_second": last.examples / last.seconds if last.seconds > 0 else None,
        "memory": float(run.memory),
    }
    return dataclasses.replace(run, measures=measures)
