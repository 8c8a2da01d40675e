"""Cells after the rows from which types are found mean what they would mean among them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from descend.data.reading import csv_files, json_files
from descend.data.reading.open_table import open_table
from descend.data.reading.staging import in_memory, stage
from descend.data.schema.columns import Column
from descend.data.schema.learn import inspect_columns
from descend.errors import DataError
from descend.settings import Settings

SEEN = 100
LATE = {
    "zeros": "007",
    "signed zeros": "-05",
    "underscore": "1_12",
    "exponent": "2E3",
    "letters": "C12",
    "point and underscore": "1.5_1",
}


@pytest.fixture(autouse=True)
def little_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Types are found from the first hundred rows."""
    monkeypatch.setattr(csv_files, "SAMPLE_ROWS", SEEN)


def written(folder: Path, late: str, *, early: bool = False, suffix: str = ".csv") -> str:
    """A column of codes, which the first rows or the last ones tell from numbers."""
    plain = [str(row % 9 + 1) for row in range(SEEN + 20)]
    codes = [late] * 20
    cells = [*codes, *plain] if early else [*plain, *codes]
    path = folder / f"late{suffix}"
    if suffix == ".csv":
        lines = [f"{cell},{row % 7}.5" for row, cell in enumerate(cells)]
        path.write_text("code,y\n" + "\n".join(lines) + "\n")
    else:
        values = [int(cell) if cell.isdigit() and cell[0] != "0" else cell for cell in cells]
        rows = [{"code": value, "y": row % 7 + 0.5} for row, value in enumerate(values)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def learned(path: str) -> Column:
    """What the column of codes becomes."""
    return inspect_columns(open_table(path)).columns[0]


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_a_late_code_makes_the_column_text(tmp_path: Path, late: str) -> None:
    first, last = (learned(written(tmp_path, late, early=early)) for early in (True, False))
    assert (last.kind, last.type) == (first.kind, first.type) == ("category", "text")
    assert last.distinct == first.distinct == 10


@pytest.mark.parametrize("late", LATE.values(), ids=LATE)
def test_a_copy_sees_late_codes_too(tmp_path: Path, late: str) -> None:
    settings = Settings("y")
    path = written(tmp_path, late)
    with stage(open_table(path), settings, memory=1 << 30, store=tmp_path / "store") as copy:
        assert [one.type for one in copy.columns] == ["text", "text"]  # The target too.
    with in_memory(open_table(path), settings) as copy:
        assert inspect_columns(copy, settings).columns[0].kind == "category"


@pytest.mark.parametrize("late", ["007", "1_12", "2E3"])
def test_a_query_sees_late_codes_too(tmp_path: Path, late: str) -> None:
    table = open_table(f"SELECT code, y FROM '{written(tmp_path, late)}'")
    assert [one.sql_type for one in table.columns] == ["VARCHAR", "DOUBLE"]


@pytest.mark.parametrize("late", ["007", "C12"])
def test_json_lines_with_late_codes_are_text(tmp_path: Path, late: str) -> None:
    assert learned(written(tmp_path, late, suffix=".jsonl")).kind == "category"


def test_late_numbers_and_marks_stay_numbers(tmp_path: Path) -> None:
    for late in ("12.5", "-3", "1.5e-3", "NA", "?"):
        column = learned(written(tmp_path, late))
        assert (column.kind, column.missing) == ("number", 20 * (late in ("NA", "?")))


def test_a_late_word_is_a_cell_that_is_none(tmp_path: Path) -> None:
    path = tmp_path / "word.csv"
    path.write_text("size\n" + "".join(f"{row}.5\n" for row in range(SEEN + 50)) + "oops\n")
    found = inspect_columns(open_table(str(path)))
    assert found.columns[0].kind == "number"
    assert "('oops', first in data row 151)" in " ".join(found.warnings)


def test_a_large_json_file_with_a_late_word_names_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_files, "_WHOLE_BYTES", 0)
    path = tmp_path / "late.jsonl"
    path.write_text('{"a": 1}\n' * 30_000 + '{"a": "x"}\n')
    with pytest.raises(DataError, match=r"line 30001: expected a number.*\"x\""):
        open_table(str(path)).aggregate({"most": "max(a)"})
