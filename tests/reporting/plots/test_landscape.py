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
