"""Values and bytes that processes send each other between programs; bit for bit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from descend.data.reading.sharing import Sharing
from descend.training.processes.place import this_place
from descend.training.processes.slices import AXIS, sharding
from descend.training.processes.watch import steps
from descend.types import Array

MESSAGE_BYTES = 16 << 20
"""Most bytes that a process sends to all others at once."""


def from_first(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values that process 0 has, in every process; bit for bit."""
    from jax.experimental import multihost_utils

    steps.begin()
    # As bytes: JAX would make float32 of float64.
    sent = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    came = np.asarray(multihost_utils.broadcast_one_to_all(sent))
    return np.frombuffer(came.astype(np.uint8).tobytes(), values.dtype).reshape(values.shape)


def bytes_from_first(own: bytes) -> bytes:
    """The bytes that process 0 has, in every process."""
    (length,) = from_first(np.array([len(own)], np.int64)).tolist()
    own = own.ljust(length, b"\0")[:length]
    pieces = (own[start : start + MESSAGE_BYTES] for start in range(0, length, MESSAGE_BYTES))
    return b"".join(from_first(np.frombuffer(one, np.uint8)).tobytes() for one in pieces)


def bytes_from_all(own: bytes) -> list[bytes]:
    """The bytes of all processes, in their order; each may send another number of them."""
    lengths = from_all(np.array([len(own)], np.int64))[:, 0].tolist()
    found = [b""] * len(lengths)
    for start in range(0, max(lengths), MESSAGE_BYTES):
        size = min(MESSAGE_BYTES, max(lengths) - start)
        sent = np.zeros(size, np.uint8)
        piece = np.frombuffer(own[start : start + size], np.uint8)
        sent[: len(piece)] = piece
        came = from_all(sent)
        for place, length in enumerate(lengths):
            found[place] += came[place, : max(0, min(size, length - start))].tobytes()
    return found


def sharing_with_others() -> Sharing | None:
    """With whom this process may share a table out; None where it is alone."""
    place = this_place()
    return Sharing(place.index, place.count, bytes_from_all) if place.count > 1 else None


def from_all(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The values of all processes, `[processes, ...]`; bit for bit."""
    import jax

    steps.begin()
    # As bytes: JAX would make float32 of float64.
    sent = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
    spread = jax.make_array_from_process_local_data(sharding(AXIS), sent[np.newaxis])
    came = np.asarray(_gathering()(spread).addressable_data(0))
    return np.frombuffer(came.tobytes(), values.dtype).reshape(len(came), *values.shape)


@functools.cache
def _gathering() -> Callable[[Array], Array]:
    """Gives every process all of an array; kept, since a message waits for what is made anew."""
    import jax

    gathering: Callable[[Array], Array] = jax.jit(lambda array: array, out_shardings=sharding())
    return gathering
