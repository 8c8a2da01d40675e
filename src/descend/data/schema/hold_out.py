"""The command that holds out other rows than random ones."""

from __future__ import annotations

import os
from collections.abc import Sequence

from descend.data.reading.sql import quote_text
from descend.data.reading.table import Table
from descend.errors import command_text, option_text


def hold_out_text(
    table: Table, targets: Sequence[str], rows: tuple[str, str], which: tuple[str, str]
) -> str:
    """`hold out all rows of a tenth of them:  descend train ...`, to end a sentence with.

    Args:
        table: of which some rows are to be held out.
        targets: names of the target columns.
        rows: what follows the table's name in the queries of the rows to learn from, and of those
            to hold out.
        which: rows these are, in words; and more vaguely, for a table that is no file, of which no
            query can be told.
    """
    exactly, vaguely = which
    if not os.path.exists(table.name):
        return f"hold out {vaguely}: {option_text('validation', 'FILE')}."
    learned, held = (f"SELECT * FROM {quote_text(table.name)} {one}" for one in rows)
    target = list(targets) if len(targets) > 1 or "," in targets[0] else targets[0]
    return f"hold out {exactly}:  {command_text('train', learned, target=target, validation=held)}"
