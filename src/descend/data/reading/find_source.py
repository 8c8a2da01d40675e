"""Find the source of what the user calls a table: a path, a glob, a URL or a query."""

from __future__ import annotations

import functools
import glob
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from descend.data.reading.csv_files import find_csv, for_query
from descend.data.reading.databases import is_database_address, is_database_file, table_file
from descend.data.reading.formats import (
    Run,
    arrow_dataset,
    arrow_schemas,
    check_exact,
    check_footers,
    columns_of_two_widths,
    declared_categories,
    expand,
    format_by_name,
    format_of,
    largest_in_arrow,
    stored_columns,
)
from descend.data.reading.json_files import find_json
from descend.data.reading.narrow import NARROW
from descend.data.reading.options import ReadingOptions
from descend.data.reading.packed_files import plain_file
from descend.data.reading.query import check_query, is_query
from descend.data.reading.source import Source
from descend.data.reading.spool import Spool
from descend.data.reading.sql import parquet_sql, path_list, quote_name, quote_text
from descend.data.reading.streams import STANDARD_INPUT, download, is_stream, is_url, stream_file
from descend.data.reading.text_files import utf8_file
from descend.errors import DataError
from descend.io.secrets import without_secrets


def find_source(
    data: str | os.PathLike[str] | Sequence[Any],
    run: Run,
    options: ReadingOptions,
    spool: Spool,
) -> Source:
    """The source of a path, glob, URL, query, or a list of paths.

    Args:
        data: what the user typed.
        run: runs SQL and returns a pyarrow Table; needed to look at CSV and JSON.
        options: how text files are written.
        spool: for temporary files.

    Raises:
        DataError: no such file, a folder, an unknown or damaged format.
    """
    if isinstance(data, str) and is_query(data):
        return _query_source(data, run, options, spool)
    if isinstance(data, str) and is_url(data) and not data.startswith("file://"):
        return _remote_source(data, run, options, spool)
    if isinstance(data, str | os.PathLike):
        name = os.fspath(data).removeprefix("file://")
        shown = "standard input" if name in STANDARD_INPUT else name
        return _file_source(shown, _expand(name), run, options, spool)
    paths = [path for part in data for path in _expand(os.fspath(part))]
    if not paths:
        raise DataError("Expected at least one file, found an empty list.")
    name = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return _file_source(name, paths, run, options, spool)


def _expand(name: str) -> list[str]:
    """The files of a path or glob, or the stream or part of a file that it names."""
    if is_stream(name) or _split_part(os.path.expanduser(name))[1]:
        return [os.path.expanduser(name)]
    return expand(name)


def local_files(data: Any) -> list[str]:
    """The files on this machine that a path, a glob, a query or a list of paths names.

    An unreadable name gives none; opening it raises the error.
    """
    if isinstance(data, list | tuple):
        return [path for part in data for path in local_files(part)]
    if not isinstance(data, str | os.PathLike):
        return []
    text = os.path.expanduser(os.fspath(data).removeprefix("file://"))
    if os.path.exists(text):
        return [text]
    if not is_query(text):
        return glob.glob(text, recursive=True)
    try:
        query = check_query(text)
    except DataError:
        return []
    return [path for name in (*query.tables, *query.files) for path in local_files(name)]


def _query_source(text: str, run: Run, options: ReadingOptions, spool: Spool) -> Source:
    """The source of a query; each file in it is read as if its path were given."""
    query = check_query(text)
    views: dict[str, str] = {}
    objects: dict[str, Any] = {}
    files: list[str] = []
    reads: list[str] = []
    two_widths: frozenset[str] = frozenset()
    hashes: list[str] = []
    urls = [name for name in (*query.tables, *query.files) if is_url(name)]
    for name in query.tables:
        if name not in urls:
            found = _file_source(name, _expand(name), run, options, spool)
        elif _is_downloaded(name, run):
            urls = [one for one in urls if one != name]
            found = _remote_source(name, run, options, spool)
        else:
            continue
        if query.everything and _has_many_columns(found):
            # DuckDB plans a query in the square of its columns, and a file is read in parts.
            return replace(found, name="the query")
        hashes += [found.hash] if found.hash is not None else []
        files += found.files
        reads += found.reads
        two_widths |= found.two_widths
        if found.objects and found.relation != "source":
            raise DataError(
                f"{name} holds periods or intervals of pandas, which a query reads from Parquet "
                "files only. Give the file itself, or write it with  frame.to_parquet(...)"
            )
        if found.objects:
            objects[name] = found.objects["source"]
        elif found.csv is not None:
            views[name] = for_query(found.csv, run).relation()
        else:
            views[name] = found.relation
    for name in query.files:
        if glob.has_magic(name) and os.path.exists(name):
            raise DataError(
                f"{name} is a file, and in the query a reader would take its name for a pattern of "
                f"other names. After FROM it is read as itself: FROM {quote_text(name)}"
            )
        if name not in urls:
            files += [one for one in sorted(glob.glob(name, recursive=True)) if os.path.isfile(one)]
    return Source(
        "the query",
        f"({query.run}\n)",
        tuple(dict.fromkeys(files)),
        objects=objects,
        reads=tuple(reads),
        hash=" ".join(hashes) or None,
        spool=spool,
        query=query.sql,
        views=views,
        patterns=(*query.tables, *query.files),
        urls=tuple(urls),
        two_widths=two_widths,
    )


def _has_many_columns(source: Source) -> bool:
    """Whether a text file or a Parquet file has too many columns for one query to use them."""
    if source.csv is not None:
        return len(source.csv.types) > NARROW
    if source.parquet is None:
        return False
    import pyarrow as pa
    import pyarrow.parquet

    try:
        return len(pyarrow.parquet.read_schema(source.reads[0]).names) > NARROW
    except (pa.ArrowException, OSError):
        return False  # DuckDB says what is wrong with it.


def _remote_source(url: str, run: Run, options: ReadingOptions, spool: Spool) -> Source:
    """The source of a URL: a database table, a downloaded file, or one that DuckDB reads.

    Text is downloaded, since it is read several times. Of Parquet only the needed parts are read
    where DuckDB has its extension for that; else it is downloaded too.
    """
    shown = without_secrets(url)
    if is_database_address(url):
        address, _, part = url.partition("#")
        path, digest = table_file(address, part, spool)
        found = _plain_source(shown, [path], run, options, spool)
        return replace(found, hash=digest, spool=spool)
    kind = format_by_name(url.partition("?")[0].partition("#")[0])
    if _is_downloaded(url, run):
        address, _, part = url.partition("#")
        path, digest = download(address, spool)
        path = plain_file(path, part, spool)
        found = _plain_source(shown, [path], run, options, spool)
        return replace(found, hash=digest, spool=spool)
    if kind == "arrow":
        raise DataError(f"{shown}: Arrow files are read from this machine only. Download it first.")
    reader = {"parquet": "read_parquet", "json": "read_json"}.get(kind or "csv", "read_csv")
    more = {"read_csv": ", header = true, skip = 0", "read_json": ", map_inference_threshold = -1"}
    parquet = quote_text(url) if reader == "read_parquet" else None
    relation = f"{reader}({quote_text(url)}{more.get(reader, '')})"
    if parquet is not None:
        relation = parquet_sql(parquet)
    return Source(shown, relation, urls=(url,), parquet=parquet)


def _is_downloaded(url: str, run: Run) -> bool:
    """Whether a URL is of a file that has to be downloaded before it is read."""
    if not re.match("https?://", url, re.IGNORECASE):
        return False
    if format_by_name(url.partition("?")[0].partition("#")[0]) != "parquet":
        return True
    asked = "SELECT installed FROM duckdb_extensions() WHERE extension_name = 'httpfs'"
    return True not in run(asked).column(0).to_pylist()


def _file_source(
    name: str, named: Sequence[str], run: Run, options: ReadingOptions, spool: Spool
) -> Source:
    """The source of files that the user names, possibly with a part after `#`."""
    files: list[str] = []
    paths: list[str] = []
    hashes: list[str] = []
    parts: list[str] = []
    for one in named:
        path, part = _split_part(one)
        parts += [part] if part else []
        if is_stream(path):
            path, digest = stream_file(path, spool)
            hashes.append(digest)
        else:
            files.append(path)
        path = plain_file(path, "" if is_database_file(path) else part, spool)
        if is_database_file(path):
            path, _ = table_file(path, part, spool)
        paths.append(path)
    if hashes and files:
        raise DataError("A stream and files cannot be read together; expected one or the others.")
    found = _plain_source(name, paths, run, options, spool)
    return replace(
        found, files=tuple(files), parts=tuple(parts), hash=" ".join(hashes) or None, spool=spool
    )


def _plain_source(
    name: str, paths: Sequence[str], run: Run, options: ReadingOptions, spool: Spool
) -> Source:
    """The source of files that are no archives."""
    kinds = {path: format_of(path) for path in paths}
    other = next((path for path in paths if kinds[path] != kinds[paths[0]]), None)
    if other is not None:
        raise DataError(
            f"{paths[0]} is {kinds[paths[0]]} and {other} is {kinds[other]}; "
            "expected files of one format."
        )
    for path in paths:
        if os.path.getsize(path) == 0:
            raise DataError(f"{path} is empty; expected a table.")
    kind = kinds[paths[0]]
    if kind in ("csv", "json"):
        paths = [utf8_file(path, spool) for path in paths]
    files = tuple(paths)
    if kind == "csv":
        csv = find_csv(files, run, options, spool)
        return Source(name, csv.relation(), csv=csv, reads=csv.paths, untyped=True)
    if kind == "json":
        json = find_json(files, run)
        return Source(name, json.relation(), json=json, reads=files)
    if kind == "parquet":
        schemas = check_footers(files)
        check_exact(files, schemas, functools.partial(_largest_in_parquet, run))
        two_widths = columns_of_two_widths(schemas)
        by_name = ["union_by_name = true"] if len(files) > 1 else []
        listed = path_list(files)
        relation = parquet_sql(listed, *by_name)
        columns = stored_columns(files, schemas, parquet=True)
        if columns != "*":
            relation = f"(SELECT {columns} FROM {relation})"
        return Source(
            name,
            relation,
            reads=files,
            parquet=listed,
            parquet_columns=columns,
            two_widths=two_widths,
            categorical=declared_categories(schemas),
        )
    schemas = arrow_schemas(files)
    check_exact(files, schemas, largest_in_arrow)
    columns = stored_columns(files, schemas)
    return Source(
        name,
        "source" if columns == "*" else f"(SELECT {columns} FROM source)",
        objects={"source": arrow_dataset(files, schemas)},
        reads=files,
        two_widths=columns_of_two_widths(schemas),
        categorical=declared_categories(schemas),
    )


def _largest_in_parquet(run: Run, path: str, column: str) -> int | None:
    value = f"abs({quote_name(column)}::HUGEINT)"
    found = run(f"SELECT max({value})::VARCHAR AS most FROM {parquet_sql(quote_text(path))}")
    most = found.to_pylist()[0]["most"]
    return None if most is None else int(most)


def _split_part(name: str) -> tuple[str, str]:
    """(path, part) of a name such as `book.xlsx#Sheet 2`."""
    if "#" in name and not os.path.exists(name):
        path, _, part = name.partition("#")
        if os.path.isfile(path):
            return path, part
    return name, ""
