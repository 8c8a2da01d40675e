"""Times with a zone, in every unit and storage, are the same instants."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from descend.data.reading.expressions import category_sql
from descend.data.reading.open_table import open_table
from descend.data.reading.times import time_sql
from descend.data.schema.columns import DatetimeColumn
from descend.data.schema.learn import learn_schema
from descend.settings import settings_from
from tests.data.reading.test_extension_types import stored_in

FIRST = datetime.datetime(2021, 3, 1, tzinfo=datetime.UTC)
TIMES = [FIRST + datetime.timedelta(hours=7 * place) for place in range(60)]


def zoned(unit: str, zone: str) -> pa.Table:
    values = [None if place == 9 else time for place, time in enumerate(TIMES)]
    y = [float(place % 7) for place in range(len(TIMES))]
    return pa.table({"at": pa.array(values, pa.timestamp(unit, zone)), "y": y})


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "+05:30"])
@pytest.mark.parametrize("kind", ["pandas", "arrow", "parquet", "feather"])
def test_a_time_with_a_zone_is_its_instant(unit: str, zone: str, kind: str, tmp_path: Path) -> None:
    data: Any = stored_in(zoned(unit, zone).to_pandas(), kind, tmp_path)
    table = open_table(data)
    at = table.column("at")
    assert at is not None
    sql = f"SELECT {time_sql(at, None)} AS t, {category_sql(at, 'text')} AS c FROM {table.rows}"
    found = table.query(sql).to_pydict()
    micros = [round(time.timestamp() * 1_000_000) for time in TIMES]
    texts = [str(time.replace(tzinfo=None)).removesuffix(" 00:00:00") for time in TIMES]
    assert found["t"] == [*micros[:9], None, *micros[10:]]
    assert found["c"] == [*texts[:9], None, *texts[10:]]


def test_a_time_with_a_zone_in_nanoseconds_is_learned_as_one() -> None:
    settings = settings_from({"target": "y", "task": "regression"})
    schemas = [learn_schema(open_table(zoned(unit, "UTC")), settings) for unit in ("us", "ns")]
    for schema in schemas:
        assert isinstance(schema.columns[0], DatetimeColumn)
        assert schema.columns[0].zoned is True
    assert schemas[0].columns == schemas[1].columns
