"""Sheets of workbooks (.xlsx, .xls, .ods), converted to CSV."""

from __future__ import annotations

import csv
import datetime
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.errors import DataError

if TYPE_CHECKING:
    from descend.data.reading.spool import Spool

_OLD = b"\xd0\xcf\x11\xe0"


def is_workbook(path: str) -> bool:
    """Whether a file is a workbook, by its content."""
    with open(path, "rb") as stream:
        if stream.read(4) == _OLD:
            return True
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return Path(path).suffix.lower() in (".xlsx", ".xls", ".ods", ".xlsb")
    return bool(names & {"xl/workbook.xml", "xl/workbook.bin"}) or {"mimetype", "content.xml"} <= (
        names
    )


def sheet_as_csv(path: str, sheet: str, spool: Spool) -> str:
    """Write a sheet of a workbook as a CSV file, and return its path.

    Args:
        path: of the workbook.
        sheet: its name; empty for the only one with cells.
        spool: for the file.

    Raises:
        DataError: the workbook is damaged, has no such sheet or several, or python-calamine is not
            installed.
    """
    shown = spool.origin(path)
    try:
        import python_calamine
    except ImportError:
        raise DataError(
            f"{shown} is a workbook, which needs python-calamine. Install it with  "
            "pip install python-calamine  or save the sheet as CSV."
        ) from None
    try:
        book = python_calamine.CalamineWorkbook.from_path(path)
        names = list(book.sheet_names)
        if sheet and sheet not in names:
            raise DataError(f"{shown} has no sheet {sheet!r}. It has: {', '.join(names)}.")
        sheets = {
            name: rows for name in ([sheet] if sheet else names) if (rows := _rows(book, name))
        }
    except (python_calamine.CalamineError, OSError) as error:
        raise DataError(f"{shown} is not a complete workbook: {error}") from None
    if len(sheets) != 1:
        if not sheets:
            raise DataError(f"{shown} has no cells; expected a table.")
        raise DataError(
            f"{shown} has several sheets: {', '.join(sheets)}. Name one as  "
            f"'{shown}#{next(iter(sheets))}'"
        )
    target = spool.new(f"{Path(path).stem}.csv", f"{shown}#{sheet}" if sheet else shown)
    rows = next(iter(sheets.values()))
    width = max(len(row) for row in rows)
    with open(target, "w", encoding="utf-8", newline="") as sink:
        writer = csv.writer(sink, lineterminator="\n")
        for row in rows:
            writer.writerow([*map(_cell, row), *[""] * (width - len(row))])
    return target


def _rows(book: Any, name: str) -> list[list[Any]]:
    """The rows of a sheet, without empty columns at the left."""
    rows: list[list[Any]] = book.get_sheet_by_name(name).to_python(skip_empty_area=True)
    return rows


def _cell(value: Any) -> str:
    """A cell as text for CSV."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.datetime):
        day = (value.hour, value.minute, value.second, value.microsecond) == (0, 0, 0, 0)
        return value.date().isoformat() if day else value.isoformat(" ")
    if isinstance(value, datetime.timedelta):
        return repr(value.total_seconds())
    return "" if value is None else str(value)
