"""One ONNX graph from raw columns to predictions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from descend.data.encoding.encoder import Encoder
from descend.data.reading.typed_columns import TextRules
from descend.data.schema.columns import (
    CategoryColumn,
    ClassificationTarget,
    DatetimeColumn,
    NumberColumn,
    RegressionTarget,
    Schema,
)
from descend.export import inputs
from descend.export.graph import Graph, add_activation
from descend.export.tabular import tabular_networks
from descend.settings import Settings
from descend.training.network.models import REACH
from descend.training.several_networks import unstack
from descend.types import Params

DESCRIPTION = (
    "Inputs [N, 1] by column name, of the type that the graph declares: numbers float64 (NaN is "
    "missing); text and booleans strings without spaces around them (empty is missing, and so are "
    "the texts that are when a table is read, such as NA and nan); dates "
    "and times int64 microseconds since 1970-01-01 UTC, times of day "
    "since midnight (the smallest int64, NumPy's NaT, is missing)."
)


def onnx_bytes(schema: Schema, settings: Settings, params: Params) -> bytes:
    """The graph as a file's content.

    Args:
        schema: the columns.
        settings: model, activation and loss, resolved.
        params: the weights.

    Raises:
        InputError: the onnx package is not installed.
    """
    graph = Graph()
    numbers: list[str] = []
    codes: list[str] = []
    rules = TextRules(missing=schema.missing)
    names = [column.name for column in schema.columns]
    for column in schema.columns:
        marks = rules.missing_in(column.name, names)
        if isinstance(column, NumberColumn):
            numbers += inputs.number(graph, column, marks)
        elif isinstance(column, DatetimeColumn):
            numbers += inputs.datetime(graph, column, marks)
        elif isinstance(column, CategoryColumn):
            codes.append(inputs.category(graph, column, marks))
    outputs = _network(graph, settings, params, Encoder(schema), numbers, codes)
    if isinstance(schema.target, ClassificationTarget):
        _classes(graph, schema.target, settings, outputs)
    else:
        _numbers(graph, schema.target, settings, outputs)
    return graph.bytes("descend", DESCRIPTION)


def _network(
    graph: Graph,
    settings: Settings,
    params: Any,
    encoder: Encoder,
    numbers: list[str],
    codes: list[str],
) -> str:
    """`[N, k]` outputs of the network, before the link."""
    numeric = graph.add("Concat", *numbers, axis=1) if numbers else None
    places = None
    if codes:
        offsets = np.concatenate([[0], np.cumsum(encoder.category_sizes)[:-1]])
        places = graph.add("Concat", *codes, axis=1)
        places = graph.add("Add", places, graph.constant(offsets, np.int64))
    if settings.model == "tabular":
        return tabular_networks(graph, settings, unstack(params), numeric, places)
    looked_up = None
    if places is not None:
        looked_up = graph.add("Gather", graph.constant(params["table"], np.float32), places)
    if settings.model == "linear":
        total = graph.constant(params["bias"], np.float32)
        if numeric is not None:
            kernel = graph.constant(params["kernel"], np.float32)
            total = graph.add("Add", graph.add("MatMul", numeric, kernel), total)
        if looked_up is not None:
            axes = graph.constant([1], np.int64)
            added = graph.add("ReduceSum", looked_up, axes, keepdims=0)
            total = graph.add("Add", added, total)
        return total
    parts = [] if numeric is None else [_bent(graph, numeric)]
    if looked_up is not None:
        width = np.shape(params["table"])[1] * len(codes)
        parts.append(graph.add("Reshape", looked_up, graph.constant([-1, width], np.int64)))
    values = graph.add("Concat", *parts, axis=1)
    for place, layer in enumerate(params["layers"]):
        kernel = graph.constant(layer["kernel"], np.float32)
        values = graph.add("MatMul", values, kernel)
        values = graph.add("Add", values, graph.constant(layer["bias"], np.float32))
        if place < len(params["layers"]) - 1:
            values = add_activation(graph, settings.activation, values)
    return values


def _bent(graph: Graph, values: str) -> str:
    share = graph.add("Div", values, graph.constant(REACH, np.float32))
    under = graph.add("Add", graph.add("Mul", share, share), graph.constant(1.0, np.float32))
    return graph.add("Div", values, graph.add("Sqrt", under))


def _numbers(graph: Graph, target: RegressionTarget, settings: Settings, outputs: str) -> None:
    if settings.loss == "poisson":
        outputs = graph.add("Exp", outputs)
    elif settings.loss == "binary_cross_entropy":
        outputs = graph.add("Sigmoid", outputs)
    each = max(1, len(settings.quantiles))
    width = each * len(target.names)
    if each > 1:
        outputs = _in_order(graph, outputs, len(target.names), each)
    values = graph.cast(outputs, "double")
    if target.standardised:
        deviation, mean = (np.repeat(one, each) for one in (target.deviation, target.mean))
        values = graph.add("Mul", values, graph.constant(deviation, np.float64))
        values = graph.add("Add", values, graph.constant(mean, np.float64))
    if settings.model == "tabular" and any(target.counts):
        least = [0.0 if counted else -math.inf for counted in target.counts]
        values = graph.add("Max", values, graph.constant(np.repeat(least, each), np.float64))
    graph.output(values, "prediction", "double", ["N", width])


def _in_order(graph: Graph, outputs: str, targets: int, each: int) -> str:
    """The quantiles of each target in rising order; see `descend.training.losses.quantile_loss`."""
    parted = graph.add("Reshape", outputs, graph.constant([-1, targets, each], np.int64))
    count = graph.constant([each], np.int64)
    rising = graph.add("TopK", parted, count, axis=2, largest=0, sorted=1, outputs=2)
    return graph.add("Reshape", rising, graph.constant([-1, targets * each], np.int64))


def _classes(graph: Graph, target: ClassificationTarget, settings: Settings, outputs: str) -> None:
    count = len(target.labels)
    if settings.loss == "hinge":
        _add_scores(graph, target, outputs)
        return
    if count == 2:
        second = graph.add("Sigmoid", outputs)
        first = graph.add("Sub", graph.constant(1.0, np.float32), second)
        probabilities = graph.add("Concat", first, second, axis=1)
    else:
        probabilities = graph.add("Softmax", outputs, axis=1)
    _label(graph, target, probabilities)
    graph.output(probabilities, "probabilities", "float", ["N", count])


def _add_scores(graph: Graph, target: ClassificationTarget, outputs: str) -> None:
    """The label, and a score for each class, where the loss gives no probabilities."""
    if len(target.labels) == 2:
        outputs = graph.add("Concat", graph.add("Neg", outputs), outputs, axis=1)
    _label(graph, target, outputs)
    graph.output(outputs, "scores", "float", ["N", len(target.labels)])


def _label(graph: Graph, target: ClassificationTarget, scores: str) -> None:
    place = graph.add("ArgMax", scores, axis=1, keepdims=0)
    kind, dtype = _label_kind(target)
    labels = [str(one) for one in target.labels] if kind == "string" else target.labels
    label = graph.add("Gather", graph.constant(labels, dtype), place)
    graph.output(label, "label", kind, ["N"])


def _label_kind(target: ClassificationTarget) -> tuple[str, Any]:
    if all(isinstance(label, bool) for label in target.labels):
        return "bool", np.bool_
    numbers = [label for label in target.labels if isinstance(label, int | float)]
    if len(numbers) < len(target.labels):
        return "string", object
    if all(isinstance(label, int) for label in numbers):
        for kind in (np.int64, np.uint64):
            if np.iinfo(kind).min <= min(numbers) and max(numbers) <= np.iinfo(kind).max:
                return kind.__name__, kind
    elif all(float(label) == label for label in numbers):
        return "double", np.float64
    # Numbers that no type of ONNX holds side by side, as they are written.
    return "string", object
