"""Names, strings and paths as they stand in SQL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

RESERVED = "\x1f"
"""What every column name of our own begins with; `check_names` refuses it in the user's names."""

_MAGIC = re.compile(r"([\[*?])")


def quote_name(name: str) -> str:
    """A column name as SQL."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A string as SQL."""
    return "'" + text.replace("'", "''") + "'"


def text_list(texts: Sequence[str]) -> str:
    """Strings as an SQL list."""
    return "[" + ", ".join(quote_text(text) for text in texts) + "]"


def path_list(paths: Sequence[str]) -> str:
    """Paths as an SQL list, each read as itself: `*`, `?` and `[` in a name match themselves."""
    return text_list([escaped_path(path) for path in paths])


NAN_OPTION = "can_have_nan"
"""Parquet's least and greatest values leave NaN out; without this DuckDB skips it by them."""


def parquet_sql(paths: str, *options: str) -> str:
    """SQL of the rows of Parquet files.

    Args:
        paths: SQL of their names.
        options: of DuckDB's `read_parquet`, as SQL.
    """
    return f"read_parquet({', '.join([paths, *options, f'{NAN_OPTION} = true'])})"


def escaped_path(path: str) -> str:
    """A path as a pattern that it alone matches."""
    return _MAGIC.sub(r"[\1]", path)


def with_value(value: str, expression: Callable[[str], str]) -> str:
    """An SQL expression of a value that is computed once and may stand in it many times.

    DuckDB plans for seconds where a long text is repeated in each of many columns.
    """
    name = "each_value"
    while name in value:  # Inside another such expression, which may be used in this one too.
        name += "_"
    return f"list_transform([{value}], lambda {name}: {expression(name)})[1]"
