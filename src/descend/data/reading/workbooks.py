"""Sheets of workbooks (.xlsx, .xls, .ods), converted to CSV."""

from __future__ import annotations

import csv
import datetime
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from descend.data.reading.formulas import formulas_without_value
from descend.errors import DataError
from descend.io.units import count_text

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
        sheet: its name; empty for the only one with cells that is not hidden.
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
        shown_sheets = [
            one.name
            for one in book.sheets_metadata
            if one.visible == python_calamine.SheetVisibleEnum.Visible
        ]
        if sheet and sheet not in names:
            raise DataError(f"{shown} has no sheet {sheet!r}. It has: {', '.join(names)}.")
        sheets = {
            name: rows
            for name in ([sheet] if sheet else shown_sheets or names)
            if (rows := _rows(book, name))
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
    name, rows = next(iter(sheets.items()))
    filled = _fill_merged(book.get_sheet_by_name(name), rows)
    if filled:
        spool.notes.append(
            f"{shown}: {count_text(filled, 'cell')} below the first of a merged cell "
            f"{'has' if filled == 1 else 'have'} its value."
        )
    unsaved = formulas_without_value(path, name)
    if unsaved.cells:
        first = f", the first in {unsaved.first}" if unsaved.first else ""
        spool.notes.append(
            f"{shown}: {count_text(unsaved.cells, 'cell')} "
            f"{'holds a formula' if unsaved.cells == 1 else 'hold formulas'} without a saved value"
            f"{first}; such cells count as missing. Open the workbook in a spreadsheet program and "
            "save it: that computes them."
        )
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


def _fill_merged(sheet: Any, rows: list[list[Any]]) -> int:
    """Give every row of a merged cell its value, which a workbook holds in the first row alone.

    Of a cell merged over several columns the first column gets it: the others would be copies.

    Args:
        sheet: of the rows.
        rows: without empty rows and columns before the first cell; they are changed.

    Returns:
        How many cells got a value.
    """
    top, left = sheet.start or (0, 0)
    filled = 0
    for (first, column), (last, _) in getattr(sheet, "merged_cell_ranges", None) or ():
        place = column - left
        for row in rows[first - top + 1 : last - top + 1]:
            if place < len(row) and row[place] == "":
                row[place] = rows[first - top][place]
                filled += row[place] != ""
    return filled


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
