"""Collect chunks of rows from a user's iterator: in memory up to a limit, then on disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from descend.custom.arrays import (
    WEIGHTS,
    TargetFacts,
    UserBatch,
    facts_of,
    join_facts,
    read_batch,
)
from descend.custom.class_weights import WeightRows
from descend.custom.digests import BlockDigest, Digest
from descend.custom.endless import EndlessWatch
from descend.custom.share_arrays import Share, own_share
from descend.custom.sources import NO_ROWS
from descend.custom.trees import TARGET, Form, are_alike, check_columns
from descend.data.prepare import in_memory
from descend.data.reading.sharing import Sharing
from descend.data.rows.spool import Spool
from descend.data.rows.store import MemoryStore
from descend.data.rows.store_header import Group, groups_of, leaves_of
from descend.data.rows.write_store import Part
from descend.data.share_rows import same_everywhere
from descend.data.split import is_validation
from descend.errors import DataError
from descend.types import Batch


@final
class Chunks:
    """Collects chunks in memory up to a limit, then on disk.

    Attributes:
        inputs: structure of the inputs.
        targets: structure of the targets.
        facts: of each array of targets, by name.

    Args:
        validation: a fraction of the rows, or separate rows, read.
        seed: of the split.
        spool: for rows beyond the limit.
        most: bytes that may be held in memory; None: any number.
        disk: bytes that the rows of an iterator may take on disk; None for other data.
        share: where the rows are a range of arrays that several processes share out, else None.
        weighted: gives rows the weights of their classes.
    """

    inputs: Form
    targets: Form

    def __init__(
        self,
        validation: Any,
        seed: int,
        spool: Spool,
        most: int | None,
        disk: float | None = None,
        share: Share | None = None,
        weighted: WeightRows = lambda rows: rows,
    ) -> None:
        self._weighted = weighted
        self._share = share
        self._before = 0 if share is None else share.first
        self._fraction = validation if isinstance(validation, int | float) else None
        if self._fraction is not None and not 0 < self._fraction < 1:
            raise DataError(
                "validation must be a fraction between 0 and 1, or rows (X, y), which may be those "
                f"that are trained on; found {validation!r}."
            )
        given = None if self._fraction is not None else validation
        self._given: UserBatch | None = given
        self._validation = None if given is None else given.batch
        self._seed = seed
        self._spool = spool
        self._most = most
        self._held: list[Batch] = []
        self._bytes = 0
        self._digest = Digest() if share is None else BlockDigest(share)
        self._first: Batch | None = None
        self._rows = self._held_out = 0
        self._counts_any = False
        self._watch = None if disk is None else EndlessWatch(disk)
        self.facts: dict[str, TargetFacts] = {}
        if self._validation is not None:
            self._note_targets(self._validation)

    def add(self, chunk: Any) -> None:
        """Add a chunk."""
        read = read_batch(chunk, chunk=True)
        batch = read.batch
        if not len(batch.weight):
            return
        if self._first is None:
            self._first = Batch(*_some(batch, slice(0)))
            self.inputs, self.targets = read.inputs, read.targets
        self._check_form(read, "all chunks")
        batch = self._weighted(read).batch
        batch = in_types_of(self._first, batch)
        if self._watch is not None:
            self._watch.look_at(batch)
        self._digest.add(batch)
        self._note_targets(batch)
        self._counts_any = self._counts_any or bool(batch.weight.any())
        start = self._before + self._rows
        self._held_out += int(self._which(start, len(batch.weight)).sum())
        self._rows += len(batch.weight)
        self._bytes += sum(values.nbytes for values in leaves_of(batch).values())
        self._held.append(batch)
        if self._most is not None and self._bytes > self._most:
            for one in self._held:
                self._spool.add(one)
            self._held.clear()

    def _check_form(self, read: UserBatch, what: str) -> None:
        pairs = ((read.inputs, self.inputs), (read.targets, self.targets))
        if not all(are_alike(found, expected) for found, expected in pairs):
            raise DataError(
                "Expected inputs and targets of one form in all chunks; found "
                f"{read.inputs.structure} after {self.inputs.structure}."
            )
        for found, expected in pairs:
            check_columns(found, expected, what)

    def _note_targets(self, batch: Batch) -> None:
        for name, values in leaves_of(batch).items():
            if _role(name) == "target":
                found = facts_of(values)
                before = self.facts.get(name)
                self.facts[name] = found if before is None else join_facts(before, found)

    def check(self) -> None:
        """Raise DataError if the training rows or the validation rows are missing."""
        if self._first is None:
            raise DataError(NO_ROWS if self._watch is not None else "Expected at least one row.")
        counts: Sequence[bool] = [self._counts_any]
        if self._sharing is not None:
            counts = same_everywhere(self._sharing, self._counts_any)
        if not any(counts):
            raise DataError(WEIGHTS)
        if self._given is not None:
            self._check_form(self._given, "validation")
            self._validation = in_types_of(
                self._first, self._given.batch, "validation rows like those of training"
            )
        if min(self._totals()) == 0:
            rows = self._rows if self._share is None else self._share.rows
            raise DataError(
                f"validation={self._fraction} of {rows} rows leaves none to train on or to "
                "validate on; give another fraction, or validation rows."
            )

    @property
    def counts(self) -> tuple[int, int]:
        """The numbers of training and validation rows, of this process where it has a share."""
        if self._validation is None:
            return self._rows - self._held_out, self._held_out
        return self._rows, len(self._own_validation().weight)

    def most_counts(self) -> tuple[int, int]:
        """The most training rows that a process has, and the validation rows of all together."""
        if self._sharing is None:
            return self.counts
        found = same_everywhere(self._sharing, list(self.counts))
        return max(one[0] for one in found), sum(one[1] for one in found)

    def _totals(self) -> tuple[int, int]:
        """The numbers of training and validation rows of all processes."""
        if self._sharing is None:
            return self.counts
        found = same_everywhere(self._sharing, list(self.counts))
        return sum(one[0] for one in found), sum(one[1] for one in found)

    def _own_validation(self) -> Batch:
        """The rows given for validation, or the share of this process of them."""
        given: Batch | None = self._validation
        assert given is not None
        return given if self._sharing is None else own_share(given, self._sharing)

    def meet(self) -> None:
        """Learn from the other processes what there is in their shares; each calls it, once."""
        if self._sharing is None:
            return
        own = {name: list(facts) for name, facts in self.facts.items()}
        for found in same_everywhere(self._sharing, own):
            for name, (labels, one_hot, span, binary) in found.items():
                facts = TargetFacts(labels and tuple(labels), one_hot, span and tuple(span), binary)
                self.facts[name] = join_facts(self.facts[name], facts)

    @property
    def _sharing(self) -> Sharing | None:
        return None if self._share is None else self._share.sharing

    @property
    def row_bytes(self) -> int:
        """Bytes of one row."""
        assert self._first is not None
        return sum(group.row_bytes for group in groups_of(self._first))

    def fingerprint(self) -> dict[str, Any]:
        """A fingerprint of the rows that does not depend on how they were divided into chunks."""
        found: dict[str, Any] = {"data": {"hash": self._digest.text()}}
        if self._validation is not None:
            digest = Digest()
            digest.add(self._validation)
            found["validation"] = {"hash": digest.text()}
        return found

    def columns(self) -> list[dict[str, Any]]:
        """One description per array."""
        assert self._first is not None
        return [
            {
                "name": group.name,
                "type": f"{group.dtype} {list(group.shape)}",
                "becomes": _role(group.name),
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
        start = self._before
        for batch in batches:
            held_out = self._which(start, len(batch.weight))
            start += len(batch.weight)
            if self._validation is not None:
                yield "training", batch
                continue
            yield "training", _some(batch, ~held_out)
            yield "validation", _some(batch, held_out)
        if self._validation is not None:
            yield "validation", self._own_validation()
        assert self._first is not None
        # A share may have no row of a part, and even so its arrays have shapes.
        yield "training", self._first
        yield "validation", self._first

    def _given_up(self) -> Iterator[Batch]:
        """The batches in memory, each released when the next is requested."""
        while self._held:
            yield self._held.pop(0)

    def _which(self, start: int, count: int) -> NDArray[np.bool_]:
        """Mask of the rows that are held out, by the rule that tables use."""
        if self._fraction is None:
            return np.zeros(count, bool)
        return is_validation(np.arange(start, start + count), self._fraction, self._seed)


def _role(name: str) -> str:
    if name == "y" or name.startswith(TARGET):
        return "target"
    return "weight" if name == "weight" else "input"


def in_types_of(first: Batch, batch: Batch, what: str = "chunks that are alike") -> Batch:
    """Rows in the types of the first ones, which hold them as exactly.

    Args:
        first: some rows.
        batch: others.
        what: they are, for messages.

    Raises:
        DataError: other arrays or shapes, or values that the types of the first rows cannot hold.
    """
    expected, found = groups_of(first), groups_of(batch)
    if expected == found:
        return batch
    leaves = leaves_of(batch)
    if [(one.name, one.shape) for one in expected] == [(one.name, one.shape) for one in found]:
        changed = {one.name: in_type(leaves[one.name], one.dtype) for one in expected}
        if all(values is not None for values in changed.values()):
            y, weight = changed.pop("y"), changed.pop("weight")
            return Batch(changed, y, weight)
        hint = " Give all of them in one type, such as float32."
    else:
        hint = ""
    raise DataError(
        f"Expected {what}, {_shapes(expected)} as in the first rows; found {_shapes(found)}.{hint}"
    )


def in_type(values: NDArray[Any], kind: Any) -> NDArray[Any] | None:
    """The values in another type, or None if it cannot hold all of them.

    >>> in_type(np.array([1, 2]), "float32"), in_type(np.array([0.5]), "uint8")
    (array([1., 2.], dtype=float32), None)
    """
    with np.errstate(invalid="ignore", over="ignore"):
        changed = values.astype(kind)
    same: bool = np.array_equal(changed.astype(np.float64), values.astype(np.float64))
    return changed if same else None


def _shapes(groups: Sequence[Group]) -> str:
    return ", ".join(f"{one.name} {one.dtype} {list(one.shape)}" for one in groups)


def _some(batch: Batch, which: Any) -> Batch:
    x = {name: values[which] for name, values in batch.x.items()}
    return Batch(x, batch.y[which], batch.weight[which])
