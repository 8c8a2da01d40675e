"""Targets in the containers of pandas, of other widths, and of classes that fit has not seen."""

from __future__ import annotations

import numpy as np
import pytest

from descend import MiniBatchClassifier, MiniBatchRegressor

pytestmark = pytest.mark.filterwarnings("ignore:max_epochs=")

X = np.random.default_rng(0).normal(size=(200, 3))
CODES = np.digitize(X[:, 0], [-0.5, 0.5])
QUICK = {"model": "linear", "random_state": 0, "max_epochs": 3}


@pytest.mark.parametrize("kind", ["Int64", "int64[pyarrow]", "UInt64"])
def test_whole_numbers_of_pandas_stay_whole_and_apart(kind):
    pandas = pytest.importorskip("pandas")
    labels = 2**60 + CODES
    estimator = MiniBatchClassifier(**QUICK).fit(X, pandas.Series(labels, dtype=kind))
    assert estimator.classes_.tolist() == [2**60, 2**60 + 1, 2**60 + 2]
    plain = MiniBatchClassifier(**QUICK).fit(X, labels)
    assert np.array_equal(estimator.predict_proba(X), plain.predict_proba(X))
    estimator.partial_fit(X, pandas.Series(labels, dtype=kind))


@pytest.mark.parametrize("kind", ["boolean", "bool[pyarrow]"])
def test_booleans_of_pandas_are_predicted_as_booleans(kind):
    pandas = pytest.importorskip("pandas")
    estimator = MiniBatchClassifier(**QUICK).fit(X, pandas.Series(CODES > 0, dtype=kind))
    assert estimator.predict(X).dtype == bool


def test_labels_in_a_frame_of_pandas_may_be_of_types_that_know_missing_values():
    pandas = pytest.importorskip("pandas")
    labels = np.stack([CODES > 0, CODES > 1], axis=1)
    frame = pandas.DataFrame({"a": labels[:, 0], "b": labels[:, 1]})
    for kind in ("boolean", "Int8"):
        found = MiniBatchClassifier(**QUICK).fit(X, frame.astype(kind)).predict_proba(X)
        assert np.array_equal(found, MiniBatchClassifier(**QUICK).fit(X, labels).predict_proba(X))


@pytest.mark.parametrize("kind", ["string", "Int64", "boolean", "object"])
def test_missing_targets_of_pandas_are_counted(kind):
    pandas = pytest.importorskip("pandas")
    values = {"string": "a", "Int64": 3, "boolean": True, "object": "a"}
    y = pandas.Series([None, None, *[values[kind]] * 198], dtype=kind)
    with pytest.raises(ValueError, match="Input y contains NaN: 2 of its values"):
        MiniBatchClassifier(**QUICK).fit(X, y)


def test_a_class_of_validation_rows_alone_is_named_with_them():
    with pytest.raises(ValueError, match=r"validation_data has the class 7.* \[0, 1, 2\]\. Leave"):
        MiniBatchClassifier(**QUICK).fit(X, CODES, validation_data=(X[:9], np.full(9, 7)))


def test_classes_may_be_a_set():
    estimator = MiniBatchClassifier(model="linear").partial_fit(X, CODES, classes={0, 1, 2, 3})
    assert estimator.partial_fit(X, CODES, classes={3, 2, 1, 0}).classes_.tolist() == [0, 1, 2, 3]


def test_another_number_of_targets_is_told():
    one, two = X[:, 0], X[:, :2]
    with pytest.raises(ValueError, match="validation_data has 2 targets to a row, y has 1"):
        MiniBatchRegressor(**QUICK).fit(X, one, validation_data=(X, two))
    estimator = MiniBatchRegressor(**QUICK, warm_start=True).fit(X, two)
    for learn in (estimator.fit, estimator.partial_fit):
        with pytest.raises(ValueError, match=r"y has 1 target to a row; .* goes on from 2 targets"):
            learn(X, one)


def test_the_loss_of_quantiles_alone_has_the_usual_three():
    named = MiniBatchRegressor(loss="quantile", **QUICK)
    levels = MiniBatchRegressor(quantiles=(0.1, 0.5, 0.9), **QUICK)
    y = X @ [1.0, -2.0, 0.5]
    found, expected = (one.fit(X, y).predict(X) for one in (named, levels))
    assert found.shape == (200, 3)
    assert np.array_equal(found, expected)
    assert named.score(X, y) == levels.score(X, y)


def test_a_loss_of_one_label_is_refused_for_several_by_their_name():
    with pytest.raises(ValueError, match="'hinge' does not fit several labels to a row"):
        MiniBatchClassifier(loss="hinge", **QUICK).fit(X, np.stack([CODES > 0, CODES > 1], 1))


def test_another_penalty_is_told_where_held_out_rows_keep_the_weights_of_the_last_fit():
    y = X @ [1.0, -2.0, 0.5]
    estimator = MiniBatchRegressor(**{**QUICK, "max_epochs": 50}, warm_start=True).fit(X, y)
    with pytest.warns(UserWarning, match=r"l2 was 0\.0 in the last fit and is 3\.0 now"):
        estimator.set_params(l2=3.0).fit(X, y)
    estimator.set_params(early_stopping=False, max_epochs=200).fit(X, y)
    anew = MiniBatchRegressor(**{**QUICK, "max_epochs": 200}, l2=3.0, early_stopping=False)
    assert np.allclose(estimator.coef_, anew.fit(X, y).coef_, atol=0.02)
    assert abs(estimator.coef_[1]) < 1.0


@pytest.mark.parametrize("jump", [60.0, 2000.0])
def test_partial_fit_follows_targets_that_jump_far(jump):
    """The first loss of a call was taken for that of a learning rate too high."""
    generator = np.random.default_rng(1)
    estimator = MiniBatchRegressor("linear", random_state=0)
    for call in range(50):
        inputs = generator.normal(size=(100, 3))
        later = jump if call >= 5 else 0.0
        estimator.partial_fit(inputs, inputs @ [1.0, -2.0, 0.5] + later)
    assert estimator.intercept_ == pytest.approx(jump, rel=0.01)
