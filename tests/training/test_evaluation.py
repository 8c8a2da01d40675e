import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest

from descend.data.rows.store import MemoryStore
from descend.training import evaluation
from descend.training.evaluation import EvaluateRows, blocks
from descend.types import Array, Params
from tests.problems import labels, linear_problem, numbered, numbers, store_of


def mean_loss(store: MemoryStore, kernel: np.ndarray, bias: float) -> float:
    """½r² averaged by a loop over rows."""
    total = weights = 0.0
    for x, y, weight in zip(store.x["numeric"], store.y[:, 0], store.weight, strict=True):
        if weight > 0:
            total += float(weight) * 0.5 * (float(x @ kernel[:, 0]) + bias - float(y)) ** 2
            weights += float(weight)
    return total / weights


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("rows", [1, 63, 64, 65, 200])
def test_the_loss_is_the_weighted_mean_over_all_rows(
    rows: int, resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "RESIDENT_BYTES", 1 << 30 if resident else 0)
    plain = numbers(rows)
    weight = np.random.default_rng(0).uniform(0.1, 2, size=rows)
    store = store_of(plain.x["numeric"], plain.y, weight)
    problem = dataclasses.replace(
        linear_problem(store, l2=3.0), validation=store_of(plain.x["numeric"], plain.y, weight)
    )
    kernel = np.array([[0.1], [0.2], [-0.4]], np.float32)
    params = {"kernel": kernel, "bias": np.float32([0.3])}
    expected = mean_loss(store, kernel, 0.3)
    assert problem.evaluate(params) == pytest.approx(expected, rel=1e-5)
    assert problem.evaluate(params) == problem.evaluate(params)


def test_rows_of_weight_0_do_not_count_whatever_they_hold() -> None:
    plain = numbers(20)
    X, y = plain.x["numeric"].copy(), plain.y.copy()
    X[7], y[3] = np.nan, np.inf
    weight = np.ones(20)
    weight[[3, 7]] = 0
    store = store_of(X, y, weight)
    kernel = np.ones((3, 1), np.float32)
    found = linear_problem(store).evaluate({"kernel": kernel, "bias": np.zeros(1, np.float32)})
    assert found == pytest.approx(mean_loss(store, kernel, 0.0), rel=1e-5)


def test_blocks_hold_each_row_once_in_order() -> None:
    for rows, size in [(10, 3), (9, 3), (2, 8), (1, 1)]:
        found = list(blocks(numbered(rows), size))
        assert len({block.y.shape for block in found}) == 1
        counted = [block.y[block.weight > 0, 0].astype(int).tolist() for block in found]
        assert list(itertools.chain(*counted)) == list(range(rows))


def test_the_loss_of_classes_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    store = labels(300, classes=3)
    problem = linear_problem(store, loss="cross_entropy", outputs=3)
    kernel = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    found = problem.evaluate({"kernel": kernel, "bias": np.zeros(3, np.float32)})
    odds = np.exp(store.x["numeric"].astype(np.float64) @ kernel)
    probability = odds / odds.sum(axis=1, keepdims=True)
    assert found == pytest.approx(metrics.log_loss(store.y, probability), rel=1e-5)


def test_products_are_as_exact_on_a_gpu_as_on_a_cpu() -> None:
    problem = linear_problem(labels(300, classes=3), loss="cross_entropy", outputs=3)
    sums: Any = evaluation._compiled_sums(problem.apply, problem.per_example)
    params = problem.begin().state.params
    traced = str(sums.trace(params, problem.store.gather(np.arange(5))).jaxpr)
    assert traced.count("dot_general") == traced.count("precision=(Precision.HIGHEST") == 1


def test_many_rows_are_added_in_double_precision() -> None:
    """A million equal losses have exactly that mean."""
    rows = 1_000_000
    store = MemoryStore(
        {"numeric": np.broadcast_to(np.float32(0), (rows, 1))},
        np.broadcast_to(np.float32(0.1), (rows, 1)),
        np.ones(rows, np.float32),
    )
    evaluate = EvaluateRows(lambda params, x: x["numeric"], lambda o, y: y[:, 0], store)
    assert evaluate({}) == pytest.approx(float(np.float32(0.1)), rel=1e-6)


@pytest.mark.parametrize("resident", [True, False])
def test_the_outputs_of_a_block_are_bounded_however_many_classes_there_are(
    resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    classes, seen = 100, []
    monkeypatch.setattr(evaluation, "RESIDENT_BYTES", 1 << 30 if resident else 0)
    monkeypatch.setattr(evaluation, "OUTPUT_BYTES", 4 * classes * 7)
    plain = numbers(30)
    codes = (np.arange(30) % classes).astype(np.int32)
    store = MemoryStore(plain.x, codes, np.ones(30, np.float32))

    def apply(params: Params, x: dict[str, Array]) -> Array:
        seen.append(len(x["numeric"]))
        return x["numeric"][:, :1] * params

    found = EvaluateRows(apply, lambda outputs, y: outputs[:, 0] * (y >= 0), store)(
        np.ones(classes, np.float32)
    )
    assert found == pytest.approx(float(plain.x["numeric"][:, 0].mean()), rel=1e-4)
    assert max(seen) == 7
