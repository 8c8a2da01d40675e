"""Build the training problem from a custom model, loss or optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from descend.custom.checks import (
    Probe,
    check_differentiable,
    check_loss,
    check_rows_alone,
    probe_model,
    shaken,
)
from descend.custom.choose_loss import choose_loss
from descend.custom.class_weights import class_weight_text
from descend.custom.data import CustomRows, custom_rows, further_rows, with_facts_of
from descend.custom.families import custom_model, family_of
from descend.custom.lookups import Ranges, check_lookups
from descend.custom.losses import Chosen, known_name
from descend.custom.models import CustomModel, with_constant_state
from descend.custom.optimizers import (
    check_descends,
    check_in_proportion,
    check_rule,
    custom_rule,
)
from descend.custom.precision import check_narrow, in_precision, kind_of
from descend.custom.sources import is_table
from descend.custom.trees import TARGET
from descend.custom.weights import check_penalized, with_trained_weights, without_idle_weights
from descend.data.rows.layout import Layout
from descend.data.rows.store import MemoryStore, RowStore
from descend.errors import DataError, InputError, SettingsError
from descend.reporting.progress import Progress
from descend.runtime.trial_setup import MakeSetup, TrialSetup
from descend.settings import Settings
from descend.training.build import resolve_for_rows, rises
from descend.training.jax_setup import check_not_forked
from descend.training.kept_programs import keeping_its_programs
from descend.training.losses import Loss
from descend.training.optimizers import make_optimizer
from descend.training.problem import Problem
from descend.training.processes.messages import sharing_with_others
from descend.training.schedule_free import is_schedule_free
from descend.tuning.compare.methods import CUSTOM_RULE
from descend.types import Array, Params, join_variables, split_variables

PROBED_ROWS = 8
OF_NETWORKS = ("hidden", "activation", "effort", "members", "networks")
OF_RULES = ("momentum", "weight_decay", "clip")
OF_TABLES = (
    *("task", "exclude", "categorical", "numeric", "datetime", "missing", "date_order", "decimal"),
    "weight",
)
"""Settings without meaning if the network, the optimizer or the data comes from the user."""


class CustomParts(NamedTuple):
    """What the user passes: model, loss, optimizer and data.

    Attributes:
        model: as `descend.fit` takes it.
        loss: `(outputs, y) -> [B]`, a name, or a mapping or list of these for several outputs.
        optimizer: an Optax transformation, a function `learning_rate -> transformation`, or a
            name.
        data: the rows.
        validation: a fraction of them, or rows of their own.
        metrics: the user's metrics, `(predictions, y) -> number`, by name.
        validation_sets: further rows by name that the model is measured on.
        trainable: which weights are trained; None: all.
        class_weight: of the classes in y; None: 1 each.
        precision: the type in which the model computes; None: that of its layers and weights.
    """

    model: Any
    loss: Any
    optimizer: str | optax.GradientTransformation | Callable[..., Any]
    data: Any
    validation: Any
    metrics: Mapping[str, Callable[[Any, Any], float]] | None = None
    validation_sets: Mapping[str, Any] | None = None
    trainable: Any = None
    class_weight: Any = None
    precision: Any = None


class Forms(NamedTuple):
    """How arrays of a row store become what the model and the loss take.

    Attributes:
        inputs_of: inputs of the row store in the form in which the model takes them.
        targets_of: `(outputs of the problem, y) -> (outputs, targets)`, these in the user's form.
    """

    inputs_of: Callable[[Mapping[str, Any]], Any]
    targets_of: Callable[[Any, Any], tuple[Any, Any]]


class CustomProblem(NamedTuple):
    """A training problem, and what else a run of it needs.

    Attributes:
        setup: the problem.
        rows: what it learns from.
        model: as functions, and the way back.
        chosen: the loss.
        inputs_of: inputs of the row store in the form in which the model takes them.
        targets_of: `(outputs of the problem, y) -> (outputs, targets)`, these in the user's form.
        further: validation rows by name, beside those that decide.
        looked_up: the ranges of inputs by which the model looks things up; empty if it does not.
    """

    setup: TrialSetup
    rows: CustomRows
    model: CustomModel
    chosen: Chosen
    inputs_of: Callable[[Mapping[str, Any]], Any]
    targets_of: Callable[[Any, Any], tuple[Any, Any]]
    further: Mapping[str, MemoryStore]
    looked_up: Ranges

    @property
    def loss_name(self) -> str | None:
        """The name of the loss; None if it is a user's function."""
        return self.chosen.name


def custom_setup(own: CustomParts) -> MakeSetup:
    """The trial setup of a custom model, for advice or a comparison."""
    return lambda settings, progress: custom_problem(own, settings, progress).setup


def custom_problem(
    own: CustomParts, settings: Settings, progress: Progress, layout: Layout | None = None
) -> CustomProblem:
    """Check what the user passes and build the training problem from it.

    Args:
        own: it.
        settings: as the user gave them.
        progress: told where rows are kept.
        layout: what was decided before, for a run that goes on.

    Raises:
        InputError: the model couples rows or carries state, the data or an option cannot be used.
    """
    check_not_forked()
    kind = kind_of(own.precision, own.model)
    # Defaults of a custom model are those of the plain network.
    rule, settings = custom_rule(own.optimizer, settings.replace(model="mlp"))
    tabular = is_table(own.data)
    unused = (
        *OF_NETWORKS,
        *(() if rule is None else OF_RULES),
        *(() if tabular else OF_TABLES),
    )
    _check_unused(settings, unused)
    learned = settings
    if tabular and isinstance(own.loss, str):  # On which scale the target is learned.
        learned = settings.replace(loss=known_name(own.loss))
    rows = custom_rows(
        own.data,
        learned,
        own.validation,
        layout=layout,
        say=progress.message,
        class_weight=own.class_weight,
    )
    settings = resolve_for_rows(settings, len(rows.training))
    forms = _forms(rows)
    inputs_of, targets_of = forms
    few = rows.sampled.gather(np.arange(min(PROBED_ROWS, len(rows.sampled))))
    few = jax.tree.map(jnp.asarray, few)
    x, (_, y) = inputs_of(few.x), targets_of(with_targets(None, few.x), few.y)
    made, probe = _check_model(own, x, settings, progress)
    choice = choose_loss(own.loss, rows, made, probe, x, y, settings)
    further = further_rows(own.validation_sets or {}, rows, settings)
    for name, store in further.items():
        try:
            choose_loss(own.loss, with_facts_of(rows, store), made, probe, x, y, settings)
        except DataError as error:
            raise DataError(f"validation_sets[{name!r}]: {error}") from error
    if isinstance(own.loss, str) and own.loss == "auto" and family_of(own.model) == "keras":
        from descend.custom.keras_models import warn_of_compiled_loss

        warn_of_compiled_loss(own.model, choice.name)
    params = _check_loss_and_gradient(made, choice.loss, probe, x, y, settings)
    weights, _ = split_variables(params)
    check_penalized(weights, settings)
    own_rows = [rows.sampled, *([] if sharing_with_others() else [rows.validation])]
    looked_up = check_lookups(made.apply, inputs_of, params, [*own_rows, *further.values()])
    if kind is not None:  # What was checked are rows in full precision, which rounds less.
        narrow = in_precision(custom_model(own.model, x), kind)
        made = _with_state(with_trained_weights(narrow, settings.seed, own.trainable), probe)
        check_narrow(made.apply, params, x, kind)
    made, penalty = without_idle_weights(
        made, choice.loss, x, y, settings, own_rule=rule is not None
    )
    if rule is not None:
        settings = _check_rule(own.optimizer, rule, weights, settings)
    if probe.couples_rows and (_has_idle_rows(rows.sampled)):
        raise InputError(
            "The model takes the rows of a batch together (batch normalization), so rows of "
            "weight 0 would change what is learned from the others. Leave these rows out."
        )
    problem = _problem(rows, made, choice.loss, forms, probe, settings, rule, penalty)
    setup = _setup(own, problem, rows, settings, rule, choice.name, unused)
    return CustomProblem(setup, rows, made, choice, inputs_of, targets_of, further, looked_up)


def _check_loss_and_gradient(
    made: CustomModel, loss: Loss, probe: Probe, x: Any, y: Any, settings: Settings
) -> Params:
    """The initial weights, a little shaken, after the loss of some rows was found to be in order.

    Raises:
        InputError: the loss couples rows, is of another shape, or has no gradient.
    """
    check_loss(loss.per_example, probe.outputs, y)
    # Initial outputs are often all equal, and their variance over the batch 0 like that of a row.
    moved = made.apply(shaken(made.init(settings.seed), settings.seed, size=1.0), x)
    check_loss(loss.per_example, moved, y)
    params = shaken(made.init(settings.seed), settings.seed)
    weights, state = split_variables(params)
    check_differentiable(
        "The gradient of the loss",
        loss.per_example,
        lambda weights: made.apply(join_variables(weights, state, params), x),
        weights,
        y,
    )
    return params


def _check_rule(
    given: Any, rule: optax.GradientTransformation, weights: Params, settings: Settings
) -> Settings:
    """The settings for a rule of the user's, after it was found to be in order.

    Raises:
        InputError: the rule cannot be used.
    """
    check_rule(rule, weights)
    check_in_proportion(given, rule, weights)
    check_descends(rule, weights)
    if not is_schedule_free(jax.eval_shape(rule.init, weights)):
        return settings
    # It has a mean of the weights and a warm-up of its own.
    warmup = 0.0 if settings.warmup == "auto" else settings.warmup
    return settings.replace(averaging=False, warmup=warmup)


def _problem(
    rows: CustomRows,
    made: CustomModel,
    loss: Loss,
    forms: Forms,
    probe: Probe,
    settings: Settings,
    rule: optax.GradientTransformation | None,
    penalty: Callable[[Params], Array] | None,
) -> Problem:
    """The training problem of functions that were checked."""
    inputs_of, targets_of = forms

    @keeping_its_programs
    def apply(params: Params, x: Mapping[str, Any]) -> Any:
        return with_targets(made.apply(params, inputs_of(x)), x)

    def training_apply(
        weights: Params, state: Any, x: Mapping[str, Any], key: Array
    ) -> tuple[Any, Any]:
        assert made.training_apply is not None
        outputs, state = made.training_apply(weights, state, inputs_of(x), key)
        return with_targets(outputs, x), state

    def per_example(outputs: Any, y: Any) -> Array:
        return loss.per_example(*targets_of(outputs, y))

    return Problem(
        store=rows.training,
        validation=rows.validation,
        init=made.init,
        apply=apply,
        per_example=per_example,
        optimizer=rule or make_optimizer(settings),
        l2=settings.l2 if penalty is None else 0.0,
        seed=settings.seed,
        averaging=settings.averaging,
        rising=rises(settings),
        training_apply=training_apply if made.training_apply is not None else None,
        noisy=probe.noisy,
        couples_rows=probe.couples_rows,
        penalty=penalty or made.penalty,
    )


def _setup(
    own: CustomParts,
    problem: Problem,
    rows: CustomRows,
    settings: Settings,
    rule: optax.GradientTransformation | None,
    loss_name: str | None,
    unused: Sequence[str],
) -> TrialSetup:
    """The problem with what records say of it."""

    def again(optimizer: str, seed: int) -> Problem:
        # The split stays: an iterator cannot be gone through again.
        if optimizer == CUSTOM_RULE and rule is not None:
            return dataclasses.replace(problem, optimizer=rule, seed=seed)
        named = make_optimizer(settings.replace(optimizer=optimizer))
        return dataclasses.replace(problem, optimizer=named, seed=seed)

    counts = {"training": len(rows.training), "validation": len(rows.validation)}
    weights_text = class_weight_text(own.class_weight)
    return TrialSetup(
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
            **({} if own.precision is None else {"precision": own.precision}),
            **({} if weights_text is None else {"class_weight": weights_text}),
        },
        custom_optimizer=rule is not None,
        unused=frozenset(unused),
    )


def _forms(rows: CustomRows) -> Forms:
    """Functions that turn arrays of a row store into what the model and the loss take."""
    inputs, targets = rows.inputs, rows.targets

    def inputs_of(x: Mapping[str, Any]) -> Any:
        return x if inputs is None else inputs.assembled(x)

    def targets_of(outputs: Any, y: Any) -> tuple[Any, Any]:
        more: Mapping[str, Any] = {}
        if isinstance(outputs, _Composite):
            outputs, more = outputs
        return outputs, y if targets is None else targets.assembled({"y": y, **more})

    return Forms(inputs_of, targets_of)


class _Composite(NamedTuple):
    """Outputs together with the targets that a row store holds beside the first."""

    outputs: Any
    targets: dict[str, Any]


def with_targets(outputs: Any, x: Mapping[str, Any]) -> Any:
    """Pair the outputs with the targets that a row store holds among the inputs."""
    more = {name: values for name, values in x.items() if name.startswith(TARGET)}
    return _Composite(outputs, more) if more else outputs


def _check_model(
    own: CustomParts, x: Any, settings: Settings, progress: Progress
) -> tuple[CustomModel, Probe]:
    """The model as functions, tried on a few rows; warnings about it are given once."""
    made = with_trained_weights(custom_model(own.model, x), settings.seed, own.trainable, x)
    probe = probe_model(made, x, settings.seed)
    if family_of(own.model) == "keras":
        from descend.custom.keras_models import check_no_added_losses

        check_no_added_losses(own.model, made.init(settings.seed), x)
    made = _with_state(made, probe)
    if probe.couples_rows:
        progress.message(
            "The model takes the rows of a batch together while it is trained (batch "
            "normalization): the batch size changes the model, not only the noise. Predictions "
            "use its running state."
        )
        if settings.batch_size == 1:
            check_rows_alone(made, x, settings.seed)
    return made, probe


def _with_state(made: CustomModel, probe: Probe) -> CustomModel:
    """The model with its state as constants, where training neither uses nor changes it."""
    if made.training_apply is None or probe.differs or probe.noisy or probe.renews:
        return made
    return with_constant_state(made) if made.has_weights else made._replace(training_apply=None)


def _has_idle_rows(store: RowStore) -> bool:
    step = 8192
    return any(
        (store.gather(np.arange(start, min(start + step, len(store)))).weight == 0).any()
        for start in range(0, len(store), step)
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


def _name(part: Any) -> str:
    """The name of a function or class, for messages."""
    if isinstance(part, tuple):  # Functions (init, apply), an Optax transformation.
        return "own"
    name = str(getattr(part, "__name__", type(part).__name__))
    return "own" if name.startswith("<") else name
