"""The stages of an advice: speed, a first rate, noise, the shortlist, the race."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from descend.errors import DivergedError
from descend.tuning import law, rate, speed, verdict
from descend.tuning.noise import NoiseMeter, cosines, gradient_noise
from descend.tuning.race import LOOKS, Arena, Refine, Trial, run_legs
from descend.types import GradientNoise, Params, Speed

NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Rules for which the theory of gradient noise says where the batch size should be."""
COST_PART, LEAST_COST, MOST_COST = 0.15, 4.0, 120.0
"""Budget of the advice: part of the expected training time, and its bounds in seconds."""
MOST_RACE = 0.6
"""All trials together take no more of the expected training time, however cheap it is."""
EPOCHS_EXPECTED, UPDATES_EXPECTED = 60, 20_000
CORE = (16, 1024)
REFERENCE = 64
"""Where the first rates are tried and the noise is measured."""

Say = Callable[[str], None]


@dataclass
class Work:
    """What the stages of an advice share and add to."""

    arena: Arena
    footprint: speed.Footprint
    goal: str
    clock: Callable[[], float]
    started: float
    say: Say
    speed: Speed
    budget: float
    expected: float
    meter: NoiseMeter
    noise: list[GradientNoise] = field(default_factory=list)
    evidence: dict[str, Any] = field(default_factory=dict)
    undetermined: list[str] = field(default_factory=list)

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


def possible_sizes(
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


def measured(
    arena: Arena,
    footprint: speed.Footprint,
    sizes: Sequence[int],
    goal: str,
    budget: float | None,
    clock: Callable[[], float],
    started: float,
    say: Say,
) -> Work:
    """Seconds per update: the middle sizes, then outwards while it is cheap and gains."""
    problem, snapshot = arena.problem, arena.snapshot
    core = [size for size in sizes if CORE[0] <= size <= CORE[1]]
    if len(core) < 2:
        core = list(sizes[-4:])
    say(f"Measuring updates of {_listed(core)} rows")
    begun = clock()
    speed.compile_sizes(problem, snapshot, core)
    compiling = (clock() - begun) / len(core)
    found = speed.measure_speed(problem, snapshot, core, footprint=footprint, clock=clock)
    expected = _expected_seconds(found, len(problem.store))
    if budget is None:
        measuring = 2.0 * (clock() - started)
        budget = min(MOST_COST, max(LEAST_COST, measuring + COST_PART * expected))
    work = Work(
        arena, footprint, goal, clock, started, say, found, budget, expected, NoiseMeter(problem)
    )
    larger = [size for size in sizes if size > core[-1]]
    smaller = [size for size in reversed(sizes) if size < core[0]]
    afford = 0.1 * budget
    for size in larger:
        dear = 4 * size * found.seconds_per_update[-1] / found.batch_sizes[-1]
        if speed.saturated(work.speed) or compiling + dear > afford:
            break
        learn_speed(work, size)
    for size in smaller:
        if compiling > afford or work.spent() > 0.4 * budget:
            break
        learn_speed(work, size)
    work.note("speed")
    return work


def _expected_seconds(found: Speed, rows: int) -> float:
    """A usual training run at the measured size whose rows are cheapest within 256."""
    per_row = min(
        seconds / size
        for size, seconds in zip(found.batch_sizes, found.seconds_per_update, strict=True)
        if size <= 256 or size == found.batch_sizes[0]
    )
    least = UPDATES_EXPECTED * speed.seconds_at(found, REFERENCE)
    return max(EPOCHS_EXPECTED * rows * per_row, least)


def reference_trials(work: Work, size: int, learning_rate: float | None) -> list[Trial]:
    """Short trials at a middle size: what the noise is measured at, and a part of the race."""
    if learning_rate is not None:
        rates = [learning_rate]
    else:
        breaking = rate.breaking_rate(work.arena, size)
        _note_breaking(work, {size: breaking} if breaking is not None else {})
        rates = rate.rates_below(breaking) if breaking is not None else []
    length = 0.01 * min(work.budget, work.expected)
    updates = max(LOOKS, round(length / speed.seconds_at(work.speed, size)))
    trials = [work.arena.enter(size, one) for one in rates]
    return [work.arena.leg(one, updates) for one in trials]


def _note_breaking(work: Work, found: dict[int, float]) -> None:
    lines = work.evidence.setdefault("breaking", [])
    lines += [{"batch_size": size, "learning_rate": one} for size, one in found.items()]


def measure_noise(work: Work, updates: int, params: Params) -> None:
    """The noise at some weights, and how the gradients of mini-batches point."""
    measured = work.meter(params)
    noise = gradient_noise(measured, work.arena.problem.seed)
    work.noise.append(noise)
    line = {
        "updates": updates,
        "squared_norm": noise.squared_norm,
        "trace": noise.trace,
        "noise_scale": noise.noise_scale,
        "interval": verdict.finite(noise.interval),
        "rows": len(measured.products) * measured.rows,
        "cosine": [one._asdict() for one in cosines(measured, noise)],
    }
    work.evidence.setdefault("noise", []).append(line)


def shortlisted(work: Work, optimizer: str) -> list[int]:
    """Sizes that may be best for a critical batch size round the noise scale."""
    noise = work.noise[-1]
    low, high = noise.interval if noise.noise_scale is not None else (1.0, math.inf)
    margin = 10.0 if optimizer in NOISE_DECIDES else 100.0
    chosen = law.shortlist(work.speed.batch_sizes, work.cost, (low / margin, high * margin))
    work.evidence["shortlist"] = chosen
    return chosen


def raced(
    work: Work,
    sizes: Sequence[int],
    possible: Sequence[int],
    learning_rate: float | None,
    trials: Sequence[Trial],
) -> tuple[list[Trial], list[Trial]]:
    """The finalists, best first, and the others."""
    arena = work.arena
    work.say(f"Trying batches of {_listed(sizes)} rows")
    entered = [one for one in trials if one.batch_size in sizes and one.state is not None]
    out = [one for one in trials if one not in entered]
    missing = [size for size in sizes if size not in {one.batch_size for one in trials}]
    if learning_rate is not None:
        entered += [arena.enter(size, learning_rate) for size in missing]
    else:
        breaking = rate.breaking_rates(arena, missing)
        _note_breaking(work, breaking)
        for size, found in breaking.items():
            entered += [arena.enter(size, one) for one in rate.rates_below(found)]
    total = max(0.2 * work.budget, work.budget - work.spent())
    total = min(total, MOST_RACE * work.expected)
    if work.goal == "examples":
        per_row = [speed.seconds_at(work.speed, size) / size for size in sizes]
        total /= sum(per_row) / len(per_row)
    finalists, gone = run_legs(
        arena,
        entered,
        work.cost,
        total,
        refine=_refinement(work, possible, learning_rate),
        late=lambda: work.spent() > work.budget * 1.5,
        say=work.say,
    )
    out += gone
    finalists = [one for one in finalists if math.isfinite(one.loss)]
    work.note("race")
    if not finalists:
        raise DivergedError(
            "Every learning rate that was tried made the loss grow. "
            "Look for extreme values in the data, or set --learning-rate."
        )
    return finalists, out


def _refinement(work: Work, possible: Sequence[int], learning_rate: float | None) -> Refine:
    """What to enter between two legs: rates between those tried, and sizes beyond the edge."""

    def refine(
        ranked: Sequence[Trial], out: Sequence[Trial], number: int
    ) -> list[tuple[int, float]]:
        if not ranked:
            return []
        new = []
        sizes = list(dict.fromkeys(one.batch_size for one in ranked))
        if learning_rate is None:
            for size in sizes[:2]:
                best = next(one for one in ranked if one.batch_size == size)
                new += [(size, rate.plain(best.learning_rate * part)) for part in (2.0, 0.5)]
        if number == 0:
            return new
        raced = {one.batch_size for one in (*ranked, *out)}
        first = ranked[0]
        beyond = [size for size in possible if size > max(raced)][:1]
        below = [size for size in possible if size < min(raced)][-1:]
        for size in (beyond if first.batch_size == max(raced) else []) + (
            below if first.batch_size == min(raced) else []
        ):
            learn_speed(work, size)
            part = size / first.batch_size
            rates = {first.learning_rate * part, first.learning_rate * math.sqrt(part)}
            new += [
                (size, rate.plain(one) if learning_rate is None else learning_rate) for one in rates
            ]
        return new

    return refine


def learn_speed(work: Work, size: int) -> None:
    """Measure a size that was not measured yet."""
    if size not in work.speed.batch_sizes:
        problem, snapshot = work.arena.problem, work.arena.snapshot
        new = speed.measure_speed(
            problem, snapshot, [size], footprint=work.footprint, clock=work.clock
        )
        work.speed = speed.joined(work.speed, new)


def lasting_winner(work: Work, finalists: Sequence[Trial], ratios: Sequence[float]) -> Trial:
    """The first in the order of choice whose rate lasts an epoch, or what a tenth buys of it."""
    order = verdict.ranked(finalists, ratios)
    for trial in order:
        epoch = work.arena.problem.plan(trial.batch_size).updates_per_epoch
        afford = 0.1 * work.budget / speed.seconds_at(work.speed, trial.batch_size)
        lasting = work.arena.verified(trial, min(epoch - trial.updates, round(afford)))
        if not lasting.diverged:
            return lasting
    first = order[0]
    return work.arena.leg(
        work.arena.enter(first.batch_size, rate.plain(first.learning_rate / 4)), first.updates
    )


def nearest_size(sizes: Sequence[int], wanted: int) -> int:
    """The size with the nearest logarithm."""
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
