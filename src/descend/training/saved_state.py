"""A loop state as arrays and a record, and back: the content of a checkpoint."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from msgspec import Meta, Struct

from descend.errors import FileFormatError, option_text
from descend.io.json_records import read_as
from descend.runs.history import COLUMNS
from descend.training.batch_schedule import Growth
from descend.training.loop_state import LoopState
from descend.training.network.tabular import before_spans
from descend.training.several_networks import Beginning, Finished
from descend.training.stopping_state import StoppingState
from descend.types import History, HistoryLine, Position, TrainState

Count = Annotated[int, Meta(ge=0, le=1 << 62)]
Written = str | int
"""A number as it stands in a checkpoint: floats in hexadecimal."""


WITHOUT_NETWORK = len(COLUMNS) - 1
"""Columns of a line in records that were written before there were several networks."""


class SavedLoop(Struct):
    """The record of a checkpoint."""

    state: tuple[Count, Count]
    best: tuple[Count, Count]
    position: Position
    progress: list[Written]
    history: list[list[Written]]
    seconds: Written
    loss_sum: Written
    loss_count: Count
    order: Literal[1, 2] = 1
    """Of the rows (`data.rows.order`); records without it were written when there was `DRAWN`."""
    metrics: list[dict[str, Written]] = []
    """Of the lines of the history; records without it have none."""
    growth: Growth | None = None
    """Of the batch; records without it are of batches that did not grow."""
    finished: list[Written] = []
    """Validation losses of finished networks; records without them are of the first."""
    begun: list[Written] = []
    """What those had used, as `Beginning`."""


def save_loop_state(loop: LoopState) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Copies of the arrays of a loop state by name, and the rest as JSON values.

    Floats are written in hexadecimal, so that they are restored exactly, infinities included.
    """
    arrays = {**_arrays("state", loop.state), **_arrays("best", loop.best)}
    for number, one in enumerate(loop.finished):
        leaves = jax.tree.leaves(one.weights)
        arrays |= {_finished_name(number, place): leaf for place, leaf in enumerate(leaves)}
    record = {
        "state": [loop.state.update, loop.state.examples],
        "best": [loop.best.update, loop.best.examples],
        "position": list(loop.position),
        "progress": [_encode(value) for value in loop.progress],
        "history": [[_encode(getattr(line, name)) for name in COLUMNS] for line in loop.history],
        "metrics": [
            {name: _encode(value) for name, value in line.metrics.items()} for line in loop.history
        ],
        "seconds": _encode(loop.seconds),
        "loss_sum": _encode(loop.loss_sum),
        "loss_count": loop.loss_count,
        "order": loop.order,
        **({} if loop.growth is None else {"growth": list(loop.growth)}),
        **(_of_finished(loop) if loop.finished else {}),
    }
    return arrays, record


def restore_loop_state(
    arrays: dict[str, np.ndarray], record: dict[str, Any], like: LoopState
) -> LoopState:
    """The loop state that was saved; a run of an older version goes on with the network it had.

    Args:
        arrays: from `save_loop_state`.
        record: from `save_loop_state`.
        like: a loop state of the same problem; only the structure of its arrays is used.

    Raises:
        FileFormatError: the arrays do not fit this problem.
    """
    try:
        saved = read_as(SavedLoop, record)
        return LoopState(
            state=_state("state", arrays, saved.state, like.state),
            position=saved.position,
            best=_state("best", arrays, saved.best, like.best),
            progress=read_as(StoppingState, [_decode(value) for value in saved.progress]),
            history=_history(saved),
            seconds=float(_decode(saved.seconds)),
            loss_sum=float(_decode(saved.loss_sum)),
            loss_count=saved.loss_count,
            order=saved.order,
            growth=saved.growth,
            finished=_finished(arrays, saved, like.state),
            begun=read_as(Beginning, [_decode(value) for value in saved.begun]),
        )
    except (KeyError, OverflowError, ValueError) as error:
        raise FileFormatError(
            f"The checkpoint does not fit this run ({error}). Train again with "
            f"{option_text('force', True)}."
        ) from error


def _of_finished(loop: LoopState) -> dict[str, Any]:
    """What the record says of finished networks."""
    return {
        "finished": [_encode(one.loss) for one in loop.finished],
        "begun": [_encode(value) for value in loop.begun],
    }


def _finished_name(number: int, place: int) -> str:
    return f"finished{number}/{place}"


def _finished(
    arrays: dict[str, np.ndarray], saved: SavedLoop, like: TrainState
) -> tuple[Finished, ...]:
    """The networks that were finished; raise ValueError where their arrays do not fit."""
    leaves, structure = jax.tree.flatten(like.mean)
    found = []
    for number, loss in enumerate(saved.finished):
        weights = []
        for place, leaf in enumerate(leaves):
            name = _finished_name(number, place)
            kept = arrays[name]
            if kept.shape != leaf.shape or kept.dtype != leaf.dtype or not _is_finite(kept):
                raise ValueError(f"array {name} is {kept.dtype}{kept.shape}")
            weights.append(kept)
        found.append(Finished(jax.tree.unflatten(structure, weights), float(_decode(loss))))
    return tuple(found)


def _arrays(part: str, state: TrainState) -> dict[str, np.ndarray]:
    leaves = jax.tree.leaves((state.params, state.opt_state, state.mean))
    return {f"{part}/{number}": np.array(_plain(leaf)) for number, leaf in enumerate(leaves)}


def _plain(leaf: Any) -> Any:
    """The leaf, or the numbers of a random key, which an optimizer may keep (`optax.add_noise`)."""
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key))


def _is_finite(values: np.ndarray) -> bool:
    return not np.issubdtype(values.dtype, np.inexact) or bool(np.isfinite(values).all())


def _state(
    part: str, arrays: dict[str, np.ndarray], counts: tuple[int, int], like: TrainState
) -> TrainState:
    params, opt_state, mean = like.params, like.opt_state, like.mean
    older = (before_spans(params), opt_state, before_spans(mean))
    if sum(name.startswith(f"{part}/") for name in arrays) == len(jax.tree.leaves(older)):
        params, opt_state, mean = older
    leaves, structure = jax.tree.flatten((params, opt_state, mean))
    # What the model would be made of: the weights, and their mean.
    first, last = len(jax.tree.leaves(params)), len(jax.tree.leaves(mean))
    restored = []
    for number, leaf in enumerate(leaves):
        saved = arrays[f"{part}/{number}"]
        plain = _plain(leaf)
        if saved.shape != np.shape(plain) or saved.dtype != np.asarray(plain).dtype:
            raise ValueError(f"array {part}/{number} is {saved.dtype}{saved.shape}")
        kept = number < first or number >= len(leaves) - last
        if part == "best" and kept and not _is_finite(saved):
            raise ValueError(f"array {part}/{number} holds numbers that are not finite")
        array = jax.device_put(saved)
        is_key = _is_key(leaf)
        restored.append(
            jax.random.wrap_key_data(array, impl=jax.random.key_impl(leaf)) if is_key else array
        )
    params, opt_state, mean = jax.tree.unflatten(structure, restored)
    return TrainState(params, opt_state, mean, *counts)


def _history(saved: SavedLoop) -> History:
    metrics = saved.metrics or [{} for _ in saved.history]
    lines = []
    for values, own in zip(saved.history, metrics, strict=True):
        if len(values) < WITHOUT_NETWORK:
            raise ValueError("a line of the history is too short")
        line = {name: _decode(value) for name, value in zip(COLUMNS, values, strict=False)}
        line["metrics"] = {name: _decode(value) for name, value in own.items()}
        lines.append(read_as(HistoryLine, line))
    return tuple(lines)


def _encode(value: float | int) -> str | int:
    return value.hex() if isinstance(value, float) else value


def _decode(value: str | int) -> Any:
    return float.fromhex(value) if isinstance(value, str) else value
