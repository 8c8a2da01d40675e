"""Small tables and problems that the tests share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from descend.data.rows.store import MemoryStore
from descend.settings import Settings
from descend.training.callback import Callback
from descend.training.loop_state import LoopState
from descend.training.losses import LOSSES
from descend.training.network.models import Inputs, linear, mlp
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.types import Batch, History, HistoryLine, StopReason


def store_of(
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    weight: npt.ArrayLike | None = None,
    category: npt.ArrayLike | None = None,
) -> MemoryStore:
    """A table in memory from arrays of any kind; whole-number targets are class codes."""
    numeric = np.asarray(X, dtype=np.float32)
    rows = len(numeric)
    target = np.asarray(y)
    return MemoryStore(
        x={
            "numeric": numeric,
            "category": np.asarray(
                np.zeros((rows, 0)) if category is None else category, dtype=np.int32
            ),
        },
        y=target.astype(np.int32 if target.dtype.kind == "i" else np.float32),
        weight=np.asarray(np.ones(rows) if weight is None else weight, dtype=np.float32),
    )


def numbers(rows: int, columns: int = 3, *, noise: float = 0.1, seed: int = 0) -> MemoryStore:
    """A target that is linear in its columns, but for noise."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns))
    y = X @ np.linspace(-1.0, 2.0, columns) + 0.5 + noise * random.normal(size=rows)
    return store_of(X, y[:, None])


def labels(rows: int, columns: int = 3, classes: int = 2, *, seed: int = 0) -> MemoryStore:
    """Classes that overlap."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns))
    scores = X @ random.normal(size=(columns, classes)) + random.gumbel(size=(rows, classes))
    return store_of(X, scores.argmax(axis=1))


def numbered(rows: int, weight: npt.ArrayLike | None = None) -> MemoryStore:
    """A table whose only column is the row number."""
    row = np.arange(rows)
    return store_of(row[:, None], row[:, None], weight)


def linear_problem(
    store: MemoryStore,
    validation: MemoryStore | None = None,
    *,
    loss: str = "squared_error",
    outputs: int = 1,
    l2: float = 0.0,
    seed: int = 0,
    category_sizes: Sequence[int] = (),
    **options: Any,
) -> Problem:
    """A linear model on a table, validated on another or on the same."""
    inputs = Inputs(store.x["numeric"].shape[1], tuple(category_sizes))
    network = linear(inputs, [0.0] * outputs)
    return Problem(
        store=store,
        validation=store if validation is None else validation,
        init=network.init,
        apply=network.apply,
        per_example=LOSSES[loss].per_example,
        optimizer=make_optimizer(Settings("y", **{"optimizer": "sgd", **options})),
        l2=l2,
        seed=seed,
    )


def mlp_problem(
    store: MemoryStore, validation: MemoryStore, *, seed: int = 0, **options: Any
) -> Problem:
    """A small network on a table, validated on another."""
    network = mlp(Inputs(store.x["numeric"].shape[1], ()), [0.0], (8,))
    return dataclasses.replace(
        linear_problem(store, validation, seed=seed, **{"optimizer": "momentum", **options}),
        init=network.init,
        apply=network.apply,
    )


def rows_of(store: MemoryStore, rows: Sequence[int] | None = None) -> Batch:
    """Rows of a table as one batch, all where none are named."""
    return store.gather(np.arange(len(store)) if rows is None else np.asarray(rows, np.int64))


class Recorder(Callback):
    """A callback that keeps what it sees and asks to stop after some chunks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.chunks = 0
        self.loops: list[LoopState] = []
        self.messages: list[str] = []
        self.stop_after = stop_after

    def chunk(self, loop: LoopState) -> None:
        self.chunks += 1

    def evaluation(self, loop: LoopState) -> None:
        self.loops.append(loop)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def stop_requested(self) -> StopReason | None:
        stop = self.stop_after is not None and self.chunks >= self.stop_after
        return StopReason.INTERRUPTED if stop else None


def same_bits(left: Any, right: Any) -> bool:
    """Whether two pytrees hold the same bits."""
    ours, theirs = jax.tree.flatten(left), jax.tree.flatten(right)
    return ours[1] == theirs[1] and all(
        np.asarray(one).dtype == np.asarray(other).dtype
        and np.asarray(one).tobytes() == np.asarray(other).tobytes()
        for one, other in zip(ours[0], theirs[0], strict=True)
    )


def without_seconds(history: History) -> tuple[tuple[Any, ...], ...]:
    """The lines of a history but for the time, floats as text so that NaN equals NaN."""
    names = [field.name for field in dataclasses.fields(HistoryLine) if field.name != "seconds"]
    return tuple(tuple(repr(getattr(line, name)) for name in names) for line in history)


def same_loop(left: LoopState, right: LoopState) -> bool:
    """Whether two courses are the same to the bit, time left out."""
    return (
        same_bits(left.state, right.state)
        and same_bits(left.best, right.best)
        and left.position == right.position
        and left.progress == right.progress
        and without_seconds(left.history) == without_seconds(right.history)
        and (left.loss_sum, left.loss_count) == (right.loss_sum, right.loss_count)
    )
