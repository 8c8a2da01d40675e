"""Share arrays out among processes: each reads and keeps a range of their rows, none all of them.

Arrays that are mapped to a file (`np.load(path, mmap_mode="r")`) are so read once by all processes
together. Ranges begin at blocks of rows whose size follows from the number of rows alone, so that a
checksum over blocks is the same among how many processes they are shared out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from descend.custom.arrays import as_array
from descend.custom.sources import is_arrays, split_target
from descend.custom.trees import take_apart
from descend.data.reading.sharing import Sharing, share_out
from descend.data.rows.budget import Budget
from descend.data.rows.layout import Layout
from descend.data.share_rows import same_everywhere
from descend.errors import InputError, SettingsError, option_text
from descend.settings import Settings
from descend.types import Batch

MOST_BLOCKS = 4096
"""About how many blocks there are, of 256 rows at most."""
MOST_ROWS = 256
COMPARED_ROWS = 64
"""Rows at the beginning and at the end that are compared between processes."""


class Share(NamedTuple):
    """A range of the rows of arrays that are shared out among processes.

    Attributes:
        first: the number of the first row.
        rows: of all processes.
        sharing: with the others; None where this process has them all, as a run that began with
            several goes on in one.
    """

    first: int
    rows: int
    sharing: Sharing | None


def rows_of_block(rows: int) -> int:
    """The number of rows of a block.

    >>> rows_of_block(1000), rows_of_block(100_000), rows_of_block(10**9)
    (1, 24, 256)
    """
    return max(1, min(MOST_ROWS, rows // MOST_BLOCKS))


def range_of(rows: int, sharing: Sharing) -> slice:
    """The rows of this process."""
    size = rows_of_block(rows)
    first, stop = share_out(-(-rows // size), sharing.index, sharing.count)
    return slice(size * first, min(rows, size * stop))


def is_shared(
    data: Any, settings: Settings, sharing: Sharing, budget: Budget, layout: Layout | None
) -> bool:
    """Whether arrays are shared out: as a run did before, as asked, or where they are large.

    Args:
        data: what the user gave.
        settings: of the run.
        sharing: with the other processes.
        budget: what memory allows.
        layout: of a run that goes on.

    Raises:
        SettingsError: an iterator was to be shared out.
    """
    if not is_arrays(data):
        if settings.share_rows == "yes":
            raise SettingsError(
                f"{option_text('share_rows', 'yes')} shares out tables and arrays; found an "
                "iterator, which every process goes through from its beginning. Write its rows to "
                "files and give np.load('x.npy', mmap_mode='r'), or leave the option out."
            )
        return False
    if layout is not None:
        return layout.processes > 0
    if settings.share_rows != "auto":
        return settings.share_rows == "yes"
    size = sum(4 * as_array(leaf, "x").size for leaf in _leaves(_as_tuple(data, settings)))
    # What is free differs between hosts, and the answer must not.
    return any(same_everywhere(sharing, size > budget.table))


def cut(data: Any, settings: Settings, sharing: Sharing) -> tuple[Any, int, int]:
    """The rows of this process, the number of the first one, and how many there are in all.

    Raises:
        InputError: the processes have different arrays, or fewer rows than there are processes.
    """
    parts = _as_tuple(data, settings)
    leaves = [as_array(leaf, "x") for leaf in _leaves(parts)]
    lengths = {len(leaf) if leaf.ndim else 0 for leaf in leaves}
    if len(lengths) > 1 or lengths == {0}:
        return data, 0, 0  # To be refused as they are without other processes.
    (rows,) = lengths
    if len(set(map(str, same_everywhere(sharing, list(map(_ends, leaves)))))) > 1:
        raise InputError(
            f"The {sharing.count} processes of this job have different arrays; each takes its "
            "range of the same rows, so all must make the same. Seed every random number, and "
            "give whole arrays everywhere: of np.load('x.npy', mmap_mode='r') only the rows of "
            "the range are read."
        )
    if rows < sharing.count:
        raise InputError(
            f"Expected at least as many rows as processes, which share them out; found {rows} "
            f"rows and {sharing.count} processes."
        )
    mine = range_of(rows, sharing)
    # Inputs that are their own targets stay one tree.
    trees = {id(part): _rows_of(part, mine) for part in parts}
    taken = tuple(trees[id(part)] for part in parts)
    return (taken if len(taken) > 1 else taken[0]), mine.start, rows


def own_share(batch: Batch, sharing: Sharing) -> Batch:
    """The share of this process of validation rows that were given by themselves."""
    first, stop = share_out(len(batch.weight), sharing.index, sharing.count)
    x = {name: values[first:stop] for name, values in batch.x.items()}
    return Batch(x, batch.y[first:stop], batch.weight[first:stop])


def _as_tuple(data: Any, settings: Settings) -> tuple[Any, ...]:
    """`(X,)`, `(X, y)` or `(X, y, weight)`."""
    found = split_target(data, settings.target)
    return found if isinstance(found, tuple) else (found,)


def _leaves(parts: Sequence[Any]) -> list[Any]:
    """The arrays of all parts."""
    trees = [take_apart(part, "x")[1] for part in parts if part is not None]
    return [leaf for arrays in trees for leaf in arrays.values()]


def _rows_of(tree: Any, rows: slice) -> Any:
    """A tree of arrays with these rows alone."""
    if tree is None:
        return None
    form, arrays = take_apart(tree, "x")
    taken = [as_array(leaf, name)[rows] for name, leaf in arrays.items()]
    return jax.tree.unflatten(form.structure, taken)


def _ends(array: NDArray[Any]) -> list[Any]:
    """What tells an array from another: type, shape, first and last rows."""
    ends = np.arange(min(COMPARED_ROWS, len(array)))
    rows = np.ascontiguousarray(array[np.concatenate([ends, len(array) - 1 - ends])])
    digest = hashlib.blake2b(rows.tobytes(), digest_size=8).hexdigest()
    return [str(array.dtype), list(array.shape), digest]
