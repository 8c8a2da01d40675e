"""What is measured on copies of a PyTorch model: speed, learning rates and gradient noise."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from descend.torch.bench import GROWTH, TURNS, Bench
from descend.tuning.advice.noise import Products, gradient_noise, noise_of_runs
from descend.types import GradientNoise

GROUPS = 48
"""Groups of rows whose gradients tell the noise."""
FEWEST_GROUPS = 8
"""With fewer, where time is short, it is not told."""
GROUP_ROWS = 32
"""Most rows of a group."""
POINTS, PART = 3, 0.6
"""Weights of a training whose noise is averaged, from this part of its updates on."""
TRAINED = 0.75
"""The part of the time that this training may take."""
FIRST_RATE = 8
"""The part of the search for rates that the first rate may take."""


def measure_speed(bench: Bench, until: float) -> dict[int, float]:
    """Seconds per update by batch size, for powers of four while time remains."""
    found: dict[int, float] = {}
    size = bench.smallest
    while size <= len(bench.training):
        model = bench.copied()
        rule = bench.optimizer_of(model, 1e-9)
        times = []
        for _ in range(1 + TURNS):
            started = bench.clock()
            bench.update(model, rule, bench.draw(size))
            times.append(bench.clock() - started)
            if bench.clock() > until:
                break
        found[size] = max(1e-9, float(np.median(times[1:] or times)))
        if bench.clock() + GROWTH * found[size] > until:
            break
        size *= GROWTH
    return found


def search_rates(bench: Bench, size: int, seconds: float, until: float) -> dict[float, float]:
    """The loss after a few updates at rates from 10⁻⁴ up, until it is far above the best.

    Args:
        bench: with the model and the rows.
        size: rows per update.
        seconds: of an update, as measured before.
        until: when the search is to be over, by the clock.
    """
    found: dict[float, float] = {}
    left = max(0.0, until - bench.clock())
    count = min(300, max(2, int(left / 10 / seconds)))
    for power in range(10):
        rate = 1e-4 * 10 ** (power / 2)
        if found:
            _, made, loss = bench.train(size, rate, count, until)
            if made < count and math.isfinite(loss):
                break  # Fewer updates than the others had: nothing to compare.
        else:
            first = bench.clock() + left / FIRST_RATE
            _, count, loss = bench.train(size, rate, count, first)
        found[rate] = loss
        if not math.isfinite(loss) or loss > _far_above(bench, min(found.values())):
            break
        if bench.clock() > until:
            break
    return found


def _far_above(bench: Bench, best: float) -> float:
    """A loss that only a rate that is too high can give, where the best is this one.

    Losses below zero, such as log densities, have no multiples: they are compared with the
    loss of the module as it came.
    """
    if best > 0:
        return 10.0 * best
    start = bench.validation_loss(bench.module)
    return start + max(abs(start), abs(best))


def noise_at(bench: Bench, model: Any, until: float = math.inf) -> GradientNoise | None:
    """The gradient noise at the weights of a model, from the gradients of groups of rows.

    None if time runs out before there are enough groups.
    """
    measured = _products(bench, model, GROUPS, until)
    return None if measured is None else gradient_noise(measured)


def noise_along(
    bench: Bench, size: int, rate: float, updates: int, until: float = math.inf
) -> GradientNoise | None:
    """The mean noise at some weights of the last updates of a training.

    Its interval holds the difference between them. None if time runs out before that.

    Args:
        bench: with the model and the rows.
        size: rows per update.
        rate: learning rate.
        updates: of the training.
        until: when it is to be over, by the clock.
    """
    stops = sorted({max(1, round(one)) for one in np.linspace(PART * updates, updates, POINTS)})
    trained_until = bench.clock() + TRAINED * (until - bench.clock())
    measured = []
    for model, _, finite in bench.train_past(size, rate, stops, trained_until):
        found = _products(bench, model, GROUPS // POINTS, until) if finite else None
        if found is not None:
            measured.append(found)
    if not measured:
        return None
    groups = min(len(one.products) for one in measured)
    kept = [one._replace(products=one.products[:groups, :groups]) for one in measured]
    return noise_of_runs([kept])


def _products(bench: Bench, model: Any, groups: int, until: float) -> Products | None:
    """Inner products of the gradients of groups of rows; None if there are too few in time."""
    import torch

    rows = group_rows(bench)
    model = bench.copied(model)
    gradients = []
    for _ in range(groups):
        model.zero_grad()
        bench.mean_loss(model, bench.draw(rows)).backward()
        # A part of the model that these rows do not reach has no gradient: zero.
        parts = [
            _real(torch.zeros_like(one) if one.grad is None else one.grad.to_dense()).reshape(-1)
            for name, one in model.named_parameters()
            if name in bench.trained
        ]
        gradients.append(torch.cat(parts).double().cpu().numpy())
        if bench.clock() > until:
            break
    if len(gradients) < FEWEST_GROUPS:
        return None
    together = np.stack(gradients)
    nothing = np.zeros((0, 0))
    return Products(together @ together.T, rows, nothing, np.zeros(0))


def group_rows(bench: Bench) -> int:
    """Rows in a group whose mean gradient is one sample for the noise."""
    return max(bench.smallest, min(GROUP_ROWS, len(bench.training) // 16))


def _real(gradient: Any) -> Any:
    """A gradient as real numbers: of a complex one both parts."""
    import torch

    return torch.view_as_real(gradient) if gradient.is_complex() else gradient
