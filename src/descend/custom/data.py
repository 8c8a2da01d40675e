"""Rows for a model that is not ours: arrays of any shape, chunks of them, or a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import descend
from descend.custom.chunks import Chunks
from descend.data.encoding.encoder import Encoder
from descend.data.prepare import placed, prepare, write_rows
from descend.data.rows.budget import divide
from descend.data.rows.layout import Layout, decide_layout
from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.spool import Spool
from descend.data.rows.store import RowStore
from descend.data.rows.store_cache import Say, default_folder, kept_store, store_folder
from descend.data.schema.columns import ClassificationTarget, Target
from descend.data.schema.describe import describe
from descend.settings import Settings


class CustomRows(NamedTuple):
    """The rows of a run.

    Attributes:
        training: to learn from.
        validation: to judge by.
        single: whether x is one array, which the model gets bare, and not a mapping.
        fingerprint: what tells this data from another.
        layout: where the rows stand and in which order a run goes through them.
        columns: what each array or column is, a line for each.
        labels: the least and the largest target, where targets are whole numbers `[B]`.
        encoder: of a table, else None.
    """

    training: RowStore
    validation: RowStore
    single: bool
    fingerprint: dict[str, Any]
    layout: Layout
    columns: list[dict[str, Any]]
    labels: tuple[int, int] | None
    encoder: Encoder | None = None


def custom_rows(
    data: Any, settings: Settings, validation: Any, *, layout: Layout | None, say: Say
) -> CustomRows:
    """The rows that a user gives for a model of their own.

    Args:
        data: `X`, which then is its own target; `(X, y)` or `(X, y, weight)` with arrays or
            mappings of arrays for X; an iterator of such tuples, which are written to a row
            store on disk when they are more than memory may hold; or a table.
        settings: seed, memory, store, and for a table its options.
        validation: a fraction, or rows of the same kind.
        layout: what was decided before, for a run that goes on.
        say: told where rows are kept.

    Raises:
        DataError: arrays that do not fit each other, or too few rows.
    """
    if is_table(data):
        prepared = prepare(data, settings.replace(validation=validation), layout=layout, say=say)
        return CustomRows(
            prepared.training,
            prepared.validation,
            False,
            prepared.fingerprint,
            prepared.layout,
            [dataclasses.asdict(line) for line in describe(prepared.schema)],
            _codes(prepared.schema.target),
            prepared.encoder,
        )
    chunked = isinstance(data, Iterator)
    budget = divide(settings.memory)
    if layout is not None:
        most = 0 if layout.stored else None
    elif settings.store is not None:
        most = 0
    else:
        most = budget.table if chunked else None
    kept_in = Path(settings.store) if settings.store is not None else default_folder()
    with Spool(kept_in) as spool:
        chunks = Chunks(validation, settings.seed, spool, most)
        for chunk in data if chunked else [data]:
            chunks.add(chunk)
        chunks.check()
        if spool.rows:
            stored = _stored(chunks, kept_in, settings, say)
            layout = layout or decide_layout(*chunks.counts, chunks.row_bytes, budget, stored=True)
            training, judging = placed(stored, layout, budget)
        else:
            layout = layout or Layout(stored=False)
            training, judging = chunks.in_memory()
    return CustomRows(
        training,
        judging,
        chunks.single,
        chunks.fingerprint(),
        layout,
        chunks.columns(),
        chunks.labels,
    )


def _stored(
    chunks: Chunks, kept_in: Path, settings: Settings, say: Say
) -> tuple[MappedStore, MappedStore]:
    """The row store of rows that stand on disk; one of the same rows is used again."""
    training, judging = chunks.counts
    key = {
        "fingerprint": chunks.fingerprint(),
        "options": {"validation": [training, judging], "seed": settings.seed},
        "descend": descend.__version__,
    }
    folder = store_folder(kept_in, "chunks", key)
    budget = divide(settings.memory)

    def write() -> None:
        parts = chunks.spooled(budget.encoded_rows(chunks.row_bytes))
        counts = {"training": training, "validation": judging}
        write_rows(folder, parts, key, counts, settings, budget)

    return kept_store(folder, key, write, say)


def _codes(target: Target) -> tuple[int, int] | None:
    return (0, len(target.labels) - 1) if isinstance(target, ClassificationTarget) else None


def is_table(data: Any) -> bool:
    """Whether data has columns, and is neither arrays nor chunks of them."""
    of_jax = type(data).__module__.split(".")[0] in ("jax", "jaxlib")
    return not (of_jax or isinstance(data, np.ndarray | tuple | Mapping | Iterator))
