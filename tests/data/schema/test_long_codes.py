"""Whole numbers of more digits than float64 holds: they are codes where it makes some equal."""

from __future__ import annotations

import decimal
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.prepare import prepare
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import CategoryColumn, LeftOutColumn, NumberColumn, Schema
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.settings import Settings

ROWS = 80
WHICH = np.arange(ROWS) * 7 % 4
Y = (np.arange(ROWS) % 17 + 0.5).tolist()
CARDS = [12_345_678_901_234_567_890 + one for one in range(4)]
IDS = [2**53 + 1 + one for one in range(4)]


def stored(folder: Path, codes: list[int]) -> dict[str, Any]:
    """A column of codes in several files and frames."""
    values = [codes[one] for one in WHICH]
    lines = "".join(f"{code},{y}\n" for code, y in zip(values, Y, strict=True))
    (folder / "t.csv").write_text("code,y\n" + lines)
    rows = [json.dumps({"code": code, "y": y}) for code, y in zip(values, Y, strict=True)]
    (folder / "t.jsonl").write_text("\n".join(rows) + "\n")
    columns = {
        "parquet": pa.array(values, pa.uint64()),
        "decimal": pa.array([decimal.Decimal(one) for one in values], pa.decimal128(38, 0)),
        "text": pa.array([str(one) for one in values]),
    }
    for name, column in columns.items():
        pa.parquet.write_table(pa.table({"code": column, "y": Y}), folder / f"{name}.parquet")
    return {
        "csv": str(folder / "t.csv"),
        "jsonl": str(folder / "t.jsonl"),
        **{name: str(folder / f"{name}.parquet") for name in columns},
        "pandas": pd.DataFrame({"code": np.array(values, np.uint64), "y": Y}),
        "query": f"SELECT * FROM '{folder / 't.csv'}'",
    }


def learned(data: Any, **options: Any) -> Schema:
    settings = Settings(target="y", task="regression", **options)
    return learn_schema(open_table(data), settings)


def encoded(schema: Schema, data: Any) -> list[int]:
    parts = Encoder(schema).encode(open_table(data), target=False)
    return [int(one) for part in parts for one in part.batch.x["category"][:, 0]]


@pytest.mark.slow
@pytest.mark.parametrize(
    "codes",
    [
        pytest.param(CARDS, id="20 digits", marks=pytest.mark.slow),
        pytest.param(IDS, id="2^53 + 1"),
    ],
)
def test_they_are_the_same_categories_in_every_kind_of_table(
    tmp_path: Path, codes: list[int]
) -> None:
    tables = stored(tmp_path, codes)
    schemas = {name: learned(data) for name, data in tables.items()}
    expected = encoded(schemas["csv"], tables["csv"])
    assert len(set(expected)) == len(codes)
    for name, schema in schemas.items():
        column = schema.columns[0]
        assert isinstance(column, CategoryColumn), name
        assert sorted(column.values) == [str(one) for one in codes], name
        for other in (name, "csv", "decimal"):
            assert encoded(schema, tables[other]) == expected, (name, other)


def test_they_reach_training_through_the_copy_of_a_csv_file(tmp_path: Path) -> None:
    tables = stored(tmp_path, CARDS)
    prepared = prepare(tables["csv"], Settings(target="y", task="regression"))
    assert isinstance(prepared.schema.columns[0], CategoryColumn)


def test_a_late_code_in_a_long_file(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    rows = 20_500
    with path.open("w") as stream:
        stream.write("code,y\n")
        for row in range(rows + 400):
            code = row % 7 if row < rows else CARDS[row % 4]
            stream.write(f"{code},{row % 17}.5\n")
    for data in (str(path), f"SELECT * FROM '{path}'"):
        column = prepare(data, Settings(target="y", task="regression")).schema.columns[0]
        assert isinstance(column, CategoryColumn)
        assert {str(one) for one in CARDS} < set(column.values)


def test_identifiers_are_left_out_as_such() -> None:
    values = [CARDS[0] + row for row in range(ROWS)]
    for column in (pa.array(values, pa.uint64()), pa.array([str(one) for one in values])):
        found = learned(pa.table({"code": column, "x": Y, "y": Y})).columns[0]
        assert isinstance(found, LeftOutColumn)
        assert found.reason.startswith("identifier or free text")


def test_large_numbers_that_stay_different_are_numbers() -> None:
    values = [10**19 + row * 10**15 for row in range(ROWS)]
    for column in (pa.array(values, pa.uint64()), pa.array([str(one) for one in values])):
        (found,) = learned(pa.table({"n": column, "y": Y})).columns
        assert isinstance(found, NumberColumn)


def test_clocks_of_which_two_are_equal_stay_numbers() -> None:
    values = [17 * 10**17 + row * 10**9 for row in range(ROWS)]
    values[1] = values[0] + 1
    columns = inspect_columns(open_table(pa.table({"at": pa.array(values)}))).columns
    assert isinstance(columns[0], NumberColumn)


def test_the_option_numeric_keeps_numbers() -> None:
    column = pa.array([10**18 + one for one in WHICH * 1000])
    data = pa.table({"code": column, "x": Y, "y": Y})
    assert isinstance(learned(data).columns[0], CategoryColumn)
    found = learned(data, numeric=("code",)).columns[0]
    assert isinstance(found, LeftOutColumn)
    assert found.reason == "constant to rounding"


def test_close_codes_that_float64_holds_are_not_constant() -> None:
    codes = [4_006_381_333_931 + one for one in WHICH]
    (found,) = learned(pa.table({"ean": pa.array(codes), "y": Y})).columns
    assert isinstance(found, NumberColumn)
    assert found.deviation == pytest.approx(np.std(WHICH), rel=0.1)
