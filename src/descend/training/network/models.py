"""The networks: `init` makes parameters, `apply` turns rows into outputs."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpy.typing as npt

from descend.training.network.products import product
from descend.training.network.sparse import base_of, sparse_product
from descend.types import Array, Params

EMBEDDING_WIDTH = 8
EMBEDDING_SPREAD = 0.1
"""Deviation of embeddings before training: small beside the numbers, so that a value that few
rows hold begins by saying little."""
REACH = 3.0
"""Deviations within which the mlp sees a number, however far out it lies."""

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "gelu": jax.nn.gelu,
    "tanh": jnp.tanh,
}

Apply = Callable[[Params, Mapping[str, Array]], Array]
PooledAndEach = Callable[[Params, Mapping[str, Array]], tuple[Array, Array]]


class Network(NamedTuple):
    """A model as a pair of pure functions.

    Attributes:
        init: `seed -> params`, drawn by NumPy: nothing to compile.
        apply: `(params, x) -> outputs [B, k]`, each row by itself.
        members: `(params, x) -> outputs [B, M, k]` of each member, where there are several in
            one; `apply` gives them pooled.
        pooled_and_each: `(params, x) -> (outputs of apply, outputs of members)`.
    """

    init: Callable[[int], Params]
    apply: Apply
    members: Apply | None = None
    pooled_and_each: PooledAndEach | None = None


class Inputs(NamedTuple):
    """What comes in: `numeric` numbers, and one category column for each of `category_sizes`.

    Attributes:
        numeric: number of standardised numbers.
        category_sizes: codes of each category column.
        base: where rows are sparse, float32 as bytes: what a number is that has no entry.
    """

    numeric: int
    category_sizes: tuple[int, ...]
    base: bytes | None = None


def linear(inputs: Inputs, bias: Sequence[float]) -> Network:
    """outputs = W·numeric + Σ_c table[code_c] + b, one table row for each category value.

    Args:
        inputs: the columns.
        bias: where b begins, one for each of the k outputs (the trivial prediction).

    Returns:
        A Network; W and the tables begin at 0, so gradient descent on a convex loss is exact.
    """
    outputs = len(bias)

    def init(seed: int) -> Params:
        params: dict[str, Any] = {
            "kernel": np.zeros((inputs.numeric, outputs), np.float32),
            "bias": np.asarray(bias, np.float32),
        }
        if inputs.category_sizes:
            params["table"] = np.zeros((sum(inputs.category_sizes), outputs), np.float32)
        return params

    return Network(init, _linear_apply(inputs))


def mlp(
    inputs: Inputs,
    bias: Sequence[float],
    hidden: Sequence[int],
    activation: str = "relu",
) -> Network:
    """A multi-layer perceptron; numbers come in bent, category values as embeddings.

    Args:
        inputs: the columns.
        bias: where the bias of the last layer begins, one for each of the k outputs.
        hidden: units of each hidden layer.
        activation: `relu`, `gelu` or `tanh`.

    Returns:
        A Network with weights after He et al. 2015 (arXiv 1502.01852, section 2.2), the last
        layer at zero: training begins at the trivial prediction.
    """
    widths = (inputs.numeric + EMBEDDING_WIDTH * len(inputs.category_sizes), *hidden)

    def init(seed: int) -> Params:
        random = np.random.default_rng(seed)
        layers = [
            {
                "kernel": normal(random, (before, after), np.sqrt(2.0 / max(1, before))),
                "bias": np.zeros(after, np.float32),
            }
            for before, after in itertools.pairwise(widths)
        ]
        layers.append(
            {
                "kernel": np.zeros((widths[-1], len(bias)), np.float32),
                "bias": np.asarray(bias, np.float32),
            }
        )
        params: dict[str, Any] = {"layers": layers}
        if inputs.category_sizes:
            table = normal(random, (sum(inputs.category_sizes), EMBEDDING_WIDTH), EMBEDDING_SPREAD)
            # A value never seen in training stands at the origin until some row moves it.
            table[category_offsets(inputs)] = 0.0
            params["table"] = table
        return params

    return Network(init, _mlp_apply(inputs, activation))


# The same inputs give the same function, so that what was compiled for it is used again.
@functools.lru_cache(maxsize=32)
def _linear_apply(inputs: Inputs) -> Apply:
    if inputs.base is not None:
        base = base_of(inputs.base)

        def sparse_apply(params: Params, x: Mapping[str, Array]) -> Array:
            return sparse_product(x, base, params["kernel"]) + params["bias"]

        return sparse_apply

    def apply(params: Params, x: Mapping[str, Array]) -> Array:
        total = x["numeric"] @ params["kernel"] + params["bias"]
        if inputs.category_sizes:
            total = total + jnp.sum(look_up(params["table"], x["category"], inputs), axis=-2)
        return total

    return apply


@functools.lru_cache(maxsize=32)
def _mlp_apply(inputs: Inputs, activation: str) -> Apply:
    act = ACTIVATIONS[activation]
    if inputs.base is not None:
        base = base_of(inputs.base)

        def sparse_apply(params: Params, x: Mapping[str, Array]) -> Array:
            first, *others = params["layers"]
            values = sparse_product(x, base, first["kernel"], bent) + first["bias"]
            for layer in others:
                values = product(act(values), layer["kernel"]) + layer["bias"]
            return values

        return sparse_apply

    def apply(params: Params, x: Mapping[str, Array]) -> Array:
        values = bent(x["numeric"])
        if inputs.category_sizes:
            looked_up = look_up(params["table"], x["category"], inputs)
            flat = looked_up.reshape(*looked_up.shape[:-2], -1)
            values = jnp.concatenate([values, flat], axis=-1)
        for layer in params["layers"][:-1]:
            values = act(product(values, layer["kernel"]) + layer["bias"])
        last = params["layers"][-1]
        return values @ last["kernel"] + last["bias"]

    return apply


def normal(
    random: np.random.Generator, shape: tuple[int, ...], deviation: float
) -> npt.NDArray[np.float32]:
    """Normal numbers around 0."""
    return (deviation * random.standard_normal(shape)).astype(np.float32)


def bent(values: Array) -> Array:
    """x / √(1 + (x/REACH)²): near x in the middle, never beyond ± REACH, always rising.

    A value far outside of what training saw (a slip of the pen, a heavy tail) then leaves no wild
    prediction (Holzmüller et al. 2024, arXiv 2407.04491, section 3, "smooth clipping").
    """
    # Times the inverse: a division costs as much as the rest.
    return values * jax.lax.rsqrt(1.0 + jnp.square(values) * (1.0 / REACH**2))


def category_offsets(inputs: Inputs) -> np.ndarray:
    """Where each category column begins in the shared table."""
    return np.concatenate([[0], np.cumsum(inputs.category_sizes)[:-1]]).astype(np.int32)


def look_up(table: Array, codes: Array, inputs: Inputs) -> Array:
    """`[B, c]` codes to `[B, c, width]` rows of the shared table."""
    return jnp.take(table, codes + category_offsets(inputs), axis=0, mode="clip")
