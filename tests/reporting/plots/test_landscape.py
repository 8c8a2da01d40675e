"""The plots of a landscape: the methods that a title speaks of are the ones that are drawn."""

from __future__ import annotations

from typing import Any

import pytest

from descend.reporting.plots.landscape import SHOWN, contours_plot, paths_in_order
from tests.records import landscape_record

METHODS = [
    "Gradient descent",
    "Gradient descent + momentum",
    "Mini-batch 32",
    "Mini-batch 32 + momentum",
    "Steepest descent",
    "Coordinate descent",
    "Conjugate gradient",
]


def record_of(name: str) -> dict[str, Any]:
    record = landscape_record(name)
    path = record["paths"][0]
    return {**record, "paths": [{**path, "method": method} for method in METHODS]}


@pytest.mark.parametrize(
    ("name", "drawn"),
    [
        ("valley", ["Gradient descent", "Steepest descent", METHODS[5], METHODS[6]]),
        ("double-well", ["Mini-batch 32", "Gradient descent"]),
        ("many-minima", METHODS[:SHOWN]),
    ],
)
def test_the_methods_of_the_title_are_drawn_first(name: str, drawn: list[str]) -> None:
    record = record_of(name)
    paths, shown = paths_in_order(record)
    assert [path["method"] for path in paths[:shown]] == drawn
    assert sorted(path["method"] for path in paths) == sorted(METHODS)
    traces = contours_plot(record).figure["data"][1:-1]
    assert [one["name"] for one in traces if one.get("visible") is None] == drawn


def test_shallow_minima_have_lines_too() -> None:
    record = landscape_record("many-minima")
    # A deep well of 0, shallow ones of 0.4, and hills of 1.
    loss = [[1.0, 0.4, 1.0], [0.4, 0.0, 0.4], [1.0, 0.4, 1.0]]
    grid = {"x": [0.0, 1.0, 2.0], "y": [0.0, 1.0, 2.0], "loss": loss}
    ground = contours_plot({**record, "grid": grid}).figure["data"][0]
    lines = ground["contours"]
    heights = ground["z"]
    between = (heights[0][0] - heights[0][1]) / lines["size"]
    assert between >= 4
    assert (heights[0][1] - heights[1][1]) / lines["size"] >= 4
