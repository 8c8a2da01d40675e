"""What is learned does not depend on which side of a threshold of size a table lies."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.data.prepare import Prepared, prepare
from descend.settings import Settings

ROWS = 240
NOT_COPIED = "text that is not copied"
SIDES: dict[str, dict[str, int]] = {
    "many cells": {"schema.number_survey.FEW_CELLS": 0},
    "wide": {"reading.narrow.NARROW": 1, "reading.table.NARROW": 1},
    "wide, a few columns and rows at once": {
        "reading.narrow.NARROW": 1,
        "reading.table.NARROW": 1,
        "reading.held_rows.COLUMNS_AT_ONCE": 3,
        "schema.survey_at_once._MOST_CELLS": 500,
        "reading.wide_files.MOST_ROWS": 50,
    },
    "more rows than are looked at first": {"reading.text_types._FIRST_ROWS": 5},
    "a few columns at once": {
        "schema.column_groups.MOST_COLUMNS": 2,
        "schema.value_survey._SET_BYTES": 1 << 40,
    },
    "a few cells at once": {
        "reading.table.VECTOR_ROWS": 16,
        "schema.leakage._CELLS_AT_ONCE": 100,
        "schema.arrays._CHUNK": 7,
        "encoding.numbers._CHUNK": 5,
    },
    NOT_COPIED: {
        "reading.staging.LITTLE": 0,
        "schema.number_survey.MOST_TEXT": 0,
        "reading.csv_files.SAMPLE_ROWS": 20,
    },
}


def rows() -> pa.Table:
    random = np.random.default_rng(2)
    some = random.normal(size=ROWS)

    def mixed(values: Any, odd: list[Any], kind: pa.DataType) -> pa.Array:
        found = [odd[row % len(odd)] if row % 7 == 3 else one for row, one in enumerate(values)]
        return pa.array(found, kind)

    def days(count: int) -> list[date]:
        return [date(1969, 1, 1) + timedelta(int(one)) for one in random.integers(0, count, ROWS)]

    nan = float("nan")
    whole = random.integers(0, 50, ROWS).tolist()
    return pa.table(
        {
            "y": mixed(some, [None, nan, -0.0, 7.25], pa.float64()),
            "w": mixed(np.ones(ROWS), [0.0, None, nan, 0.5], pa.float64()),
            "with nan": mixed(random.normal(size=ROWS), [nan, None, -0.0, 0.0], pa.float64()),
            "least": mixed([5e-324 * one for one in whole], [2e-308, None], pa.float64()),
            "far": mixed(1e100 * some, [1e140, -1e140, None], pa.float64()),
            "minus zero": mixed(np.zeros(ROWS), [-0.0, 1.0], pa.float64()),
            "64 bits": mixed([2**62 - one for one in whole], [-(2**63), None], pa.int64()),
            "decimal": mixed([Decimal(one) / 8 for one in whole], [None], pa.decimal128(38, 20)),
            "day": mixed(days(9000), [None, date(1969, 12, 31)], pa.date32()),
            "written": mixed(map(str, days(9000)), ["", "unknown"] + [None] * 20, pa.string()),
            "text": mixed(
                [f"{'bé日'[one % 3]} {one % 5}" for one in whole], ["", "1.0"], pa.string()
            ),
            "codes": mixed([f"{one:05d}" for one in whole], ["", None], pa.string()),
            "number": mixed([f"{one / 8}" for one in whole], ["NA", "-0", " 7"], pa.string()),
            "money": mixed([f"${one * 999:,}" for one in whole], ["", "-"], pa.string()),
            "truth": mixed([one % 2 > 0 for one in whole], [None], pa.bool_()),
            "empty": pa.array([None] * ROWS, pa.float64()),
        }
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, Prepared]]:
    """The path of each file, and what is made of it as it is."""
    import duckdb

    folder = tmp_path_factory.mktemp("files")
    paths = {kind: str(folder / f"rows.{kind}") for kind in ("parquet", "csv")}
    table = rows()
    pa.parquet.write_table(table, paths["parquet"], row_group_size=50)
    with duckdb.connect() as connection:
        connection.register("rows", table)
        connection.execute(f"COPY rows TO '{paths['csv']}' (HEADER)")
    return {kind: (path, prepared(path)) for kind, path in paths.items()}


def prepared(data: Any) -> Prepared:
    return prepare(data, Settings(target="y", weight="w"))


def arrays(found: Prepared) -> Mapping[str, Any]:
    parts = {"training": found.training, "validation": found.validation}
    batches = {name: part.gather(np.arange(len(part))) for name, part in parts.items()}
    return {
        f"{name} {leaf}": values
        for name, batch in batches.items()
        for leaf, values in {**batch.x, "y": batch.y, "weight": batch.weight}.items()
    }


def check_same(one: Prepared, other: Prepared) -> None:
    assert one.schema == other.schema
    for name, values in arrays(one).items():
        np.testing.assert_array_equal(values, arrays(other)[name], err_msg=name)


@pytest.mark.parametrize(
    ("side", "kind"),
    [
        *((side, "parquet") for side in SIDES if side != NOT_COPIED),
        *((side, "csv") for side in ("wide", NOT_COPIED)),
    ],
)
def test_either_side_of_a_threshold_learns_the_same(
    side: str,
    kind: str,
    files: dict[str, tuple[str, Prepared]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, expected = files[kind]
    for name, value in SIDES[side].items():
        monkeypatch.setattr(f"descend.data.{name}", value)
    check_same(expected, prepared(path))


def test_files_frames_and_queries_are_the_same_table(
    files: dict[str, tuple[str, Prepared]], tmp_path: Path
) -> None:
    path, expected = files["parquet"]
    bare = str(tmp_path / "bare.parquet")
    pa.parquet.write_table(rows(), bare, write_statistics=False, use_dictionary=False)
    for other in (rows(), bare, f"SELECT * FROM '{path}'"):
        check_same(expected, prepared(other))
