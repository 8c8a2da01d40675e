"""Runs end where they should: at solutions that others found."""

import numpy as np
import pytest

from descend.data.rows.store import MemoryStore
from descend.training.loop import fit
from descend.training.stopping_state import Limits
from tests.fitting import least_squares
from tests.problems import (
    labels,
    linear_problem,
    numbers,
    store_of,
)


def augmented(store: MemoryStore) -> np.ndarray:
    return np.column_stack([store.x["numeric"].astype(np.float64), np.ones(len(store))])


@pytest.mark.parametrize("batch_size", [120, 10])
def test_squared_error_converges_to_least_squares(batch_size: int) -> None:
    problem = least_squares()
    store = problem.store
    assert isinstance(store, MemoryStore)
    run = problem.loop_config(batch_size, 0.05, schedule="cosine", limits=Limits(100, epochs=300))
    loop, _ = fit(run, problem.begin())
    best = np.linalg.lstsq(augmented(store), store.y.astype(np.float64), rcond=None)[0]
    tolerance = 1e-4 if batch_size == 120 else 5e-3
    np.testing.assert_allclose(loop.state.params["kernel"], best[:3], atol=tolerance)
    np.testing.assert_allclose(loop.state.params["bias"], best[3], atol=tolerance)


def test_weighted_squared_error_converges_to_weighted_least_squares_at_a_small_batch() -> None:
    plain = numbers(120, noise=0.5)
    weight = np.where(plain.y[:, 0] > 0.5, 6.0, 0.5)
    store = store_of(plain.x["numeric"], plain.y, weight)
    problem = linear_problem(store)
    run = problem.loop_config(1, 0.02, schedule="cosine", limits=Limits(100, epochs=100))
    loop, _ = fit(run, problem.begin())
    root = np.sqrt(weight)[:, None]
    X, y = augmented(store), plain.y.astype(np.float64)
    best = np.linalg.lstsq(root * X, root * y, rcond=None)[0]
    np.testing.assert_allclose(loop.state.params["kernel"], best[:3], atol=2e-2)
    np.testing.assert_allclose(loop.state.params["bias"], best[3], atol=2e-2)
    unweighted = np.linalg.lstsq(X, y, rcond=None)[0]
    assert np.abs(unweighted - best).max() > 0.1


@pytest.mark.parametrize("classes", [2, 4])
def test_cross_entropy_converges_to_the_coefficients_of_scikit_learn(classes: int) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    store = labels(200, classes=classes)
    C = 0.5
    problem = linear_problem(
        store,
        loss="cross_entropy",
        outputs=1 if classes == 2 else classes,
        l2=1 / (C * len(store)),
        optimizer="momentum",
    )
    loop, _ = fit(problem.loop_config(200, 0.5, limits=Limits(100, epochs=600)), problem.begin())
    peer = linear_model.LogisticRegression(C=C, tol=1e-10, max_iter=1000)
    peer.fit(store.x["numeric"].astype(np.float64), store.y)
    kernel, bias = (np.asarray(loop.state.params[name]) for name in ("kernel", "bias"))
    np.testing.assert_allclose(kernel.T, peer.coef_, atol=2e-4)
    # The biases of several classes are known up to a constant.
    centred = bias - bias.mean() if classes > 2 else bias
    theirs = peer.intercept_ - peer.intercept_.mean() if classes > 2 else peer.intercept_
    np.testing.assert_allclose(centred, theirs, atol=2e-4)
