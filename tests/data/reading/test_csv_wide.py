"""The first cells of a wide file tell the same as DuckDB does of a narrow one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from descend.data.reading import csv_files
from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.table import Table
from descend.errors import DataError

CELLS = [
    ["1", "-2.5", "+3e-4", ".5", "7.", "12"],
    ["1.234", "12.345", "NA", "1", "", "999.001"],
    ["1.234", "12.3", "N/A", "", "nan", "0"],
    ["007", "12", "8", "9", "10", "11"],
    ["2E3", "1", "1", "1", "1", "1"],
    ["", "", "", "", "", ""],
    ["NA", "null", "", "NA", "", "None"],
    [" 4 ", "5", "6", "\t7", "8", "9"],
    ['"1"', '"a, b"', '"say ""so"""', "c", "d", "e"],
    ["1_000", "2", "3", "4", "5", "6"],
    ["?", "1", "2", "3", "4", "5"],
    ["1.234,5", "1", "2", "3", "4", "5"],
]


def write(path: Path, columns: int, rows: int = 6, end: str = "\n") -> str:
    cells = [CELLS[place % len(CELLS)] for place in range(columns)]
    quoted = [[f'"{one}"' if "," in one and '"' not in one else one for one in of] for of in cells]
    lines = [",".join(f"c{place}" for place in range(columns))]
    lines += [",".join(of[row] for of in quoted) for row in range(rows)]
    path.write_bytes((end.join(lines) + end).encode())
    return str(path)


def known(table: Table) -> Any:
    csv = table.source.csv
    assert csv is not None
    return csv.types, csv.words, csv.longer, [one.sql_type for one in table.columns]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_types_are_those_that_duckdb_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    path = write(tmp_path / "t.csv", NARROW + 2 * len(CELLS), end=end)
    found = known(open_table(path))
    monkeypatch.setattr(csv_files, "wide_first_cells", lambda *given: None)
    assert found == known(open_table(path))
    assert len(set(found[0].values())) == 2
    assert found[1]["c2"] == ("N/A", "nan")


def test_rows_beyond_the_first_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.csv", NARROW + 1)
    assert not known(open_table(path))[2]
    monkeypatch.setattr(csv_files, "_sample_rows", lambda columns: 5)
    assert known(open_table(path))[2]


def test_a_row_of_another_width_is_named(tmp_path: Path) -> None:
    path = Path(write(tmp_path / "t.csv", NARROW + 1))
    path.write_text(path.read_text() + "1,2\n")
    with pytest.raises(DataError, match=f"expected {NARROW + 1}|line 8"):
        open_table(str(path)).count()


def test_a_wide_file_without_a_value_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{place}" for place in range(NARROW + 1)) + "\n")
    with pytest.raises(DataError, match="has no rows"):
        open_table(str(path))
