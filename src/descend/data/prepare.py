"""From a table to the rows that training and validation read."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from descend.choices import OWN_SCALE
from descend.data.encoding.encoder import EncodedRows, Encoder
from descend.data.encoding.read_plan import ReadPlan
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.open_table import open_table
from descend.data.reading.options import reading_options
from descend.data.reading.sharing import Sharing
from descend.data.reading.staging import stage
from descend.data.reading.table import Table
from descend.data.reading.table_share import share_of
from descend.data.rows.budget import Budget, keep_to
from descend.data.rows.layout import Layout, decide_layout
from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.prefetch import read_ahead
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.store import Filler, MemoryStore, RowStore
from descend.data.rows.store_cache import (
    Say,
    folder_of_stores,
    open_cached_store,
    store_folder,
    usable_store,
)
from descend.data.rows.write_store import Part, write_store
from descend.data.schema.columns import Schema, schema_from_json
from descend.data.schema.learn import learn_schema
from descend.data.share_rows import (
    check_same_files,
    check_same_schema,
    is_shared,
    join_stores,
    joint_budget,
    largest_counts,
    own_counts,
    same_everywhere,
    shared_otherwise,
    with_known_classes,
)
from descend.data.split import is_validation
from descend.errors import DataError
from descend.settings import IN_MEMORY, GivenRows, Settings
from descend.types import Batch

COUNTS = "unseen counts"
"""What a store calls the counts of values that training did not have, beside the sentences."""
_DECIDES = (
    *("target", "exclude", "categorical", "numeric", "datetime", "missing", "date_order"),
    *("decimal", "weight", "validation", "seed", "delimiter", "header", "skip_lines"),
)
"""The settings that decide what the rows of a store are, beside task and loss."""


@dataclass(frozen=True)
class Prepared:
    """A table made ready for training.

    Attributes:
        schema: what was learned from the training rows.
        encoder: turns rows into numbers.
        training: the rows to learn from.
        validation: the validation rows.
        fingerprint: identifies the data.
        layout: where the rows are stored and in which order a run reads them.
    """

    schema: Schema
    encoder: Encoder
    training: RowStore
    validation: RowStore
    fingerprint: dict[str, Any]
    layout: Layout = field(default=Layout(stored=False))

    @property
    def sampled(self) -> RowStore:
        """Training rows drawn from the whole table: all of them, if this process has them."""
        return self.training.sample if isinstance(self.training, SharedStore) else self.training


def prepare(
    data: Any,
    settings: Settings,
    *,
    schema: Schema | None = None,
    layout: Layout | None = None,
    check: Callable[[dict[str, Any]], None] | None = None,
    say: Say | None = None,
    sharing: Sharing | None = None,
) -> Prepared:
    """Open a table, learn its schema and convert its rows once.

    Rows that fit in memory stay there. Otherwise, or with `settings.store`, they are written to
    a store on disk, which a later run on the same data uses again. Of several processes, each
    reads and keeps a share of the rows if `settings.share_rows` says so.

    Args:
        data: whatever `open_table` takes.
        settings: the target, the split, the columns to leave out, memory and store.
        schema: of the run that is resumed; None learns one.
        layout: of the run that is resumed; None decides.
        check: called with the fingerprint before any row is read.
        say: called with messages, such as where rows are stored.
        sharing: with the other processes that prepare the same table; None: there are none.

    Raises:
        DataError: the table cannot be read or learned from, or the store cannot be written.
    """
    say = say or _ignore
    budget = keep_to(settings.memory)
    options = reading_options(settings)
    table = open_table(data, memory=budget.reading, options=options)
    validation = None
    if not isinstance(settings.validation, float):
        given = settings.validation
        rows_of = given.data if isinstance(given, GivenRows) else given
        validation = open_table(rows_of, memory=budget.reading, options=options)
    for note in (*table.notes, *(validation.notes if validation is not None else ())):
        say(f"Note: {note}")
    fingerprint: dict[str, Any] = {"data": table.fingerprint()}
    if validation is not None:
        fingerprint["validation"] = validation.fingerprint()
    if check is not None:
        check(fingerprint)
    others, is_new = sharing, layout is None
    if others is not None:
        # It decides in which order rows are read, which has to be the same everywhere.
        budget = joint_budget(budget, others)
    if others is not None and is_shared(table, settings, others, budget, layout):
        check_same_files(fingerprint, others)
        beside = _store_of(table.name, fingerprint, settings, others)[0]
        table = share_of(table, others, beside)
        validation = None if validation is None else share_of(validation, others, beside)
        for note in (*table.notes, *(validation.notes if validation is not None else ())):
            say(f"Note: {note}")
    else:
        sharing = None
    count = 0 if sharing is None else sharing.count
    if layout is not None and layout.processes != count:
        say(shared_otherwise(layout.processes, count))
        layout = None
    rows: tuple[RowStore, RowStore]
    folder, key = _store_of(table.name, fingerprint, settings, sharing)
    asked = {"task": settings.task, **_of_loss(settings)}
    if settings.loss == "auto" and len(settings.targets) > 1:
        asked["several"] = "auto"  # Labels keep their scale.
    # A resumed run has resolved settings, which agree with its schema.
    key |= {"asked": asked} if schema is None else {"schema": schema.as_json()}
    kept = usable_store(folder, key)
    if kept is not None and schema is None and "schema" not in kept[0].header.key:
        kept = None
    if kept is not None and not _is_store_used(kept, settings, budget, layout):
        kept = None
    if others is not None and not all(same_everywhere(others, kept is not None)):
        kept = None
    if kept is not None:
        schema = schema or schema_from_json(kept[0].header.key["schema"])
        counts = {part.part: len(part) for part in kept}
        layout = layout or _choose_layout(counts, kept[0].row_bytes, budget, settings, sharing)
        say(f"Rows are read from {folder}, written earlier from the same data.")
        rows = load_or_map(kept, layout, budget)
        known = kept[0].header.key
        sentences = known.get("unseen", ())
        if sharing is not None and validation is not None:
            sentences = _of_all_shares(known.get(COUNTS, {}), schema, validation.name, sharing)
        _say_unseen(sentences, say)
        if sharing is not None:
            check_same_schema(schema, sharing)
            rows = join_stores(*rows, kept[0].row_bytes, sharing, budget, settings.seed)
            _say_shares(rows, schema, say)
        return Prepared(schema, Encoder(schema), *rows, fingerprint, layout)
    with stage(table, settings, memory=budget.reading, store=folder) as text_read:
        if schema is None:
            schema = learn_schema(text_read, settings, validation=validation)
            schema = with_known_classes(schema, validation, sharing)
        encoder = Encoder(schema)
        row_bytes = encoder.row_bytes
        counts = {"training": schema.rows.training, "validation": schema.rows.validation}
        if sharing is not None:
            counts = own_counts(encoder, text_read, validation, settings)
        layout = layout or _choose_layout(counts, row_bytes, budget, settings, sharing)
        if others is not None and sharing is None and is_new and settings.share_rows == "auto":
            beyond = any(same_everywhere(others, layout.windows is not None))
            if beyond:
                # More than the size of the source let expect: no process should keep all of it.
                shared = settings.replace(share_rows="yes")
                return prepare(data, shared, schema=schema, say=say, sharing=others)
        unseen: list[str] = []
        counted: dict[str, Any] = {}
        parts = _parts(encoder, text_read, validation, settings, budget, unseen, counted)
        if not layout.stored:
            rows = in_memory(parts, counts)
        else:
            key = {"asked": asked, **key, "schema": schema.as_json()}
            written = {**key, "unseen": unseen, COUNTS: counted}
            write = functools.partial(write_rows, folder, parts, written, counts, settings, budget)
            stored = open_cached_store(folder, key, write, say)
            unseen = stored[0].header.key.get("unseen", [])
            counted = stored[0].header.key.get(COUNTS, {})
            rows = load_or_map(stored, layout, budget)
    if sharing is not None and validation is not None:
        unseen = _of_all_shares(counted, schema, validation.name, sharing)
    _say_unseen(unseen, say)
    _check_same(table, fingerprint["data"])
    if sharing is not None:
        check_same_schema(schema, sharing)
        rows = join_stores(*rows, row_bytes, sharing, budget, settings.seed)
        _say_shares(rows, schema, say)
    return Prepared(schema, encoder, *rows, fingerprint, layout)


def _check_same(table: Table, before: dict[str, Any]) -> None:
    """Raise DataError if files changed between opening them and reading their last row."""
    if before.get("files") and table.fingerprint() != before:
        raise DataError(
            f"{table.name} changed while it was read. Wait until nothing writes to it, then "
            "start again."
        )


def write_rows(
    folder: Path,
    parts: Iterator[Part],
    key: dict[str, Any],
    counts: dict[str, int],
    settings: Settings,
    budget: Budget,
) -> None:
    """Write the store, while a thread reads and encodes."""
    with closing(read_ahead(parts, lambda part: part, depth=1)) as coming:
        write_store(
            folder,
            coming,
            key=key,
            rows=counts,
            seed=settings.seed,
            bucket_bytes=budget.shuffling,
        )


def _of_all_shares(
    counted: Mapping[str, Any], schema: Schema, name: str, sharing: Sharing
) -> list[str]:
    """What training did not have of the validation rows of all processes; all call this.

    Args:
        counted: in the share of this one, by `UnseenValues.as_json`.
        schema: what was learned.
        name: of the table of validation rows.
        sharing: with the other processes.
    """
    together = UnseenValues(schema)
    for record in same_everywhere(sharing, counted):
        together.add_record(record)
    return _about_validation(name, together)


def _about_validation(name: str, unseen: UnseenValues) -> list[str]:
    return [f"{name} (the validation rows): {sentence}" for sentence in unseen.sentences()]


def _say_unseen(unseen: Iterable[str], say: Say) -> None:
    """Say what the validation rows hold that training did not have."""
    for sentence in unseen:
        say(f"Warning: {sentence}")


def _say_shares(rows: tuple[RowStore, RowStore], schema: Schema, say: Say) -> None:
    training, validation = rows
    assert isinstance(training, SharedStore)
    least, most = min(training.sizes), max(training.sizes)
    say(
        f"The rows are shared out among {len(training.sizes)} processes, {least:,} to {most:,} "
        "training rows each."
    )
    if len(validation) < schema.rows.validation:
        say(
            f"Of {schema.rows.validation:,} validation rows a random {len(validation):,} are used, "
            "as many as fit in the memory of a process."
        )


def _choose_layout(
    counts: dict[str, int],
    row_bytes: int,
    budget: Budget,
    settings: Settings,
    sharing: Sharing | None,
) -> Layout:
    """The layout of a table, the same in every process that shares it."""
    if sharing is not None:
        counts = largest_counts(counts, sharing)
    stored = settings.store is not None
    layout = decide_layout(
        counts["training"], counts["validation"], row_bytes, budget, stored=stored
    )
    return layout if sharing is None else replace(layout, processes=sharing.count)


def _store_of(
    name: str, fingerprint: dict[str, Any], settings: Settings, sharing: Sharing | None
) -> tuple[Path, dict[str, Any]]:
    """The folder and the key of the store of a table, or of the share of one process."""
    from descend import __version__

    known = settings.as_json() | {"validation": settings.validation}
    if isinstance(settings.validation, GivenRows):
        known["validation"] = IN_MEMORY
    options = {option: known[option] for option in _DECIDES}
    sources = {part: _source(record) for part, record in fingerprint.items()}
    kept_in = folder_of_stores(settings.store)
    share = {} if sharing is None else {"share": [sharing.index, sharing.count]}
    identity = {"sources": sources, "options": options, **_of_loss(settings), **share}
    folder = store_folder(kept_in, name, identity)
    key: dict[str, Any] = {
        "fingerprint": fingerprint,
        "options": options,
        "descend": __version__,
        **share,
    }
    if not all({"files", "hash"} & record.keys() for record in fingerprint.values()):
        # Data from the network may change unnoticed, so such a store serves one run only.
        key["read at"] = datetime.now(UTC).isoformat()
    return folder, key


def _of_loss(settings: Settings) -> dict[str, Any]:
    """What the loss has to do with the rows: the scale of the target, and what is known of it."""
    found: dict[str, Any] = {"poisson": settings.loss == "poisson"}
    if settings.loss in OWN_SCALE and not found["poisson"]:
        found["scale"] = settings.loss
    return found | ({"quantiles": list(settings.quantiles)} if settings.quantiles else {})


def _source(record: dict[str, Any]) -> Any:
    """The parts of a fingerprint that stay when the content of the files changes."""
    files = [file["path"] for file in record.get("files", ())]
    return [files, record.get("query"), record.get("hash"), record.get("name")]


def _is_store_used(
    kept: tuple[MappedStore, MappedStore],
    settings: Settings,
    budget: Budget,
    layout: Layout | None,
) -> bool:
    """Whether an existing store is used; a table that fits in memory is read from its source.

    So the order of rows does not depend on stores that other runs have left behind.
    """
    if layout is not None:
        return layout.stored
    return settings.store is not None or kept[0].header.bytes > budget.table


def load_or_map(
    stored: tuple[MappedStore, MappedStore], layout: Layout, budget: Budget
) -> tuple[RowStore, RowStore]:
    """The rows of a store, loaded into memory if the layout says so or they are few."""
    training, validation = stored
    if layout.windows is None:
        return training.resident(), validation.resident()
    few = len(validation) * validation.row_bytes <= budget.validation
    return training.in_windows(layout.windows), validation.resident() if few else validation


def in_memory(parts: Iterator[Part], counts: dict[str, int]) -> tuple[MemoryStore, MemoryStore]:
    """The rows as arrays, each copied once."""
    fillers = {part: Filler(rows) for part, rows in counts.items()}
    for part, batch in parts:
        fillers[part].add(batch)
    return fillers["training"].store(), fillers["validation"].store()


def _parts(
    encoder: Encoder,
    table: Table,
    validation: Table | None,
    settings: Settings,
    budget: Budget,
    unseen: list[str],
    counted: dict[str, Any],
) -> Iterator[Part]:
    """One pass over the table, which divides its rows into training and validation.

    At its end, `unseen` holds sentences on what training did not have in a table of validation
    rows, and `counted` the counts.
    """
    # Of processes that share a table every one plans, even if its rows are in a store already.
    plan = encoder.plan(table, target=True)
    other = None if validation is None else encoder.plan(validation, target=True)
    return _planned_parts(encoder, plan, other, settings, budget, unseen, counted)


def _planned_parts(
    encoder: Encoder,
    plan: ReadPlan,
    other: ReadPlan | None,
    settings: Settings,
    budget: Budget,
    sentences: list[str],
    counted: dict[str, Any],
) -> Iterator[Part]:
    encode = functools.partial(
        encoder.encode,
        target=True,
        rows=budget.encoded_rows(encoder.row_bytes),
        most_bytes=budget.batch_bytes,
    )
    for part in encode(plan.table, plan=plan):
        if other is not None:
            yield "training", part.batch
            continue
        assert isinstance(settings.validation, float)
        held_out = is_validation(part.row, settings.validation, settings.seed)
        yield "training", _select_rows(part, np.flatnonzero(~held_out))
        yield "validation", _select_rows(part, np.flatnonzero(held_out))
    if other is not None:
        unseen = UnseenValues(encoder.schema)
        for part in encode(other.table, plan=other, unseen=unseen):
            yield "validation", part.batch
        sentences += _about_validation(other.table.name, unseen)
        counted |= unseen.as_json()
    # A share may have no row of a part, and even so its arrays have shapes.
    yield "training", encoder.no_rows()
    yield "validation", encoder.no_rows()


def _select_rows(part: EncodedRows, which: np.ndarray) -> Batch:
    batch = part.batch
    return Batch(
        {name: np.take(values, which, axis=0) for name, values in batch.x.items()},
        np.take(batch.y, which, axis=0),
        np.take(batch.weight, which),
    )


def _ignore(text: str) -> None: ...
