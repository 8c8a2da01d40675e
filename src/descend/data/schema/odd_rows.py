"""Rows of a table that are none of its rows: totals, and repeated names of the columns."""

from __future__ import annotations

from collections.abc import Iterator

from descend.data.reading.sql import quote_name, quote_text
from descend.data.reading.table import Table
from descend.data.schema.column_records import Surveys
from descend.data.schema.offered_commands import query_text
from descend.errors import quoted_cell
from descend.io.units import count_text

_MOST = 0.05
"""Largest share of such cells in a column; what is commoner is a value like others."""
TOTALS = frozenset(
    {"total", "totals", "grand total", "subtotal", "sub-total", "sum", "average", "mean"}
    | {"summe", "gesamt", "gesamtsumme", "insgesamt", "zwischensumme", "mittelwert", "durchschnitt"}
    | {"total général", "sous-total", "somme", "moyenne", "total general", "suma", "promedio"}
    | {"totale", "somma", "media", "totaal", "som", "gemiddelde", "soma", "média", "razem"}
    | {"итого", "всего", "合计", "总计", "小计", "合計", "小計", "총계", "합계"}
)
"""What the last row of a report, or of a group in it, is called, in lower case."""
_LONGEST = max(map(len, TOTALS)) + 2


def odd_rows(table: Table, surveys: Surveys) -> list[str]:
    """A sentence for totals among the rows, and one for repeated names of the columns.

    Args:
        table: that they are in.
        surveys: of its columns.
    """
    said: dict[str, str] = {}
    for name, cell, count in _rare_cells(surveys):
        kind, what = odd_cell(name, cell, count)
        if kind:
            said.setdefault(kind, f"{what} {_leave_out(table, name, cell)}")
    return list(said.values())


def odd_cell(name: str, cell: str, count: int) -> tuple[str, str]:
    """`totals` or `names` and a sentence, if rows with a cell may be none; else empty texts.

    Args:
        name: of the column.
        cell: its text.
        count: how many rows have it.
    """
    if cell.strip(" :").lower() in TOTALS:
        kind, what = "totals", "may be totals of other rows"
        what = "may be a total of other rows" if count == 1 else what
    elif cell.strip() == name.strip():
        kind, what = "names", f"{'repeats' if count == 1 else 'repeat'} the names of the columns"
    else:
        return "", ""
    rows = f"{count_text(count, 'row')} with {quoted_cell(cell)} in the column {name!r}"
    return kind, f"{rows} {what}."


def _rare_cells(surveys: Surveys) -> Iterator[tuple[str, str, int]]:
    """`(column, cell, count)` of the rare texts, also of those that are no number in a column."""
    for name, typed in surveys.typed.items():
        survey = surveys.values.get(name)
        strays = typed.strays
        if strays is not None and strays.count <= _MOST * surveys.training:
            yield name, strays.example, strays.count
        elif survey is not None:
            for text, count in survey.texts:
                if count <= _MOST * survey.seen and len(text) <= max(_LONGEST, len(name) + 2):
                    yield name, text, count


def _leave_out(table: Table, name: str, cell: str) -> str:
    condition = f"WHERE {quote_name(name)}::VARCHAR IS DISTINCT FROM {quote_text(cell)}"
    return f"Leave such rows out{query_text(table, '*', condition)}"
