"""Schemas as JSON: nothing is lost, and nothing damaged is taken for whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from descend.data.schema.learn import schema_from_json
from descend.errors import FileFormatError
from tests.schemas import RANDOM, ROWS, Y, learn, some_schema


def test_json_holds_the_whole_schema() -> None:
    for schema in (some_schema(), learn({"x": RANDOM.normal(size=ROWS), "y": Y})):
        assert schema_from_json(json.loads(json.dumps(schema.as_json()))) == schema


def test_leaking_columns_of_an_older_schema_are_those_that_its_warnings_name() -> None:
    schema = learn({"x": RANDOM.normal(size=ROWS), "y": Y})
    name = schema.columns[0].name
    record = json.loads(json.dumps(schema.as_json()))
    del record["leaking"]
    record["warnings"] = [f"Column {name!r} gives the target 'y' away (...).", "'leak' is far."]
    assert schema_from_json(record).leaking == (name,)


@pytest.mark.parametrize(
    "path",
    [
        ("columns",),
        ("target",),
        ("rows", "training"),
        ("columns", 0, "mean"),
        ("columns", 0, "kind"),
        ("columns", 1, "values"),
        ("columns", 2, "parts", 0, "name"),
        ("target", "labels"),
    ],
)
@pytest.mark.parametrize("damage", ["gone", "number", "text", "list"])
def test_a_damaged_schema_is_refused(path: tuple[Any, ...], damage: str) -> None:
    record = json.loads(json.dumps(some_schema().as_json()))
    place = record
    for key in path[:-1]:
        place = place[key]
    if damage == "gone":
        del place[path[-1]]
    else:
        place[path[-1]] = {"number": float("nan"), "text": "\0", "list": [[]]}[damage]
    with pytest.raises(FileFormatError, match="damaged"):
        schema_from_json(record)


@pytest.mark.parametrize("deviation", [0.0, -1.0])
def test_an_impossible_deviation_is_refused(deviation: float) -> None:
    record = some_schema().as_json()
    record["columns"][0]["deviation"] = deviation
    with pytest.raises(FileFormatError, match="deviation"):
        schema_from_json(record)
