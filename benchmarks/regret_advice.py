"""What the advice and simple rules lead to on a problem of the regret, beside its sweep."""

from __future__ import annotations

import dataclasses
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental.compilation_cache import compilation_cache

from benchmarks.measure import machine, versions
from benchmarks.regret_sweep import SEEDS, Enough, Sweep, measure_speed, updates_until
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.problem import Problem, programs
from descend.training.stopping_state import Limits
from descend.tuning.advice import speed
from descend.tuning.advice.advise import advise

RESAMPLES = 1000
THOROUGH = 10.0
"""Seconds that `descend advise` takes at the least."""


def advice_of(sweep: Sweep, seed: int) -> dict[str, Any]:
    """The advice of a seed, and the seconds with it: advice, then training.

    Everything is compiled anew, as in the first run on a table.
    """

    def measure() -> dict[str, Any]:
        problem = _uncompiled(sweep, seed)
        started = sweep.clock()
        advice, loop = advise(problem, optimizer=sweep.case.optimizer, clock=sweep.clock)
        assert loop is not None
        reached = _reaches_target(sweep, problem, advice.batch_size, advice.learning_rate, loop)
        waited = sweep.clock() - started
        return {
            "batch_size": advice.batch_size,
            "learning_rate": advice.learning_rate,
            "flat_region": advice.flat_region,
            "cost": advice.cost,
            "waited": waited if reached else None,
        }

    return dict(sweep.cells.once(f"advice {seed}", measure))


def seconds_typed_in(sweep: Sweep, size: int, rate: float, seed: int) -> float:
    """Seconds with the best setting typed in: compiling, updates, evaluations."""

    def measure() -> float | None:
        problem = _uncompiled(sweep, seed)
        started = sweep.clock()
        reached = _reaches_target(sweep, problem, size, rate, problem.begin())
        return sweep.clock() - started if reached else None

    found = sweep.cells.once(f"known {size} {rate:.4g} {seed}", measure)
    return math.inf if found is None else float(found)


def _uncompiled(sweep: Sweep, seed: int) -> Problem:
    """The problem as the first run on its table finds it: nothing is compiled.

    Whether compiled programs are read from the disk JAX decides once, with the first of them: the
    setting alone changes nothing after that.
    """
    jax.clear_caches()
    programs.cache_clear()
    jax.config.update("jax_enable_compilation_cache", False)
    compilation_cache.reset_cache()
    return dataclasses.replace(sweep.problem, seed=seed)


def _reaches_target(
    sweep: Sweep, problem: Problem, size: int, rate: float, loop: LoopState
) -> bool:
    """Whether training reaches the target from a course on."""
    most = loop.state.update + sweep.case.longest / speed.seconds_at(sweep.speed, size)
    run = problem.loop_config(size, rate, limits=Limits(target=sweep.target))
    loop, _ = fit(run, loop, Enough(most))
    return loop.history[-1].validation_loss <= sweep.target


def thorough_advice(sweep: Sweep) -> dict[str, Any]:
    """What `descend advise` says, which may take longer, and the noise scale it measures."""

    def measure() -> dict[str, Any]:
        advice, _ = advise(
            sweep.problem, at_least=THOROUGH, optimizer=sweep.case.optimizer, clock=sweep.clock
        )
        noise = advice.evidence["noise"]
        return {
            "batch_size": advice.batch_size,
            "learning_rate": advice.learning_rate,
            "cost": advice.cost,
            "noise_scale": noise[-1]["noise_scale"] if noise else None,
        }

    return dict(sweep.cells.once("thorough", measure))


def seconds_of_sklearn(sweep: Sweep) -> float:
    """T of the setting that scikit-learn's networks begin with: Adam, 0.001, batches of 200."""
    adam = sweep.case.with_optimizer(sweep.problem, "adam")
    size = min(200, len(adam.store))

    def measure() -> dict[str, Any]:
        each = measure_speed(adam, [size], sweep.clock).seconds_per_update[0]
        most = min(20 * sweep.best, sweep.case.longest) / each
        seeded = [dataclasses.replace(adam, seed=seed) for seed in SEEDS]
        runs = [
            updates_until(one, size, 1e-3, sweep.target, most, one.begin())[0] for one in seeded
        ]
        return {"updates": runs, "seconds_per_update": each}

    found = sweep.cells.once("sklearn", measure)
    times = [math.inf if one is None else one for one in found["updates"]]
    return float(statistics.median(times) * found["seconds_per_update"])


def loss_at_end(sweep: Sweep, size: int, rate: float, seed: int) -> float:
    """The best validation loss of a run to its end."""

    def measure() -> float:
        most = sweep.case.longest / speed.seconds_at(sweep.speed, size)
        problem = sweep.of_seed(seed)
        loop, _ = fit(problem.loop_config(size, rate), problem.begin(), Enough(most))
        return float(loop.progress.best)

    return float(sweep.cells.once(f"quality {size} {rate:.4g} {seed}", measure))


def seconds_to_end(sweep: Sweep, size: int, rate: float) -> float:
    """Seconds of a run to its end, evaluations left out."""

    def measure() -> int:
        run = sweep.problem.loop_config(size, rate)
        most = sweep.case.longest / speed.seconds_at(sweep.speed, size)
        loop, _ = fit(run, sweep.problem.begin(), Enough(most))
        return int(loop.state.update)

    updates = sweep.cells.once(f"whole {size} {rate:.4g}", measure)
    return float(updates * speed.seconds_at(sweep.speed, size))


def ratio_interval(ones: Sequence[float], others: Sequence[float]) -> list[float]:
    """90 % bootstrap interval of a ratio of medians over the same seeds."""
    random = np.random.default_rng(0)
    drawn = random.integers(len(ones), size=(RESAMPLES, len(ones)))
    medians = [np.median(np.asarray(times)[drawn], axis=1) for times in (ones, others)]
    with np.errstate(invalid="ignore"):
        ratios = medians[0] / medians[1]
    ratios[np.isnan(ratios)] = 1.0  # Neither was reached.
    return [float(np.quantile(ratios, part, method="nearest")) for part in (0.05, 0.95)]


def cost_text(sweep: Sweep) -> str:
    """Seconds to the target with the advice over those with the best setting of the sweep so far.

    For every seed, the advice and compiling included.
    """
    table = sweep.table()
    if not table:
        return "Nothing of its sweep is known; run the stage sweep first."
    size = min(table, key=lambda one: table[one][1])
    rate, ratios = table[size][0], []
    for seed in SEEDS:
        waited = advice_of(sweep, seed)["waited"]
        ratios.append((waited or math.inf) / seconds_typed_in(sweep, size, rate, seed))
    each = ", ".join(f"{ratio:.2f}" for ratio in ratios)
    return (
        f"  advised over {size:,} at {rate:.3g} typed in, with its cost: "
        f"{statistics.median(ratios):.2f} ({each})"
    )


def _circumstances(sweep: Sweep) -> dict[str, Any]:
    seconds = "processor" if sweep.clock is time.process_time else "wall"
    return {"when": time.strftime("%Y-%m-%d"), "seconds": seconds, **versions(), **machine()}


def figures_of(sweep: Sweep) -> dict[str, Any]:
    """Regret of the advice and of the baselines on one problem."""
    table = sweep.table()
    times = {one: sweep.fresh(*one) for one in sweep.contenders()}
    best_size, best_rate = min(times, key=lambda one: statistics.median(times[one]))
    best_times = times[best_size, best_rate]
    best = statistics.median(best_times)
    advice = [advice_of(sweep, seed) for seed in SEEDS]
    thorough = thorough_advice(sweep)

    def advised_times(one: dict[str, Any]) -> list[float]:
        return sweep.fresh(one["batch_size"], one["learning_rate"])

    def regret(one: dict[str, Any]) -> float:
        return statistics.median(advised_times(one)) / best

    def of_size(size: int) -> float:
        medians = [statistics.median(sweep.fresh(size, rate)) for rate in sweep.rates_of(size)]
        return min(medians, default=math.inf) / best

    middle = sorted(advice, key=regret)[len(advice) // 2]
    known = statistics.median(seconds_typed_in(sweep, best_size, best_rate, seed) for seed in SEEDS)
    waited = [math.inf if one["waited"] is None else one["waited"] for one in advice]
    quality = [
        loss_at_end(sweep, one["batch_size"], one["learning_rate"], seed)
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
        "measured": sweep.cells.once("measured", lambda: _circumstances(sweep)),
        "rows": len(sweep.problem.store),
        "target": sweep.target,
        "best": {"batch_size": best_size, "learning_rate": best_rate, "seconds": best},
        "advised": [[one["batch_size"], one["learning_rate"]] for one in advice],
        "cost": [one["cost"] for one in advice],
        "whole_run": seconds_to_end(sweep, best_size, best_rate),
        "regret": [regret(one) for one in advice],
        "regret_interval": ratio_interval(advised_times(middle), best_times),
        "thorough": {**thorough, "regret": regret(thorough)},
        "waited": {"advised": waited, "known": known},
        "regret_with_cost": [one / known for one in waited],
        "baselines": {
            **{name: of_size(size) for name, size in baselines.items() if size in table},
            "scikit-learn's default": seconds_of_sklearn(sweep) / best,
        },
        "quality": {
            "advised": quality,
            "best of sweep": [
                loss_at_end(sweep, best_size, best_rate, seed) for seed in SEEDS[: sweep.case.ends]
            ],
        },
        "growth": {
            way: math.inf if ratio is None else ratio
            for way, ratio in sweep.cells.facts.get("growth", {}).items()
        },
        "sizes": {size: list(found) for size, found in sorted(table.items())},
    }
