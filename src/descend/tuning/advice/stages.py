"""The stages of an advice before the race: what updates cost, a first rate, noise, a shortlist."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from descend.training.problem import Problem
from descend.tuning.advice import critical_batch, lr_range, selection, speed
from descend.tuning.advice.noise import NoiseMeter, cosines, gradient_noise
from descend.tuning.advice.trials import (
    ABREAST,
    FEW_LOOKS,
    MANY_LOOKS,
    Trial,
    TrialRunner,
    make_runner,
    run_abreast,
)
from descend.types import GradientNoise, Params, Speed

NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Rules for which the theory of gradient noise says where the batch size should be."""
COST_PART, MOST_COST = 0.15, 60.0
"""Budget of the advice: part of the expected training time, and most seconds; the trials may take
twice their part of it, and then two minutes are over."""
MEASURING_PART, RACING_PART = 0.4, 0.8
"""Parts of the budget for compiling and timing further sizes, and at the least for trials."""
EPOCHS_EXPECTED, UPDATES_EXPECTED = 40, 15_000
NOISE_COSTS = 4
"""Measuring the noise costs about as much as so many further sizes."""
REFERENCE = 128
"""Where the first rates are tried and the noise is measured: tuned runs on tables of 16,500 to
561,000 rows were fastest at 64 to 256."""
FEWEST_UPDATES = 16
"""An epoch of the reference has as many, in a small table by smaller batches."""
FINAL_PART = 0.04
"""What a trial that runs to the end costs, as part of the expected training: early losses favour
rates that do not last, and in a short training a long race is past the target."""
FIRST_LEG = 4
"""Trials begin with so much less than what those that run to the end take."""
TRIALS = 6
"""All trials together cost about as much as so many that run to the end."""
QUICK_REPEATS = 3
UNNOTICED = 0.5
"""Seconds of compiling that may be spent although training is short."""

Say = Callable[[str], None]


@dataclass
class Work:
    """What the stages of an advice share and add to.

    Attributes:
        runner: where trials run.
        footprint: bytes of training at a size.
        limit: bytes that it may hold.
        possible: sizes that may be advised.
        reference: the size that everything begins with.
        goal: what is looked for.
        clock: seconds.
        started: when.
        say: told what happens.
        speed: what was measured of sizes so far.
        compiling: seconds that the first program took to compile.
        budget: seconds that the advice may take, about.
        asked: whether the user named the budget.
        expected: seconds that training is expected to take.
        coming: sizes that are being compiled, and what tells when they are.
        noise: what was measured of it so far.
        evidence: plain records of all that was measured.
        undetermined: what the measurements could not tell.
        left_out: what was not measured, since training is over sooner.
    """

    runner: TrialRunner
    footprint: speed.Footprint
    limit: int
    possible: tuple[int, ...]
    reference: int
    goal: str
    clock: Callable[[], float]
    started: float
    say: Say
    speed: Speed
    compiling: float
    budget: float
    asked: bool
    expected: float
    coming: tuple[list[int], Future[None]] | None = None
    noise: list[GradientNoise] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    undetermined: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    @functools.cached_property
    def racing(self) -> float:
        """Seconds for all trials, from the first on; compiling is not taken off them all."""
        left = self.budget - self.spent()
        return left if self.asked else max(left, RACING_PART * self.budget)

    @property
    def length(self) -> float:
        """Seconds of updates of a trial that runs to the end."""
        return race_length(self.expected, self.racing, self.runner.abreast)

    @property
    def affordable(self) -> int:
        """Further sizes for which the budget has time."""
        each = self.compiling + speed.REPEATS * speed.SECONDS
        return int(MEASURING_PART * self.budget / each)

    @property
    def hurried(self) -> bool:
        """Whether training is over before everything could be measured."""
        return self.affordable < NOISE_COSTS

    def cost(self, batch_size: int) -> float:
        """What an update costs: seconds, or rows where the goal is to see few."""
        if self.goal == "examples":
            return float(batch_size)
        return speed.seconds_at(self.speed, batch_size)

    def spent(self) -> float:
        """Seconds since the advice began."""
        return self.clock() - self.started

    def note(self, stage: str) -> None:
        """Record when a stage ended."""
        self.evidence.setdefault("seconds", {})[stage] = self.spent()

    def keep_apart(self, sizes: Sequence[int]) -> None:
        """Trials of these sizes run one after the other where two would not fit in memory."""
        most = max(self.footprint(size) for size in sizes)
        self.runner.abreast = ABREAST if ABREAST * most <= self.limit else 1


def race_length(expected: float, racing: float, abreast: int) -> float:
    """Seconds of updates of a trial that runs to the end.

    Args:
        expected: seconds of training.
        racing: seconds for all trials.
        abreast: trials that run at once.

    >>> race_length(10.0, 3.0, 2), race_length(1e5, 60.0, 2)
    (0.4, 20.0)
    """
    return min(FINAL_PART * expected, abreast * racing / TRIALS)


def begun(
    problem: Problem,
    *,
    batch_size: int | None,
    memory: int | None,
    goal: str,
    budget: float | None,
    at_least: float,
    clock: Callable[[], float],
    started: float,
    say: Say,
) -> Work:
    """What an update of the reference size costs, and from it what the advice may cost."""
    snapshot = problem.begin().state
    footprint = speed.Footprint(problem, snapshot)
    limit = speed.memory_limit() if memory is None else memory
    possible = _possible_sizes(problem, footprint, batch_size, limit)
    most = max(1, len(problem.store) // FEWEST_UPDATES)
    reference = nearest_size(possible, min(REFERENCE, most))
    say(f"Measuring updates of {reference:,} rows")
    before = clock()
    with ThreadPoolExecutor(1) as pool:
        compiled = pool.submit(speed.compile_sizes, problem, snapshot, [reference])
        runner = make_runner(problem)
        compiled.result()
    compiling = clock() - before
    found = speed.measure_speed(
        problem, snapshot, [reference], footprint=footprint, clock=clock, repeats=QUICK_REPEATS
    )
    epochs = EPOCHS_EXPECTED * problem.plan(reference).updates_per_epoch
    expected = max(epochs, UPDATES_EXPECTED) * speed.seconds_at(found, reference)
    asked = budget is not None
    if budget is None:
        budget = min(MOST_COST, max(at_least, COST_PART * expected))
    work = Work(
        runner=runner,
        footprint=footprint,
        limit=limit,
        possible=possible,
        reference=reference,
        goal=goal,
        clock=clock,
        started=started,
        say=say,
        speed=found,
        compiling=compiling,
        budget=budget,
        asked=asked,
        expected=expected,
    )
    work.keep_apart([reference])
    runner.first_looks = FEW_LOOKS if work.hurried else MANY_LOOKS
    return work


def _possible_sizes(
    problem: Problem, footprint: speed.Footprint, batch_size: int | None, limit: int
) -> tuple[int, ...]:
    """Sizes that fit in memory and come in one part; only the given one where one is given."""
    if batch_size is not None:
        return (batch_size,)
    sizes = speed.candidate_sizes(len(problem.store))
    if problem.couples_rows and len(sizes) > 1:
        sizes = sizes[1:]  # What the rows of a batch have in common, one row does not show.
    whole = [size for size in sizes if problem.plan(size).parts == 1]
    most = speed.largest_fitting(footprint, whole, limit)
    return tuple(size for size in whole if size <= most)


def compile_others(work: Work) -> None:
    """Begin to compile the sizes round the reference, while trials of that run.

    As many as the budget allows, and one where compiling takes no time that anybody notices.
    Where training takes no longer than compiling, what others would be found better could not
    make up for it.
    """
    nearest = sorted(
        (size for size in work.possible if size != work.reference),
        key=lambda size: (abs(math.log(size / work.reference)), size),
    )
    per_row = speed.seconds_at(work.speed, work.reference) / work.reference
    cheap = [size for size in nearest if 4 * size * per_row <= 0.1 * work.budget]
    noticed = work.asked or work.compiling > UNNOTICED
    sizes = cheap[: work.affordable] or ([] if noticed else nearest[:1])
    if work.hurried:
        work.left_out.append("noise")
    if nearest and not sizes:
        work.left_out.append("other sizes")
    elif work.hurried and len(sizes) < len(nearest):
        work.left_out.append(f"sizes other than {listed(sorted([*sizes, work.reference]))}")
    if sizes:
        pool = ThreadPoolExecutor(1)
        runner = work.runner
        done = pool.submit(speed.compile_sizes, runner.problem, runner.snapshot, sizes[:2], 1)
        work.coming = sizes, done
        pool.shutdown(wait=False)


def measure_speeds(work: Work) -> None:
    """What updates cost at the sizes that were compiled; the nearest and the reference in turns."""
    if work.coming is None:
        return
    sizes, compiled = work.coming
    work.say(f"Measuring updates of {listed(sorted(sizes[:2]))} rows")
    compiled.result()
    _learn(work, [work.reference, *sizes[:2]])
    for size in sizes[2:]:
        larger = size > work.reference
        if not (larger and speed.saturated(work.speed)):
            _learn(work, [size])


def _learn(work: Work, sizes: Sequence[int]) -> None:
    new = speed.measure_speed(
        work.runner.problem,
        work.runner.snapshot,
        sizes,
        footprint=work.footprint,
        clock=work.clock,
        repeats=QUICK_REPEATS if work.hurried else speed.REPEATS,
    )
    work.speed = speed.joined(work.speed, new)


def learn_speed(work: Work, size: int) -> None:
    """Measure a size that was not measured yet."""
    if size not in work.speed.batch_sizes:
        _learn(work, [size])


def reference_trials(work: Work, learning_rate: float | None) -> list[Trial]:
    """Short trials at the reference: what the noise is measured at, and a part of the race."""
    size = work.reference
    if learning_rate is not None:
        rates = [learning_rate]
    else:
        breaking = lr_range.breaking_rate(work.runner, size)
        note_breaking(work, {size: breaking} if breaking is not None else {})
        rates = lr_range.rates_below(breaking) if breaking is not None else []
    each = speed.seconds_at(work.speed, size)
    trials = [work.runner.enter(size, one) for one in rates]
    return run_abreast(work.runner, trials, lambda _: each, work.length / FIRST_LEG)


def note_breaking(work: Work, found: dict[int, float]) -> None:
    """Record at which rate each size broke down."""
    lines = work.evidence.setdefault("breaking", [])
    lines += [{"batch_size": size, "learning_rate": one} for size, one in found.items()]


class NoiseLog:
    """The noise at the weights that an advice comes past; nothing where it is not worth it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._meter = None if "noise" in work.left_out else NoiseMeter(work.runner.problem)
        work.evidence.setdefault("noise", [])

    def measure(self, updates: int, params: Params) -> None:
        """The noise at some weights, and how the gradients of mini-batches point."""
        if self._meter is None:
            return
        measured = self._meter(params)
        noise = gradient_noise(measured, self._work.runner.problem.seed)
        self._work.noise.append(noise)
        line = {
            "updates": updates,
            "squared_norm": noise.squared_norm,
            "trace": noise.trace,
            "noise_scale": noise.noise_scale,
            "interval": selection.finite(noise.interval),
            "rows": len(measured.products) * measured.rows,
            "cosine": [one._asdict() for one in cosines(measured, noise)],
        }
        self._work.evidence["noise"].append(line)


def shortlisted(work: Work, optimizer: str) -> list[int]:
    """Sizes that may be best for a critical batch size round the noise scale."""
    low, high = 1.0, math.inf
    if work.noise and work.noise[-1].noise_scale is not None:
        low, high = work.noise[-1].interval
    margin = 10.0 if optimizer in NOISE_DECIDES else 100.0
    chosen = critical_batch.shortlist(
        work.speed.batch_sizes, work.cost, (low / margin, high * margin)
    )
    if work.hurried:
        chosen = [size for size in chosen if not _outdone(work, size)]
    work.evidence["shortlist"] = chosen
    return chosen


def _outdone(work: Work, size: int) -> bool:
    """Whether a size cannot be surely better than the reference, whatever the noise.

    A smaller batch never needs fewer updates, and a larger one never fewer examples.
    """
    ratio = work.cost(size) / work.cost(work.reference)
    least = ratio if size < work.reference else ratio * work.reference / size
    return size != work.reference and least * selection.needed(size, work.reference) > 1.0


def nearest_size(sizes: Sequence[int], wanted: int) -> int:
    """The size with the nearest logarithm."""
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def listed(sizes: Sequence[int]) -> str:
    """Sizes as text.

    >>> listed([16, 1024])
    '16, 1,024'
    """
    return ", ".join(f"{size:,}" for size in sizes)
