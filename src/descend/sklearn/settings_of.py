"""The settings that the parameters of an estimator stand for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from descend.choices import CLASS_LOSSES
from descend.defaults import ESTIMATOR_EPOCHS, QUANTILES
from descend.errors import SettingsError, parameters_named
from descend.peer_names import LOSS_NAMES, plain_name
from descend.runtime.together import same_number
from descend.settings import Settings
from descend.sklearn.other_names import PARAMETERS
from descend.sklearn.partial_fit import NEVER
from descend.sklearn.validation import seed_of
from descend.training.build import with_model_defaults
from descend.training.losses import resolve_loss

if TYPE_CHECKING:
    from descend.sklearn.base import MiniBatchEstimator

SAME_NAMES = (
    *("model", "effort", "members", "networks", "activation"),
    *("batch_size", "batch_schedule", "learning_rate", "optimizer", "momentum", "schedule"),
    *("l2", "weight_decay", "clip", "averaging", "warmup", "time_budget", "goal"),
)
"""Parameters that are settings of the same name and meaning."""
LABELS = "several labels to a row, whose loss is binary_cross_entropy ('auto')"
NETWORK = ("model", "members", "networks", "hidden", "activation", "loss", "quantiles")
"""Parameters that decide what weights there are: fixed once there are any."""


def settings_of(estimator: MiniBatchEstimator, task: str, named: str) -> Settings:
    """The parameters as settings, checked.

    Args:
        estimator: with the parameters.
        task: `regression` or `classification`.
        named: the loss that they name, or `auto`.

    Raises:
        ValueError: a parameter has an impossible value.
    """
    loss = resolve_loss(LOSS_NAMES.get(plain_name(named), named), task)
    if (loss in CLASS_LOSSES) != (task == "classification"):
        learned = task if task == "classification" or not hasattr(estimator, "classes_") else LABELS
        raise ValueError(f"loss={estimator.loss!r} does not fit {learned}.")
    if not 0 <= estimator.validation_fraction < 1:
        raise ValueError(
            "validation_fraction must be at least 0 and less than 1; "
            f"found {estimator.validation_fraction!r}."
        )
    hidden = estimator.hidden
    if hidden is not None:
        hidden = tuple(np.atleast_1d(hidden).tolist())
    settings = _make_settings(
        **{name: getattr(estimator, name) for name in SAME_NAMES},
        target="y",
        task=task,
        hidden=hidden,
        loss=loss,
        quantiles=levels_of(estimator),
        categorical=categories_of(estimator),
        epochs=_most_epochs(estimator),
        patience=estimator.patience if estimator.early_stopping else NEVER,
        seed=same_number(seed_of(estimator.random_state)),
    )
    return with_model_defaults(settings)


def categories_of(estimator: MiniBatchEstimator) -> tuple[str, ...]:
    """The names of the columns that hold categories, whatever they look like."""
    if isinstance(estimator.categorical, str):
        return (estimator.categorical,)
    return tuple(str(name) for name in estimator.categorical)


def levels_of(estimator: MiniBatchEstimator) -> tuple[float, ...]:
    """The quantiles that are predicted; none where the estimator predicts something else."""
    if estimator.quantiles is None:
        named = estimator.loss
        quantile = isinstance(named, str) and LOSS_NAMES.get(plain_name(named), named) == "quantile"
        return QUANTILES if quantile else ()
    return tuple(float(level) for level in np.atleast_1d(estimator.quantiles))


def _most_epochs(estimator: MiniBatchEstimator) -> int | None:
    if estimator.max_epochs is None and estimator.model != "tabular":
        return ESTIMATOR_EPOCHS
    return estimator.max_epochs


def _make_settings(**options: Any) -> Settings:
    """Settings, or a ValueError that calls them as the parameters of an estimator are called."""
    try:
        with parameters_named(PARAMETERS):
            return Settings(**options)
    except SettingsError as error:
        raise ValueError(str(error)) from None


def with_numbers(settings: Settings, batch_size: int | str, rate: float | str) -> Settings:
    """Settings with numbers in place of `auto`."""
    return settings.replace(
        batch_size=batch_size if settings.batch_size == "auto" else settings.batch_size,
        learning_rate=rate if settings.learning_rate == "auto" else settings.learning_rate,
    )


def check_same_network(now: Settings, before: Settings, who: str) -> None:
    """Refuse parameters that the weights of an earlier fit do not belong to.

    Raises:
        ValueError: one of `NETWORK` changed.
    """
    for name in NETWORK:
        if getattr(now, name) != getattr(before, name):
            raise ValueError(
                f"{who} goes on from weights learned with {name}={getattr(before, name)!r}; "
                f"found {name}={getattr(now, name)!r}. Set it back, or begin anew: "
                "warm_start=False and fit."
            )
