"""A wide CSV file copied by Arrow is the table that DuckDB copies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from descend.data.reading import table_copies
from descend.data.reading.connection import Instance
from descend.data.reading.csv_wide import wide_first_cells
from descend.data.reading.expressions import (
    number_sql,
    written_sql,
)
from descend.data.reading.held_rows import HeldRows, NumberCells
from descend.data.reading.narrow import NARROW
from descend.data.reading.open_table import open_table
from descend.data.reading.options import ReadingOptions
from descend.data.reading.sharing import Sharing
from descend.data.reading.staging import in_memory
from descend.data.reading.table import MARK, ROW
from descend.data.reading.table_column import TableColumn
from descend.data.reading.table_copies import copied
from descend.data.reading.table_share import share_of
from descend.data.schema.learn import learn_schema
from descend.errors import DataError
from descend.settings import settings_from
from tests.sharing import in_processes

COLUMNS = [
    ["1", "-2.5", "+3e-4", ".5", "7.", "12"],
    ["1.5", "", "NA", "1", "", "999.001"],
    ["007", "12", "8", "9", "10", "11"],
    ["", "", "", "", "", ""],
    ["1e999", "1", "2", "3", "4", "5"],
    [" 4 ", "5", "6", "\t7", "8", "9"],
    ['"1"', '"a, b"', '"say ""so"""', '""', "d", '"two\nlines"'],
    ["1_000", "2", "3", "4", "5", "6"],
    ["?", "1", "2", "3", "4", "5"],
    ["2024-01-31", "2024-02-01", "", "2024-02-03", "2024-02-04", "2024-02-05"],
    ["true", "false", "true", "", "false", "true"],
]
SETTINGS = settings_from({"target": "c0"})


def write(path: Path, *, rows: int = 6, end: str = "\n", delimiter: str = ",") -> str:
    cells = [COLUMNS[place % len(COLUMNS)] for place in range(NARROW + 2 * len(COLUMNS))]
    lines = [delimiter.join(["rowid", *(f"c{place}" for place in range(1, len(cells)))])]
    lines += [delimiter.join(of[row % len(of)] for of in cells) for row in range(rows)]
    path.write_bytes((end.join(lines) + end).encode())
    return str(path)


def content(path: str, to: Path | None, **options: Any) -> tuple[Any, ...]:
    """The rows of a copy, with their numbers and marks, and its types."""
    opened = open_table(path, options=ReadingOptions(**options))
    with copied(opened, to) as copy, copy.marked([f"{ROW} % 2 = 1"]) as marked:
        everything = [one.sql for one in marked.columns]
        sql = f"SELECT {', '.join(everything)}, {ROW}, {MARK} FROM {marked.rows}"
        batches = [batch.to_pydict() for batch in copy.batches(everything)]
        chosen = marked.values(everything[3:7], where=MARK).to_pydict()
        found = list(map(tuple, zip(*marked.query(sql).to_pydict().values(), strict=True)))
        return found, batches, chosen, [one.sql_type for one in copy.columns], copy.count()


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("rows", [6, 130])
@pytest.mark.parametrize("file", [False, True])
def test_arrow_and_duckdb_copy_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str, rows: int, file: bool
) -> None:
    path = write(tmp_path / "t.csv", rows=rows, end=end)
    found = content(path, tmp_path / "rows" if file else None)
    monkeypatch.setattr(table_copies, "wide_copy", lambda *given: None)
    expected = content(path, tmp_path / "others" if file else None)
    assert found == expected
    assert len(found[0]) == rows


def test_a_copy_in_many_queries_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.csv", delimiter=";")
    expected = content(path, None)
    monkeypatch.setattr("descend.data.reading.wide_copy.COLUMNS_AT_ONCE", 7)
    monkeypatch.setattr("descend.data.reading.held_rows.COLUMNS_AT_ONCE", 7)
    monkeypatch.setattr("descend.data.reading.wide_copy.PIECE_BYTES", 1)
    assert content(path, None) == expected


def test_several_files_are_read_one_after_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second has another order of the columns, and other words for missing."""
    write(tmp_path / "1.csv")
    lines = [line.split(",") for line in Path(write(tmp_path / "2", rows=0)).read_text().split()]
    cells = [["7.5", "n/a", "007", "", "4", "5", "x", "6", "?", "2024-02-06", "false"]] * 2
    rows = [[one[place % len(one)] for place in range(len(lines[0]))] for one in cells]
    text = "\n".join(",".join(line[::-1]) for line in [*lines, *rows])
    (tmp_path / "2.csv").write_text(text + "\n")
    found = content(str(tmp_path / "*.csv"), None)
    assert len(found[0]) == 8
    monkeypatch.setattr(table_copies, "wide_copy", lambda *given: None)
    monkeypatch.setattr("descend.data.reading.csv_files.wide_first_cells", lambda *given: None)
    assert found == content(str(tmp_path / "*.csv"), None)


def test_processes_copy_the_rows_that_they_share_out(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", rows=9)
    with copied(open_table(path), None) as copy:
        expected = copy.values(['"c7"', ROW]).to_pydict()

    def read(sharing: Sharing) -> Any:
        own = share_of(open_table(path), sharing, tmp_path / "store")
        with copied(own, None) as copy:
            assert isinstance(copy.source.objects.get("source"), pa.Table)
            return copy.values(['"c7"', ROW]).to_pydict(), copy.count()

    shares = in_processes(2, read)
    assert [found for found, _ in shares] == [expected, expected]
    assert sum(count for _, count in shares) == 9


@pytest.mark.slow
def test_the_schema_is_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "t.csv", rows=60)
    settings = SETTINGS.replace(target="c11")

    def learned() -> Any:
        with in_memory(open_table(path), settings) as copy:
            return learn_schema(copy, settings)

    found = learned()
    monkeypatch.setattr(table_copies, "wide_copy", lambda *given: None)
    assert found == learned()
    assert {one.kind for one in found.columns} >= {"number", "category", "left out"}


@pytest.mark.parametrize(
    "line", ['"open', '1"2"3', "", "1,2,3", "{whole},5", '"closed" early'], ids=str
)
def test_what_arrow_would_forgive_is_left_to_duckdb(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    path = Path(write(tmp_path / "t.csv"))
    text = path.read_text().splitlines()
    whole = ",".join("1" for _ in text[0].split(","))
    full = line.format(whole=whole)
    if full.startswith('"') or full == '1"2"3':
        full += whole[1:]
    path.write_text("\n".join([*text, full]) + "\n")

    def outcome() -> Any:
        try:
            return content(str(path), None)
        except DataError as error:
            return str(error)

    found = outcome()
    monkeypatch.setattr(table_copies, "wide_copy", lambda *given: None)
    monkeypatch.setattr("descend.data.reading.csv_files.wide_first_cells", lambda *given: None)
    assert found == outcome()


def test_a_frame_gives_a_query_the_columns_it_uses(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pa.table({f"c{place}": [float(place), None] for place in range(NARROW + 1)})
    table = open_table(frame)
    registered: list[int] = []
    cursor = table.instance.cursor

    class Counting:
        def __init__(self) -> None:
            self.inner = cursor()

        def register(self, name: str, data: Any) -> None:
            registered.append(data.num_columns)
            self.inner.register(name, data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    monkeypatch.setattr(table.instance, "cursor", Counting)
    assert table.query(f'SELECT sum("c7") AS s, max({ROW}) AS n FROM {table.rows}').to_pylist() == [
        {"s": 7.0, "n": 1}
    ]
    assert table.count() == 2
    assert registered == [2, 1]


def test_narrow_files_are_left_to_duckdb(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    csv = open_table(str(tmp_path / "t.csv")).source.csv
    assert csv is not None
    assert wide_first_cells(csv.paths, csv.dialects, 10) is None


def test_simple_numbers_in_text_are_read_without_duckdb() -> None:
    """As DuckDB reads them, and only where all cells of a batch are such numbers."""
    texts = ["1", "-2.5", "+.5", "7.", None, "999999999999999"]
    column = TableColumn("c0", "number", "VARCHAR", nulls=("-7", "NA"))
    number, written = number_sql(column), written_sql(column)
    cells = {
        sql: NumberCells(column.sql, column.nulls, number=sql == number)
        for sql in (number, written)
    }
    for last in ("3", "007", "1e5", " 4", "NA", "-7", "x", "", "-0", "1234567890123456789", "1_2"):
        held = HeldRows(pa.table({"c0": [*texts, last]}), "row", Instance(None))
        found = next(held.batches([number, written], 99, 1 << 30, cells)).to_pydict()
        assert found == next(held.batches([number, written], 99, 1 << 30, {})).to_pydict(), last
