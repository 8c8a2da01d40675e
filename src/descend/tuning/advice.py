"""Which batch size and learning rate: measured, shortlisted, raced, and told with the evidence."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from descend.errors import DivergedError
from descend.training.fit import Course
from descend.training.problem import Problem
from descend.tuning import law, rate, speed
from descend.tuning.noise import NoiseMeter, cosines, gradient_noise
from descend.tuning.race import (
    LOOKS,
    Arena,
    Refine,
    Trial,
    cost_ratios,
    make_arena,
    run_legs,
)
from descend.types import Advice, GradientNoise, Params, Speed

GOALS = ("time", "examples", "quality")
FINDS_ITS_RATE = frozenset({"dog", "dowg", "dadapt-adamw", "prodigy", "cocob"})
NOISE_DECIDES = frozenset({"sgd", "momentum", "nesterov"})
"""Rules for which the theory of gradient noise says where the batch size should be."""
COST_PART, LEAST_COST, MOST_COST = 0.15, 4.0, 120.0
"""Budget of the advice: part of the expected training time, and its bounds in seconds."""
EPOCHS_EXPECTED, UPDATES_EXPECTED = 50, 20_000
CORE = (16, 1024)
SAME, FLAT = 1.05, 1.10
"""Costs within 5 % are the same: the smallest size is taken; within 10 % the region is flat."""
REFERENCE = 64

Say = Callable[[str], None]
Cost = Callable[[int], float]


@dataclass
class _Work:
    """What the stages of an advice share and add to."""

    arena: Arena
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
        return self.clock() - self.started


def advise(
    problem: Problem,
    *,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    goal: str = "time",
    budget: float | None = None,
    memory: int | None = None,
    optimizer: str = "momentum",
    clock: Callable[[], float] = time.perf_counter,
    on_progress: Say = lambda text: None,
) -> tuple[Advice, Course | None]:
    """Find the batch size and the learning rate of a problem by measuring.

    Args:
        problem: what is to be trained; nothing in it is changed.
        batch_size: rows per update where that is settled; then only the rate is sought.
        learning_rate: the rate where that is settled; then only the size is sought.
        goal: `time` to a good validation loss, `examples` to it, or the `quality` of the loss.
        budget: seconds that the advice may take, about; None takes 15 % of the expected training
            time, at least what a few trials need and at most two minutes.
        memory: bytes that training may hold; None takes half of what is free.
        optimizer: name of the update rule: some find their own rate, and noise alone says little
            about rules that scale every weight.
        clock: seconds, for tests.
        on_progress: told what is being done.

    Returns:
        The advice, and the course of the winning trial for training to go on from; None where
        there was nothing to try.

    Raises:
        DivergedError: no rate was low enough.
    """
    if goal not in GOALS:
        raise ValueError(f"goal must be one of {', '.join(GOALS)}; found {goal!r}.")
    started = clock()
    if optimizer in FINDS_ITS_RATE and learning_rate is None:
        learning_rate = 1.0
    if batch_size is not None and learning_rate is not None:
        return _nothing_to_find(batch_size, learning_rate), None
    arena = make_arena(problem)
    sizes = _possible_sizes(arena, batch_size, memory)
    work = _measured(arena, sizes, goal, budget, clock, started, on_progress)
    reference = _nearest(work.speed.batch_sizes, REFERENCE)
    trials = _reference_trials(work, reference, learning_rate)
    _measure_noise(work, 0, arena.snapshot.params)
    alive = [one for one in trials if one.state is not None]
    if alive:
        best = min(alive, key=lambda one: one.loss)
        assert best.state is not None
        _measure_noise(work, best.updates, best.state.params)
    work.evidence["seconds"]["noise"] = work.spent()
    chosen = [batch_size] if batch_size is not None else _shortlisted(work, optimizer)
    finalists, others = _raced(work, chosen, sizes, learning_rate, trials)
    ratios = cost_ratios(finalists)
    winner = _winner(work, finalists, ratios)
    assert winner.state is not None
    _measure_noise(work, winner.updates, winner.state.params)
    course = arena.course_of(winner, winner.updates * work.cost(winner.batch_size))
    return _told(work, winner, finalists, ratios, others), course


def _nothing_to_find(batch_size: int, learning_rate: float) -> Advice:
    return Advice(
        batch_size,
        learning_rate,
        (learning_rate, learning_rate),
        (batch_size, batch_size),
        {"decided_by": "given"},
    )


def _possible_sizes(arena: Arena, batch_size: int | None, memory: int | None) -> tuple[int, ...]:
    if batch_size is not None:
        return (batch_size,)
    sizes = speed.candidate_sizes(len(arena.problem.store))
    limit = speed.memory_limit() if memory is None else memory
    most = speed.largest_fitting(arena.problem, arena.snapshot, sizes, limit)
    return tuple(size for size in sizes if size <= most)


def _measured(
    arena: Arena,
    sizes: Sequence[int],
    goal: str,
    budget: float | None,
    clock: Callable[[], float],
    started: float,
    say: Say,
) -> _Work:
    """Seconds per update: the middle sizes, then outwards while it is cheap and gains."""
    problem, snapshot = arena.problem, arena.snapshot
    core = [size for size in sizes if CORE[0] <= size <= CORE[1]]
    if len(core) < 2:
        core = list(sizes[-4:])
    say(f"Measuring updates of {_listed(core)} rows")
    begun = clock()
    speed.compile_sizes(problem, snapshot, core)
    compiling = (clock() - begun) / len(core)
    found = speed.measure_speed(problem, snapshot, core, clock=clock)
    expected = _expected_seconds(found, len(problem.store))
    if budget is None:
        measuring = 2.0 * (clock() - started)
        budget = min(MOST_COST, max(LEAST_COST, measuring + COST_PART * expected))
    work = _Work(arena, goal, clock, started, say, found, budget, expected, NoiseMeter(problem))
    larger = [size for size in sizes if size > core[-1]]
    smaller = [size for size in reversed(sizes) if size < core[0]]
    afford = 0.1 * budget
    for size in larger:
        dear = 4 * size * found.seconds_per_update[-1] / found.batch_sizes[-1]
        if speed.saturated(work.speed) or compiling + dear > afford:
            break
        work.speed = speed.joined(
            work.speed, speed.measure_speed(problem, snapshot, [size], clock=clock)
        )
    for size in smaller:
        if compiling > afford or work.spent() > 0.4 * budget:
            break
        work.speed = speed.joined(
            work.speed, speed.measure_speed(problem, snapshot, [size], clock=clock)
        )
    work.evidence["seconds"] = {"speed": work.spent()}
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


def _reference_trials(work: _Work, size: int, learning_rate: float | None) -> list[Trial]:
    """Short trials at a middle size: what the noise is measured at, and a part of the race."""
    if learning_rate is not None:
        rates = [learning_rate]
    else:
        breaking = rate.breaking_rate(work.arena, size)
        work.evidence["breaking"] = {size: breaking}
        rates = rate.rates_below(breaking) if breaking is not None else []
    length = 0.01 * min(work.budget, work.expected)
    updates = max(LOOKS, round(length / speed.seconds_at(work.speed, size)))
    trials = [work.arena.enter(size, one) for one in rates]
    return [work.arena.leg(one, updates) for one in trials]


def _measure_noise(work: _Work, updates: int, params: Params) -> None:
    """The noise at some weights, and how the gradients of mini-batches point."""
    measured = work.meter(params)
    noise = gradient_noise(measured, work.arena.problem.seed)
    work.noise.append(noise)
    line = {
        "updates": updates,
        "squared_norm": noise.squared_norm,
        "trace": noise.trace,
        "noise_scale": noise.noise_scale,
        "interval": _finite(noise.interval),
        "rows": len(measured.products) * measured.rows,
        "cosine": [one._asdict() for one in cosines(measured, noise)],
    }
    work.evidence.setdefault("noise", []).append(line)


def _shortlisted(work: _Work, optimizer: str) -> list[int]:
    """Sizes that may be best for a critical batch size round the noise scale."""
    low, high = work.noise[-1].interval
    margin = 10.0 if optimizer in NOISE_DECIDES else 100.0
    chosen = law.shortlist(work.speed.batch_sizes, work.cost, (low / margin, high * margin))
    work.evidence["shortlist"] = chosen
    return chosen


def _raced(
    work: _Work,
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
        work.evidence.setdefault("breaking", {}).update(breaking)
        for size, found in breaking.items():
            entered += [arena.enter(size, one) for one in rate.rates_below(found)]
    total = max(0.2 * work.budget, work.budget - work.spent())
    total = min(total, 0.3 * work.expected)
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
    work.evidence["seconds"]["race"] = work.spent()
    if not finalists:
        raise DivergedError(
            "Every learning rate that was tried made the loss grow. "
            "Look for extreme values in the data, or set --learning-rate."
        )
    return finalists, out


def _refinement(work: _Work, possible: Sequence[int], learning_rate: float | None) -> Refine:
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
            _learn_speed(work, size)
            part = size / first.batch_size
            rates = {first.learning_rate * part, first.learning_rate * math.sqrt(part)}
            new += [
                (size, rate.plain(one) if learning_rate is None else learning_rate) for one in rates
            ]
        return new

    return refine


def _learn_speed(work: _Work, size: int) -> None:
    if size not in work.speed.batch_sizes:
        problem, snapshot = work.arena.problem, work.arena.snapshot
        new = speed.measure_speed(problem, snapshot, [size], clock=work.clock)
        work.speed = speed.joined(work.speed, new)


def _winner(work: _Work, finalists: Sequence[Trial], ratios: Sequence[float]) -> Trial:
    """Among those as good as the best the smallest size, its rate shown to last an epoch."""
    pairs = sorted(
        zip(finalists, ratios, strict=True),
        key=lambda pair: (pair[1] > SAME, pair[0].batch_size if pair[1] <= SAME else 0, pair[1]),
    )
    for trial, _ in pairs:
        epoch = work.arena.problem.plan(trial.batch_size).updates_per_epoch
        afford = 0.1 * work.budget / speed.seconds_at(work.speed, trial.batch_size)
        further = min(epoch - trial.updates, round(afford))
        lasting = work.arena.verified(trial, further)
        if not lasting.diverged:
            return lasting
    best = pairs[0][0]
    return work.arena.leg(
        work.arena.enter(best.batch_size, rate.plain(best.learning_rate / 4)), best.updates
    )


def _told(
    work: _Work,
    winner: Trial,
    finalists: Sequence[Trial],
    ratios: Sequence[float],
    others: Sequence[Trial],
) -> Advice:
    """The advice with everything that was measured as plain records."""
    everyone = [*finalists, *others]
    fitted, level = _fitted(everyone)
    curve = _curve(work, winner, fitted)
    flat = _flat(winner, finalists, ratios, curve)
    good = [
        one.learning_rate
        for one, ratio in zip(finalists, ratios, strict=True)
        if one.batch_size == winner.batch_size and ratio <= FLAT
    ]
    good.append(winner.learning_rate)
    rates = rate.best_rates(everyone)
    evidence = work.evidence
    evidence.update(
        goal=work.goal,
        rows=len(work.arena.problem.store),
        budget=work.budget,
        start_loss=work.arena.start_loss,
        speed=[
            {"batch_size": size, "seconds_per_update": seconds, "peak_memory": memory}
            for size, seconds, memory in zip(
                work.speed.batch_sizes,
                work.speed.seconds_per_update,
                work.speed.peak_memory,
                strict=True,
            )
        ],
        breaking=[
            {"batch_size": size, "learning_rate": one}
            for size, one in sorted(evidence.get("breaking", {}).items())
        ],
        trials=[_record(work, one) for one in everyone],
        finalists=[
            {**_record(work, one), "ratio": ratio}
            for one, ratio in zip(finalists, ratios, strict=True)
        ],
        curve=curve,
        target=winner.loss,
        rate_exponent=rate.rate_exponent(rates),
        law=None
        if fitted is None
        else {
            "critical": fitted.critical,
            "interval": _finite(fitted.interval),
            "least_updates": fitted.least_updates,
            "level": level,
        },
    )
    if work.noise[-1].noise_scale is None:
        work.undetermined.append("noise scale")
    if fitted is None:
        work.undetermined.append("critical batch size")
    evidence["undetermined"] = list(work.undetermined)
    evidence["decided_by"] = "trial" if len(everyone) > 1 else "speed"
    return Advice(
        batch_size=winner.batch_size,
        learning_rate=winner.learning_rate,
        interval=(min(good), max(good)),
        flat_region=flat,
        evidence=evidence,
        cost=work.spent(),
    )


def _fitted(trials: Sequence[Trial]) -> tuple[law.UpdatesLaw | None, float]:
    """The law through the updates to the lowest loss that four sizes (or three) reached."""
    reached = {
        size: min(one.loss for one in trials if one.batch_size == size)
        for size in {one.batch_size for one in trials}
    }
    levels = sorted(loss for loss in reached.values() if math.isfinite(loss))
    if len(levels) < 3:
        return None, math.nan
    level = levels[min(3, len(levels) - 1)]
    updates = {}
    for size in sorted(reached):
        found = [law.updates_to(one.marks, level) for one in trials if one.batch_size == size]
        times = [one for one in found if one is not None]
        if times:
            updates[size] = min(times)
    return law.fit_law(updates), level


def _curve(work: _Work, winner: Trial, fitted: law.UpdatesLaw | None) -> list[dict[str, Any]]:
    """What each size is predicted to need to the loss that the winner reached."""
    lines = []
    for size in sorted({*work.speed.batch_sizes, winner.batch_size}):
        if fitted is not None:
            part = fitted.updates(size) / fitted.updates(winner.batch_size)
        elif size == winner.batch_size:
            part = 1.0
        else:
            continue
        updates = winner.updates * part
        seconds = updates * speed.seconds_at(work.speed, size)
        lines.append(
            {
                "batch_size": size,
                "updates": updates,
                "examples": updates * size,
                "seconds": seconds,
            }
        )
    return lines


def _flat(
    winner: Trial,
    finalists: Sequence[Trial],
    ratios: Sequence[float],
    curve: Sequence[Mapping[str, float]],
) -> tuple[int, int]:
    """The sizes round the winner's within 10 %: by trial where there was one, else by the law."""
    tried: dict[int, float] = {}
    for one, ratio in zip(finalists, ratios, strict=True):
        tried[one.batch_size] = min(ratio, tried.get(one.batch_size, math.inf))
    sizes = [size for size, ratio in tried.items() if ratio <= FLAT]
    return min([winner.batch_size, *sizes]), max([winner.batch_size, *sizes])


def _record(work: _Work, trial: Trial) -> dict[str, Any]:
    loss = trial.loss
    return {
        "batch_size": trial.batch_size,
        "learning_rate": trial.learning_rate,
        "updates": trial.updates,
        "seconds": trial.updates * speed.seconds_at(work.speed, trial.batch_size),
        "loss": loss if math.isfinite(loss) else None,
        "diverged": trial.diverged,
        "marks": [list(mark) for mark in trial.marks],
        "legs": trial.legs,
        "looks": [list(look) for look in trial.losses],
    }


def _finite(interval: tuple[float, float]) -> list[float | None]:
    return [one if math.isfinite(one) else None for one in interval]


def _nearest(sizes: Sequence[int], wanted: int) -> int:
    return min(sizes, key=lambda size: abs(math.log(size / wanted)))


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(f"{size:,}" for size in sizes)
