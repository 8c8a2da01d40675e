"""From a table to the rows that training and validation read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from descend.data.columns import Schema
from descend.data.encoder import EncodedRows, Encoder
from descend.data.schema import learn_schema
from descend.data.split import is_validation
from descend.data.store import MemoryStore, RowStore
from descend.data.table import Table, open_table
from descend.settings import Settings
from descend.types import Batch


@dataclass(frozen=True)
class Prepared:
    """A table made ready for training.

    Attributes:
        schema: what was learned from the training rows.
        encoder: turns rows into numbers.
        training: the rows to learn from.
        validation: the rows that judge.
        fingerprint: what tells this data from another.
    """

    schema: Schema
    encoder: Encoder
    training: RowStore
    validation: RowStore
    fingerprint: dict[str, Any]


def prepare(data: Any, settings: Settings, *, schema: Schema | None = None) -> Prepared:
    """Open a table, learn its schema and convert its rows once.

    Args:
        data: whatever `open_table` takes.
        settings: the target, the split and the columns to leave out.
        schema: what was learned before, for a run that goes on; learned anew where None.

    Raises:
        DataError: the table cannot be read or learned from.
    """
    table = open_table(data, memory=settings.memory)
    validation = None
    if isinstance(settings.validation, str):
        validation = open_table(settings.validation, memory=settings.memory)
    schema = schema or learn_schema(table, settings, validation=validation)
    encoder = Encoder(schema)
    fingerprint: dict[str, Any] = {"data": table.fingerprint()}
    if validation is None:
        training, judging = _split(encoder, table, settings)
    else:
        training = _loaded(encoder, table)
        judging = _loaded(encoder, validation)
        fingerprint["validation"] = validation.fingerprint()
    return Prepared(schema, encoder, training, judging, fingerprint)


def _split(
    encoder: Encoder, table: Table, settings: Settings
) -> tuple[MemoryStore, MemoryStore]:
    """One pass over the table; each row goes where the seed says."""
    assert not isinstance(settings.validation, str)
    training: list[Batch] = []
    judging: list[Batch] = []
    for part in encoder.encode(table, target=True):
        judges = is_validation(part.row, settings.validation, settings.seed)
        training.append(_chosen(part, ~judges))
        judging.append(_chosen(part, judges))
    return MemoryStore.from_batches(training), MemoryStore.from_batches(judging)


def _loaded(encoder: Encoder, table: Table) -> MemoryStore:
    return MemoryStore.from_batches(part.batch for part in encoder.encode(table, target=True))


def _chosen(part: EncodedRows, which: np.ndarray) -> Batch:
    batch = part.batch
    return Batch(
        {name: values[which] for name, values in batch.x.items()},
        batch.y[which],
        batch.weight[which],
    )
