"""Metrics of the user's own, further validation rows and an own stopping rule, wherever shown."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics

import descend
from descend.commands.report import report
from descend.errors import DescendError
from descend.io.event_files import EventWriter
from descend.reporting.progress import LineProgress
from descend.reporting.text.records import summary_text
from descend.runs.history import read_history
from descend.types import StopReason

os.environ.setdefault("KERAS_BACKEND", "jax")
X = np.random.default_rng(0).normal(size=(200, 3))
Y = X @ [1.0, 2.0, 3.0]
FAR = (X[:50] + 1.0, Y[:50])
MODEL = (lambda key: jnp.zeros((3, 1)), lambda params, x: x @ params)
OPTIONS: dict[str, Any] = {"batch_size": 10, "learning_rate": 0.01, "epochs": 4}


def worst(predictions: Any, y: Any) -> float:
    return float(np.abs(predictions[:, 0] - y).max())


def fit(data: Any = (X, Y), **options: Any) -> Any:
    asked = {"metrics": {"worst": worst}, "validation_sets": {"far": FAR}, **options}
    return descend.fit(MODEL, data, **{**OPTIONS, **asked})


def test_metrics_are_measured_at_each_evaluation_on_all_rows() -> None:
    run = fit(averaging=False)
    assert all(list(line.metrics) == ["worst", "far/loss", "far/worst"] for line in run.history)
    last = run.history[-1].metrics
    predictions = run.predict(FAR[0])
    assert last["far/worst"] == pytest.approx(worst(predictions, FAR[1]), rel=1e-5)
    squares = 0.5 * np.square(predictions[:, 0] - FAR[1])
    assert last["far/loss"] == pytest.approx(squares.mean(), rel=1e-5)
    assert run.metrics["model"]["worst"] == pytest.approx(last["worst"])
    assert run.metrics["model"]["far/loss"] > run.history[-1].validation_loss
    assert run.metrics["baseline"]["far/loss"] is None


def test_rows_of_weight_0_are_no_rows_of_a_metric() -> None:
    weight = np.arange(len(X)) % 2.0
    data = (X, np.where(weight == 0, 1e3, Y), weight)
    sets = {"far": (FAR[0], np.where(weight[:50] == 0, 1e3, FAR[1]), weight[:50])}
    asked = {"rows": lambda predictions, y: len(y), "largest": lambda predictions, y: y.max()}
    run = fit(data, validation=data, metrics=asked, validation_sets=sets, epochs=1)
    found = run.metrics["model"]
    assert (found["rows"], found["far/rows"]) == (100, 25)
    assert found["largest"] == pytest.approx(Y[1::2].max())


def test_columns_of_targets_are_told_each_by_itself() -> None:
    """The squares of the first are a million times those of the second."""
    y = np.stack([1000.0 * Y, X[:, 0] + 0.1 * Y], axis=1)
    model = (lambda key: jnp.zeros((3, 2)), lambda params, x: x @ params)
    run = descend.fit(model, (X, y), validation=(X, y), **OPTIONS)
    found, errors = run.metrics["model"], np.asarray(run.predict(X)) - y
    for place in (0, 1):
        rmse = np.sqrt(np.mean(errors[:, place] ** 2))
        assert found[f"rmse (y[:, {place}])"] == pytest.approx(rmse, rel=1e-5)
    assert found["r2"] == pytest.approx(sklearn.metrics.r2_score(y, y + errors), rel=1e-5)


def several_outputs(params: Any, x: Any) -> Any:
    inside = x["values"] * x["mask"]
    return {name: inside @ weights for name, weights in params.items()}


KEYS = {"price": 1, "kind": 3, "both": 2, "level": 3, "own": 1}
LOSS = {
    "price": "huber",
    "kind": ("cross_entropy", 0.5),
    "both": ("mse", 2.0),
    "level": "quantile",
    "own": lambda outputs, y: jnp.abs(outputs[:, 0] - y),
}


@pytest.fixture(scope="module")
def of_several(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run with five outputs, its folder, its rows and their targets."""
    place = np.arange(len(X))
    x = {"values": X, "mask": (place[:, None] % 5 < 3 + np.arange(3)).astype(np.float32)}
    y = {
        "price": Y,
        "kind": place % 3,
        "both": np.stack([Y, 100.0 * X[:, 1]], axis=1),
        "level": Y,
        "own": Y,
    }
    weight = (place % 4).astype(np.float32)
    model = (
        lambda key: {name: jnp.full((3, width), 0.1) for name, width in KEYS.items()},
        several_outputs,
    )
    folder = tmp_path_factory.mktemp("several") / "run"
    options: dict[str, Any] = {**OPTIONS, "learning_rate": 1e-4, "epochs": 2, "averaging": False}
    rows = (x, y, weight)
    run = descend.fit(model, rows, loss=LOSS, validation=rows, out=folder, **options)
    return run, folder, rows


def test_each_of_several_outputs_has_the_metrics_of_its_loss(of_several: Any) -> None:
    """Against scikit-learn, with weights of rows and inputs that have a mask."""
    run, _, (x, y, w) = of_several
    told, found = run.predict(x), run.metrics["model"]
    m = sklearn.metrics
    price, both = told["price"][:, 0], told["both"]
    error = np.abs(price - y["price"])
    level = told["level"]
    expected = {
        "loss (price)": np.average(np.where(error < 1, error**2 / 2, error - 0.5), weights=w),
        "r2 (price)": m.r2_score(y["price"], price, sample_weight=w),
        "rmse (price)": np.sqrt(m.mean_squared_error(y["price"], price, sample_weight=w)),
        "mae (price)": np.average(error, weights=w),
        "accuracy (kind)": np.average(told["kind"].argmax(axis=1) == y["kind"], weights=w),
        "log_loss (kind)": m.log_loss(y["kind"], told["kind"], sample_weight=w),
        "loss (kind)": m.log_loss(y["kind"], told["kind"], sample_weight=w),
        "r2 (both)": m.r2_score(y["both"], both, sample_weight=w),
        "mae (both[:, 1])": np.average(np.abs(both - y["both"])[:, 1], weights=w),
        "pinball (level)": np.mean(
            [
                m.mean_pinball_loss(y["level"], level[:, place], alpha=a, sample_weight=w)
                for place, a in enumerate((0.1, 0.5, 0.9))
            ]
        ),
        "loss (own)": np.average(np.abs(told["own"][:, 0] - y["own"]), weights=w),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert not [name for name in found if name.endswith("(own)") and name != "loss (own)"]
    shares = [np.average(y["kind"] == one, weights=w) for one in range(3)]
    trivial = run.metrics["baseline"]
    assert trivial["accuracy (kind)"] == pytest.approx(max(shares), rel=1e-5)
    assert trivial["log_loss (kind)"] == pytest.approx(-np.sum(shares * np.log(shares)), rel=1e-5)
    assert trivial["loss (kind)"] is None
    weights = {name: one[1] if isinstance(one, tuple) else 1.0 for name, one in LOSS.items()}
    total = sum(weights[name] * found[f"loss ({name})"] for name in LOSS)
    assert run.record["result"]["best_validation_loss"] == pytest.approx(total, rel=1e-5)


def test_several_outputs_are_told_apart_wherever_metrics_are(of_several: Any) -> None:
    run, folder, _ = of_several
    best = min(run.history, key=lambda line: line.validation_loss)
    assert best.metrics == run.metrics["model"]
    assert read_history(folder)[-1] == run.history[-1]
    page = (folder / "report.html").read_text()
    assert "log loss (kind)" in page
    assert "kind correctly" in page
    assert "better than the trivial prediction (" in page
    text = summary_text(run.record, folder, run.history)
    assert "always the mean or quantiles of all rows or commonest class" in text


def test_outputs_in_a_list_are_called_by_their_place() -> None:
    model = (lambda key: jnp.zeros((3, 1)), lambda params, x: (x @ params, x @ params))
    run = descend.fit(
        model, (X, (Y, (Y > 0).astype(int))), loss=["mse", "cross_entropy"], **OPTIONS
    )
    found = run.metrics["model"]
    assert {"rmse (y[0])", "accuracy (y[1])", "auc (y[1])"} < set(found)


def test_metrics_of_scikit_learn_get_the_target_first() -> None:
    run = fit(metrics={"own": sklearn.metrics.r2_score}, learning_rate=0.001)
    assert run.metrics["model"]["own"] == pytest.approx(run.metrics["model"]["r2"], abs=1e-5)


def test_an_object_that_adds_up_over_calls_is_no_metric() -> None:
    keras = pytest.importorskip("keras")
    with pytest.raises(DescendError, match=r"adds up over all calls.*f\(predictions, y\)"):
        fit(metrics={"mae": keras.metrics.MeanAbsoluteError()})


def test_they_stand_in_the_files_and_are_read_again(tmp_path: Path) -> None:
    run = fit(out=tmp_path / "run")
    lines = (tmp_path / "run" / "history.csv").read_text().splitlines()
    assert lines[0].endswith("learning_rate,network,worst,far/loss,far/worst")
    assert len(lines) == len(run.history) + 1
    assert read_history(tmp_path / "run")[-1] == run.history[-1]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "loss on further validation rows" in page
    assert '"metric-1"' in page
    (tmp_path / "run" / "report.html").unlink()
    assert report([tmp_path / "run"]).read_text() == page
    frame = run.history.to_pandas()
    assert list(frame.columns[-3:]) == ["worst", "far/loss", "far/worst"]


def test_a_run_with_metrics_goes_on_with_them(tmp_path: Path) -> None:
    whole = fit()
    fit(epochs=2, out=tmp_path / "run")
    more = fit(out=tmp_path / "run", resume=True)
    assert [one.metrics for one in more.history] == [one.metrics for one in whole.history]
    assert more.params.tolist() == whole.params.tolist()


def test_a_metric_that_comes_later_gets_a_column(tmp_path: Path) -> None:
    fit(epochs=2, out=tmp_path / "run", metrics={}, validation_sets={})
    fit(out=tmp_path / "run", resume=True, validation_sets={})
    found = pd.read_csv(tmp_path / "run" / "history.csv")
    assert found["worst"].isna().tolist() == [True, True, True, False, False]
    assert [len(line.metrics) for line in read_history(tmp_path / "run")] == [0, 0, 0, 1, 1]


def test_progress_and_event_files_show_them(tmp_path: Path) -> None:
    line = fit(epochs=1).history[-1]
    text = io.StringIO()
    LineProgress(text, clock=lambda: 0.0).evaluated(line)
    assert f"far/worst {line.metrics['far/worst']:.4g}" in text.getvalue()
    writer = EventWriter(tmp_path)
    writer.add(line)
    writer.close()
    assert b"metrics/far/worst" in next(tmp_path.iterdir()).read_bytes()


def test_an_own_stopping_rule_takes_the_place_of_patience() -> None:
    seen = []

    def twice_as_good(evaluation: descend.Evaluation) -> bool:
        seen.append(evaluation.line.metrics["worst"])
        return evaluation.line.metrics["worst"] < 0.5 * seen[0]

    run = fit(stop=twice_as_good, epochs=50)
    assert run.stop_reason is StopReason.STOPPED
    assert seen[-1] < 0.5 * seen[0] <= seen[-2]
    still = fit(stop=lambda evaluation: False, epochs=30, patience=1, learning_rate=0.5)
    assert still.stop_reason is StopReason.EPOCHS
    assert still.record["result"]["lowerings"] == 0
    with pytest.raises(DescendError, match="stop must be a function"):
        fit(stop=3)
    for answer in (None, "no", np.array([True, False])):
        with pytest.raises(DescendError, match="stop must give True where the run ends"):
            fit(stop=lambda evaluation, answer=answer: answer)
    assert fit(stop=lambda evaluation: np.bool_(True)).stop_reason is StopReason.STOPPED


@pytest.mark.parametrize(
    ("loss", "own", "other", "said"),
    [
        ("cross_entropy", [0, 1, 2], [2, 3, 4], "Expected classes from 0 to 2 .* found 0 to 4"),
        ("binary_cross_entropy", [0.0, 1.0, 1.0], [0.0, 3.0, 1.0], "needs y from 0 to 1"),
        ("poisson", [0.0, 1.0, 1.0], [-1.0, 1.0, 1.0], "needs counts of 0 or more"),
    ],
)
def test_targets_of_further_sets_that_the_loss_has_no_sense_for_are_refused(
    loss: str, own: list[float], other: list[float], said: str
) -> None:
    """The loss over them had been some number, or NaN."""
    inputs, width = np.ones((60, 2)), 3 if loss == "cross_entropy" else 1
    model = (lambda key: jnp.zeros((2, width)), lambda params, x: x @ params)
    y, others = np.array(own * 20), np.array(other * 20)
    with pytest.raises(DescendError, match=rf"validation_sets\['far'\]: .*{said}"):
        descend.fit(
            *(model, (inputs, y)), loss=loss, validation_sets={"far": (inputs, others)}, **OPTIONS
        )


def test_sets_of_a_table_and_of_several_arrays() -> None:
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "y": 100 * Y})
    model = (lambda key: jnp.zeros((2, 1)), lambda params, x: x["numeric"] @ params)
    run = descend.fit(model, frame, validation_sets={"same": frame}, **OPTIONS)
    assert 0 < run.history[-1].metrics["same/loss"] < 1
    both = (lambda key: jnp.zeros((3, 1)), lambda params, x: x["a"] @ params)
    rows = ({"a": X}, {"one": Y})
    run = descend.fit(
        both,
        rows,
        loss=lambda outputs, y: jnp.square(outputs[:, 0] - y["one"]),
        metrics={"mean": lambda predictions, y: y["one"].mean()},
        validation_sets={"same": rows},
        **OPTIONS,
    )
    assert run.history[-1].metrics["same/mean"] == pytest.approx(Y.mean(), rel=1e-5)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"metrics": {"epoch": worst}}, "cannot be a name"),
        ({"metrics": {"a/b": worst}}, "no slash"),
        ({"metrics": {"a\n": worst}}, "Expected a name"),
        ({"metrics": [worst]}, "metrics="),
        ({"validation_sets": [FAR]}, "validation_sets="),
        ({"validation_sets": {"far": (X[:, :2], Y)}}, r"\['far'\] like .*x float32 \[2\]"),
        ({"validation_sets": {"far": (X[:9], Y[:9].astype(complex))}}, "found complex128"),
        ({"validation_sets": {"far": (X[:9], Y[:8])}}, r"validation_sets\['far'\]: "),
        ({"validation_sets": {"far": (X[:0], Y[:0])}}, r"validation_sets\['far'\]: "),
        ({"validation": (X[:9, :2], Y[:9])}, "validation rows like"),
        ({"metrics": {"bad": lambda predictions, y: None}}, r"metrics\['bad'\] fails"),
    ],
)
def test_what_cannot_be_measured_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(DescendError, match=said):
        fit(**options)


def _classifier(places: int, classes: int) -> Any:
    """A model of class scores for each place of a sequence; one place has no axis of its own."""
    shape = (places, classes) if places > 1 else (classes,)

    def init(key: Any) -> Any:
        return 0.5 * jax.random.normal(key, (3, places * classes))

    return init, lambda params, x: (x @ params).reshape(-1, *shape)


@pytest.mark.parametrize("classes", [2, 3])
def test_each_place_of_a_sequence_counts_for_the_metrics_of_classes(classes: int) -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, classes, (200, 4))
    y[:, 1] = X[:, 0] > 0
    weight = random.integers(0, 3, 200)
    data = (X, y, weight)
    run = descend.fit(_classifier(4, classes), data, validation=data, **OPTIONS)
    told, codes = run.predict(X).reshape(-1, classes).astype(float), y.ravel()
    told /= told.sum(axis=1, keepdims=True)  # Their sums are 1 up to rounding.
    each = np.repeat(weight, 4)
    counts = np.bincount(codes, each)
    model, baseline = run.metrics["model"], run.metrics["baseline"]
    right = sklearn.metrics.accuracy_score(codes, told.argmax(axis=1), sample_weight=each)
    lost = sklearn.metrics.log_loss(codes, told, sample_weight=each)
    assert model["accuracy"] == pytest.approx(right)
    assert model["log_loss"] == pytest.approx(lost, rel=1e-5)
    assert baseline["accuracy"] == pytest.approx(counts.max() / counts.sum())
    if classes == 2:
        area = sklearn.metrics.roc_auc_score(codes, told[:, 1], sample_weight=each)
        assert model["auc"] == pytest.approx(area)


@pytest.mark.parametrize("places", [1, 4])
def test_one_hot_rows_have_the_metrics_of_their_classes(places: int) -> None:
    random = np.random.default_rng(1)
    codes = random.integers(0, 2, (200, places)[: 1 + (places > 1)])
    options = {**OPTIONS, "loss": "cross_entropy", "validation": 0.3}
    coded = descend.fit(_classifier(places, 2), (X, codes), **options)
    one_hot = descend.fit(_classifier(places, 2), (X, np.eye(2)[codes]), **options)
    assert set(coded.metrics["model"]) == {"accuracy", "log_loss", "auc"}
    for kind in ("model", "baseline"):
        assert one_hot.metrics[kind] == pytest.approx(coded.metrics[kind], rel=1e-5)


def test_probabilities_of_classes_count_as_many_rows_of_these_classes() -> None:
    random = np.random.default_rng(1)
    shares = random.dirichlet([1.0, 2.0, 3.0], 200)
    options = {**OPTIONS, "loss": "cross_entropy"}
    run = descend.fit(_classifier(1, 3), (X, shares), validation=(X, shares), **options)
    told = np.repeat(run.predict(X).astype(float), 3, axis=0)
    told /= told.sum(axis=1, keepdims=True)
    codes, each = np.tile(np.arange(3), 200), shares.ravel()
    right = sklearn.metrics.accuracy_score(codes, told.argmax(axis=1), sample_weight=each)
    lost = sklearn.metrics.log_loss(codes, told, sample_weight=each)
    assert run.metrics["model"]["accuracy"] == pytest.approx(right)
    assert run.metrics["model"]["log_loss"] == pytest.approx(lost, rel=1e-5)
    assert run.metrics["baseline"]["accuracy"] == pytest.approx(shares.mean(axis=0).max())
