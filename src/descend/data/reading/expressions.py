"""SQL that reads a column as a number, as a category, or as a time."""

from __future__ import annotations

from descend.data.reading.sql import quote_text
from descend.data.reading.table_column import TableColumn

TIME = "time"
"""In place of a strptime pattern: times of day."""


def number_sql(column: TableColumn) -> str:
    """DOUBLE, NULL for missing (NaN too) and for text that is no number."""
    if column.type == "text":
        return f"nullif(try_cast({column.sql} AS DOUBLE), 'NaN'::DOUBLE)"
    if column.sql_type in ("DOUBLE", "FLOAT"):
        return f"nullif({column.sql}::DOUBLE, 'NaN'::DOUBLE)"
    return f"CAST({column.sql} AS DOUBLE)"


def category_sql(column: TableColumn) -> str:
    """VARCHAR, NULL for missing (empty text too); whole numbers without a decimal point."""
    if column.sql_type in ("DOUBLE", "FLOAT"):
        # Adding 0 makes one of -0 and 0. What is no number has a sign too.
        text = f"regexp_replace(({column.sql} + 0)::VARCHAR, '\\.0+$', '')"
        return f"CASE WHEN NOT isnan({column.sql}) THEN {text} END"
    if column.type == "number":
        return f"regexp_replace({column.sql}::VARCHAR, '\\.0+$', '')"
    if column.type == "text":
        return f"nullif({column.sql}::VARCHAR, '')"
    return f"{column.sql}::VARCHAR"


def time_sql(column: TableColumn, pattern: str | None) -> str:
    """Microseconds since 1970 (for `TIME` since midnight) as BIGINT; NULL where that fails.

    Args:
        column: of dates, times or text.
        pattern: of text: None for ISO 8601, `TIME` for times of day, or a strptime pattern.
    """
    value = column.sql
    if pattern == TIME:
        clock = f"try_cast({value} AS TIME)"
        return f"epoch_us(DATE '1970-01-01' + {clock})"
    if column.type == "text":
        stamp = iso_sql(value)
        if pattern is not None:
            stamp = f"coalesce(try_strptime({value}, {quote_text(pattern)}), {stamp})"
    else:
        stamp = f"try_cast({value} AS TIMESTAMP)"
    return f"CASE WHEN isfinite({stamp}) THEN epoch_us({stamp}) END"


def iso_sql(value: str) -> str:
    """TIMESTAMP of ISO 8601 text, else NULL.

    DuckDB alone would take 31/01/20 for the year 31; here a year has four digits.
    """
    digits = " AND ".join(f"substr({value}, {place}, 1) BETWEEN '0' AND '9'" for place in (2, 3))
    return f"CASE WHEN {digits} THEN try_cast({value} AS TIMESTAMP) END"


def present_sql(column: TableColumn) -> str:
    """Whether a value is there at all."""
    if column.type == "text":
        return f"nullif({column.sql}::VARCHAR, '') IS NOT NULL"
    if column.sql_type in ("DOUBLE", "FLOAT"):
        return f"({column.sql} IS NOT NULL AND NOT isnan({column.sql}))"
    return f"{column.sql} IS NOT NULL"
