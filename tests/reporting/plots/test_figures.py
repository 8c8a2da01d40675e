"""Figures from records, and the pictures drawn from them."""

from __future__ import annotations

import html
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.commands.report import save_pictures
from descend.errors import InputError
from descend.reporting.page_model import Page, Plot, Table
from descend.reporting.pages.compare import compare_page
from descend.reporting.pages.landscape import landscape_page
from descend.reporting.plots.figures import (
    Trace,
    band,
    contour,
    figure,
    heatmap,
    label,
    line,
    named_ticks,
    points,
)
from descend.reporting.plots.history import (
    loss_plot,
    rate_plot,
)
from tests.histories import LOSSES, history_of
from tests.records import compare_record, landscape_record

PNG = b"\x89PNG\r\n\x1a\n"


@given(LOSSES, LOSSES)
def test_every_figure_is_json_and_every_choice_fits_its_traces(
    one: list[float], other: list[float]
) -> None:
    for runs in ({"a": history_of(one)}, {"a": history_of(one), "b": history_of(other)}):
        for plot in (loss_plot(runs), rate_plot(runs)):
            json.dumps(plot.figure, allow_nan=False)
            traces = plot.figure["data"]
            choices = plot.x_choices or {}
            assert {"updates", "epochs", "rows seen"} <= choices.keys()
            for xs in choices.values():
                assert [len(x) for x in xs] == [len(trace["y"]) for trace in traces]
            first = next(iter(choices.values()))
            assert [list(x) for x in first] == [trace["x"] for trace in traces]
            assert all(len(row) == len(plot.table.header) for row in plot.table.rows)


@pytest.mark.parametrize(
    ("values", "kind"), [([1.0, 2.9], "linear"), ([1.0, 3.0], "log"), ([0.0, 1.0], "linear")]
)
def test_an_axis_is_logarithmic_where_its_values_lie_apart(values: list[float], kind: str) -> None:
    layout = figure([line("", [1, 100], values)], "x", "y", log_x=True, log_y=True)["layout"]
    assert (layout["xaxis"]["type"], layout["yaxis"]["type"]) == ("log", kind)


def test_what_is_not_finite_leaves_a_gap() -> None:
    trace = line("a", [0, 1, 2], [math.nan, 1.0, math.inf])
    assert trace["y"] == [None, 1.0, None]


def test_numpy_numbers_become_plain_ones() -> None:
    trace = line("a", np.arange(3), np.ones(3, np.float32))
    assert json.loads(json.dumps(trace))["x"] == [0, 1, 2]


@given(st.text())
def test_labels_hold_no_markup_and_come_back(text: str) -> None:
    assert "<" not in label(text)
    assert html.unescape(label(text)) == text


def test_names_are_escaped_wherever_they_stand() -> None:
    evil = '<a href="https://example.org">x</a>'
    traces = [
        line(evil, [1], [1]),
        points(evil, [1], [1]),
        band(evil, [1], [1], [2]),
        heatmap([1], [1], [[1]], title=evil),
        contour([1], [1], [[1]], title=evil),
    ]
    assert "<a" not in json.dumps(figure(traces, evil, evil))
    assert "<a" not in json.dumps(rate_plot({evil: history_of([1.0]), "b": ()}).figure)


def plot_of(traces: list[Trace], **scales: Any) -> Plot:
    return Plot("name", "Title $5 and $6", figure(traces, "x_1", "$y", **scales), Table((), ()))


GRID = [[float(x * x + y * y) for x in range(5)] for y in range(4)]


@pytest.mark.parametrize(
    "plot",
    [
        loss_plot({"_a <b>": history_of([3.0, 2.0, math.nan]), "b": history_of([1.0, 4.0])}),
        rate_plot({"a": history_of([3.0, 2.0])}),
        plot_of(
            [band("band", [1, 10], [1, 2], [3, None]), line("$a^", [1, 10], [2, 3])], log_x=True
        ),
        plot_of([{**points("p", [1, 2], [1, 2]), "error_y": {"array": [1, 1]}}], log_y=True),
        plot_of([contour(range(5), range(4), GRID, title="loss"), line("path", [0, 4], [0, 3])]),
        plot_of([heatmap(range(5), range(4), GRID)]),
        plot_of([]),
    ],
    ids=["loss", "rate", "band", "points", "contour", "heatmap", "empty"],
)
def test_every_figure_can_be_a_picture(plot: Plot) -> None:
    pytest.importorskip("matplotlib")
    from descend.reporting.plots.png import picture

    drawn = picture(plot)
    assert drawn.startswith(PNG)
    assert picture(plot) == drawn


@pytest.mark.parametrize(
    "page", [compare_page(compare_record()), landscape_page(landscape_record())]
)
def test_every_plot_of_a_page_is_saved_as_a_picture(page: Page, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_pictures(page, tmp_path / "pictures")
    found = {path.stem: path.read_bytes() for path in (tmp_path / "pictures").iterdir()}
    assert sorted(found) == sorted(plot.name for plot in page.plots)
    assert all(content.startswith(PNG) for content in found.values())
    # No two plots show the same, and none is empty.
    assert len(set(found.values())) == len(found)
    assert min(map(len, found.values())) > 10_000


def test_a_picture_shows_what_the_figure_holds() -> None:
    pytest.importorskip("matplotlib")
    from descend.reporting.plots.png import picture

    flat = picture(plot_of([line("a", [0, 1], [0, 0])]))
    steep = picture(plot_of([line("a", [0, 1], [0, 1])]))
    assert flat != steep


def test_a_kind_that_is_not_drawn_is_named() -> None:
    pytest.importorskip("matplotlib")
    from descend.reporting.plots.png import picture

    with pytest.raises(InputError, match="'violin'"):
        picture(plot_of([{"type": "violin"}]))


def test_many_numbers_along_an_axis_are_thinned_and_names_are_not() -> None:
    drawn = figure([points("a", range(24), range(24))], "hour", "error")
    hours = named_ticks(drawn, "x", range(24))["layout"]["xaxis"]
    assert hours["ticktext"] == [str(hour) for hour in range(0, 24, 2)]
    assert hours["tickvals"] == list(range(0, 24, 2))
    assert "tickangle" not in hours
    # Where the page rotates them by itself, each ends at its tick.
    few = named_ticks(drawn, "x", [*range(1, 12), "(missing)"])["layout"]["xaxis"]
    assert [angle for angle in few["autotickangles"] if angle > 0] == []
    names = named_ticks(drawn, "x", [f"town {one}" for one in range(24)])["layout"]["xaxis"]
    assert len(names["ticktext"]) == 24
