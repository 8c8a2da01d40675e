"""With 64 bits switched on, advice, comparisons and estimators do what they do without."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.sklearn import MiniBatchClassifier, MiniBatchRegressor

pytestmark = pytest.mark.filterwarnings("error::FutureWarning")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(200, 3))
Y = X @ [1.0, 2.0, 3.0] + 0.1 * RANDOM.normal(size=200)
OPTIONS: dict[str, Any] = {"max_epochs": 2, "random_state": 0, "batch_size": 16}
wide = (lambda key: jnp.zeros((3, 1), jnp.float64), lambda params, x: x @ params)


def learned() -> list[Any]:
    fixed = {**OPTIONS, "model": "linear", "learning_rate": 0.05}
    classifier = MiniBatchClassifier(**fixed)
    for rows in (slice(0, 100), slice(100, 200)):
        classifier.partial_fit(X[rows], Y[rows] > 0, classes=[False, True])
    regressor = MiniBatchRegressor(**fixed).fit(X, Y)
    return [regressor.predict(X), regressor.coef_, classifier.predict_proba(X)]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.slow
def test_estimators_learn_the_same_to_the_bit() -> None:
    before = learned()
    with jax.enable_x64(True):
        after = learned()
    for one, other in zip(before, after, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("optimizer", ["momentum", optax.adam, optax.contrib.schedule_free_sgd])
def test_a_model_of_64_bits_learns_in_64_bits(optimizer: Any) -> None:
    with jax.enable_x64(True):
        asked = {"batch_size": 16, "learning_rate": 0.05, "epochs": 4}
        run = descend.fit(wide, (X, Y), optimizer=optimizer, **asked)
        assert run.params.dtype == np.float64
        assert run.predict(X).dtype == np.float64
        assert run.history[-1].validation_loss < 0.5 * run.history[0].validation_loss


@pytest.mark.slow
def test_advice_and_comparisons_are_made_in_64_bits(tmp_path: Path) -> None:
    with jax.enable_x64(True):
        advice = descend.advise(wide, (X, Y), advice_budget=1.0)
        assert 1 <= advice.batch_size <= 200
        found = descend.compare(
            wide,
            (X, Y),
            batch_size=16,
            epochs=2,
            seeds=1,
            budget=60.0,
            advice_budget=0.5,
            out=tmp_path / "compare",
        )
    assert {"mini-16-sgd", "stochastic-1-sgd"} <= {line["method"]["name"] for line in found.table}
