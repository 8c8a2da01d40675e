"""Gradient noise at fixed moments of short runs, to show how it grows while the model learns.

The noise scale depends on when it is measured: it grows as the loss falls (McCandlish et al. 2018,
arXiv 1812.06162, section 2.2). So it is measured at fixed numbers of updates of runs whose batch
size and learning rate do not depend on measured times. Several runs, from initial weights and with
an order of rows of their own, show how much it differs from one run to the next.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import numpy as np

from descend.tuning.advice import lr_range, selection, speed
from descend.tuning.advice.noise import (
    GROUP_ROWS,
    GROUPS,
    NoiseMeter,
    Products,
    cosines,
    gradient_noise,
    noise_of_runs,
)
from descend.tuning.advice.reference import first_probe
from descend.tuning.advice.trials import TrialRunner
from descend.tuning.advice.work import Work

MOMENTS = (0, 100, 500)
"""Numbers of updates after which the noise is measured."""
POINTS, PART = 4, 0.6
"""Weights that are measured for a moment: evenly between this part of its updates and all."""
RUNS, MIN_RUNS = 4, 2
"""Runs that are measured, and those where updates take long."""
RUNS_FRACTION = 0.1
"""Fraction of the budget for the updates of further runs."""
PRODUCTS_FRACTION = 0.2
"""Fraction of the budget for the gradients of the sampled rows in the fewest runs: fewer rows are
sampled where a gradient takes long, as that of a convolution may."""
RATE_FRACTION = 1 / 8
"""Learning rate of the runs, as a fraction of the maximum stable rate."""


def measure_noise(work: Work, learning_rate: float | None) -> None:
    """Measure and record the gradient noise at `MOMENTS`, unless training is too short for it.

    Args:
        work: what the stages share; `noise` and the evidence are extended.
        learning_rate: the rate, if it was given.
    """
    records = work.evidence.setdefault("noise", [])
    if "noise" in work.left_out:
        return
    size = first_probe(work.runner.problem, work.possible)
    if learning_rate is None:
        learning_rate = _rate_of_runs(work, size)
    if learning_rate is None:
        return
    meter = NoiseMeter(work.runner.problem, _affordable_groups(work))
    each = MOMENTS[-1] * speed.seconds_at(work.speed, size)
    affordable = math.floor(RUNS_FRACTION * work.budget / each)
    runs = [
        _run(work.runner, meter, number, size, learning_rate)
        for number in range(max(MIN_RUNS, min(RUNS, affordable)))
    ]
    for moment, *measured in zip(MOMENTS, *runs, strict=False):
        losses, products = zip(*measured, strict=True)
        noise = noise_of_runs(products, work.runner.problem.seed)
        work.noise.append(noise)
        own = gradient_noise(products[0][0], work.runner.problem.seed)
        records.append(
            {
                "updates": moment,
                "batch_size": size,
                "loss": float(np.mean(losses)),
                "squared_norm": noise.squared_norm,
                "trace": noise.trace,
                "noise_scale": noise.noise_scale,
                "interval": selection.finite(noise.interval),
                "rows": len(products[0][0].products) * products[0][0].rows,
                "runs": len(runs),
                "cosine": [one._asdict() for one in cosines(products[0][0], own)],
            }
        )


def _affordable_groups(work: Work) -> int:
    """Groups whose gradients in the fewest runs take no more than their part of the budget.

    A power of two: advices whose timing differs a little sample the same rows.
    """
    measured = MIN_RUNS * (1 + POINTS * (len(MOMENTS) - 1))
    each = measured * speed.seconds_at(work.speed, GROUP_ROWS)
    affordable = max(1.0, PRODUCTS_FRACTION * work.budget / each)
    return 1 << math.floor(math.log2(min(float(GROUPS), affordable)))


def _rate_of_runs(work: Work, size: int) -> float | None:
    known = {line["batch_size"]: line["learning_rate"] for line in work.evidence["breaking"]}
    highest = known.get(size)
    if highest is None and size != work.reference:
        highest = lr_range.max_stable_rate(work.runner, size)
    return None if highest is None else lr_range.round_rate(highest * RATE_FRACTION)


def _run(
    runner: TrialRunner, meter: NoiseMeter, number: int, size: int, learning_rate: float
) -> Iterator[tuple[float, list[Products]]]:
    """For each moment of a run the mean loss, and the products at weights shortly before it.

    The first of them belong to the weights of the moment itself. It ends where the loss diverges.

    Args:
        runner: of the advice.
        meter: measures the products.
        number: of the run; the first begins as every trial does.
        size: rows per update.
        learning_rate: constant, after the warm-up that runs of the problem begin with.
    """
    problem = dataclasses.replace(runner.problem, seed=runner.problem.seed + number)
    own = dataclasses.replace(
        runner, problem=problem, snapshot=problem.begin().state, chunk_caches={}
    )
    schedule = problem.loop_config(size, learning_rate).schedule
    trial = own.start(size, learning_rate)
    for moment in MOMENTS:
        losses: list[float] = []
        products: list[Products] = []
        for stop in sorted({round(one) for one in np.linspace(PART * moment, moment, POINTS)}):
            if stop > trial.updates:
                rates = learning_rate * schedule(np.arange(trial.updates, stop))
                trial, _ = own.advance(trial, rates.astype(np.float32))
            assert trial.state is not None
            losses.append(runner.evaluate(trial.state.params))
            if runner.has_diverged(losses[-1]):
                return
            last = number == 0 and stop == moment
            products.insert(0, meter(trial.state.params, singles=last))
        yield float(np.mean(losses)), products
