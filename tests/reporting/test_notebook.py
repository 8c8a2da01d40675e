"""What a notebook shows."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

import descend
from descend.reporting.notebook import Lines, ShownAdvice, bars_svg, comparison_html, curve_svg
from tests.reporting.test_render import history_of


def test_a_run_and_its_model_show_themselves_escaped():
    X = np.random.default_rng(0).normal(size=(200, 2))
    table = pd.DataFrame(X, columns=["<script>", "b"]).assign(y=X[:, 0])
    run = descend.train(
        table, target="y", model="linear", epochs=2, batch_size=8, learning_rate=0.01
    )
    shown = run._repr_html_() + run.model._repr_html_()
    assert "trivial prediction" in shown
    assert "The number of epochs was reached." in shown
    assert ">R²<" in shown
    assert "<script>" not in shown
    assert "&lt;script&gt; (number)" in shown


def test_an_advice_shows_what_it_says_and_the_time_of_each_size() -> None:
    speed = [
        {"batch_size": 32, "seconds_per_update": 5e-5},
        {"batch_size": 128, "seconds_per_update": 2e-4},
    ]
    advice = ShownAdvice(128, 0.13, (0.1, 0.2), (32, 512), {"speed": speed}, 4.5)
    shown = advice._repr_html_()
    assert "128 (about as well: 32 to 512)" in shown
    assert shown.count("<rect") == 2
    assert "200 µs" in shown
    assert repr(advice) == "<descend.Advice: batch size 128, rate 0.13>"


def test_a_comparison_shows_its_claims_and_losses_escaped() -> None:
    methods = [("SGD", 0.1), ("<b>Mini", 0.05)]
    table = [
        {"panel": "tuned", "method": {"title": title}, "best": {"median": best}}
        for title, best in methods
    ]
    claims = [{"claim": "Mini-batch is faster.", "verdict": "held"}]
    shown = comparison_html({"table": table, "claims": claims, "seeds": 3})
    assert ">held</td>" in shown
    assert shown.count("<rect") == 2
    assert "<b>Mini" not in shown


def test_the_longest_name_beside_a_bar_is_not_cut_off() -> None:
    shown = bars_svg([("Gradient descent + momentum", 1.0, "0.2375"), ("SGD", 0.5, "0.08")])
    place = float(re.findall(r'<text x="([\d.]+)" y="15" text-anchor="end"', shown)[0])
    assert place >= 7 * len("Gradient descent + momentum")


def test_an_advice_names_no_range_of_one_size() -> None:
    shown = ShownAdvice(128, 0.1, (0.1, 0.1), (128, 128), {}, 1.0)._repr_html_()
    assert ">128</td>" in shown
    assert "as well" not in shown


def test_a_history_is_a_tuple_with_a_frame_and_a_plot() -> None:
    lines = Lines(history_of())
    assert lines[1:] == history_of()[1:]
    assert "<svg" in lines.plot()._repr_html_()
    assert lines.plot().text.count("<polyline") == 2
    frame = lines.to_pandas()
    assert list(frame["validation_loss"]) == [one.validation_loss for one in history_of()]
    assert curve_svg(()) == ""
