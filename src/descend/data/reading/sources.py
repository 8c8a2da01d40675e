"""What the user calls a table, as something that stands after FROM in SQL."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from descend.data.reading.csv_files import (
    SAMPLE_ROWS,
    CsvFiles,
    check_same_columns,
    find_csv,
    query_types,
)
from descend.data.reading.errors import check_names, missing_file
from descend.data.reading.options import ReadingOptions
from descend.data.reading.query import check_query
from descend.data.reading.sql import path_list, quote_name, quote_text
from descend.errors import DataError

FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".txt", ".dat"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
LEAST_BYTES = 8 << 20
MOST_TEXTS = 32
"""From so many bytes, up to so many columns of text, there is time to be won by haste."""
_COMPRESSED = (".gz", ".zst", ".bz2")
_QUERY = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(select|with|from|values|describe|summarize)[\s(]",
    re.IGNORECASE | re.DOTALL,
)
_STATEMENT = re.compile(
    r"\s*(attach|call|copy|create|delete|detach|drop|explain|export|import|insert|install|load|pragma"
    r"|reset|set|update)\s+\S+\s+\S",
    re.IGNORECASE,
)
_URL = re.compile(r"[a-z][a-z0-9+]{1,9}://", re.IGNORECASE)

Run = Callable[[str], pa.Table]


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        name: for messages.
        relation: what stands after FROM.
        files: the local files it reads.
        csv: how CSV files are written, so that columns can be read as another type.
        objects: Arrow data by the name it has in SQL.
        query: the user's SQL, or None.
        views: what stands after FROM for each file that a query names, by that name.
        patterns: globs and addresses that a query names.
        urls: what is read from the network.
        own: whether it is a table of DuckDB's own, which knows the numbers of its rows.
    """

    name: str
    relation: str
    files: tuple[str, ...] = ()
    csv: CsvFiles | None = None
    objects: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None
    views: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    own: bool = False

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences about how it was read, which the user should see."""
        return self.csv.notes if self.csv is not None else ()

    @property
    def text_bytes(self) -> int:
        """Bytes of the local text files (CSV, JSON) that are read; 0 for other sources."""
        text = self.csv is not None or self.relation.startswith("read_json(")
        return sum(os.path.getsize(path) for path in self.files) if text else 0

    def reading(self, types: Mapping[str, str]) -> Source:
        """CSV columns read as DOUBLE or VARCHAR; other sources have types of their own."""
        if self.csv is None:
            return self
        known = {name: type_ for name, type_ in types.items() if name in self.csv.types}
        changed = replace(self.csv, types={**self.csv.types, **known})
        return self._csv_read(changed)

    def hurried(self) -> Source:
        """CSV with only those missing values looked for that its first lines have.

        A fifth less time; where a column of numbers has another one, reading fails. Each column of
        text takes some milliseconds to plan, so that only files gain that are large beside them.
        """
        if self.csv is None or self.text_bytes < LEAST_BYTES:
            return self
        if list(self.csv.types.values()).count("VARCHAR") > MOST_TEXTS:
            return self
        return self._csv_read(replace(self.csv, nulls=self.csv.seen))

    def _csv_read(self, csv: CsvFiles) -> Source:
        return replace(self, csv=csv, relation=csv.relation())


def is_query(text: str) -> bool:
    """Whether a string is SQL, not a path; what it may be is for `check_query` to say."""
    looks = _QUERY.match(text) is not None or _STATEMENT.match(text) is not None
    return looks and not os.path.exists(text)


def find_source(
    data: str | os.PathLike[str] | Sequence[Any], run: Run, options: ReadingOptions
) -> Source:
    """The source of a path, glob, URL, query, or a list of paths.

    Args:
        data: what the user typed.
        run: runs SQL and returns a pyarrow Table; needed to look at CSV and JSON.
        options: what the user says about how text is written.

    Raises:
        DataError: no such file, a folder, an unknown or damaged format.
    """
    if isinstance(data, str) and is_query(data):
        return _query_source(data, run, options)
    if isinstance(data, str) and _URL.match(data) and not data.startswith("file://"):
        return Source(data, _remote_relation(data), urls=(data,))
    if isinstance(data, str | os.PathLike):
        name = os.fspath(data).removeprefix("file://")
        return _file_source(name, _expand(name), run, options)
    paths = [path for part in data for path in _expand(os.fspath(part))]
    if not paths:
        raise DataError("Expected at least one file, found an empty list.")
    name = paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
    return _file_source(name, paths, run, options)


def accept_recorded(source: str, *, record: str, named: str | None, option: str) -> str:
    """A source that stands in a record, where reading it is safe or the user has named it.

    A record may come from somebody else. A path in it is read, as any file is. A query, an address
    in the network or a database is used only when the user repeats it himself.

    Args:
        source: as the record holds it.
        record: where it stands, for the message, such as the folder of the run.
        named: what the user typed for `option`; None where nothing.
        option: the option that names it, such as `--data`.

    Raises:
        DataError: the source is not a path and the user has not named it, or he named another.
    """
    if not is_query(source) and not _URL.match(source):
        return source
    if named is not None and named.strip() == source.strip():
        return source
    shown = "".join(one if one.isprintable() else " " for one in source)
    kind = "the query" if is_query(source) else "the address"
    raise DataError(
        f"{record} was made from {kind}  {shown}  A record may come from somebody else, so this is "
        f"read only when you name it yourself: add  {option} {shlex.quote(shown)}"
    )


def _query_source(text: str, run: Run, options: ReadingOptions) -> Source:
    """A query and the files that it names; each is read as it is when its path is given."""
    query = check_query(text)
    views: dict[str, str] = {}
    objects: dict[str, Any] = {}
    files: list[str] = []
    urls = [name for name in (*query.tables, *query.files) if _URL.match(name)]
    for name in query.tables:
        if name in urls:
            continue
        found = _file_source(name, _expand(name), run, options)
        files += found.files
        if found.objects:
            objects[name] = found.objects["source"]
        elif found.csv is not None:
            views[name] = replace(found.csv, types=query_types(found.csv, run)).relation()
        else:
            views[name] = found.relation
    for name in query.files:
        if name not in urls:
            files += [one for one in sorted(glob.glob(name, recursive=True)) if os.path.isfile(one)]
    return Source(
        "the query",
        f"({query.sql}\n)",
        tuple(dict.fromkeys(files)),
        objects=objects,
        query=query.sql,
        views=views,
        patterns=(*query.tables, *query.files),
        urls=tuple(urls),
    )


def _remote_relation(url: str) -> str:
    """DuckDB reads it through its own extensions and detects what it can."""
    kind = _format_by_name(url.partition("?")[0]) or "csv"
    if kind == "arrow":
        raise DataError(f"{url}: Arrow files are read from this machine only. Download it first.")
    reader = {"csv": "read_csv", "parquet": "read_parquet", "json": "read_json"}[kind]
    options = ", header = true, skip = 0" if kind == "csv" else ""
    return f"{reader}({quote_text(url)}{options})"


def _expand(path: str) -> list[str]:
    """The files of a path or glob, by name."""
    path = os.path.expanduser(path)
    if os.path.isdir(path):
        raise _folder_error(path)
    if os.path.exists(path):
        return [path]
    if glob.has_magic(path):
        found = sorted(name for name in glob.glob(path, recursive=True) if os.path.isfile(name))
        if not found:
            raise DataError(f"No file matches {path}. Is the folder right, and the glob quoted?")
        return found
    raise missing_file(path)


def _folder_error(path: str) -> DataError:
    suffixes = [
        Path(name).suffix for name in sorted(os.listdir(path)) if Path(name).suffix in FORMATS
    ]
    if not suffixes:
        return DataError(f"{path} is a folder without tables in it; expected a file.")
    common = max(dict.fromkeys(suffixes), key=suffixes.count)
    return DataError(
        f"{path} is a folder; expected a file. To read all {common} files in it together, "
        f"type '{os.path.join(path, '*' + common)}'."
    )


def _file_source(
    name: str, paths: Sequence[str], run: Run, options: ReadingOptions
) -> Source:
    kinds = {path: _format_of(path) for path in paths}
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
    files = tuple(paths)
    if kind == "csv":
        csv = find_csv(files, run, options)
        return Source(name, csv.relation(), files, csv)
    if kind == "json":
        return Source(name, _json_relation(files, run), files)
    if kind == "parquet":
        _check_footers(files)
        by_name = ", union_by_name = true" if len(files) > 1 else ""
        return Source(name, f"read_parquet({path_list(files)}{by_name})", files)
    return Source(name, "source", files, objects={"source": _arrow_dataset(files)})


def _format_by_name(path: str) -> str | None:
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    while suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def _format_of(path: str) -> str:
    """By name, else by the first bytes."""
    named = _format_by_name(path)
    if named:
        return named
    try:
        with open(path, "rb") as stream:
            head = stream.read(6)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}.") from None
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    if head.startswith((b"PK", b"\xd0\xcf")):
        raise DataError(
            f"{path} is an archive or a spreadsheet; expected CSV, Parquet, JSON lines or Arrow. "
            "Save the sheet as CSV."
        )
    return "json" if head.lstrip().startswith((b"{", b"[")) else "csv"


def _check_footers(paths: Sequence[str]) -> None:
    from pyarrow import parquet

    first: list[str] = []
    for path in paths:
        try:
            names = parquet.read_schema(path).names
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{path} is not a complete Parquet file: {said}") from None
        check_names(path, names)
        first = first or names
        check_same_columns(paths[0], first, path, names)


def _arrow_dataset(paths: Sequence[str]) -> Any:
    from pyarrow import dataset

    first: list[str] = []
    for path in paths:
        try:
            with pa.memory_map(path) as stream:
                names = pa.ipc.open_file(stream).schema.names
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(
                f"{path} is not an Arrow or Feather file: {said} "
                "(Arrow streams and Feather version 1 are not read; write it anew.)"
            ) from None
        check_names(path, names)
        first = first or names
        check_same_columns(paths[0], first, path, names)
    return dataset.dataset(list(paths), format="ipc")


def _json_relation(paths: Sequence[str], run: Run) -> str:
    """Whole numbers in the first rows are read as DOUBLE, and dates as text, as from CSV."""
    options = f"sample_size = {SAMPLE_ROWS}, union_by_name = true"
    rows = run(f"DESCRIBE SELECT * FROM read_json({path_list(paths)}, {options})").to_pylist()
    columns = []
    for row in rows:
        found = row["column_type"]
        if found in ("BIGINT", "UBIGINT", "HUGEINT", "DOUBLE"):
            found = "DOUBLE"
        elif found in ("DATE", "TIME", "UUID") or found.startswith("TIMESTAMP"):
            found = "VARCHAR"
        columns.append(f"{quote_name(row['column_name'])}: {quote_text(found)}")
    return f"read_json({path_list(paths)}, columns = {{{', '.join(columns)}}})"
