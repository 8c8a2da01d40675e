"""Row stores on disk for tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from descend.data.rows.mapped_store import MappedStore, open_store
from descend.data.rows.store import MemoryStore, RowStore
from descend.data.rows.write_store import Part, write_store
from descend.settings import Settings
from descend.training.losses import LOSSES
from descend.training.network.models import Inputs, mlp
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.types import Batch

KEY = {"made": "by a test"}


def parts_of(
    training: MemoryStore, validation: MemoryStore | None = None, size: int = 100
) -> Iterator[Part]:
    """Rows as an encoder gives them, a few at a time."""
    for part, store in (("training", training), ("validation", validation or training)):
        for start in range(0, len(store), size):
            rows = np.arange(start, min(len(store), start + size))
            yield part, store.gather(rows)


def written(
    folder: Path,
    training: MemoryStore,
    validation: MemoryStore | None = None,
    *,
    seed: int = 0,
    bucket_bytes: int = 1 << 24,
) -> tuple[MappedStore, MappedStore]:
    """A store of these rows, opened."""
    rows = {"training": len(training), "validation": len(validation or training)}
    parts = parts_of(training, validation)
    write_store(folder, parts, key=KEY, rows=rows, seed=seed, bucket_bytes=bucket_bytes)
    return open_store(folder)


def problem_of(store: RowStore, validation: MemoryStore, *, l2: float = 0.0) -> Problem:
    """A small network on a table of `validation`'s columns, categories up to 9 included."""
    columns = validation.x["numeric"].shape[1], (9,) * validation.x["category"].shape[1]
    network = mlp(Inputs(*columns), [0.0], (4,))
    return Problem(
        store=store,
        validation=validation,
        init=network.init,
        apply=network.apply,
        per_example=LOSSES["squared_error"].per_example,
        optimizer=make_optimizer(Settings("y", optimizer="momentum")),
        l2=l2,
    )


def in_file_order(store: MappedStore) -> MemoryStore:
    """The same rows in memory, numbered alike."""
    batch = store.gather(np.arange(len(store)))
    return MemoryStore(*batch)


def sorted_rows(batch: Batch) -> list[tuple[float, ...]]:
    """The content of rows, in an order that does not depend on theirs."""
    leaves = [*batch.x.values(), batch.y, batch.weight]
    columns = [np.asarray(leaf).reshape(len(batch.weight), -1) for leaf in leaves]
    return sorted(map(tuple, np.concatenate(columns, axis=1).tolist()))
