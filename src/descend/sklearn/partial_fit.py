"""Training on rows that come in parts: what `partial_fit` does."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.unseen import UnseenValues
from descend.data.prepare import Prepared
from descend.data.rows.sparse_store import SparseStore
from descend.data.schema.columns import Schema
from descend.errors import DivergedError, warn_user
from descend.reporting.progress import Progress
from descend.settings import Settings
from descend.sklearn.arrays import (
    Rows,
    Store,
    Trained,
    alike,
    join_stores,
    make_store,
    on_host,
    train_prepared,
)
from descend.training.build import problem_of
from descend.training.loop_state import LoopState
from descend.training.stopping import MIN_IMPROVEMENT
from descend.training.stopping_state import StoppingState
from descend.types import HistoryLine, Params

RESERVOIR_ROWS = 10_000
"""Most rows that are held out for validation."""
FEWEST_VALIDATION_ROWS = 10
"""With fewer held-out rows nothing is said of convergence."""
NEVER = 1 << 30
"""A patience that does not run out: rows that are still to come may bring something new."""


@dataclass(frozen=True)
class Stream:
    """What is remembered between two calls; it does not grow with the rows seen.

    Attributes:
        loop: where training stands, in NumPy arrays; None before the first call.
        seen: rows seen so far.
        held_out: validation rows, a uniform sample of all that were held out; or None.
        keys: a random number for each of them: those with the smallest stay.
        reference: the weights at the last improvement, to compare with on the same rows.
        stale: calls since the last improvement.
        lines: what the last call added to the history.
        warned: columns of whose new categories a warning told.
    """

    loop: LoopState | None = None
    seen: int = 0
    held_out: Store | None = None
    keys: NDArray[np.float64] | None = None
    reference: Params | None = None
    stale: int = 0
    lines: tuple[HistoryLine, ...] = ()
    warned: frozenset[str] = frozenset()

    @property
    def validated(self) -> bool:
        """Whether there are enough validation rows to compare weights by."""
        return self.held_out is not None and len(self.held_out) >= FEWEST_VALIDATION_ROWS

    @property
    def params(self) -> Params:
        """The weights to use: the average over the newest updates."""
        assert self.loop is not None
        return self.loop.state.mean


def go_on(
    stream: Stream,
    schema: Schema,
    settings: Settings,
    rows: Rows,
    held_out: float,
    bar: Progress,
    params: Params | None = None,
) -> Stream:
    """The stream after one pass over some rows.

    Every call learns, however many went before: the rows may have changed. Only a loss that
    explodes is undone, within the call.

    Args:
        stream: as the call before left it.
        schema: learned from the first call.
        settings: with numbers for batch size and learning rate.
        rows: the new rows.
        held_out: fraction of the rows that are held out for validation.
        bar: who is told what happens.
        params: weights to begin from, at the first call.

    Raises:
        DivergedError: the loss kept becoming NaN or infinite; the message names the probable cause.
    """
    if stream.held_out is not None:
        rows = alike(rows, sparse=isinstance(stream.held_out, SparseStore))
    unseen = UnseenValues(schema) if stream.loop is not None else None
    store = make_store(Encoder(schema), rows, unseen)
    if unseen is not None:
        stream = _warn_of_new_categories(stream, unseen)
    stream, store = _hold_out(stream, store, held_out, settings.seed)
    if len(store) == 0:
        return replace(stream, lines=())
    loop = stream.loop
    if loop is not None:
        # Losses on other rows say nothing about these: each call compares anew.
        progress = StoppingState(rescues=loop.progress.rescues, start=loop.progress.start)
        loop = loop._replace(progress=progress, best=loop.state)
    validation = store
    if stream.validated and stream.held_out is not None:
        count = len(stream.held_out)
        # Up to a power of two: few shapes, few compilations.
        validation = stream.held_out.padded((1 << (count - 1).bit_length()) - count)
    prepared = Prepared(schema, Encoder(schema), store, validation, fingerprint={})
    epoch = loop.position.epoch if loop is not None else 0
    known = len(loop.history) if loop is not None else 0
    options = settings.replace(epochs=epoch + 1, patience=NEVER, networks=1)

    def passed(loop: LoopState | None) -> Trained:
        return train_prepared(
            prepared,
            options,
            bar,
            params=params if loop is None else None,
            loop=loop,
            interruptible=False,
        )

    try:
        trained = passed(loop)
    except DivergedError:
        # Rows that changed much begin with a large loss, which is not that of a rate too high.
        if loop is None:
            raise
        began = problem_of(options, prepared).evaluation_of(store)(loop.state.mean)
        if not loop.progress.start < began < math.inf:
            raise
        trained = passed(loop._replace(progress=loop.progress._replace(start=began)))
    loop = on_host(trained.loop)
    stream = replace(
        stream,
        loop=loop._replace(history=loop.history[-1:]),
        lines=loop.history[known:],
    )
    return _compare(stream, prepared, settings) if stream.validated else stream


def _warn_of_new_categories(stream: Stream, unseen: UnseenValues) -> Stream:
    """Say once for a column that categories came which the first call did not have."""
    found = unseen.categories()
    for name, examples in found.items():
        if name not in stream.warned:
            warn_user(
                f"The first call of partial_fit decides which categories a column has. {name!r} "
                f"now holds {', '.join(map(repr, examples))}; categories that come later are "
                "learned as one. Begin with rows that hold all of them to tell them apart.",
                UserWarning,
            )
    return replace(stream, warned=stream.warned | found.keys())


def _compare(stream: Stream, prepared: Prepared, settings: Settings) -> Stream:
    """The stream with its new weights compared with the reference, both on the same rows."""
    evaluate = problem_of(settings, prepared).evaluate
    if stream.reference is not None:
        before, now = evaluate(stream.reference), evaluate(stream.params)
        if not now < before - MIN_IMPROVEMENT * abs(before):
            return replace(stream, stale=stream.stale + 1)
    return replace(stream, reference=stream.params, stale=0)


def _hold_out(stream: Stream, store: Store, fraction: float, seed: int) -> tuple[Stream, Store]:
    """The stream with some of the new rows in its reservoir, and the others."""
    count = len(store)
    # As many from every call of one size: their shapes recur, and nothing is compiled again.
    held = int((stream.seen + count) * fraction) - int(stream.seen * fraction)
    random = np.random.default_rng([seed, stream.seen])
    order = random.permutation(count)
    stream = replace(stream, seen=stream.seen + count)
    if held == 0:
        return stream, store
    some, keys = store.take(np.sort(order[:held])), random.random(held)
    if stream.held_out is not None and stream.keys is not None:
        some = join_stores(stream.held_out, some)
        keys = np.concatenate([stream.keys, keys])
    if len(keys) > RESERVOIR_ROWS:
        stay = np.sort(np.argpartition(keys, RESERVOIR_ROWS)[:RESERVOIR_ROWS])
        some, keys = some.take(stay), keys[stay]
    return replace(stream, held_out=some, keys=keys), store.take(np.sort(order[held:]))
