"""Times beyond the years that microseconds can tell: none becomes missing without a word."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import DatetimeColumn, Schema
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 300
FAR = 5
"""The row of a time far off."""
Y = np.arange(ROWS) % 17 + 0.5
DAYS = np.datetime64("2001-01-01", "s") + 86_400 * (np.arange(ROWS) * 7 % 900)


def text_days(far: str | None = "9999999-01-01") -> list[str]:
    days = [str(day)[:10] for day in DAYS]
    if far is not None:
        days[FAR] = far
    return days


def coarse_days(far: str | None = "400000-01-01", unit: str = "s") -> pa.Array:
    days = DAYS.astype(f"datetime64[{unit}]")
    if far is not None:
        days[FAR] = np.datetime64(far, unit)
    return pa.array(days)


def epochs(far: float | None = 1e30) -> list[float]:
    counts = DAYS.astype(np.int64).astype(np.float64)
    if far is not None:
        counts[FAR] = far
    return counts.tolist()


WAYS: dict[str, tuple[Any, str]] = {
    "text": (text_days, "9999999-01-01"),
    "text before Christ": (lambda far="-999999-01-01": text_days(far), "-999999-01-01"),
    "seconds": (coarse_days, "a time out of range"),
    "milliseconds": (
        lambda far="-300000-01-01": coarse_days(far, "ms"),
        "a time out of range",
    ),
    "date": (
        lambda far=170_000_000: pa.array(
            np.where(
                (np.arange(ROWS) == FAR) & (far is not None),
                far or 0,
                DAYS.astype("datetime64[D]").astype(np.int32),
            ).astype(np.int32),
            pa.date32(),
        ),
        "",
    ),
}


def learned(days: Any, **options: Any) -> Schema:
    table = pa.table({"day": days, "y": Y})
    return learn_schema(open_table(table), Settings("y", validation=0.1, **options))


@pytest.mark.parametrize("way", WAYS)
def test_it_is_named_with_its_row(way: str) -> None:
    make, shown = WAYS[way]
    schema = learned(make())
    [column] = schema.columns
    assert isinstance(column, DatetimeColumn)
    assert (column.strays, column.missing) == (1, 1)
    [said] = [one for one in schema.warnings if "no date" in one]
    assert "in 1 cell" in said
    assert shown in said
    assert f"first in data row {FAR + 1})" in said


def test_numbers_beyond_a_clock_are_named() -> None:
    # The largest decides what they count, so it is in nanoseconds.
    schema = learned(epochs(9.3e18), datetime=("day",))
    [column] = schema.columns
    assert isinstance(column, DatetimeColumn)
    assert column.pattern == "epoch ns"
    with pytest.raises(DataError, match=rf"'day', data row {FAR + 1}: expected a date or time"):
        list(
            Encoder(learned(epochs(None), datetime=("day",))).encode(
                open_table(pa.table({"day": epochs(1e30), "y": Y})), target=True
            )
        )


@pytest.mark.parametrize("way", WAYS)
def test_it_is_an_error_where_training_had_none(way: str) -> None:
    make, _ = WAYS[way]
    encoder = Encoder(learned(make(None)))
    table = open_table(pa.table({"day": make(), "y": Y}))
    with pytest.raises(DataError, match=rf"'day', data row {FAR + 1}: expected a date or time"):
        list(encoder.encode(table, target=True))


@pytest.mark.parametrize("way", WAYS)
def test_it_is_counted_where_training_had_some(way: str) -> None:
    make, _ = WAYS[way]
    schema = learned(make())
    unseen = UnseenValues(schema)
    table = open_table(pa.table({"day": make()}).slice(0, 10))
    rows = list(Encoder(schema).encode(table, target=False, unseen=unseen))
    assert rows[0].batch.x["numeric"][FAR, -1] == 1.0
    assert unseen.sentences() == [
        "Column 'day' holds no number or date in 1 of 10 cells; such cells count as missing, as "
        "in training."
    ]


def test_a_missing_time_is_none_of_them() -> None:
    days = DAYS.copy()
    days[:20] = np.datetime64("NaT")
    schema = learned(pa.array(days, from_pandas=True), missing=("day=2001-01-08",))
    [column] = schema.columns
    assert isinstance(column, DatetimeColumn)
    assert column.strays == 0
    assert column.missing > 10


@pytest.mark.parametrize(
    "way",
    [
        "{}/t.parquet",
        "{}/*.parquet",
        "SELECT * FROM '{}/t.parquet'",
        "SELECT x, day, y FROM read_parquet('{}/*.parquet') ORDER BY y",
    ],
)
def test_parquet_that_cannot_be_read_is_refused_with_column_and_row(
    tmp_path: Path, way: str
) -> None:
    table = pa.table({"x": Y, "day": coarse_days(None), "y": Y})
    pa.parquet.write_table(table, tmp_path / "a.parquet")
    table = pa.table({"x": Y, "day": coarse_days(), "y": Y})
    pa.parquet.write_table(table, tmp_path / "t.parquet")
    with pytest.raises(DataError, match=rf"t\.parquet, column 'day', data row {FAR + 1}: expected"):
        learn_schema(open_table(way.format(tmp_path)), Settings("y"))


def test_far_times_may_be_categories(tmp_path: Path) -> None:
    path = tmp_path / "t.feather"
    days = coarse_days().take(pa.array(np.arange(ROWS) % 10))
    pa.feather.write_feather(pa.table({"day": days, "x": Y, "y": Y}), path)
    schema = learn_schema(open_table(str(path)), Settings("y", categorical=("day",)))
    assert [column.kind for column in schema.columns] == ["category", "number"]
