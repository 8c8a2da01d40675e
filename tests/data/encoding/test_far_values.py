"""Values and gaps that training did not have: the user is told."""

from __future__ import annotations

import re
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
    assert told(learned(X), [*X, 1_900.0]) == []  # A few that training would not tell either.


def test_a_single_value_is_told_where_training_would_tell_it() -> None:
    (sentence,) = told(learned(X), [*X, 1e9])
    assert "column 'x' 1 value of 401 is farther from those of training (" in sentence
    assert "than 20 times their range, the first is 1000000000." in sentence
    days = np.append(DAYS, np.array(["2201-01-01", "2202-01-01"], "datetime64[D]"))
    (sentence,) = told(learned(DAYS), days)
    assert "2 values of 402 are farther" in sentence
    assert "the first is 2201-01-01." in sentence
    schema = learned(X)
    unseen = UnseenValues(schema)
    table = open_table(pa.table({"x": X, "y": [*Y[:-1], -1e6]}))
    for _ in Encoder(schema).encode(table, target=True, rows=30, unseen=unseen):
        pass
    (sentence,) = unseen.sentences()
    assert "the target 'y' 1 value of 400 is farther" in sentence


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
    times = [
        f"{str(day)[8:]}/{str(day)[5:7]}/{str(day)[:4]} 10:{row % 60:02d}"
        for row, day in enumerate(DAYS)
    ]
    schema = learned(times)
    assert told(schema, ["15/01/2020 10:30"]) == []
    with pytest.raises(DataError, match="found '15/01/20 10:30\\+02:00'"):
        told(schema, ["15/01/20 10:30+02:00"])


@pytest.mark.parametrize(
    ("values", "first"),
    [
        (np.arange(5) / 100 + 0.2, "0.2"),
        (["1.250", "1.375", "2.110", "8.015", "3.400"], "1.25"),
        ([np.nan, 3.0, 0.5, 0.25, 0.125, 2.5], "0.5"),
    ],
    ids=["shares", "points between thousands", "some"],
)
def test_decimals_where_training_had_whole_numbers_are_told(values: Any, first: str) -> None:
    whole = np.arange(ROWS) % 70 + 1
    sentences = [one for one in told(learned(whole), values) if "is missing" not in one]
    assert len(sentences) == 1
    assert "have decimals, and training had whole numbers only" in sentences[0]
    assert f"the first is {first}." in sentences[0]
    assert told(learned(whole), [f"{one}.0" for one in whole]) == []
    assert told(learned(whole + 0.5), values[2:3]) == []


@pytest.mark.parametrize(
    ("known", "values", "had", "first"),
    [
        ([1, 2], [0, 1, 1, 0], "1 and 2", "0"),
        ([-1, 1], [0, 1, 1, 0], "-1 and 1", "0"),
        ([0, 1], [2, 1, 1, 2], "0 and 1", "2"),
        ([1, 2, 3, 4, 5], [0, 1, 2, 3, 4], "the whole numbers 1 to 5", "0"),
        ([5001, 5002, 5003], [5002, 5003, 5004], "the whole numbers 5001 to 5003", "5004"),
        ([1000, 9000], [2000, 1000, 9000], "1000 and 9000", "2000"),
    ],
)
def test_other_codes_than_those_of_training_are_told(
    known: list[int], values: list[int], had: str, first: str
) -> None:
    schema = learned(np.resize(known, ROWS))
    (sentence,) = told(schema, values)
    assert f"none that training had: {had}; the first is {first}." in sentence
    assert told(schema, np.resize(known, 8)) == []


def test_a_later_year_month_or_day_is_no_other_code() -> None:
    assert told(learned(np.resize(np.arange(2015, 2021), ROWS)), [2021] * 9) == []
    assert told(learned(np.resize([2019, 2020], ROWS)), [2021] * 9) == []
    assert told(learned(np.resize(np.arange(202401, 202407), ROWS)), [202407] * 9) == []
    assert told(learned(np.resize(np.arange(20231225, 20231230), ROWS)), [20231230] * 9) == []
    (sentence,) = told(learned(np.resize([20231230, 20231231], ROWS)), [20250101] * 9)
    assert "those of training (20231230 to 20231231), the first is 20250101" in sentence


def test_targets_in_another_unit_are_told_and_counted_together() -> None:
    schema = learned(X)
    table = open_table(pa.table({"x": X, "y": Y * 1000}))
    parts = [UnseenValues(schema) for _ in range(2)]
    for unseen in parts:
        for _ in Encoder(schema).encode(table, target=True, rows=90, unseen=unseen):
            pass
    both = UnseenValues(schema)
    for unseen in parts:
        both.add_record(unseen.as_json())
    (sentence,) = both.sentences()
    assert "In the target 'y' 800 of 800 values (100 %) are far from those of training" in sentence
    assert "the first is 500." in sentence


@pytest.mark.parametrize("form", ["text", "timestamps", "dates"])
def test_dates_alone_where_training_had_times_are_told(form: str) -> None:
    times = np.datetime64("2020-01-01T00:00:00") + np.arange(ROWS) * np.timedelta64(7 * 3600, "s")
    schema = learned(times)
    days = DAYS[:90]
    values = {"text": days.astype(str), "timestamps": days.astype("datetime64[us]"), "dates": days}
    (sentence,) = told(schema, values[form])
    assert "All 90 times of column 'x' are at midnight" in sentence
    assert told(schema, times) == told(schema, times[:90]) == told(schema, values[form][:2]) == []
    assert told(learned(DAYS), days) == []


@pytest.mark.parametrize("every", [8, 40])
def test_midnights_that_chance_explains_are_not_told(every: int) -> None:
    """A few of many events that mostly have a date alone."""
    times = DAYS.astype("datetime64[s]")
    times[::every] += np.timedelta64(13 * 3600, "s")
    schema = learned(times)
    days = DAYS[times == DAYS].astype("datetime64[s]")
    assert told(schema, days[:9]) == []
    (sentence,) = told(schema, np.resize(days, 10 * every))
    (share,) = re.findall(r"in training at least ([0-9.]+) % had another time", sentence)
    assert 0.7 / every < float(share) / 100 < 1.3 / every


def test_rare_values_that_chance_explains_are_not_told() -> None:
    texts = [f"rare {row}" if row % 8 == 0 else f"k{row % 3}" for row in range(ROWS)]
    schema = learned(texts)
    for first in range(0, ROWS - 9, 8):
        assert told(schema, texts[first : first + 9]) == []
    (sentence,) = told(schema, [f"new {row}" if row % 2 else "k1" for row in range(40)])
    assert "never or hardly ever saw 20 of 40 values" in sentence
    assert len(told(learned(["a", "b"] * 200), ["a", "c"])) == 1
