"""JSON lines and arrays: find the columns, and how each is read."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from descend.data.reading.csv_files import SAMPLE_ROWS
from descend.data.reading.errors import check_names
from descend.data.reading.number_text import inexact_sql
from descend.data.reading.sql import path_list, quote_name, quote_text

_WHOLE_BYTES = 64 << 20
"""Up to this size all rows are read to find the columns; of larger files only the first ones."""


@dataclass(frozen=True)
class JsonFiles:
    """JSON files with the same columns, and the types of these.

    Attributes:
        paths: in the order in which they are read.
        types: DuckDB type of each column: DOUBLE for numbers, or VARCHAR, which keeps all digits.
    """

    paths: tuple[str, ...]
    types: Mapping[str, str]

    def relation(self) -> str:
        """The SQL relation."""
        columns = ", ".join(
            f"{quote_name(name)}: {quote_text(kind)}" for name, kind in self.types.items()
        )
        return f"read_json({path_list(self.paths)}, columns = {{{columns}}})"


def find_json(paths: Sequence[str], run: Callable[[str], pa.Table]) -> JsonFiles:
    """Find the columns of files; integers are read as DOUBLE, and dates as text.

    Raises:
        DataError: the names of two columns differ only in letter case.
    """
    size = sum(os.path.getsize(path) for path in paths)
    rows = -1 if size <= _WHOLE_BYTES else SAMPLE_ROWS
    limit = "" if rows < 0 else f" LIMIT {rows}"
    # DuckDB silently renames columns that differ only in letter case.
    keys = run(
        f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM (SELECT json FROM "
        f"read_json_objects({path_list(paths)}){limit})"
    )
    check_names(paths[0], sorted(keys.column(0).to_pylist()))
    types = _types(paths, rows, run)
    types |= _mixed_columns(paths, types, run)
    return JsonFiles(tuple(paths), {**types, **_inexact_columns(paths, rows, types, run)})


def _inexact_columns(
    paths: Sequence[str], rows: int, types: Mapping[str, str], run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """VARCHAR for the columns of numbers with more digits than a DOUBLE holds."""
    names = [name for name, kind in types.items() if kind == "DOUBLE"]
    if not names:
        return {}
    relation = JsonFiles(tuple(paths), dict.fromkeys(names, "VARCHAR")).relation()
    first = "" if rows < 0 else f" LIMIT {rows}"
    tests = ", ".join(
        f'bool_or({inexact_sql(quote_name(name))}) AS "{place}"' for place, name in enumerate(names)
    )
    found = run(f"SELECT {tests} FROM (SELECT * FROM {relation}{first})").to_pylist()[0]
    return {name: "VARCHAR" for place, name in enumerate(names) if found[str(place)]}


def _mixed_columns(
    paths: Sequence[str], types: Mapping[str, str], run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """VARCHAR for the columns that hold numbers, text, true and false side by side."""
    names = [name for name, kind in types.items() if kind == "JSON"]
    if not names:
        return {}
    relation = JsonFiles(tuple(paths), dict.fromkeys(names, "JSON")).relation()
    tests = ", ".join(
        f"bool_and(json_type({quote_name(name)}) NOT IN ('OBJECT', 'ARRAY')) AS \"{place}\""
        for place, name in enumerate(names)
    )
    found = run(f"SELECT {tests} FROM {relation}").to_pylist()[0]
    return {name: "VARCHAR" for place, name in enumerate(names) if found[str(place)]}


def _types(paths: Sequence[str], rows: int, run: Callable[[str], pa.Table]) -> dict[str, str]:
    """The types of the columns in the first rows, or in all for -1."""
    options = f"sample_size = {rows}, union_by_name = true"
    described = run(f"DESCRIBE SELECT * FROM read_json({path_list(paths)}, {options})")
    types = {}
    for row in described.to_pylist():
        kind = row["column_type"]
        if kind in ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"):
            kind = "DOUBLE"
        elif kind in ("DATE", "TIME", "UUID") or kind.startswith("TIMESTAMP"):
            kind = "VARCHAR"
        types[row["column_name"]] = kind
    return types
