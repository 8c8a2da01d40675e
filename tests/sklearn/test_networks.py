"""Estimators that train several networks, one after another."""

from typing import Any

import numpy as np
import pytest

from descend.sklearn import MiniBatchClassifier, MiniBatchRegressor
from descend.training.several_networks import unstack
from tests.problems import same_bits

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(300, 3))
Y = X @ [1.0, -2.0, 0.5] + 0.1 * RANDOM.normal(size=300)
SMALL: dict[str, Any] = {"hidden": (8,), "members": 1, "max_epochs": 6, "random_state": 0}


def test_the_prediction_is_the_mean_of_the_networks() -> None:
    one = MiniBatchRegressor(**SMALL).fit(X, Y)
    three = MiniBatchRegressor(networks=3, **SMALL).fit(X, Y)
    networks = unstack(three.model_.params)
    assert len(networks) == 3
    assert same_bits(networks[0], one.model_.params)
    assert not np.allclose(three.predict(X), one.predict(X))
    assert three.n_iter_ == 18


def test_the_last_weights_of_each_are_kept_without_early_stopping() -> None:
    options = {**SMALL, "early_stopping": False}
    one = MiniBatchRegressor(**options).fit(X, Y)
    two = MiniBatchRegressor(networks=2, **options).fit(X, Y)
    assert same_bits(unstack(two.model_.params)[0], one.model_.params)


@pytest.mark.slow
def test_warm_start_goes_on_from_the_weights_of_each() -> None:
    estimator = MiniBatchClassifier(networks=2, warm_start=True, **SMALL)
    estimator.fit(X, Y > 0)
    before = unstack(estimator.model_.params)
    estimator.set_params(learning_rate=1e-12).fit(X, Y > 0)
    after = unstack(estimator.model_.params)
    for old, new in zip(before, after, strict=True):
        np.testing.assert_allclose(
            old["layers"][0]["kernel"], new["layers"][0]["kernel"], atol=1e-6
        )


@pytest.mark.slow
def test_partial_fit_trains_one_network_and_does_not_go_on_with_several() -> None:
    estimator = MiniBatchRegressor(networks=2, **SMALL).partial_fit(X, Y)
    assert len(unstack(estimator.model_.params)) == 1
    fitted = MiniBatchRegressor(networks=2, **SMALL).fit(X, Y)
    with pytest.raises(ValueError, match="one network; found 2"):
        fitted.partial_fit(X, Y)
