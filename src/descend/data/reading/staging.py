"""Stage a table: copy its rows once to where they are read many times as fast.

Text is copied into DuckDB's format, and wide files to Arrow.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from descend.data.reading.errors import UnreadableCellError
from descend.data.reading.number_text import code_sql, inexact_sql
from descend.data.reading.spool import has_room
from descend.data.reading.sql import quote_name
from descend.data.reading.table import Table
from descend.data.reading.table_copies import copied, in_arrow
from descend.errors import DataError, option_text
from descend.io.atomic import PARTIAL
from descend.io.units import bytes_text
from descend.settings import Settings

LITTLE = 1 << 28
"""Text up to this size is copied to memory to be inspected."""


@contextmanager
def stage(table: Table, settings: Settings, *, memory: int, store: Path) -> Iterator[Table]:
    """The table copied, inside the `with`, if it is text or wide.

    Learning a schema and converting rows read a table several times, and CSV is slow to read.
    In the copy numbers are numbers, targets and `settings.categorical` are the original text, and
    the columns of `settings.exclude` are empty. If the disk lacks room for a copy, the text is
    read each time.

    Args:
        table: of any kind; one that is neither text nor in wide files is returned unchanged.
        settings: name the columns to keep as text, and those to leave out.
        memory: bytes that DuckDB may use; a larger copy is written to a file.
        store: the row store of the table; the file is written beside it, and if this process is
            killed, the next writer of the store removes it.
    """
    size = table.copy_bytes
    if size == 0:
        yield table
        return
    table = _keep_spelling(table, settings)
    if size <= memory // 4:
        with _copy_and_retype(table, None, settings.exclude) as copy:
            yield copy
        return
    place = _place(store, 2 * size)
    if place is None and table.sharing is not None and table.text_bytes:
        # Read each time, an unreadable cell would come up in one process and not in the others.
        raise DataError(
            f"The disk lacks room for a copy of the rows beside {store} ({bytes_text(2 * size)}). "
            f"{option_text('store')} names a folder on another disk."
        )
    if place is None:
        yield table
        return
    with place, _copy_and_retype(table, Path(place.name) / "rows.duckdb", settings.exclude) as copy:
        yield copy


@contextmanager
def in_memory(table: Table, settings: Settings) -> Iterator[Table]:
    """The table copied if it is small text or wide: a survey reads it once per 64 columns.

    A wide one that is large for the memory is copied to a temporary file, if the disk has room.

    Args:
        table: of any kind.
        settings: name the columns to keep as text, and those to leave out.
    """
    size = table.copy_bytes
    if not size or not (has_room(size) if table.wide else size <= LITTLE):
        yield table
        return
    with _temporary_file(table) as path:
        spelt = _keep_spelling(table, settings)
        with _copy_and_retype(spelt, path, settings.exclude) as copy:
            yield copy


@contextmanager
def wide_columns(table: Table, texts: Collection[str], numbers: Collection[str]) -> Iterator[Table]:
    """Some columns of wide files copied by Arrow; any other table as it is.

    DuckDB would plan all columns of a file for each query. In the copy the other columns are
    empty. If the disk lacks room for it, the files are read each time.

    Args:
        table: of any kind.
        texts: columns that are read as they are written, some of which the table may lack.
        numbers: likewise, columns that are numbers where all of their cells are plain ones.
    """
    if not table.wide or not table.copy_bytes or not has_room(table.copy_bytes):
        yield table
        return
    spelt = table.reading({one: "text" for one in texts if table.column(one) is not None})
    others = {one.name for one in table.columns}.difference(texts, numbers)
    with _temporary_file(table) as path:
        while True:
            try:
                copy = in_arrow(spelt, path, without=others)
                break
            except UnreadableCellError as error:
                spelt = as_text(spelt, error)
        yield table if copy is None else copy


@contextmanager
def _temporary_file(table: Table) -> Iterator[Path | None]:
    """Where the rows of a wide table that are many for the memory are copied to; else None."""
    if not table.wide or table.memory is None or table.copy_bytes <= table.memory // 4:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="descend-", ignore_cleanup_errors=True) as folder:
        yield Path(folder) / "rows"


def _keep_spelling(table: Table, settings: Settings) -> Table:
    """The table with columns whose exact spelling matters as text."""
    targets = (*settings.targets, settings.target) if table.untyped else ()
    return table.reading(dict.fromkeys((*settings.categorical, *targets), "text"))


@contextmanager
def _copy_and_retype(table: Table, path: Path | None, without: Collection[str]) -> Iterator[Table]:
    """A copy in which a column is text if its later rows are not numbers like its first ones."""
    with ExitStack() as stack:
        copy: Table | None = None
        while copy is None:
            refused: UnreadableCellError | None = None
            try:
                copy = stack.enter_context(copied(table, path, without=without))
            except UnreadableCellError as error:
                refused = error
            refused = _refused_anywhere(table, refused)
            if refused is not None:
                stack.close()
                copy, table = None, as_text(table, refused)
        yield copy


def _refused_anywhere(table: Table, own: UnreadableCellError | None) -> UnreadableCellError | None:
    """The error of this process, else that of the first that has one and shares the rows."""
    if table.sharing is None:
        return own
    words = [json.loads(one) for one in table.sharing.gather(_as_json(own))]
    first = next(filter(None, words), None)
    return own or (None if first is None else UnreadableCellError(*first))


def _as_json(error: UnreadableCellError | None) -> bytes:
    return json.dumps(None if error is None else [str(error), error.column]).encode()


def as_text(table: Table, error: UnreadableCellError) -> Table:
    """The table with a column as text if its later rows are not numbers like its first ones.

    Raises:
        UnreadableCellError: raised again if it is not about a CSV column.
    """
    names = [column.name for column in table.columns if column.type == "number"]
    texts = table.reading(dict.fromkeys(names, "text"))
    if error.column not in names or texts is table or texts.columns == table.columns:
        raise error
    found = {error.column}
    for start in range(0, len(names), 64):
        columns = [texts.column(name) for name in names[start : start + 64]]
        tests = ", ".join(
            f"bool_or({one.sql} IS NOT NULL AND (try_cast({one.sql} AS DOUBLE) "
            f"IS NULL OR {code_sql(one.sql)} OR {inexact_sql(one.sql)})) "
            f"AS {quote_name(one.name)}"
            for one in columns
            if one is not None
        )
        for share in texts.joined(f"SELECT {tests} FROM {texts.rows}").to_pylist():
            found |= {name for name, broken in share.items() if broken}
    return table.reading(dict.fromkeys(found, "text"))


def _place(store: Path, room: int) -> tempfile.TemporaryDirectory[str] | None:
    """A folder beside a store; None if it cannot be made or lacks room."""
    try:
        store.parent.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(store.parent).free < room:
            return None
        return tempfile.TemporaryDirectory(
            dir=store.parent, prefix=f".{store.name}.", suffix=PARTIAL, ignore_cleanup_errors=True
        )
    except OSError:
        return None
