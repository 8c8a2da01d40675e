"""Periods and intervals of pandas, however they are stored, against what pandas makes of them."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import parquet

from descend.data.reading.open_table import open_table
from descend.data.reading.table import Table
from descend.errors import DataError

FREQUENCIES = (
    *("M", "2M", "Q-DEC", "Q-NOV", "Q-JAN", "Y-DEC", "Y-JUN"),
    *("W-SUN", "W-MON", "W-WED", "W-SAT", "D", "3D", "B", "h", "min", "s", "ms", "us", "ns"),
)


def stored_in(frame: pd.DataFrame, kind: str, folder: Path) -> Any:
    """The frame as a frame, an Arrow table, or a file of a kind."""
    if kind == "pandas":
        return frame
    if kind == "arrow":
        return pa.Table.from_pandas(frame)
    path = folder / f"table.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_feather(path)
    return path


def column(table: Table, name: str) -> list[Any]:
    return table.query(f'SELECT "{name}" FROM {table.rows}').column(0).to_pylist()


@pytest.mark.filterwarnings("ignore:.*BDay.*:FutureWarning", "ignore:.*PeriodDtype.*:FutureWarning")
@pytest.mark.parametrize("kind", ["pandas", "arrow", "parquet", "feather"])
def test_a_period_is_the_time_at_which_it_begins(kind: str, tmp_path: Path) -> None:
    frame, begins = pd.DataFrame(index=range(60)), {}
    for freq in FREQUENCIES:
        frame[freq] = pd.period_range("1968-05-07", periods=60, freq=freq)
        frame.loc[5, freq] = pd.NaT
        begins[freq] = frame[freq].dt.to_timestamp().dt.floor("us")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        table = open_table(stored_in(frame, kind, tmp_path))
    for freq, expected in begins.items():
        found = pd.Series(column(table, freq)).astype("datetime64[us]")
        pd.testing.assert_series_equal(
            found, expected.astype("datetime64[us]"), check_names=False, obj=freq
        )


@pytest.mark.parametrize("kind", ["pandas", "arrow", "parquet", "feather"])
@pytest.mark.parametrize("closed", ["left", "right", "both", "neither"])
def test_an_interval_is_text(kind: str, closed: Any, tmp_path: Path) -> None:
    of_numbers = pd.arrays.IntervalArray.from_breaks([0.0, 1e-7, 0.5, 1e16], closed=closed)
    of_days = pd.arrays.IntervalArray.from_breaks(
        pd.date_range("2024-01-01", periods=4, freq="D"), closed=closed
    )
    frame = pd.DataFrame({"number": of_numbers, "day": of_days})
    frame.loc[1, "number"] = np.nan
    table = open_table(stored_in(frame, kind, tmp_path))
    for name in frame:
        texts = [None if pd.isna(one) else str(one) for one in frame[name]]
        assert column(table, str(name)) == texts


def test_booleans_in_one_byte_are_booleans_in_parquet(tmp_path: Path) -> None:
    stored = pa.array([0, 1, None, 1], pa.int8())
    table = pa.table({"yes": pa.ExtensionArray.from_storage(pa.bool8(), stored)})
    parquet.write_table(table, tmp_path / "table.parquet")
    assert column(open_table(tmp_path / "table.parquet"), "yes") == [False, True, None, True]


@pytest.mark.parametrize("kind", ["parquet", "feather"])
def test_files_with_other_periods_are_refused(kind: str, tmp_path: Path) -> None:
    paths = []
    for freq in ("M", "Q-DEC"):
        folder = tmp_path / freq
        folder.mkdir()
        frame = pd.DataFrame({"at": pd.period_range("2024-01", periods=3, freq=freq)})
        paths.append(stored_in(frame, kind, folder))
    with pytest.raises(DataError, match=r"as period\[M\], and .* as period\[Q-DEC\]"):
        open_table(paths)


def test_a_query_reads_periods_from_parquet_and_names_the_way_for_arrow_files(
    tmp_path: Path,
) -> None:
    frame = pd.DataFrame({"at": pd.period_range("2024-01", periods=3, freq="M")})
    path = stored_in(frame, "parquet", tmp_path)
    table = open_table(f"SELECT \"at\" FROM '{path}'")
    assert [f"{one:%Y-%m}" for one in column(table, "at")] == ["2024-01", "2024-02", "2024-03"]
    path = stored_in(frame, "feather", tmp_path)
    with pytest.raises(DataError, match="to_parquet"):
        open_table(f"SELECT \"at\" FROM '{path}'")


def test_an_unknown_frequency_is_named() -> None:
    kind = pa.field(
        "at",
        pa.int64(),
        metadata={
            b"ARROW:extension:name": b"pandas.period",
            b"ARROW:extension:metadata": b'{"freq": "fortnight"}',
        },
    )
    with pytest.raises(DataError, match=r"'at'.*'fortnight'.*to_timestamp"):
        open_table(pa.table([pa.array([1, 2])], schema=pa.schema([kind])))
