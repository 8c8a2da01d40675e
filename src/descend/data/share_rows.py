"""Share the encoded rows of a table out among processes: each keeps a part, none the whole."""

from __future__ import annotations

import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.reading.errors import reading
from descend.data.reading.sharing import Sharing
from descend.data.reading.table import Table
from descend.data.rows.budget import Budget
from descend.data.rows.layout import Layout
from descend.data.rows.shared_store import SharedStore
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.rows.store_header import batch_of, leaves_of
from descend.data.schema.columns import ClassificationTarget, Schema
from descend.data.split import is_validation
from descend.errors import LONGEST_CELL, DataError, printable
from descend.settings import Settings
from descend.types import Batch

SAMPLE_SEED = 11
"""Added to the seed of a run for the sample of its training rows."""
SAMPLE_ROWS = 20_000
"""Training rows that every process knows, for bins and for the assessment of the model."""
_VALIDATION_SEED = 13
SAMPLED_BLOCKS = 64
"""Blocks of all files together, at most, by which their content is compared; one of each file."""
BLOCK_BYTES = 1 << 16


def sampled_rows(rows: int, seed: int, most: int = SAMPLE_ROWS) -> npt.NDArray[np.int64]:
    """The numbers of at most `most` training rows, rising; a random sample of more."""
    return _random_rows(rows, most, (seed, SAMPLE_SEED))


def _random_rows(rows: int, most: int, seed: tuple[int, int]) -> npt.NDArray[np.int64]:
    if rows <= most:
        return np.arange(rows, dtype=np.int64)
    chosen = np.random.default_rng(seed).choice(rows, most, replace=False)
    return np.sort(chosen).astype(np.int64)


def is_shared(
    table: Table, settings: Settings, sharing: Sharing, budget: Budget, layout: Layout | None
) -> bool:
    """Whether a table is read in shares: as a run did before, as asked, or where it is large."""
    if layout is not None:
        return layout.processes > 0
    if settings.share_rows != "auto":
        return settings.share_rows == "yes"
    # What is free differs between hosts, and the answer must not.
    return any(same_everywhere(sharing, table.encoded_bytes() > budget.table))


def same_everywhere(sharing: Sharing, own: Any) -> list[Any]:
    """What each process has to say, as JSON holds it, in the order of the processes."""
    return [json.loads(one) for one in sharing.gather(json.dumps(own).encode())]


def joint_budget(budget: Budget, sharing: Sharing) -> Budget:
    """The budget that every process can keep to."""
    found = same_everywhere(sharing, asdict(budget))
    return Budget(**{name: min(one[name] for one in found) for name in found[0]})


def shared_otherwise(before: int, now: int) -> str:
    """What is told where a run goes on with its rows shared out among another number."""
    return (
        f"The rows of the run were shared out among {before} processes, and are now among "
        f"{max(1, now)}: it goes on from the same update, and its bytes will differ."
    )


def check_same_files(fingerprint: Mapping[str, Any], sharing: Sharing) -> None:
    """Raise DataError if the processes see different data under the same name."""
    other = _first_other(sharing, [_content(one) for one in fingerprint.values()])
    if other is not None:
        raise DataError(
            f"Process {other} sees other data than process 0 under the same name: the files differ "
            "in size, content, order or columns. Each reads its share of one table, so all must "
            "see the same files."
        )


def _first_other(sharing: Sharing, own: Any) -> int | None:
    """The first process that has to say something else than process 0; None: there is none."""
    found = same_everywhere(sharing, own)
    return next((place for place, one in enumerate(found) if one != found[0]), None)


def _content(record: Mapping[str, Any]) -> Any:
    """The parts of a fingerprint that are the same on every host, and a sample of the content."""
    files = record.get("files", ())
    blocks = max(1, SAMPLED_BLOCKS // max(1, len(files)))
    found = [[file["size"], _sampled_bytes(file["path"], file["size"], blocks)] for file in files]
    return [record["columns"], found, record.get("hash"), record.get("query")]


def _sampled_bytes(path: str, size: int, blocks: int) -> int:
    """A checksum of both ends of a file and of blocks between them, evenly spread.

    All bytes would take each process as long as to read the whole table.
    """
    found = 0
    with reading(path), open(path, "rb") as file:
        for start in np.linspace(0, max(0, size - BLOCK_BYTES), blocks + 1).astype(int).tolist():
            file.seek(start)
            found = zlib.crc32(file.read(BLOCK_BYTES), found)
    return found


def check_same_schema(schema: Schema, sharing: Sharing) -> None:
    """Raise DataError if the processes have learned different things from the same columns.

    Each encodes its share of the rows by what it has learned.
    """
    known = json.dumps(schema.as_json(), sort_keys=True, default=str)
    other = _first_other(sharing, zlib.crc32(known.encode()))
    if other is not None:
        raise DataError(
            f"Process {other} has learned something else from the columns than process 0. Start "
            "all of them in the same way, with the same files, versions and variables of the "
            "environment."
        )


def own_counts(
    encoder: Encoder, table: Table, validation: Table | None, settings: Settings
) -> dict[str, int]:
    """The training and the validation rows among those that this process reads."""
    counts = {"training": 0, "validation": 0}
    for rows in encoder.target_rows(table):
        held_out = 0
        if validation is None:
            assert isinstance(settings.validation, float)
            held_out = int(is_validation(rows, settings.validation, settings.seed).sum())
        counts["validation"] += held_out
        counts["training"] += len(rows) - held_out
    if validation is not None:
        counts["validation"] = _known_rows(encoder, validation)
    return counts


def _known_rows(encoder: Encoder, validation: Table) -> int:
    """How many rows of a table this process validates on: those of a class that training had."""
    return sum(map(len, encoder.target_rows(validation, UnseenValues(encoder.schema))))


def with_known_classes(schema: Schema, validation: Table | None, sharing: Sharing | None) -> Schema:
    """The schema without the rows of the validation table whose class training did not have.

    They cannot be predicted, so they are left out of the validation rows, as `evaluate` does.

    Raises:
        DataError: no row is left.
    """
    if validation is None or not isinstance(schema.target, ClassificationTarget):
        return schema
    own = _known_rows(Encoder(schema), validation)
    known = own if sharing is None else sum(same_everywhere(sharing, own))
    if known == 0:
        labels = ", ".join(printable(label, LONGEST_CELL) for label in schema.target.labels[:5])
        raise DataError(
            f"{validation.name} (the validation rows): no row has a class of the training rows "
            f"({labels}{', ...' if len(schema.target.labels) > 5 else ''}) in the target "
            f"{schema.target.names[0]!r}. Give rows whose classes are written as in training."
        )
    return replace(schema, rows=replace(schema.rows, validation=known))


def largest_counts(own: Mapping[str, int], sharing: Sharing) -> dict[str, int]:
    """The most training rows that a process has, and the validation rows of all together."""
    found = same_everywhere(sharing, dict(own))
    return {
        "training": max(one["training"] for one in found),
        "validation": sum(one["validation"] for one in found),
    }


def join_stores(
    training: RowStore,
    validation: RowStore,
    row_bytes: int,
    sharing: Sharing,
    budget: Budget,
    seed: int,
) -> tuple[SharedStore, MemoryStore]:
    """The stores of a run from those of one part; every process calls it.

    Args:
        training: training rows of this process.
        validation: validation rows of this process.
        row_bytes: bytes of a row.
        sharing: with the other processes.
        budget: the same in all of them.
        seed: of the samples.

    Returns:
        The training rows, and the validation rows of all processes: all of them if they fit in
        what the budget has for them, else a random sample.
    """
    sums = _weights_of(training)
    found = same_everywhere(sharing, [len(training), len(validation), *sums])
    sizes = tuple(one[0] for one in found)
    total, weighted = (
        math.fsum(column) for column in zip(*(one[2:] for one in found), strict=True)
    )
    sample = _collect(training, sampled_rows(sum(sizes), seed), sizes, sharing)
    store = SharedStore(training, sharing.index, sizes, sample, total / max(1.0, weighted) or 1.0)
    held_out = tuple(one[1] for one in found)
    most = max(1, budget.validation // row_bytes)
    rows = _random_rows(sum(held_out), most, (seed, _VALIDATION_SEED))
    return store, _collect(validation, rows, held_out, sharing)


def _weights_of(store: RowStore) -> list[float]:
    """The sum of the weights, and how many are not 0."""
    if isinstance(store, MemoryStore):
        return [float(np.sum(store.weight, dtype=np.float64)), int(np.count_nonzero(store.weight))]
    # Rows of weight 0 are not encoded.
    return [store.mean_weight * len(store), len(store)]


def _collect(
    own: RowStore, rows: npt.NDArray[np.int64], sizes: Sequence[int], sharing: Sharing
) -> MemoryStore:
    """Rows of all processes by their numbers in the whole, in every process."""
    first = sum(sizes[: sharing.index])
    mine = rows[(rows >= first) & (rows < first + len(own))] - first
    return MemoryStore.from_batches(
        [_batch_of(one) for one in sharing.gather(_bytes_of(own.gather(mine)))]
    )


def _bytes_of(batch: Batch) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **leaves_of(batch))
    return stream.getvalue()


def _batch_of(content: bytes) -> Batch:
    with np.load(io.BytesIO(content), allow_pickle=False) as found:
        return batch_of({name: found[name] for name in found.files})
