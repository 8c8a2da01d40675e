"""The page with surfaces to play with: their rows, and the engine's order of them."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from descend.data.rows.order import epoch_rows
from descend.errors import option_text
from descend.io.atomic import write_whole
from descend.io.ownership import PAGE, check_replaceable
from descend.reporting.pages.play import play_page
from descend.tuning.landscape.surfaces import SURFACES, Surface

ROWS = 256
"""Of every surface: a row number is one byte."""
EPOCHS, SEEDS = 100, 8
"""Orders that the page holds; later epochs are shuffled by the page itself."""
CROWD = 1000
BASIC = ("full", "mini", "sgd")
BEGIN: dict[str, dict[str, Any]] = {
    "bowl": {"rate": 0.1, "batch": 16, "methods": BASIC},
    "valley": {
        "rate": 0.7,
        "batch": 32,
        "methods": ("full", "steepest", "coordinate", "conjugate"),
    },
    "double-well": {"rate": 0.1, "batch": 4, "methods": ("full", "mini")},
    "many-minima": {"rate": 0.15, "batch": 2, "methods": BASIC},
}
"""Settings at which each surface shows what its title says."""


def play(out: Path, first: str = "valley", *, force: bool = False) -> Path:
    """Write the page.

    Args:
        out: a folder, which gets `play.html`, or a name ending in .html.
        first: the surface to begin with.
        force: whether a page that stands there may be replaced.

    Raises:
        InputError: the file exists and is no page of descend, or cannot be written.
    """
    path = out if out.suffix == ".html" else out / "play.html"
    check_replaceable(path, PAGE, option_text("out"), force=force)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, play_page(play_data(first)))
    return path


def play_data(first: str = "valley") -> dict[str, Any]:
    """What the page computes with."""
    orders = [
        epoch_rows(seed, epoch, 0, ROWS, ROWS).astype(np.uint8).tobytes()
        for seed in range(SEEDS)
        for epoch in range(EPOCHS)
    ]
    return {
        "rows": ROWS,
        "epochs": EPOCHS,
        "seeds": SEEDS,
        "orders": base64.b64encode(b"".join(orders)).decode("ascii"),
        "crowd": CROWD,
        "first": first,
        "surfaces": [_surface(make(rows=ROWS)) for make in SURFACES.values()],
    }


def _surface(surface: Surface) -> dict[str, Any]:
    begin = BEGIN[surface.name]
    return {
        "name": surface.name,
        "kind": "quadratic" if surface.hessian is not None else surface.name,
        "title": surface.title,
        "rows": [[float(value) for value in row] for row in surface.rows],
        "start": list(surface.start),
        "window": [list(ends) for ends in surface.window],
        "minimum": list(surface.minimum),
        "hessian": None if surface.hessian is None else surface.hessian.tolist(),
        "crowd": surface.hessian is None,
        **{**begin, "methods": list(begin["methods"])},
    }
