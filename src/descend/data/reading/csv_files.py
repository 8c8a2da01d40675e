"""CSV files: their dialect and column types, and the SQL with which DuckDB reads them.

DuckDB's own detection is not used: it skips leading lines that do not fit, renames repeated
columns and decides date formats from the first rows, each silently.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pyarrow as pa

from descend.data.reading.csv_delimiter import SPACES
from descend.data.reading.csv_dialect import Dialect, find_dialect
from descend.data.reading.csv_text import read_head
from descend.data.reading.csv_wide import THOUSANDS, CellsFound, wide_first_cells
from descend.data.reading.errors import check_names, closest
from descend.data.reading.missing import NULLS, missing_sql
from descend.data.reading.number_text import PLAIN, code_sql, inexact_sql
from descend.data.reading.options import ReadingOptions
from descend.data.reading.spool import Spool
from descend.data.reading.sql import path_list, quote_name, quote_text
from descend.data.reading.text_files import tabbed_file
from descend.errors import DataError

SAMPLE_ROWS = 20_480
SAMPLE_VALUES = 2_000_000
_HEAD = {"parallel": "false", "buffer_size": str(8 << 20)}
"""DuckDB's options for reading only the first rows: other threads would read further ones."""


@dataclass(frozen=True)
class CsvFiles:
    """CSV files with the same columns, and their dialects.

    Attributes:
        paths: in the order in which they are read.
        dialects: of each file; their columns may be in different orders.
        types: DuckDB type of each column: DOUBLE or VARCHAR.
        words: the texts for missing (`NULLS`) among the cells of a column in the first rows.
        whole: columns of numbers without a decimal point in the first rows.
        longer: whether there are rows beyond those that the types were found from.
        filled: whether a cell of the first rows is known to hold a value.
        order: of the column names; empty: that of the first file.
    """

    paths: tuple[str, ...]
    dialects: tuple[Dialect, ...]
    types: Mapping[str, str]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    whole: frozenset[str] = frozenset()
    longer: bool = False
    filled: bool = False
    order: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column names in the order of the table, which is that of the first file."""
        return self.order or self.dialects[0].names

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user, each with the file it is about."""
        return tuple(
            f"{path}: {note}"
            for path, dialect in zip(self.paths, self.dialects, strict=True)
            for note in dialect.notes
        )

    def relation(self, *, first: int | None = None) -> str:
        """The SQL relation with all rows, or the first ones."""
        if first is not None:
            return f"(SELECT * FROM {self._relation(_HEAD)} LIMIT {first})"
        return self._relation({})

    def _relation(self, options: Mapping[str, str]) -> str:
        groups = self._groups()
        parts = [self._read(paths, dialect, options) for dialect, paths in groups]
        if len(parts) == 1 and groups[0][0].names == self.names:
            return parts[0]
        columns = ", ".join(quote_name(name) for name in self.names)
        return "(" + " UNION ALL ".join(f"SELECT {columns} FROM {part}" for part in parts) + ")"

    def _groups(self) -> list[tuple[Dialect, list[str]]]:
        """Consecutive files with the same dialect."""
        groups: list[tuple[Dialect, list[str]]] = []
        for path, dialect in zip(self.paths, self.dialects, strict=True):
            plain = replace(dialect, notes=())
            if not groups or groups[-1][0] != plain:
                groups.append((plain, []))
            groups[-1][1].append(path)
        return groups

    def _read(self, paths: Sequence[str], dialect: Dialect, more_options: Mapping[str, str]) -> str:
        names = dialect.names
        # DuckDB takes texts for missing per file, not per column; a class named NA is not missing.
        numbers = [name for name in names if self.types[name] != "VARCHAR"]
        made = [name for name in numbers if self.longer or self.words.get(name)]
        read_as = {**self.types, **dict.fromkeys(made, "VARCHAR")}
        columns = ", ".join(f"{quote_text(n)}: {quote_text(read_as[n])}" for n in names)
        options = {
            "auto_detect": "false",
            "header": str(dialect.header).lower(),
            "skip": str(dialect.skip),
            "delim": quote_text(dialect.delimiter),
            "quote": quote_text(dialect.quote),
            "escape": quote_text(dialect.escape),
            "nullstr": "''",
            "columns": "{" + columns + "}",
            **more_options,
        }
        if dialect.long_lines:
            options["max_line_size"] = str(dialect.long_lines)
            options["buffer_size"] = str(2 * dialect.long_lines)
        listed = ", ".join(f"{key} = {value}" for key, value in options.items())
        read = f"read_csv({path_list(paths)}, {listed})"
        if not made:
            return read
        values = ", ".join(self._number(name) for name in made)
        return f"(SELECT * REPLACE ({values}) FROM {read})"

    def typed_sql(self, name: str) -> str:
        """SQL of a column whose cells are read as text, with the type of the column."""
        return quote_name(name) if self.types[name] == "VARCHAR" else self._number(name)

    def _number(self, name: str) -> str:
        """SQL of a column of numbers that has marks of missing values, or cells not looked at."""
        column = text = quote_name(name)
        if self.words.get(name):
            missing = missing_sql(column, self.words[name], marks=False)
            text = f"CASE WHEN NOT {missing} THEN {column} END"
        if not self.longer:
            return f"CAST({text} AS {self.types[name]}) AS {column}"
        # DuckDB takes 007 for 7. What a code does to a column is for `text_types` to say, and
        # whether 1.234 after whole numbers has a point between thousands.
        said = quote_text(f'converting column "{name}". Could not convert string ')
        code = f"({code_sql(text)} OR {inexact_sql(text)})"
        if name in self.whole:
            grouped = f"regexp_full_match({text}, {quote_text(THOUSANDS)})"
            code = f"({code} OR contains({text}, '.') AND {grouped})"
        number = f"CASE WHEN NOT {code} THEN try_cast({text} AS {self.types[name]}) END"
        refused = f"CASE WHEN {text} IS NOT NULL THEN error(concat({said}, {text})) END"
        return f"coalesce({number}, {refused}) AS {column}"


def find_csv(
    paths: Sequence[str],
    run: Callable[[str], pa.Table],
    options: ReadingOptions,
    spool: Spool,
) -> CsvFiles:
    """Detect the dialects and column types of files from their first rows.

    Args:
        paths: at least one.
        run: runs SQL and returns a pyarrow Table.
        options: what the user says about the dialect.
        spool: for temporary copies.

    Raises:
        DataError: a file is empty, not text, has no usable header, or other columns than the first.
    """
    paths = list(paths)
    texts = [read_head(path) for path in paths]
    dialects, given = [], options
    for place, (path, text) in enumerate(zip(paths, texts, strict=True)):
        dialect = find_dialect(path, text, options)
        if dialect.delimiter == SPACES:
            paths[place] = tabbed_file(path, spool)
            tabbed = replace(options, delimiter="\t")
            dialect = find_dialect(path, read_head(paths[place]), tabbed)
            options = replace(options, delimiter=SPACES)
        else:
            options = replace(options, delimiter=dialect.delimiter)
        dialects.append(dialect)
    for path, dialect in zip(paths, dialects, strict=True):
        _check_header(path, dialect)
        _check_same_delimiter(paths[0], dialects[0], path, dialect, given)
        check_same_columns(paths[0], dialects[0].names, path, dialect.names)
    text_columns = dict.fromkeys(dialects[0].names, "VARCHAR")
    files = CsvFiles(tuple(paths), tuple(dialects), text_columns)
    found = wide_first_cells(files.paths, files.dialects, _sample_rows(len(files.names)))
    surveyed, longer = found or (None, _is_longer(files, run))
    types, words, whole = _find_types(files, run, surveyed)
    filled = bool(surveyed)
    return replace(files, types=types, words=words, whole=whole, longer=longer, filled=filled)


def _sample_rows(columns: int) -> int:
    """The first rows that types are found from."""
    return max(100, min(SAMPLE_ROWS, SAMPLE_VALUES // columns))


def _is_longer(files: CsvFiles, run: Callable[[str], pa.Table]) -> bool:
    rows = _sample_rows(len(files.names))
    counted = run(f"SELECT count(*) AS n FROM {files.relation(first=rows + 1)}")
    return bool(counted.to_pylist()[0]["n"] > rows)


def _check_header(path: str, dialect: Dialect) -> None:
    try:
        check_names(path, dialect.names)
    except DataError as error:
        if not dialect.notes:
            raise
        raise DataError(f"{error} {' '.join(dialect.notes)}") from None


def for_query(files: CsvFiles, run: Callable[[str], pa.Table]) -> CsvFiles:
    """Files with the column types for a user's query: as for a path, with integers and dates.

    SQL such as year(day) or n // 10 needs them. The first rows decide, and a code in any row.
    """
    texts = replace(files, types=dict.fromkeys(files.types, "VARCHAR"))
    types = _query_types(files, texts, run)
    numbers = [name for name, type_ in types.items() if type_ in ("DOUBLE", *_WHOLE)]
    if files.longer and numbers:
        columns = ", ".join(f'{quote_name(one)} AS "{place}"' for place, one in enumerate(numbers))
        found = run(
            f"""
            SELECT place, bool_or({code_sql("value")}) AS code
            FROM (UNPIVOT (SELECT {columns} FROM {texts.relation()})
                ON COLUMNS(*) INTO NAME place VALUE value)
            WHERE ({code_sql("value")} OR regexp_full_match(value, {quote_text(_BEYOND_BIGINT)}))
                AND try_cast(value AS DOUBLE) IS NOT NULL
            GROUP BY place
            """
        )
        for row in found.to_pylist():
            name = numbers[int(row["place"])]
            if row["code"]:
                types[name] = "VARCHAR"
            elif types[name] in _WHOLE:
                types[name] = "HUGEINT"
    return replace(files, types=types, longer=False)


_WHOLE = ("BIGINT", "HUGEINT")
_BEYOND_BIGINT = r"\s*[-+]?[1-9]\d{18,}\s*"


def _query_types(
    files: CsvFiles, texts: CsvFiles, run: Callable[[str], pa.Table]
) -> dict[str, str]:
    """What the first rows hold."""
    names = [name for name, type_ in files.types.items() if type_ in ("DOUBLE", "VARCHAR")]
    types = dict(files.types)
    if not names:
        return types
    columns = ", ".join(f'{quote_name(name)} AS "{place}"' for place, name in enumerate(names))
    rows = _sample_rows(len(files.types))
    whole = r"\s*[-+]?(0|[1-9]\d{0,37})\s*"
    day = r"\d{4}-\d{2}-\d{2}"
    clock = r"[ T]\d{2}:\d{2}(:\d{2}(\.\d+)?)?"
    table = run(
        f"""
        SELECT place, bool_and(regexp_full_match(value, '{whole}')) AS whole,
            max(length(value)) AS longest,
            bool_and(regexp_full_match(value, '{day}') AND try_cast(value AS DATE) IS NOT NULL)
                AS day,
            bool_and(regexp_full_match(value, '{day}{clock}')
                AND try_cast(value AS TIMESTAMP) IS NOT NULL) AS moment,
            bool_and(regexp_full_match(value, '(?i:true|false)')) AS truth
        FROM (UNPIVOT (SELECT {columns} FROM {texts.relation(first=rows)})
            ON COLUMNS(*) INTO NAME place VALUE value)
        WHERE NOT {missing_sql("value", NULLS, marks=False)}
        GROUP BY place
        """
    )
    for row in table.to_pylist():
        name = names[int(row["place"])]
        if row["whole"]:
            types[name] = "BIGINT" if row["longest"] <= 18 else "HUGEINT"
        elif types[name] == "VARCHAR" and (row["day"] or row["moment"]):
            types[name] = "DATE" if row["day"] else "TIMESTAMP"
        elif row["truth"]:
            types[name] = "BOOLEAN"
    return types


def _check_same_delimiter(
    first: str, known: Dialect, other: str, found: Dialect, options: ReadingOptions
) -> None:
    """Raise DataError where a file has the columns of the first one with another delimiter."""
    if len(found.names) > 1 or set(found.names) == set(known.names):
        return
    own = find_dialect(other, read_head(other), options)
    if set(own.names) == set(known.names):
        raise DataError(
            f"{other} has the delimiter {own.delimiter!r}, and {first} has {known.delimiter!r}. "
            "Files that are read together must be written alike."
        )


def check_same_columns(
    first: str, columns: Sequence[str], other: str, found: Sequence[str]
) -> None:
    """Raise DataError unless two files have the same columns, in any order."""
    if set(columns) == set(found):
        return
    lacking = [name for name in columns if name not in found]
    if lacking:
        near = closest(lacking[0], [name for name in found if name not in columns])
        raise DataError(
            f"{other} has no column {lacking[0]!r}, which {first} has.{near} "
            "Files that are read together must have the same columns."
        )
    extra = next(name for name in found if name not in columns)
    raise DataError(
        f"{other} has a column {extra!r}, which {first} does not have. "
        "Files that are read together must have the same columns."
    )


def _find_types(
    files: CsvFiles, run: Callable[[str], pa.Table], found: CellsFound | None
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], frozenset[str]]:
    """DOUBLE for each column whose first rows hold plain numbers, VARCHAR for the others.

    Also the texts for missing among those numbers, and the columns without a point. A column that
    is empty in the first rows is read as a whole. What text stands for is decided later, by one
    rule for every source.

    Args:
        files: to read.
        run: runs SQL.
        found: what `_survey` gives for the first rows, where that is known.
    """
    names = files.names
    if found is None:
        found = _survey(names, files.relation(first=_sample_rows(len(names))), run)
    empty = [name for name in names if name not in found]
    if empty:
        found |= _survey(empty, files.relation(), run)
    numbers = {name for name, (number, *_) in found.items() if number}
    words = {name: one for name, (_, one, _) in found.items()}
    whole = frozenset(name for name in numbers if found[name][2])
    return {name: "DOUBLE" if name in numbers else "VARCHAR" for name in names}, words, whole


def _survey(names: Sequence[str], source: str, run: Callable[[str], pa.Table]) -> CellsFound:
    """Whether all values of each column are plain numbers, its texts for missing, and if no points.

    Columns without values are left out.

    Args:
        names: of the columns.
        source: what stands after FROM; every column is text.
        run: runs SQL.
    """
    columns = ", ".join(f'{quote_name(name)} AS "{place}"' for place, name in enumerate(names))
    thousands = quote_text(THOUSANDS)
    # Unpivoted, since DuckDB plans for seconds if each of many columns has its own aggregate.
    # If every point is followed by three digits, it may also be a thousands separator.
    table = run(
        f"""
        SELECT place,
            bool_and(regexp_full_match(value, {quote_text(PLAIN)})) FILTER (NOT missing)
            AND NOT (bool_or(contains(value, '.')) FILTER (NOT missing) AND bool_and(
                NOT contains(value, '.') OR regexp_full_match(value, {thousands})
            ) FILTER (NOT missing)) AS number,
            list(DISTINCT value) FILTER (missing) AS words,
            coalesce(bool_or(contains(value, '.')) FILTER (NOT missing), false) AS pointed
        FROM (
            SELECT place, value, {missing_sql("value", NULLS, marks=False)} AS missing
            FROM (
                UNPIVOT (SELECT {columns} FROM {source}) ON COLUMNS(*) INTO NAME place VALUE value
            )
        )
        GROUP BY place
        """
    )
    return {
        names[int(row["place"])]: (
            row["number"],
            tuple(sorted(row["words"] or ())),
            not row["pointed"],
        )
        for row in table.to_pylist()
        if row["number"] is not None
    }
