"""Read text once: a copy of its rows that DuckDB reads many times as fast."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from descend.data.reading.table import Table
from descend.io.atomic import PARTIAL
from descend.settings import Settings


@contextmanager
def staged(table: Table, settings: Settings, *, memory: int, store: Path) -> Iterator[Table]:
    """The table with its text read, inside the `with`.

    Learning a schema and converting rows read a table several times, and CSV is slow to read.
    Numbers stay numbers in the copy, columns named by `settings.categorical` stay as written, and
    the values of `settings.exclude` are left out.
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
    table = table.reading(dict.fromkeys(settings.categorical, "text"))
    if size <= memory // 4:
        with table.copied(None, without=settings.exclude) as copy:
            yield copy
        return
    place = _place(store, 2 * size)
    if place is None:
        yield table
        return
    path = Path(place.name) / "rows.duckdb"
    with place, table.copied(path, without=settings.exclude) as copy:
        yield copy


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
