"""Months, quarters, half-years and weeks, as text and as whole numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, NumberColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 72
Y = np.arange(ROWS) % 17 + 0.5
MONTHS = np.datetime64("2019-03") + np.arange(ROWS) * 5 % 40
QUARTERS = MONTHS - (MONTHS.astype(int) % 3)
HALVES = MONTHS - (MONTHS.astype(int) % 6)
MONDAYS = np.datetime64("2020-12-21") + np.arange(ROWS) * 7 % 56 * 7


def written(months: Any, form: str) -> list[str]:
    return [one.strftime(form) for one in months.astype("datetime64[D]").tolist()]


def quarters(form: str) -> list[str]:
    days = QUARTERS.astype("datetime64[D]").tolist()
    return [form.format(day.year, (day.month + 2) // 3) for day in days]


def halves(form: str) -> list[str]:
    days = HALVES.astype("datetime64[D]").tolist()
    return [form.format(day.year, (day.month + 5) // 6) for day in days]


TEXTS: dict[str, tuple[list[str], Any]] = {
    **{
        form: (written(MONTHS, form), MONTHS)
        for form in ("%Y-%m", "%Y/%m", "%m/%Y", "%YM%m", "%b %Y", "%B %Y", "%b-%Y")
    },
    **{form: (quarters(form), QUARTERS) for form in ("{}Q{}", "{}-Q{}", "{} q{}")},
    "Q1 2020": ([f"Q{one[-1]} {one[:4]}" for one in quarters("{}Q{}")], QUARTERS),
    **{form: (halves(form), HALVES) for form in ("{}H{}", "{} h{}", "{}-H{}")},
    "H1 2020": ([f"H{one[-1]}/{one[:4]}" for one in halves("{}H{}")], HALVES),
    "KW 5/2020": ([f"KW {int(one[6:])}/{one[:4]}" for one in written(MONDAYS, "%G-W%V")], MONDAYS),
    "2020 W5": ([f"{one[:4]} W{int(one[6:])}" for one in written(MONDAYS, "%G-W%V")], MONDAYS),
    "weeks": (written(MONDAYS, "%G-W%V"), MONDAYS),
    "weeks without a hyphen": (written(MONDAYS, "%GW%V"), MONDAYS),
}


def learned(values: Any, **options: Any) -> Schema:
    table = open_table(pa.table({"period": pa.array(values), "x": Y, "y": Y}))
    return learn_schema(table, Settings(target="y", task="regression", **options))


def days_of(schema: Schema, values: Any) -> np.ndarray:
    """The elapsed days that rows become, in their own units."""
    column = schema.columns[0]
    assert isinstance(column, DatetimeColumn)
    place = [part.name for part in column.parts].index("elapsed days")
    part = column.parts[place]
    table = open_table(pa.table({"period": pa.array(values), "x": np.zeros(len(values))}))
    rows = [one.batch.x["numeric"] for one in Encoder(schema).encode(table, target=False)]
    return np.concatenate(rows)[:, place] * part.deviation + part.mean


@pytest.mark.parametrize("name", TEXTS)
def test_each_is_the_day_on_which_it_begins(name: str) -> None:
    texts, begins = TEXTS[name]
    expected = begins.astype("datetime64[D]").astype(int)
    np.testing.assert_allclose(days_of(learned(texts), texts), expected, atol=0.01)


@pytest.mark.parametrize("name", ["%Y-%m", "{}Q{}", "weeks"])
def test_a_frame_of_periods_predicts_its_csv_file(name: str) -> None:
    """In a frame the periods are the timestamps on which they begin."""
    texts, begins = TEXTS[name]
    schema = learned(begins.astype("datetime64[us]"))
    expected = begins.astype("datetime64[D]").astype(int)
    np.testing.assert_allclose(days_of(schema, texts), expected, atol=0.01)


def test_a_month_has_no_weekday() -> None:
    column = learned(TEXTS["%Y-%m"][0]).columns[0]
    assert isinstance(column, DatetimeColumn)
    names = [part.name for part in column.parts]
    assert names == ["year", "month sin", "month cos", "elapsed days"]


def test_a_model_of_months_reads_dates_too() -> None:
    schema = learned(TEXTS["%b %Y"][0])
    days = [str(one) for one in MONTHS.astype("datetime64[D]")]
    expected = MONTHS.astype("datetime64[D]").astype(int)
    np.testing.assert_allclose(days_of(schema, days), expected, atol=0.01)


@pytest.mark.parametrize("form", ["{:04}-{:02}", "{}-{:03}", "X{}-{:02}"])
def test_codes_are_no_months(form: str) -> None:
    codes = [form.format(row % 6 * 7, 1 + row % 4) for row in range(ROWS)]
    assert isinstance(learned(codes).columns[0], CategoryColumn)


def test_the_option_categorical_keeps_categories() -> None:
    schema = learned(TEXTS["{}Q{}"][0], categorical=("period",))
    assert isinstance(schema.columns[0], CategoryColumn)


def test_months_as_numbers_are_offered_and_read() -> None:
    numbers = [int(text) for text in written(MONTHS, "%Y%m")]
    schema = learned(numbers)
    assert isinstance(schema.columns[0], NumberColumn)
    (said,) = [one for one in schema.warnings if "'period'" in one]
    assert "2019-03 to 2022-02" in said
    assert "datetime=['period']" in said
    dates = learned(numbers, datetime=("period",))
    expected = MONTHS.astype("datetime64[D]").astype(int)
    np.testing.assert_allclose(days_of(dates, numbers), expected, atol=0.01)


def test_other_numbers_are_not_taken_for_months() -> None:
    for numbers in (np.arange(ROWS) + 202_001, np.arange(ROWS) * 31 + 190_001):
        assert not any("months" in one for one in learned(numbers).warnings)


@pytest.mark.parametrize("form", ["{}-W{:02}", "KW {1}/{0}"])
def test_a_week_that_a_year_does_not_have_is_no_week(form: str) -> None:
    """It would be the first week of the next year. 2020 has 53 weeks, 2021 has 52."""
    weeks = [form.format(2020 + week // 53, week % 53 + 1) for week in np.arange(ROWS)]
    schema = learned(weeks)
    days = days_of(schema, [form.format(2020, 53), form.format(2021, 1)])
    assert np.diff(days).tolist() == [7]
    with pytest.raises(DataError, match="2021"):
        days_of(schema, [form.format(2021, 53)])
