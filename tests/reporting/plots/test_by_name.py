"""Figures by name lie on their side where the names are long."""

from __future__ import annotations

import pytest

from descend.reporting.page_model import Plot, Table
from descend.reporting.plots.by_name import MOST_LYING, by_name
from descend.reporting.plots.figures import bars, error_bars, figure, line, points
from descend.reporting.plots.png import picture

LONG = ["Married-civ-spouse", "Never-married", "Married-spouse-absent"]


def test_short_names_stand_and_long_ones_lie_with_the_first_at_the_top() -> None:
    trace = points("share", [0, 1, 2], [0.1, 0.2, 0.3])
    trace["error_y"] = error_bars([0.1, 0.2, 0.3], [0.0, 0.1, 0.2], [0.2, 0.3, 0.4])
    drawn = figure([trace, line("all", [0, 2], [0.2, 0.2], 1)], "status", "share", zero=True)
    standing = by_name(drawn, ["a", "b", "c"])
    assert standing["layout"]["xaxis"]["ticktext"] == ["a", "b", "c"]
    lying = by_name(drawn, LONG)
    layout, [first, second] = lying["layout"], lying["data"]
    assert layout["yaxis"]["ticktext"] == LONG
    assert layout["yaxis"]["range"] == [2.5, -0.5]
    assert layout["yaxis"]["title"]["text"] == ""  # It would lie on the names.
    assert drawn["layout"]["xaxis"]["title"]["text"] == "status"
    assert layout["xaxis"]["rangemode"] == "tozero"
    assert (first["x"], first["y"]) == ([0.1, 0.2, 0.3], [0, 1, 2])
    assert first["error_x"] == trace["error_y"]
    assert second["x"] == [0.2, 0.2]
    assert "xaxis" in drawn["layout"]
    assert trace["y"] == [0.1, 0.2, 0.3]  # What was given is unchanged.


def test_more_names_than_fit_stay_below() -> None:
    names = [f"a long name {one}" for one in range(MOST_LYING + 1)]
    drawn = figure([points("", range(len(names)), range(len(names)))], "", "")
    assert by_name(drawn, names)["layout"]["xaxis"]["ticktext"] == names


@pytest.mark.slow
def test_lying_bars_can_be_drawn_as_a_picture() -> None:
    drawn = by_name(figure([bars("rows", [0, 1, 2], [5, 3, 2])], "status", "rows"), LONG)
    assert drawn["data"][0]["orientation"] == "h"
    plot = Plot("target", "The classes", drawn, Table(["a"], []))
    assert picture(plot).startswith(b"\x89PNG")
