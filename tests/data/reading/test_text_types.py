"""What messages show of a cell."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from descend.data.reading.expressions import number_sql
from descend.data.reading.open_table import open_table
from descend.data.reading.text_labels import Cells
from descend.data.reading.text_types import TextRules, find_types
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
