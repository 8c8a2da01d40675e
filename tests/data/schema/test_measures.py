"""Columns of numbers with a unit, against the same numbers without it."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.schema.columns import NumberColumn, RegressionTarget, Schema, schema_from_json
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.errors import DataError
from descend.settings import Settings

ROWS = 60
X = [round(1.5 + 37.25 * row, 2) for row in range(ROWS)]
Y = [row % 7 + 0.5 for row in range(ROWS)]


def learned(cells: Any, **options: Any) -> Schema:
    table = open_table(pa.table({"x": cells, "z": Y, "y": Y}))
    schema = learn_schema(table, Settings(**{"target": "y", "task": "regression", **options}))
    return schema_from_json(schema.as_json())


def read(schema: Schema, cells: Any) -> tuple[np.ndarray, list[str]]:
    unseen = UnseenValues(schema)
    table = open_table(pa.table({"x": cells, "z": Y[: len(cells)]}))
    parts = [*Encoder(schema).encode(table, target=False, unseen=unseen)]
    return np.concatenate([part.batch.x["numeric"] for part in parts]), unseen.sentences()


@pytest.mark.parametrize(
    ("written", "unit"),
    [
        ("{:g} kg", "kg"),
        ("{:,} km/h", "km/h"),
        ("{:g}°C", "°C"),
        ("{:g} m3", "m3"),
        ("{:.2f}g", "g"),
        ("-{:g}\u00a0sq ft", "sq ft"),
    ],
)
def test_a_column_with_a_unit_is_one_of_its_numbers(written: str, unit: str) -> None:
    sign = -1 if written.startswith("-") else 1
    cells = [written.format(x) for x in X]
    numbers = [sign * x for x in X]
    schema, plain = learned(cells), learned(numbers)
    column, other = schema.columns[0], plain.columns[0]
    assert isinstance(column, NumberColumn)
    assert isinstance(other, NumberColumn)
    assert (column.mean, column.deviation, column.unit) == (other.mean, other.deviation, unit)
    assert any(f"read as numbers (in {unit}" in one for one in schema.notes)
    values, said = read(schema, cells)
    assert not said
    for trained, asked in ((schema, numbers), (plain, cells)):
        found, told = read(trained, asked)
        np.testing.assert_array_equal(found, values)
        assert f"in {unit}" in told[0]
        assert "without a unit" in told[0]
    np.testing.assert_array_equal(read(plain, cells[:2])[0], values[:2])


def test_days_and_a_decimal_comma() -> None:
    days = [1 + row * 7 % 50 for row in range(ROWS)]
    schema = learned([f"{day} {'day' if day == 1 else 'days'}" for day in days])
    assert getattr(schema.columns[0], "unit", "") == "days"
    asked = [1, 60, 3]
    expected, _ = read(learned(days), asked)
    np.testing.assert_allclose(read(schema, ["1 day", "60days", "3"])[0], expected)
    comma = learned([f"{day / 4:.2f} kg".replace(".", ",") for day in days])
    quarters, _ = read(comma, [f"{one / 4:.2f}kg".replace(".", ",") for one in asked])
    np.testing.assert_allclose(quarters, expected, rtol=1e-6)


@functools.cache
def in_kilograms(*, broken: bool) -> Schema:
    return learned([f"{x} kg" for x in X[broken:]] + ["broken"] * broken)


@pytest.mark.parametrize("cell", ["200 g", "5 KG", "$5", "5%", "5 kg m", "5 mkg", "1:30"])
def test_another_unit_is_an_error_and_never_a_number(cell: str) -> None:
    for broken in (False, True):
        schema = in_kilograms(broken=broken)
        assert isinstance(schema.columns[0], NumberColumn)
        with pytest.raises(DataError, match="row 2: expected a number in kg, as in training, foun"):
            read(schema, ["5 kg", cell])
    with pytest.raises(DataError, match="row 1: expected a number in kg"):
        read(schema, [cell] * 20)


@pytest.mark.parametrize("cell", ["200 g", "$5", "1:30"])
def test_a_single_cell_that_is_no_number_with_the_unit_keeps_the_text(cell: str) -> None:
    column = learned([*(f"{x} kg" for x in X[1:]), cell]).columns[0]
    assert column.kind == "left out"


def test_different_units_are_named() -> None:
    schema = learned([f"{x} {['kg', 'g'][row % 2]}" for row, x in enumerate(X)])
    column = schema.columns[0]
    assert column.kind == "left out"
    assert "different units: g, kg" in column.reason


CODES = [
    "A{}",
    "{}A",
    "{}B",
    "{}rd",
    "{}XL",
    "size {}",
    "{}M",
    "{} PM",
    "0{} kg",
    "{}_1 kg",
    "1.{}a",
]


def test_a_code_stays_one() -> None:
    cells = {form: [form.format(row + 1) for row in range(ROWS)] for form in CODES}
    found = inspect_columns(open_table(pa.table({**cells, "z": Y})))
    kinds = {one.name: one.kind for one in found.columns}
    assert kinds == {**dict.fromkeys(CODES, "left out"), "z": "number"}


def test_few_different_sizes_are_categories() -> None:
    (column, _) = learned([f"{row % 5} stars" for row in range(ROWS)]).columns
    assert column.kind == "category"
    (column, _) = learned([f"{x} kg" for x in X], categorical=("x",)).columns
    assert not isinstance(column, NumberColumn)


@pytest.mark.parametrize("task", ["auto", "regression"])
def test_a_target_with_a_unit(task: str) -> None:
    table = pa.table({"x": X, "y": [f"{row % 17} kg" for row in range(ROWS)]})
    schema = learn_schema(open_table(table), Settings(target="y", task="regression"))
    assert isinstance(schema.target, RegressionTarget)
    assert schema.target.units == ("kg",)
    unseen = UnseenValues(schema)
    other = pa.table({"x": X, "y": [f"{row % 17} g" for row in range(ROWS)]})
    with pytest.raises(DataError, match="expected a number in kg"):
        [*Encoder(schema).encode(open_table(other), target=True, unseen=unseen)]


def test_classes_with_a_unit_have_it_in_their_name() -> None:
    table = pa.table({"x": X * 2, "y": [f"{row % 12} kg" for row in range(2 * ROWS)]})
    schema = learn_schema(open_table(table), Settings(target="y", task="classification"))
    assert "3 kg" in schema.target.labels  # type: ignore[union-attr]


@pytest.mark.parametrize("form", ["fortran", "entries"])
def test_exponents_of_fortran_and_debits_are_their_numbers(form: str) -> None:
    numbers = [(-1) ** row * x for row, x in enumerate(X)]
    cells = [f"{abs(x):,.2f} {'CR' if x > 0 else 'DR'}" for x in numbers]
    if form == "fortran":
        cells = [f"{x:.10e}".replace("e", "D") for x in numbers]
    schema, plain = learned(cells), learned(numbers)
    assert isinstance(schema.columns[0], NumberColumn)
    values, said = read(schema, cells)
    assert not said
    for trained, asked in ((schema, numbers), (plain, cells), (plain, cells[:2])):
        found, told = read(trained, asked)
        np.testing.assert_array_equal(found, values[: len(asked)])
        assert bool(told) == (form == "entries")


@pytest.mark.parametrize("form", ["{}CR", "{} DR", "{:.2f}{}"])
def test_what_is_no_amount_or_has_no_side_stays_text(form: str) -> None:
    cells = [form.format(row, ["", " CR"][row % 2]) for row in range(ROWS)]
    assert learned(cells).columns[0].kind == "left out"
