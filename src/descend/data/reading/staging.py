"""Read text once: a copy of its rows that DuckDB reads many times as fast."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from descend.data.reading.errors import UnreadableCellError
from descend.data.reading.table import Table
from descend.io.atomic import PARTIAL
from descend.settings import Settings

LITTLE = 1 << 28
"""Bytes of text that are looked at as a copy in memory."""


@contextmanager
def staged(table: Table, settings: Settings, *, memory: int, store: Path) -> Iterator[Table]:
    """The table with its text read, inside the `with`.

    Learning a schema and converting rows read a table several times, and CSV is slow to read.
    Numbers stay numbers in the copy; targets and columns named by `settings.categorical` stay as
    written, and the values of `settings.exclude` are left out.
    Where there is no room for a copy on the disk, the text is read each time.

    Args:
        table: of any kind; what is not text is given back as it is.
        settings: for the columns to read as text, and those not to read.
        memory: bytes that DuckDB may use; a larger copy goes to a file.
        store: the row store of the table; the file is beside it for a while, and is removed by
            the next writer of the store if this process dies.
    """
    size = table.text_bytes
    if size == 0:
        yield table
        return
    table = _as_written(table, settings)
    if size <= memory // 4:
        with _copied(table, None, settings.exclude) as copy:
            yield copy
        return
    place = _place(store, 2 * size)
    if place is None:
        yield table
        return
    with place, _copied(table, Path(place.name) / "rows.duckdb", settings.exclude) as copy:
        yield copy


@contextmanager
def in_memory(table: Table, settings: Settings) -> Iterator[Table]:
    """The table with its text read, where that is little: a survey reads it once for 64 columns.

    Args:
        table: of any kind.
        settings: for the columns to read as text, and those not to read.
    """
    if not 0 < table.text_bytes <= LITTLE:
        yield table
        return
    with _copied(_as_written(table, settings), None, settings.exclude) as copy:
        yield copy


def _as_written(table: Table, settings: Settings) -> Table:
    """The table with columns as text of which the values matter as they are written."""
    targets = (*settings.targets, settings.target) if table.untyped else ()
    return table.reading(dict.fromkeys((*settings.categorical, *targets), "text"))


@contextmanager
def _copied(table: Table, path: Path | None, without: Collection[str]) -> Iterator[Table]:
    """A copy, in which columns stay text that are not the numbers their first rows promise."""
    with ExitStack() as stack:
        copy: Table | None = None
        while copy is None:
            try:
                copy = stack.enter_context(table.copied(path, without=without))
            except UnreadableCellError as error:
                table = as_text(table, error)
        yield copy


def as_text(table: Table, error: UnreadableCellError) -> Table:
    """The table with every column as text that is not the numbers its first rows promise.

    Raises:
        UnreadableCellError: again, where the column is no column of a CSV file.
    """
    names = [column.name for column in table.columns if column.type == "number"]
    texts = table.reading(dict.fromkeys(names, "text"))
    if error.column not in names or texts is table or texts.columns == table.columns:
        raise error
    found = {error.column}
    for start in range(0, len(names), 64):
        columns = [texts.column(name) for name in names[start : start + 64]]
        found |= {
            name
            for name, broken in texts.aggregate(
                {
                    one.name: f"bool_or({one.sql} IS NOT NULL AND try_cast({one.sql} AS DOUBLE) "
                    "IS NULL)"
                    for one in columns
                    if one is not None
                }
            ).items()
            if broken
        }
    return table.reading(dict.fromkeys(found, "text"))


def _place(store: Path, room: int) -> tempfile.TemporaryDirectory[str] | None:
    """A folder beside a store, or None where it cannot be or has less room than asked."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(store.parent).free < room:
            return None
        return tempfile.TemporaryDirectory(
            dir=store.parent, prefix=f".{store.name}.", suffix=PARTIAL, ignore_cleanup_errors=True
        )
    except OSError:
        return None
