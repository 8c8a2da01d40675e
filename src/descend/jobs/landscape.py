"""The loss as a landscape: named surfaces with the paths of every method, or a plane of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import descend
from descend.errors import InputError, SettingsError
from descend.reporting.landscape_page import landscape_report
from descend.reporting.progress import Progress
from descend.runs.files import write_error, write_json, write_whole
from descend.runs.run import is_run, read_run_record
from descend.settings import Settings, settings_from
from descend.training.engine import set_up
from descend.training.optimizers import make_optimizer
from descend.tuning.escape import Escape, escape_law, escapes
from descend.tuning.paths import Path as Walk
from descend.tuning.paths import classical_path, descend_path, full_loss
from descend.tuning.surfaces import SURFACES, Surface

RECORD, PAGE = "landscape.json", "landscape.html"
POINTS = 60
STEADY = {"bowl": 0.45, "valley": 0.38, "double-well": 0.2, "many-minima": 0.15}
"""Learning rates of gradient descent, near twice the inverse of the largest curvature."""
BATCH = 32
WALKS = (
    # Title, rule, rows per update (None: all), part of the steady rate, updates.
    ("Gradient descent", "sgd", None, 1.0, 60),
    ("Gradient descent with momentum", "momentum", None, 0.25, 60),
    ("Mini-batch 32", "sgd", BATCH, 0.5, 120),
    ("Mini-batch 32 with momentum", "momentum", BATCH, 0.1, 120),
    ("Stochastic gradient descent", "sgd", 1, 0.1, 240),
    ("Nesterov", "nesterov", None, 0.25, 60),
    ("Adam", "adam", BATCH, 0.5, 120),
)
CLASSICAL = ("coordinate-descent", "conjugate-gradient", "simulated-annealing")
RUNS = 128
LAW_RATES, LAW_RATIOS, LAW_TIME = (0.05, 0.1), (60, 100, 140, 180), 300
GRID_BATCHES, GRID_RATES, GRID_TIME = (4, 16, 64), (0.025, 0.05, 0.1, 0.2), 60
GRID_RULES = {"SGD": 0.0, "SGD with momentum": 0.9}


def landscape(
    what: str,
    *,
    out: str | Path,
    directions: str = "path",
    force: bool = False,
    progress: Progress,
    command: list[str] | None = None,
) -> dict[str, Any]:
    """Measure a landscape and write landscape.json and landscape.html.

    Args:
        what: a named surface, or a run directory.
        out: the folder to write.
        directions: of the plane of a run: `path` (principal directions of the ways) or `random`.
        force: whether what stands in the folder may be replaced.
        progress: who is told what happens.
        command: what was typed, for the record.

    Returns:
        The record, as landscape.json holds it.

    Raises:
        InputError: neither a surface nor a run, or the folder cannot be written.
    """
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out must name a folder; {folder} is a file.")
    if (folder / RECORD).exists() and not force:
        raise InputError(
            f"The landscape {folder} exists. Type --force to replace it, or another --out."
        )
    if directions not in ("path", "random"):
        raise SettingsError(f"--directions must be path or random; found {directions!r}.")
    set_up()
    if what in SURFACES:
        record = surface_record(SURFACES[what](), progress)
    elif is_run(Path(what)):
        record = run_record(Path(what), directions, progress)
    else:
        raise InputError(
            f"{what} is neither a surface ({', '.join(SURFACES)}) nor a run directory."
        )
    record = {"kind": "landscape", "descend": descend.__version__, "command": command, **record}
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(folder, error) from error
    write_json(folder / RECORD, record)
    write_whole(folder / PAGE, landscape_report(record))
    return record


def surface_record(surface: Surface, progress: Progress) -> dict[str, Any]:
    """The contours of a surface, the paths over it, and how its shallow minimum is left."""
    x, y = (np.linspace(low, high, POINTS) for low, high in surface.window)
    loss = jax.jit(jax.vmap(full_loss(surface)))
    grid = jnp.asarray([[across, up] for up in y for across in x], jnp.float32)
    paths = []
    for title, rule, batch, part, updates in WALKS:
        progress.message(f"Path of {title}")
        rate = STEADY[surface.name] * part
        size = batch or len(surface.rows)
        optimizer = make_optimizer(Settings("y", optimizer=rule))
        walk = descend_path(
            surface, title, optimizer, batch_size=size, learning_rate=rate, updates=updates
        )
        paths.append(_walk_record(walk, rate))
    for name in CLASSICAL:
        progress.message(f"Path of {name}")
        walk = classical_path(surface, name)
        title = name.replace("-", " ").capitalize()
        paths.append(_walk_record(dataclasses.replace(walk, method=title), None))
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
    share = [
        escapes(
            surface,
            batch,
            rate,
            momentum=momentum,
            runs=RUNS,
            updates=round(GRID_TIME / rate),
            seed=1,
        )
        for momentum in GRID_RULES.values()
        for batch in GRID_BATCHES
        for rate in GRID_RATES
    ]
    return found, share


def run_record(path: Path, directions: str, progress: Progress) -> dict[str, Any]:
    """The loss on a plane through the ways that three methods take from a run's initial weights."""
    from descend.data.columns.column import schema_from_json
    from descend.data.prepare import prepare
    from descend.data.rows.layout import layout_from
    from descend.training.recipe import problem_of
    from descend.tuning import plane
    from descend.tuning.methods import methods_for, tuned_rate
    from descend.tuning.race import make_arena

    record = read_run_record(path)
    source = record["data"]["source"]
    if source is None:
        raise InputError(f"The run {path} was trained on data in memory, which is gone.")
    settings = settings_from(record["settings"])
    prepared = prepare(
        source,
        settings,
        schema=schema_from_json(record["schema"]),
        layout=layout_from(record["data"]["layout"]),
        say=progress.message,
    )
    problem = problem_of(settings, prepared)
    arena = make_arena(problem)
    rows = len(problem.store)
    methods = [
        one for one in methods_for(rows, int(settings.batch_size)) if one.optimizer == "momentum"
    ]
    ways: list[plane.Way] = []
    for one in sorted(methods, key=lambda method: method.batch_size):
        title = one.title.removesuffix(" with momentum")
        progress.message(f"The way of {title}")
        taken = one.batch_size == settings.batch_size
        smaller = ways[-1].learning_rate if ways else None
        rate = (
            float(settings.learning_rate)
            if taken
            else tuned_rate(arena, one.batch_size, SECONDS_OF_TRIALS, smaller).learning_rate
        )
        stops = _stops(one.batch_size, rows)
        ways.append(plane.way_of(arena, title, one.batch_size, rate, stops))
    reference = next(way for way in ways if way.batch_size == settings.batch_size)
    centre = reference.snapshots[-1].astype(np.float64)
    if directions == "path":
        axes = plane.principal_axes(ways, centre)
    else:
        _, unravel = jax.flatten_util.ravel_pytree(arena.snapshot.params)
        axes = plane.random_axes(unravel(jnp.asarray(centre, jnp.float32)), settings.seed)
    progress.message("The loss on the plane")
    found = plane.loss_plane(arena, ways, centre, axes)
    return {
        "of": "run",
        "name": str(path),
        "target": settings.target,
        "optimizer": settings.optimizer,
        "title": "The loss on a plane through the ways of three methods",
        "directions": directions,
        "explained": found.explained,
        "rows": rows,
        "grid": {"x": found.x.tolist(), "y": found.y.tolist(), "loss": found.losses.tolist()},
        "paths": [
            {
                "method": way.title,
                "points": found.points(way).tolist(),
                "losses": list(way.losses),
                "updates": list(way.updates),
                "rows_read": way.batch_size,
                "learning_rate": way.learning_rate,
            }
            for way in ways
        ],
    }


SECONDS_OF_TRIALS = 1.5
SNAPSHOTS = 24
MOST_UPDATES = 6000
FEWEST_UPDATES = 48


def _stops(batch_size: int, rows: int) -> list[int]:
    """Updates after which to look: about three epochs, closer together at first."""
    total = max(FEWEST_UPDATES, min(MOST_UPDATES, 3 * rows // batch_size))
    places = np.geomspace(1, total, SNAPSHOTS)
    return sorted({round(float(place)) for place in places})


def _walk_record(walk: Walk, rate: float | None) -> Mapping[str, Any]:
    points: Sequence[Any] = walk.points.tolist()
    return {
        "method": walk.method,
        "points": points,
        "losses": walk.losses.tolist(),
        "updates": list(range(len(points))),
        "rows_read": walk.rows_read,
        "learning_rate": rate,
    }
