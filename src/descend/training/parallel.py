"""Data-parallel training: several processes, each with its slice of every batch.

All processes hold the same weights. Each computes the gradient of its own rows of a batch, the sums
meet in one all-reduce, and every process makes the same update. The order of rows is arithmetic, so
a process knows its slice without being told. Messages between processes are those of JAX's own
runtime; nothing here opens a connection.
"""

from __future__ import annotations

import functools
import math
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from descend.data.reading.sharing import Sharing
from descend.errors import InputError
from descend.io.machine import instruction_set
from descend.training.all_reduce import Link, all_reduce
from descend.training.joining import LONGEST, check_addresses, telling_of_waiting
from descend.training.program_cache import keep_in_every_process
from descend.training.starters import CORES, WATCHED, job_of
from descend.training.watch import Watch, deadline, steps
from descend.types import Array, Batch, Params

T = TypeVar("T")

AXIS = "data"
"""The name of the mesh axis along which batches are cut."""
HEARTBEAT = 4.0
"""Times the deadline after which JAX ends the job of a process that says nothing, without saying
which. It may do so after half of that: the process beats twice within it. The watch comes first,
and a broken connection is noticed at once."""
MESSAGE_BYTES = 16 << 20
"""Most bytes that a process sends to all others at once."""
FAREWELL = 30
"""Seconds that a process waits at its end for the others."""


@dataclass(frozen=True)
class Place:
    """Which process of a job this is.

    Attributes:
        index: from 0; process 0 writes files and shows progress.
        count: of processes.
    """

    index: int
    count: int

    @property
    def first(self) -> bool:
        """Whether this process writes files and shows progress."""
        return self.index == 0


ALONE = Place(0, 1)


def is_lost_connection(error: Exception) -> bool:
    """Whether an error of JAX says that another process ended or cannot be reached.

    >>> is_lost_connection(ValueError("UNKNOWN: Gloo all-reduce failed: Connection reset by peer"))
    True
    """
    text = str(error)
    return any(word in text for word in ("Gloo", "NCCL", "UNAVAILABLE", "DEADLINE_EXCEEDED"))


def is_watched() -> bool:
    """Whether `--processes` started this process and watches over it."""
    return WATCHED in os.environ


_joined: list[Place] = []
_watches: list[Watch] = []
_links: list[Link] = []
_unlike: list[Place] = []


def this_place() -> Place:
    """Which process this is: alone, unless `join` was called where several were started."""
    return _joined[0] if _joined else ALONE


def this_link() -> Link | None:
    """What a message between the processes costs, the same in all of them; None: not measured."""
    return _links[0] if _links else None


def are_alike() -> bool:
    """Whether the processes compute on the same kind of processor, in the same way."""
    return not _unlike


def use_link(link: Link | None) -> None:
    """Sum from now on in the way that suits this link; programs compiled before are as they were.

    Args:
        link: the same numbers in every process; None takes the usual way.
    """
    _links[:] = [] if link is None else [link]


def join() -> Place:
    """Join the processes that were started together; before the first array.

    Called by the command line alone: a program of the user's may have been started several times
    for another purpose.

    Raises:
        InputError: the others did not come.
    """
    job = None if _joined else job_of()
    if job is None:
        return this_place()
    if CORES in os.environ and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in os.environ[CORES].split(",")])
    with telling_of_waiting(job):
        check_addresses(job)
    import jax

    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    options: dict[str, Any] = {
        "coordinator_address": job.coordinator,
        "num_processes": job.count,
        "process_id": job.index,
        "initialization_timeout": math.ceil(2 * LONGEST),
        "heartbeat_timeout_seconds": math.ceil(HEARTBEAT * deadline()),
        "shutdown_timeout_seconds": FAREWELL,
    }
    if _has_accelerators():
        options["local_device_ids"] = [device_of(job.local_index)]
    if job.interface is not None:
        port = job.coordinator.rpartition(":")[2]
        options["coordinator_bind_address"] = f"{job.interface}:{port}"
    try:
        with telling_of_waiting(job):
            jax.distributed.initialize(**options)
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"The {job.count} processes that {job.starter} started could not join each other at "
            f"{job.coordinator}: {str(error).splitlines()[0]}"
        ) from error
    with _without_stdout(), _listening_at(job.interface):
        # The first question makes the backend, which chooses the address; the first message makes
        # the connections, and Gloo prints a line about each.
        _joined.append(Place(jax.process_index(), jax.process_count()))
        if jax.default_backend() == "cpu":
            keep_in_every_process()
        from_all(np.zeros(1))
        _connect_pairs()
        from descend.training.link import measure_link

        measure_link(job.interface)
        found = from_all(np.array([zlib.crc32(_arithmetic().encode())], np.int64))
        _unlike[:] = [this_place()] if len(np.unique(found)) > 1 else []
    _watch_over_others()
    return this_place()


def _arithmetic() -> str:
    """What decides how this process rounds: its device, and the instructions that XLA may use."""
    import jax

    if jax.default_backend() != "cpu":
        return str(jax.devices()[0].device_kind)
    return f"{instruction_set()} {os.environ.get('XLA_FLAGS', '')}"


def _connect_pairs() -> None:
    """Make the connections of the exchanges of `all_reduce`: one sum does."""
    import jax

    summed = jax.jit(over_processes(sum_over_processes, (False,)))
    jax.block_until_ready(summed(replicate(np.zeros(1, np.float32))))


def _watch_over_others() -> None:
    """Name the process that the others wait for, from here to `leave`."""
    from jax._src import distributed

    client = getattr(getattr(distributed, "global_state", None), "client", None)
    if client is not None:
        place = this_place()
        _watches.append(Watch(client, place.index, place.count))
        _watches[0].start()


def leave() -> None:
    """Wait until all processes are here, and part from them.

    Where one ended while the others still have something to do, they would take it for lost.
    """
    if _joined:
        import jax

        while _watches:
            _watches.pop().stop()
        jax.distributed.shutdown()
        _joined.clear()
        _links.clear()
        _unlike.clear()


@contextmanager
def _without_stdout() -> Iterator[None]:
    """What libraries print to file descriptor 1 meanwhile goes nowhere."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextmanager
def _listening_at(interface: str | None) -> Iterator[None]:
    """Meanwhile JAX makes its connections between CPUs at this address of the host.

    Without it they are made at the address that the name of the host leads to, which some systems
    set to one that no other host can reach. JAX has no option for it.
    """
    from jax._src import xla_bridge

    library: Any = getattr(xla_bridge, "_jax", None)
    make = getattr(library, "make_gloo_tcp_collectives", None)
    if interface is None or make is None:
        yield
        return
    library.make_gloo_tcp_collectives = functools.partial(make, hostname=interface)
    try:
        yield
    finally:
        library.make_gloo_tcp_collectives = make


def device_of(local_index: int, environment: Mapping[str, str] = os.environ) -> int:
    """Which of the GPUs that it sees a process takes.

    Args:
        local_index: of the process among those of its host.
        environment: its variables.

    >>> device_of(1, {"CUDA_VISIBLE_DEVICES": "0,1"}), device_of(1, {"CUDA_VISIBLE_DEVICES": "1"})
    (1, 0)
    """
    seen = environment.get("CUDA_VISIBLE_DEVICES", "")
    # SLURM (--gpus-per-task) and Ray show each process a GPU of its own, whose number there is 0.
    return local_index if not seen or "," in seen else 0


def _has_accelerators() -> bool:
    return os.environ.get("JAX_PLATFORMS", "") != "cpu" and Path("/dev/nvidia0").exists()


@functools.cache
def _mesh() -> Any:
    """The first device of each process, in the order of the processes."""
    import jax

    first = {device.process_index: device for device in reversed(jax.devices())}
    devices = np.array([first[index] for index in range(jax.process_count())])
    return jax.sharding.Mesh(devices, (AXIS,))


def _sharding(*axes: str | None) -> Any:
    import jax

    return jax.sharding.NamedSharding(_mesh(), jax.sharding.PartitionSpec(*axes))


def replicate(tree: T) -> T:
    """The arrays of a tree, the same in every process, as arrays of all processes."""
    import jax

    def spread_leaf(leaf: Array) -> Array:
        return jax.make_array_from_process_local_data(_sharding(), np.asarray(leaf))

    spread_tree: T = jax.tree.map(spread_leaf, tree)
    return spread_tree


def local(tree: T) -> T:
    """The arrays of a tree as this process has them."""
    import jax

    def own_leaf(leaf: Array) -> Array:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return leaf.addressable_data(0)
        return leaf

    own_tree: T = jax.tree.map(own_leaf, tree)
    return own_tree


def place_slice(batch: Batch) -> Batch:
    """A chunk of batches from this process's slice of each: leaves `[U, B / processes, ...]`."""
    import jax

    sharding = _sharding(None, AXIS)
    cut: Batch = jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(sharding, np.asarray(leaf)), batch
    )
    return cut


def over_processes(
    function: Callable[..., Any], sliced_arguments: tuple[bool, ...]
) -> Callable[..., Any]:
    """A function of arrays that each process runs on its part.

    Args:
        function: its arguments and results are trees of arrays.
        sliced_arguments: for each argument whether it is cut along its second dimension; the
            others, and all results, are the same in every process.
    """
    import jax

    spec: Any = jax.sharding.PartitionSpec
    specs = tuple(spec(None, AXIS) if cut else spec() for cut in sliced_arguments)
    spread_function: Callable[..., Any] = jax.shard_map(
        function, mesh=_mesh(), in_specs=specs, out_specs=spec(), check_vma=False
    )
    return spread_function


def sum_over_processes(tree: Params) -> Params:
    """The sum over all processes, as one message; called within `over_processes`."""
    from jax.flatten_util import ravel_pytree

    flat, rebuilt = ravel_pytree(tree)
    total: Params = rebuilt(all_reduce(flat, AXIS, this_link()))
    return total


def mean_over_processes(tree: Params, rows: Array, before: Params | None = None) -> Params:
    """The mean over all processes, each counted by its rows, as one message.

    What is no float, such as a number of updates, is the same in all of them, and stays.

    Args:
        tree: arrays of this process.
        rows: float32, how many it speaks for; where all have none, its own arrays stay.
        before: the arrays from which all processes began, the same in all of them: what no process
            has changed since then keeps every bit. None: zeros.
    """
    import jax
    import jax.numpy as jnp

    leaves, structure = jax.tree.flatten(tree)
    begun = [0.0] * len(leaves) if before is None else jax.tree.leaves(before)
    floats = [jnp.issubdtype(jnp.result_type(leaf), jnp.inexact) for leaf in leaves]
    weighted = [
        (leaf - base) * rows.astype(leaf.dtype)
        for leaf, base, chosen in zip(leaves, begun, floats, strict=True)
        if chosen
    ]
    *sums, total = sum_over_processes([*weighted, rows])
    changes = iter(sums)

    def mixed(leaf: Array, base: Array | float) -> Array:
        change = next(changes) / jnp.maximum(total, 1).astype(leaf.dtype)
        return jnp.where(total > 0, base + change, leaf)

    found = [
        mixed(leaf, base) if chosen else leaf
        for leaf, base, chosen in zip(leaves, begun, floats, strict=True)
    ]
    mean: Params = jax.tree.unflatten(structure, found)
    return mean


def of_first_process(tree: Params) -> Params:
    """The floats that process 0 has, bit for bit, in every process; called as `slice_index` is."""
    return mean_over_processes(tree, (slice_index() == 0).astype(np.float32))


def slice_index() -> Array:
    """The number of the slice; called within `over_processes`."""
    import jax

    return jax.lax.axis_index(AXIS)


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
    spread = jax.make_array_from_process_local_data(_sharding(AXIS), sent[np.newaxis])
    came = np.asarray(_gathering()(spread).addressable_data(0))
    return np.frombuffer(came.tobytes(), values.dtype).reshape(len(came), *values.shape)


@functools.cache
def _gathering() -> Callable[[Array], Array]:
    """Gives every process all of an array; kept, since a message waits for what is made anew."""
    import jax

    gathering: Callable[[Array], Array] = jax.jit(lambda array: array, out_shardings=_sharding())
    return gathering
