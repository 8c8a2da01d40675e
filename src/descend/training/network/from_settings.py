"""The network that settings name, for the columns of a schema."""

from __future__ import annotations

import math

import numpy as np

from descend.data.encoding.encoder import Encoder
from descend.data.encoding.sparse import sparse_base
from descend.data.schema.columns import ClassificationTarget, Schema
from descend.defaults import UNSEEN_CLASS
from descend.settings import Settings
from descend.training.class_weights import weights_by_code
from descend.training.losses import make_loss
from descend.training.network.bins import Bins
from descend.training.network.models import Inputs, Network, linear, mlp
from descend.training.network.tabular import tabular


def network_of(
    settings: Settings,
    schema: Schema,
    encoder: Encoder,
    bins: Bins | None = None,
    *,
    sparse: bool = False,
) -> Network:
    """The network that the settings name, for the columns of a schema.

    The bias of its outputs begins at the trivial prediction: the mean, the log of the mean rate,
    or the log-odds of the classes.

    Args:
        settings: resolved.
        schema: the columns.
        encoder: of the schema.
        bins: what the tabular network needs to know of the columns to make its parameters.
        sparse: whether rows come as their entries, `SparseInputs`; the parameters are the same.
    """
    base = sparse_base(schema).tobytes() if sparse else None
    inputs = Inputs(len(encoder.numeric_names), encoder.category_sizes, base)
    bias = _trivial_outputs(settings, schema)
    if settings.model == "linear":
        return linear(inputs, bias)
    assert settings.hidden is not None
    if settings.model == "mlp":
        return mlp(inputs, bias, settings.hidden, settings.activation)
    assert settings.members is not None
    pool = make_loss(settings.loss, settings.quantiles).pool
    return tabular(inputs, bias, settings.hidden, settings.activation, settings.members, pool, bins)


def _trivial_outputs(settings: Settings, schema: Schema) -> list[float]:
    target = schema.target
    if isinstance(target, ClassificationTarget):
        weights = np.asarray(weights_by_code(settings, target) or [1.0] * len(target.labels))
        if settings.loss == "hinge":
            shares = weights * target.shares
            sides = [1.0 if share > 0.5 else -1.0 for share in shares.tolist()]
            return sides[1:] if len(sides) == 2 else sides
        # A class may be in the validation rows alone: half a row keeps its loss finite.
        counts = np.maximum(weights * np.asarray(target.counts, dtype=np.float64), UNSEEN_CLASS)
        logs = np.log(counts / counts.sum())
        return [float(logs[1] - logs[0])] if len(logs) == 2 else [float(value) for value in logs]
    least = UNSEEN_CLASS / max(1, schema.rows.training)
    if settings.loss == "poisson":
        return [math.log(max(mean, least)) for mean in target.mean]
    if settings.loss == "binary_cross_entropy":
        inside = [min(max(mean, least), 1.0 - least) for mean in target.mean]
        return [math.log(mean / (1.0 - mean)) for mean in inside]
    if settings.loss == "quantile":
        scales = zip(target.quantiles, target.mean, target.deviation, strict=True)
        return [(one - mean) / spread for levels, mean, spread in scales for one in levels]
    return [0.0] * len(target.names)
