"""Sparse X: the answer of the dense one, in memory that goes by the entries."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from descend.errors import DivergedError
from descend.sklearn import validation
from descend.sklearn.estimators import MiniBatchClassifier, MiniBatchRegressor

OPTIONS = {"hidden": (8,), "max_epochs": 3, "random_state": 0, "learning_rate": 0.01}


def rows(count=200, seed=0):
    """Few entries; and a column of years, one with missing values, one of zeros alone."""
    random = np.random.default_rng(seed)
    X = np.where(random.random((count, 12)) < 0.2, random.normal(size=(count, 12)), 0.0)
    X[:, 0] = 2000 + random.integers(0, 20, size=count)
    X[3, :] = 0.0
    X[::9, 4] = np.nan
    X[:, 5] = 0.0
    return X, np.nan_to_num(X)[:, 1:4].sum(axis=1) + random.normal(size=count)


def estimators(model, kind):
    """Two of one kind, and what they tell."""
    if kind == "classes":
        return [MiniBatchClassifier(model, **OPTIONS) for _ in range(2)], "decision_function"
    return [MiniBatchRegressor(model, **OPTIONS) for _ in range(2)], "predict"


def targets(y, kind):
    if kind == "classes":
        return np.digitize(y, [-0.5, 0.5])
    return np.stack([y, y * y], axis=1) if kind == "two targets" else y


@pytest.mark.parametrize(
    ("model", "kind"),
    [("linear", "number"), ("linear", "classes"), ("mlp", "two targets")],
)
@pytest.mark.slow
def test_sparse_rows_are_learned_and_predicted_as_dense_ones_are(model, kind):
    X, y = rows()
    weight = np.random.default_rng(1).integers(1, 4, size=len(X))
    (dense, other), tell = estimators(model, kind)
    dense.fit(X, targets(y, kind), sample_weight=weight)
    other.fit(sparse.csr_matrix(X), targets(y, kind), sample_weight=weight)
    expected = getattr(dense, tell)(X)
    scale = np.abs(expected).max()
    for estimator in (dense, other):
        for form in (X, sparse.csc_array(X)):
            assert getattr(estimator, tell)(form) == pytest.approx(expected, abs=3e-6 * scale)


@pytest.mark.slow
def test_parts_may_be_sparse_or_dense():
    X, y = rows(240)
    (dense, other), _ = estimators("linear", "number")
    for start in range(0, 240, 80):
        part, of = X[start : start + 80], y[start : start + 80]
        dense.partial_fit(part, of)
        other.partial_fit(part if start == 160 else sparse.csr_array(part), of)
    expected = dense.predict(X)
    assert other.predict(X) == pytest.approx(expected, abs=3e-6 * np.abs(expected).max())


def test_validation_rows_may_be_dense_where_the_others_are_sparse():
    X, y = rows()
    (dense, other), _ = estimators("linear", "number")
    dense.fit(X[:150], y[:150], validation_data=(sparse.csr_array(X[150:]), y[150:]))
    other.fit(sparse.csr_array(X[:150]), y[:150], validation_data=(X[150:], y[150:]))
    assert other.predict(X) == pytest.approx(dense.predict(X), abs=1e-5)
    assert other.predict_interval(X) == pytest.approx(dense.predict_interval(X), abs=1e-4)


def test_a_prediction_does_not_depend_on_the_rows_beside_it():
    X, y = rows()
    X = sparse.csr_array(X)
    estimator = MiniBatchRegressor("linear", **OPTIONS).fit(X, y)
    alone = [estimator.predict(X[[row]])[0] for row in range(0, 200, 40)]
    assert alone == estimator.predict(X)[::40].tolist()


def test_entries_that_stand_twice_are_added_and_the_matrix_is_left_alone():
    X, y = rows()
    X = sparse.csr_array(np.nan_to_num(X))
    doubled = sparse.csr_array(
        (np.repeat(X.data / 2, 2), np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape
    )
    before = doubled.data.copy()
    (one, two), _ = estimators("linear", "number")
    one.fit(X, y)
    two.fit(doubled, y)
    assert two.predict(doubled) == pytest.approx(one.predict(X), abs=1e-5)
    assert doubled.data.tolist() == before.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("model", ["linear", "mlp"])
def test_memory_goes_by_the_entries(model):
    count, columns, each = 500, 20_000, 10
    random = np.random.default_rng(0)
    column = random.integers(0, columns, size=count * each)
    X = sparse.csr_array(
        (random.normal(size=count * each), column, np.arange(count + 1) * each),
        shape=(count, columns),
    )
    y = X[:, :1000].sum(axis=1)
    options = {**OPTIONS, "hidden": (2,), "max_epochs": 1, "learning_rate": "auto"}
    estimator = MiniBatchRegressor(model, **options)
    tracemalloc.start()
    try:
        assert estimator.fit(X, y).predict(X).shape == (count,)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * count * columns / 2, "half of the dense rows in 32 bits"


def test_a_sparse_model_is_saved_like_any_other(tmp_path):
    from descend.model import load

    X, y = rows()
    estimator = MiniBatchRegressor("linear", **OPTIONS).fit(sparse.csr_array(X), y)
    estimator.model_.save(tmp_path / "model.safetensors")
    again = load(tmp_path / "model.safetensors")
    names = [f"x{place}" for place in range(X.shape[1])]
    frame = {name: X[:, place] for place, name in enumerate(names)}
    pandas = pytest.importorskip("pandas")
    told = again.predict(pandas.DataFrame(frame))
    assert told == pytest.approx(estimator.predict(X), abs=1e-5)
    assert estimator.coef_.shape == (12,)


def test_the_tabular_network_refuses_what_does_not_fit(monkeypatch):
    monkeypatch.setattr(validation, "usable_memory", lambda: 10_000)
    X, y = rows()
    with pytest.raises(ValueError, match="model='linear' and model='mlp' read the entries"):
        MiniBatchRegressor(**OPTIONS).fit(sparse.csr_array(X), y)


@pytest.mark.slow
def test_the_usual_rate_of_a_linear_model_falls_where_rows_are_wide():
    random = np.random.default_rng(0)
    X = sparse.random(300, 5000, density=0.01, random_state=0, format="csr")
    y = np.ravel(X[:, :500].sum(axis=1)) + random.normal(size=300)
    estimator = MiniBatchRegressor("linear", max_epochs=2, random_state=0).fit(X, y)
    inputs = len(estimator.model_.encoder.numeric_names)
    assert estimator.learning_rate_ == pytest.approx(0.1 * estimator.batch_size_ / inputs)
    parts = MiniBatchRegressor("linear", random_state=0).partial_fit(X, y)
    assert parts.learning_rate_ == pytest.approx(0.1 * 32 / inputs, rel=0.05)


def test_a_stream_of_sparse_rows_that_diverges_names_the_columns():
    X, y = rows()
    estimator = MiniBatchRegressor("linear", batch_size=20, learning_rate=0.05, random_state=0)
    estimator.partial_fit(sparse.csr_array(np.nan_to_num(X[:, 1:])), y)
    far = np.nan_to_num(X[:, 1:])
    far[:, 1] = 1e5
    with pytest.raises(DivergedError, match=r"far from all training rows.* column 'x1'"):
        estimator.partial_fit(far, y)
