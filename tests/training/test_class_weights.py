"""Weights of the classes of a table: `class_weight` of `train`, `--class-weight`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import descend
from descend.cli.app import app
from descend.data.schema.columns import ClassificationTarget, RegressionTarget
from descend.errors import SettingsError
from descend.runs.folder import read_run_record
from descend.settings import Settings
from descend.training.class_weights import loss_of, weights_by_code

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 2))
TABLE = pd.DataFrame(X, columns=["a", "b"]).assign(
    y=np.where(X.sum(axis=1) + RANDOM.normal(size=400) > 2.0, "yes", "no")
)
OPTIONS: dict[str, Any] = {
    "model": "linear",
    "batch_size": "all",
    "learning_rate": 0.5,
    "epochs": 100,
    "averaging": False,
}


def target(kind: str = "text", labels: Any = ("no", "yes"), counts: Any = (6, 2)) -> Any:
    return ClassificationTarget(names=("y",), type=kind, labels=labels, counts=counts)


def settings(*weights: str, loss: str = "cross_entropy") -> Settings:
    return Settings("y", class_weight=weights, loss=loss)


@pytest.mark.parametrize(
    ("given", "of", "expected"),
    [
        ((), target(), None),
        (("balanced",), target(), (2 / 3, 2.0)),
        (("balanced",), target(counts=(6, 0)), (1.0, 1.0)),
        (("yes=3",), target(), (2 / 3, 2.0)),
        (("yes=3", "no=1"), target(), (2 / 3, 2.0)),
        (("no=0",), target(), (0.0, 4.0)),
        (("1=3",), target("number", (0, 1)), (2 / 3, 2.0)),
        (("1.0=3",), target("number", (0, 1)), (2 / 3, 2.0)),
        (("true=3",), target("boolean", (False, True)), (2 / 3, 2.0)),
        (("a=b=3",), target(labels=("a", "a=b")), (2 / 3, 2.0)),
    ],
)
def test_weights_have_a_mean_of_1_over_the_training_rows(
    given: Any, of: Any, expected: Any
) -> None:
    found = weights_by_code(settings(*given), of)
    assert found == (expected and pytest.approx(expected))


def test_rows_of_a_weight_count_with_it() -> None:
    weighted = ClassificationTarget(("y",), "text", ("no", "yes"), (6, 2), (1.0, 3.0))
    assert weights_by_code(settings("balanced"), weighted) == pytest.approx((2.0, 2 / 3))


def test_the_loss_of_a_row_is_multiplied() -> None:
    outputs, codes = np.array([[0.5], [-2.0], [1.0]]), np.array([1, 0, 1])
    plain = loss_of(settings(), target()).per_example(outputs, codes)
    found = loss_of(settings("balanced"), target()).per_example(outputs, codes)
    np.testing.assert_allclose(found, plain * np.array([2.0, 2 / 3, 2.0]), rtol=1e-6)


def test_a_linear_model_is_that_of_scikit_learn_and_metrics_are_without_weights() -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss

    run = descend.train(TABLE, target="y", class_weight="balanced", validation=TABLE, **OPTIONS)
    theirs = LogisticRegression(class_weight="balanced", C=1e9).fit(X, TABLE.y)
    probabilities = run.model.predict_proba(TABLE)
    np.testing.assert_allclose(probabilities, theirs.predict_proba(X), atol=0.01)
    assert run.metrics["model"]["log_loss"] == pytest.approx(log_loss(TABLE.y, probabilities))
    assert run.model.evaluate(TABLE)["model"] == pytest.approx(run.metrics["model"])
    weight = TABLE.y.map(1 / (2 * TABLE.y.value_counts(normalize=True)))
    weighted = log_loss(TABLE.y, probabilities, sample_weight=weight)
    assert run.history[-1].validation_loss == pytest.approx(weighted, rel=1e-4)


def test_the_command_line_a_file_and_a_record_have_it(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "t.csv", index=False)
    (tmp_path / "options.toml").write_text("[class-weight]\nyes = 5\n")
    words = ["train", str(tmp_path / "t.csv"), "--target", "y", "--model", "linear", "--quiet"]
    words += ["--batch-size", "64", "--learning-rate", "0.1", "--epochs", "1"]
    found = []
    for name, more in {
        "typed": ["--class-weight", "yes=5"],
        "file": ["--config", str(tmp_path / "options.toml")],
        "like": ["--like", str(tmp_path / "typed")],
    }.items():
        with pytest.raises(SystemExit) as ended:
            app([*words, *more, "--out", str(tmp_path / name)])
        assert not ended.value.code
        record = read_run_record(tmp_path / name)
        assert record["settings"]["class_weight"] == ["yes=5"]
        found.append(record["result"]["best_validation_loss"])
    assert found[0] == found[1] == found[2]


def test_a_resumed_run_has_the_weights_of_the_stopped_one(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    TABLE.to_csv(table, index=False)
    options = {**OPTIONS, "target": "y", "class_weight": {"yes": 5}, "epochs": 3}
    whole = descend.train(table, out=tmp_path / "whole", **options)
    descend.train(table, out=tmp_path / "parts", stop=lambda one: one.epoch == 1, **options)
    resumed = descend.resume(tmp_path / "parts")
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts")]
    assert files[0] == files[1]
    assert len(resumed.history) == len(whole.history)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("balance", "must be balanced, or NAME=WEIGHT"),
        ({"yes": -1}, "with a weight of 0 or more"),
        ({"yes": float("inf")}, "found 'yes=inf'"),
        ({"yes": "many"}, "found 'yes=many'"),
        (["yes=1", "yes=2"], "for each class, once"),
        ([1.0, 2.0], "found '1.0'"),
    ],
)
def test_what_is_no_weight_of_a_class_is_refused(given: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        descend.train(TABLE, target="y", class_weight=given, **OPTIONS)


def test_weights_that_do_not_fit_the_target_are_refused() -> None:
    with pytest.raises(SettingsError, match="the class 'maybe', which the target 'y' does not"):
        weights_by_code(settings("maybe=2"), target())
    with pytest.raises(SettingsError, match="gives every class of the training rows the weight 0"):
        weights_by_code(settings("yes=0", "no=0"), target())
    numbers = RegressionTarget(("y",), (0.0,), (1.0,), (0.0,), (1.0,))
    with pytest.raises(SettingsError, match="is for classes; found a target of numbers, 'y'"):
        weights_by_code(settings("yes=2", loss="squared_error"), numbers)
