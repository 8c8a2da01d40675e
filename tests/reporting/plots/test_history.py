from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from descend.reporting.loss_curve import best_line
from descend.reporting.plots.history import MOST_TABLE_LINES, loss_plot, thin_history
from tests.histories import LOSSES, history_of


def test_the_vertical_axis_can_be_logarithmic_where_no_loss_is_below_zero() -> None:
    assert loss_plot({"a": history_of([3.0, 2.0])}).log_y
    assert not loss_plot({"a": history_of([3.0, -2.0])}).log_y


@given(LOSSES, st.integers(3, 20))
def test_thinned_keeps_the_ends_and_the_best(losses: list[float], most: int) -> None:
    history = history_of(losses)
    kept = thin_history(history, most)
    assert len(kept) <= most
    assert kept[0] is history[0]
    assert kept[-1] is history[-1]
    assert best_line(history) is None or best_line(history) in kept
    assert list(kept) == sorted(kept, key=lambda one: one.update)


def test_a_table_of_many_evaluations_stays_short() -> None:
    long = history_of([1.0 + n for n in range(5000)])
    assert len(loss_plot({"a": long}).table.rows) <= MOST_TABLE_LINES
    assert len(loss_plot({"a": long, "b": long}).table.rows) <= MOST_TABLE_LINES


def test_a_loss_that_falls_far_is_drawn_logarithmically() -> None:
    assert loss_plot({"a": history_of([1.0, 0.01])}).figure["layout"]["yaxis"]["type"] == "log"
    assert loss_plot({"a": history_of([1.0, 0.5])}).figure["layout"]["yaxis"]["type"] == "linear"


def test_losses_of_different_kinds_are_drawn_as_the_share_that_is_left() -> None:
    losses = [3.0, 2.0, 1.5, 1.0, 1.2]
    squared, poisson = history_of(losses), history_of([one - 900 for one in losses])
    traces = loss_plot({"a": squared, "b": poisson}, alike=False).figure["data"]
    lines = {one["name"]: one["y"] for one in traces if one["name"].endswith(": validation")}
    for y in lines.values():
        assert y[0] == 1.0
        assert min(y) == 0.0
    assert lines["a: validation"] == pytest.approx(lines["b: validation"])
