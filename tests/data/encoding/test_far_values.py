"""Values and gaps that training did not have: the user is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 400
X = np.linspace(0.275, 99.903, ROWS).round(3)
DAYS = np.datetime64("2020-01-01") + np.arange(ROWS)
Y = np.arange(ROWS) % 7 + 0.5
HALF = [None if row % 2 else x for row, x in enumerate(X)]


def learned(values: Any) -> Schema:
    table = pa.table({"x": values, "y": Y})
    return learn_schema(open_table(table), Settings(target="y", task="regression"))


def told(schema: Schema, values: Any) -> list[str]:
    unseen = UnseenValues(schema)
    table = open_table(pa.table({"x": pa.array(values)}))
    for _ in Encoder(schema).encode(table, target=False, rows=3, unseen=unseen):
        pass
    return unseen.sentences()


def test_numbers_of_another_size_are_told() -> None:
    """In a file with semicolons 51,182 may be 51182."""
    (sentence,) = told(learned(X), ["51,182", "3,001", "48,125", "99,012", "1,022"])
    assert "5 of 5 values (100 %) are far from those of training (" in sentence
    assert "the first is 51182" in sentence
    (sentence,) = told(learned(X), [5.0, 300.0, -101.0, 7.0])
    assert "2 of 4 values (50 %)" in sentence
    assert "the first is 300" in sentence


def test_dates_of_another_time_are_told() -> None:
    (sentence,) = told(learned(DAYS), np.array(["1970-01-01", "2020-05-05"], "datetime64[D]"))
    assert "1 of 2 values (50 %) are far from those of training (2020-01-0" in sentence
    assert "the first is 1970-01-01" in sentence


def test_usual_values_are_not() -> None:
    assert told(learned(X), X) == told(learned(DAYS), DAYS) == []
    assert told(learned(X), [-90.0, 190.0]) == []  # Not farther than the range is wide.
    assert told(learned(DAYS), DAYS + 300) == []
    assert told(learned(X), [*X, 1e9]) == []  # A few.


@pytest.mark.parametrize("values", [X, DAYS, [f"k{row % 3}" for row in range(ROWS)]])
def test_gaps_that_training_did_not_have_are_told(values: Any) -> None:
    schema = learned(values)
    assert told(schema, values[:5]) == []
    kind = pa.array(values).type
    (sentence,) = told(schema, pa.array([None, pa.array(values)[0].as_py()], kind))
    assert "is missing in 1 of 2 rows (50 %); in training it was in 0 %" in sentence


def test_gaps_that_chance_explains_are_not() -> None:
    schema = learned(HALF)
    assert told(schema, [None]) == told(schema, [None, None, 5.0]) == []
    assert len(told(schema, pa.array([None] * 30, pa.float64()))) == 1


def test_two_digits_are_no_year_where_training_had_four() -> None:
    """strptime alone reads 15/01/20 as the year 20."""
    schema = learned([f"{str(day)[8:]}/{str(day)[5:7]}/{str(day)[:4]}" for day in DAYS])
    assert told(schema, ["15/01/2020"]) == []
    with pytest.raises(DataError, match="found '15/01/20'"):
        told(schema, ["15/01/20"])
