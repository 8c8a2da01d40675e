"""Times with a zone: one instant is one value, however it is stored and wherever it is read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, DatetimeColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.settings import Settings

ROWS = 120
MOMENTS = pd.date_range("2021-03-01 22:30", periods=ROWS, freq="7h", tz="UTC")
FIRST_LEARNED = 2
"""The first row that is not held out."""
Y = np.arange(ROWS) % 7 + 0.5


def learned(data: Any, **options: Any) -> Schema:
    return learn_schema(open_table(data), Settings(target="y", task="regression", **options))


def numbers(schema: Schema, data: Any) -> np.ndarray:
    parts = Encoder(schema).encode(open_table(data), target=False)
    return np.concatenate([part.batch.x["numeric"] for part in parts])


def stored(folder: Path) -> dict[str, Any]:
    """The same instants, as tables of other zones and types have them."""
    local = MOMENTS.tz_convert("America/New_York")
    ways: dict[str, Any] = {
        "UTC": pd.DataFrame({"t": MOMENTS, "y": Y}),
        "a zone": pd.DataFrame({"t": local, "y": Y}),
        "no zone": pd.DataFrame({"t": MOMENTS.tz_localize(None), "y": Y}),
        "ISO": pd.DataFrame({"t": [one.isoformat() for one in local], "y": Y}),
        "Z": pd.DataFrame({"t": [f"{one:%Y-%m-%dT%H:%M:%SZ}" for one in MOMENTS], "y": Y}),
        "gap": pd.DataFrame({"t": [f"{one:%Y-%m-%d %H:%M %z}" for one in local], "y": Y}),
    }
    for name in ("UTC", "a zone"):
        ways[f"{name}, CSV"] = str(folder / f"{name}.csv")
        ways[f"{name}, Parquet"] = str(folder / f"{name}.parquet")
        ways[name].to_csv(ways[f"{name}, CSV"], index=False)
        ways[name].to_parquet(ways[f"{name}, Parquet"])
    ways["query"] = f"SELECT * FROM '{folder / 'a zone.csv'}'"
    return ways


@pytest.mark.slow
def test_an_instant_is_one_value_in_every_zone(tmp_path: Path) -> None:
    ways = stored(tmp_path)
    schema = learned(ways["UTC"])
    expected = numbers(schema, ways["UTC"])
    assert isinstance(schema.columns[0], DatetimeColumn)
    assert schema.columns[0].minimum == MOMENTS[FIRST_LEARNED].value // 1000
    for way, data in ways.items():
        np.testing.assert_array_equal(numbers(schema, data), expected, err_msg=way)
        other = learned(data)
        np.testing.assert_array_equal(numbers(other, ways["UTC"]), expected, err_msg=way)


def test_the_zone_of_the_machine_does_not_matter() -> None:
    program = (
        "import pyarrow as pa; from descend.data.reading.open_table import open_table; "
        "table = open_table(pa.table({'t': pa.array([0], pa.timestamp('us', 'UTC'))})); "
        "print(table.query(f'SELECT t::VARCHAR AS t FROM {table.rows}').to_pylist())"
    )
    environment = {**os.environ, "TZ": "America/New_York"}
    told = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[{'t': '1970-01-01 00:00:00+00'}]"


@pytest.mark.parametrize("clock", ["%I:%M:%S %p", "%I:%M %p"])
@pytest.mark.parametrize("day", ["%Y-%m-%d ", "%Y/%m/%d ", "%m/%d/%Y ", ""])
def test_pm_is_after_noon(day: str, clock: str) -> None:
    """DuckDB alone reads 2020-01-31 5:03 PM as 05:03."""
    kind = "datetime64[m]" if day else "datetime64[s]"
    moments = MOMENTS.tz_localize(None).to_numpy().astype(kind).astype("datetime64[us]")
    written = pa.table({"t": [pd.Timestamp(one).strftime(day + clock) for one in moments], "y": Y})
    typed = pd.DataFrame({"t": moments, "y": Y})
    if not day:
        typed["t"] = [pd.Timestamp(one).time() for one in moments]
    np.testing.assert_array_equal(
        numbers(learned(written), written), numbers(learned(typed), typed)
    )


@pytest.mark.parametrize(
    "odd", ["2021-03-01 10:00 o'clock", "2021-03-01 10:00:00 IST", "2021-03-01 (BC)"]
)
def test_a_time_with_anything_else_behind_it_is_none(odd: str) -> None:
    days = [str(one)[:19] for one in MOMENTS]
    days[FIRST_LEARNED] = odd
    column = learned(pa.table({"t": days, "y": Y})).columns[0]
    assert isinstance(column, DatetimeColumn)
    assert column.strays == 1


def test_a_moment_is_the_same_category_however_it_is_written() -> None:
    moments = np.array(
        ["2021-03-01", "2021-03-02T04:05:06", "2021-03-02T04:05:06.5"], "datetime64[us]"
    )[np.arange(ROWS) % 3]
    texts = [str(pd.Timestamp(one)) for one in moments]
    ways = {
        "moments": pa.table({"t": moments, "y": Y}),
        "zone": pa.table({"t": pa.array(moments).cast(pa.timestamp("us", "UTC")), "y": Y}),
        "nanoseconds": pa.table({"t": pa.array(moments).cast(pa.timestamp("ns")), "y": Y}),
        "text": pa.table({"t": texts, "y": Y}),
        "T": pa.table({"t": [one.replace(" ", "T") for one in texts], "y": Y}),
        "day": pa.table({"t": [one.replace(" 00:00:00", "") for one in texts], "y": Y}),
    }
    for trained, data in ways.items():
        schema = learned(data, categorical=("t",))
        column = schema.columns[0]
        assert isinstance(column, CategoryColumn)
        assert set(column.values) == {
            "2021-03-01",
            "2021-03-02 04:05:06",
            "2021-03-02 04:05:06.5",
        }, trained
