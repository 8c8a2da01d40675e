"""The plots of a model: what a slice of few rows is called, and how its values are named."""

from __future__ import annotations

from typing import Any

from descend.reporting.html import table_html
from descend.reporting.pages.model import _worst_table
from descend.reporting.plots.model import dependence_plot, slice_plot


def part(value: str, rows: int) -> dict[str, Any]:
    return {"value": value, "rows": rows, "error": 2.0, "low": 1.0, "high": 3.0}


def test_a_value_of_few_rows_is_named_and_zero_has_no_sign() -> None:
    parts = [part("-0", 50), part("1", 1)]
    plot = slice_plot({"slices": [{"column": "hour", "parts": parts}]}, 0)
    assert plot.figure["layout"]["xaxis"]["ticktext"] == ["0", "1"]
    assert "1 (1 row)" in plot.caption
    assert "0 (50" not in plot.caption


def test_the_line_of_all_rows_is_not_that_of_the_shown_values() -> None:
    one = {"column": "hour", "parts": [part("0", 50), part("1", 50)], "all": 2.5}
    trace = slice_plot({"slices": [one]}, 0).figure["data"][1]
    assert list(trace["y"]) == [2.5, 2.5]


def test_a_small_effect_looks_small_beside_a_large_one() -> None:
    def record(column: str, y: list[float]) -> dict[str, Any]:
        return {"column": column, "kind": "number", "x": [0.0, 1.0], "y": [y], "classes": []}

    effects = [record("large", [0.0, 100.0]), record("small", [50.0, 51.0])]
    assessment = {"target": "y", "dependence": effects, "rows": {"averaged": 500}}
    plots = [dependence_plot(assessment, number) for number in range(2)]
    for plot in plots:
        assert plot.figure["layout"]["yaxis"]["range"] == [-5.0, 105.0]
        assert "over 500 rows" in plot.caption


def test_codes_are_not_joined_and_numbers_are() -> None:
    x, y = [float(hour) for hour in range(24)], [[float(hour % 7) for hour in range(24)]]
    one = {"column": "hr", "kind": "number", "x": x, "y": y, "classes": []}
    assessment = {"target": "y", "dependence": [{**one, "apart": True}, one]}
    codes, numbers = (dependence_plot(assessment, number) for number in range(2))
    assert codes.figure["data"][0]["mode"] == "markers"
    assert list(codes.figure["data"][0]["x"]) == x
    assert "no line joins them" in codes.caption
    assert "lines" in numbers.figure["data"][0]["mode"]
    assert "no line joins them" not in numbers.caption


def test_a_date_is_said_to_stand_for_a_group_of_rows() -> None:
    parts = [{**part("", 20), "value": 19376.0 + day, "time": True} for day in (0.0, 30.0, 60.0)]
    dated = slice_plot({"slices": [{"column": "day", "parts": parts, "time": True}]}, 0)
    assert "one of 3 groups" in dated.caption
    hours = slice_plot({"slices": [{"column": "hour", "parts": [part("1", 20)]}]}, 0)
    assert "groups" not in hours.caption


def test_numbers_of_shops_and_years_have_no_separators() -> None:
    values = {"shop": 1040.0, "year": 2016.0, "rent": -1030.25, "town": "1,5", "staff": None}
    worst = [{"truth": 870.8, "predicted": 1312.4, "error": 441.6, "values": values}]
    shown = table_html(_worst_table({"worst": worst, "target": "revenue"}))
    for text in (">1040<", ">2016<", ">−1030.25<", ">1,5<", ">—<"):
        assert text in shown
