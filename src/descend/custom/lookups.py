"""Numbers with which a model looks up more than it has, such as token ids beyond an embedding.

JAX takes the last row of an array in place of one that it does not have, or NaN, and says nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import checkify
from jax.extend.core import JaxprEqn
from numpy.typing import NDArray

from descend.data.rows.store import MemoryStore, RowStore
from descend.errors import InputError, warn_user
from descend.training.convolutions import has_operation
from descend.training.evaluation import blocks
from descend.training.jax_setup import jit_program
from descend.types import Params

MOST_PLACES = 512
"""In a row of more numbers, those places are looked at whose numbers are the most extreme."""
BLOCK_ROWS = 64

Inputs = Mapping[str, Any]
Ranges = Mapping[str, tuple[float, float]]
"""The smallest and the largest number of each input."""


def check_lookups(
    apply: Callable[[Params, Any], Any],
    inputs_of: Callable[[Any], Any],
    params: Params,
    stores: Iterable[RowStore],
) -> Ranges:
    """Warn once of inputs that index an array of the model beyond its end; refuse NaN from there.

    Looked at are the rows with the smallest and the largest number in each place.

    Args:
        apply: `(params, inputs) -> outputs`, of the model.
        inputs_of: arrays of the rows in the form in which the model takes them.
        params: some.
        stores: rows.

    Returns:
        The ranges that were looked at; empty where the model looks up nothing.

    Raises:
        InputError: such inputs, for which the model gives NaN.
    """
    # NumPy arrays could not be indexed by what is traced.
    params = jax.tree.map(jnp.asarray, params)

    def predict(x: Inputs) -> Any:
        return apply(params, inputs_of(jax.tree.map(jnp.asarray, x)))

    ranges: dict[str, tuple[float, float]] = {}
    told = False
    for store in stores:
        program = jax.make_jaxpr(predict)(dict(store.gather(np.arange(1)).x)).jaxpr
        if not has_operation(program, _looks_up):
            return {}
        rows = _extreme_rows(store)
        told = told or _check_rows(predict, rows)
        for name, values in rows.items():
            found = [float(one) for one in (values.min(initial=0), values.max(initial=0))]
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, found[0]), max(high, found[1])
    return ranges


def _looks_up(operation: JaxprEqn) -> bool:
    """Whether it takes values of an array by index, and is not told what to give beyond its end.

    A finite `fill_value` says it. `mode="clip"` does not: what `vmap` makes of an index has it too.
    """
    if operation.primitive is not lax.gather_p:
        return operation.primitive is lax.dynamic_slice_p
    if operation.params["mode"] != lax.GatherScatterMode.FILL_OR_DROP:
        return True
    fill = operation.params["fill_value"]
    # Unless the user says another one, it is NaN, or the largest or smallest whole number.
    taken: Any = operation.outvars[0].aval
    floats = jnp.issubdtype(taken.dtype, jnp.inexact)
    return not math.isfinite(fill) if floats else bool(fill != 0)


def check_lookups_beyond(
    known: Ranges,
    apply: Callable[[Params, Any], Any],
    inputs_of: Callable[[Any], Any],
    params: Params,
    x: Inputs,
) -> None:
    """Check rows to predict, as `check_lookups` does, where their numbers are beyond training's.

    Args:
        known: what `check_lookups` gave.
        apply: as there.
        inputs_of: as there.
        params: as there.
        x: the rows.
    """
    beyond = (
        values.size and not (known[name][0] <= values.min() and values.max() <= known[name][1])
        for name, values in x.items()
        if name in known
    )
    if any(beyond):
        rows = np.ones(len(next(iter(x.values()))), np.float32)
        check_lookups(apply, inputs_of, params, [MemoryStore(x, rows, rows)])


def _extreme_rows(store: RowStore) -> dict[str, NDArray[Any]]:
    """The rows with the smallest and the largest number in each place of each input."""
    extremes: dict[tuple[str, int], Any] = {}
    start = 0
    for block in blocks(store):
        count = min(len(block.weight), len(store) - start)
        for name, values in block.x.items():
            flat = values[:count].reshape(count, -1).astype(np.float64)
            for sign in (1, -1):
                rows = (sign * flat).argmax(axis=0)
                found = sign * np.take_along_axis(flat, rows[None], axis=0)[0]
                most, where = extremes.get((name, sign), (found, rows + start))
                larger = found > most
                most, where = np.where(larger, found, most), np.where(larger, rows + start, where)
                extremes[name, sign] = most, where
        start += count
    chosen = [where[np.argsort(-most)[:MOST_PLACES]] for most, where in extremes.values()]
    return dict(store.gather(np.unique(np.concatenate(chosen))).x)


def _check_rows(predict: Callable[[Inputs], Any], rows: Inputs) -> bool:
    """Whether a row has an index that is out of range, of which a warning tells."""
    checked = jit_program(checkify.checkify(predict, errors=checkify.index_checks))

    def fault(x: Inputs) -> str | None:
        error, _ = checked(x)
        said: str | None = error.get()
        return said

    count = len(next(iter(rows.values())))
    for start in range(0, count, BLOCK_ROWS):
        places = np.resize(np.arange(start, min(start + BLOCK_ROWS, count)), BLOCK_ROWS)
        block = {name: values[places] for name, values in rows.items()}
        # Numbers near 0 in place of the others show whether it is the inputs, and which.
        near = {name: _nearest_zero(values) for name, values in block.items()}
        try:
            if fault(block) is None or fault(near) is not None:
                continue
        except (NotImplementedError, TypeError, ValueError):
            return False  # The checks of JAX cannot follow every operation.
        for name, values in block.items():
            alone = {**near, name: values}
            said = fault(alone)
            if said is not None:
                _tell(name, said, predict(alone))
                return True
    return False


def _nearest_zero(values: NDArray[Any]) -> NDArray[Any]:
    """An array of the same shape that holds nothing but the number nearest to 0 of another."""
    flat = values.ravel()
    nearest = flat[np.abs(flat.astype(np.float64)).argmin()] if flat.size else 0
    return np.full(values.shape, nearest, values.dtype)


def _tell(name: str, said: str, outputs: Any) -> None:
    """Say which input indexes what the model does not have.

    Args:
        name: of the input.
        said: by JAX, of the first such index.
        outputs: of the rows.
    """
    index, axis, size = map(
        int, re.findall(r"index (-?\d+) .* axis (\d+) with size (\d+)", said)[0]
    )
    [shape] = re.findall(r"shape (\(.*?\))", said)
    text = (
        f"{name} makes the model look up place {index:,} of an array of shape {shape}, whose axis "
        f"{axis} has the places 0 to {size - 1:,}. JAX takes {{}} for it, without a word. Give the "
        "model a larger array, such as an embedding with more rows than the largest id, or "
        f"smaller numbers in {name}."
    )
    finite = all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(outputs))
    if not finite:
        raise InputError(text.format("NaN"))
    warn_user(text.format("the nearest one"), UserWarning)
