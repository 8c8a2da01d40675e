"""The stages of an advice before the race: what updates cost, a first rate, noise, a shortlist."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from descend.tuning import law, rate, speed, verdict
from descend.tuning.noise import NoiseMeter, cosines, gradient_noise
from descend.tuning.race import LOOKS, Arena, Trial
from descend.types import GradientNoise, Params, Speed

NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Rules for which the theory of gradient noise says where the batch size should be."""
COST_PART, MOST_COST = 0.15, 120.0
"""Budget of the advice: part of the expected training time, and most seconds."""
MEASURING_PART = 0.4
"""Part of the budget for compiling and timing further sizes; the rest is for trials."""
EPOCHS_EXPECTED, UPDATES_EXPECTED = 40, 15_000
NOISE_COSTS = 4
"""Measuring the noise costs about as much as so many further sizes."""
REFERENCE = 128
"""Where the first rates are tried and the noise is measured: tuned runs on tables of 16,500 to
561,000 rows were fastest at 64 to 256."""
FEWEST_UPDATES = 16
"""An epoch of the reference has as many, in a small table by smaller batches."""

Say = Callable[[str], None]


@dataclass
class Work:
    """What the stages of an advice share and add to.

    Attributes:
        arena: where trials run.
        footprint: bytes of training at a size.
        possible: sizes that may be advised.
        reference: the size that everything begins with.
        goal: what is looked for.
        clock: seconds.
        started: when.
        say: told what happens.
        speed: what was measured of sizes so far.
        compiling: seconds that the first program took to compile.
        budget: seconds that the advice may take, about.
        expected: seconds that training is expected to take.
        noise: what was measured of it so far.
        evidence: plain records of all that was measured.
        undetermined: what the measurements could not tell.
        left_out: what was not measured, since training is over sooner.
    """

    arena: Arena
    footprint: speed.Footprint
    possible: tuple[int, ...]
    reference: int
    goal: str
    clock: Callable[[], float]
    started: float
    say: Say
    speed: Speed
    compiling: float
    budget: float
    expected: float
    noise: list[GradientNoise] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    undetermined: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

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


def begun(
    arena: Arena,
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
    problem, snapshot = arena.problem, arena.snapshot
    footprint = speed.Footprint(problem, snapshot)
    possible = _possible_sizes(arena, footprint, batch_size, memory)
    most = max(1, len(problem.store) // FEWEST_UPDATES)
    reference = nearest_size(possible, min(REFERENCE, most))
    say(f"Measuring updates of {reference:,} rows")
    before = clock()
    speed.compile_sizes(problem, snapshot, [reference])
    compiling = clock() - before
    found = speed.measure_speed(problem, snapshot, [reference], footprint=footprint, clock=clock)
    epochs = EPOCHS_EXPECTED * problem.plan(reference).updates_per_epoch
    expected = max(epochs, UPDATES_EXPECTED) * speed.seconds_at(found, reference)
    if budget is None:
        budget = min(MOST_COST, max(at_least, COST_PART * expected))
    return Work(
        arena=arena,
        footprint=footprint,
        possible=possible,
        reference=reference,
        goal=goal,
        clock=clock,
        started=started,
        say=say,
        speed=found,
        compiling=compiling,
        budget=budget,
        expected=expected,
    )


def _possible_sizes(
    arena: Arena, footprint: speed.Footprint, batch_size: int | None, memory: int | None
) -> tuple[int, ...]:
    """Sizes that fit in memory and come in one part; only the given one where one is given."""
    if batch_size is not None:
        return (batch_size,)
    sizes = speed.candidate_sizes(len(arena.problem.store))
    limit = speed.memory_limit() if memory is None else memory
    whole = [size for size in sizes if arena.problem.plan(size).parts == 1]
    most = speed.largest_fitting(footprint, whole, limit)
    return tuple(size for size in whole if size <= most)


def measure_speeds(work: Work) -> None:
    """What updates cost at the sizes round the reference, as many as the budget allows.

    Each has to be compiled. Where training takes no longer than that, the sizes that would be
    found better could not make up for it: then there is only the reference.
    """
    problem, snapshot = work.arena.problem, work.arena.snapshot
    each = 0.6 * work.compiling + speed.REPEATS * speed.SECONDS
    afford = int(MEASURING_PART * work.budget / each)
    nearest = sorted(
        (size for size in work.possible if size not in work.speed.batch_sizes),
        key=lambda size: (abs(math.log(size / work.reference)), -size),
    )
    per_row = speed.seconds_at(work.speed, work.reference) / work.reference
    cheap = [size for size in nearest if 4 * size * per_row <= 0.1 * work.budget]
    sizes = cheap[:afford]
    if nearest and not sizes:
        work.left_out.append("other sizes")
    if afford < NOISE_COSTS:
        work.left_out.append("noise")
    if not sizes:
        return
    core, beyond = sizes[:2], sizes[2:]
    work.say(f"Measuring updates of {listed(sorted(core))} rows")
    speed.compile_sizes(problem, snapshot, core)
    _learn(work, core)
    for size in beyond:
        larger = size > work.reference
        if not (larger and speed.saturated(work.speed)):
            _learn(work, [size])


def _learn(work: Work, sizes: Sequence[int]) -> None:
    new = speed.measure_speed(
        work.arena.problem,
        work.arena.snapshot,
        sizes,
        footprint=work.footprint,
        clock=work.clock,
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
        breaking = rate.breaking_rate(work.arena, size)
        note_breaking(work, {size: breaking} if breaking is not None else {})
        rates = rate.rates_below(breaking) if breaking is not None else []
    length = 0.01 * min(work.budget, work.expected)
    updates = max(LOOKS, round(length / speed.seconds_at(work.speed, size)))
    trials = [work.arena.enter(size, one) for one in rates]
    return [work.arena.leg(one, updates) for one in trials]


def note_breaking(work: Work, found: dict[int, float]) -> None:
    """Record at which rate each size broke down."""
    lines = work.evidence.setdefault("breaking", [])
    lines += [{"batch_size": size, "learning_rate": one} for size, one in found.items()]


class NoiseLog:
    """The noise at the weights that an advice comes past; nothing where it is not worth it."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._meter = None if "noise" in work.left_out else NoiseMeter(work.arena.problem)
        work.evidence.setdefault("noise", [])

    def measure(self, updates: int, params: Params) -> None:
        """The noise at some weights, and how the gradients of mini-batches point."""
        if self._meter is None:
            return
        measured = self._meter(params)
        noise = gradient_noise(measured, self._work.arena.problem.seed)
        self._work.noise.append(noise)
        line = {
            "updates": updates,
            "squared_norm": noise.squared_norm,
            "trace": noise.trace,
            "noise_scale": noise.noise_scale,
            "interval": verdict.finite(noise.interval),
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
    chosen = [work.reference]
    if "other sizes" not in work.left_out:
        chosen = law.shortlist(work.speed.batch_sizes, work.cost, (low / margin, high * margin))
    work.evidence["shortlist"] = chosen
    return chosen


def nearest_size(sizes: Sequence[int], wanted: int) -> int:
    """The size with the nearest logarithm."""
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def listed(sizes: Sequence[int]) -> str:
    """Sizes as text.

    >>> listed([16, 1024])
    '16, 1,024'
    """
    return ", ".join(f"{size:,}" for size in sizes)
