"""The sweep behind the regret: the time to a good loss with every batch size and learning rate."""

from __future__ import annotations

import dataclasses
import functools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from benchmarks.regret_cases import Case
from benchmarks.regret_cells import Cells
from descend.training.callback import Callback
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.problem import Problem
from descend.tuning.advice import speed
from descend.types import Speed, StopReason

GOOD, BETTER, STRICTEST = 0.01, 0.1, 0.001
"""The target is above the second best of four runs by 1 % of the way back to the start, or by 10 %
of that loss, whichever is less; but no less than 0.1 % of the way, where the loss is near 0."""
REFERENCES = ((64, 0.01), (64, 0.04), (256, 0.04), (256, 0.16))
ADAPTIVE_RATES = 0.1
"""The same runs with a rule that scales every weight have rates so much lower."""
SEEDS = (0, 1, 2)
CAP = 3.0
"""A cell is given up at so many times the best median over the seeds so far."""
CAP_OF_ONE = 10.0
"""And at so many times the fastest cell, which is known before any median."""
SOONER = 0.8
"""A cell that was given up after less than this part of what it gets by the present seconds per
update is measured again."""
CONFIRMED, MOST_CONFIRMED = 2, 3
"""Rates of a batch size that arrive with most seeds, and those that may be tried for it."""
CONTENDERS = 3
"""Batch sizes whose settings run again with fresh seeds, before one counts as the best."""
FRESH_CAP = 6.0
"""A run with a fresh seed is given up at so many times the best median of the sweep."""
ROUNDS = 3
"""Times that all batch sizes are timed."""
LOOKS, LOOK_AGAIN = 64, 1.05
"""The loss is looked at up to so many times an epoch, when the updates grew by the factor."""
FIRST_LOOK = 16
"""And after so many updates at the latest: millions of rows are learned within an epoch's 64th."""
MOST_RATES = 10


class Enough(Callback):
    """Stops a run after so many updates."""

    def __init__(self, updates: float) -> None:
        self.updates = updates
        self.stopped = False

    def chunk(self, loop: LoopState) -> None:
        self.stopped = loop.state.update >= self.updates

    def stop_requested(self) -> StopReason | None:
        return StopReason.INTERRUPTED if self.stopped else None


def measure_speed(
    problem: Problem, sizes: Sequence[int], clock: Callable[[], float] = time.perf_counter
) -> Speed:
    """Seconds per update of each batch size: the least of several rounds.

    Other work on the machine only makes them longer.
    """
    state = problem.begin().state
    rounds = [
        speed.measure_speed(problem, state, sizes, clock=clock, repeats=7, seconds=0.03)
        for _ in range(ROUNDS)
    ]
    each = zip(*(one.seconds_per_update for one in rounds), strict=True)
    return dataclasses.replace(rounds[0], seconds_per_update=tuple(map(min, each)))


class Watch(Enough):
    """Looks at the validation loss more often than the run does, and stops at the target.

    On a large table a good run reaches the target within its first epoch, at whose end it is
    evaluated for the first time.
    """

    def __init__(self, problem: Problem, target: float, most: float) -> None:
        super().__init__(most)
        self.problem, self.target = problem, target
        self.curve: list[tuple[int, float]] = []

    def chunk(self, loop: LoopState) -> None:
        super().chunk(loop)
        updates = int(loop.state.update)
        if self.stopped or not self.curve or updates >= LOOK_AGAIN * self.curve[-1][0]:
            loss = self.problem.evaluate(loop.state.mean)
            self.curve.append((updates, loss))
            self.stopped = self.stopped or loss <= self.target


def updates_until(
    problem: Problem, size: int, rate: float, target: float, most: float, loop: LoopState
) -> tuple[float | None, float]:
    """Updates until the target (None where it was not reached), and the best loss."""
    run = problem.loop_config(size, rate)
    plan = run.plan
    chunk = max(1, min(plan.updates_per_chunk, plan.updates_per_epoch // LOOKS, FIRST_LOOK))
    watch = Watch(problem, target, most)
    watch.curve.append((0, problem.evaluate(loop.state.mean)))
    plan = dataclasses.replace(plan, updates_per_chunk=chunk)
    fit(dataclasses.replace(run, plan=plan), loop, watch)
    before = watch.curve[0]
    for updates, loss in watch.curve[1:]:
        if loss <= target:
            part = (before[1] - target) / (before[1] - loss)
            return before[0] + part * (updates - before[0]), loss
        before = (updates, loss)
    return None, min(loss for _, loss in watch.curve)


class Sweep:
    """A full sweep of batch sizes and learning rates of one problem.

    Args:
        case: which problem.
        problem: the same, ready to be trained.
        cells: what was measured before.
        clock: seconds, of the wall or of the processor.
    """

    def __init__(
        self,
        case: Case,
        problem: Problem,
        cells: Cells,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.clock = clock
        self.case, self.problem, self.cells = case, problem, cells
        rows = len(problem.store)
        self.sizes = [size for size in case.sizes if size <= rows // 2]
        self.speed = self._speed()
        self.best = self.luckiest = math.inf
        self.of_seed = functools.cache(self._of_seed)
        self.rates = ADAPTIVE_RATES if case.optimizer.startswith("adam") else 1.0

    def _of_seed(self, seed: int) -> Problem:
        """The problem with the initial weights and the order of rows of a seed.

        A linear model has the same initial weights whatever the seed: only the order differs.
        """
        return dataclasses.replace(self.problem, seed=seed)

    def _speed(self) -> Speed:
        def measure() -> dict[str, Any]:
            sizes = sorted({*self.sizes, *(s for s in (200,) if s <= len(self.problem.store))})
            return dataclasses.asdict(measure_speed(self.problem, sizes, self.clock))

        return Speed(**{k: tuple(v) for k, v in self.cells.once("speed", measure).items()})

    @functools.cached_property
    def target(self) -> float:
        """The validation loss that counts as reached."""

        def measure() -> dict[str, Any]:
            start = self.problem.evaluate(self.problem.begin().state.params)
            reached = sorted(
                self._converged(min(size, max(self.sizes)), rate * self.rates)
                for size, rate in REFERENCES
            )
            best = reached[1]  # the best of all may be a stroke of luck
            gain = start - best
            above = min(GOOD * gain, max(BETTER * best, STRICTEST * gain))
            return {"start": start, "best": best, "target": best + above, "reached": reached}

        return float(self.cells.once("target", measure)["target"])

    def _converged(self, size: int, rate: float) -> float:
        most = self.case.longest / speed.seconds_at(self.speed, size)
        losses = []
        for seed in SEEDS[: self.case.target_seeds]:
            problem = self.of_seed(seed)
            run = problem.loop_config(size, rate)
            loop, _ = fit(run, problem.begin(), Enough(most))
            losses.append(float(loop.progress.best))
        return max(losses)

    def seconds(self, size: int, rate: float, seed: int) -> float:
        """T of a cell; infinite where the target was not reached."""
        each = speed.seconds_at(self.speed, size)

        def measure() -> dict[str, Any]:
            problem = self.of_seed(seed)
            updates, loss = updates_until(problem, size, rate, self.target, most, problem.begin())
            return {"updates": updates, "loss": loss, "given_up_at": most}

        key = f"{size} {rate:.4g} {seed}"
        most = min(CAP * self.best, CAP_OF_ONE * self.luckiest, self.case.longest) / each
        known = self.cells.facts.get(key)
        if known and known["updates"] is None and known["given_up_at"] < SOONER * most:
            self.cells.forget_one(key)
        updates = self.cells.once(key, measure)["updates"]
        found = math.inf if updates is None else updates * each
        self.luckiest = min(self.luckiest, found)
        return found

    def run(self) -> None:
        """Every size with rates by factors of two until the best is interior, then more seeds.

        Interior: the next two rates on both sides are worse, since some sizes have two good
        regions.
        """
        guess = 0.02 * self.rates
        for size in self.sizes:
            found = dict(self._rates(size, guess * min(1.0, size / 64)))
            rate, typical = self._typical(size, found)
            print(f"  {size:6} rows, rate {rate:.3g}: {typical:.3g} s", flush=True)
            if size == 64 and math.isfinite(typical):
                guess = rate
            self.best = min(self.best, typical)

    def _typical(self, size: int, found: dict[float, float]) -> tuple[float, float]:
        """The fastest rate of a size and its median over the seeds.

        The fastest with the first seed may owe that to luck, so the next one runs too.
        """
        ranked = sorted(found, key=lambda rate: (found[rate], rate))
        medians = {ranked[0]: math.inf}
        for rate in ranked[:MOST_CONFIRMED]:
            if not math.isfinite(found[rate]):
                break
            times = [found[rate], *(self.seconds(size, rate, seed) for seed in SEEDS[1:])]
            medians[rate] = statistics.median(times)
            if sum(map(math.isfinite, medians.values())) == CONFIRMED:
                break
        best = min(medians, key=lambda rate: medians[rate])
        return best, medians[best]

    def _rates(self, size: int, start: float) -> Iterator[tuple[float, float]]:
        power = round(math.log2(start))
        seen: dict[int, float] = {}

        def ask(place: int) -> tuple[float, float]:
            seen[place] = self.seconds(size, 2.0**place, SEEDS[0])
            return 2.0**place, seen[place]

        yield ask(power)
        while len(seen) < MOST_RATES:
            best = min(seen, key=lambda place: (seen[place], -place))
            near = (best + step for step in (1, -1, 2, -2)[: 2 * self.case.beyond])
            missing = [place for place in near if place not in seen]
            if not missing:
                return
            if not math.isfinite(seen[best]):
                missing = [min(seen) - 1] if len(seen) % 2 else [max(seen) + 1]
            yield ask(missing[0])

    def table(self) -> dict[int, tuple[float, float]]:
        """For each size its best rate and the median of T over the seeds."""
        times: dict[int, dict[float, list[float]]] = {}
        for key, cell in self.cells.facts.items():
            parts = key.split()
            if len(parts) != 3 or not parts[0].isdigit():
                continue
            size, rate = int(parts[0]), float(parts[1])
            each = speed.seconds_at(self.speed, size)
            found = math.inf if cell["updates"] is None else cell["updates"] * each
            times.setdefault(size, {}).setdefault(rate, []).append(found)
        chosen = {}
        for size, rates in times.items():
            if size not in self.sizes:
                continue
            most = max(len(found) for found in rates.values())
            full = {r: statistics.median(f) for r, f in rates.items() if len(f) == most}
            best = min(full, key=lambda rate: full[rate])
            chosen[size] = (best, full[best])
        return chosen

    def fresh(self, size: int, rate: float) -> list[float]:
        """T of a setting with seeds that no cell of the sweep had."""
        each = speed.seconds_at(self.speed, size)

        def measure(seed: int) -> float | None:
            most = min(FRESH_CAP * self.best, self.case.longest) / each
            problem = self.of_seed(seed)
            return updates_until(problem, size, rate, self.target, most, problem.begin())[0]

        seeds = range(len(SEEDS), len(SEEDS) + self.case.fresh)
        found = [
            self.cells.once(f"fresh {size} {rate:.4g} {seed}", functools.partial(measure, seed))
            for seed in seeds
        ]
        return [math.inf if updates is None else updates * each for updates in found]

    def contenders(self) -> list[tuple[int, float]]:
        """The settings of the sweep that may be the best: those of the fastest batch sizes."""
        table = self.table()
        fastest = sorted(table, key=lambda size: table[size][1])[:CONTENDERS]
        return [(size, rate) for size in fastest for rate in self.rates_of(size)]

    def rates_of(self, size: int) -> list[float]:
        """The best rate of a size in the sweep, and half of it: high rates are lucky more often."""
        rate, seconds = self.table().get(size, (0.0, math.inf))
        return [rate, rate / 2] if math.isfinite(seconds) else []
