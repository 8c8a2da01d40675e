"""JSON lines and arrays: find the columns, and how each is read."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from descend.data.reading.csv_files import SAMPLE_ROWS
from descend.data.reading.errors import check_names
from descend.data.reading.json_layouts import layout_text
from descend.data.reading.narrow import COLUMNS_AT_ONCE, NARROW
from descend.data.reading.number_text import inexact_sql
from descend.data.reading.sql import path_list, quote_name, quote_text
from descend.errors import DataError

_WHOLE_BYTES = 64 << 20
"""Up to this size all rows are read to find the columns; of larger files only the first ones."""
_LONG_NUMBER = r"[^.0-9][0-9]{16}"
"""What a whole number of 16 digits and more begins with, and some other texts."""


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
        DataError: the names of two columns differ only in letter case, or rows are no objects.
    """
    for path in paths:
        if layout := layout_text(path):
            raise DataError(layout)
    size = sum(os.path.getsize(path) for path in paths)
    rows = -1 if size <= _WHOLE_BYTES else SAMPLE_ROWS
    limit = "" if rows < 0 else f" LIMIT {rows}"
    objects = f"(SELECT json FROM read_json_objects({path_list(paths)}){limit})"
    # DuckDB silently renames columns that differ only in letter case.
    keys = run(f"SELECT DISTINCT unnest(json_keys(json)) AS key FROM {objects}")
    names = sorted(keys.column(0).to_pylist())
    check_names(paths[0], names)
    types = _types(paths, rows, run) if len(names) <= NARROW else _wide_types(objects, names, run)
    if list(types) == ["json"] and names != ["json"]:
        what = "a key without a name" if "" in names else "values that are no objects with keys"
        raise DataError(
            f"{_first_with_none(paths, run)} has {what}; expected JSON objects, whose keys are the "
            "names of columns."
        )
    types |= _mixed_columns(paths, types, run)
    return JsonFiles(tuple(paths), {**types, **_inexact_columns(paths, rows, types, run)})


def _first_with_none(paths: Sequence[str], run: Callable[[str], pa.Table]) -> str:
    """The first file with a value that is no object, or has a key without a name."""
    named = "json_type(json) = 'OBJECT' AND NOT list_contains(json_keys(json), '')"
    for path in paths[:-1]:
        objects = f"read_json_objects({path_list([path])})"
        if run(f"SELECT 1 FROM {objects} WHERE NOT ({named}) LIMIT 1").num_rows:
            return path
    return paths[-1]


def _inexact_columns(
    paths: Sequence[str], rows: int, types: Mapping[str, str], run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """VARCHAR for the columns of numbers with more digits than a DOUBLE holds."""
    names = [name for name, kind in types.items() if kind == "DOUBLE"]
    first = "" if rows < 0 else f" LIMIT {rows}"
    if len(names) > NARROW:
        # A look at the text as a whole costs much less than one at each cell.
        asked = f"regexp_matches(json, {quote_text(_LONG_NUMBER)})"
        objects = f"(SELECT json FROM read_json_objects({path_list(paths)}){first})"
        if not run(f"SELECT bool_or({asked}) FROM {objects}").column(0)[0].as_py():
            return {}
    return dict.fromkeys(
        _where(names, "VARCHAR", inexact_sql, "bool_or", paths, first, run), "VARCHAR"
    )


def _mixed_columns(
    paths: Sequence[str], types: Mapping[str, str], run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """VARCHAR for the columns that hold numbers, text, true and false side by side."""
    names = [name for name, kind in types.items() if kind == "JSON"]

    def plain(name: str) -> str:
        return f"json_type({name}) NOT IN ('OBJECT', 'ARRAY')"

    return dict.fromkeys(_where(names, "JSON", plain, "bool_and", paths, "", run), "VARCHAR")


def _where(
    names: Sequence[str],
    kind: str,
    test: Callable[[str], str],
    aggregate: str,
    paths: Sequence[str],
    first: str,
    run: Callable[[str], pa.Table],
) -> list[str]:
    """The columns whose cells pass a test; of many columns, some at a time.

    Args:
        names: of the columns.
        kind: the type of DuckDB as which they are read.
        test: makes SQL from the name of a column.
        aggregate: `bool_and` for all cells, `bool_or` for any.
        paths: of the files.
        first: SQL that limits the rows.
        run: runs SQL and returns a pyarrow Table.
    """
    passed = []
    for start in range(0, len(names), COLUMNS_AT_ONCE):
        group = names[start : start + COLUMNS_AT_ONCE]
        relation = JsonFiles(tuple(paths), dict.fromkeys(group, kind)).relation()
        tests = ", ".join(
            f'{aggregate}({test(quote_name(name))}) AS "{place}"'
            for place, name in enumerate(group)
        )
        found = run(f"SELECT {tests} FROM (SELECT * FROM {relation}{first})").to_pylist()[0]
        passed += [name for place, name in enumerate(group) if found[str(place)]]
    return passed


def _types(paths: Sequence[str], rows: int, run: Callable[[str], pa.Table]) -> dict[str, str]:
    """The types of the columns in the first rows, or in all for -1."""
    # Else records of many keys, of which each has few, would be one column: a map.
    options = f"sample_size = {rows}, union_by_name = true, map_inference_threshold = -1"
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


def _wide_types(
    objects: str, names: Sequence[str], run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """As `_types`, in time that grows with the columns and not with their square.

    The columns are in the order of the first row; those that it lacks follow, by name.

    Args:
        objects: SQL of the rows.
        names: of all columns.
        run: runs SQL and returns a pyarrow Table.
    """
    found = run(f"SELECT json_group_structure(json)::VARCHAR AS it FROM {objects}")
    kinds = json.loads(found.column(0)[0].as_py())
    first = run(f"SELECT json_keys(json) AS keys FROM {objects} LIMIT 1").column(0)[0].as_py()
    return {name: _sql_type(kinds[name]) for name in dict.fromkeys([*first, *names])}


def _sql_type(kind: object) -> str:
    """DuckDB's type for what its function `json_structure` says of a column."""
    if not isinstance(kind, str):
        return "JSON"
    if kind in ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"):
        return "DOUBLE"
    return '"NULL"' if kind == "NULL" else kind
