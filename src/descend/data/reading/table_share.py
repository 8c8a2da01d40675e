"""The share of a table that this process reads, of several that share its rows out."""

from __future__ import annotations

from pathlib import Path

from descend.data.reading.sharing import FILE_ROW, Part, Sharing, parquet_part, share_out
from descend.data.reading.table import Table
from descend.data.reading.text_shares import cut_text


def share_of(table: Table, sharing: Sharing, beside: Path) -> Table:
    """The table where this process reads only its share of the rows.

    The share is a contiguous range, and rows keep their numbers in the source. Of Parquet
    files only the row groups of the range are read, of text files the rows that begin in a
    range of bytes; of other sources every process reads all and keeps the range.

    Args:
        table: of which this process reads all rows.
        sharing: with the other processes; all of them call this.
        beside: the row store of the table; parts of text files are copied beside it.
    """
    reason = ""
    if table.text_bytes and table.source.query is None:
        cut, reason = cut_text(table.source, sharing, beside)
        if cut is not None:
            own = Table(cut, table.instance, table.columns)
            counts = [int(one) for one in sharing.gather(str(own.count()).encode())]
            first = sum(counts[: sharing.index])
            stop = first + counts[sharing.index]
            part = Part(sharing, first, stop, cut=True, note=_note_of_shares(table))
            return Table(cut, table.instance, table.columns, part)
    files: list[tuple[str, int]] = []
    if table.source.parquet is not None and table.column(FILE_ROW) is None:
        listed = f"SELECT file_name, num_rows FROM parquet_file_metadata({table.source.parquet})"
        files = [(row["file_name"], row["num_rows"]) for row in table.query(listed).to_pylist()]
    rows = sum(count for _, count in files) if files else table.count()
    first, stop = share_out(rows, sharing.index, sharing.count)
    relation = None
    if files:
        relation = parquet_part(
            table.source.relation, files, first, stop, table.source.parquet_columns
        )
    note = _note_of_shares(table, reason, whole=relation is None)
    part = Part(sharing, first, stop, relation, note=note)
    return Table(table.source, table.instance, table.columns, part)


def _note_of_shares(table: Table, reason: str = "", *, whole: bool = False) -> str:
    """What a process reads or fetches beyond its share, as a sentence; or an empty text.

    Args:
        table: all of its rows.
        reason: why text cannot be cut, or an empty text.
        whole: whether every process reads all rows, to keep those of its range.
    """
    if whole and (table.source.reads or not table.source.objects):
        began = f"{reason}: every" if reason else "Every"
        return f"{began} process reads all of {table.name}, and keeps a share of it."
    if table.source.hash is not None and not whole:
        return (
            f"Every process downloads all of {table.name}, and reads its share of the rows. Of "
            "Parquet each fetches its share alone, with DuckDB's extension httpfs."
        )
    return ""
