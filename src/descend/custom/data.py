"""Rows for a custom model: arrays of any shape, chunks of them, or a table."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import descend
from descend.custom.arrays import TargetFacts, UserBatch, facts_of, join_facts
from descend.custom.chunks import Chunks, in_types_of
from descend.custom.class_weights import weights_of_classes
from descend.custom.share_arrays import Share, cut, is_shared
from descend.custom.sources import chunks_of, is_arrays, is_table, read_whole
from descend.custom.trees import Form, are_alike, check_columns
from descend.data.encoding.encoder import Encoder
from descend.data.encoding.whole_table import encode_whole
from descend.data.prepare import load_or_map, prepare, write_rows
from descend.data.rows.budget import keep_to
from descend.data.rows.layout import Layout, decide_layout
from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.spool import Spool
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.rows.store_cache import Say, folder_of_stores, open_cached_store, store_folder
from descend.data.schema.columns import ClassificationTarget, Target
from descend.data.schema.describe import describe
from descend.data.share_rows import join_stores, joint_budget, shared_otherwise
from descend.errors import DataError
from descend.settings import Settings
from descend.training.processes.messages import sharing_with_others

DISK_PART = 0.5
"""Share of the free disk for the rows of an iterator; an endless one would fill the disk."""


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

    @property
    def sampled(self) -> RowStore:
        """Training rows drawn from all of them: all, if this process has them."""
        return self.training.sample if isinstance(self.training, SharedStore) else self.training


def custom_rows(
    data: Any,
    settings: Settings,
    validation: Any,
    *,
    layout: Layout | None,
    say: Say,
    class_weight: Any = None,
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
        class_weight: as `weights_of_classes` takes it.

    Raises:
        DataError: arrays that do not fit each other, or too few rows.
    """
    sharing = sharing_with_others()
    weighted = weights_of_classes(class_weight, data, settings.target)
    if is_table(data):
        prepared = prepare(
            data,
            settings.replace(validation=validation),
            layout=layout,
            say=say,
            sharing=sharing,
        )
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
    chunked = not is_arrays(data)
    budget = keep_to(settings.memory)
    share = None
    if sharing is not None:
        budget = joint_budget(budget, sharing)
    if sharing is not None and is_shared(data, settings, sharing, budget, layout):
        data, first, rows = cut(data, settings, sharing)
        share = Share(first, rows, sharing)
    elif layout is not None and layout.processes:
        # The checksum is that over blocks of rows, as it was when they were shared out.
        share = Share(0, len(read_whole(data, settings.target).batch.weight), None)
    count = 0 if share is None or sharing is None else sharing.count
    if layout is not None and layout.processes != count:
        say(shared_otherwise(layout.processes, count))
        layout = None if count else dataclasses.replace(layout, processes=0)
    if layout is not None:
        most = 0 if layout.stored else None
    elif settings.store is not None:
        most = 0
    else:
        most = budget.table if chunked else None
    kept_in = folder_of_stores(settings.store)
    with Spool(kept_in) as spool:
        disk = _disk_limit(kept_in) if chunked else None
        fraction = isinstance(validation, int | float)
        validation_rows = (
            validation if fraction else weighted(_validation_rows(validation, settings))
        )
        chunks = Chunks(validation_rows, settings.seed, spool, most, disk, share, weighted)
        for chunk in chunks_of(data, settings.target):
            chunks.add(chunk)
        chunks.check()
        chunks.meet()
        if layout is None:
            layout = Layout(stored=False)
            if settings.store is not None or spool.rows:
                counts = chunks.most_counts()
                layout = decide_layout(*counts, chunks.row_bytes, budget, stored=True)
            layout = dataclasses.replace(layout, processes=count)
        if layout.stored:
            written = _store_rows(chunks, kept_in, settings, say, share)
            training, held_out = load_or_map(written, layout, budget)
        else:
            training, held_out = chunks.in_memory()
        if count and sharing is not None:
            training, held_out = join_stores(
                training, held_out, chunks.row_bytes, sharing, budget, settings.seed
            )
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


def further_rows(
    sets: Mapping[str, Any], rows: CustomRows, settings: Settings
) -> dict[str, MemoryStore]:
    """Further validation rows by name, held in memory.

    Args:
        sets: rows of the same kind as the training rows.
        rows: those of the run.
        settings: the target of a table.

    Raises:
        DataError: rows of another form.
    """
    found = {}
    for name, data in sets.items():
        if rows.encoder is not None:
            found[name] = encode_whole(rows.encoder, data, f"validation_sets[{name!r}]", settings)
        else:
            what = f"validation_sets[{name!r}]"
            try:
                read = read_whole(data, settings.target)
            except DataError as error:
                raise DataError(f"{what}: {error}") from error
            assert rows.inputs is not None
            assert rows.targets is not None
            pairs = ((read.inputs, rows.inputs), (read.targets, rows.targets))
            if not all(are_alike(found, expected) for found, expected in pairs):
                raise DataError(
                    f"Expected {what} in the form of the training rows, with the arrays in the "
                    "same mappings, lists or tuples."
                )
            for form, expected in pairs:
                check_columns(form, expected, what)
            first = rows.training.gather(np.arange(1))
            batch = in_types_of(first, read.batch, f"{what} like the training rows")
            found[name] = MemoryStore(batch.x, batch.y, batch.weight)
    return found


def with_facts_of(rows: CustomRows, store: MemoryStore) -> CustomRows:
    """The rows with the labels and the range of their targets as they are with further ones."""
    if rows.encoder is not None:
        return rows  # A table has classes by name, and further ones are refused.
    facts = {}
    for name, known in rows.facts.items():
        values = store.y if name == "y" else store.x[name]
        joined = join_facts(known, facts_of(values))
        facts[name] = known._replace(labels=joined.labels, range=joined.range)
    return rows._replace(facts=facts)


def _validation_rows(validation: Any, settings: Settings) -> UserBatch:
    """Rows that were given for validation."""
    try:
        return read_whole(validation, settings.target)
    except DataError as error:
        raise DataError(f"validation: {error}") from error


def _disk_limit(folder: Path) -> float:
    """Largest number of bytes that the rows of an iterator may take on disk."""
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return DISK_PART * shutil.disk_usage(folder).free


def _store_rows(
    chunks: Chunks, kept_in: Path, settings: Settings, say: Say, share: Share | None
) -> tuple[MappedStore, MappedStore]:
    """The row store for rows spooled to disk; an existing store of the same rows is reused."""
    training, held_out = chunks.counts
    key = {
        "fingerprint": chunks.fingerprint(),
        "options": {"validation": [training, held_out], "seed": settings.seed},
        "descend": descend.__version__,
        **({} if share is None else {"share": [share.first, share.rows]}),
    }
    folder = store_folder(kept_in, "chunks", key)
    budget = keep_to(settings.memory)

    def write() -> None:
        parts = chunks.spooled(budget.encoded_rows(chunks.row_bytes))
        counts = {"training": training, "validation": held_out}
        write_rows(folder, parts, key, counts, settings, budget)

    return open_cached_store(folder, key, write, say)


def _facts(target: Target) -> TargetFacts:
    if isinstance(target, ClassificationTarget):
        return TargetFacts((0, len(target.labels) - 1))
    return TargetFacts()
