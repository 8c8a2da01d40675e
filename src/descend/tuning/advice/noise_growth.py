"""Gradient noise at fixed moments of a short run, to show how it grows while the model learns.

The noise scale depends on when it is measured: it grows as the loss falls (McCandlish et al. 2018,
arXiv 1812.06162, section 2.2). So it is measured at fixed numbers of updates of one run whose batch
size and learning rate do not depend on measured times. The same table and seed then give the same
noise scales on every machine and at every load, to rounding.
"""

from __future__ import annotations

import numpy as np

from descend.tuning.advice import lr_range, selection
from descend.tuning.advice.noise import NoiseMeter, cosines, gradient_noise
from descend.tuning.advice.stages import Work, first_probe
from descend.tuning.advice.trials import Trial

MOMENTS = (0, 100, 500)
"""Numbers of updates after which the noise is measured."""
RATE_FRACTION = 1 / 8
"""Learning rate of that run, as a fraction of the maximum stable rate."""


def measure_noise(work: Work, learning_rate: float | None) -> None:
    """Measure and record the gradient noise at `MOMENTS`, unless training is too short for it.

    Args:
        work: what the stages share; `noise` and the evidence are extended.
        learning_rate: the rate, if it was given.
    """
    records = work.evidence.setdefault("noise", [])
    if "noise" in work.left_out:
        return
    runner = work.runner
    size = first_probe(runner.problem, work.possible)
    if learning_rate is None:
        learning_rate = _rate_of_run(work, size)
    if learning_rate is None:
        return
    meter = NoiseMeter(runner.problem)
    schedule = runner.problem.loop_config(size, learning_rate).schedule
    trial = runner.start(size, learning_rate)
    for moment in MOMENTS:
        if moment > trial.updates:
            rates = learning_rate * schedule(np.arange(trial.updates, moment))
            trial, _ = runner.advance(trial, rates.astype(np.float32))
        assert trial.state is not None
        loss = runner.evaluate(trial.state.params)
        if runner.has_diverged(loss):
            return
        records.append(_measure_at(work, meter, trial, loss))


def _rate_of_run(work: Work, size: int) -> float | None:
    known = {line["batch_size"]: line["learning_rate"] for line in work.evidence["breaking"]}
    highest = known.get(size)
    if highest is None and size != work.reference:
        highest = lr_range.max_stable_rate(work.runner, size)
    return None if highest is None else lr_range.round_rate(highest * RATE_FRACTION)


def _measure_at(work: Work, meter: NoiseMeter, trial: Trial, loss: float) -> dict[str, object]:
    assert trial.state is not None
    measured = meter(trial.state.params)
    noise = gradient_noise(measured, work.runner.problem.seed)
    work.noise.append(noise)
    return {
        "updates": trial.updates,
        "batch_size": trial.batch_size,
        "loss": loss,
        "squared_norm": noise.squared_norm,
        "trace": noise.trace,
        "noise_scale": noise.noise_scale,
        "interval": selection.finite(noise.interval),
        "rows": len(measured.products) * measured.rows,
        "cosine": [one._asdict() for one in cosines(measured, noise)],
    }
