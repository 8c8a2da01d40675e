"""The first product of a network whose rows are sparse."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.types import Array


def base_of(packed: bytes) -> npt.NDArray[np.float32]:
    """The base of each input, `[d]`."""
    return np.frombuffer(packed, np.float32)


def sparse_product(
    x: Mapping[str, Array],
    base: npt.NDArray[np.float32],
    kernel: Array,
    bend: Callable[[Array], Array] | None = None,
) -> Array:
    """X·kernel for sparse rows, without X.

    With entries e of a row i,

        (X·K)_i = Σ_j b_j·K_j + Σ_e value_e·K_column(e),

    and with a function f of each input f(b_j) instead of b_j, and f(b_j + value_e) - f(b_j)
    instead of value_e. The gradient of K is that of the dense product, up to rounding.

    Args:
        x: `column` int32 `[B, w]` and `value` float32 `[B, w]`, as `SparseInputs.padded` gives.
        base: b, `[d]`.
        kernel: K, `[d, k]`.
        bend: f; None leaves the inputs as they are.

    Returns:
        `[B, k]`.
    """
    column, value = x["column"], x["value"]
    start = jnp.asarray(base)
    if bend is not None:
        before = jnp.take(start, column, mode="clip")
        # An entry that fills a row up must change nothing, to the last bit.
        value = jnp.where(value == 0.0, 0.0, bend(before + value) - bend(before))
        start = bend(start)
    # The outputs one by one: a row of a matrix for each entry takes longer to fetch than a number.
    if kernel.shape[1] == 1:
        found = jnp.sum(value * jnp.take(kernel[:, 0], column, mode="clip"), axis=-1)[..., None]
    else:
        found = jnp.sum(value[..., None] * jnp.take(kernel, column, axis=0, mode="clip"), axis=-2)
    return found + start @ kernel
