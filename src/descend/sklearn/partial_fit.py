"""Rows that come in parts, each gone through once: what `partial_fit` does."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from descend.data.encoding.encoder import Encoder
from descend.data.prepare import Prepared
from descend.data.rows.store import AnyArray, MemoryStore
from descend.data.schema.columns import Schema
from descend.errors import DivergedError
from descend.reporting.progress import Progress as Bar
from descend.runtime.diagnosis import DIVERGED, cause_of_divergence
from descend.settings import Settings
from descend.sklearn.arrays import Rows, joined, on_host, stored, train_prepared
from descend.training.loop import LoopState
from descend.training.stopping import Progress
from descend.types import HistoryLine, Params, StopReason

RESERVOIR_ROWS = 10_000
"""Most rows that are kept to judge by."""
FEWEST_JUDGES = 10
"""With fewer rows to judge by, nothing is stopped or slowed down."""


@dataclass(frozen=True)
class Stream:
    """What is kept between two parts; it does not grow with the rows seen.

    Attributes:
        loop: where training stands, in NumPy arrays; None before the first part.
        seen: rows seen so far.
        kept: held-out rows, a uniform sample of all that were held out; or None.
        keys: a random number for each of them: those with the smallest stay.
        converged: whether the loss over the held-out rows stopped improving.
        lines: what the last part added to the history.
    """

    loop: LoopState | None = None
    seen: int = 0
    kept: MemoryStore | None = None
    keys: NDArray[np.float64] | None = None
    converged: bool = False
    lines: tuple[HistoryLine, ...] = ()

    @property
    def judged(self) -> bool:
        """Whether there are enough rows to judge by."""
        return self.kept is not None and len(self.kept) >= FEWEST_JUDGES

    @property
    def params(self) -> Params:
        """The weights to use: the newest ones, and the best ones in the end."""
        assert self.loop is not None
        return self.loop.best.mean if self.converged else self.loop.state.mean


def go_on(
    stream: Stream,
    schema: Schema,
    settings: Settings,
    rows: Rows,
    held_out: float,
    bar: Bar,
    params: Params | None = None,
) -> Stream:
    """The stream after one pass over some rows; a converged one stays as it is.

    Args:
        stream: as the part before left it.
        schema: learned from the first part.
        settings: with numbers for batch size and learning rate.
        rows: the part.
        held_out: fraction of the rows that are kept to judge by.
        bar: who is told what happens.
        params: weights to begin from, at the first part.

    Raises:
        DivergedError: the loss left the finite numbers; the message names the probable cause.
    """
    if stream.converged:
        return replace(stream, lines=())
    before = stream.judged
    store = stored(Encoder(schema), rows)
    stream, store = _held_out(stream, store, held_out, settings.seed)
    if len(store) == 0:
        return replace(stream, lines=())
    loop = stream.loop
    if loop is not None and stream.judged and not before:
        # From here on the held-out rows judge: the comparison begins anew.
        loop = loop._replace(history=(), progress=Progress(), best=loop.state)
    validation = _filled(stream.kept) if stream.judged and stream.kept is not None else store
    prepared = Prepared(schema, Encoder(schema), store, validation, fingerprint={})
    epoch = loop.position.epoch if loop is not None else 0
    known = len(loop.history) if loop is not None else 0
    trained = train_prepared(
        prepared,
        settings.replace(epochs=epoch + 1),
        bar,
        params=params if loop is None else None,
        loop=loop,
        interruptible=False,
    )
    if trained.reason is StopReason.DIVERGED:
        raise DivergedError(f"{DIVERGED}\n{cause_of_divergence(schema, trained.settings)}")
    loop = on_host(trained.loop)
    lines = loop.history[known:]
    if not stream.judged:
        loop = loop._replace(progress=Progress(), best=loop.state)
    return replace(
        stream,
        loop=loop._replace(history=loop.history[-1:]),
        converged=trained.reason is StopReason.NO_IMPROVEMENT and stream.judged,
        lines=lines,
    )


def _held_out(
    stream: Stream, store: MemoryStore, fraction: float, seed: int
) -> tuple[Stream, MemoryStore]:
    """The stream with some rows of a part in its reservoir, and the others."""
    count = len(store)
    # As many from every part of one size: their shapes recur, and nothing is compiled again.
    held = int((stream.seen + count) * fraction) - int(stream.seen * fraction)
    random = np.random.default_rng([seed, stream.seen])
    order = random.permutation(count)
    stream = replace(stream, seen=stream.seen + count)
    if held == 0:
        return stream, store
    some, keys = _taken(store, np.sort(order[:held])), random.random(held)
    if stream.kept is not None and stream.keys is not None:
        some, keys = joined([stream.kept, some]), np.concatenate([stream.keys, keys])
    if len(keys) > RESERVOIR_ROWS:
        stay = np.sort(np.argpartition(keys, RESERVOIR_ROWS)[:RESERVOIR_ROWS])
        some, keys = _taken(some, stay), keys[stay]
    return replace(stream, kept=some, keys=keys), _taken(store, np.sort(order[held:]))


def _taken(store: MemoryStore, rows: NDArray[np.int64]) -> MemoryStore:
    return MemoryStore(*store.gather(rows))


def _filled(store: MemoryStore) -> MemoryStore:
    """With rows of weight 0 up to a power of two: few shapes, few compilations."""
    missing = (1 << (len(store) - 1).bit_length()) - len(store)

    def fill(values: AnyArray) -> AnyArray:
        return np.pad(values, [(0, missing), *[(0, 0)] * (values.ndim - 1)])

    x = {name: fill(values) for name, values in store.x.items()}
    return MemoryStore(x, fill(store.y), np.pad(store.weight, (0, missing)))
