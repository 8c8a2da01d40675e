"""Does a batch that grows while training goes on reach a loss sooner than the best fixed one?

The noise scale grows as the loss falls, so the best batch size does too (McCandlish et al. 2018,
arXiv 1812.06162, section 2.2); and a larger batch does what a lower learning rate does (Smith et
al. 2018, arXiv 1711.00489). For each problem whose sweep is kept by `regret`, the best fixed
setting of the sweep is compared with

- `noise`: the size follows the measured noise scale, from the best size on; measuring is free here
- `hindsight`: the best of a grid of schedules that grow the batch fourfold once, from the best
  size or a quarter of it, at a learning rate that stays or doubles, after a quarter, a half or
  three quarters of the updates of the fixed setting. Nobody knows beforehand which one that is.

Time is updates times the seconds of an update at their size, as in `regret`, and does not depend
on what else the machine does; the median of the seeds counts.
"""

from __future__ import annotations

import argparse
import math
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import measure
from benchmarks.regret_cases import CASES
from benchmarks.regret_cells import FOLDER, Cells
from benchmarks.regret_sweep import CAP, SEEDS, Enough, Sweep
from descend.training.jax_setup import set_up
from descend.training.loop import fit
from descend.training.loop_state import LoopState
from descend.training.stopping_state import Limits
from descend.tuning.advice import speed
from descend.tuning.advice.noise import NoiseMeter, gradient_noise

GROWTH = 4
MOMENTS = (0.25, 0.5, 0.75)
RATE_FACTORS = (1.0, 2.0)
WORTH = 0.05
"""A gain from which a schedule would be switched on by default."""


class Segment(NamedTuple):
    """A part of a run: its batch size and rate, and the update at which it ends."""

    batch_size: int
    learning_rate: float
    until: float


def seconds_of(
    sweep: Sweep, seed: int, following: Callable[[LoopState], Segment | None], most: float
) -> float:
    """Seconds of updates until the target, segment by segment; infinite if not within `most`."""
    problem, target = sweep.problem, sweep.target
    loop, spent = problem.begin(seed), 0.0
    segment = following(loop)
    while segment is not None and spent < most:
        each = speed.seconds_at(sweep.speed, segment.batch_size)
        first, lines = loop.state.update, len(loop.history)
        run = problem.loop_config(
            segment.batch_size, segment.learning_rate, limits=Limits(target=target)
        )
        loop, _ = fit(run, loop, Enough(min(segment.until, first + (most - spent) / each)))
        before = loop.history[lines - 1] if lines else None
        for line in loop.history[lines:]:
            if line.validation_loss <= target:
                update = float(line.update)
                if before is not None:
                    fall = before.validation_loss - line.validation_loss
                    part = (before.validation_loss - target) / fall
                    update = before.update + part * (line.update - before.update)
                return spent + max(0.0, update - first) * each
            before = line
        spent += (loop.state.update - first) * each
        segment = following(loop)
    return math.inf


def once_grown(segments: Sequence[Segment]) -> Callable[[LoopState], Segment | None]:
    """Segments one after the other."""
    left = list(segments)
    return lambda loop: left.pop(0) if left else None


def by_noise(sweep: Sweep, size: int, rate: float, updates: float) -> Callable[..., Segment | None]:
    """The largest power of four times the size below the noise scale, looked at eight times."""
    meter = NoiseMeter(sweep.problem)
    state = {"size": size, "asked": 0}

    def following(loop: LoopState) -> Segment:
        state["asked"] += 1
        if state["asked"] > 1:
            scale = gradient_noise(meter(loop.state.params)).noise_scale
            scale = math.inf if scale is None else scale  # The gradient is lost in the noise.
            if scale >= GROWTH * state["size"] and GROWTH * state["size"] <= max(sweep.sizes):
                state["size"] *= GROWTH
        return Segment(state["size"], rate, state["asked"] * updates / 8)

    return following


def compared(sweep: Sweep) -> dict[str, Any]:
    """Gains of growing batches over the best fixed setting of a sweep."""
    table = {size: one for size, one in sweep.table().items() if math.isfinite(one[1])}
    size = min(table, key=lambda one: table[one][1])
    rate = table[size][0]
    most = CAP * table[size][1]

    def median(make: Callable[[], Callable[[LoopState], Segment | None]]) -> float:
        return statistics.median(seconds_of(sweep, seed, make(), most) for seed in SEEDS)

    fixed = median(lambda: once_grown([Segment(size, rate, math.inf)]))
    updates = fixed / speed.seconds_at(sweep.speed, size)
    tried = {}
    for begin in (size, size // GROWTH):
        if begin not in table or begin * GROWTH not in table:
            continue
        first = table[begin][0]
        for moment in MOMENTS:
            for factor in RATE_FACTORS:
                until = moment * updates * (size / begin if begin < size else 1.0)
                segments = [
                    Segment(begin, first, until),
                    Segment(begin * GROWTH, factor * first, math.inf),
                ]
                name = f"{begin} to {begin * GROWTH} at {moment:g}, rate times {factor:g}"
                tried[name] = median(lambda one=segments: once_grown(one)) / fixed  # type: ignore[misc]
    best = min(tried, key=lambda name: tried[name])
    return {
        "problem": sweep.case.name,
        "fixed": f"{size:,} at {rate:.3g}",
        "seconds": fixed,
        "noise": median(lambda: by_noise(sweep, size, rate, updates)) / fixed,
        "hindsight": tried[best],
        "best": best,
        "tried": tried,
    }


def report(found: Sequence[dict[str, Any]]) -> str:
    """The ratios as a table."""
    rows = [
        [
            one["problem"],
            one["fixed"],
            f"{one['noise']:.2f}",
            f"{one['hindsight']:.2f}",
            one["best"],
            f"{statistics.median(one['tried'].values()):.2f}",
        ]
        for one in found
    ]
    heads = ["problem", "best fixed", "noise", "hindsight", "which one", "median of the grid"]
    middle = {
        name: statistics.median(one[name] for one in found) for name in ("noise", "hindsight")
    }
    on = "worth switching on" if middle["noise"] <= 1.0 - WORTH else "not worth switching on"
    return (
        f"{measure.table(heads, rows)}\n\nTime over that of the best fixed setting; median by "
        f"noise {middle['noise']:.2f}, in hindsight {middle['hindsight']:.2f}: {on}."
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare on every problem that was swept, and keep what was found."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks batch_growth", description=__doc__)
    parser.add_argument("--tables", type=Path, help="folder with the tables that are not shipped")
    parser.add_argument("--only", help="names of problems, separated by commas")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    set_up()
    found = []
    for case in CASES:
        path = FOLDER / "cells" / f"{case.name}.json"
        wanted = not options.only or case.name in options.only.split(",")
        problem = case.load(options.tables) if wanted and path.exists() else None
        if problem is None:
            continue
        cells = Cells(path)
        found.append(compared(Sweep(case, problem, cells)))
        print(found[-1], flush=True)
        if not options.no_save:
            kept = {name: found[-1][name] for name in ("noise", "hindsight")}
            cells.keep(
                "growth", {name: one if math.isfinite(one) else None for name, one in kept.items()}
            )
    measure.record("batch_growth", report(found), {"problems": found}, save=not options.no_save)


if __name__ == "__main__":
    main()
