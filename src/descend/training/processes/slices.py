"""Data-parallel training: several processes, each with its slice of every batch.

All processes hold the same weights. Each computes the gradient of its own rows of a batch, the sums
meet in one all-reduce, and every process makes the same update. The order of rows is arithmetic, so
a process knows its slice without being told. Messages between processes are those of JAX's own
runtime; nothing here opens a connection.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from descend.training.processes.all_reduce import all_reduce
from descend.training.processes.place import this_link
from descend.types import Array, Batch, Params

T = TypeVar("T")

AXIS = "data"
"""The name of the mesh axis along which batches are cut."""


@functools.cache
def _mesh() -> Any:
    """The first device of each process, in the order of the processes."""
    import jax

    first = {device.process_index: device for device in reversed(jax.devices())}
    devices = np.array([first[index] for index in range(jax.process_count())])
    return jax.sharding.Mesh(devices, (AXIS,))


def sharding(*axes: str | None) -> Any:
    """How an array lies over the processes: cut along these axes of the mesh, whole along None."""
    import jax

    return jax.sharding.NamedSharding(_mesh(), jax.sharding.PartitionSpec(*axes))


def replicate(tree: T) -> T:
    """The arrays of a tree, the same in every process, as arrays of all processes."""
    import jax

    def spread_leaf(leaf: Array) -> Array:
        return jax.make_array_from_process_local_data(sharding(), np.asarray(leaf))

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

    cut_rows = sharding(None, AXIS)
    cut: Batch = jax.tree.map(
        lambda leaf: jax.make_array_from_process_local_data(cut_rows, np.asarray(leaf)), batch
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
