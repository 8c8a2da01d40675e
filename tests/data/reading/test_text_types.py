"""What messages show of a cell."""

from __future__ import annotations

from descend.data.reading.text_types import LONGEST_EXAMPLE, Cells


def test_a_cell_of_many_pages_is_cut_in_messages() -> None:
    cells = Cells(3, 7, "0" * 100_000)
    assert len(cells.shown) <= LONGEST_EXAMPLE + 2
    assert "first in data row 8" in str(cells)
    assert Cells(1, 0, "red \x1b[31m").shown.isprintable()
