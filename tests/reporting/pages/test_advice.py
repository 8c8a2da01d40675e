"""The page of an advice: its figures are its record, and what was not measured is left out."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import pytest

from descend.reporting.page_model import Plot
from descend.reporting.pages.advice import advice_page, advice_sections, advice_summary
from descend.reporting.render import render

EVIL = "</script><img src=x onerror=alert(1)>"
PNG = b"\x89PNG"


def trial(size: int, rate: float, loss: float | None, ratio: float | None) -> dict[str, Any]:
    return {
        "batch_size": size,
        "learning_rate": rate,
        "updates": 100,
        "seconds": 0.2,
        "loss": loss,
        "diverged": loss is None,
        "ratio": ratio,
        "losses": [[50, 0.4], [100, math.inf if loss is None else 0.3]],
        "marks": [[100, loss]],
    }


def cosine(size: int) -> dict[str, float]:
    return {"batch_size": size, "mean": 0.5, "low": 0.1, "high": 0.9, "expected": 0.4}


def noise(updates: int, scale: float | None, high: float | None) -> dict[str, Any]:
    return {
        "updates": updates,
        "noise_scale": scale,
        "interval": [10.0, high],
        "rows": 500,
        "cosine": [cosine(4), cosine(16)],
    }


def advice_of() -> dict[str, Any]:
    sizes = (16, 64, 256)
    return {
        "batch_size": 64,
        "learning_rate": 0.1,
        "interval": [0.05, 0.2],
        "flat_region": [16, 64],
        "cost": 1.5,
        "evidence": {
            "goal": "time",
            "start_loss": 0.5,
            "target": 0.25,
            "trials": [
                trial(64, 0.1, 0.25, 1.0),
                trial(16, 0.1, 0.26, 1.3),
                trial(16, 0.05, 0.3, 1.5),
                trial(256, 0.1, 0.4, None),
                trial(256, 1.0, None, None),
            ],
            "curve": [
                {"batch_size": size, "updates": 100.0, "examples": 100.0 * size, "seconds": 2.0}
                for size in sizes
            ],
            "breaking": [{"batch_size": size, "learning_rate": 1.0} for size in sizes],
            "speed": [
                {"batch_size": size, "seconds_per_update": size * 1e-5, "peak_memory": 2**20}
                for size in sizes
            ],
            "noise": [noise(0, 40.0, 60.0), noise(100, None, None), noise(200, 90.0, None)],
            "law": {"critical": 100.0, "interval": [50.0, 200.0]},
            "undetermined": [],
        },
    }


def record_of(**changes: Any) -> dict[str, Any]:
    return {"advice": {**advice_of(), **changes}, "settings": {"target": "price"}}


def plots() -> dict[str, Plot]:
    sections = advice_sections(advice_of())
    return {plot.name: plot for section in sections for plot in section.plots}


def traces(plot: Plot) -> dict[str, Any]:
    return {trace["name"]: trace for trace in plot.figure["data"] if trace["name"]}


def test_a_finalist_is_as_much_slower_as_its_trial_says() -> None:
    shown = traces(plots()["time-to-target"])
    assert shown["measured by trials"]["x"] == [16, 64]
    assert shown["measured by trials"]["y"] == [1.3 * 2.0, 2.0]
    assert shown["predicted from the trials"]["x"] == [16, 64, 256]
    assert (shown["advised"]["x"], shown["advised"]["y"]) == ([64], [2.0])


def test_the_fewest_examples_are_counted_in_rows() -> None:
    advice = advice_of()
    advice["evidence"]["goal"] = "examples"
    plot = advice_sections(advice)[0].plots[0]
    assert plot.figure["layout"]["yaxis"]["title"]["text"] == "rows seen"
    assert traces(plot)["measured by trials"]["y"] == [1.3 * 6400.0, 6400.0]


def test_every_trial_is_on_the_map() -> None:
    plot = plots()["trials"]
    shown = traces(plot)
    tried = shown["tried"]
    assert list(zip(tried["x"], tried["y"], tried["marker"]["color"], strict=True)) == [
        (64, 0.1, 0.25),
        (16, 0.1, 0.26),
        (16, 0.05, 0.3),
        (256, 0.1, 0.4),
    ]
    assert (shown["diverged"]["x"], shown["diverged"]["y"]) == ([256], [1.0])
    assert shown["training diverges above"]["y"] == [1.0, 1.0, 1.0]
    assert len(plot.table.rows) == 5


def test_the_race_can_be_seen_over_seconds_updates_and_rows() -> None:
    plot = plots()["race"]
    assert plot.x_choices is not None
    for title, choice in plot.x_choices.items():
        assert [len(x) for x in choice] == [len(t["x"]) for t in plot.figure["data"]], title
    finalist = traces(plot)["64 rows at 0.1"]
    assert (finalist["x"], finalist["y"]) == ([0.1, 0.2], [0.4, 0.3])
    assert sum(bool(trace["name"]) for trace in plot.figure["data"]) == 3


def test_speed_and_memory_are_those_measured() -> None:
    plot = plots()["seconds-per-update"]
    assert plot.figure["data"][0]["y"] == [16e-5, 64e-5, 256e-5]
    assert [row[2:] for row in plot.table.rows] == [[100_000, "1 MiB"]] * 3


def test_the_noise_has_its_interval_and_an_open_end_has_no_bar() -> None:
    trace = plots()["noise-scale"].figure["data"][0]
    assert (trace["x"], trace["y"]) == ([0, 200], [40.0, 90.0])
    assert trace["error_y"]["array"] == [20.0, 0.0]
    assert trace["error_y"]["arrayminus"] == [30.0, 80.0]


def test_the_cosine_of_the_last_measurement_has_its_area() -> None:
    shown = traces(plots()["cosine"])
    assert shown["nine in ten batches"]["y"] == [0.9, 0.9, 0.1, 0.1]
    assert [name for name in shown if "start" in name or "after" in name] == [
        "at the start",
        "after 100 updates",
        "after 200 updates",
    ]


@pytest.mark.parametrize("absent", [None, *advice_of()["evidence"]])
def test_what_was_not_measured_is_left_out(absent: str | None) -> None:
    record = record_of()
    evidence = copy.deepcopy(record["advice"]["evidence"])
    record["advice"]["evidence"] = (
        {} if absent is None else {name: one for name, one in evidence.items() if name != absent}
    )
    assert "<h1>Batch size and learning rate for predicting price</h1>" in render(
        advice_page(record)
    )


def test_a_noise_that_cannot_be_told_from_none_has_no_plot_of_its_scale() -> None:
    record = record_of(evidence={"noise": [noise(0, None, None)]})
    assert 'data-plot="noise-scale"' not in render(advice_page(record))


def test_the_summary_says_what_to_take_and_what_decided() -> None:
    summary = advice_summary(record_of())
    assert "batches of 64 rows" in summary.text
    assert "from 16 to 64" in summary.text
    assert "5 trials" in summary.outcome
    assert "0.5 to 0.25" in summary.outcome
    assert "1 diverged" in summary.outcome
    assert "nothing was measured" in advice_summary(record_of(evidence={})).outcome


def test_a_hostile_target_is_shown_and_never_run() -> None:
    page = render(advice_page({**record_of(), "settings": {"target": EVIL}}))
    assert EVIL not in page
    assert "&lt;/script&gt;" in page


@pytest.mark.parametrize("name", plots())
def test_every_figure_is_json_and_can_be_a_picture(name: str) -> None:
    plot = plots()[name]
    json.dumps(plot.figure, allow_nan=False)
    pytest.importorskip("matplotlib")
    from descend.reporting.plots.png import picture

    assert picture(plot).startswith(PNG)


def test_what_was_not_worth_measuring_is_said() -> None:
    told = {**advice_of()["evidence"], "left_out": ["other sizes", "noise"], "expected": 0.8}

    text = " ".join(advice_sections({**advice_of(), "evidence": told})[0].text)

    assert "so other sizes and noise were not measured: that would take longer" in text


def test_trials_of_one_size_are_drawn_by_their_rate() -> None:
    advice = advice_of()
    trials = [trial(64, 0.1, 0.25, 1.0), trial(64, 0.2, 0.3, None), trial(64, 1.0, None, None)]
    advice["evidence"]["trials"] = trials
    plots = {plot.name: plot for one in advice_sections(advice) for plot in one.plots}
    traces = {one["name"]: one for one in plots["trials"].figure["data"]}
    assert traces["in the last round"]["x"] == [0.1]
    assert traces["eliminated before"]["y"] == [0.3]
    assert traces["diverged"]["x"] == [1.0]
    assert (traces["advised"]["x"], traces["advised"]["y"]) == ([0.1], [0.25])
    json.dumps(plots["trials"].figure, allow_nan=False)


def test_a_region_of_sizes_that_took_longer_is_not_called_as_good() -> None:
    advice = advice_of()  # 16 rows took 1.3 times as long, and are in the region.
    shown = render(advice_page({"advice": advice, "settings": {"target": "y"}}))
    assert "could not be told apart" in shown
    assert "16 to 64 do about as well" not in shown
    advice["evidence"]["trials"][1]["ratio"] = 1.05
    shown = render(advice_page({"advice": advice, "settings": {"target": "y"}}))
    assert "16 to 64 do about as well" in shown


def test_the_measured_times_have_intervals_that_do_not_flatten_the_plot() -> None:
    advice = advice_of()
    advice["evidence"]["trials"][1]["ratio_interval"] = [0.01, 100.0]
    plot = advice_sections(advice)[0].plots[0]
    [measured] = [one for one in plot.figure["data"] if one["name"] == "measured by trials"]
    values, bars = measured["y"], measured["error_y"]
    assert bars["array"][1] == bars["arrayminus"][1] == 0.0  # The advised size is the unit.
    assert values[0] + bars["array"][0] == pytest.approx(2 * max(values))
    assert values[0] - bars["arrayminus"][0] == pytest.approx(min(values) / 2)
    row = next(row for row in plot.table.rows if row[0] == 16)
    assert row[-2:] == pytest.approx([2.0 * 0.01, 2.0 * 100.0])


def test_the_page_ends_with_the_command_to_type() -> None:
    """Where it was not asked for on the command line there is none."""
    command = "descend train bike.csv --target cnt --batch-size 64 --learning-rate 0.1"
    record = {"advice": advice_of(), "settings": {"target": "cnt"}}
    *_, last = advice_page({**record, "train_command": command}).sections
    assert list(last.code) == [command]
    assert not any(one.code for one in advice_page(record).sections)
