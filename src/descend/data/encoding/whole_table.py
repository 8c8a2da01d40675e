"""A whole table as rows in memory: further rows that a model is measured on."""

from __future__ import annotations

from typing import Any

from descend.data.encoding.encoder import Encoder
from descend.data.reading.open_table import open_table
from descend.data.reading.options import reading_options
from descend.data.rows.budget import keep_to
from descend.data.rows.store import MemoryStore
from descend.errors import DataError
from descend.settings import Settings


def encode_whole(encoder: Encoder, data: Any, what: str, settings: Settings) -> MemoryStore:
    """The rows of a table that have a target, encoded as in training.

    Args:
        encoder: of the training rows.
        data: whatever `open_table` takes.
        what: the table's name in messages.
        settings: how text files are written, and the memory.

    Raises:
        DataError: a column is missing or has values that training did not know as a target, or
            no row is left.
    """
    budget = keep_to(settings.memory)
    table = open_table(data, memory=budget.reading, options=reading_options(settings))
    try:
        parts = [part.batch for part in encoder.encode(table, target=True)]
    except DataError as error:
        raise DataError(f"{what}: {error}") from error
    if not parts:
        raise DataError(f"{what} has no rows with a target.")
    return MemoryStore.joined([MemoryStore(part.x, part.y, part.weight) for part in parts])
