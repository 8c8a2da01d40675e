"""Numbers with which a model looks up more than it has, such as token ids beyond an embedding.

JAX takes the last row of an array in place of one that it does not have, or NaN, and says nothing.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.experimental import checkify
from jax.extend.core import ClosedJaxpr, JaxprEqn, jaxpr_as_fun
from numpy.typing import NDArray

from descend.data.rows.store import MemoryStore, RowStore
from descend.errors import InputError, warn_user
from descend.training.evaluation import blocks
from descend.training.jax_setup import jit_program
from descend.training.operations import Change, has_operation, with_operations
from descend.types import Params

MOST_PLACES = 512
"""In a row of more numbers, those places are looked at whose numbers are the most extreme."""
BLOCK_ROWS = 64
EXTREMES = 8
"""Most numbers of a block, from either end, of which one is looked for that is not masked."""

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

    Where the outputs do not depend on what is found there, nothing is said: it is padding, which
    the model masks.

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
    ranges: dict[str, tuple[float, float]] = {}
    checked: _Checked | None = None
    told = False
    for store in stores:
        if checked is None:
            checked = _traced(apply, inputs_of, params, store.gather(np.arange(1)).x)
            if checked is None:
                return {}
        rows = _extreme_rows(store)
        told = told or _check_rows(checked, rows)
        for name, values in rows.items():
            found = [float(one) for one in (values.min(initial=0), values.max(initial=0))]
            low, high = ranges.get(name, (0.0, 0.0))
            ranges[name] = min(low, found[0]), max(high, found[1])
    return ranges


class _Checked(NamedTuple):
    """A model that looks something up, traced once, in three forms for `BLOCK_ROWS` rows.

    Attributes:
        outputs: of the rows.
        fault: what JAX says of the first index that is out of range, or None.
        outputs_otherwise: two, with two kinds of values in place of those out of range. They differ
            where the model uses such values, and are equal where it masks them, as padding.
    """

    outputs: Callable[[Inputs], list[Any]]
    fault: Callable[[Inputs], str | None]
    outputs_otherwise: Callable[[Inputs], tuple[list[Any], list[Any]]]


def _traced(
    apply: Callable[[Params, Any], Any],
    inputs_of: Callable[[Any], Any],
    params: Params,
    row: Inputs,
) -> _Checked | None:
    """The model in the forms of `_Checked`; None where it looks up nothing."""

    def predict(params: Params, x: Inputs) -> Any:
        return apply(params, inputs_of(x))

    block = {
        name: jnp.asarray(np.resize(one, (BLOCK_ROWS, *one.shape[1:]))) for name, one in row.items()
    }
    program = jax.make_jaxpr(predict)(params, block)
    if not has_operation(program.jaxpr, _looks_up):
        return None

    def compiled(change: Change, wrap: Callable[[Any], Any] = lambda one: one) -> Any:
        changed = ClosedJaxpr(with_operations(program.jaxpr, change), program.consts)
        return jit_program(wrap(jaxpr_as_fun(changed)))

    def arguments(x: Inputs) -> list[Any]:
        return jax.tree.leaves((params, jax.tree.map(jnp.asarray, dict(x))))

    # The checks of JAX do not follow what is computed again for its gradient.
    checked = compiled(_not_again, lambda one: checkify.checkify(one, errors=checkify.index_checks))
    outputs = compiled(_not_again)
    otherwise = [compiled(functools.partial(_with_others, start)) for start in (1, 2)]

    def fault(x: Inputs) -> str | None:
        error, _ = checked(*arguments(x))
        said: str | None = error.get()
        return said

    def outputs_otherwise(x: Inputs) -> tuple[list[Any], list[Any]]:
        first, second = (program(*arguments(x)) for program in otherwise)
        return first, second

    return _Checked(lambda x: outputs(*arguments(x)), fault, outputs_otherwise)


def _not_again(operation: JaxprEqn) -> Callable[..., Any] | None:
    """What `jax.checkpoint` computes again for the gradient, as a plain function."""
    if operation.primitive.name not in ("checkpoint", "remat", "remat2"):
        return None
    function: Callable[..., Any] = jaxpr_as_fun(ClosedJaxpr(operation.params["jaxpr"], ()))
    return function


def _with_others(start: int, operation: JaxprEqn) -> Callable[..., Any] | None:
    """A lookup that gives other values for what its array does not have."""
    if not _looks_up(operation):
        return _not_again(operation)
    params = operation.params

    def look_up(array: Any, *indices: Any) -> list[Any]:
        taken = operation.primitive.bind(array, *indices, **params)
        if jnp.issubdtype(taken.dtype, jax.dtypes.extended):
            return [taken]
        if operation.primitive is lax.gather_p:
            inside = lax.gather(
                jnp.ones(array.shape, jnp.float32),
                indices[0],
                params["dimension_numbers"],
                params["slice_sizes"],
                mode=lax.GatherScatterMode.FILL_OR_DROP,
                fill_value=0,
            )
            return [jnp.where(inside > 0, taken, _others(taken, start))]
        sizes = zip(indices, array.shape, params["slice_sizes"], strict=True)
        fits = [(one >= 0) & (one <= size - taken) for one, size, taken in sizes]
        return [jnp.where(jnp.stack(fits).all(), taken, _others(taken, start))]

    return look_up


def _others(taken: Any, start: int) -> Any:
    """Values of the same shape, other ones for another `start`, and none NaN."""
    noise = jnp.sin(start * (1.0 + lax.iota(jnp.float32, taken.size))).reshape(taken.shape)
    if jnp.issubdtype(taken.dtype, jnp.inexact):
        known = jnp.nan_to_num(taken)
        return known + ((1 + jnp.abs(known)) * noise).astype(taken.dtype)
    return (noise > 0).astype(taken.dtype)


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


def _check_rows(model: _Checked, rows: Inputs) -> bool:
    """Whether a row has an index that is out of range and matters, of which a warning tells."""
    count = len(next(iter(rows.values())))
    for start in range(0, count, BLOCK_ROWS):
        places = np.resize(np.arange(start, min(start + BLOCK_ROWS, count)), BLOCK_ROWS)
        block = {name: values[places] for name, values in rows.items()}
        # Numbers near 0 in place of the others show whether it is the inputs, and which.
        near = {name: _nearest_zero(values) for name, values in block.items()}
        try:
            if model.fault(block) is None or model.fault(near) is not None:
                continue
        except (NotImplementedError, TypeError, ValueError):
            return False  # The checks of JAX cannot follow every operation.
        names = [
            name for name, one in block.items() if model.fault({**near, name: one}) is not None
        ]
        # The other inputs stay as they are: one of them may be the mask.
        others = {name: near[name] if name in names else one for name, one in block.items()}
        for name in names:
            whole = {**others, name: block[name]}
            if not _matters(model, whole):
                continue
            # One number may be masked, such as -100, and another one not.
            for kept in (*_one_by_one(block[name]), block[name]):
                x = {**others, name: kept}
                said = model.fault(x)
                if said is not None and _matters(model, x):
                    _tell(name, said, model.outputs(x))
                    return True
    return False


def _matters(model: _Checked, x: Inputs) -> bool:
    """Whether the outputs depend on what is looked up out of range."""
    first, second = (list(map(np.asarray, one)) for one in model.outputs_otherwise(x))
    if not all(map(_equal, first, second)):
        return True
    # 0 · NaN is NaN, which a mask that multiplies does not hide.
    return not all(map(_equal, map(np.isnan, first), map(np.isnan, model.outputs(x))))


def _equal(first: Any, second: Any) -> bool:
    return np.array_equal(first, second, equal_nan=first.dtype.kind in "fc")


def _one_by_one(values: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The array with one of its most extreme numbers, and the one nearest to 0 for all others."""
    nearest, numbers = _nearest_zero(values), np.unique(values)
    for least, most in zip(numbers[:EXTREMES], numbers[::-1], strict=False):
        for number in (most, least):
            yield np.where(values == number, values, nearest)


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
    # JAX counts negative indices from the end, and names what it comes to.
    index -= size if index < 0 else 0
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
