"""Advice for a PyTorch model: the order of the measurements, and the decision."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from descend.defaults import TORCH_REFERENCE_BATCH
from descend.errors import DivergedError, InputError
from descend.settings import SEEDS
from descend.torch.bench import Bench
from descend.torch.measurements import (
    GROUPS,
    group_rows,
    measure_speed,
    noise_along,
    noise_at,
    search_rates,
)
from descend.torch.optimizers import MakeOptimizer
from descend.torch.rows import Clock
from descend.torch.step import Loss, Step
from descend.types import Advice

NEAR = 1.25
"""Batch sizes within this factor of the shortest time count as equally good."""
CLOSE = 0.05
"""Losses that differ from the lowest by at most this part of it count as equally good."""
SPREADS = (1.0, 0.5, 2.0)
"""Factors of the expected learning rate to try; if time is short, only the first ones."""
OPEN_SPREADS = (10.0, 100.0, 1.0)
"""The same where the time did not suffice for rates so high that the loss grows."""
SIZES = 3
LOOKED_FOR = 0.05
"""The part of the budget in which a row is looked for that makes the loss infinite."""
READING, SPEED, RATES, NOISE, TRIALS = 0.1, 0.25, 0.5, 0.65, 0.95
"""Fractions of the budget by which reading, timing, the search for rates, the noise and the trials
end."""


def advise(
    module: Any,
    loss: Loss | None,
    dataset: Any,
    *,
    step: Step | None = None,
    optimizer: MakeOptimizer | Any | None = None,
    collate: Any = None,
    budget: float = 30.0,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    clock: Clock = time.perf_counter,
) -> Advice:
    """Find the batch size and the learning rate of a PyTorch model by measuring.

    Copies of the module are trained, in training mode (parts that are in evaluation mode while the
    module is in training mode stay so). The module itself, its mode, its optimizer and the random
    states of PyTorch, NumPy and Python stay as they are. What is measured: seconds per update,
    reading the rows from the data set included; the gradient noise, before and after some
    updates; and short trials from the same weights, which decide.

    Args:
        module: a `torch.nn.Module`, on the device it is to be trained on.
        loss: `(outputs, y) -> mean loss of the batch`; one loss for each row works too.
            None if `step` is given.
        dataset: a map-style or iterable data set of pairs (x, y), or a `DataLoader` over one,
            whose sampler says which rows there are.
        step: `(module, batch) -> mean loss`, for batches that are not (x, y).
        optimizer: `(parameters, learning_rate) -> torch.optim.Optimizer`, a class of these, or
            an optimizer, whose options are used, and which of the module's parameters it has;
            None is SGD with momentum 0.9.
        collate: makes a batch of a list of rows, as in a `DataLoader`; None takes the loader's.
        budget: seconds that the advice may take; a single step that takes longer is finished.
            The first optimizer of a process takes a second more, for what PyTorch imports then.
        seed: of the rows, their order, and dropout.
        out: a folder for `advice.json` and `advice.html`; None writes nothing.
        force: replace an earlier advice in that folder.
        clock: seconds, for tests.

    Returns:
        The advice, with evidence as from `descend.advise`. The batch size is at most the number of
        rows in the data set.

    Raises:
        InputError: torch is not installed, or module, data, loss or optimizer cannot be used; the
            message says what to give instead.
        DivergedError: no learning rate was low enough.
    """
    try:
        import torch
    except ImportError:
        raise InputError(
            "Advice for a PyTorch model needs torch. Type: pip install torch"
        ) from None
    number = isinstance(budget, int | float) and not isinstance(budget, bool)
    if not number or not 0 < budget < math.inf:
        raise InputError(f"budget must be seconds, above 0; found {budget!r}.")
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < SEEDS:
        raise InputError(f"seed must be a whole number from 0 to {SEEDS - 1}; found {seed!r}.")
    seed = int(seed)
    if isinstance(module, type):
        raise InputError(
            f"Expected a torch.nn.Module; found the class {module.__name__}: make one of it."
        )
    from descend.commands.outputs import ADVICE, free_folder, write_record_and_page
    from descend.io.machine import utc_now

    folder = None if out is None else free_folder(out, ADVICE, force=force)
    # The first optimizer of a process imports PyTorch's compiler: seconds that measure nothing.
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    began, started = utc_now(), clock()
    with _own_random_state(torch, module, seed):
        bench = Bench.make(
            module,
            loss,
            dataset,
            step=step,
            optimizer=optimizer,
            collate=collate,
            seed=seed,
            until=started + READING * budget,
            budget=budget,
            clock=clock,
        )
        advice = _advise(bench, budget, started)
    if folder is not None:
        training, validation = len(bench.training), bench.validation_rows
        content = {
            "started": began,
            "advice": dataclasses.asdict(advice),
            "settings": {
                "batch_size": advice.batch_size,
                "learning_rate": advice.learning_rate,
                "optimizer": "of the loop",
            },
            "rows": {
                "training": training,
                "validation": validation,
                "total": training + validation,
            },
            "task": "",
            "own": {"model": type(module).__name__},
        }
        write_record_and_page(folder, ADVICE, content)
    return advice


@contextmanager
def _own_random_state(torch: Any, module: Any, seed: int) -> Iterator[None]:
    """Seed PyTorch for the measurements, and restore its random state afterwards.

    Those of Python and NumPy come back too: a data set or a step may draw from them. So do the
    gradients of the module, to which a step that does not use its argument adds.
    """
    drawn, of_numpy = random.getstate(), np.random.get_state()
    parameters = list(module.parameters()) if hasattr(module, "parameters") else []
    gradients = [None if one.grad is None else one.grad.clone() for one in parameters]
    devices = {one.device.index or 0 for one in parameters if one.device.type == "cuda"}
    with torch.random.fork_rng(sorted(devices)):
        torch.manual_seed(seed)
        try:
            yield
        finally:
            for one, gradient in zip(parameters, gradients, strict=True):
                one.grad = gradient
            random.setstate(drawn)
            np.random.set_state(of_numpy)


def _advise(bench: Bench, budget: float, started: float) -> Advice:
    """Measure speed, learning rates and gradient noise, then try the sizes that these leave.

    Args:
        bench: the model and the rows.
        budget: seconds of all of it.
        started: when it began, by the clock of the bench.
    """
    clock = bench.clock
    seconds = measure_speed(bench, until=started + SPEED * budget)
    affordable = [size for size, cost in seconds.items() if 20 * cost <= 0.25 * budget]
    reference = min(
        affordable or [min(seconds)], key=lambda size: abs(math.log(size / TORCH_REFERENCE_BATCH))
    )
    until = started + RATES * budget
    rates = search_rates(bench, reference, seconds[reference], until)
    rate = min(rates, key=lambda one: rates[one])
    if not all(map(math.isfinite, rates.values())):
        _refuse_rows_without_loss(bench, LOOKED_FOR * budget)
    if not math.isfinite(rates[rate]):
        if not math.isfinite(bench.validation_loss(bench.copied())):
            raise DivergedError(
                "The loss is NaN or infinite before the first update: look at the rows and the "
                "initial weights. The learning rate is not the cause."
            )
        raise DivergedError(
            "No learning rate was low enough: the loss always became NaN or infinite."
        )
    updates = max(2, int(0.05 * budget / seconds[reference]))
    until = started + NOISE * budget
    noises = []
    start = noise_at(bench, None, until=until - 0.125 * budget)
    later = noise_along(bench, reference, rate, updates, until) if clock() < until else None
    for count, noise in ((0, start), (updates, later)):
        if noise is not None:
            interval = [one if math.isfinite(one) else None for one in noise.interval]
            rows = group_rows(bench) * GROUPS
            noises.append(
                {"updates": count, **dataclasses.asdict(noise), "interval": interval, "rows": rows}
            )
    scale = next((one["noise_scale"] for one in reversed(noises) if one["noise_scale"]), None)
    expected = {size: cost * (1.0 + (scale or 1.0) / size) for size, cost in seconds.items()}
    chosen = sorted(expected, key=lambda size: expected[size])[:SIZES]
    trials: list[dict[str, Any]] = []
    still_falling = rate == max(rates)
    settings = [
        (size, spread * rate * _rate_factor(scale, size, reference))
        for spread, size in itertools.product(OPEN_SPREADS if still_falling else SPREADS, chosen)
    ]
    for number, (size, tried) in enumerate(settings):
        left = started + TRIALS * budget - clock()
        if trials and left <= 0:
            break
        slot = max(0.0, left) / (len(settings) - number)
        count = max(1, int(slot / seconds[size]))
        _, made, loss = bench.train(size, tried, count, until=clock() + slot)
        trials.append(_trial_record(size, tried, made, slot, loss))
    if any(one["diverged"] for one in trials):
        _refuse_rows_without_loss(bench, LOOKED_FOR * budget)
    measured = {"speed": seconds, "rates": rates, "reference": reference, "noise": noises}
    return _conclude(bench, trials, expected, measured, budget, started)


def _refuse_rows_without_loss(bench: Bench, seconds: float) -> None:
    """Raise DivergedError where a row, and not the learning rate, makes the loss NaN or infinite.

    Rows are looked at for so many seconds.
    """
    row = bench.row_without_loss(bench.clock() + seconds)
    if row is not None:
        raise DivergedError(
            f"The loss of row {row} is NaN or infinite before the first update: look at its "
            "values. The learning rate is not the cause."
        )


def _conclude(
    bench: Bench,
    trials: list[dict[str, Any]],
    expected: dict[int, float],
    measured: dict[str, Any],
    budget: float,
    started: float,
) -> Advice:
    """The advice from the trials, with the evidence."""
    scale = any(one["noise_scale"] for one in measured["noise"])
    alive = [one for one in trials if not one["diverged"]]
    if not alive:
        raise DivergedError("No trial stayed finite at the rates that went well before.")
    best = min(alive, key=lambda one: float(one["loss"]))
    size = best["batch_size"]
    rates = measured["rates"]
    unknown = ["critical batch size"] + ([] if scale else ["noise scale"])
    # No rate that was tried is too high.
    if min(rates, key=lambda one: rates[one]) == max(rates) and len(alive) == len(trials):
        unknown.append("learning rate")
    near = [one for one in expected if expected[one] <= NEAR * expected[size]]
    good = [
        one["learning_rate"]
        for one in alive
        if one["batch_size"] == size
        and one["loss"] - best["loss"] <= CLOSE * abs(best["loss"]) + 1e-12
    ]
    return Advice(
        batch_size=size,
        learning_rate=float(f"{best['learning_rate']:.3g}"),
        interval=(min(good), max(good)),
        flat_region=(min(*near, size), max(*near, size)),
        evidence={
            "goal": "time",
            "rows": len(bench.training),
            "budget": budget,
            "given": [],
            "decided_by": "trial",
            "start_loss": bench.validation_loss(bench.module),
            "target": best["loss"],
            "speed": [
                {"batch_size": one, "seconds_per_update": cost, "peak_memory": None}
                for one, cost in measured["speed"].items()
            ],
            "reference": measured["reference"],
            "rates_at_reference": measured["rates"],
            "noise": measured["noise"],
            "trials": trials,
            "shortlist": sorted({one["batch_size"] for one in trials}),
            "law": None,
            "curve": [],
            "undetermined": unknown,
        },
        cost=bench.clock() - started,
    )


def _trial_record(
    size: int, rate: float, updates: int, seconds: float, loss: float
) -> dict[str, Any]:
    """A trial as `descend.advise` records it."""
    finite = math.isfinite(loss)
    return {
        "batch_size": size,
        "learning_rate": rate,
        "updates": updates,
        "seconds": seconds,
        "loss": loss if finite else None,
        "diverged": not finite,
        "ratio": None,
        "losses": [[updates, loss]] if finite else [],
    }


def _rate_factor(scale: float | None, size: int, reference: int) -> float:
    """The best rate by batch size: 1 / (1 + B*/B), McCandlish et al. 2018, 2.2."""
    if scale is None:
        return 1.0
    return (1.0 + scale / reference) / (1.0 + scale / size)
