"""What messages show of a cell."""

from __future__ import annotations

from pathlib import Path

import pytest

from descend.data.reading.table import open_table
from descend.data.reading.text_types import Cells
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
