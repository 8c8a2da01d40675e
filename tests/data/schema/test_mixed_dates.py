"""Columns of text in which dates are written in more than one way."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import DatetimeColumn, LeftOutColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import settings_from

ROWS = 60
DAYS = [datetime.date(2020, 1, 1) + datetime.timedelta(days=11 * place) for place in range(ROWS)]


def learned(cells: list[str], **options: Any) -> Schema:
    table = pa.table({"t": cells, "x": np.arange(ROWS) % 7, "y": np.arange(ROWS) + 0.5})
    return learn_schema(open_table(table), settings_from({"target": "y", **options}))


def forms(*patterns: str) -> list[str]:
    return [day.strftime(patterns[place % len(patterns)]) for place, day in enumerate(DAYS)]


@pytest.mark.parametrize("other", ["%d.%m.%Y", "%d %B %Y", "%d/%m/%Y"])
def test_iso_8601_beside_one_other_form_is_read(other: str) -> None:
    schema = learned(forms("%Y-%m-%d", other, other))
    column = schema.columns[0]
    assert isinstance(column, DatetimeColumn)
    assert column.missing == column.strays == 0
    read = [
        next(
            Encoder(schema).encode(
                open_table(pa.table({"t": cells, "x": [0] * ROWS})), target=False
            )
        )
        for cells in (forms("%Y-%m-%d", other), forms("%Y-%m-%d"))
    ]
    assert np.array_equal(read[0].batch.x["numeric"], read[1].batch.x["numeric"])


@pytest.mark.parametrize("other", ["%d.%m.%Y", "%b %d, %Y", "%d/%m/%Y"])
def test_a_rare_other_form_is_read_too(other: str) -> None:
    cells = forms("%Y-%m-%d")
    cells[2] = DAYS[2].strftime(other)
    column = learned(cells).columns[0]
    assert isinstance(column, DatetimeColumn)
    assert (column.pattern, column.missing, column.strays) == (other, 0, 0)


def test_a_rare_cell_whose_month_is_unknown_is_missing_and_counted() -> None:
    cells = forms("%Y-%m-%d")
    cells[2] = "03/04/2020"
    column = learned(cells).columns[0]
    assert isinstance(column, DatetimeColumn)
    assert (column.pattern, column.strays) == (None, 1)
    column = learned(cells, date_order="dmy").columns[0]
    assert isinstance(column, DatetimeColumn)
    assert (column.pattern, column.strays) == ("%d/%m/%Y", 0)


def test_several_forms_are_left_out_and_the_reason_says_what_to_do() -> None:
    column = learned(forms("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y")).columns[0]
    assert isinstance(column, LeftOutColumn)
    assert "dates in several forms" in column.reason
    assert "write all as 2024-12-31" in column.reason


def test_the_option_for_dates_in_numbers_says_what_it_is_for() -> None:
    with pytest.raises(DataError, match="is for numbers that count from 1970"):
        learned(forms("%Y-%m-%d", "%d.%m.%Y", "%d/%m/%Y"), datetime=["t"])


def test_the_target_cannot_be_left_out() -> None:
    values = np.where(np.arange(ROWS) == 5, np.inf, np.arange(ROWS) + 0.5)
    table = open_table(pa.table({"x": np.arange(ROWS) % 7, "y": values}))
    with pytest.raises(DataError, match="the row is then left out") as error:
        learn_schema(table, settings_from({"target": "y", "task": "regression"}))
    assert "exclude" not in str(error.value)
