from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import DatetimePart
from descend.data.schema.learn import learn_schema
from descend.settings import Settings
from descend.training.losses import LOSSES
from descend.training.network.bins import BEYOND, as_params, find_bins, from_params
from descend.training.network.day_codes import LEAST_ROWS, elapsed_days, find_days
from descend.training.network.models import Inputs
from descend.training.network.tabular import tabular, with_mean_of_days

FIRST = 19_000
MEAN = LOSSES["squared_error"].pool


def part_of(elapsed: np.ndarray) -> DatetimePart:
    return DatetimePart("elapsed days", float(elapsed.mean()), float(elapsed.std()))


def standard(elapsed: np.ndarray, part: DatetimePart) -> np.ndarray:
    return ((elapsed - part.mean) / part.deviation).astype(np.float32)


def times(days: np.ndarray, rows: int = 3_000, *, whole: bool = False) -> np.ndarray:
    random = np.random.default_rng(0)
    clock = 0.0 if whole else random.integers(0, 1440, rows) / 1440
    return np.asarray(FIRST + np.resize(days, rows) + clock)


def codes(elapsed: np.ndarray, middles: np.ndarray, part: DatetimePart) -> np.ndarray:
    return np.asarray(np.searchsorted(middles, standard(elapsed, part), side="left"))


@pytest.mark.parametrize("whole", [True, False])
def test_each_day_is_a_code_and_what_lies_outside_has_its_own(whole: bool) -> None:
    elapsed = times(np.arange(300), whole=whole)
    part = part_of(elapsed)
    found = find_days(standard(elapsed, part), part, standard(elapsed[:100], part))
    assert found is not None
    middles, of_days = found
    assert of_days.tolist() == [-1, *[1] * 300, -1]
    np.testing.assert_array_equal(codes(elapsed, middles, part), 1 + np.floor(elapsed) - FIRST)
    outside = np.array([FIRST - 1.0, FIRST + 300.0, FIRST + 5_000.0])
    assert codes(outside, middles, part).tolist() == [0, 301, 301]


def test_a_day_without_rows_is_none_of_the_known_ones() -> None:
    elapsed = times(np.array([0, 1, 2, 10, 11]))
    part = part_of(elapsed)
    found = find_days(standard(elapsed, part), part, standard(elapsed[:0], part))
    assert found is not None
    middles, of_days = found
    there = FIRST + np.array([-0.5, 0.0, 1.5, 2.9, 3.1, 9.9, 10.1, 11.9, 12.1])
    known = of_days[codes(there, middles, part)]
    assert known.tolist() == [-1, 1, 1, 1, -1, -1, 1, 1, -1]


def test_days_that_the_validation_rows_do_not_have_are_no_codes() -> None:
    elapsed = times(np.arange(100))
    part = part_of(elapsed)
    column = standard(elapsed, part)
    assert find_days(column, part, standard(elapsed + 100.0, part)) is None
    assert find_days(column, part, column[:50]) is not None


@pytest.mark.parametrize("days", [np.arange(2), np.arange(3_000 // LEAST_ROWS * 2)])
def test_two_days_and_days_of_hardly_any_rows_are_no_codes(days: np.ndarray) -> None:
    elapsed = times(days)
    part = part_of(elapsed)
    assert find_days(standard(elapsed, part), part, standard(elapsed, part)) is None


def test_other_days_have_the_mean_embedding() -> None:
    elapsed = times(np.arange(30))
    part = part_of(elapsed)
    table = np.stack([np.arange(3_000) % 5, standard(elapsed, part)], axis=1).astype(np.float32)
    bins = find_bins(table, days={1: part}, held_out=table[:200])
    assert bins.coded.tolist() == [0, 1]
    assert np.sum(bins.middles < BEYOND) == 4 + 31
    assert np.flatnonzero(bins.days < 0).tolist() == [32, 63]
    assert np.flatnonzero(bins.days > 0).tolist() == list(range(33, 63))
    params = tabular(Inputs(2, ()), [0.0], (4,), "relu", 2, MEAN, bins).init(0)
    codes = np.array(params["codes"])
    expected = codes.copy()
    expected[[32, 63]] = codes[33:63].mean(axis=0)
    np.testing.assert_allclose(with_mean_of_days(params), expected, rtol=1e-5, atol=1e-7)
    without = find_bins(table, days={1: part}, held_out=table[:200] + 50.0)
    assert without.coded.tolist() == [0]
    assert without.days.size == 0


def test_the_bins_of_a_file_with_days_are_checked() -> None:
    elapsed = times(np.arange(30))
    part = part_of(elapsed)
    fixed = as_params(find_bins(standard(elapsed, part)[:, None], days={0: part}))
    assert as_params(from_params(fixed, 1)).keys() == fixed.keys()
    with pytest.raises(ValueError, match="days"):
        from_params({**fixed, "days": fixed["days"][:-1]}, 1)


def test_the_numbers_that_count_days_are_found_among_all() -> None:
    days = np.datetime64("2024-01-01") + np.arange(40)
    frame = pd.DataFrame(
        {
            "a": [None, *range(39)],
            "when": days.astype("datetime64[us]"),
            "word": ["x", "y"] * 20,
            "later": [None, *days[1:].astype("datetime64[us]").tolist()],
            "y": np.arange(40.0),
        }
    )
    schema = learn_schema(open_table(frame), Settings("y"))
    names = Encoder(schema).numeric_names
    found = elapsed_days(schema)
    assert [names[place] for place in found] == ["when elapsed days", "later elapsed days"]
