"""The formats of files: how to recognise them, and what to check before DuckDB reads them."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from descend.data.reading.csv_files import check_same_columns
from descend.data.reading.errors import check_names, missing_file
from descend.data.reading.extension_types import shown_type, value_sql
from descend.data.reading.frames import readable_type
from descend.data.reading.sql import quote_name
from descend.data.reading.text_bytes import decoded_columns
from descend.data.reading.text_files import first_text
from descend.errors import DataError
from descend.io.paths import named_path

FORMATS = {
    **dict.fromkeys((".csv", ".tsv", ".tab", ".psv", ".txt", ".dat"), "csv"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson"), "json"),
    **dict.fromkeys((".arrow", ".feather", ".ipc"), "arrow"),
}
PACKED = (".gz", ".zst", ".bz2", ".xz", ".zip")
_WRITTEN = {
    "run.json": ("train", "report.html"),
    "advice.json": ("advise", "advice.html"),
    "compare.json": ("compare", "compare.html"),
    "landscape.json": ("landscape", "landscape.html"),
}
"""The records in the folders that commands write: the command, and its page."""

Run = Callable[[str], pa.Table]


def expand(path: str) -> list[str]:
    """The files of a path or glob, sorted by name."""
    path = str(named_path(path))
    if os.path.isdir(path):
        raise _folder_error(path)
    if os.path.exists(path):
        return [_from_here(path)]
    if glob.has_magic(path):
        found = sorted(
            _from_here(name) for name in glob.glob(path, recursive=True) if os.path.isfile(name)
        )
        if not found:
            query = " A query begins with SELECT, WITH or FROM." if " " in path.strip() else ""
            raise DataError(
                f"No file matches {path}. Is the folder right, and the glob quoted?{query}"
            )
        return found
    raise missing_file(path)


def _from_here(path: str) -> str:
    """The path of a file as DuckDB finds it, which takes a `~` at the front for a home folder."""
    return os.path.join(os.curdir, path) if path.startswith("~") else path


def _folder_error(path: str) -> DataError:
    for record, (command, page) in _WRITTEN.items():
        if os.path.isfile(os.path.join(path, record)):
            return DataError(
                f"{path} is what  descend {command}  wrote; expected a file with rows. Its page is "
                f"{os.path.join(path, page)}"
            )
    suffixes = [
        Path(name).suffix for name in sorted(os.listdir(path)) if Path(name).suffix in FORMATS
    ]
    if not suffixes:
        return DataError(f"{path} is a folder that holds no tables; expected a file.")
    common = max(dict.fromkeys(suffixes), key=suffixes.count)
    return DataError(
        f"{path} is a folder; expected a file. To read all {common} files in it together, "
        f"type '{os.path.join(path, '*' + common)}'."
    )


def format_by_name(path: str) -> str | None:
    """The format by the suffix of a file, or None."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    while suffixes and suffixes[-1] in PACKED:
        suffixes.pop()
    return FORMATS.get(suffixes[-1]) if suffixes else None


def format_of(path: str) -> str:
    """The format by suffix, else by the first bytes."""
    named = format_by_name(path)
    if named:
        return named
    head = first_text(path)
    if head.startswith(b"PAR1"):
        return "parquet"
    if head.startswith(b"ARROW1"):
        return "arrow"
    return "json" if head.lstrip().startswith((b"{", b"[")) else "csv"


def check_footers(paths: Sequence[str]) -> list[pa.Schema]:
    """The schemas of Parquet files; a DataError unless they are complete and have the same columns.

    Args:
        paths: of the files.
    """
    from pyarrow import parquet

    schemas = []
    for path in paths:
        try:
            schemas.append(parquet.read_schema(path))
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(f"{path} is not a complete Parquet file: {said}") from None
    _check_alike(paths, schemas)
    return schemas


def arrow_schemas(paths: Sequence[str]) -> list[pa.Schema]:
    """The schemas of Arrow files; a DataError unless they have the same columns."""
    schemas = []
    for path in paths:
        try:
            with pa.memory_map(path) as stream:
                schemas.append(pa.ipc.open_file(stream).schema)
        except (pa.ArrowException, OSError) as error:
            said = str(error).splitlines()[0]
            raise DataError(
                f"{path} is not an Arrow or Feather file: {said} "
                "(Arrow streams and Feather version 1 are not read; write it anew.)"
            ) from None
    _check_alike(paths, schemas)
    return schemas


def arrow_dataset(paths: Sequence[str], schemas: Sequence[pa.Schema]) -> Any:
    """Arrow files as one data set, whose types hold the values of all files."""
    from pyarrow import dataset

    try:
        together = pa.unify_schemas(schemas, promote_options="permissive")
    except pa.ArrowException:
        raise DataError(_describe_difference(paths, schemas)) from None
    readable = pa.schema([field.with_type(readable_type(field.type)) for field in together])
    return dataset.dataset(list(paths), format="ipc", schema=readable)


def columns_of_two_widths(schemas: Sequence[pa.Schema]) -> frozenset[str]:
    """The columns that some of several files hold in float32 and others in float64.

    >>> narrow, wide = pa.schema({"k": pa.float32()}), pa.schema({"k": pa.float64()})
    >>> columns_of_two_widths([narrow, wide]), columns_of_two_widths([wide, wide])
    (frozenset({'k'}), frozenset())
    """

    def named(kind: pa.DataType) -> set[str]:
        return {field.name for schema in schemas for field in schema if field.type == kind}

    return frozenset(named(pa.float32()) & named(pa.float64()))


def declared_categories(schemas: Sequence[pa.Schema]) -> frozenset[str]:
    """The columns that pandas' `Categorical` and Arrow's dictionaries declare as categories.

    >>> codes = pa.dictionary(pa.int8(), pa.int64())
    >>> declared_categories([pa.schema({"k": codes, "x": pa.int64()})])
    frozenset({'k'})
    """
    fields = [field for schema in schemas for field in schema]
    found = {field.name for field in fields if pa.types.is_dictionary(field.type)}
    for schema in schemas:
        # Parquet has dictionaries of text alone; of others, what pandas wrote beside them tells.
        described = (schema.pandas_metadata or {}).get("columns", ())
        found |= {one["field_name"] for one in described if one["pandas_type"] == "categorical"}
    return frozenset(found)


_DURATIONS = {"s": "to_seconds", "ms": "to_milliseconds", "us": "to_microseconds"}


def stored_columns(
    paths: Sequence[str], schemas: Sequence[pa.Schema], *, parquet: bool = False
) -> str:
    """SQL of the columns of Parquet or Arrow files, after SELECT.

    Some columns are stored as something else, see `extension_types` and `text_bytes`. Parquet has
    no type for a duration either: Arrow writes whole numbers, and their unit beside them, which
    DuckDB does not read.

    Raises:
        DataError: two files hold such a column in different ways, or only one does.
    """
    replaced = []
    decoded = [
        decoded_columns(path, schema, parquet=parquet)
        for path, schema in zip(paths, schemas, strict=True)
    ]
    for field in schemas[0]:
        fields = [schema.field(field.name) for schema in schemas]
        of_value = [
            texts.get(field.name) or _value_sql(one, parquet=parquet)
            for one, texts in zip(fields, decoded, strict=True)
        ]
        if all(one is None for one in of_value):
            continue
        kinds = [shown_type(one) for one in fields]
        other = next((place for place, kind in enumerate(kinds) if kind != kinds[0]), None)
        if other is not None:
            raise DataError(
                f"{paths[0]} holds column {field.name!r} as {kinds[0]}, and {paths[other]} as "
                f"{kinds[other]}; expected one type. Convert one of the files."
            )
        replaced.append(f"{of_value[0]} AS {quote_name(field.name)}")
    return f"* REPLACE ({', '.join(replaced)})" if replaced else "*"


def _value_sql(field: pa.Field, *, parquet: bool) -> str | None:
    """SQL of a column whose values are not what DuckDB reads; None for others."""
    if not (parquet and pa.types.is_duration(field.type)):
        return value_sql(field)
    name, unit = quote_name(field.name), field.type.unit
    return f"to_microseconds({name} // 1000)" if unit == "ns" else f"{_DURATIONS[unit]}({name})"


def largest_in_arrow(path: str, column: str) -> int | None:
    """The greatest absolute value in a column of whole numbers of an Arrow file; None: no value."""
    most: int | None = None
    with pa.memory_map(path) as stream:
        file = pa.ipc.open_file(stream)
        for place in range(file.num_record_batches):
            ends = pc.min_max(file.get_batch(place).column(column)).as_py()
            known = [abs(one) for one in ends.values() if one is not None]
            most = max([*known, *([] if most is None else [most])], default=None)
    return most


MOST_EXACT = 2**53
"""Up to this, float64 holds every whole number."""


def check_exact(
    paths: Sequence[str], schemas: Sequence[pa.Schema], largest: Callable[[str, str], int | None]
) -> None:
    """Raise DataError where a whole number of one file is too large for the float64 of another.

    Read together, the column is float64, and numbers that differ in the last digit would be one.

    Args:
        paths: of the files.
        schemas: of each.
        largest: the greatest absolute value in a column of a file; None if it has no value.
    """
    for name in schemas[0].names if len(paths) > 1 else ():
        kinds = {path: one.field(name).type for path, one in zip(paths, schemas, strict=True)}
        floats = [path for path, kind in kinds.items() if pa.types.is_floating(kind)]
        whole = [path for path, kind in kinds.items() if kind in (pa.int64(), pa.uint64())]
        for path in whole if floats else []:
            found = largest(path, name)
            if found is not None and found > MOST_EXACT:
                raise DataError(
                    f"{path} holds column {name!r} as {kinds[path]}, with numbers up to {found}, "
                    f"and {floats[0]} as {kinds[floats[0]]}, which holds whole numbers exactly up "
                    f"to {MOST_EXACT} only: different numbers would become one. Write the column "
                    "as whole numbers or as text in all files."
                )


def _check_alike(paths: Sequence[str], schemas: Sequence[pa.Schema]) -> None:
    for path, schema in zip(paths, schemas, strict=True):
        check_names(path, schema.names)
        check_same_columns(paths[0], schemas[0].names, path, schema.names)


def _describe_difference(paths: Sequence[str], schemas: Sequence[pa.Schema]) -> str:
    """Which column two files hold as types that no type contains."""
    first = schemas[0]
    for path, schema in zip(paths, schemas, strict=True):
        for field in schema:
            ours = first.field(field.name)
            try:
                pa.unify_schemas(
                    [pa.schema([ours]), pa.schema([field])], promote_options="permissive"
                )
            except pa.ArrowException:
                return (
                    f"{paths[0]} holds column {field.name!r} as {ours.type}, and {path} as "
                    f"{field.type}; expected one type. Convert one of the files."
                )
    return f"{paths[0]} and others hold the same columns as types that cannot be read together."
