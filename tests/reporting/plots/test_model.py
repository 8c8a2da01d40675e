"""The plots of a model: what a slice of few rows is called, and how its values are named."""

from __future__ import annotations

from typing import Any

from descend.reporting.plots.model import slice_plot


def part(value: str, rows: int) -> dict[str, Any]:
    return {"value": value, "rows": rows, "error": 2.0, "low": 1.0, "high": 3.0}


def test_a_value_of_few_rows_is_named_and_zero_has_no_sign() -> None:
    parts = [part("-0", 50), part("1", 1)]
    plot = slice_plot({"slices": [{"column": "hour", "parts": parts}]}, 0)
    assert plot.figure["layout"]["xaxis"]["ticktext"] == ["0", "1"]
    assert "1 (1 row)" in plot.caption
    assert "0 (50" not in plot.caption
