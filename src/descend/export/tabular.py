"""The network for tables as ONNX operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from descend.export.graph import Graph, add_activation
from descend.settings import Settings
from descend.training.network.tabular import FIXED, SPANS, input_factors, with_mean_of_days


def tabular_networks(
    graph: Graph,
    settings: Settings,
    networks: Sequence[Any],
    numeric: str | None,
    places: str | None,
) -> str:
    """`[N, k]` outputs of all members of all networks as one, before the link.

    Args:
        graph: that is added to.
        settings: activation and loss.
        networks: the weights of each.
        numeric: `[N, d]` standardised numbers, or None.
        places: `[N, c]` where the embeddings of the categories stand, or None.
    """
    each = [_members(graph, settings, params, numeric, places) for params in networks]
    values = each[0] if len(each) == 1 else graph.add("Concat", *each, axis=1)
    members, _, outputs = np.shape(networks[0]["heads"]["kernel"])
    return _add_pooling(graph, settings.loss, values, members * len(each), outputs == 1)


def _members(
    graph: Graph, settings: Settings, params: Any, numeric: str | None, places: str | None
) -> str:
    """`[N, M, k]` outputs of the members of one network."""
    parts = [] if numeric is None else _numbers(graph, params, numeric)
    if places is not None:
        looked_up = graph.add("Gather", graph.constant(params["table"], np.float32), places)
        parts.append(_flat(graph, looked_up))
    values = graph.add("Concat", *parts, axis=1)
    members, _, outputs = np.shape(params["heads"]["kernel"])
    factors = input_factors(params)
    if factors is not None:
        values = graph.add("Unsqueeze", values, graph.constant([1], np.int64))
        values = graph.add("Mul", values, graph.constant(np.asarray(factors)[None], np.float32))
        values = graph.add("Reshape", values, graph.constant([-1, factors.shape[1]], np.int64))
    for layer in params["layers"]:
        values = graph.add("MatMul", values, graph.constant(layer["kernel"], np.float32))
        values = graph.add("Add", values, graph.constant(layer["bias"], np.float32))
        values = add_activation(graph, settings.activation, values)
    kernel = np.asarray(params["heads"]["kernel"])
    shape = graph.constant([-1, members, kernel.shape[1]], np.int64)
    values = graph.add("Reshape", values, shape)
    values = graph.add(
        "Einsum", values, graph.constant(kernel, np.float32), equation="bmh,mhk->bmk"
    )
    bias = np.asarray(params["heads"]["bias"]).reshape(members, outputs)
    return graph.add("Add", values, graph.constant(bias, np.float32))


def _numbers(graph: Graph, params: Any, numeric: str) -> list[str]:
    """The numbers scaled, in bins, and as codes: each `[N, ...]`."""
    fixed = {name: np.asarray(values) for name, values in params[FIXED].items()}
    scaled = _add_nearer(graph, numeric, fixed) if set(SPANS) <= set(fixed) else numeric
    parts = [_add_compression(graph, scaled, fixed)]
    if "bins" in params:
        kernel = np.asarray(params["bins"]["kernel"])
        columns, bins, width = kernel.shape
        values = _add_choice(graph, numeric, fixed["binned"])
        low = graph.constant(fixed["low"].reshape(columns, bins), np.float32)
        rate = graph.constant(fixed["rate"].reshape(columns, bins), np.float32)
        values = graph.add("Mul", graph.add("Sub", values, low), rate)
        bounds = [graph.constant(bound, np.float32) for bound in (0.0, 1.0)]
        values = graph.add("Clip", values, *bounds)
        values = graph.add(
            "Einsum", values, graph.constant(kernel, np.float32), equation="bct,ctw->bcw"
        )
        values = _flat(graph, values, columns * width)
        bias = graph.constant(params["bins"]["bias"], np.float32)
        parts.append(graph.add("Relu", graph.add("Add", values, bias)))
    if "codes" in params:
        columns = len(fixed["coded"])
        chosen = graph.add("Gather", numeric, graph.constant(fixed["coded"], np.int64), axis=1)
        places = _add_places(graph, chosen, fixed["middles"].reshape(columns, -1))
        codes = with_mean_of_days(params) if "days" in fixed else params["codes"]
        values = graph.add("Gather", graph.constant(codes, np.float32), places)
        parts.append(_flat(graph, values, columns * np.shape(params["codes"])[1]))
    return parts


def _add_places(graph: Graph, values: str, middles: np.ndarray) -> str:
    """See `descend.training.network.tabular.find_places`."""
    columns, count = middles.shape
    places = graph.constant(count * np.arange(columns), np.int64)
    flat = graph.constant(middles.ravel(), np.float32)
    step = count // 2
    while step:
        middle = graph.add("Add", places, graph.constant(step - 1, np.int64))
        above = graph.add("Greater", values, graph.add("Gather", flat, middle))
        moved = graph.add("Mul", graph.cast(above, "int64"), graph.constant(step, np.int64))
        places = graph.add("Add", places, moved)
        step //= 2
    return places


def _add_nearer(graph: Graph, numeric: str, fixed: dict[str, np.ndarray]) -> str:
    """See `descend.training.network.bins.within_training`."""
    centre, below, above = (graph.constant(fixed[name], np.float32) for name in ("centre", *SPANS))
    apart = graph.add("Sub", numeric, centre)
    low = graph.add("Less", apart, graph.constant(0.0, np.float32))
    span = graph.add("Where", low, below, above)
    far = graph.add("Max", graph.add("Abs", apart), span)
    factor = graph.add("Div", span, far)
    factor = graph.add("Sub", graph.constant(2.0, np.float32), factor)
    nearer = graph.add("Mul", graph.add("Mul", graph.add("Sign", apart), span), factor)
    nearer = graph.add("Add", centre, nearer)
    return graph.add("Where", graph.add("Greater", far, span), nearer, numeric)


def _add_compression(graph: Graph, numeric: str, fixed: dict[str, np.ndarray]) -> str:
    """See `descend.training.network.bins.compress`."""
    reach = graph.constant(fixed["reach"], np.float32)
    apart = graph.add("Sub", numeric, graph.constant(fixed["centre"], np.float32))
    size = graph.add("Abs", apart)
    logs = graph.add("Log", graph.add("Div", graph.add("Max", size, reach), reach))
    logs = graph.add("Add", logs, graph.constant(1.0, np.float32))
    logs = graph.add("Mul", graph.add("Mul", graph.add("Sign", apart), reach), logs)
    values = graph.add("Where", graph.add("LessOrEqual", size, reach), apart, logs)
    return graph.add("Mul", values, graph.constant(fixed["scale"], np.float32))


def _add_choice(graph: Graph, numeric: str, columns: np.ndarray) -> str:
    """`[N, c, 1]`: some of the numbers."""
    values = graph.add("Gather", numeric, graph.constant(columns, np.int64), axis=1)
    return graph.add("Unsqueeze", values, graph.constant([2], np.int64))


def _flat(graph: Graph, values: str, width: int | None = None) -> str:
    """`[N, c, w]` as `[N, c·w]`."""
    if width is None:
        return graph.add("Flatten", values, axis=1)
    return graph.add("Reshape", values, graph.constant([-1, width], np.int64))


def _add_pooling(graph: Graph, loss: str, outputs: str, members: int, single: bool) -> str:
    """`[N, M, k]` as `[N, k]`; see `descend.training.losses`."""
    axes = graph.constant([1], np.int64)

    def log_sum(logs: str) -> str:
        return graph.add("ReduceLogSumExp", logs, axes, keepdims=0)

    if members == 1:
        return graph.add("Squeeze", outputs, axes)
    if loss == "poisson":
        return graph.add("Sub", log_sum(outputs), graph.constant(np.log(members), np.float32))
    if loss not in ("cross_entropy", "binary_cross_entropy"):
        return graph.add("ReduceMean", outputs, axes, keepdims=0)
    if loss == "cross_entropy" and not single:
        # Softmax takes the logarithm of the number of members away.
        return log_sum(graph.add("LogSoftmax", outputs, axis=2))
    no = graph.add("Neg", graph.add("Softplus", outputs))
    yes = graph.add("Neg", graph.add("Softplus", graph.add("Neg", outputs)))
    return graph.add("Sub", log_sum(yes), log_sum(no))
