"""Checks of a model: each is amber or red where it must be, and green where not."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from descend.reporting.checks import assessment_line, checks_of
from descend.reporting.pages.runs import runs_page
from descend.reporting.pages.settings import distinct_cell
from descend.reporting.pages.train import train_page
from descend.reporting.render import render
from descend.reporting.text.records import chosen_rate
from descend.runtime.result import FinishedRun
from descend.types import History, HistoryLine, StopReason
from tests.histories import falling
from tests.reporting.test_render import Outline, history_of, record_of


def record_with(
    rows: int = 1000, r2: float = 0.9, reason: str = "NO_IMPROVEMENT"
) -> dict[str, Any]:
    record = copy.deepcopy(record_of())
    record["data"]["rows"]["validation"] = rows
    record["data"]["warnings"] = []
    record["result"] |= {"rescues": 0, "stop_reason": reason}
    record["result"]["metrics"]["model"]["r2"] = r2
    return record


def assessment_of(**changes: Any) -> dict[str, Any]:
    metric = {"model": 0.9, "low": 0.88, "high": 0.92, "trivial": 0.0, "linear": 0.5}
    below = {"minimum": 0.0, "share": 0.0, "negative": 0.0, "lowest": 1.0, "whole": True}
    return {
        "target": "price",
        "metrics": {"r2": metric},
        "strongest": [{"column": "size", "explained": 0.4}],
        "below_minimum": below,
        "importance": [],
        **changes,
    }


STEADY = falling([1.0, 0.5, 0.3, 0.25, 0.24, 0.24, 0.24])


def tones(record: dict[str, Any], assessment: dict[str, Any], history: History = STEADY) -> dict:
    return {one.name: one.tone for one in checks_of(record, history, assessment)}


def test_a_sound_model_is_green() -> None:
    found = checks_of(record_with(), STEADY, assessment_of())
    assert {one.tone for one in found} == {"good"}
    sentence, tone = assessment_line(found)
    assert (sentence, tone) == (f"Looks sound: all {len(found)} checks passed.", "good")


def test_leaking_columns_are_told_by_the_record_and_not_by_words_of_warnings() -> None:
    record = record_with()
    record["data"]["warnings"] = ["Column 'leak_rate' (row 12): one value is far from all others."]
    assert tones(record, assessment_of())["no single column gives the target away"] == "good"
    record["data"]["leaking"] = ["leak_rate", "valve"]
    found = {one.name: one for one in checks_of(record, STEADY, assessment_of())}
    told = found["a column may give the target away"]
    assert (told.tone, "exclude=['leak_rate', 'valve']" in told.text) == ("warn", True)


def test_leaking_columns_of_a_run_of_an_older_version_are_told_by_its_warnings() -> None:
    record = record_with()
    name = record["data"]["columns"][0]["name"]
    record["data"].pop("leaking", None)
    record["data"]["warnings"] = [
        f"Column {name!r} gives the target 'y' away (their correlation is 1.0000). If it is not "
        f"known when predicting, leave it out with --exclude {name}."
    ]
    found = {one.name: one for one in checks_of(record, STEADY, assessment_of())}
    assert name in found["a column may give the target away"].text


@pytest.mark.parametrize(
    ("record", "assessment", "name", "tone"),
    [
        (record_with(r2=-0.1), {}, "no better than the trivial prediction", "bad"),
        (record_with(rows=5), {}, "only 5 validation rows", "bad"),
        (record_with(rows=120), {}, "only 120 validation rows", "warn"),
        (
            record_with(),
            {
                "strongest": [
                    {"column": "total", "explained": 0.99},
                    {"column": "size", "explained": 0.4},
                ]
            },
            "a column gives the target away",
            "bad",
        ),
        (
            record_with(),
            {"strongest": [{"column": "day", "explained": 0.99}]},
            "the only column tells nearly all",
            "warn",
        ),
        (
            record_with(),
            {"metrics": {"r2": {"model": 0.1, "low": 0.0, "high": 0.3, "linear": 0.9}}},
            "a linear model is better",
            "warn",
        ),
        (
            record_with(r2=0.99),
            {
                "metrics": {
                    "r2": {"model": 0.99, "low": 0.98, "high": 1, "trivial": 0, "linear": 1.0}
                },
                "importance": [{"column": "casual"}, {"column": "registered"}],
            },
            "the target is a sum of columns",
            "bad",
        ),
        (
            record_with(),
            {
                "below_minimum": {
                    "minimum": 0.0, "share": 0.1, "negative": 0.03, "lowest": -9.0, "whole": True,
                }
            },
            "negative predictions of a count",
            "warn",
        ),
        (
            record_with(),
            {"metrics": {"r2": {"model": 0.4, "low": -0.1, "high": 0.6, "trivial": 0.0}}},
            "not surely better than the trivial prediction",
            "warn",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(
    record: dict[str, Any], assessment: dict[str, Any], name: str, tone: str
) -> None:
    assessed = assessment_of(**assessment)
    assert tones(record, assessed)[name] == tone
    sentence, worst = assessment_line(checks_of(record, STEADY, assessed))
    assert worst == tone
    assert name in sentence


def test_weights_of_classes_are_no_failure() -> None:
    """They raise the log loss by intention; the order of the rows tells what was learned."""
    figures = {"accuracy": (0.77, 0.93), "log_loss": (0.43, 0.25), "auc": (0.88, 0.5)}
    record = record_with()
    record["settings"]["class_weight"] = ["balanced"]
    sides = zip(("model", "baseline"), zip(*figures.values(), strict=True), strict=True)
    metrics = {side: dict(zip(figures, values, strict=True)) for side, values in sides}
    record["result"]["metrics"] = metrics
    ends = {"auc": {"model": 0.88, "low": 0.85, "high": 0.91, "trivial": 0.5, "linear": 0.8}}
    assessed = assessment_of(metrics=ends, below_minimum=None)
    found = tones(record, assessed)
    assert found["better than the trivial prediction"] == "good"
    assert found["better than a linear model"] == "good"
    assert found["probabilities of weighted classes"] == "warn"
    del metrics["model"]["auc"]  # Of three classes.
    assert not any("trivial" in name for name in tones(record, assessment_of(metrics={})))
    record["settings"]["class_weight"] = []
    assert tones(record, {})["no better than the trivial prediction"] == "bad"


def test_a_run_worse_than_the_mean_does_not_end_in_green() -> None:
    page = render(train_page(record_with(r2=-0.1253), STEADY))
    assert 'class="outcome bad"' in page
    assert 'class="outcome good"' not in page


def test_the_rate_of_a_custom_optimizer_is_not_told_as_1() -> None:
    record = record_of(own={"model": "net", "optimizer": "own", "loss": "squared_error"})
    record["settings"]["learning_rate"] = 1.0
    assert chosen_rate(record) is None
    outline = Outline(render(train_page(record, history_of())))
    assert "in your optimizer" in outline.text
    assert "learning-rate" not in outline.values("data-plot")
    record["result"] |= {"metrics": {}, "stop_reason": "EPOCHS"}
    shown = dict(FinishedRun((), StopReason.EPOCHS, record, None)._facts([]))
    assert shown["learning rate"] == "in your optimizer"
    record["settings"]["learning_rate"] = 0.5
    assert chosen_rate(record) == 0.5


def test_the_curve_of_the_rate_does_not_show_the_first_warm_up_step() -> None:
    history = (
        HistoryLine(0, 0.0, 0, 0.0, float("nan"), 1.0, 64, 0.00033),
        HistoryLine(4600, 1.0, 294_400, 1.0, 0.5, 0.5, 64, 0.02),
        HistoryLine(9200, 2.0, 588_800, 2.0, 0.4, 0.4, 64, 0.02),
    )
    section = next(
        one
        for one in train_page(record_of(), history).sections
        if one.heading == "How it was trained"
    )
    rate = next(plot for plot in section.plots if plot.name == "learning-rate")
    assert rate.figure["data"][0]["y"] == [0.02, 0.02, 0.02]


def test_distinct_values_are_never_more_than_rows() -> None:
    assert distinct_cell({"distinct": 531}, 519) == 519
    assert distinct_cell({"distinct": 24}, 519) == 24
    assert distinct_cell({"distinct": None}, 519) is None


def test_a_running_page_has_no_backticks_and_does_not_ask_to_resume_itself() -> None:
    record = record_of(state="running")
    del record["result"]
    text = Outline(render(train_page(record, history_of()), live=2)).text
    assert "`" not in text
    assert "descend resume" not in text
    assert "Elapsed" in text
    assert "Validation loss" in text


def test_equal_runs_are_said_to_be_equal_and_their_metrics_come_first() -> None:
    record = record_of()
    page = runs_page({"one": record, "two": record}, {"one": history_of(), "two": history_of()})
    assert "one and two have the same lowest validation loss, 0.05" in page.summary.text
    table = page.sections[0].tables[0]
    assert list(table.header)[:4] == ["run", "R²", "RMSE", "MAE"]
    assert table.sortable
    assert table.rows[0][1:4] == [0.9, 2.0, 1.5]
    loss = page.plots[0].figure["data"]
    colours = [trace["marker"]["color"] for trace in loss]
    assert len(set(colours[:3])) == len(set(colours[3:])) == 1
    assert colours[0] != colours[3]
    # The mark beside a run's name in the table is the colour of its lines.
    assert list(table.colours) == [colours[0], colours[3]]
    hidden = [trace["name"] for trace in loss if trace.get("visible") == "legendonly"]
    assert hidden == ["one: training", "two: training"]


def test_what_differs_between_runs_has_a_table_and_other_targets_are_not_ranked() -> None:
    one = record_of()
    two = {**one, "settings": {**one["settings"], "hidden": [8, 8]}, "device": "gpu"}
    page = runs_page({"one": one, "two": two}, {"one": history_of(), "two": history_of()})
    differing, machines = page.sections[0].tables[1:]
    assert list(differing.header) == ["setting", "one", "two"]
    assert ["hidden", "8", "8, 8"] in differing.rows
    assert [row[4] for row in machines.rows] == ["price", "gpu"]
    other = {**one, "settings": {**one["settings"], "target": "rent"}}
    page = runs_page({"one": one, "two": other}, {"one": history_of(), "two": history_of()})
    assert list(page.summary.figures) == []
    assert "no order" in page.summary.text


def test_better_than_a_linear_model_by_chance_is_no_pass() -> None:
    metric = {"model": 0.9, "low": 0.4, "high": 0.95, "trivial": 0.0, "linear": 0.5}
    unsure = tones(record_with(), assessment_of(metrics={"r2": metric}))
    assert unsure["not surely better than a linear model"] == "warn"
    sure = tones(record_with(), assessment_of(metrics={"r2": {**metric, "low": 0.6}}))
    assert sure["better than a linear model"] == "good"


def test_a_linear_model_is_not_compared_with_itself() -> None:
    record = record_with()
    record["settings"]["model"] = "linear"
    metric = {"model": 0.5, "low": 0.45, "high": 0.55, "trivial": 0.0, "linear": 0.5}
    assert not any(
        "linear" in name for name in tones(record, assessment_of(metrics={"r2": metric}))
    )
    worse = assessment_of(metrics={"r2": {**metric, "linear": 0.7}})
    assert tones(record, worse)["worse than a linear model can be"] == "warn"


@pytest.mark.parametrize(
    ("r2", "low", "tone"), [(0.97, 0.1, "warn"), (0.9, 0.1, None), (0.97, 0, None)]
)
def test_columns_named_like_a_result_are_asked_about_where_the_model_is_very_good(
    r2: float, low: float, tone: str | None
) -> None:
    metric = {"model": r2, "low": 0.88, "high": 0.98, "trivial": 0.0, "linear": 0.5}
    importance = [{"column": "ArrTime", "importance": 0.2, "low": low, "high": 0.3}]
    changed = assessment_of(late=["ArrTime"], importance=importance, metrics={"r2": metric})
    found = {one.name: one for one in checks_of(record_with(), STEADY, changed)}
    check = found.get("columns that may be known only afterwards")
    assert (check and check.tone) == tone
    assert check is None or "exclude=['ArrTime']" in check.text


@pytest.mark.parametrize(("share", "tone"), [(0.4, "warn"), (0.01, None), (None, None)])
def test_copies_of_training_rows_are_told(share: float | None, tone: str | None) -> None:
    found = {one.name: one for one in checks_of(record_with(), STEADY, assessment_of(copies=share))}
    check = found.get("validation rows are copies of training rows")
    assert (check and check.tone) == tone
    assert check is None or "About 40 % of the validation rows" in check.text


def test_the_time_left_of_a_running_run_leaves_out_the_compilation() -> None:
    """An epoch takes a second after the first, which had its updates compiled for 20 more."""
    record = record_of(state="running")
    record["settings"] |= {"epochs": 10, "time_budget": None}
    del record["result"]
    history = tuple(
        HistoryLine(10 * n, float(n), 640 * n, n and 20.0 + n, 1.0, 1.0, 64, 0.1) for n in range(5)
    )
    figures = {one.label: one for one in train_page(record, history).summary.figures}
    assert figures["Time left"].value == "0:06"
    assert figures["Elapsed"].note == "640 rows/s"
    only = train_page(record, history[:1])
    assert not any(plot.name == "loss" for plot in only.plots)


def test_a_running_run_of_several_networks_says_which_is_in_training() -> None:
    record = record_of(state="running")
    record["settings"] |= {"epochs": 10, "time_budget": None, "networks": 3}
    del record["result"]
    history = tuple(
        HistoryLine(10 * n, float(n), 640 * n, 1.0 * n, 1.0, 1.0, 64, 0.1, network)
        for n, network in [(0, 1), (4, 1), (4, 2), (6, 2)]
    )
    figures = {one.label: one for one in train_page(record, history).summary.figures}
    assert (figures["Network"].value, figures["Network"].note) == ("2", "of 3")
    assert (figures["Epoch"].value, figures["Epoch"].note) == ("2", "of 10")
    assert figures["Time left"].value == "0:18"
