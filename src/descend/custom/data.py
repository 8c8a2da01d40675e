"""Rows for a custom model: arrays of any shape, chunks of them, or a table."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import descend
from descend.custom.arrays import TargetFacts
from descend.custom.chunks import DISK_PART, Chunks
from descend.custom.trees import Form
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
from descend.errors import DataError
from descend.settings import Settings


class CustomRows(NamedTuple):
    """The rows of a run.

    Attributes:
        training: rows to learn from.
        validation: rows of the validation loss.
        inputs: how the inputs hang together; None for a table, whose rows are a mapping.
        targets: how the targets do; None for a table.
        fingerprint: what tells this data from another.
        layout: where the rows stand and in which order a run goes through them.
        columns: what each array or column is, a line for each.
        facts: of each array of targets, by name.
        encoder: of a table, else None.
    """

    training: RowStore
    validation: RowStore
    inputs: Form | None
    targets: Form | None
    fingerprint: dict[str, Any]
    layout: Layout
    columns: list[dict[str, Any]]
    facts: Mapping[str, TargetFacts]
    encoder: Encoder | None = None


def custom_rows(
    data: Any, settings: Settings, validation: Any, *, layout: Layout | None, say: Say
) -> CustomRows:
    """The rows that a user gives for a model of their own.

    Args:
        data: `X`, which then is its own target; `(X, y)` or `(X, y, weight)` with arrays or
            trees of arrays for X and y; an iterator of such tuples, or an iterable such as a
            data loader, which are written to a row store on disk when they are more than memory
            may hold; or a table.
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
            None,
            None,
            prepared.fingerprint,
            prepared.layout,
            [dataclasses.asdict(line) for line in describe(prepared.schema)],
            {"y": _facts(prepared.schema.target)},
            encoder=prepared.encoder,
        )
    chunked = not _is_arrays(data)
    budget = divide(settings.memory)
    if layout is not None:
        most = 0 if layout.stored else None
    elif settings.store is not None:
        most = 0
    else:
        most = budget.table if chunked else None
    kept_in = Path(settings.store) if settings.store is not None else default_folder()
    with Spool(kept_in) as spool:
        disk = _disk_limit(kept_in) if chunked else None
        chunks = Chunks(validation, settings.seed, spool, most, disk, say)
        for chunk in _chunks_of(data) if chunked else [data]:
            chunks.add(chunk)
        chunks.check()
        if spool.rows:
            stored = _stored(chunks, kept_in, settings, say)
            layout = layout or decide_layout(*chunks.counts, chunks.row_bytes, budget, stored=True)
            training, held_out = placed(stored, layout, budget)
        else:
            layout = layout or Layout(stored=False)
            training, held_out = chunks.in_memory()
    return CustomRows(
        training,
        held_out,
        chunks.inputs,
        chunks.targets,
        chunks.fingerprint(),
        layout,
        chunks.columns(),
        chunks.facts,
    )


def _chunks_of(data: Any) -> Iterator[Any]:
    """The chunks of an iterator or of what can be gone through: a data loader, a sequence."""
    if hasattr(data, "__iter__"):
        chunks = iter(data)
    elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        chunks = (data[number] for number in range(len(data)))
    else:
        raise DataError(
            "Expected arrays (X, y), a table, or an iterator of (X, y); found "
            f"{type(data).__name__}."
            + (" Call it: data=generator(), not data=generator." if callable(data) else "")
        )
    for chunk in chunks:
        # A data loader gives its pairs as lists.
        yield tuple(chunk) if isinstance(chunk, list) and len(chunk) in (2, 3) else chunk


def _disk_limit(folder: Path) -> float:
    """Bytes that the rows of an iterator may take on disk."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return DISK_PART * shutil.disk_usage(folder).free


def _stored(
    chunks: Chunks, kept_in: Path, settings: Settings, say: Say
) -> tuple[MappedStore, MappedStore]:
    """The row store of rows that stand on disk; one of the same rows is used again."""
    training, held_out = chunks.counts
    key = {
        "fingerprint": chunks.fingerprint(),
        "options": {"validation": [training, held_out], "seed": settings.seed},
        "descend": descend.__version__,
    }
    folder = store_folder(kept_in, "chunks", key)
    budget = divide(settings.memory)

    def write() -> None:
        parts = chunks.spooled(budget.encoded_rows(chunks.row_bytes))
        counts = {"training": training, "validation": held_out}
        write_rows(folder, parts, key, counts, settings, budget)

    return kept_store(folder, key, write, say)


def _facts(target: Target) -> TargetFacts:
    if isinstance(target, ClassificationTarget):
        return TargetFacts((0, len(target.labels) - 1))
    return TargetFacts()


def is_table(data: Any) -> bool:
    """Whether data has columns, and is neither arrays nor chunks of them."""
    if isinstance(data, str | Path):
        return True
    return type(data).__module__.split(".")[0] in ("pandas", "polars", "pyarrow", "duckdb")


def _is_arrays(data: Any) -> bool:
    """Whether data is arrays: `X`, `(X, y)` or a mapping, and not chunks of them."""
    if isinstance(data, list):
        if len(data) in (2, 3) and all(len(getattr(part, "shape", ())) > 0 for part in data):
            raise DataError("Expected (X, y) as a tuple, found a list: give data=(X, y).")
        return not (data and isinstance(data[0], tuple))
    return isinstance(data, np.ndarray | tuple | Mapping) or hasattr(data, "__array__")
