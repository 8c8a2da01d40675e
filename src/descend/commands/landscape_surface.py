"""A named surface of two parameters: contours, the path of every method, escapes from a minimum."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from descend.reporting.progress import Progress
from descend.settings import Settings
from descend.training.jax_setup import jit_program
from descend.training.optimizers import make_optimizer
from descend.tuning.landscape.escape import Escape, escape_law, escapes
from descend.tuning.landscape.paths import Path, classical_path, descend_path, full_loss
from descend.tuning.landscape.rates import RATES, WalkRate, walk_rate
from descend.tuning.landscape.surfaces import Surface

POINTS = 60
BATCH = 32
EPOCHS = 20
"""Every update rule may read the rows this often, when its rate is tuned and for its path."""
MOST_POINTS = 300
"""Points of a path in the record: more could not be seen."""


class Walk(NamedTuple):
    """A method that goes over a surface: an update rule, and its rows per update (None: all)."""

    title: str
    rule: str
    batch_size: int | None


WALKS = (
    Walk("Gradient descent", "sgd", None),
    Walk("Gradient descent + momentum", "momentum", None),
    Walk(f"Mini-batch {BATCH}", "sgd", BATCH),
    Walk("SGD", "sgd", 1),
    Walk(f"Mini-batch {BATCH} + momentum", "momentum", BATCH),
    Walk("SGD + momentum", "momentum", 1),
    Walk("Nesterov", "nesterov", None),
    Walk(f"Adam, {BATCH} rows", "adam", BATCH),
)
CLASSICAL = ("steepest-descent", "coordinate-descent", "conjugate-gradient", "simulated-annealing")
RUNS = 128
LAW_RATES, LAW_RATIOS, LAW_TIME = (0.05, 0.1), (60, 100, 140, 180), 300
GRID_BATCHES, GRID_RATES, GRID_TIME = (4, 16, 64), (0.025, 0.05, 0.1, 0.2), 60
GRID_RULES = {"SGD": "sgd", "momentum": "momentum", "Nesterov": "nesterov", "Adam": "adam"}


def surface_record(surface: Surface, progress: Progress) -> dict[str, Any]:
    """What landscape.json holds of a surface."""
    x, y = (np.linspace(low, high, POINTS) for low, high in surface.window)
    loss = jit_program(jax.vmap(full_loss(surface)))
    grid = jnp.asarray([[across, up] for up in y for across in x], jnp.float32)
    lowest = float(loss(jnp.asarray([surface.minimum], jnp.float32))[0])
    paths = []
    for walk in WALKS:
        progress.message(f"Path of {walk.title}")
        paths.append(_trace_path(surface, walk))
    for name in CLASSICAL:
        title = name.replace("-", " ").capitalize()
        progress.message(f"Path of {title}")
        path = dataclasses.replace(classical_path(surface, name), method=title)
        paths.append(_path_record(path, None))
    found: list[Escape] = []
    share: list[Escape] = []
    if surface.name == "double-well":
        found, share = measure_escapes(surface, progress)
    law = escape_law(found)
    return {
        "of": "surface",
        "name": surface.name,
        "title": surface.title,
        "rows": len(surface.rows),
        "minimum": list(surface.minimum),
        "lowest": lowest,
        "epochs": EPOCHS,
        "rates": list(RATES),
        "grid": {
            "x": x.tolist(),
            "y": y.tolist(),
            "loss": np.asarray(loss(grid)).reshape(POINTS, POINTS).tolist(),
        },
        "paths": paths,
        "escapes": [dataclasses.asdict(one) for one in found],
        "escape_law": dataclasses.asdict(law) if law else None,
        "left": [dataclasses.asdict(one) for one in share],
        "left_time": GRID_TIME,
    }


def measure_escapes(surface: Surface, progress: Progress) -> tuple[list[Escape], list[Escape]]:
    """Times to leave against B/η at two learning rates, and the part that left over a grid."""
    progress.message("Times to leave the shallow minimum")
    found = [
        escapes(surface, round(ratio * rate), rate, runs=RUNS, updates=round(LAW_TIME / rate))
        for ratio in LAW_RATIOS
        for rate in LAW_RATES
    ]
    progress.message("How often each method leaves it")
    rules = {
        name: make_optimizer(Settings("y", optimizer=rule)) for name, rule in GRID_RULES.items()
    }
    share = [
        escapes(
            surface,
            batch,
            rate,
            rule=name,
            optimizer=optimizer,
            runs=RUNS,
            updates=round(GRID_TIME / rate),
            seed=1,
        )
        for name, optimizer in rules.items()
        for batch in GRID_BATCHES
        for rate in GRID_RATES
    ]
    return found, share


def _trace_path(surface: Surface, walk: Walk) -> Mapping[str, Any]:
    """The path of a method at the rate that suits it."""
    optimizer = make_optimizer(Settings("y", optimizer=walk.rule))
    size = walk.batch_size or len(surface.rows)
    updates = EPOCHS * (len(surface.rows) // size)
    plain = walk.rule == "sgd" and walk.batch_size is None
    tuned = walk_rate(surface, optimizer, batch_size=size, updates=updates, must_fall=plain)
    path = descend_path(
        surface,
        walk.title,
        optimizer,
        batch_size=size,
        learning_rate=tuned.learning_rate,
        updates=updates,
    )
    return _path_record(path, tuned)


def _path_record(path: Path, tuned: WalkRate | None) -> Mapping[str, Any]:
    last = len(path.points) - 1
    # All of the first updates, then fewer and fewer: a path is most eventful at its beginning.
    shown = sorted(
        {0, last, *range(min(last, 60)), *np.linspace(0, last, MOST_POINTS).astype(int).tolist()}
    )
    points = path.points[shown].tolist()
    return {
        "method": path.method,
        "points": points,
        "losses": path.losses[shown].tolist(),
        "updates": shown,
        "rows_read": path.rows_read,
        "learning_rate": tuned.learning_rate if tuned else None,
        "trials": list(tuned.losses) if tuned else None,
    }
