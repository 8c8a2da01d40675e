"""Compile the updates of a run while its first evaluation is compiled and made."""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np

from descend.data.rows.mapped_store import MappedStore
from descend.data.rows.store import MemoryStore
from descend.training.chunk_loop import RunChunk
from descend.training.jax_setup import in_this_context
from descend.training.loop_state import LoopConfig
from descend.training.state import copy_state
from descend.types import Array, Batch, TrainState

_compiled: weakref.WeakKeyDictionary[RunChunk, set[Any]] = weakref.WeakKeyDictionary()
"""For which shapes of their arguments the updates were compiled in this process."""


@contextmanager
def compiled_ahead(
    config: LoopConfig, state: TrainState, meanwhile: Callable[[], object] | None
) -> Iterator[LoopConfig]:
    """Within this block the updates of a run are being compiled, or are compiled already.

    XLA compiles without Python. So a thread compiles the updates, by a call that makes none of
    them, while the run makes its first evaluation. Whoever needs the first update waits for it.
    The block begins when only XLA has work left: while Python traces the updates, a thread that
    traces the evaluation would delay them.

    The block does nothing where the updates were compiled before, and where a call is not known
    before the rows are: on a device with memory of its own, with sparse rows, among several
    processes.

    Args:
        config: of the run.
        state: where it begins; copied.
        meanwhile: called once, if there is still time when the first update is due. What it does
            must be possible later, too: an error in it counts for nothing. None: nothing is done
            ahead.

    Yields:
        The configuration whose updates wait for the compilation.
    """
    if meanwhile is None or not _foreseen(config):
        yield config
        return
    key = _shapes(config, state)
    if key in _compiled.get(config.run_chunk, ()):
        yield config
        return
    pool = ThreadPoolExecutor(1, thread_name_prefix="descend-compile")
    try:
        with _lowering() as lowered:
            done = pool.submit(in_this_context(_compile), config, copy_state(state), lowered)
            lowered.wait()
        run_chunk = _AfterCompilation(config.run_chunk, done, meanwhile)
        yield dataclasses.replace(config, run_chunk=run_chunk)
        _compiled.setdefault(config.run_chunk, set()).add(key)
    finally:
        pool.shutdown(wait=False)


class _AfterCompilation:
    """The updates, of which the first call waits until they are compiled."""

    def __init__(
        self, run_chunk: RunChunk, done: Future[None], meanwhile: Callable[[], object]
    ) -> None:
        self._run_chunk = run_chunk
        self._done: Future[None] | None = done
        self._meanwhile = meanwhile

    def __call__(self, *arguments: Any, **named: Any) -> tuple[TrainState, Array]:
        """The updates."""
        done, self._done = self._done, None
        if done is not None:
            if not done.done():
                self._do_meanwhile()
            # What went wrong goes wrong again in the call, where it is expected.
            done.exception()
        return self._run_chunk(*arguments, **named)

    def _do_meanwhile(self) -> None:
        try:
            self._meanwhile()
        except Exception:
            return


def _foreseen(config: LoopConfig) -> bool:
    """Whether the arguments of the updates are known before the first rows are."""
    return (
        jax.default_backend() == "cpu"
        and config.place.count == 1
        and config.accumulated is None
        and config.plan.updates_per_epoch > 1
        and isinstance(config.store, MemoryStore | MappedStore)
    )


def _shapes(config: LoopConfig, state: TrainState) -> tuple[Any, ...]:
    leaves, form = jax.tree.flatten((state.params, state.opt_state))
    plan = config.plan
    arrays = tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)
    return arrays, form, plan.updates_per_chunk, plan.padded_rows


@contextmanager
def _lowering() -> Iterator[threading.Event]:
    """An event that is set when the other thread has given a program to XLA."""
    lowered, here = threading.Event(), threading.get_ident()

    def listen(event: str, duration_secs: float, **kwargs: str | int) -> None:
        if event.endswith("/jaxpr_to_mlir_module_duration") and threading.get_ident() != here:
            lowered.set()

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield lowered
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def _compile(config: LoopConfig, state: TrainState, lowered: threading.Event) -> None:
    """Call the updates with rows of zeros, and make none.

    Args:
        config: of the run.
        state: consumed.
        lowered: set at the end at the latest.
    """
    try:
        _call(config, state)
    finally:
        lowered.set()


def _call(config: LoopConfig, state: TrainState) -> None:
    length = config.plan.updates_per_chunk
    row = config.store.gather(np.zeros(1, np.int64))
    batch: Batch = jax.tree.map(
        lambda leaf: np.zeros((length, config.plan.padded_rows, *leaf.shape[1:]), leaf.dtype), row
    )
    config.run_chunk(state, batch, np.zeros(length, np.float32), 0, 0)
