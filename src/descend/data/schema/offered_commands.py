"""Commands and queries that a message about a table offers, as they are typed."""

from __future__ import annotations

import dataclasses
import os

from descend.data.reading.sql import quote_text
from descend.data.reading.table import Table
from descend.data.schema.roles import target_names
from descend.errors import argument_text, command_text, option_text
from descend.settings import GivenRows, Settings

_OTHER_ROWS = ("target", "validation", "store")
"""Options that the command has anew, and those that belong to the rows of the run."""
_TYPED = {"\t": "tab", " ": "space"}
"""How a delimiter is typed that a terminal does not show."""


def hold_out_text(
    table: Table, settings: Settings, rows: tuple[str, str], which: tuple[str, str]
) -> str:
    """`hold out all rows of a tenth of them:  descend train ...`, to end a sentence with.

    Args:
        table: of which some rows are to be held out.
        settings: of the run; what differs from the defaults is typed again.
        rows: what follows the table's name in the queries of the rows to learn from, and of those
            to hold out; empty where no query can tell them.
        which: rows these are, in words; and more vaguely, for a table that is no file, of which no
            query can be told.
    """
    exactly, vaguely = which
    if not os.path.exists(table.name) or not all(rows):
        return f"hold out {vaguely}: {option_text('validation', 'FILE')}."
    learned, held = (f"SELECT * FROM {quote_text(table.name)} {one}" for one in rows)
    command = command_text(
        "train", learned, target=_target(table, settings), validation=held, **_given(settings)
    )
    return f"hold out {exactly}:  {command}"


def _target(table: Table, settings: Settings) -> str | list[str]:
    """The target as an option has it."""
    names = list(target_names(table, settings))
    return names if len(names) > 1 or "," in names[0] else names[0]


def _given(settings: Settings) -> dict[str, object]:
    """The options that differ from the defaults, besides those of the rows."""
    given: dict[str, object] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if field.name not in _OTHER_ROWS and value != field.default:
            value = list(value) if isinstance(value, tuple) else value
            assert not isinstance(value, GivenRows)
            given[field.name] = _TYPED.get(value, value) if isinstance(value, str) else value
    return given


def query_text(table: Table, selected: str, condition: str = "") -> str:
    """The end of a sentence, with a query over the file where the table is one.

    Args:
        table: that the query reads.
        selected: what stands after SELECT.
        condition: what stands after the name of the table.
    """
    if not os.path.exists(table.name):
        return "."
    query = f"SELECT {selected} FROM {quote_text(table.name)} {condition}".rstrip()
    return f", for instance with the query  {argument_text(query)}"
