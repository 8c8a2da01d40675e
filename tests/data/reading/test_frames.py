"""Frames, Arrow tables and arrays in memory."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from descend.data.reading.open_table import open_table
from descend.errors import DataError
from tests.tables import rows_of

ROWS = [(1.0, "x", True), (2.5, None, False), (None, "z", None)]


def test_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": [1, 2.5, None], "b": ["x", None, "z"], "c": [True, False, None]})
    assert rows_of(open_table(frame)) == ROWS
    assert rows_of(open_table(frame.set_index("b"))) == [(a, c) for a, _, c in ROWS]


def test_polars_frames() -> None:
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(
        {"a": [1.0, 2.5, None], "b": ["x", None, "z"], "c": [True, False, None]}
    )
    assert rows_of(open_table(frame)) == ROWS
    assert rows_of(open_table(frame.lazy())) == ROWS


def test_arrow_tables_and_streams() -> None:
    frame = pa.table({"a": [1, 2.5, None], "b": ["x", None, "z"], "c": [True, False, None]})
    assert rows_of(open_table(frame)) == ROWS
    assert rows_of(open_table(frame.to_batches()[0])) == ROWS
    assert rows_of(open_table(frame.to_reader(2))) == ROWS


def test_arrays() -> None:
    X = np.array([[1.0, 2.0], [3.0, np.nan]], np.float32)
    table = open_table((X, np.array(["u", "v"])))
    assert [column.name for column in table.columns] == ["x0", "x1", "y"]
    assert rows_of(table) == [(1.0, 2.0, "u"), (3.0, None, "v")]
    two = open_table((X, X))
    assert [column.name for column in two.columns] == ["x0", "x1", "y0", "y1"]


def test_a_frame_and_an_array() -> None:
    table = open_table((pa.table({"a": [1, 2], "b": ["x", "y"]}), [3.0, 4.0]))
    assert rows_of(table) == [(1, "x", 3.0), (2, "y", 4.0)]


def test_masked_values_are_missing_and_the_others_keep_every_digit() -> None:
    x = np.ma.masked_array([[2**53, 7], [2**53 + 1, 8]], mask=[[False, True], [False, False]])
    y = np.ma.masked_array(np.array(["u", "hidden"], object), mask=[False, True])
    assert rows_of(open_table((x, y))) == [(2**53, None, "u"), (2**53 + 1, 8, None)]


def test_numbers_of_more_than_64_bits_are_carried_or_refused() -> None:
    pandas = pytest.importorskip("pandas")
    wide = np.array([0.1, 2.0], np.longdouble)
    assert rows_of(open_table((wide[:, None], [1, 2]))) == [(0.1, 1), (2.0, 2)]
    assert rows_of(open_table(pandas.DataFrame({"a": wide}))) == [(0.1,), (2.0,)]
    code = np.array([2**60, 2**60 + 1], np.longdouble)
    if code[0] != code[1]:  # Some processors have no such numbers.
        with pytest.raises(DataError, match="64 bits cannot hold exactly"):
            open_table((code[:, None], [1, 2]))
        with pytest.raises(DataError, match="64 bits cannot hold exactly"):
            open_table(pandas.DataFrame({"a": code}))
    huge = np.array([2**70, 2**70 + 1], object)
    assert rows_of(open_table((huge[:, None], [1, 2]))) == [(str(2**70), 1), (str(2**70 + 1), 2)]
    assert rows_of(open_table(pandas.DataFrame({"a": huge}))) == [(str(2**70),), (str(2**70 + 1),)]
    mixed = np.array([2**70, 0.5], object)
    with pytest.raises(DataError, match="more than 64 bits"):
        open_table((mixed[:, None], [1, 2]))
