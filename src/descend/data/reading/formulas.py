"""Formulas in a sheet of an .xlsx workbook whose value was never saved.

Programs that write workbooks leave it out, since only a spreadsheet program computes it.
"""

from __future__ import annotations

import posixpath
import re
import zipfile
from typing import NamedTuple
from xml.etree import ElementTree

_CELL = re.compile(rb"<(?:\w+:)?c(\s[^>]*[^/>]|)>(.*?)</(?:\w+:)?c>", re.DOTALL)
_FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
_VALUE = re.compile(rb"<(?:\w+:)?v(?:\s[^>]*)?>[^<]|<(?:\w+:)?is[\s>]")
_TEXT = re.compile(rb"""\st=["']str["']""")
"""A formula whose value is a text may have an empty one."""
_PLACE = re.compile(rb"""\sr=["']([A-Za-z]+[0-9]+)["']""")


class Unsaved(NamedTuple):
    """Formulas without a value.

    Attributes:
        cells: how many.
        first: where the first one stands, such as `B2`; empty where the file does not say.
    """

    cells: int
    first: str


def formulas_without_value(path: str, sheet: str) -> Unsaved:
    """The formulas without a saved value in a sheet; none in workbooks of other kinds.

    Args:
        path: of the workbook.
        sheet: its name.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            part = _part_of(archive, sheet)
            content = archive.read(part) if part else b""
    except (zipfile.BadZipFile, OSError, KeyError, ElementTree.ParseError, RuntimeError):
        return Unsaved(0, "")  # Whoever reads the cells says what is wrong.
    count, first = 0, ""
    for cell in _CELL.finditer(content) if _FORMULA.search(content) else ():
        options, inside = cell.groups()
        if not _FORMULA.search(inside) or _VALUE.search(inside) or _TEXT.search(options):
            continue
        count += 1
        place = _PLACE.search(options)
        if not first and place is not None:
            first = place.group(1).decode()
    return Unsaved(count, first)


def _part_of(archive: zipfile.ZipFile, sheet: str) -> str:
    """The file of a sheet within a workbook; empty if there is none."""
    workbook = ElementTree.fromstring(archive.read("xl/workbook.xml"))
    relation = next(
        (
            value
            for one in workbook.iter()
            if one.tag.endswith("}sheet") and one.get("name") == sheet
            for name, value in one.items()
            if name.endswith("}id")
        ),
        None,
    )
    relations = ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    for one in relations.iter():
        if relation is not None and one.get("Id") == relation:
            return posixpath.normpath(posixpath.join("/xl", one.get("Target", ""))).lstrip("/")
    return ""
