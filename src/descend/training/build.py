"""From settings and a schema to a network and a problem: every `auto` that needs no measuring."""

from __future__ import annotations

import math

import jax
import numpy as np

from descend.data.encoding.encoder import Encoder
from descend.data.prepare import Prepared
from descend.data.rows.budget import BASE, MIB, divide
from descend.data.schema.columns import ClassificationTarget, Schema
from descend.defaults import LARGEST_BATCH, LEARNING_RATES, LEAST_UPDATES, PLANNED_EPOCHS
from descend.errors import SettingsError
from descend.settings import Settings
from descend.training.losses import LOSSES, resolve_loss
from descend.training.models import Inputs, Network, linear, mlp
from descend.training.optimizers import FINDS_ITS_RATE, make_optimizer
from descend.training.problem import Problem

PLANNED = ("cosine", "one-cycle")
"""Schedules whose course needs to know the end."""
LEAST_RATE_FOR_LOG = 1e-6
WEIGHT_BYTES = 128
"""Memory of training for each weight, as measured with momentum: weights, what the update rule
remembers, their mean, the best ones, gradients, and the copies that a checkpoint is made from."""


def network_of(settings: Settings, schema: Schema, encoder: Encoder) -> Network:
    """The network that the settings name, for the columns of a schema.

    The bias of its outputs begins at the trivial prediction: the mean, the log of the mean rate,
    or the log-odds of the classes.
    """
    inputs = Inputs(len(encoder.numeric_names), encoder.category_sizes)
    bias = _trivial_outputs(settings, schema)
    if settings.model == "linear":
        return linear(inputs, bias)
    return mlp(inputs, bias, settings.hidden, settings.activation)


def problem_of(settings: Settings, prepared: Prepared) -> Problem:
    """The problem that the settings pose on a prepared table; `loss` must be resolved."""
    network = network_of(settings, prepared.schema, prepared.encoder)
    if settings.memory is not None:
        _check_memory(settings, network)
    return Problem(
        store=prepared.training,
        validation=prepared.validation,
        init=network.init,
        apply=network.apply,
        per_example=LOSSES[settings.loss].per_example,
        optimizer=make_optimizer(settings),
        l2=settings.l2,
        seed=settings.seed,
        averaging=settings.averaging,
        rising=rises(settings),
        one_kernel=settings.model == "linear",
    )


def _check_memory(settings: Settings, network: Network) -> None:
    """Refuse a network whose training would not keep within `--memory`."""
    weights = sum(leaf.size for leaf in jax.tree.leaves(network.init(settings.seed)))
    budget = divide(settings.memory)
    needed = WEIGHT_BYTES * weights
    if needed > budget.working:
        least = BASE + round((budget.total - BASE) * needed / budget.working)
        raise SettingsError(
            f"--hidden {','.join(map(str, settings.hidden))} makes a network of {weights:,} "
            f"weights; training it takes about {needed / MIB:,.0f} MiB, and --memory leaves "
            f"{budget.working / MIB:,.0f} MiB for that. Type fewer units, or --memory "
            f"{-(-least // MIB)}MiB."
        )


def rises(settings: Settings) -> bool:
    """Whether the learning rate rises over the first updates, although no warm-up is named."""
    return settings.warmup == "auto" and settings.optimizer not in FINDS_ITS_RATE


def resolved(settings: Settings, schema: Schema) -> Settings:
    """The settings with task and loss decided.

    Raises:
        SettingsError: the loss does not fit the task, or the batch is larger than the table.
    """
    loss = fitting_loss(settings.loss, schema.task)
    return fitted(settings.replace(task=schema.task, loss=loss), schema.rows.training)


def fitting_loss(loss: str, task: str) -> str:
    """The loss that is meant in a task.

    Raises:
        SettingsError: it does not fit the task.
    """
    found = resolve_loss(loss, task)
    if (found == "cross_entropy") != (task == "classification"):
        fitting = "cross_entropy" if task == "classification" else "squared_error"
        raise SettingsError(
            f"--loss {found} does not fit {task}; type --loss {fitting} or leave it out."
        )
    return found


def fitted(settings: Settings, rows: int) -> Settings:
    """The settings for so many training rows, with an end where the schedule needs one.

    Raises:
        SettingsError: the batch is larger than the table.
    """
    if isinstance(settings.batch_size, int) and settings.batch_size > rows:
        raise SettingsError(
            f"--batch-size {settings.batch_size:,} is larger than the {rows:,} training rows; "
            f"type at most {rows}, or --batch-size all for gradient descent."
        )
    if settings.epochs is None and settings.schedule in PLANNED:
        return settings.replace(epochs=PLANNED_EPOCHS)
    return settings


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


def _trivial_outputs(settings: Settings, schema: Schema) -> list[float]:
    target = schema.target
    if isinstance(target, ClassificationTarget):
        logs = np.log(np.asarray(target.counts, dtype=np.float64) / sum(target.counts))
        return [float(logs[1] - logs[0])] if len(logs) == 2 else [float(value) for value in logs]
    if settings.loss == "poisson":
        return [math.log(max(mean, LEAST_RATE_FOR_LOG)) for mean in target.mean]
    return [0.0] * len(target.names)
