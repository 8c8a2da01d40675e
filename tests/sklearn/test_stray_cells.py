"""Cells of a frame that are no numbers, in a column of numbers, and categories that are new."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest

from descend.errors import DataWarning
from descend.sklearn.estimators import MiniBatchClassifier, MiniBatchRegressor


@pytest.mark.parametrize("seed", range(4))
def test_a_word_among_numbers_is_missing_whether_it_is_held_out_or_not(seed: int) -> None:
    x = np.random.default_rng(0).normal(size=300).round(3)
    frame = pd.DataFrame({"x": x.astype(str)})
    frame.loc[7, "x"] = "oops"
    estimator = MiniBatchRegressor(
        "linear",
        batch_size=32,
        learning_rate=0.05,
        max_epochs=3,
        validation_fraction=0.5,
        random_state=seed,
    )
    with pytest.warns(DataWarning, match="'x' holds something else than the rest in 1 cell,"):
        estimator.fit(frame, 2 * x)


CITIES = pd.DataFrame({"city": np.resize(["x", "y", "z"], 90), "a": np.arange(90.0)})


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function", "score"])
@pytest.mark.parametrize("new", [["X", "Y", "Z"], ["x", "Y", "Z"], [1, 2, 3]])
def test_predictions_warn_once_of_categories_that_training_never_saw(method, new) -> None:
    y = np.resize([0, 1], 90)
    estimator = MiniBatchClassifier("linear", max_epochs=1, random_state=0).fit(CITIES, y)
    frame = CITIES.assign(city=np.resize(new, 90))
    given = (frame, y) if method == "score" else (frame,)
    with pytest.warns(DataWarning, match=r"column 'city' training never .* saw") as told:
        getattr(estimator, method)(*given)
    assert len(told) == 1


def test_predictions_do_not_warn_of_a_few_new_categories_or_of_other_numbers() -> None:
    estimator = MiniBatchRegressor("linear", max_epochs=1, random_state=0).fit(CITIES, CITIES.a)
    frame = CITIES.assign(a=CITIES.a * 0.37)
    frame.loc[5, "city"] = "new"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.predict(frame)


def test_intervals_warn_of_categories_that_training_never_saw() -> None:
    estimator = MiniBatchRegressor("linear", validation_fraction=0.4, random_state=0, max_epochs=1)
    estimator.fit(CITIES, CITIES.a)
    with pytest.warns(DataWarning, match="column 'city'"):
        estimator.predict_interval(CITIES.assign(city="new"), 0.5)
