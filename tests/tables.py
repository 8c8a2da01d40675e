"""Tables on disk and what is read of them, for tests."""

from __future__ import annotations

from pathlib import Path

from descend.data.reading.table import Table


def rows_of(table: Table) -> list[tuple[object, ...]]:
    """All rows, read two at a time; their numbers are in order."""
    select = [column.sql for column in table.columns]
    rows: list[tuple[object, ...]] = []
    for batch in table.batches(select, rows=2):
        columns = [column.to_pylist() for column in batch.columns]
        assert columns.pop() == list(range(len(rows), len(rows) + batch.num_rows))
        rows += zip(*columns, strict=True)
    return rows


def write(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)
