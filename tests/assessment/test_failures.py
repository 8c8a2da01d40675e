"""Encoded rows are shown in the words of the table: its numbers and its dates."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from descend.assessment.failures import worst_rows
from descend.assessment.sample import Sample, draw, number_values
from descend.data.encoding.places import Places, places_of
from descend.data.prepare import prepare
from descend.data.schema.columns import NumberColumn
from descend.settings import Settings


def test_numbers_come_back_as_they_stood_in_the_table() -> None:
    prices = np.array([0.0, 0.5, 2.5, 0.11, 12.75, 52.0, 97.5, 250.01, -4.5, 0.001])
    mean, deviation = float(prices.mean()), float(prices.std())
    column = NumberColumn("price", "number", 0, None, mean, deviation, -4.5, 250.01)
    encoded = ((prices - mean) / deviation).astype(np.float32)[:, None]
    values = number_values([Places(column, (0,), None)], {"numeric": encoded})[:, 0]
    assert [f"{one:.6g}" for one in values] == [f"{one:.6g}" for one in prices]
    assert 0.0 in values


def test_infinite_and_huge_numbers_stay_what_they_are() -> None:
    column = NumberColumn("x", "number", 0, None, 0.0, 1e300, -9.5, 1e308)
    encoded = np.array([[np.inf], [0.0], [1e8], [np.nan]], np.float32)
    values = number_values([Places(column, (0,), None)], {"numeric": encoded})[:, 0]
    np.testing.assert_allclose(values, [np.inf, 0.0, 1e308, np.nan], rtol=1e-6)


def test_the_worst_rows_show_dates_as_dates() -> None:
    start, count = datetime(2018, 11, 5, 6, 30), 60
    table = pa.table(
        {
            "pickup": [start + timedelta(hours=37 * row) for row in range(count)],
            "day": [(start + timedelta(days=row)).date() for row in range(count)],
            "y": np.arange(count, dtype=float),
        }
    )
    prepared = prepare(table, Settings(target="y", validation=0.5))
    drawn = draw(prepared.training, count, seed=0)
    truth = np.arange(len(drawn.y), dtype=float)
    sample = Sample(drawn.x, truth, np.zeros(len(truth)), np.ones(len(truth)), lambda _: truth, ())
    worst = worst_rows(sample, places_of(prepared.schema))
    moments = {one.strftime("%Y-%m-%d %H:%M") for one in table.column("pickup").to_pylist()}
    days = {str(one) for one in table.column("day").to_pylist()}
    assert len(worst) > 5
    for row in worst:
        assert row["values"]["pickup"] in moments
        assert row["values"]["day"] in days
