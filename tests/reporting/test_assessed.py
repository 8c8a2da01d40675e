"""Intervals and comparisons stand beside the metric that they are of."""

from __future__ import annotations

from typing import Any

from descend.reporting.checks import checks_of
from descend.reporting.html import table_html
from descend.reporting.pages.model import _metrics_table, _subject_notes
from descend.reporting.pages.summary import _metric_figures, _quality_sentence
from descend.reporting.text.records import metrics_text

METRICS = {
    "model": {"r2": 0.94, "rmse (a)": 13.0, "mae (a)": 8.0, "rmse (b)": 32.0, "mae (b)": 19.0},
    "baseline": {"r2": 0.0, "rmse (a)": 46.0, "mae (a)": 33.0, "rmse (b)": 155.0, "mae (b)": 115.0},
}
ASSESSMENT = {
    "target": "a",
    "metrics": {
        "r2": {"model": 0.91, "low": 0.9, "high": 0.93, "trivial": -0.001, "linear": 0.47},
        "mae": {"model": 8.0, "low": 7.5, "high": 8.5, "trivial": 33.0, "linear": 20.0},
    },
}


def record(metrics: dict[str, Any], **settings: Any) -> dict[str, Any]:
    return {
        "settings": {"target": "a,b", "model": "tabular", **settings},
        "result": {"metrics": metrics, "stop_reason": "DECAYED", "stop_text": "."},
        "data": {"rows": {"validation": 1000, "training": 9000}},
        "schema": {"target": {"names": ["a", "b"]}},
    }


def test_the_interval_of_one_target_is_not_that_of_all() -> None:
    rows = {row[0]: row for row in _metrics_table(record(METRICS), ASSESSMENT).rows}
    assert rows["R²"][1] == 0.94
    assert rows["R²"][2] is None
    assert rows["R² (a)"][1] == ("0.91", "0.9 to 0.93")
    assert rows["R² (a)"][2] == 0.47
    assert rows["MAE (a)"][1] == ("8", "7.5 to 8.5")
    assert rows["MAE (b)"][1] == 19.0
    figures = {one.label: one.note for one in _metric_figures(METRICS, ASSESSMENT)}
    assert figures["R²"] == "trivial: 0"
    assert figures["MAE (a)"] == "7.5 to 8.5; trivial: 33; linear: 20"


def test_the_page_says_of_which_target_its_charts_are() -> None:
    assert "are of a, the first of 2 targets." in _subject_notes(record(METRICS), ASSESSMENT)[0]
    found = {one.name: one.text for one in checks_of(record(METRICS), (), ASSESSMENT)}
    assert found["better than a linear model"].startswith("R² of a 0.91 against 0.47")


def test_quantiles_are_told_by_how_many_targets_they_hold() -> None:
    model = {"pinball": 7.3, "below_0.1": 0.09, "below_0.5": 0.52, "below_0.9": 0.91}
    quantiles = record({"model": model, "baseline": model}, target="cnt", quantiles=[0.1, 0.5, 0.9])
    said = _quality_sentence(quantiles)
    assert "82 % of the values of cnt lie between the predicted quantiles 0.1 and 0.9" in said
    assert "(80 % are meant to)" in said
    one = record({"model": model, "baseline": model}, target="cnt", quantiles=[0.5])
    assert "52 % of the values of cnt are below the predicted quantile 0.5" in _quality_sentence(
        one
    )
    assert "share below quantile 0.1" in metrics_text({"model": model, "baseline": model})
    median = _subject_notes(quantiles, {"target": "cnt", "points": {}})
    assert "of the predicted median" in median[0]
    assert table_html(_metrics_table(quantiles, {})).count("all rows") == 1
