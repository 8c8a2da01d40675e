"""Check a user's query: one SELECT over files, which can only read them.

A SELECT alone is not safe: DuckDB has table functions that write files, read settings and secrets
or load extensions, a common table expression may insert rows, and `query('...')` runs text. So
every part of the parsed query is checked, and only what is known to read is allowed; the
connection that runs it is locked as well (`connection.Instance.lock`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from descend.data.reading.sql import NAN_OPTION, quote_name
from descend.errors import DataError

_READERS = frozenset(
    {
        *("read_csv", "read_csv_auto", "sniff_csv"),
        *("read_parquet", "parquet_scan", "parquet_schema", "parquet_metadata"),
        *("read_json", "read_json_auto", "read_ndjson", "read_ndjson_auto"),
        *("read_json_objects", "read_ndjson_objects", "read_text", "read_blob"),
    }
)
"""Table functions whose string arguments are names of files."""
_PARQUET = ("read_parquet", "parquet_scan")
_MAKERS = frozenset(
    {"range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree"}
)
"""Table functions that read no file."""
_NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_REFUSED = frozenset(
    {
        *("current_setting", "getenv", "getvariable", "which_secret"),
        *("write_log", "sleep_ms", "nextval", "setval", "setseed"),
    }
)
"""Scalar functions that read the environment or have side effects."""
_QUERY = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(select|with|from|values|describe|summarize)[\s(]",
    re.IGNORECASE | re.DOTALL,
)
_STATEMENT = re.compile(
    r"\s*((alter|attach|call|comment|copy|create|deallocate|delete|detach|drop|execute|explain"
    r"|export|force|import|insert|install|load|merge|pivot|pragma|prepare|reset|set|truncate"
    r"|unpivot|update|use|vacuum)\s+\S+\s+\S"
    r"|(attach|call|deallocate|detach|execute|install|load|pragma|reset|use)\s+([^\s.]+\s*$|')"
    r"|(analyze|begin|checkpoint|commit|rollback|vacuum)\s*(;|$)|call\s+\w+\()",
    re.IGNORECASE,
)
"""Statements that are no query. Two words may be the name of a file: `update data.csv`."""
_ONE_SELECT = "A query is one SELECT that reads files; it cannot write, attach, load or set."


@dataclass(frozen=True)
class Query:
    """A query that can only read.

    Attributes:
        sql: one SELECT, without a semicolon.
        run: the same, as it is run.
        tables: names and strings after FROM, in order: files, globs or URLs.
        files: string arguments of functions that read files: paths, globs or URLs.
        everything: whether it is `SELECT * FROM` one of the tables and nothing else.
    """

    sql: str
    run: str
    tables: tuple[str, ...]
    files: tuple[str, ...]
    everything: bool = False


def is_query(text: str) -> bool:
    """Whether a string is SQL and not a path; `check_query` decides whether it is allowed."""
    looks = _QUERY.match(text) is not None or _STATEMENT.match(text) is not None
    return looks and not os.path.exists(text)


def check_query(text: str) -> Query:
    """Check a query, and find what it reads.

    Raises:
        DataError: it is not one SELECT, or one that could do more than read files.
    """
    import duckdb

    try:
        statements = duckdb.extract_statements(text)
    except duckdb.Error as error:
        raise DataError(f"The query cannot be run: {_first_lines(str(error))}") from None
    if len(statements) != 1:
        found = ", ".join(str(one.type.name) for one in statements) or "nothing"
        raise DataError(f"Expected one SELECT, found {found}. {_ONE_SELECT}")
    if statements[0].type != duckdb.StatementType.SELECT:
        raise DataError(f"Expected one SELECT, found {statements[0].type.name}. {_ONE_SELECT}")
    tree = _tree(text)
    tables, files = _names_in(tree)
    bare = _bare(text)
    return Query(bare, _with_nan(bare, tree), tables, files, _is_everything(tree, tables))


def _is_everything(tree: dict[str, Any], tables: tuple[str, ...]) -> bool:
    """Whether a parsed query is that of `SELECT * FROM` its only table."""
    if len(tables) != 1:
        return False
    plain = _tree(f"SELECT * FROM {quote_name(tables[0])}")
    return bool(_without_places(tree) == _without_places(plain))


def _without_places(value: Any) -> Any:
    """A part of a parsed query without where it stands in the text."""
    if isinstance(value, dict):
        return {
            name: _without_places(part) for name, part in value.items() if name != "query_location"
        }
    return [_without_places(part) for part in value] if isinstance(value, list) else value


def _tree(text: str) -> dict[str, Any]:
    """The query as DuckDB parses it."""
    import duckdb

    with duckdb.connect() as connection:
        answer = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchone()
    assert answer is not None
    tree: dict[str, Any] = json.loads(answer[0])
    if tree["error"]:
        raise DataError(f"The query cannot be run: {tree['error_message']}. {_ONE_SELECT}")
    return tree


def _bare(text: str) -> str:
    """The query without the semicolon and the comments after it."""
    bare = text
    while True:
        shorter = re.sub(r"(;|/\*(?:[^*]|\*(?!/))*\*/|--[^\n]*)\s*\Z", "", bare).rstrip()
        if shorter == bare:
            return bare
        if _parts(shorter) != 1:
            # A string that ends like a comment.
            return bare
        bare = shorter


def _parts(text: str) -> int:
    import duckdb

    try:
        return len(duckdb.extract_statements(text))
    except duckdb.Error:
        return 0


def _names_in(tree: dict[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """(tables, files) of a parsed query; raises DataError where it could do more than read."""
    tables: list[str] = []
    files: list[str] = []
    names: set[str] = set()
    for part in _dictionaries(tree):
        kind = part.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in _NODES:
            raise DataError(f"The query holds {kind.removesuffix('_NODE')}. {_ONE_SELECT}")
        if kind == "TABLE_FUNCTION":
            files += _files_read_by(part["function"])
        elif kind == "FUNCTION" and str(part.get("function_name", "")).lower() in _REFUSED:
            raise DataError(f"The query calls {part['function_name']}. {_ONE_SELECT}")
        elif kind == "BASE_TABLE":
            if part.get("schema_name") or part.get("catalog_name"):
                path = ".".join(part.get("qualified_name", {}).get("path", ()))
                raise DataError(
                    f"The query reads {path}; expected the name of a file. A file stands in "
                    f"quotes: FROM '{path}'."
                )
            tables.append(part["table_name"])
        names |= {entry["key"].lower() for entry in _entries(part)}
    tables = [name for name in tables if name.lower() not in names]
    return tuple(dict.fromkeys(tables)), tuple(dict.fromkeys(files))


def _files_read_by(function: dict[str, Any]) -> list[str]:
    """The files that a table function reads."""
    name = str(function["function_name"]).lower()
    if name in _MAKERS:
        return []
    if name not in _READERS:
        raise DataError(
            f"The query calls {name}, which is not one of the functions that read files, such as "
            f"read_csv, read_parquet and read_json. {_ONE_SELECT}"
        )
    return [
        part["literal"]["text"]
        for part in _dictionaries(function)
        if part.get("type") == "VALUE_CONSTANT" and part.get("literal", {}).get("kind") == "STRING"
    ]


def _with_nan(sql: str, tree: dict[str, Any]) -> str:
    """The query with `NAN_OPTION` in each of its calls that read Parquet files."""
    calls = [arguments for arguments in _parquet_calls(tree) if not _has_option(arguments)]
    text = sql.encode()
    ends = [call[-1]["query_location"] + call[-1]["query_location_length"] for call in calls]
    for end in sorted(ends, reverse=True):
        text = text[:end] + f", {NAN_OPTION} = true".encode() + text[end:]
    changed = text.decode(errors="replace")
    try:
        same = all(map(_has_option, _parquet_calls(_tree(changed))))
    except DataError:
        return sql
    return changed if same else sql


def _parquet_calls(tree: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """The arguments of each call that reads Parquet files."""
    for part in _dictionaries(tree):
        if part.get("type") == "TABLE_FUNCTION":
            function = part["function"]
            if str(function["function_name"]).lower() in _PARQUET and function["arguments"]:
                yield [one["expression"] for one in function["arguments"]]


def _has_option(arguments: list[dict[str, Any]]) -> bool:
    return any(one.get("left", {}).get("column_names") == [NAN_OPTION] for one in arguments)


def _entries(part: dict[str, Any]) -> list[dict[str, Any]]:
    """The common table expressions defined in a part of the query."""
    entries: list[dict[str, Any]] = (part.get("cte_map") or {}).get("map") or []
    return entries


def _dictionaries(value: Any) -> Iterator[dict[str, Any]]:
    """Every part of a parsed query."""
    stack = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, dict):
            yield one
            stack += reversed(list(one.values()))
        elif isinstance(one, list):
            stack += reversed(one)


def _first_lines(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = re.sub(r"^(\w+ )+Error: ", "", lines[0])
    return " ".join([first, *(line for line in lines[1:] if line.startswith("LINE"))][:2])
