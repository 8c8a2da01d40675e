"""What users of scikit-learn's MLP and SGD estimators rely on, in these estimators."""

from __future__ import annotations

import re

import numpy as np
import pytest
import sklearn
from scipy import sparse
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from descend.sklearn.estimators import MiniBatchClassifier, MiniBatchRegressor

FAST = {"hidden": (8,), "max_epochs": 15, "random_state": 0, "batch_size": 16}


def regressor(**options):
    return MiniBatchRegressor("mlp", **{**FAST, "learning_rate": 0.02, **options})


def classifier(model="mlp", **options):
    return MiniBatchClassifier(model, **{**FAST, "learning_rate": 0.05, **options})


def numbers(rows=400, noise=1.0, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(rows, 3))
    return X, X @ [3.0, -1.0, 0.0] + noise * random.normal(size=rows)


def labels(rows=300, seed=0):
    X, _ = numbers(rows, seed=seed)
    return X, np.stack([X[:, 0] > 0.5, X[:, 1] < 0.0, X[:, 0] + X[:, 1] > 0], axis=1).astype(int)


@pytest.mark.parametrize(
    "options",
    [{}, pytest.param({"model": "tabular", "hidden": (8,)}, marks=pytest.mark.slow)],
)
def test_an_interval_covers_what_it_says(options):
    estimator = MiniBatchRegressor(**{"model": "mlp", **FAST, **options})
    X, y = numbers(2000)
    X_new, y_new = numbers(2000, seed=1)
    bounds = estimator.fit(X, y).predict_interval(X_new, level=0.9)
    assert bounds.shape == (2000, 2)
    inside = (bounds[:, 0] <= y_new) & (y_new <= bounds[:, 1])
    assert inside.mean() == pytest.approx(0.9, abs=0.05)


@pytest.mark.slow
def test_intervals_of_a_stream_are_calibrated_on_its_reservoir():
    estimator = regressor()
    X, y = numbers(3000)
    for start in range(0, 3000, 200):
        estimator.partial_fit(X[start : start + 200], y[start : start + 200])
    X_new, y_new = numbers(2000, seed=1)
    low, high = estimator.predict_interval(X_new, level=0.8).T
    assert ((low <= y_new) & (y_new <= high)).mean() == pytest.approx(0.8, abs=0.06)


def test_without_rows_to_calibrate_with_there_is_no_interval():
    X, y = numbers(60)
    estimator = regressor(validation_fraction=0, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="not calibrated on validation rows"):
        estimator.predict_interval(X)


def test_counts_are_never_predicted_below_0():
    random = np.random.default_rng(0)
    X = random.normal(size=(300, 2))
    y = random.poisson(np.exp(X[:, 0] - 1.0))
    estimator = MiniBatchRegressor(**{**FAST, "max_epochs": 8}).fit(X, y)
    assert estimator.predict(X * 5).min() >= 0.0
    assert estimator.predict_interval(X).min() >= 0.0


@pytest.mark.slow
def test_several_quantiles_are_columns():
    X, y = numbers(800)
    estimator = regressor(quantiles=(0.1, 0.5, 0.9)).fit(X, y)
    told = estimator.predict(X)
    assert told.shape == (800, 3)
    assert (y[:, None] <= told).mean(axis=0) == pytest.approx([0.1, 0.5, 0.9], abs=0.07)
    assert 0.3 < estimator.score(X, y) < 1.0
    assert regressor(quantiles=0.9, max_epochs=1).fit(X, y).predict(X).shape == (800,)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_row_may_have_several_labels(kind):
    X, Y = labels()
    estimator = classifier().fit(X, sparse.csr_matrix(Y) if kind == "sparse" else Y)
    assert estimator.score(X, Y) > 0.8
    probabilities = estimator.predict_proba(X)
    assert probabilities.shape == Y.shape
    assert ((probabilities > 0.5) == estimator.predict(X)).all()
    odds = estimator.decision_function(X)
    assert 1 / (1 + np.exp(-odds)) == pytest.approx(probabilities, abs=1e-5)
    again = classifier()
    for start in range(0, 300, 100):
        again.partial_fit(X[start : start + 100], Y[start : start + 100], classes=[0, 1, 2])
    assert again.predict(X).shape == Y.shape


def test_log_odds_are_the_decision_function():
    X, Y = labels()
    two = classifier("linear").fit(X, Y[:, 0])
    assert two.decision_function(X) == pytest.approx(X @ two.coef_[0] + two.intercept_[0], abs=1e-4)
    assert ((two.decision_function(X) > 0) == two.predict(X)).all()
    X, y = load_iris(return_X_y=True)
    three = classifier("linear").fit(X, y)
    assert three.decision_function(X).shape == (150, 3)
    assert (three.decision_function(X).argmax(axis=1) == three.predict(X)).all()


def test_the_hinge_loss_is_a_linear_support_vector_machine():
    X, Y = labels(400)
    estimator = classifier("linear", loss="hinge", l2=0.01, max_epochs=60).fit(X, Y[:, 0])
    assert not hasattr(estimator, "predict_proba")
    Z = StandardScaler().fit_transform(X)
    peer = LinearSVC(loss="hinge", C=1 / (0.01 * 400), max_iter=100_000).fit(Z, Y[:, 0])
    assert (estimator.predict(X) == peer.predict(Z)).mean() > 0.97


def test_validation_rows_may_be_given():
    X, y = numbers(300)
    held = numbers(50, seed=2)
    estimator = regressor(max_epochs=4).fit(X, y, validation_data=held)
    assert estimator.model_.schema.rows.training == 300
    loss = np.mean((estimator.predict(held[0]) - held[1]) ** 2) / (2 * y.std() ** 2)
    assert -estimator.best_validation_score_ == pytest.approx(loss, rel=1e-3)
    with pytest.raises(ValueError, match="validation_data must be"):
        regressor().fit(X, y, validation_data=X)


def test_without_early_stopping_every_row_and_every_epoch_is_used():
    X, y = numbers(200)
    options = {"early_stopping": False, "patience": 1, "max_epochs": 30, "learning_rate": 0.05}
    estimator = MiniBatchRegressor("linear", random_state=0, **options).fit(X, y)
    assert estimator.n_iter_ == 30
    assert estimator.model_.schema.rows.training == 200
    with pytest.raises(ValueError, match="not calibrated"):
        estimator.predict_interval(X)


def test_an_end_before_the_loss_stands_still_is_warned_of():
    X, y = numbers(100)
    with pytest.warns(ConvergenceWarning, match="max_epochs=2"):
        regressor(max_epochs=2).fit(X, y)


def test_verbose_writes_a_line_for_each_evaluation(capsys):
    X, y = numbers(100)
    regressor(max_epochs=4, verbose=True).fit(X, y)
    lines = [line for line in capsys.readouterr().err.splitlines() if "validation loss" in line]
    assert len(lines) == 3  # Before training, then after ten updates each: two epochs.


@pytest.mark.slow
def test_balanced_weights_of_a_stream_go_by_all_rows_seen():
    X, _ = numbers(400)
    y = (X[:, 0] > 1.3).astype(int)
    estimator = MiniBatchClassifier("linear", class_weight="balanced", random_state=0)
    for start in range(0, 400, 50):
        estimator.partial_fit(X[start : start + 50], y[start : start + 50], classes=[0, 1])
    assert estimator._class_sums.tolist() == np.bincount(y).tolist()
    weights = estimator._weighted(np.array([0, 1]), np.ones(2), learned=False)
    assert weights[1] / weights[0] == pytest.approx(np.bincount(y)[0] / np.bincount(y)[1])


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("class_weight", [{0: 1.0, 1: 6.0}, {1: 0.25}, {0: 0.0}, "balanced"])
def test_class_weights_are_the_product_by_hand(method, class_weight):
    X, Y = labels(300)
    y = np.argmax(Y, axis=1)
    sample_weight = np.random.default_rng(1).integers(0, 4, len(y)).astype(float)
    if class_weight == "balanced":
        sums = np.bincount(y, weights=sample_weight)
        by_class = sums.sum() / (len(sums) * sums)
    else:
        by_class = np.array([class_weight.get(one, 1.0) for one in range(3)])
    found = []
    for given, weight in ((class_weight, sample_weight), (None, sample_weight * by_class[y])):
        estimator = classifier("linear", class_weight=given, max_epochs=3)
        getattr(estimator, method)(X, y, sample_weight=weight)
        found.append(estimator.decision_function(X))
    np.testing.assert_allclose(*found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_class_that_is_still_to_come_counts_as_half_a_row(weighted):
    X, _ = numbers(100)
    weight = np.full(100, 0.3) if weighted else None
    one = classifier("linear").partial_fit(
        X, np.zeros(100, int), sample_weight=weight, classes=[0, 1]
    )
    assert one.predict_proba(X)[:, 1].mean() == pytest.approx(0.5 / 100.5, rel=0.2)
    Y = np.stack([np.zeros(100, int), X[:, 0] > 0], axis=1)
    several = classifier("linear").partial_fit(X, Y, classes=[0, 1])
    assert several.predict_proba(X)[:, 0].mean() == pytest.approx(0.5 / 100, rel=0.2)
    counts = MiniBatchRegressor(
        "linear", loss="poisson", learning_rate=0.02, random_state=0
    ).partial_fit(X, np.zeros(100))
    assert counts.predict(X).mean() == pytest.approx(0.5 / 100, rel=0.2)


def test_a_stream_that_begins_with_one_class_learns_the_other_soon():
    X, _ = numbers(1000)
    y = (X[:, 0] > 0).astype(int)
    estimator = classifier("linear", batch_size=20, learning_rate=0.05)
    estimator.partial_fit(X[:100], np.zeros(100, int), classes=[0, 1])
    for start in range(100, 700, 100):
        estimator.partial_fit(X[start : start + 100], y[start : start + 100])
    assert estimator.score(X[700:], y[700:]) > 0.75


@pytest.mark.slow
def test_a_part_need_not_hold_the_classes_that_have_weights():
    X, Y = labels(100)
    y = Y[:, 0]
    estimator = classifier("linear", class_weight={1: 5.0})
    estimator.partial_fit(X, y, classes=[0, 1])
    assert estimator.partial_fit(X[y == 0], y[y == 0]).n_iter_ == 2


@pytest.mark.parametrize(
    ("class_weight", "said"),
    [
        ({0: -1.0}, "0 or more in class_weight"),
        ({0: np.nan}, "0 or more in class_weight"),
        ({0: 0.0, 1: 0.0}, "class_weight of every row is 0"),
        ({7: 2.0}, "not in class_weight|class label"),
        ("even", "balanced"),
    ],
)
def test_class_weights_that_mean_nothing_are_refused(class_weight, said):
    X, Y = labels(60)
    with pytest.raises(ValueError, match=said):
        classifier(class_weight=class_weight).fit(X, Y[:, 0])


def test_weights_are_routed_through_a_pipeline():
    X, Y = labels(200)
    weight = np.where(X[:, 1] > 0, 1.0, 0.0)
    options = {"max_epochs": 3, "validation_fraction": 0}
    with sklearn.config_context(enable_metadata_routing=True):
        inner = classifier("linear", **options).set_fit_request(sample_weight=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), inner)
        pipeline.fit(X, Y[:, 0], sample_weight=weight)
    Z = StandardScaler().fit_transform(X)
    alone = classifier("linear", **options).fit(Z, Y[:, 0], sample_weight=weight)
    assert pipeline.predict_proba(X).tolist() == alone.predict_proba(Z).tolist()


def test_coefficients_have_names():
    X, y = numbers(60)
    estimator = MiniBatchRegressor("linear", max_epochs=1).fit(X, y)
    assert estimator.get_feature_names_out().tolist() == ["x0", "x1", "x2"]


@pytest.mark.parametrize("kind", [float, str, bool])
def test_labels_come_back_in_their_own_type(kind):
    X, Y = labels(60)
    y = np.array([kind(one) for one in Y[:, 0]])
    told = classifier(max_epochs=2).fit(X, y).predict(X)
    assert told.dtype == y.dtype
    assert set(told) <= set(y)


def test_partial_fit_is_one_epoch_of_fit():
    X, y = numbers(64)
    options = {"batch_size": 8, "learning_rate": 0.01, "random_state": 0, "optimizer": "sgd"}
    whole = MiniBatchRegressor("linear", max_epochs=3, early_stopping=False, **options).fit(X, y)
    parts = MiniBatchRegressor("linear", validation_fraction=0, **options)
    for _ in range(3):
        parts.partial_fit(X, y)
    assert parts.coef_ == pytest.approx(whole.coef_, rel=0.1)


def test_a_rising_penalty_shrinks_the_weights():
    X, y = numbers(200)
    sizes = [
        np.abs(MiniBatchRegressor("linear", l2=l2, random_state=0).fit(X, y).coef_).sum()
        for l2 in (0.0, 0.1, 1.0)
    ]
    assert sizes == sorted(sizes, reverse=True)


def test_the_optimum_is_that_of_logistic_regression():
    X, Y = labels(300)
    y = Y[:, 0] ^ (np.random.default_rng(3).random(300) < 0.2)
    options = {"batch_size": "all", "max_epochs": 300, "validation_fraction": 0, "l2": 0.01}
    estimator = classifier("linear", learning_rate="auto", **options).fit(X, y)
    Z = StandardScaler().fit_transform(X)
    peer = LogisticRegression(C=1 / (0.01 * 300)).fit(Z, y)
    assert estimator.coef_[0] * X.std(axis=0) == pytest.approx(peer.coef_[0], abs=0.02)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_masked_inputs_are_missing_and_masked_targets_and_weights_refused(method: str) -> None:
    X = np.ma.masked_array(np.arange(200).reshape(100, 2), mask=np.zeros((100, 2), bool))
    X.data[:10, 1] = 10**6
    X.mask[:10, 1] = True
    plain = np.where(X.mask, np.nan, X.data)
    y = np.arange(100) % 2
    options = {"model": "linear", "max_epochs": 1, "batch_size": 16, "learning_rate": 0.1}
    found = []
    for given in (X, plain):
        model = MiniBatchClassifier(**options, random_state=0)
        getattr(model, method)(given, y)
        assert [column.missing for column in model.model_.schema.columns][1] > 0
        found.append(model.predict_proba(given))
    np.testing.assert_array_equal(*found)
    hidden = np.ma.masked_array(y, mask=np.arange(100) < 3)
    for kind in (MiniBatchClassifier, MiniBatchRegressor):
        with pytest.raises(ValueError, match="y has 3 masked values"):
            getattr(kind(**options), method)(plain, hidden)
        with pytest.raises(ValueError, match="sample_weight has 3 masked values"):
            getattr(kind(**options), method)(plain, y, sample_weight=hidden)


def test_numbers_of_more_than_64_bits_are_carried_or_refused() -> None:
    X = np.arange(100, dtype=np.longdouble)[:, None]
    y = (X[:, 0] > 50).astype(np.longdouble)
    model = MiniBatchClassifier("linear", max_epochs=1, batch_size=16, learning_rate=0.1)
    assert model.fit(X, y).model_.schema.target.labels == (0, 1)
    assert model.classes_.dtype == np.float64
    codes = np.longdouble(2**60) + y
    if codes.min() != codes.max():  # Some processors have no such numbers.
        with pytest.raises(ValueError, match="64 bits cannot hold exactly"):
            model.fit(X, codes)


def test_averaging_may_be_left_out_and_the_rate_may_rise():
    X, y = numbers(300)
    options = {"max_epochs": 2, "early_stopping": False, "schedule": "cosine", "model": "linear"}
    made = [
        MiniBatchRegressor(**{**FAST, "learning_rate": 0.02, **options, **more}).fit(X, y).coef_
        for more in ({}, {"averaging": False}, {"averaging": False, "warmup": 0.0})
    ]
    assert not np.allclose(made[0], made[1])
    assert not np.allclose(made[1], made[2])
    with pytest.raises(ValueError, match="warmup must be"):
        regressor(warmup=2.0).fit(X, y)


def test_a_fit_ends_with_its_time_and_a_part_is_learned_whatever():
    X, y = numbers(300)
    options = {"max_epochs": 10**6, "time_budget": 1e-9, "learning_rate": 0.02}
    estimator = MiniBatchRegressor("linear", random_state=0, **options)
    assert estimator.fit(X, y).stop_reason_.name == "TIME_BUDGET"
    before = estimator.partial_fit(X, y).coef_
    assert not np.allclose(estimator.partial_fit(X, y).coef_, before)


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_numbers_of_a_frame_may_be_codes(library):
    frames = pytest.importorskip(library)
    random = np.random.default_rng(0)
    codes, x = random.integers(0, 5, size=400), random.normal(size=400)
    y = np.array([3.0, -2.0, 0.0, 5.0, 1.0])[codes] + x
    frame = frames.DataFrame({"zip": codes, "x": x})
    options = {"max_epochs": 40, "random_state": 0, "learning_rate": 0.05}
    estimator = MiniBatchRegressor("linear", categorical=["zip"], **options).fit(frame, y)
    assert estimator.score(frame, y) > 0.98
    assert MiniBatchRegressor("linear", **options).fit(frame, y).score(frame, y) < 0.6
    with pytest.raises(ValueError, match="names columns of a frame; found ndarray"):
        estimator.predict(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="'town', which is no column of X"):
        MiniBatchRegressor("linear", categorical="town").fit(frame, y)


@pytest.mark.parametrize("scale", [1e-30, 1e40])
def test_units_do_not_matter_to_what_is_learned(scale):
    X, y = numbers(60)
    options = {"max_epochs": 2, "batch_size": 16, "learning_rate": 0.05, "random_state": 0}
    weight = np.ones(len(y))
    plain = MiniBatchRegressor("linear", **options).fit(X, y, sample_weight=weight)
    other = MiniBatchRegressor("linear", **options)
    other.fit(X * scale, y * scale, sample_weight=weight)
    assert other.predict(X * scale) / scale == pytest.approx(plain.predict(X), rel=1e-5)


@pytest.mark.parametrize(("scale", "said"), [(1e300, "at most 1e+50"), (1e-100, "at least 1e-50")])
def test_targets_beyond_the_range_of_squares_are_refused(scale, said):
    # Predictions had been NaN, and the mean.
    X, y = numbers(60)
    with pytest.raises(ValueError, match=re.escape(said)):
        MiniBatchRegressor("linear").fit(X, y * scale)


def test_an_array_for_a_model_of_a_frame_with_text_is_answered_with_the_columns():
    frames = pytest.importorskip("pandas")
    X, y = numbers(60)
    frame = frames.DataFrame({"a": X[:, 0], "town": np.where(y > 0, "Ulm", "Bonn")})
    options = {"max_epochs": 1, "batch_size": 16, "learning_rate": 0.05}
    estimator = MiniBatchRegressor("linear", **options)
    with pytest.warns(ConvergenceWarning) as told:
        estimator.fit(frame, y)
    assert told[0].filename == __file__
    with pytest.raises(ValueError, match="Give a frame with the columns a, town"):
        estimator.predict(frame.to_numpy(object))


def test_several_columns_of_classes_are_answered_with_how_to_learn_them() -> None:
    y = np.array([[0, 2], [1, 1], [2, 0]] * 4)
    with pytest.raises(ValueError, match=r"found y with 2 columns.*MultiOutputClassifier"):
        MiniBatchClassifier().fit(np.arange(12.0)[:, None], y)


def test_a_parameter_is_named_where_it_is_given_to_fit() -> None:
    with pytest.raises(TypeError, match=r"MiniBatchClassifier\(class_weight="):
        MiniBatchClassifier().fit(np.zeros((4, 1)), [0, 1, 0, 1], class_weight="balanced")
