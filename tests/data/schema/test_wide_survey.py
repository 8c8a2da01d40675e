"""A wide table is surveyed as a narrow one is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from descend.assessment.table_hints import table_hints
from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.table import Table
from descend.data.schema import number_survey
from descend.data.schema.learn import inspect_columns, learn_schema
from descend.data.schema.surveys import NumberSurvey, Selection
from descend.settings import Settings

ROWS = 300


def a_table(columns: int) -> pa.Table:
    """Numbers of every kind: with gaps, whole, constant, counting, empty, minus zero."""
    random = np.random.default_rng(5)
    kinds = [
        random.normal(size=ROWS) * 1e3,
        np.where(random.random(ROWS) < 0.3, np.nan, random.normal(size=ROWS)),
        random.integers(0, 9, ROWS).astype(float),
        np.full(ROWS, 4.5),
        np.arange(ROWS, dtype=float),
        np.full(ROWS, np.nan),
        np.where(np.arange(ROWS) % 2, 0.0, -0.0),
        np.where(np.arange(ROWS) == 7, 1.0, np.nan),
    ]
    found = {f"c{place}": kinds[place % len(kinds)] + place // 8 for place in range(columns)}
    return pa.table({**found, "y": random.normal(size=ROWS)})


def surveys(table: Table) -> dict[str, NumberSurvey]:
    rows = Selection(fraction=0.3, seed=1)
    with table.marked(rows.training) as marked, marked.in_row_order():
        return number_survey.survey_numbers(marked, marked.columns)


def test_numpy_finds_what_duckdb_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    data = a_table(NARROW + 12)
    wide = surveys(open_table(data))
    monkeypatch.setattr(Table, "wide", False)
    narrow = surveys(open_table(data))
    assert wide.keys() == narrow.keys()
    for name, survey in narrow.items():
        assert wide[name] == survey, name


def test_identifiers_of_large_tables_are_those_of_small_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = np.random.default_rng(0)
    repeated = {f"k{place}_id": random.integers(0, 1150, ROWS) for place in range(24)}
    rows = pa.table(
        {**repeated, "id": random.permutation(10**6)[:ROWS], "zero": [-0.0, 0.0, 1.0] * 100}
    )
    small = inspect_columns(open_table(rows)).columns
    monkeypatch.setattr(number_survey, "FEW_CELLS", 0)
    monkeypatch.setattr(number_survey, "MOST_COUNTED", 0)
    large = inspect_columns(open_table(rows)).columns
    assert large == small
    assert [one.kind for one in small] == [*["number"] * 24, "left out", "number"]


@pytest.mark.parametrize("columns", [8, NARROW + 12])
def test_an_infinite_cell_is_named(columns: int) -> None:
    data = a_table(columns).to_pydict()
    data["c2"] = [1e6 * (place + 1) for place in range(ROWS)]
    data["c2"][11] = float("inf")
    with pytest.raises(Exception, match="column 'c2', data row 12: expected a finite number"):
        inspect_columns(open_table(pa.table(data)))


def test_wide_and_narrow_tables_have_the_same_columns() -> None:
    settings = Settings(target="y", validation=0.3)
    wide = learn_schema(open_table(a_table(NARROW + 12)), settings)
    narrow = learn_schema(open_table(a_table(16)), settings)
    kinds = {column.name: column.kind for column in wide.columns}
    assert {one.name: one.kind for one in narrow.columns}.items() <= kinds.items()


def test_hints_of_a_wide_table() -> None:
    data = a_table(NARROW + 12)
    data = data.append_column("twin", data["y"])
    table = open_table(data)
    schema = learn_schema(table, Settings(target="y"))
    found = table_hints(table, schema)
    assert found["explains"]["twin"] > 0.98
    # The warning says what to type, so no hint says it again.
    assert any("Column 'twin' gives the target" in text for text in schema.warnings)
    assert not any("twin" in text for text in found["hints"])
