"""Dates that are whole numbers, such as 20240131."""

from __future__ import annotations

import ast
import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import DatetimeColumn, NumberColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.settings import Settings

ROWS = 200
DAYS = np.datetime64("2023-11-01") + np.arange(ROWS) * 7 % 190
NUMBERS = np.array([int(str(day).replace("-", "")) for day in DAYS])
Y = np.arange(ROWS) % 17 + 0.5


def learned(days: Any, **options: Any) -> Schema:
    table = open_table(pa.table({"day": days, "y": Y}))
    return learn_schema(table, Settings(target="y", task="regression", **options))


def encoded(schema: Schema, days: Any) -> np.ndarray:
    parts = Encoder(schema).encode(open_table(pa.table({"day": days})), target=False)
    return np.concatenate([part.batch.x["numeric"] for part in parts])


@pytest.mark.parametrize(
    "stored",
    [NUMBERS, NUMBERS.astype(np.float64), NUMBERS.astype(str)],
    ids=["int", "float", "text"],
)
def test_they_become_the_dates_that_they_are(stored: Any) -> None:
    schema = learned(stored, datetime=("day",))
    (column,) = schema.columns
    assert isinstance(column, DatetimeColumn)
    assert not schema.warnings
    np.testing.assert_array_equal(encoded(schema, stored), encoded(learned(DAYS), DAYS))


def test_the_option_is_offered() -> None:
    schema = learned(NUMBERS)
    assert isinstance(schema.columns[0], NumberColumn)
    (said,) = schema.warnings
    assert "2023-11-01 to 2024-05-08" in said
    assert "datetime=['day']" in said


@pytest.mark.parametrize(
    "numbers", [NUMBERS + 0.5, np.arange(ROWS) + 20_230_000, np.arange(ROWS) * 997 + 20_230_101]
)
def test_other_numbers_are_not_taken_for_dates(numbers: Any) -> None:
    assert not learned(numbers).warnings


def test_a_number_that_is_no_date_is_missing_and_told() -> None:
    numbers = NUMBERS.copy()
    numbers[5] = 20240231
    schema = learned(numbers, datetime=("day",))
    (said,) = schema.warnings
    assert "'20240231', first in data row 6" in said


@pytest.mark.parametrize("form", ["%Y%m%d%H", "%Y%m%d%H%M%S"])
def test_times_of_days_are_told_with_the_query_that_makes_them_dates(
    form: str, tmp_path: Path
) -> None:
    hours = np.datetime64("2016-01-01T00") + np.arange(ROWS) * 31
    path = tmp_path / "t.csv"
    cells = [one.strftime(form) for one in hours.astype(object)]
    rows = [f"{cell},{y}" for cell, y in zip(cells, Y, strict=True)]
    path.write_text("\n".join(["my hour,y", *rows]) + "\n")
    (said,) = learn_schema(open_table(path), Settings(target="y", task="regression")).warnings
    query = ast.literal_eval(said.partition("the query  ")[2])
    schema = learn_schema(open_table(query), Settings(target="y", task="regression"))
    (column,) = schema.columns
    assert isinstance(column, DatetimeColumn)
    assert "hour sin" in [part.name for part in column.parts]


def told_query(tmp_path: Path, cells: Any) -> str:
    """The query that `inspect` offers for a column x of a CSV file with these cells."""
    path = tmp_path / "t.csv"
    rows = [f'"{cell}",{row % 7 + 0.5}' for row, cell in enumerate(cells)]
    path.write_text("\n".join(["x,y", *rows]) + "\n")
    schema = learn_schema(open_table(path), Settings(target="y", task="regression"))
    (said,) = [one for one in schema.warnings if "may hold" in one]
    return str(ast.literal_eval(said.partition("the query  ")[2]))


@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("zeros", [True, False], ids=["13.30", "13.3"])
def test_clocks_with_a_point_are_told_with_the_query_that_reads_them(
    tmp_path: Path, mark: str, zeros: bool
) -> None:
    minutes = [row * 97 % 1440 for row in range(400)]
    cells = [f"{one // 60:02d}.{one % 60:02d}" for one in minutes]
    cells = [one if zeros else repr(float(one)) for one in cells]
    found = open_table(told_query(tmp_path, [one.replace(".", mark) for one in cells]))
    clocks = found.query(f"SELECT x FROM {found.rows}").column("x").to_pylist()
    assert clocks == [f"{one // 60:02d}:{one % 60:02d}" for one in minutes]


@pytest.mark.parametrize(
    "numbers",
    [
        np.arange(400) * 97 % 2400 / 100,
        np.arange(400) % 24 + np.arange(400) % 4 / 4,
        np.arange(400) % 60 / 100,
        np.arange(400) * 7 % 30 + np.arange(400) % 60 / 100,
        np.arange(400) * 7 % 24 + np.arange(400) % 60 / 100 + 0.001,
        np.arange(400) % 24 + 0.5,
    ],
    ids=["minutes from 60", "quarters", "no hours", "hours from 24", "thousandths", "halves"],
)
def test_other_decimals_are_no_clocks(numbers: Any) -> None:
    table = open_table(pa.table({"x": numbers, "y": np.arange(400) % 7 + 0.5}))
    warnings = learn_schema(table, Settings(target="y", task="regression")).warnings
    assert not [one for one in warnings if "times of the day" in one]


def test_days_of_years_are_told_with_the_query_that_reads_them(tmp_path: Path) -> None:
    days = [datetime.date(2019, 12, 1) + datetime.timedelta(days=11 * row) for row in range(80)]
    found = open_table(told_query(tmp_path, [f"{day:%Y%j}" for day in days]))
    assert found.query(f"SELECT x FROM {found.rows}").column("x").to_pylist() == days
    other = open_table(pa.table({"x": np.arange(80) * 37 + 2_019_001, "y": np.arange(80) % 7}))
    assert not learn_schema(other, Settings(target="y", task="regression")).warnings
