"""Wide JSON: every key is a column, with the type that few keys would have."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.table import Table
from descend.data.reading.table_copies import copied
from descend.errors import DataError

MANY = 2 * NARROW
ODD: list[dict[str, Any]] = [
    {
        "mixed": 1,
        "flag": True,
        "day": "2024-01-31",
        "code": 12345678901234567890,
        "nested": {"a": 1},
    },
    {"mixed": "a", "flag": None, "day": "2024-02-01", "code": 7, "nested": {"b": [2]}, "late": 0.5},
]


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    lines = "\n".join(map(json.dumps, records))
    path.write_text(json.dumps(records) if path.suffix == ".json" else lines)
    return path


def numbers(row: int) -> dict[str, float]:
    return {f"k{place}": row + place / 8 for place in range(MANY)}


def rows_of(table: Table, names: list[str]) -> list[dict[str, Any]]:
    listed = [column.sql for column in table.columns if column.name in names]
    return table.query(f"SELECT {', '.join(listed)} FROM {table.rows}").to_pylist()


@pytest.mark.parametrize("name", ["t.jsonl", "t.json"])
def test_every_key_of_wide_records_is_a_column(tmp_path: Path, name: str) -> None:
    records = [{**numbers(row), "y": row} for row in range(3)]
    table = open_table(write(tmp_path / name, records))
    assert [column.name for column in table.columns] == [*records[0]]
    assert rows_of(table, ["k3", "y"]) == [{"k3": row + 0.375, "y": row} for row in range(3)]


def test_records_that_each_have_few_of_many_keys_are_no_map(tmp_path: Path) -> None:
    records = [{f"k{3 * row}": 1.5, f"k{3 * row + 1}": 2.5, "y": row} for row in range(MANY)]
    table = open_table(write(tmp_path / "t.jsonl", records))
    assert {column.name for column in table.columns} == {key for one in records for key in one}
    assert rows_of(table, ["k3", "y"])[:2] == [{"k3": None, "y": 0}, {"k3": 1.5, "y": 1}]


def test_wide_records_have_the_types_of_narrow_ones(tmp_path: Path) -> None:
    wide = [{**odd, **numbers(row)} for row, odd in enumerate(ODD)]
    table = open_table(write(tmp_path / "wide.jsonl", wide))
    narrow = open_table(write(tmp_path / "narrow.jsonl", ODD))
    for column in narrow.columns:
        found = table.column(column.name)
        assert found is not None, column.name
        assert found.type == column.type, column.name
    names = ["mixed", "flag", "day", "code", "late"]
    assert rows_of(table, names) == rows_of(narrow, names)


@pytest.mark.parametrize("memory", [None, 1 << 20])
def test_a_copy_of_wide_records_has_their_rows(tmp_path: Path, memory: int | None) -> None:
    records = [{**odd, **numbers(row)} for row, odd in enumerate(2 * ODD)]
    table = open_table(write(tmp_path / "t.jsonl", records))
    if memory is not None:
        table.instance.memory = memory  # So few columns are read at a time.
    names = ["mixed", "flag", "day", "code", "late", "k1", f"k{MANY - 1}"]
    with copied(table, tmp_path / "rows") as copy:
        assert copy.held
        assert rows_of(copy, names) == rows_of(table, names)


def test_columns_that_the_first_record_lacks_follow_by_name(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [numbers(0), {"b": 1, **numbers(1)}, {"a": 1}]
    path = write(tmp_path / "t.jsonl", records)
    assert [column.name for column in open_table(path).columns] == [*numbers(0), "a", "b"]


ROWS_OF_PANDAS = pd.DataFrame({"a": [0.5, 1.5, 2.5], "b": ["x", "y", "z"], "y": [1, 2, 3]})


@pytest.mark.parametrize("layout", ["columns", "index", "split", "table"])
def test_other_layouts_of_pandas_are_named(tmp_path: Path, layout: Any) -> None:
    path = tmp_path / "t.json"
    ROWS_OF_PANDAS.to_json(path, orient=layout)
    with pytest.raises(DataError, match=rf"orient='{layout}'.* orient=\"records\""):
        open_table(path)
    ROWS_OF_PANDAS.to_json(path, orient="records")
    assert open_table(path).count() == 3


def test_lists_and_rows_inside_a_key_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    ROWS_OF_PANDAS.to_json(path, orient="values")
    with pytest.raises(DataError, match="holds lists; expected an object for each row"):
        open_table(path)
    path.write_text(json.dumps({"data": ROWS_OF_PANDAS.to_dict("records")}))
    with pytest.raises(DataError, match="whose key 'data' holds a list"):
        open_table(path)
    path = tmp_path / "my table.json"
    path.write_text(json.dumps({"the day's": ROWS_OF_PANDAS.to_dict("records")}))
    with pytest.raises(DataError) as told:
        open_table(path)
    typed = shlex.split(str(told.value).partition("write them alone:")[2])
    assert typed == ["jq", "-c", '."the day\'s"[]', str(path), ">", "my table.jsonl"]


@pytest.mark.parametrize("value", [{"1": 5, "2": 3}, [{"k": 1}], [1, 2]])
def test_rows_that_hold_objects_and_lists_are_rows(tmp_path: Path, value: Any) -> None:
    path = tmp_path / "t.jsonl"
    for count in (1, 3):
        path.write_text("\n".join(json.dumps({"r": value, "y": row}) for row in range(count)))
        assert open_table(path).count() == count
