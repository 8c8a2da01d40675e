"""A default is stated once: settings, estimators and the engine agree on it."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from descend import defaults
from descend.settings import OPTIMIZERS, Settings
from descend.training.build import default_batch_size, default_learning_rate
from descend.training.stopping import Limits

FIELDS = {field.name: field.default for field in dataclasses.fields(Settings)}
CALLED = {"max_epochs": "epochs", "validation_fraction": "validation", "random_state": "seed"}
"""Parameters of the estimators that have scikit-learn's names."""
OTHERWISE = {"max_epochs", "random_state"}
"""Defaults that follow scikit-learn's conventions instead."""
OF_ESTIMATORS = {"class_weight", "verbose", "warm_start"}


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
    assert ours == theirs


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
