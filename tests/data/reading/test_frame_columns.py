"""Columns of frames that Arrow does not hold: no obstacle, unless they are needed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import LeftOutColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 60
X = np.random.default_rng(0).normal(size=ROWS)


def schema_of(data: Any) -> Schema:
    return learn_schema(open_table(data), Settings(target="y", task="regression"))


ODD: dict[str, tuple[Any, str]] = {
    "complex": (pd.DataFrame({"x": X, "odd": X + 1j, "y": X}), "complex128"),
    "objects": (pd.DataFrame({"x": X, "odd": [object()] * ROWS, "y": X}), "object"),
    "lists and text": (pd.DataFrame({"x": X, "odd": [[1], "a"] * 30, "y": X}), "list and str"),
    "mappings": (pd.DataFrame({"x": X, "odd": [{"a": 1}] * ROWS, "y": X}), "STRUCT"),
    "Arrow's maps": (
        pa.table(
            {
                "x": X,
                "odd": pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64())),
                "y": X,
            }
        ),
        "MAP",
    ),
}


@pytest.mark.parametrize("name", ODD)
def test_a_column_that_is_not_needed_is_left_out(name: str) -> None:
    data, kind = ODD[name]
    without = schema_of(pa.table({"x": X, "y": X}))
    parts = Encoder(without).encode(open_table(data), target=False)
    assert sum(len(part.batch.weight) for part in parts) == ROWS
    found = schema_of(data).columns[1]
    assert isinstance(found, LeftOutColumn)
    assert found.reason.startswith(f"unsupported type {kind}")


@pytest.mark.parametrize("name", ODD)
def test_a_column_that_is_needed_is_refused_by_name_and_type(name: str) -> None:
    data, kind = ODD[name]
    needs = schema_of(pa.table({"odd": X, "y": X}))
    with pytest.raises(DataError, match=f"'odd': expected numbers, as in training, found {kind}"):
        list(Encoder(needs).encode(open_table(data), target=False))


@pytest.mark.parametrize("role", ["target", "categorical", "numeric", "datetime"])
def test_so_is_one_that_is_named(role: str) -> None:
    data, kind = ODD["objects"]
    asked = {"target": "y", role: "odd" if role == "target" else ("odd",)}
    with pytest.raises(DataError, match=f"(?i){role} 'odd' holds {kind}; expected numbers"):
        learn_schema(open_table(data), Settings(**asked))


def test_complex_arrays_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match="real and imaginary parts as two columns"):
        open_table((np.stack([X, X * 1j], axis=1), X))


@pytest.mark.parametrize("dtype", [pl.Int128, pl.Int64])
def test_whole_numbers_of_any_width_are_numbers(dtype: Any) -> None:
    values = pl.Series([row % 7 for row in range(ROWS)], dtype=dtype)
    schema = schema_of(pl.DataFrame({"n": values, "y": X}))
    assert schema.columns[0].kind == "number"


def test_decimals_of_256_bits_are_numbers() -> None:
    values = pa.array(np.arange(ROWS) % 7, pa.int64()).cast(pa.decimal256(50, 2))
    assert schema_of(pa.table({"n": values, "y": X})).columns[0].kind == "number"


def test_periods_are_dates() -> None:
    months = pd.period_range("2019-01", periods=ROWS, freq="M")
    schema = schema_of(pd.DataFrame({"month": months, "y": X}))
    dates = schema_of(pd.DataFrame({"month": months.to_timestamp(), "y": X}))
    assert schema.columns == dates.columns
