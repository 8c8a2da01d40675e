"""The network for tables: numbers in bins, codes as categories, members that share one network.

A number x of a column comes in three ways. As a scaled number, whose logarithm counts far out.
As a piecewise-linear encoding, max(0, min(1, (x − e_t)/(e_{t+1} − e_t))) for each of its bins,
which a learned matrix and a rectifier turn into a short embedding (Gorishniy et al. 2022,
arXiv 2203.05556, sections 3.2 and 3.3). And where a column has few distinct values, as an
embedding of the nearest of them, as a category has: so it may be a code. Days of a column of dates
have such embeddings too (`day_codes`), and values that matter one by one (`value_groups`).

Each input of the first layer is multiplied by a scale of its own, which moves faster than other
weights: inputs that tell something soon count more, and columns of noise less (the scaling layer of
RealMLP, Holzmüller et al. 2024, arXiv 2407.04491, section 3).

The members see the same embedded row, each with signs of its own, go through the same hidden
layers and end in a layer of their own (BatchEnsemble, Wen et al. 2020, arXiv 2002.06715; TabM,
Gorishniy et al. 2024, arXiv 2410.24210, the variant with an adapter at the first layer alone).
Each is trained by its own loss; together they predict the mean.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.defaults import TABULAR_WIDEST, TABULAR_WIDTHS
from descend.training.network.bins import ALL_BINS, Bins, as_params, compress, within_training
from descend.training.network.models import (
    ACTIVATIONS,
    EMBEDDING_SPREAD,
    EMBEDDING_WIDTH,
    Apply,
    Inputs,
    Network,
    PooledAndEach,
    category_offsets,
    look_up,
    normal,
)
from descend.training.network.products import product_rows_last
from descend.types import Array, Params

FIXED = "fixed"
"""The parameters that are never trained."""
SPANS = ("below", "above")
"""Those of them that older models have not."""
BIN_SPREAD, HEAD_SPREAD = 0.3, 0.3
"""Deviation of bin embeddings, and of the members' last layers times the root of their inputs."""

SCALE_RATE = 6.0
"""How many times as far as other weights the scales of the first layer's inputs move."""
NEWEST_VERSION = 3
"""Networks of version 2 have no such scales; those of version 1 have no `value_groups` either. A
run that began with one of them goes on with it."""

PIECE_ROWS = 256
"""Rows that a processor evaluates at once."""

Pool = Callable[[Array], Array]


def tabular(
    inputs: Inputs,
    bias: Sequence[float],
    hidden: Sequence[int],
    activation: str,
    members: int,
    pool: Pool,
    bins: Bins | None = None,
) -> Network:
    """The network for tables.

    Args:
        inputs: the columns.
        bias: where the bias of the last layers begins, one for each of the k outputs.
        hidden: units of each hidden layer.
        activation: `relu`, `gelu` or `tanh`.
        members: networks in one.
        pool: `[B, M, k] -> [B, k]`, the outputs of all members as one.
        bins: what is known of the columns; needed to make parameters, not to apply them.
    """

    def init(seed: int) -> Params:
        assert bins is not None
        random = np.random.default_rng(seed)
        binned, coded = len(bins.binned), len(bins.coded)
        width = embedding_width(binned + coded)
        params: dict[str, Any] = {FIXED: as_params(bins)}
        if binned:
            params["bins"] = {
                "kernel": normal(random, (binned, ALL_BINS, width), BIN_SPREAD),
                "bias": normal(random, (binned * width,), EMBEDDING_SPREAD),
            }
        if coded:
            params["codes"] = normal(random, (len(bins.middles), width), EMBEDDING_SPREAD)
        if inputs.category_sizes:
            values = sum(inputs.category_sizes)
            params["table"] = normal(random, (values, EMBEDDING_WIDTH), EMBEDDING_SPREAD)
            # A value never seen in training stands at the origin until some row moves it.
            params["table"][category_offsets(inputs)] = 0.0
        embedded = (binned + coded) * width + len(inputs.category_sizes) * EMBEDDING_WIDTH
        widths = (inputs.numeric + embedded, *hidden)
        if members > 1:
            signs = random.integers(0, 2, members * widths[0])
            params["signs"] = (2.0 * signs - 1.0).astype(np.float32)
        params["scales"] = np.zeros(widths[0], np.float32)
        params["layers"] = [
            {
                "kernel": normal(random, (before, after), np.sqrt(2.0 / max(1, before))),
                "bias": np.zeros(after, np.float32),
            }
            for before, after in itertools.pairwise(widths)
        ]
        # A single network begins at the trivial prediction; members begin apart.
        spread = HEAD_SPREAD / np.sqrt(widths[-1]) if members > 1 else 0.0
        params["heads"] = {
            "kernel": normal(random, (members, widths[-1], len(bias)), spread),
            "bias": np.tile(np.asarray(bias, np.float32), members),
        }
        return params

    members_apply = _members_apply(inputs, activation)
    pooled_and_each = _pooled_and_each(members_apply, pool)
    return Network(init, _first_of(pooled_and_each), members_apply, pooled_and_each)


def embedding_width(columns: int) -> int:
    """Numbers that each of these binned columns and codes becomes.

    The first layer, which each member has to itself, costs as much as it is wide.

    >>> [embedding_width(columns) for columns in (9, 20, 200)]
    [8, 6, 4]
    """
    least, greatest = TABULAR_WIDTHS
    return min(greatest, max(least, TABULAR_WIDEST // max(1, columns)))


@functools.lru_cache(maxsize=32)
def _pooled_and_each(members_apply: Apply, pool: Pool) -> PooledAndEach:
    """`(params, x) -> (pooled outputs [B, k], those of each member [B, M, k])`.

    With the parameters of n networks (`several_networks.stack`), M counts the members of all.
    """

    def apply(params: Params, x: Mapping[str, Array]) -> tuple[Array, Array]:
        count = count_networks(params)
        if count is None:
            params = _ready_to_predict(params)
            each = in_pieces(lambda piece: members_apply(params, piece), x)
            return pool(each), each
        fixed = params[FIXED]
        trained = {name: part for name, part in params.items() if name != FIXED}
        trained = jax.vmap(lambda one: _ready_to_predict({**one, FIXED: fixed}))(trained)
        del trained[FIXED]

        def of_all(piece: Mapping[str, Array]) -> Array:
            found = jax.lax.map(lambda one: members_apply({**one, FIXED: fixed}, piece), trained)
            return jnp.moveaxis(found, 0, 1).reshape(found.shape[1], -1, found.shape[-1])

        each = in_pieces(of_all, x)
        return pool(each), each

    return apply


def _ready_to_predict(params: Params) -> Params:
    """The parameters of one network with what stands for days that training did not have."""
    if "days" not in params[FIXED]:
        return params
    return {**params, "codes": with_mean_of_days(params, xp=jnp)}


def count_networks(params: Any) -> int | None:
    """How many networks `several_networks.stack` has put together; None where it is one by itself.

    The last layers of the members of one network are `[M, h, k]`.
    """
    heads = params.get("heads") if isinstance(params, dict) else None
    shape = np.shape(heads["kernel"]) if isinstance(heads, dict) else ()
    return shape[0] if len(shape) == 4 else None


@functools.lru_cache(maxsize=32)
def _first_of(pooled_and_each: PooledAndEach) -> Apply:
    def apply(params: Params, x: Mapping[str, Array]) -> Array:
        return pooled_and_each(params, x)[0]

    return apply


def in_pieces(
    function: Callable[[Mapping[str, Array]], Array], x: Mapping[str, Array], rows: int = PIECE_ROWS
) -> Array:
    """A function of many rows, each by itself, a piece of them at a time.

    What is computed for a piece stays in the cache of a processor: on one, 3,000 rows at once take
    up to five times as long as 3,000 in pieces. Other devices get them whole.

    Args:
        function: `{name: [R, ...]} -> [R, ...]`.
        x: `{name: [B, ...]}`.
        rows: R of a piece; the last is padded.
    """
    count = next(iter(x.values())).shape[0]
    if count <= rows or jax.default_backend() != "cpu":
        return function(x)
    pieces = -(-count // rows)

    def cut(values: Array) -> Array:
        padding = [(0, pieces * rows - count), *[(0, 0)] * (values.ndim - 1)]
        return jnp.pad(values, padding).reshape(pieces, rows, *values.shape[1:])

    found = jax.lax.map(function, {name: cut(values) for name, values in x.items()})
    return found.reshape(pieces * rows, *found.shape[2:])[:count]


@functools.lru_cache(maxsize=32)
def _members_apply(inputs: Inputs, activation: str) -> Apply:
    act = ACTIVATIONS[activation]

    def apply(params: Params, x: Mapping[str, Array]) -> Array:
        # Rows are the last axis: see `product_rows_last`.
        values = first_layer_inputs(params, x, inputs)
        width, rows = values.shape
        members, _, outputs = params["heads"]["kernel"].shape
        factors = input_factors(params)
        if factors is not None:
            values = (values[:, None, :] * factors.T[:, :, None]).reshape(width, members * rows)
        for layer in params["layers"]:
            values = act(product_rows_last(layer["kernel"], values) + layer["bias"][:, None])
        values = values.reshape(-1, members, rows)
        kernel = params["heads"]["kernel"]
        if (
            outputs == 1
        ):  # A sum, which XLA computes beside others, and a product for each member not.
            found = jnp.sum(values * kernel[:, :, 0].T[:, :, None], axis=0).T[:, :, None]
        else:
            found = jnp.einsum("hmb,mhk->bmk", values, kernel)
        return found + params["heads"]["bias"].reshape(members, outputs)

    return apply


def input_factors(params: Params) -> Any:
    """`[M, w]`: what each member multiplies the inputs of its first layer by; None: by nothing."""
    if "signs" not in params and "scales" not in params:
        return None
    members = params["heads"]["kernel"].shape[0]
    factors = 1.0 + params["scales"][None, :] if "scales" in params else 1.0
    return params["signs"].reshape(members, -1) * factors if "signs" in params else factors


def without_scales(params: Params) -> Params:
    """The parameters of the tabular network as version 2 made them."""
    return {name: part for name, part in params.items() if name != "scales"}


def first_layer_inputs(params: Params, x: Mapping[str, Array], inputs: Inputs) -> Array:
    """`[w, B]`: each row as the first hidden layer reads it, before the members' signs."""
    numeric = x["numeric"]
    rows = numeric.shape[0]
    fixed = jax.lax.stop_gradient(params[FIXED])
    parts = []
    if inputs.numeric:
        scaled = numeric
        if all(name in fixed for name in SPANS):
            low, high = (fixed[name] for name in SPANS)
            scaled = within_training(numeric, fixed["centre"], low, high, xp=jnp)
        parts.append(compress(scaled, fixed["centre"], fixed["reach"], fixed["scale"], xp=jnp).T)
    if "bins" in params:
        columns, bins, _ = params["bins"]["kernel"].shape
        chosen = jnp.take(numeric, fixed["binned"].astype(jnp.int32), axis=1, mode="clip").T
        low, rate = (fixed[name].reshape(columns, bins, 1) for name in ("low", "rate"))
        filled = jnp.clip((chosen[:, None, :] - low) * rate, 0.0, 1.0)
        short = jnp.einsum("ctw,ctb->cwb", params["bins"]["kernel"], filled)
        parts.append(jax.nn.relu(short.reshape(-1, rows) + params["bins"]["bias"][:, None]))
    if "codes" in params:
        columns = fixed["coded"].shape[0]
        chosen = jnp.take(numeric, fixed["coded"].astype(jnp.int32), axis=1, mode="clip")
        middles = fixed["middles"].reshape(columns, -1)
        places = find_places(chosen, middles)
        found = jnp.take(params["codes"], places, axis=0, mode="clip")
        parts.append(found.reshape(rows, -1).T)
    if inputs.category_sizes:
        parts.append(look_up(params["table"], x["category"], inputs).reshape(rows, -1).T)
    return jnp.concatenate(parts, axis=0)


def before_spans(params: Params) -> Params:
    """The parameters of the tabular network as older versions had them; others as they are."""
    if not isinstance(params, dict) or not isinstance(params.get(FIXED), dict):
        return params
    fixed = {name: values for name, values in params[FIXED].items() if name not in SPANS}
    return {**params, FIXED: fixed}


def with_mean_of_days(params: Params, xp: Any = np) -> Any:
    """`[c·V, w]`: the embeddings of codes, the mean of the known days of a column for its others.

    Hardly any training row is of another day, so what stands there has not been learned.
    """
    columns = params[FIXED]["coded"].shape[0]
    codes = params["codes"].reshape(columns, -1, params["codes"].shape[-1])
    days = params[FIXED]["days"].reshape(columns, -1, 1)
    known = (days > 0).astype(codes.dtype)
    mean = (codes * known).sum(axis=1, keepdims=True) / xp.maximum(
        1.0, known.sum(axis=1, keepdims=True)
    )
    return xp.where(days < 0, mean, codes).reshape(params["codes"].shape)


def find_places(values: Array, middles: Array) -> Array:
    """Where in the shared table the code of each value stands: `[B, c]`.

    A value's code is the number of middles below it, found by halving.

    Args:
        values: `[B, c]`.
        middles: `[c, V]`, rising, the last of them more than any value; V is a power of two.
    """
    columns, count = middles.shape
    first = count * jnp.arange(columns, dtype=jnp.int32)
    places = jnp.broadcast_to(first, values.shape)
    step = count // 2
    while step:
        middle = jnp.take(middles.reshape(-1), places + (step - 1), mode="clip")
        places = places + jnp.where(values > middle, step, 0)
        step //= 2
    return places


@functools.lru_cache(maxsize=32)
def each_member(per_example: Callable[[Array, Array], Array]) -> Callable[[Array, Array], Array]:
    """The mean of the members' losses: `[B, M, k], y -> [B]`.

    Not the loss of their mean, under which members would make up for each other's errors and
    none would be good by itself.
    """

    def losses(outputs: Array, y: Array) -> Array:
        return jnp.mean(jax.vmap(per_example, in_axes=(1, None), out_axes=1)(outputs, y), axis=1)

    return losses


@functools.lru_cache(maxsize=32)
def for_tabular(
    rule: optax.GradientTransformation, scale_rate: float = 1.0
) -> optax.GradientTransformation:
    """The update rule for what is trained; the fixed arrays it does not see.

    Its direction for them is None: they stay, and nothing is compiled that would add 0 to them.

    Args:
        rule: the update rule of other networks.
        scale_rate: what the rate of the scales is multiplied by: `SCALE_RATE` for rules that move
            every weight about as far, 1 for those that follow the gradient, which is greater there.
    """

    def is_trained(params: Params) -> Params:
        return {name: name != FIXED for name in params}

    masked = optax.with_extra_args_support(optax.masked(rule, is_trained))

    def update(
        gradient: Params, state: Any, params: Params | None = None, **extra: Any
    ) -> tuple[Params, Any]:
        direction, state = masked.update(gradient, state, params, **extra)
        if "scales" in direction and scale_rate != 1.0:
            direction = {**direction, "scales": scale_rate * direction["scales"]}
        return {**direction, FIXED: None}, state

    return optax.GradientTransformationExtraArgs(masked.init, update)
