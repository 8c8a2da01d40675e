"""The scikit-learn face, by scikit-learn's own checks and by its uses."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier, SGDRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from descend.errors import DivergedError, InputError
from descend.sklearn.estimators import MiniBatchClassifier, MiniBatchRegressor

REASON = (
    "In mini-batches a row of weight 2 and two rows come in another order; and float32 sums of "
    "the same numbers differ in the last digit, where the check allows 1e-7. "
    "test_a_weight_counts_repetitions holds it at full batch."
)
DIFFERENT_ORDER = {
    "check_sample_weight_equivalence_on_dense_data": REASON,
    "check_sample_weight_equivalence_on_sparse_data": REASON,
}


@parametrize_with_checks(
    [
        MiniBatchRegressor("mlp", hidden=(8,), max_epochs=15),
        MiniBatchClassifier("mlp", hidden=(8,), max_epochs=15),
    ],
    expected_failed_checks=lambda estimator: DIFFERENT_ORDER,
)
def test_scikit_learn_accepts_it(estimator, check):
    check(estimator)


@pytest.mark.slow  # Some hundred fits of the network for tables.
@parametrize_with_checks(
    [MiniBatchRegressor(), MiniBatchClassifier()],
    expected_failed_checks=lambda estimator: DIFFERENT_ORDER,
)
def test_scikit_learn_accepts_the_default_settings(estimator, check):
    check(estimator)


def numbers(rows=400, columns=3, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, columns)) * [1.0, 100.0, 0.01][:columns] + 5.0
    return X, X @ [2.0, 0.03, 50.0][:columns] + 7.0


def frame(rows=300, seed=0):
    random = np.random.default_rng(seed)
    town = random.choice(["Ulm", "Bonn", "Jena"], rows)
    size = random.normal(size=rows)
    size[::17] = np.nan
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(0, 700, rows), unit="D")
    table = pd.DataFrame({"town": town, "size": size, "day": days})
    return table, (town == "Ulm") * 2.0 + np.nan_to_num(size)


def linear(**options):
    settings = {"model": "linear", "max_epochs": 60, "random_state": 0, "patience": 20}
    return MiniBatchRegressor(**{**settings, **options})


def test_a_linear_model_has_weights_in_the_units_of_the_input():
    X, y = numbers()
    estimator = linear().fit(X, y)
    assert estimator.coef_ == pytest.approx([2.0, 0.03, 50.0], rel=1e-3)
    assert estimator.intercept_ == pytest.approx(7.0, abs=0.02)
    assert estimator.predict(X) == pytest.approx(X @ estimator.coef_ + estimator.intercept_)


def test_several_targets_have_a_row_of_weights_each():
    X, y = numbers()
    several = linear().fit(X, np.stack([y, -3 * y], axis=1))
    truth = LinearRegression().fit(X, np.stack([y, -3 * y], axis=1))
    assert several.predict(X).shape == (400, 2)
    assert several.coef_ == pytest.approx(truth.coef_, rel=1e-2)
    assert several.intercept_ == pytest.approx(truth.intercept_, abs=0.1)


def test_a_linear_classifier_gives_the_log_odds():
    X, y = load_breast_cancer(return_X_y=True)
    estimator = MiniBatchClassifier("linear", l2=1e-3, max_epochs=30, random_state=0).fit(X, y)
    odds = X @ estimator.coef_.T + estimator.intercept_
    probabilities = estimator.predict_proba(X)
    # Beyond 1.5e-8 scikit-learn's log_loss warns that they are no probabilities.
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=0, atol=1e-15)
    assert probabilities[:, 1] == pytest.approx(1 / (1 + np.exp(-odds[:, 0])), abs=1e-4)
    truth = LogisticRegression().fit(StandardScaler().fit_transform(X), y)
    assert estimator.score(X, y) > truth.score(StandardScaler().fit_transform(X), y) - 0.02


@pytest.mark.slow
def test_other_models_have_no_coefficients():
    X, y = numbers(40)
    assert not hasattr(MiniBatchRegressor(hidden=(4,), max_epochs=1).fit(X, y), "coef_")


@pytest.mark.parametrize("kind", [MiniBatchRegressor, MiniBatchClassifier])
@pytest.mark.slow
def test_a_weight_counts_repetitions(kind):
    X, y = numbers(60)
    y = y if kind is MiniBatchRegressor else np.where(y > np.median(y), "a", "b")
    weight = np.random.default_rng(1).integers(0, 4, 60)
    # Not "tabular": the bins of its numbers do not know the weights.
    options = {"batch_size": "all", "validation_fraction": 0, "random_state": 0, "model": "mlp"}
    weighted = kind(max_epochs=40, hidden=(8,), **options).fit(X, y, sample_weight=weight)
    repeated = kind(max_epochs=40, hidden=(8,), **options)
    repeated.fit(np.repeat(X, weight, 0), np.repeat(y, weight))
    if kind is MiniBatchRegressor:
        assert weighted.predict(X) == pytest.approx(repeated.predict(X), rel=1e-4)
    else:
        assert weighted.predict_proba(X) == pytest.approx(repeated.predict_proba(X), abs=1e-4)


def test_class_weight_moves_the_border():
    random = np.random.default_rng(0)
    X = np.concatenate([random.normal(0, 1, (380, 1)), random.normal(1, 1, (20, 1))])
    y = np.repeat([0, 1], [380, 20])
    found = {
        weight: MiniBatchClassifier("linear", class_weight=weight, max_epochs=20, random_state=0)
        .fit(X, y)
        .predict(X)
        .mean()
        for weight in (None, "balanced")
    }
    assert found[None] < 0.1
    assert found["balanced"] > 0.25


def test_a_frame_with_text_dates_and_missing_values():
    table, y = frame()
    estimator = linear(learning_rate=0.05).fit(table, y)
    assert estimator.score(table, y) > 0.95
    assert estimator.feature_names_in_.tolist() == ["town", "size", "day"]
    assert estimator.predict(table[::-1][["day", "town", "size"]][["town", "size", "day"]])[
        ::-1
    ] == pytest.approx(estimator.predict(table))
    in_polars = linear(learning_rate=0.05).fit(pl.from_pandas(table), y)
    assert in_polars.score(pl.from_pandas(table), y) > 0.95


def test_a_frame_of_numbers_is_an_array():
    X, y = numbers(120)
    table = pd.DataFrame(X, columns=["a", "b", "c"])
    one, other = linear().fit(table, y), linear().fit(X, y)
    assert one.predict(table).tolist() == other.predict(X).tolist()
    assert [column.name for column in one.model_.schema.columns] == ["a", "b", "c"]
    assert one.model_.predict(table) == pytest.approx(one.predict(table))


def test_in_a_grid_a_pipeline_and_cross_validation():
    X, y = load_diabetes(return_X_y=True)
    search = GridSearchCV(linear(max_epochs=5), {"l2": [0.0, 0.1]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.3
    pipeline = make_pipeline(StandardScaler(), linear(max_epochs=5))
    assert cross_val_score(pipeline, X, y, cv=2).min() > 0.3
    assert clone(linear(l2=0.5)).l2 == 0.5


def test_a_copy_predicts_the_same():
    X, y = load_iris(return_X_y=True, as_frame=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    estimator = MiniBatchClassifier("mlp", hidden=(8,), max_epochs=10, random_state=0)
    estimator.fit(X, names[y])
    copy = pickle.loads(pickle.dumps(estimator))
    assert (copy.predict(X) == estimator.predict(X)).all()
    assert copy.classes_.tolist() == names.tolist()
    assert copy.score(X, names[y]) > 0.9


def test_what_training_leaves():
    X, y = numbers()
    estimator = linear(max_epochs=7).fit(X, y)
    assert estimator.n_iter_ == 7
    assert len(estimator.loss_curve_) == len(estimator.validation_scores_) > 1
    assert estimator.loss_curve_[-1] < estimator.loss_curve_[0]
    assert max(estimator.validation_scores_) == pytest.approx(estimator.best_validation_score_)
    assert estimator.batch_size_ >= 1
    assert estimator.learning_rate_ > 0


def test_warm_start_goes_on_from_the_weights():
    X, y = numbers()
    estimator = linear(warm_start=True, max_epochs=3).fit(X, y)
    first = estimator.loss_curve_[0]
    assert estimator.fit(X, y).loss_curve_[0] < first / 2
    cold = linear(max_epochs=3).fit(X, y)
    assert cold.fit(X, y).loss_curve_[0] == first


def test_partial_fit_learns_part_by_part():
    X, y = numbers(2000)
    estimator = linear(batch_size=16)
    for start in range(0, 2000, 100):
        estimator.partial_fit(X[start : start + 100], y[start : start + 100])
    assert estimator.score(X, y) > 0.99
    assert estimator.n_iter_ == 20
    assert len(estimator._stream.held_out) == 200
    copy = pickle.loads(pickle.dumps(estimator)).partial_fit(X[:100], y[:100])
    assert copy.predict(X).tolist() == estimator.partial_fit(X[:100], y[:100]).predict(X).tolist()


def test_partial_fit_knows_the_classes_from_the_first_call():
    X = np.random.default_rng(0).normal(size=(300, 2))
    y = np.where(X[:, 0] > 0, "yes", "no")
    estimator = MiniBatchClassifier("linear", random_state=0)
    estimator.partial_fit(X[:100], y[:100], classes=["maybe", "no", "yes"])
    assert estimator.predict_proba(X).shape == (300, 3)
    assert estimator.partial_fit(X[100:], y[100:]).score(X, y) > 0.9
    with pytest.raises(ValueError, match="not among the classes"):
        estimator.partial_fit(X[:2], ["no", "never"])


def stream(estimator, calls, truth, noise=1.0, rows=200, seed=0):
    """The estimator after calls with rows of y = truth(call) + noise."""
    random = np.random.default_rng(seed)
    for call in range(calls):
        X = random.normal(size=(rows, 2))
        intercept, weights = truth(call)
        estimator.partial_fit(X, intercept + X @ weights + noise * random.normal(size=rows))
    return estimator


def r2_of(estimator, intercept, weights):
    X = np.random.default_rng(9).normal(size=(1000, 2))
    return estimator.score(X, intercept + X @ np.asarray(weights))


def test_partial_fit_says_when_it_has_converged_and_learns_on():
    estimator = stream(linear(patience=2), 60, lambda call: (0.0, [0.0, 0.0]))
    assert estimator.converged_
    assert estimator.n_iter_ == 60
    before = estimator.coef_.tolist()
    assert stream(estimator, 1, lambda call: (0.0, [0.0, 0.0])).coef_.tolist() != before


@pytest.mark.parametrize(
    "first",
    [(0.0, [1.0, 3.0]), (-5.0, [1.0, 3.0]), (0.0, [-3.0, 1.0]), (0.0, [1.0, 3.5])],
    ids=["the same", "another intercept", "turned", "nearly the same"],
)
def test_partial_fit_follows_the_rows_wherever_they_go(first):
    # The reservoir grows call by call, and its first rows follow another law than the later ones.
    then = (0.0, [1.0, 3.0])
    estimator = stream(linear(patience=5), 60, lambda call: first if call == 0 else then)
    assert r2_of(estimator, *then) > 0.98


@pytest.mark.slow
def test_partial_fit_follows_classes_that_are_swapped():
    random = np.random.default_rng(0)
    estimator = MiniBatchClassifier("linear", random_state=0, patience=3)
    for call in range(80):
        X = random.normal(size=(100, 2))
        estimator.partial_fit(X, (X[:, 0] > 0) ^ (call >= 40), classes=[False, True])
    assert estimator.score(X, X[:, 0] <= 0) > 0.95


def test_partial_fit_without_validation_rows_says_nothing_of_convergence():
    estimator = linear(patience=1, validation_fraction=0)
    assert not stream(estimator, 20, lambda call: (0.0, [0.0, 0.0]), rows=50).converged_


def test_partial_fit_takes_another_learning_rate_between_calls():
    X, y = numbers()
    estimator = linear(batch_size=16).partial_fit(X, y)
    before = estimator._stream.loop.state.params["kernel"].copy()
    estimator.set_params(learning_rate=1e-12).partial_fit(X, y)
    assert estimator.learning_rate_ == 1e-12
    after = estimator._stream.loop.state.params["kernel"]
    assert after == pytest.approx(before, abs=1e-6)
    estimator.set_params(learning_rate=0.01).partial_fit(X, y)
    assert estimator._stream.loop.state.params["kernel"] != pytest.approx(before, abs=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"hidden": (7,)}, {"model": "linear"}, {"activation": "tanh"}, {"loss": "absolute_error"}],
)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_weights_of_another_network_are_not_gone_on_with(method, change):
    X, y = numbers(60)
    estimator = MiniBatchRegressor("mlp", hidden=(4,), max_epochs=1, warm_start=True)
    getattr(estimator, method)(X, y)
    with pytest.raises(ValueError, match=f"{next(iter(change))}.*Set it back"):
        getattr(estimator.set_params(**change), method)(X, y)


def test_partial_fit_does_not_change_the_optimizer_on_the_way():
    X, y = numbers(60)
    estimator = linear().partial_fit(X, y)
    with pytest.raises(ValueError, match="optimizer='momentum'; found 'adam'"):
        estimator.set_params(optimizer="adam").partial_fit(X, y)


def test_partial_fit_warns_of_columns_that_it_will_never_use():
    X, y = numbers(60)
    X[:, 1] = 3.0
    with pytest.warns(UserWarning, match="'x1'"):
        linear().partial_fit(X, y)


def test_names_of_other_libraries_are_answered_with_ours():
    with pytest.raises(TypeError, match="MiniBatchClassifier has no max_iter; it takes max_epochs"):
        MiniBatchClassifier(max_iter=5)
    for name, said in {
        "eval_set": r"validation_data=\(X, y\)",
        "weights": "sample_weight",
        "epochs": r"MiniBatchRegressor\(max_epochs=",
        "batch_size": r"MiniBatchRegressor\(batch_size=",
        "early_stopping_rounds": r"MiniBatchRegressor\(patience=",
        "n_jobs": "all processors",
        "xyzzy": "It takes X, y, sample_weight, validation_data",
    }.items():
        with pytest.raises(TypeError, match=said):
            MiniBatchRegressor().fit([[1.0]], [1.0], **{name: 1})
    with pytest.raises(ValueError, match="takes learning_rate"):
        MiniBatchRegressor().set_params(lr=0.1)
    with pytest.raises(ValueError, match="has no alpha; it takes l2"):
        MiniBatchClassifier().set_params(alpha=5)
    with pytest.raises(TypeError, match="has no n_jobs: it uses all processors"):
        MiniBatchRegressor(n_jobs=2)
    with pytest.raises(TypeError, match=r"no parameter 'patient'\. Did you mean 'patience'"):
        MiniBatchRegressor(patient=2)


def test_a_single_row_at_first_is_answered_with_the_reason():
    X, y = numbers(40)
    with pytest.raises(ValueError, match="learn from their rows how to scale"):
        linear().partial_fit(X[:1], y[:1])


def test_errors_use_the_words_of_an_estimator():
    X, y = numbers(40)
    with pytest.raises(ValueError, match=r"^max_epochs must be a whole number"):
        linear(max_epochs=-1).fit(X, y)


@pytest.mark.parametrize("rows", [1, 3, 60, 300, 2100])
def test_a_prediction_does_not_depend_on_the_rows_beside_it(rows):
    random = np.random.default_rng(0)
    X = random.normal(size=(2300, 40))
    estimator = MiniBatchRegressor(hidden=(200, 100), max_epochs=1, random_state=0)
    estimator.fit(X[:300], X[:300, 0])
    assert estimator.predict(X[:rows]).tolist() == estimator.predict(X)[:rows].tolist()


@pytest.mark.parametrize("l2", [0.1, 0.5, 2.0])
@pytest.mark.parametrize("optimizer", ["momentum", "sgd"])
def test_a_penalty_means_what_the_closed_form_says_where_training_rows_validate(l2, optimizer):
    random = np.random.default_rng(0)
    X = random.normal(size=(400, 3))
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    y = X @ [1.0, -2.0, 0.5] + random.normal(size=400)
    options = {"l2": l2, "batch_size": "all", "validation_fraction": 0, "max_epochs": 400}
    estimator = linear(optimizer=optimizer, **options).fit(X, y)
    # Σ(y − Xw)²/2n + l2/2·|w|², with y in units of its deviation.
    ridge = np.linalg.solve(X.T @ X / 400 + l2 * np.eye(3), X.T @ (y - y.mean()) / 400)
    assert estimator.coef_ == pytest.approx(ridge, rel=0.02)


def test_partial_fit_goes_on_after_fit():
    X, y = numbers()
    estimator = linear(max_epochs=20).fit(X, y)
    assert estimator.partial_fit(X[:50], y[:50]).score(X, y) > 0.99


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"loss": "cross_entropy"}, "does not fit regression"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
        ({"optimizer": "momentun"}, "momentum"),
        ({"batch_size": 0}, "at least 1"),
    ],
)
def test_a_parameter_that_cannot_be_is_named(options, said):
    X, y = numbers(40)
    with pytest.raises((ValueError, InputError), match=said):
        linear(**options).fit(X, y)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("extreme", [False, True])
def test_a_divergence_names_its_cause(method, extreme):
    X, y = numbers(4000)
    table = pd.DataFrame(X, columns=["size", "age", "price"])
    if extreme:
        table.loc[7, "age"] = 1e12
    said = "column 'age' holds 1e\\+12" if extreme else "the learning rate 1e\\+30"
    with pytest.raises(DivergedError, match=said):
        getattr(linear(learning_rate=1e30, max_epochs=3), method)(table, y)


def test_a_constant_target_is_learned():
    X, _ = numbers(40)
    assert linear(max_epochs=2).fit(X, np.full(40, 3.0)).predict(X) == pytest.approx(3.0)


def test_the_page_for_users_of_scikit_learn_names_every_parameter():
    page = (Path(__file__).parents[2] / "docs" / "for-scikit-learn-users.md").read_text("utf-8")
    theirs = (SGDClassifier, SGDRegressor, MLPClassifier, MLPRegressor)
    for kind in (*theirs, MiniBatchClassifier, MiniBatchRegressor):
        missing = [name for name in kind().get_params() if not re.search(rf"[`(]{name}\b", page)]
        assert not missing, kind.__name__
    assert all(f"`{name}`" in page for name in DIFFERENT_ORDER)


def test_partial_fit_warns_once_of_categories_that_come_later() -> None:
    def part(*cities: str) -> tuple[pd.DataFrame, np.ndarray]:
        frame = pd.DataFrame({"city": np.resize(cities, 60), "a": np.arange(60.0)})
        return frame, frame.a.to_numpy()

    estimator = MiniBatchRegressor("linear", random_state=0).partial_fit(*part("x", "y"))
    with pytest.warns(UserWarning, match=r"'city' now holds 'z', 'w'|'city' now holds 'w', 'z'"):
        estimator.partial_fit(*part("x", "z", "z", "w"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator.partial_fit(*part("x", "v"))


@pytest.mark.parametrize("codes", [[1, 0], [True, False], [0.5, np.nan]])
def test_partial_fit_warns_of_categories_in_a_frame_without_text(codes: list[Any]) -> None:
    """Such a frame reaches the encoder as an array."""
    frame = pd.DataFrame({"city": np.resize(["x", "y"], 60), "a": np.arange(60.0)})
    estimator = MiniBatchRegressor("linear", random_state=0).partial_fit(frame, frame.a)
    with pytest.warns(UserWarning, match=r"'city' now holds '(1|0|0\.5)'"):
        estimator.partial_fit(frame.assign(city=np.resize(codes, 60)), frame.a)


def test_a_class_that_comes_later_is_answered_with_how_to_begin() -> None:
    estimator = MiniBatchClassifier("linear").partial_fit([[0.0], [1.0]] * 10, [0, 1] * 10)
    with pytest.raises(ValueError, match=r"class 2, which is not among.*classes=\[\.\.\.\]"):
        estimator.partial_fit([[2.0]], [2])
