"""A model, a loss and an optimizer that are not ours, posed as a problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import optax

from descend.custom.data import CustomRows, custom_rows, is_table
from descend.custom.models import CustomModel, check_rows_apart, custom_model
from descend.data.rows.layout import Layout
from descend.errors import DataError, InputError, SettingsError
from descend.reporting.progress import Progress
from descend.runtime.trial_setup import MakeSetup, TrialSetup
from descend.settings import Settings
from descend.training.build import fitted, fitting_loss, rises
from descend.training.losses import LOSSES, Loss, resolve_loss
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.tuning.compare.methods import CUSTOM_RULE
from descend.types import Array, Params

PROBED_ROWS = 8
OF_NETWORKS = ("hidden", "activation")
OF_RULES = ("momentum", "weight_decay", "clip")
OF_TABLES = ("task", "exclude", "categorical", "weight")
"""Settings that mean nothing where the network, the update rule or the data is the user's own."""

PerExample = Callable[[Array, Array], Array]


class CustomParts(NamedTuple):
    """What a user brings.

    Attributes:
        model: as `descend.fit` takes it.
        loss: `(outputs, y) -> [B]`, or the name of one of ours.
        optimizer: an Optax transformation, a function `learning_rate -> transformation`, or the
            name of a rule of ours.
        data: the rows.
        validation: a fraction of them, or rows of their own.
    """

    model: Any
    loss: str | PerExample
    optimizer: str | optax.GradientTransformation | Callable[..., Any]
    data: Any
    validation: Any


class CustomProblem(NamedTuple):
    """A posed problem, with what a run of it needs besides.

    Attributes:
        setup: the problem.
        rows: what it learns from.
        model: as functions, and the way back.
        loss: of a row, and its link.
        loss_name: None where the loss is not ours.
    """

    setup: TrialSetup
    rows: CustomRows
    model: CustomModel
    loss: Loss
    loss_name: str | None


def custom_setup(own: CustomParts) -> MakeSetup:
    """Somebody's own model, for an advice or a comparison."""
    return lambda settings, progress: custom_problem(own, settings, progress).setup


def custom_problem(
    own: CustomParts, settings: Settings, progress: Progress, layout: Layout | None = None
) -> CustomProblem:
    """Pose what a user brings, checked.

    Args:
        own: it.
        settings: as the user gave them.
        progress: told where rows are kept.
        layout: what was decided before, for a run that goes on.

    Raises:
        InputError: the model couples rows or carries state, the data or an option cannot be used.
    """
    made = custom_model(own.model)
    rule, settings = _rule(own.optimizer, settings)
    tabular = is_table(own.data)
    unused = (
        *OF_NETWORKS,
        *(() if rule is None else OF_RULES),
        *(() if tabular else OF_TABLES),
    )
    _check_unused(settings, unused)
    rows = custom_rows(own.data, settings, own.validation, layout=layout, say=progress.message)
    settings = fitted(settings, len(rows.training))
    chosen, loss_name = _chosen_loss(own.loss, rows)
    if rows.single:
        # What is asked of the model is one array; a store has its arrays by name.
        made = made._replace(apply=_of_one_array(made.apply), changed=_of_one_array(made.changed))
    few = rows.training.gather(np.arange(min(PROBED_ROWS, len(rows.training))))
    outputs = check_rows_apart(made, chosen.per_example, few, settings.seed)
    if loss_name == "cross_entropy" and rows.labels is not None:
        _check_classes(rows.labels, outputs)
    problem = Problem(
        store=rows.training,
        validation=rows.validation,
        init=made.init,
        apply=made.apply,
        per_example=chosen.per_example,
        optimizer=rule or make_optimizer(settings),
        l2=settings.l2,
        seed=settings.seed,
        averaging=settings.averaging,
        rising=rises(settings),
    )

    def again(optimizer: str, seed: int) -> Problem:
        # The split stays: an iterator cannot be gone through again.
        if optimizer == CUSTOM_RULE and rule is not None:
            return dataclasses.replace(problem, optimizer=rule, seed=seed)
        named = make_optimizer(settings.replace(optimizer=optimizer))
        return dataclasses.replace(problem, optimizer=named, seed=seed)

    counts = {"training": len(rows.training), "validation": len(rows.validation)}
    setup = TrialSetup(
        problem,
        settings,
        {
            "source": None,
            "fingerprint": rows.fingerprint,
            "layout": rows.layout.as_json(),
            "rows": {**counts, "total": sum(counts.values())},
            "task": None if rows.encoder is None else rows.encoder.schema.task,
            "columns": rows.columns,
        },
        again,
        own={
            "model": _name(own.model),
            "loss": loss_name or _name(own.loss),
            **({} if rule is None else {"optimizer": _name(own.optimizer)}),
        },
        custom_optimizer=rule is not None,
        unused=frozenset(unused),
    )
    return CustomProblem(setup, rows, made, chosen, loss_name)


def _rule(
    optimizer: Any, settings: Settings
) -> tuple[optax.GradientTransformation | None, Settings]:
    """The user's own update rule, or None; one with a rate of its own is multiplied by 1."""
    if isinstance(optimizer, str):
        return None, settings
    if isinstance(optimizer, optax.GradientTransformation):
        rate = 1.0 if settings.learning_rate == "auto" else settings.learning_rate
        warmup = 0.0 if settings.warmup == "auto" else settings.warmup  # It has its own course.
        return optimizer, settings.replace(learning_rate=rate, warmup=warmup)
    if callable(optimizer):
        made = optimizer(1.0)
        if isinstance(made, optax.GradientTransformation):
            return made, settings
    raise InputError(
        "Expected as optimizer the name of an update rule, an Optax transformation such as "
        "optax.adam(1e-3), or a function of the learning rate such as optax.adam; found "
        f"{optimizer!r}."
    )


def _check_unused(settings: Settings, unused: Sequence[str]) -> None:
    usual = Settings(target=settings.target)
    for name in unused:
        if getattr(settings, name) != getattr(usual, name):
            what = (
                "put it into the Optax transformation"
                if name in OF_RULES
                else "the model is your own"
                if name in OF_NETWORKS
                else "the data is no table"
            )
            raise SettingsError(f"{name} means nothing here: {what}. Leave it out.")


def _chosen_loss(loss: str | PerExample, rows: CustomRows) -> tuple[Loss, str | None]:
    """The loss of a row by itself and its link, and its name where it is ours."""
    if callable(loss):
        return Loss(loss, _as_it_is), None
    if rows.encoder is not None:
        name = fitting_loss(loss, rows.encoder.schema.task)
        return LOSSES[name], name
    name = resolve_loss(loss, "regression" if rows.labels is None else "classification")
    if name == "cross_entropy":
        if rows.labels is None:
            raise SettingsError("loss='cross_entropy' needs y as whole numbers [B]; found others.")
        return LOSSES[name], name
    return Loss(_flattened(LOSSES[name].per_example), LOSSES[name].link), name


def _check_classes(labels: tuple[int, int], outputs: tuple[int, ...]) -> None:
    # One output is the log-odds of the second of two classes.
    classes = max(2, outputs[-1]) if len(outputs) == 2 else 0
    if labels[0] < 0 or labels[1] >= classes:
        raise DataError(
            f"Expected classes from 0 to {classes - 1} in y, as many as the outputs "
            f"{['B', *outputs[1:]]} of the model stand for; found {labels[0]} to {labels[1]}."
        )


def _flattened(per_example: PerExample) -> PerExample:
    """The same loss for outputs and targets of any shape."""

    def flat(outputs: Array, y: Array) -> Array:
        count = outputs.shape[0]
        return per_example(outputs.reshape(count, -1), y.reshape(count, -1))

    return flat


def _as_it_is(outputs: Array) -> Array:
    return outputs


def _of_one_array(called: Callable[[Params, Any], Any]) -> Callable[[Params, Any], Any]:
    return lambda params, x: called(params, x["x"])


def _name(part: Any) -> str:
    """What people call it: the name of a function or of a class."""
    if isinstance(part, tuple):  # Functions (init, apply), an Optax transformation.
        return "own"
    name = str(getattr(part, "__name__", type(part).__name__))
    return "own" if name.startswith("<") else name
