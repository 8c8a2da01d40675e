"""Where the rows of a table come from: files, SQL over them, or data in memory."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from descend.data.reading.csv_files import CsvFiles
from descend.data.reading.errors import reading
from descend.data.reading.frame_columns import unreadable_types
from descend.data.reading.frames import content_hash
from descend.data.reading.json_files import JsonFiles
from descend.data.reading.spool import Spool


@dataclass(frozen=True)
class Source:
    """Where rows come from.

    Attributes:
        name: for messages.
        relation: SQL that stands after FROM.
        files: the local files that the user names.
        reads: the files that are read instead, which may be temporary copies.
        parts: the file, sheet or table that is read from an archive, workbook or database.
        hash: of data from a stream or the network, and of the result of a query that is kept.
        spool: holds the temporary files.
        csv: dialects and types of CSV files, so that columns can be read as other types.
        json: the columns of JSON files, for the same.
        objects: Arrow data by its name in SQL.
        query: the user's SQL, or None.
        views: the SQL relation for each file that a query names, by that name.
        patterns: globs and URLs that a query names.
        urls: that are read.
        untyped: whether it is CSV, which declares no types.
        own: whether it is a table inside DuckDB, which numbers its rows.
        parquet: SQL of the list of Parquet files, if it is no other format.
        parquet_columns: SQL of their columns, see `formats.stored_columns`.
        two_widths: columns that some files hold in float32 and others in float64.
        categorical: columns that the source declares as categories, whatever their values are.
    """

    name: str
    relation: str
    files: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()
    hash: str | None = None
    spool: Spool | None = None
    csv: CsvFiles | None = None
    json: JsonFiles | None = None
    objects: Mapping[str, Any] = field(default_factory=dict)
    query: str | None = None
    views: Mapping[str, str] = field(default_factory=dict)
    patterns: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()
    untyped: bool = False
    own: bool = False
    parquet: str | None = None
    parquet_columns: str = "*"
    two_widths: frozenset[str] = frozenset()
    categorical: frozenset[str] = frozenset()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user about how it was read."""
        return self.csv.notes if self.csv is not None else ()

    @property
    def unreadable(self) -> Mapping[str, str]:
        """The type of each column of a frame whose values Arrow does not hold."""
        given = self.objects.get("source")
        return {} if given is None else unreadable_types(given.schema)

    @property
    def text_bytes(self) -> int:
        """Bytes of the local text files (CSV, JSON) that are read; 0 for other sources."""
        text = self.csv is not None or self.json is not None
        return sum(os.path.getsize(path) for path in self.reads) if text else 0

    def fingerprint(self) -> dict[str, Any]:
        """Identifies the content: files with sizes and times, or a hash."""
        record: dict[str, Any] = {}
        files = []
        for path in self.files:
            with reading(path):
                status = os.stat(path)
            files.append(
                {
                    "path": os.path.abspath(path),
                    "size": status.st_size,
                    "mtime_ns": status.st_mtime_ns,
                }
            )
        known, given = self.hash, self.objects.get("source")
        if known is None and not files and isinstance(given, pa.Table):
            known = content_hash(given)
        if files:
            record["files"] = files
        if known is not None:
            record["hash"] = known
        elif not files:
            record["name"] = self.name
        if self.parts:
            record["parts"] = list(self.parts)
        if self.query is not None:
            record["query"] = self.query
        return record

    def reading(self, types: Mapping[str, str]) -> Source:
        """The source with columns of text files read as DOUBLE or VARCHAR; others are unchanged."""
        if self.json is not None:
            # Objects and lists cannot be read as another type.
            plain = {
                name: kind
                for name, kind in types.items()
                if self.json.types.get(name) in ("DOUBLE", "BOOLEAN") and kind == "VARCHAR"
            }
            json = replace(self.json, types={**self.json.types, **plain})
            return replace(self, json=json, relation=json.relation())
        if self.csv is None:
            return self
        known = {name: type_ for name, type_ in types.items() if name in self.csv.types}
        changed = replace(self.csv, types={**self.csv.types, **known})
        return self._csv_read(changed)

    def _csv_read(self, csv: CsvFiles) -> Source:
        return replace(self, csv=csv, relation=csv.relation())
