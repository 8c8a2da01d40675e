"""JSON in which the rows do not stand as objects one after another: name the layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

from descend.data.reading.csv_text import open_text
from descend.errors import quoted_cell, shell_text

_HEAD_BYTES = 1 << 12
_MOST_BYTES = 1 << 24
_NEXT_OBJECT = re.compile(rb"\}\s*\n\s*\{")
_PANDAS = (
    ("table", re.compile(r'\{\s*"schema"\s*:\s*\{\s*"(fields|index|primaryKey)"')),
    ("split", re.compile(r'\{\s*"(columns|index)"\s*:\s*\[')),
    ("values", re.compile(r"\[\s*\[")),
    ("index", re.compile(r'\{\s*"-?\d+"\s*:\s*\{\s*"(?!-?\d+")')),
    ("columns", re.compile(r'\{\s*"(?!-?\d+")(?:[^"\\]|\\.)*"\s*:\s*\{\s*"-?\d+"\s*:')),
)
"""Layouts of pandas, with what a file in each begins with, where the index are whole numbers."""
_WRAPPED = re.compile(r'\{\s*"((?:[^"\\]|\\.)*)"\s*:\s*\[\s*\{')


def layout_text(path: str) -> str:
    """What a file holds in place of rows, and what to type; empty where it may hold rows.

    Args:
        path: of a JSON file.
    """
    with open_text(path) as stream:
        head = stream.read(_HEAD_BYTES)
        text = head.decode("utf-8-sig", "replace").lstrip()
        layout = next((name for name, begins in _PANDAS if begins.match(text)), None)
        wrapped = _WRAPPED.match(text)
        if layout is None and wrapped is None:
            return ""
        # A row may hold objects and lists itself.
        if layout != "values" and _is_row(head + stream.read(_MOST_BYTES), layout):
            return ""
    if layout is None:
        assert wrapped is not None
        rows = shell_text(f'."{wrapped[1]}"[]')
        lines = shell_text(Path(path).with_suffix(".jsonl").name)
        return (
            f"{path} is one object, whose key {quoted_cell(wrapped[1])} holds a list; expected an "
            "object for each row. If that list holds the rows, write them alone:  "
            f"jq -c {rows} {shell_text(path)} > {lines}"
        )
    what = "lists" if layout == "values" else f"one object, as pandas writes with orient={layout!r}"
    return (
        f"{path} holds {what}; expected an object for each row. From pandas write "
        'df.to_json(FILE, orient="records"), or a Parquet file.'
    )


def _is_row(content: bytes, layout: str | None) -> bool:
    """Whether what begins like a layout, or like rows inside a key, is the first of several rows.

    Or the only one, if not all of its values are what the layout has.
    """
    if _NEXT_OBJECT.search(content):
        return True
    if len(content) > _MOST_BYTES:
        return False
    try:
        found = json.loads(content)
    except ValueError:
        return True  # DuckDB says what is wrong with it.
    if layout is None:
        return len(found) > 1
    wanted = dict if layout in ("index", "columns") else dict | list
    return not all(isinstance(value, wanted) for value in found.values())
