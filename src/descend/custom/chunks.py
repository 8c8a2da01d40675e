"""Chunks of rows as a user's iterator gives them: in memory up to a bound, beyond it on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from descend.data.prepare import in_memory
from descend.data.rows.spool import Spool
from descend.data.rows.store import MemoryStore
from descend.data.rows.store_header import Group, groups_of, leaves_of
from descend.data.rows.write_store import Part
from descend.data.split import is_validation
from descend.errors import DataError
from descend.types import Batch

Range = tuple[int, int]


@final
class Chunks:
    """Chunks as they come: in memory up to a bound, beyond it on disk.

    Attributes:
        single: whether x is one array, and not a mapping.
        labels: the least and the largest target, where targets are whole numbers `[B]`.

    Args:
        validation: a fraction of the rows, or rows of their own.
        seed: of the split.
        spool: for rows that are more than the bound.
        most: bytes that may be held; None sets no bound.
    """

    def __init__(self, validation: Any, seed: int, spool: Spool, most: int | None) -> None:
        self._fraction = validation if isinstance(validation, int | float) else None
        self._judges = None if self._fraction is not None else read_batch(validation)
        self._seed = seed
        self._spool = spool
        self._most = most
        self._held: list[Batch] = []
        self._bytes = 0
        self._digest = _Digest()
        self._first: Batch | None = None
        self._rows = self._judging = 0
        self.single = True
        self.labels = _labels(self._judges) if self._judges is not None else None

    def add(self, chunk: Any) -> None:
        """One more chunk."""
        batch = read_batch(chunk)
        if self._first is None:
            self._first = Batch(*_some(batch, slice(0)))
            self.single = not isinstance(_taken_apart(chunk)[0], Mapping)
        _check_alike(self._first, batch)
        self._digest.add(batch)
        self.labels = _wider(self.labels, _labels(batch))
        self._judging += int(self._which(self._rows, len(batch.weight)).sum())
        self._rows += len(batch.weight)
        self._bytes += sum(values.nbytes for values in leaves_of(batch).values())
        self._held.append(batch)
        if self._most is not None and self._bytes > self._most:
            for one in self._held:
                self._spool.add(one)
            self._held.clear()

    def check(self) -> None:
        """Raise DataError where there is nothing to learn from or to judge by."""
        if self._first is None:
            raise DataError("The iterator gave no chunk; expected (X, y) at least once.")
        if self._judges is not None:
            _check_alike(self._first, self._judges)
        if min(self.counts) == 0:
            raise DataError(
                f"validation={self._fraction} of {self._rows} rows leaves none to learn from or to "
                "judge by; give another fraction, or rows of their own."
            )

    @property
    def counts(self) -> tuple[int, int]:
        """Rows to learn from, and to judge by."""
        judging = self._judging if self._judges is None else len(self._judges.weight)
        return self._rows - self._judging, judging

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        assert self._first is not None
        return sum(group.row_bytes for group in groups_of(self._first))

    def fingerprint(self) -> dict[str, Any]:
        """What tells these rows from others, however they were cut into chunks."""
        found: dict[str, Any] = {"data": {"hash": self._digest.text()}}
        if self._judges is not None:
            digest = _Digest()
            digest.add(self._judges)
            found["validation"] = {"hash": digest.text()}
        return found

    def columns(self) -> list[dict[str, Any]]:
        """A line for each array."""
        assert self._first is not None
        return [
            {
                "name": group.name,
                "type": f"{group.dtype} {list(group.shape)}",
                "becomes": {"y": "target", "weight": "weight"}.get(group.name, "input"),
                "values": "",
                "missing": 0,
                "distinct": None,
                "remark": "",
            }
            for group in groups_of(self._first)
        ]

    def in_memory(self) -> tuple[MemoryStore, MemoryStore]:
        """The rows as arrays."""
        training, validation = self.counts
        return in_memory(
            self._split(self._given_up()), {"training": training, "validation": validation}
        )

    def spooled(self, rows: int) -> Iterator[Part]:
        """The rows on disk, each with the part it belongs to."""
        return self._split(self._spool.read(rows))

    def _split(self, batches: Iterator[Batch]) -> Iterator[Part]:
        start = 0
        for batch in batches:
            judges = self._which(start, len(batch.weight))
            start += len(batch.weight)
            if self._judges is not None:
                yield "training", batch
                continue
            yield "training", _some(batch, ~judges)
            yield "validation", _some(batch, judges)
        if self._judges is not None:
            yield "validation", self._judges

    def _given_up(self) -> Iterator[Batch]:
        """The batches in memory, each let go when the next is asked for."""
        while self._held:
            yield self._held.pop(0)

    def _which(self, start: int, count: int) -> NDArray[np.bool_]:
        """Which of some rows judge: the same rows as those of a table."""
        if self._fraction is None:
            return np.zeros(count, bool)
        return is_validation(np.arange(start, start + count), self._fraction, self._seed)


@final
class _Digest:
    """A checksum over rows, the same however they are cut into chunks."""

    def __init__(self) -> None:
        self._arrays: dict[str, Any] = {}
        self._kinds: list[str] = []

    def add(self, batch: Batch) -> None:
        """Some more rows."""
        for name, values in leaves_of(batch).items():
            if name not in self._arrays:
                self._arrays[name] = hashlib.blake2b(digest_size=16)
                self._kinds.append(f"{name} {values.dtype}{values.shape[1:]}")
            self._arrays[name].update(np.ascontiguousarray(values).data)

    def text(self) -> str:
        """Of all rows so far."""
        whole = hashlib.blake2b(" ".join(self._kinds).encode(), digest_size=16)
        for one in self._arrays.values():
            whole.update(one.digest())
        return whole.hexdigest()


def read_batch(data: Any) -> Batch:
    """`X`, `(X, y)` or `(X, y, weight)` as JAX computes with it.

    Raises:
        DataError: the arrays do not fit each other, or hold no finite numbers.
    """
    X, y, weight = _taken_apart(data)
    x = {name: _plain(values) for name, values in _mapping(X).items()}
    rows = len(next(iter(x.values())))
    y = x["x"] if y is X and "x" in x else _plain(y)
    weight = np.ones(rows, np.float32) if weight is None else np.asarray(weight, np.float32)
    lengths = {name: len(values) for name, values in {**x, "y": y, "weight": weight}.items()}
    if len(set(lengths.values())) > 1 or rows == 0:
        raise DataError(f"Expected arrays of as many rows, at least one, found {lengths}.")
    for name, values in {**x, "y": y, "weight": weight}.items():
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise DataError(f"{name} has values that are not finite; replace or leave them out.")
    if weight.ndim != 1 or weight.min() < 0 or weight.max() == 0:
        raise DataError("Expected a weight for each row, 0 or more and not all of them 0.")
    return Batch(x, y, weight)


def _taken_apart(data: Any) -> tuple[Any, Any, Any]:
    if not isinstance(data, tuple):
        return data, data, None
    if len(data) not in (2, 3):
        raise DataError(f"Expected (X, y) or (X, y, weight), found {len(data)} parts.")
    return data if len(data) == 3 else (*data, None)


def _mapping(X: Any) -> Mapping[str, Any]:
    if not isinstance(X, Mapping):
        return {"x": X}
    for name in X:
        # A row store has a file for each, beside those of y and weight.
        if not isinstance(name, str) or not name.isidentifier() or name in ("y", "weight"):
            raise DataError(f"Inputs are named by words other than y and weight; found {name!r}.")
    if not X:
        raise DataError("Expected at least one input, found an empty mapping.")
    return X


def _plain(values: Any) -> NDArray[Any]:
    """As JAX computes with it; small integers such as pixels stay small."""
    array = np.asarray(values)
    if array.dtype.kind not in "fiub" or array.ndim == 0:
        raise DataError(f"Expected arrays of numbers, rows first; found {array.dtype}.")
    if array.dtype == np.float64:
        return array.astype(np.float32)
    return array.astype(np.int32) if array.dtype.itemsize == 8 else array


def _labels(batch: Batch) -> Range | None:
    """The least and the largest of whole numbers `[B]`, which may name classes."""
    if batch.y.ndim != 1 or batch.y.dtype.kind not in "iub":
        return None
    return int(batch.y.min()), int(batch.y.max())


def _wider(one: Range | None, other: Range | None) -> Range | None:
    if one is None or other is None:
        return one or other
    return min(one[0], other[0]), max(one[1], other[1])


def _check_alike(first: Batch, batch: Batch) -> None:
    expected, found = groups_of(first), groups_of(batch)
    if expected != found:
        raise DataError(
            f"Expected chunks that are alike, {_shapes(expected)}; found one with {_shapes(found)}."
        )


def _shapes(groups: Sequence[Group]) -> str:
    return ", ".join(f"{one.name} {one.dtype} {list(one.shape)}" for one in groups)


def _some(batch: Batch, which: Any) -> Batch:
    x = {name: values[which] for name, values in batch.x.items()}
    return Batch(x, batch.y[which], batch.weight[which])
