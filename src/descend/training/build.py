"""From settings and a schema to a network and a problem: every `auto` that needs no measuring."""

from __future__ import annotations

import functools
import math

import jax
from optax import GradientTransformation

from descend.choices import CLASS_LOSSES
from descend.data.prepare import Prepared
from descend.data.rows.budget import BASE, MIB, divide
from descend.data.rows.sparse_store import SparseStore
from descend.data.schema.columns import (
    RegressionTarget,
    Schema,
    Target,
)
from descend.defaults import (
    EFFORTS,
    HIDDEN,
    LARGEST_BATCH,
    LEARNING_RATES,
    LEAST_UPDATES,
    OPTIMIZER,
    PLANNED_EPOCHS,
    PLANNED_PATIENCE,
    SCHEDULE,
    TABULAR_BATCH,
    TABULAR_LEARNING_RATE,
    TABULAR_OPTIMIZER,
    TABULAR_SCHEDULE,
    TABULAR_WEIGHT_DECAY,
)
from descend.errors import SettingsError, option_text
from descend.settings import Settings
from descend.training.class_weights import loss_of, weights_by_code
from descend.training.effort import planned_epochs
from descend.training.forward import program_of
from descend.training.losses import resolve_loss
from descend.training.network.bins import find_bins, sample
from descend.training.network.day_codes import elapsed_days
from descend.training.network.from_settings import network_of
from descend.training.network.models import Network
from descend.training.network.tabular import (
    NEWEST_VERSION,
    SCALE_RATE,
    each_member,
    for_tabular,
    without_scales,
)
from descend.training.optimizers import FINDS_ITS_RATE, OF_EACH_WEIGHT, make_optimizer
from descend.training.problem import Problem
from descend.training.stopping_state import Limits
from descend.types import Params

PLANNED = ("cosine", "one-cycle", "warmup-stable-decay")
"""Schedules whose course needs to know the end."""
RISING = ("one-cycle", "warmup-stable-decay")
"""Schedules that rise by themselves."""
BY_GRADIENT = ("sgd", "momentum", "nesterov")
"""Update rules whose steps are as long as the gradient is."""
WEIGHT_BYTES = 128
"""Memory of training for each weight, as measured with momentum: weights, what the update rule
remembers, their mean, the best ones, gradients, and the copies that a checkpoint is made from."""


def problem_of(settings: Settings, prepared: Prepared, *, version: int = NEWEST_VERSION) -> Problem:
    """The training problem for a prepared table; `loss` must be resolved.

    Args:
        settings: of the run.
        prepared: the rows.
        version: of the tabular network.
    """
    bins = None
    if settings.model == "tabular":
        days = elapsed_days(prepared.schema)
        held_out = sample(prepared.validation, settings.seed).numeric
        rows = sample(prepared.sampled, settings.seed)
        target = rows.target if version > 1 else None
        bins = find_bins(rows.numeric, rows.weight, target, days, held_out)
    sparse = isinstance(prepared.training, SparseStore)
    network = network_of(settings, prepared.schema, prepared.encoder, bins, sparse=sparse)
    if settings.memory is not None:
        _check_memory(settings, network)
    per_example = loss_of(settings, prepared.schema.target).per_example
    optimizer = make_optimizer(settings)
    several = settings.members != 1 and prepared.schema.task == "regression"
    return Problem(
        store=prepared.training,
        validation=prepared.validation,
        init=network.init if version > 2 else functools.partial(_init_before_scales, network),
        apply=network.apply,
        per_example=per_example,
        optimizer=optimizer if bins is None else _for_tabular(optimizer, settings),
        l2=settings.l2,
        seed=settings.seed,
        averaging=settings.averaging,
        rising=rises(settings),
        members=None if network.members is None else (network.members, each_member(per_example)),
        one_kernel=settings.model == "linear",
        working=None if settings.memory is None else divide(settings.memory).working,
        forward=None
        if bins is None
        else program_of(network, settings, prepared.schema.target, several=several),
    )


def _for_tabular(rule: GradientTransformation, settings: Settings) -> GradientTransformation:
    return for_tabular(rule, SCALE_RATE if settings.optimizer in OF_EACH_WEIGHT else 1.0)


def _init_before_scales(network: Network, seed: int) -> Params:
    return without_scales(network.init(seed))


def _check_memory(settings: Settings, network: Network) -> None:
    """Refuse a network whose training would not keep within `--memory`."""
    weights = sum(leaf.size for leaf in jax.tree.leaves(network.init(settings.seed)))
    budget = divide(settings.memory)
    needed = WEIGHT_BYTES * weights
    if needed > budget.working:
        enough = -(-(BASE + round((budget.total - BASE) * needed / budget.working)) // MIB)
        raise SettingsError(
            f"{option_text('hidden', settings.hidden or ())} makes a network of {weights:,} "
            f"weights; training it takes about {needed / MIB:,.0f} MiB, and "
            f"{option_text('memory')} leaves "
            f"{budget.working / MIB:,.0f} MiB for that. Type fewer units, or "
            f"{option_text('memory', enough * MIB, typed=f'{enough}MiB')}."
        )


def rises(settings: Settings) -> bool:
    """Whether the learning rate rises over the first updates, although no warm-up is named."""
    return (
        settings.warmup == "auto"
        and settings.optimizer not in FINDS_ITS_RATE
        and settings.schedule not in RISING
    )


def resolve_task(settings: Settings, schema: Schema) -> Settings:
    """The settings with task and loss decided.

    Raises:
        SettingsError: the loss or the class weights do not fit the task, or the batch is larger
            than the table.
    """
    loss = loss_for_target(settings.loss, schema.target)
    weights_by_code(settings, schema.target)
    return resolve_for_rows(settings.replace(task=schema.task, loss=loss), schema.rows.training)


def loss_for_target(loss: str, target: Target) -> str:
    """The loss that is meant for a target.

    Raises:
        SettingsError: it does not fit the task.
    """
    if loss == "auto" and isinstance(target, RegressionTarget) and not target.standardised:
        return "binary_cross_entropy"  # Where no loss is named, labels alone keep their scale.
    return loss_for_task(loss, target.task)


def loss_for_task(loss: str, task: str) -> str:
    """The loss that is meant in a task.

    Raises:
        SettingsError: it does not fit the task.
    """
    found = resolve_loss(loss, task)
    if (found in CLASS_LOSSES) != (task == "classification"):
        fitting = "cross_entropy" if task == "classification" else "squared_error"
        raise SettingsError(
            f"{option_text('loss', found)} does not fit {task}; type "
            f"{option_text('loss', fitting)} or leave it out."
        )
    return found


def resolve_for_rows(settings: Settings, rows: int) -> Settings:
    """The settings with every `auto` decided that needs no measuring, for a number of rows.

    Raises:
        SettingsError: the batch is larger than the table.
    """
    if isinstance(settings.batch_size, int) and settings.batch_size > rows:
        raise SettingsError(
            f"{option_text('batch_size', settings.batch_size)} is larger than the {rows:,} "
            "training rows; "
            f"type at most {rows}, or {option_text('batch_size', 'all')} for gradient descent."
        )
    settings = with_model_defaults(settings)
    if settings.epochs is None and settings.schedule in PLANNED:
        epochs = PLANNED_EPOCHS
        if settings.model == "tabular":
            epochs = planned_epochs(settings.effort, rows)
        return settings.replace(epochs=epochs)
    return settings


def with_model_defaults(settings: Settings) -> Settings:
    """The settings with what suits the model where nothing was named; again it changes nothing.

    Raises:
        SettingsError: something is named that only the tabular network has.
    """
    tabular = settings.model == "tabular"
    for name in ("members", "networks"):
        value = getattr(settings, name)
        if not tabular and value not in (None, 1):
            raise SettingsError(
                f"{option_text(name, value)} is for {option_text('model', 'tabular')}; found "
                f"{option_text('model', settings.model)}. Leave one of them out."
            )
    optimizer, schedule = settings.optimizer, settings.schedule
    if optimizer == "auto":
        optimizer = TABULAR_OPTIMIZER if tabular else OPTIMIZER
    if schedule == "auto":
        cycle = tabular and optimizer not in FINDS_ITS_RATE
        schedule = TABULAR_SCHEDULE if cycle else SCHEDULE
    changes: dict[str, object] = {"optimizer": optimizer, "schedule": schedule}
    if settings.hidden is None:
        # A linear model has no layers; runs record those of the mlp for it.
        changes["hidden"] = HIDDEN.get(settings.model, HIDDEN["mlp"])
    if tabular and settings.members is None:
        changes["members"] = EFFORTS[settings.effort].members
    if tabular and settings.networks is None:
        changes["networks"] = EFFORTS[settings.effort].networks
    if tabular and settings.weight_decay is None and optimizer == "adamw":
        changes["weight_decay"] = TABULAR_WEIGHT_DECAY
    return settings.replace(**changes)


def with_default_numbers(settings: Settings, rows: int, inputs: int = 0) -> Settings:
    """The settings with the usual numbers for a batch size and a learning rate left at `auto`.

    Args:
        settings: with the defaults of the model.
        rows: to learn from.
        inputs: standardised numbers in a row, where they are known.
    """
    size, rate = settings.batch_size, settings.learning_rate
    if size == "auto":
        size = default_batch_size(rows)
    size = rows if size == "all" else min(int(size), rows)
    if rate == "auto":
        rate = default_learning_rate(settings.optimizer)
        if settings.model == "tabular" and settings.optimizer in ("adam", "adamw"):
            rate = TABULAR_LEARNING_RATE * min(1.0, math.sqrt(size / TABULAR_BATCH))
        rate = min(rate, stable_rate(settings, size, inputs))
    return settings.replace(batch_size=size, learning_rate=rate)


def stable_rate(settings: Settings, size: int, inputs: int) -> float:
    """The rate at which one batch moves a linear model no farther than to its own minimum.

    The squared error of a linear model curves by |x|² along a row x, whose mean is the number d
    of standardised inputs; over a batch of B rows by about d/B, where that is large. With momentum
    m a gradient moves the weights by rate/(1 - m) in the end. So rate = (1 - m)·B/d. It is
    infinite where nothing of this holds: for other models and rules, or d not known (0).
    """
    if settings.model != "linear" or settings.optimizer not in BY_GRADIENT or not inputs:
        return math.inf
    kept = 0.0 if settings.optimizer == "sgd" else settings.momentum
    return (1.0 - kept) * size / inputs


def limits_of(settings: Settings) -> Limits:
    """What ends a run.

    A schedule that is planned to the end of the run lowers the rate by itself: only a lack of
    improvement over at least half of the epochs ends it early. The schedule
    `warmup-stable-decay` lowers it earlier where the validation loss falls slowly.
    """
    early = settings.schedule == "warmup-stable-decay"
    patience, epochs, seconds = settings.patience, settings.epochs, settings.time_budget
    by_itself = early or (settings.schedule in PLANNED and settings.model == "tabular")
    if not by_itself or epochs is None:
        return Limits(patience, epochs, seconds)
    # With a patience of all epochs nothing is meant to end the run before its last.
    early = early and patience < epochs
    patience = max(patience, math.ceil(PLANNED_PATIENCE * epochs))
    return Limits(patience, epochs, seconds, lower_first=False, early_decay=early)


def default_batch_size(rows: int) -> int:
    """Where `auto` stands without measuring: a power of two up to 256, at least 64 updates.

    >>> default_batch_size(100_000), default_batch_size(500)
    (256, 8)
    """
    power = 1 << int(math.log2(max(1, rows // LEAST_UPDATES)))
    return max(1, min(LARGEST_BATCH, power), min(8, rows))


def default_learning_rate(optimizer: str) -> float:
    """Where `auto` stands without measuring; rules that find their own rate get 1."""
    return LEARNING_RATES.get(optimizer, 1.0)
