"""A default is stated once: settings, estimators and the engine agree on it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
from typing import Any

import pytest

from descend import defaults
from descend.choices import MODELS, OPTIMIZERS, SCHEDULES
from descend.defaults import COMPARE_DEFAULTS
from descend.settings import Settings
from descend.training.build import default_batch_size, default_learning_rate
from descend.training.stopping_state import Limits

FIELDS = {field.name: field.default for field in dataclasses.fields(Settings)}
CALLED = {"max_epochs": "epochs", "validation_fraction": "validation", "random_state": "seed"}
"""Parameters of the estimators that have scikit-learn's names."""
OTHERWISE = {"max_epochs", "random_state"}
"""Defaults that follow scikit-learn's conventions instead."""
OF_ESTIMATORS = {"class_weight", "early_stopping", "quantiles", "verbose", "warm_start"}
"""Parameters without a setting of the same meaning (`quantiles` may be one number here)."""


@pytest.mark.parametrize("name", ["MiniBatchRegressor", "MiniBatchClassifier"])
def test_estimators_have_the_defaults_of_settings(name: str) -> None:
    pytest.importorskip("sklearn")
    import descend

    parameters = inspect.signature(getattr(descend, name)).parameters
    for parameter, found in parameters.items():
        if parameter not in OF_ESTIMATORS | OTHERWISE:
            assert found.default == FIELDS[CALLED.get(parameter, parameter)], parameter


def test_estimators_agree_with_each_other() -> None:
    pytest.importorskip("sklearn")
    from descend import MiniBatchClassifier, MiniBatchRegressor

    ours, theirs = (
        {name: one.default for name, one in inspect.signature(kind).parameters.items()}
        for kind in (MiniBatchRegressor, MiniBatchClassifier)
    )
    theirs.pop("class_weight")
    ours.pop("quantiles")
    assert ours == theirs


@pytest.mark.parametrize("function", ["train", "advise", "compare", "fit"])
def test_functions_have_the_defaults_of_settings(function: str) -> None:
    import descend

    changed = COMPARE_DEFAULTS if function == "compare" else {}
    if function == "fit":  # A custom model has the update rule of every model but the tabular one.
        changed = {"optimizer": defaults.OPTIMIZER}
    parameters = inspect.signature(getattr(descend, function)).parameters
    for name in FIELDS.keys() & parameters.keys() - {"target", "model", "class_weight"}:
        assert parameters[name].default == changed.get(name, FIELDS[name]), name
    if function != "fit":
        model = parameters["model"].default if "model" in parameters else FIELDS["model"]
        assert model == changed.get("model", FIELDS["model"])


def test_every_model_that_has_hidden_layers_has_default_ones() -> None:
    assert set(defaults.HIDDEN) == set(MODELS) - {"linear"}
    assert {defaults.OPTIMIZER, defaults.TABULAR_OPTIMIZER} <= set(OPTIMIZERS)
    assert {defaults.SCHEDULE, defaults.TABULAR_SCHEDULE} <= set(SCHEDULES)
    assert set(defaults.LEARNING_RATES) <= set(OPTIMIZERS)


@pytest.mark.parametrize("described", [Settings, "MiniBatchRegressor"])
def test_docstrings_tell_the_defaults(described: Any) -> None:
    if isinstance(described, str):
        pytest.importorskip("sklearn")
        described = importlib.import_module("descend.sklearn.base").MiniBatchEstimator
    text = " ".join(str(described.__doc__).split())
    for model, hidden in defaults.HIDDEN.items():
        assert f"{hidden} for {model}" in text
    *others, last = (str(effort.members) for effort in defaults.EFFORTS.values())
    assert f"{', '.join(others)} or {last} by the effort" in text
    quick, usual, thorough = defaults.EFFORTS.values()
    assert quick.networks == usual.networks == 1
    assert f"None is 1, and {thorough.networks} for `thorough`" in text
    if described is Settings:
        assert f"{defaults.RISE_UPDATES} updates" in text
        decay, tabular = defaults.ADAMW_DECAY, defaults.TABULAR_WEIGHT_DECAY
        assert f"{decay} for adamw ({tabular} for tabular)" in text
        assert f"{defaults.PLANNED_EPOCHS} for cosine, one-cycle and warmup-stable-decay" in text
    else:
        assert f"{defaults.ROWS_WORTH_MEASURING:,} training rows" in text
        assert f"{defaults.LARGEST_BATCH} at most" in text
        assert f"{defaults.LEAST_UPDATES} updates an epoch" in text
        assert f"and {defaults.ESTIMATOR_EPOCHS} for the others" in text


def test_the_engine_agrees_with_settings() -> None:
    assert FIELDS["patience"] == Limits().patience == defaults.PATIENCE
    assert FIELDS["momentum"] == defaults.MOMENTUM
    assert FIELDS["validation"] == defaults.VALIDATION_FRACTION


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_rule_without_a_usual_rate_gets_one(optimizer: str) -> None:
    assert default_learning_rate(optimizer) == defaults.LEARNING_RATES.get(optimizer, 1.0)


@pytest.mark.parametrize("rows", [1, 7, 8, 100, 500, 5_000, 10**5, 10**7])
def test_the_usual_batch_is_a_power_of_two_that_gives_enough_updates(rows: int) -> None:
    size = default_batch_size(rows)
    assert size <= defaults.LARGEST_BATCH
    assert size == rows or size & (size - 1) == 0
    assert size <= 8 or rows // size >= defaults.LEAST_UPDATES
