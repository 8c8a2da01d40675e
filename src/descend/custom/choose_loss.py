"""Choose the loss of a custom model: the user's own, or one by name for its outputs."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import jax

from descend.custom.checks import Probe, output_range
from descend.custom.data import CustomRows
from descend.custom.losses import Chosen, Part, check_keys, known_name, named_loss, several
from descend.custom.models import CustomModel
from descend.errors import InputError
from descend.runtime.argument_order import outputs_first
from descend.settings import Settings
from descend.training.build import loss_for_target
from descend.training.losses import Loss
from descend.types import Array


def choose_loss(
    loss: Any,
    rows: CustomRows,
    model: CustomModel,
    probe: Probe,
    x: Any,
    y: Any,
    settings: Settings,
) -> Chosen:
    """The loss of a custom model: the user's function, or one by name for what the model gives.

    Args:
        loss: as `descend.fit` takes it.
        rows: what it is learned from.
        model: as functions.
        probe: the outputs of the model for a few rows.
        x: these rows, as the model gets them.
        y: their targets, as the loss gets them.
        settings: seed and quantiles.

    Raises:
        InputError: a name stands for no loss of these outputs and targets.
    """
    if callable(loss) and type(loss).__module__.split(".")[0] not in ("keras", "torch"):
        return Chosen(Loss(outputs_first(loss), _as_it_is), None)
    if rows.encoder is not None and isinstance(loss, str):
        loss = loss_for_target(known_name(loss), rows.encoder.schema.target)
    names = ("y",) if rows.targets is None else rows.targets.names
    facts = [rows.facts[name] for name in names]
    one_array = rows.targets is None or rows.targets.single
    if isinstance(loss, Mapping | list | tuple):
        keys = check_keys(loss, probe.outputs, y)
        assert rows.targets is not None
        of_targets = rows.targets.assembled(dict(zip(names, facts, strict=True)))
        parts = {key: Part(probe.outputs[key], y[key], of_targets[key]) for key in keys}
        return several(loss, parts, settings.quantiles)
    outputs = jax.tree.leaves(probe.outputs)
    if len(outputs) != 1 or not hasattr(probe.outputs, "shape") or not one_array:
        raise InputError(
            f"The model gives {_several(probe.outputs)} and y is {_several(y)}; a name stands for "
            "the loss of one output and one target. Give a loss for each, such as "
            "loss={'price': 'squared_error', 'kind': ('cross_entropy', 0.5)} (0.5 is its weight), "
            "or a function loss(outputs, y) -> [B]."
        )
    same_as_input = hasattr(x, "shape") and x.shape == y.shape and bool((x == y).all())
    part = Part(
        probe.outputs,
        y,
        facts[0],
        same_as_input,
        functools.lru_cache(maxsize=1)(lambda: output_range(model, x, settings.seed)),
        model.head,
    )
    return Chosen(*named_loss(loss, part, settings.quantiles))


def _several(tree: Any) -> str:
    if hasattr(tree, "shape"):
        return f"one array {['B', *tree.shape[1:]]}"
    if isinstance(tree, Mapping):
        return f"a mapping of {', '.join(map(repr, tree))}"
    return f"a {type(tree).__name__} of {len(jax.tree.leaves(tree))} arrays"


def _as_it_is(outputs: Array) -> Array:
    return outputs
