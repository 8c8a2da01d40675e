"""What messages show of a cell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from descend.data.reading.expressions import (
    category_sql,
    number_sql,
)
from descend.data.reading.missing import NULLS
from descend.data.reading.open_table import open_table
from descend.data.reading.text_labels import Cells, Seen, survey_labels
from descend.data.reading.text_types import find_types
from descend.data.reading.typed_columns import TextRules
from descend.data.schema.learn import inspect_columns
from descend.errors import LONGEST_CELL


def test_a_cell_of_many_pages_is_cut_in_messages() -> None:
    cells = Cells(3, 7, "0" * 100_000)
    assert len(cells.shown) <= LONGEST_CELL + 12
    assert "first in data row 8" in str(cells)
    assert Cells(1, 0, "red \x1b[31m").shown == r"'red \x1b[31m'"


@pytest.mark.parametrize(
    ("cell", "option"), [("b.d.", "missing=['b.d.']"), ("word " * 500, "missing=['TEXT']")]
)
def test_an_option_offered_with_a_cell_can_be_typed(tmp_path: Path, cell: str, option: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a\n" + "".join(f"{row}.5\n" for row in range(40)) + f"{cell}\n")
    warning = inspect_columns(open_table(path)).warnings[0]
    assert option in warning
    assert len(warning) < 300


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,5", "2,25", "1e-05", "4"], [1.5, 2.25, 1e-5, 4.0]),  # As R's write.csv2 has them.
        (["1.5", "2.25", "1e-05", "4"], [1.5, 2.25, 1e-5, 4.0]),
        (["1e-05", "2E+03", "7E1"], [1e-5, 2e3, 70.0]),
        (["1,234", "5e-01", "999"], [1234.0, 0.5, 999.0]),
    ],
)
def test_a_power_of_ten_has_no_decimal_mark(cells: list[str], values: list[float]) -> None:
    table = open_table(pa.table({"a": cells * 5}))
    column = find_types(table, table.columns, TextRules())["a"].column
    assert column.type == "number"
    found = table.query(f"SELECT {number_sql(column)} AS n FROM {table.rows}")["n"].to_pylist()
    assert found == values * 5


def test_numbers_with_both_decimal_marks_are_told() -> None:
    table = open_table(pa.table({"a": ["1.5", "2.25", "3"] * 10 + ["1,5", "2,25", "3"] * 10}))
    typed = find_types(table, table.columns, TextRules())["a"]
    assert typed.column.type == "text"
    assert typed.reason == (
        "20 cells have a decimal point ('1.5', first in data row 1) and 20 a decimal comma "
        "('1,5', first in data row 31)"
    )


CELLS = ["1", "-7", "1.50", "1,5", "007", "2E3", "", " 4 ", "NA", "?", None, "red", "€ 5", "5 kg"]
CELLS += ["12%", "10:30", "1h30m", "48.1N", "１２", '="05"', "-0", "+3", "1234567890123456", "3 kg"]


def test_cells_are_counted_alike_one_by_one_and_by_their_text() -> None:
    cells = [CELLS[row * row % len(CELLS)] for row in range(500)]
    table = open_table(pa.table({"a": cells, "b": cells[::-1]}))
    first = survey_labels(table, table.columns, "true")
    assert all(seen.repeats for seen in first.values())
    apart = {name: Seen(measures=seen.measures, texts=10**6) for name, seen in first.items()}
    assert not any(seen.repeats for seen in apart.values())
    by_text = survey_labels(table, table.columns, "true", first)
    one_by_one = survey_labels(table, table.columns, "true", apart)
    for name, seen in by_text.items():
        assert seen.texts < one_by_one[name].texts
        assert replace(seen, texts=0) == replace(one_by_one[name], texts=0)


@pytest.mark.parametrize("missing", [(), ("-7",)])
def test_whole_numbers_are_the_categories_that_their_other_spellings_are(
    missing: tuple[str, ...],
) -> None:
    table = open_table(pa.table({"a": ["0", "12", "-7", "123456789012345", None]}))
    other = open_table(pa.table({"a": [" 0", "12.0", "-7 ", "1.23456789012345e14", ""]}))
    found = []
    for one in (table, other):
        column = replace(one.columns[0], type="number", nulls=(*NULLS, *missing))
        sql = f"SELECT {category_sql(column)} AS value FROM {one.rows}"
        found.append(one.query(sql)["value"].to_pylist())
    assert found[0] == found[1]
    assert found[0] == ["0", "12", None if missing else "-7", "123456789012345", None]
