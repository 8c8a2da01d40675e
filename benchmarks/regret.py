"""Is the advice right? The time it leads to, over the best of a full sweep.

For each problem every batch size is tried with learning rates by factors of two until the best is
interior. What counts is the time to a validation loss that a good run reaches,

    T = updates until then × seconds per update,

updates from a run of the package's own loop, seconds measured beforehand, all sizes taking turns.
The best of many cells owes part of its time to luck, and two seeds of one setting may differ by a
factor of two. So the best settings of the sweep and the advised ones are compared with fresh seeds,
with which nothing was chosen.

Evaluations and compiling are left out of T; what the advice costs contains both. Seconds are those
of a clock on the wall, so the stages `speed` and `advice` want a machine that does nothing else;
`sweep`, which counts updates, does not mind.

Each cell of the sweep is saved as soon as it is known; a run that was stopped, or that `--minutes`
ended, goes on from there. The report holds all problems that were measured, each with the version
that measured it; `--again` measures the advice anew and keeps the sweep.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks.measure import machine, versions
from benchmarks.regret_cases import CASES, Case, small
from benchmarks.regret_report import report
from descend.training.callback import Callback
from descend.training.jax_setup import set_up
from descend.training.loop import LoopState, fit
from descend.training.problem import Problem, programs
from descend.training.stopping import Limits
from descend.tuning.advice import speed
from descend.tuning.advice.advise import advise
from descend.types import Speed, StopReason

FOLDER = Path(__file__).parent.parent / "docs" / "regret"
GOOD, BETTER, STRICTEST = 0.01, 0.1, 0.001
"""The target is above the second best of four runs by 1 % of the way back to the start, or by 10 %
of that loss, whichever is less; but no less than 0.1 % of the way, where the loss is near 0."""
REFERENCES = ((64, 0.01), (64, 0.04), (256, 0.04), (256, 0.16))
SEEDS = (0, 1, 2)
CAP = 3.0
"""A cell is given up at so many times the best median over the seeds so far."""
CAP_OF_ONE = 10.0
"""And at so many times the fastest cell, which is known before any median."""
CONFIRMED, MOST_CONFIRMED = 2, 3
"""Rates of a batch size that arrive with most seeds, and those that may be tried for it."""
CONTENDERS = 3
"""Batch sizes whose settings run again with fresh seeds, before one counts as the best."""
FRESH_CAP = 6.0
"""A run with a fresh seed is given up at so many times the best median of the sweep."""
RESAMPLES = 1000
ROUNDS = 3
"""Times that all batch sizes are timed."""
LOOKS, LOOK_AGAIN = 64, 1.05
"""The loss is looked at up to so many times an epoch, when the updates grew by the factor."""
MOST_RATES = 10
THOROUGH = 10.0
"""Seconds that `descend advise` takes at the least."""
STAGES = ("speed", "sweep", "advice")


OF_ADVICE = ("advice", "known", "thorough", "quality", "whole", "measured")
"""What is measured anew for another version of the advice."""


class OutOfTimeError(Exception):
    """The minutes that were given are over."""


class Cells:
    """What was measured for one problem, kept in a file that grows cell by cell.

    Args:
        path: the file.
        end: when nothing more is measured, as `time.monotonic` says.
    """

    def __init__(self, path: Path, end: float = math.inf) -> None:
        self.path, self.end = path, end
        self.facts: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}

    def once(self, key: str, measure: Callable[[], Any]) -> Any:
        """What is known under a key, measured where it is not."""
        if key not in self.facts:
            if time.monotonic() > self.end:
                raise OutOfTimeError
            self.facts[key] = measure()
            self._save()
        return self.facts[key]

    def forget(self, kinds: Sequence[str]) -> None:
        """Forget what was measured under keys that begin with one of these words."""
        self.facts = {key: one for key, one in self.facts.items() if key.split()[0] not in kinds}
        self._save()

    def _save(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        rough = self.path.with_suffix(".part")
        rough.write_text(json.dumps(self.facts, indent=1) + "\n")
        rough.replace(self.path)


class Enough(Callback):
    """Stops a run after so many updates."""

    def __init__(self, updates: float) -> None:
        self.updates = updates
        self.stopped = False

    def chunk(self, loop: LoopState) -> None:
        self.stopped = loop.state.update >= self.updates

    def stop_requested(self) -> StopReason | None:
        return StopReason.INTERRUPTED if self.stopped else None


def measure_speed(problem: Problem, sizes: Sequence[int]) -> Speed:
    """Seconds per update of each batch size: the least of several rounds.

    Other work on the machine only makes them longer.
    """
    state = problem.begin().state
    rounds = [
        speed.measure_speed(problem, state, sizes, repeats=7, seconds=0.03) for _ in range(ROUNDS)
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
    chunk = max(1, min(plan.updates_per_chunk, plan.updates_per_epoch // LOOKS))
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
    """All that is asked of one problem."""

    def __init__(self, case: Case, problem: Problem, cells: Cells) -> None:
        self.case, self.problem, self.cells = case, problem, cells
        rows = len(problem.store)
        self.sizes = [size for size in case.sizes if size <= rows // 2]
        self.speed = self._speed()
        self.best = self.luckiest = math.inf

    def _speed(self) -> Speed:
        def measure() -> dict[str, Any]:
            sizes = sorted({*self.sizes, *(s for s in (200,) if s <= len(self.problem.store))})
            return dataclasses.asdict(measure_speed(self.problem, sizes))

        return Speed(**{k: tuple(v) for k, v in self.cells.once("speed", measure).items()})

    @functools.cached_property
    def target(self) -> float:
        """The validation loss that counts as reached."""

        def measure() -> dict[str, Any]:
            start = self.problem.evaluate(self.problem.begin().state.params)
            reached = sorted(
                self._converged(min(size, max(self.sizes)), rate) for size, rate in REFERENCES
            )
            best = reached[1]  # the best of all may be a stroke of luck
            gain = start - best
            above = min(GOOD * gain, max(BETTER * best, STRICTEST * gain))
            return {"start": start, "best": best, "target": best + above, "reached": reached}

        return float(self.cells.once("target", measure)["target"])

    def _converged(self, size: int, rate: float) -> float:
        most = self.case.longest / speed.seconds_at(self.speed, size)
        run = self.problem.loop_config(size, rate)
        losses = []
        for seed in SEEDS[: self.case.target_seeds]:
            loop, _ = fit(run, self.problem.begin(seed), Enough(most))
            losses.append(float(loop.progress.best))
        return max(losses)

    def seconds(self, size: int, rate: float, seed: int) -> float:
        """T of a cell; infinite where the target was not reached."""
        each = speed.seconds_at(self.speed, size)

        def measure() -> dict[str, Any]:
            most = min(CAP * self.best, CAP_OF_ONE * self.luckiest, self.case.longest) / each
            updates, loss = updates_until(
                self.problem, size, rate, self.target, most, self.problem.begin(seed)
            )
            return {"updates": updates, "loss": loss, "given_up_at": most}

        updates = self.cells.once(f"{size} {rate:.4g} {seed}", measure)["updates"]
        found = math.inf if updates is None else updates * each
        self.luckiest = min(self.luckiest, found)
        return found

    def run(self) -> None:
        """Every size with rates by factors of two until the best is interior, then more seeds.

        Interior: the next two rates on both sides are worse, since some sizes have two good
        regions.
        """
        guess = 0.02
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
            begun = self.problem.begin(seed)
            return updates_until(self.problem, size, rate, self.target, most, begun)[0]

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

    def advised(self, seed: int) -> dict[str, Any]:
        """The advice of a seed, and what a user waits for with it: advice, then training.

        Everything is compiled anew, as in the first run on a table.
        """

        def measure() -> dict[str, Any]:
            problem = self._forgotten(seed)
            started = time.perf_counter()
            advice, loop = advise(problem)
            assert loop is not None
            reached = self._trained(problem, advice.batch_size, advice.learning_rate, loop)
            waited = time.perf_counter() - started
            return {
                "batch_size": advice.batch_size,
                "learning_rate": advice.learning_rate,
                "flat_region": advice.flat_region,
                "cost": advice.cost,
                "waited": waited if reached else None,
            }

        return dict(self.cells.once(f"advice {seed}", measure))

    def known(self, size: int, rate: float, seed: int) -> float:
        """What a user waits for who knows the best setting: compiling, updates, evaluations."""

        def measure() -> float | None:
            problem = self._forgotten(seed)
            started = time.perf_counter()
            reached = self._trained(problem, size, rate, problem.begin())
            return time.perf_counter() - started if reached else None

        found = self.cells.once(f"known {size} {rate:.4g} {seed}", measure)
        return math.inf if found is None else float(found)

    def _forgotten(self, seed: int) -> Problem:
        """The problem as the first run on its table finds it: nothing is compiled."""
        jax.clear_caches()
        programs.cache_clear()
        jax.config.update("jax_enable_compilation_cache", False)
        return dataclasses.replace(self.problem, seed=seed)

    def _trained(self, problem: Problem, size: int, rate: float, loop: LoopState) -> bool:
        """Whether training reaches the target from a course on."""
        most = loop.state.update + self.case.longest / speed.seconds_at(self.speed, size)
        run = problem.loop_config(size, rate, limits=Limits(target=self.target))
        loop, _ = fit(run, loop, Enough(most))
        return loop.history[-1].validation_loss <= self.target

    def thorough(self) -> dict[str, Any]:
        """What `descend advise` says, which may take longer, and the noise scale it measures."""

        def measure() -> dict[str, Any]:
            advice, _ = advise(self.problem, at_least=THOROUGH)
            noise = advice.evidence["noise"]
            return {
                "batch_size": advice.batch_size,
                "learning_rate": advice.learning_rate,
                "cost": advice.cost,
                "noise_scale": noise[-1]["noise_scale"] if noise else None,
            }

        return dict(self.cells.once("thorough", measure))

    def sklearn(self) -> float:
        """T of the setting that scikit-learn's networks begin with: Adam, 0.001, batches of 200."""
        adam = self.case.with_optimizer(self.problem, "adam")
        size = min(200, len(adam.store))

        def measure() -> dict[str, Any]:
            each = measure_speed(adam, [size]).seconds_per_update[0]
            most = min(20 * self.best, self.case.longest) / each
            runs = [
                updates_until(adam, size, 1e-3, self.target, most, adam.begin(seed))[0]
                for seed in SEEDS
            ]
            return {"updates": runs, "seconds_per_update": each}

        found = self.cells.once("sklearn", measure)
        times = [math.inf if one is None else one for one in found["updates"]]
        return float(statistics.median(times) * found["seconds_per_update"])

    def quality(self, size: int, rate: float, seed: int) -> float:
        """The best validation loss of a run to its end."""

        def measure() -> float:
            most = self.case.longest / speed.seconds_at(self.speed, size)
            run = self.problem.loop_config(size, rate)
            loop, _ = fit(run, self.problem.begin(seed), Enough(most))
            return float(loop.progress.best)

        return float(self.cells.once(f"quality {size} {rate:.4g} {seed}", measure))

    def whole_run(self, size: int, rate: float) -> float:
        """Seconds of a run to its end, evaluations left out."""

        def measure() -> int:
            run = self.problem.loop_config(size, rate)
            most = self.case.longest / speed.seconds_at(self.speed, size)
            loop, _ = fit(run, self.problem.begin(), Enough(most))
            return int(loop.state.update)

        updates = self.cells.once(f"whole {size} {rate:.4g}", measure)
        return float(updates * speed.seconds_at(self.speed, size))


def ratio_interval(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """90 % bootstrap interval of a ratio of medians over the same seeds."""
    random = np.random.default_rng(0)
    drawn = random.integers(len(ones), size=(RESAMPLES, len(ones)))
    medians = [np.median(np.asarray(times)[drawn], axis=1) for times in (ones, others)]
    with np.errstate(invalid="ignore"):
        ratios = medians[0] / medians[1]
    ratios[np.isnan(ratios)] = 1.0  # Neither was reached.
    return [float(np.quantile(ratios, part, method="nearest")) for part in (0.05, 0.95)]


def _circumstances() -> dict[str, Any]:
    return {"when": time.strftime("%Y-%m-%d"), **versions(), **machine()}


def figures_of(sweep: Sweep) -> dict[str, Any]:
    """Regret of the advice and of the baselines on one problem."""
    table = sweep.table()
    times = {one: sweep.fresh(*one) for one in sweep.contenders()}
    best_size, best_rate = min(times, key=lambda one: statistics.median(times[one]))
    best_times = times[best_size, best_rate]
    best = statistics.median(best_times)
    advice = [sweep.advised(seed) for seed in SEEDS]
    thorough = sweep.thorough()

    def advised_times(one: dict[str, Any]) -> list[float]:
        return sweep.fresh(one["batch_size"], one["learning_rate"])

    def regret(one: dict[str, Any]) -> float:
        return statistics.median(advised_times(one)) / best

    def of_size(size: int) -> float:
        medians = [statistics.median(sweep.fresh(size, rate)) for rate in sweep.rates_of(size)]
        return min(medians, default=math.inf) / best

    middle = sorted(advice, key=regret)[len(advice) // 2]
    known = statistics.median(sweep.known(best_size, best_rate, seed) for seed in SEEDS)
    waited = [math.inf if one["waited"] is None else one["waited"] for one in advice]
    quality = [
        sweep.quality(one["batch_size"], one["learning_rate"], seed)
        for one, seed in zip(advice, SEEDS, strict=True)
        if seed in SEEDS[: sweep.case.ends]
    ]
    scale = thorough["noise_scale"]
    per_row = {size: speed.seconds_at(sweep.speed, size) / size for size in table}
    baselines = {
        "batch 32, best rate": 32,
        "batch 256, best rate": 256,
        "largest that fits": max(table),
        "highest throughput": min(per_row, key=lambda size: per_row[size]),
    }
    if scale is not None:
        baselines["noise scale alone"] = min(table, key=lambda s: abs(math.log(s / scale)))
    return {
        "problem": sweep.case.name,
        "measured": sweep.cells.once("measured", _circumstances),
        "held_out": sweep.case.held_out,
        "rows": len(sweep.problem.store),
        "target": sweep.target,
        "best": {"batch_size": best_size, "learning_rate": best_rate, "seconds": best},
        "advised": [[one["batch_size"], one["learning_rate"]] for one in advice],
        "cost": [one["cost"] for one in advice],
        "whole_run": sweep.whole_run(best_size, best_rate),
        "regret": [regret(one) for one in advice],
        "regret_interval": ratio_interval(advised_times(middle), best_times),
        "thorough": {**thorough, "regret": regret(thorough)},
        "waited": {"advised": waited, "known": known},
        "regret_with_cost": [one / known for one in waited],
        "baselines": {
            **{name: of_size(size) for name, size in baselines.items() if size in table},
            "scikit-learn's default": sweep.sklearn() / best,
        },
        "quality": {
            "advised": quality,
            "best of sweep": [
                sweep.quality(best_size, best_rate, seed) for seed in SEEDS[: sweep.case.ends]
            ],
        },
        "sizes": {size: list(found) for size, found in sorted(table.items())},
    }


def main(arguments: list[str]) -> None:
    """Sweep, advise, compare, and keep what was found."""
    parser = argparse.ArgumentParser(prog="regret", description=__doc__)
    parser.add_argument("--tables", type=Path, help="folder with the tables that are not shipped")
    parser.add_argument("--only", help="names of problems, separated by commas")
    parser.add_argument("--minutes", type=float, help="measure nothing more after so many minutes")
    parser.add_argument("--again", action="store_true", help="measure the advice anew")
    parser.add_argument("--stage", choices=STAGES, default=STAGES[-1], help="how far to go")
    parser.add_argument("--quick", action="store_true", help="4,000 rows; nothing is kept")
    parser.add_argument("--out", type=Path, default=FOLDER)
    options = parser.parse_args(arguments)
    set_up()
    folder = Path(tempfile.mkdtemp()) if options.quick else options.out
    end = math.inf if options.minutes is None else time.monotonic() + 60 * options.minutes
    found = []
    for case in chosen(options.only):
        problem = case.load(options.tables)
        if problem is None:
            print(f"{case.name}: its table is not there (--tables DIR)")
            continue
        problem = small(problem, 4000) if options.quick else problem
        print(f"{case.name}: {len(problem.store):,} rows", flush=True)
        cells = Cells(folder / "cells" / f"{case.name}.json", end)
        if options.again:
            cells.forget(OF_ADVICE)
        try:
            sweep = Sweep(case, problem, cells)
            if options.stage != "speed":
                sweep.run()
            if options.stage == "advice":
                found.append(figures_of(sweep))
        except OutOfTimeError:
            print("The time is over; without --again, the same command goes on from here.")
            break
    if found:
        report(merged(found, folder), folder)


def chosen(only: str | None) -> list[Case]:
    """The problems with these names, separated by commas; all without names."""
    known = {case.name: case for case in CASES}
    names = only.split(",") if only else list(known)
    wrong = [name for name in names if name not in known]
    if wrong:
        raise SystemExit(f"No problem is named {wrong[0]!r}; type some of {', '.join(known)}.")
    return [known[name] for name in names]


def merged(found: Sequence[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """These problems and those measured before, in the order of the sweep."""
    path = folder / "regret.json"
    before = json.loads(path.read_text())["problems"] if path.exists() else []
    by_name = {one["problem"]: _not_reached(one) for one in before}
    by_name.update({one["problem"]: one for one in found})
    return [by_name[case.name] for case in CASES if case.name in by_name]


def _not_reached(one: Any, key: str = "") -> Any:
    """Figures from JSON: null is what was not reached, but for the noise scale."""
    if isinstance(one, dict):
        return {name: _not_reached(value, name) for name, value in one.items()}
    if isinstance(one, list):
        return [_not_reached(value) for value in one]
    return math.inf if one is None and key != "noise_scale" else one
