"""The comparison: its runs are those of train, its numbers those of slow honest loops."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import descend
from descend.errors import SettingsError
from descend.jobs.compare import Comparison
from descend.reporting.compare_page import compare_report, compare_text
from descend.training.step import make_gradient
from descend.tuning.classical import run_classical
from descend.tuning.compare import digest
from descend.tuning.measures import full_gradient, gradient_deviation, roughness
from descend.tuning.methods import methods_for
from tests.problems import linear_problem, numbers, rows_of

EVIL = '</script><script>alert(1)</script><b onmouseover="x">'


@pytest.fixture(scope="module")
def table() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(240, 3))
    return X, X @ [1.0, -2.0, 0.5] + 0.1 * random.normal(size=240)


@pytest.fixture(scope="module")
def comparison(table: Any, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return descend.compare(
        table,
        model="linear",
        batch_size=16,
        epochs=8,
        seeds=2,
        budget=600.0,
        advice_budget=0.5,
        methods=("adam", "conjugate-gradient"),
        out=tmp_path_factory.mktemp("compare") / "out",
    )


def test_every_run_is_the_run_of_train_to_the_bit(table: Any, comparison: Comparison) -> None:
    ours = [run for run in comparison.record["runs"] if run["method"]["family"] != "classical"]
    assert len(ours) == 2 * 2 * 7
    # Seeds split the table into different numbers of rows: all of them are all rows.
    whole = [run for run in ours if run["method"]["family"] == "full"]
    assert {run["measures"]["deviation_at_start"] for run in whole} == {0.0}
    assert all(run["history"]["update"][-1] == run["history"]["epoch"][-1] for run in whole)
    for run in ours[::5]:
        method = run["method"]
        trained = descend.train(
            table,
            model="linear",
            epochs=8,
            time_budget=600.0,
            batch_size=method["batch_size"],
            optimizer=method["optimizer"],
            learning_rate=run["learning_rate"],
            averaging=comparison.record["settings"]["averaging"],
            seed=run["seed"],
        )
        assert digest(trained.model.params) == run["weights_sha256"]
        assert [line.validation_loss for line in trained.history] == run["history"][
            "validation_loss"
        ]


def test_files_and_text(comparison: Comparison) -> None:
    assert comparison.folder is not None
    record = json.loads((comparison.folder / "compare.json").read_text())
    assert {one["panel"] for one in record["table"]} == {"tuned", "same"}
    assert {claim["name"] for claim in record["claims"]} >= {"closer", "noise", "faster", "memory"}
    text = compare_text(comparison.record)
    for words in ("Gradient descent with momentum", "Mini-batch 16, adam", "Conjugate gradient"):
        assert words in text
    page = (comparison.folder / "compare.html").read_text()
    # A page is made from the record alone.
    assert compare_report(record) == page


@pytest.mark.parametrize("method", ["conjugate-gradient", "coordinate-descent"])
def test_classical_methods_end_where_the_gradient_is_zero(method: str) -> None:
    problem = linear_problem(numbers(60))
    history, best, _ = run_classical(problem, method, 60.0)
    start = full_gradient(problem, problem.begin().state.params)
    for leaf, begun in zip(
        jax.tree.leaves(full_gradient(problem, best)), jax.tree.leaves(start), strict=True
    ):
        assert np.abs(leaf).max() < 0.01 * max(1.0, np.abs(begun).max())
    assert [line.update for line in history] == list(range(len(history)))
    assert history[-1].validation_loss < 0.05 * history[0].validation_loss


def test_what_a_table_says_cannot_become_markup(comparison: Comparison) -> None:
    hostile = json.loads(json.dumps(comparison.record, default=str).replace("NaN", "null"))
    hostile["settings"]["target"] = EVIL
    hostile["data"]["source"] = f"/tmp/{EVIL}.csv"
    for one in (*hostile["table"], *hostile["runs"]):
        one["method"]["title"] = EVIL
    page = compare_report(hostile)
    assert "<script>alert" not in page
    assert "<b onmouseover" not in page


def test_gradient_deviation_is_the_naive_one() -> None:
    problem = linear_problem(numbers(200), l2=0.1)
    params = problem.begin().state.params
    gradient = jax.jit(make_gradient(problem.objective))

    def flat(tree: Any) -> np.ndarray:
        return np.concatenate([np.ravel(np.asarray(leaf)) for leaf in jax.tree.leaves(tree)])

    rows = [flat(gradient(params, rows_of(problem.store, [row]))[1]) for row in range(200)]
    whole = np.mean(rows, axis=0)
    np.testing.assert_allclose(flat(full_gradient(problem, params)), whole, rtol=1e-4, atol=1e-5)
    found = gradient_deviation(problem, params, [1, 20, 200])
    assert found[200] == 0.0
    trace = np.mean(np.sum((rows - whole) ** 2, axis=1))
    norm = np.linalg.norm(whole)
    law = np.sqrt(trace / 20 * (200 - 20) / 199) / norm
    assert found[20] == pytest.approx(law, rel=0.25)
    assert found[1] == pytest.approx(np.sqrt(trace) / norm, rel=0.35)


def test_roughness() -> None:
    assert roughness([3.0, 2.0, 1.0, 0.5]) == 0.0
    assert roughness([1.0, 2.0]) is None
    assert roughness([4.0, 3.0, 3.5, 1.0, 9.0]) == pytest.approx(0.5 / 4.0)


def test_methods_and_their_names() -> None:
    found = methods_for(100, 10, (25,), ("adam", "conjugate-gradient"))
    assert [one.batch_size for one in found] == [100, 100, 25, 25, 10, 10, 1, 1, 10, 100]
    assert len({one.name for one in found}) == len(found)
    assert [one.advised for one in found if one.family == "mini"] == [
        False,
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"methods": ("adma",)}, "--methods"),
        ({"sizes": (0,)}, "--sizes"),
        ({"seeds": 0}, "--seeds"),
        ({"methods": ("simulated-annealing",), "model": "mlp"}, "--model linear"),
    ],
)
def test_what_cannot_be_is_said(table: Any, options: Mapping[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        descend.compare(table, **{"model": "linear", "batch_size": 8, "epochs": 2, **options})


def test_an_existing_comparison_is_kept(table: Any, comparison: Comparison, tmp_path: Path) -> None:
    assert comparison.folder is not None
    with pytest.raises(descend.InputError, match="--force"):
        descend.compare(table, epochs=1, out=comparison.folder)
