"""Custom models are trained, advised on, compared, resumed and reported as ours are."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import descend
from descend.commands.inspect import inspect
from descend.commands.report import report
from descend.errors import DataError, DivergedError, InputError, SettingsError
from descend.reporting.text.records import inspection_text

ROWS = 300
NUMBERS = {"batch_size": 16, "learning_rate": 0.05}

Rows = tuple[np.ndarray, np.ndarray]
Functions = tuple[Callable[..., Any], Callable[..., Any]]


def rows(seed: int = 0, count: int = ROWS) -> Rows:
    X = np.random.default_rng(seed).normal(size=(count, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 1.0


def linear(outputs: int = 1) -> Functions:
    def init(key: Any) -> Any:
        return {"kernel": jnp.zeros((4, outputs)), "bias": jnp.zeros(outputs)}

    return init, lambda params, x: x @ params["kernel"] + params["bias"]


def fit(model: Any, data: Any, **options: Any) -> Any:
    return descend.fit(model, data, **{**NUMBERS, "epochs": 6, **options})


def test_a_run_goes_on_to_the_bit(tmp_path: Path) -> None:
    whole = fit(linear(), rows())
    fit(linear(), rows(), epochs=3, out=tmp_path / "run")
    more = fit(linear(), rows(), out=tmp_path / "run", resume=True)
    assert more.params["kernel"].tolist() == whole.params["kernel"].tolist()
    assert [line.validation_loss for line in more.history] == [
        line.validation_loss for line in whole.history
    ]


def test_a_finished_run_comes_back_as_it_is(tmp_path: Path) -> None:
    run = fit(linear(), rows(), out=tmp_path / "run")
    again = fit(linear(), rows(), out=tmp_path / "run", resume=True)
    assert again.record["result"] == run.record["result"]
    assert again.predict(rows()[0]).tolist() == run.predict(rows()[0]).tolist()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"data": rows(seed=1)}, DataError, "changed since"),
        ({"learning_rate": 0.1}, SettingsError, "learning_rate was 0.05 when the run"),
        ({"optimizer": "adam"}, SettingsError, "optimizer was 'momentum'"),
        ({"optimizer": optax.sgd(0.1)}, SettingsError, "'momentum' when .* is 'one of your own'"),
        ({"loss": "huber"}, SettingsError, "loss was 'squared_error' when the run"),
        ({"resume": False}, InputError, "exists"),
        ({"out": None}, SettingsError, "out="),
    ],
)
def test_another_run_is_not_gone_on_with(
    tmp_path: Path, options: dict[str, Any], error: type[Exception], said: str
) -> None:
    fit(linear(), rows(), epochs=1, out=tmp_path / "run")
    asked = {"data": rows(), "out": tmp_path / "run", "resume": True, **options}
    with pytest.raises(error, match=said):
        fit(linear(), asked.pop("data"), **asked)


@pytest.mark.slow
def test_chunks_on_disk_go_on_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = rows()

    def chunks() -> Iterator[Rows]:
        return ((X[start : start + 70], y[start : start + 70]) for start in range(0, ROWS, 70))

    stored = {"store": str(tmp_path / "kept")}
    whole = fit(linear(), chunks(), **stored)
    fit(linear(), chunks(), epochs=3, out=tmp_path / "run", **stored)
    more = fit(linear(), chunks(), out=tmp_path / "run", resume=True)
    assert more.params["kernel"].tolist() == whole.params["kernel"].tolist()
    assert more.record["data"]["layout"]["stored"]
    assert more.metrics["model"]["r2"] > 0.9


@pytest.mark.slow
def test_the_report_is_that_of_a_run_and_is_built_again(tmp_path: Path) -> None:
    run = fit(linear(), rows(), out=tmp_path / "run")
    assert {"run.json", "history.csv", "model.safetensors", "report.html", "checkpoint"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    page = (tmp_path / "run" / "report.html").read_text()
    assert "a custom model" in page
    assert "How it was trained" in page
    assert "float32 [4]" in page
    (tmp_path / "run" / "report.html").unlink()
    assert report([tmp_path / "run"]).read_text() == page
    other = fit(linear(), rows(), loss=absolute, out=tmp_path / "other")
    assert "mean loss of" in (tmp_path / "other" / "report.html").read_text()
    both = report([run.folder, other.folder], tmp_path / "both.html").read_text()
    assert "absolute" in both
    text = inspection_text(inspect(str(tmp_path / "run"), None, exclude=(), categorical=()))
    assert "R²" in text
    assert "descend predict" not in text


def absolute(outputs: Any, y: Any) -> Any:
    return jnp.abs(outputs[:, 0] - y)


def test_metrics_are_those_of_a_naive_loop() -> None:
    X, y = rows()
    run = fit(linear(), (X, y), validation=(X[:50], y[:50]))
    found = run.predict(X[:50]).ravel()
    assert run.metrics["model"]["rmse"] == pytest.approx(
        np.sqrt(np.mean((found - y[:50]) ** 2)), rel=1e-4
    )
    trivial = np.sqrt(np.mean((y.mean() - y[:50]) ** 2))
    assert run.metrics["baseline"]["rmse"] == pytest.approx(trivial)
    labels = (y > 1).astype(np.int64)
    classes = fit(linear(2), (X, labels), validation=(X[:50], labels[:50]))
    named = classes.predict(X[:50]).argmax(axis=1)
    assert classes.metrics["model"]["accuracy"] == pytest.approx((named == labels[:50]).mean())
    common = labels[:50] == (labels.mean() > 0.5)
    assert classes.metrics["baseline"]["accuracy"] == pytest.approx(common.mean())
    assert fit(linear(), (X, y), loss=absolute).metrics == {}


def test_figures_of_the_users_own_are_told_everywhere(tmp_path: Path) -> None:
    X, y = rows()
    seen = []

    def largest(predictions: Any, y: Any) -> float:
        return float(np.abs(predictions[:, 0] - y).max())

    run = fit(
        linear(),
        (X, y),
        validation=(X[:50], y[:50]),
        metrics={"largest error": largest},
        callbacks=[lambda evaluation: seen.append(evaluation.metrics["model"]["largest error"])],
        out=tmp_path / "run",
    )
    found = np.abs(run.predict(X[:50])[:, 0] - y[:50]).max()
    assert run.metrics["model"]["largest error"] == pytest.approx(found, abs=1e-6)
    assert {"r2", "rmse"} < run.metrics["model"].keys()
    assert len(seen) == len(run.history)
    assert seen[-1] < seen[0]
    assert "largest error" in (tmp_path / "run" / "report.html").read_text()
    assert "validation loss" in run._repr_html_()
    alone = fit(linear(), (X, y), loss=absolute, metrics={"largest": largest}, out=tmp_path / "b")
    assert alone.metrics["model"].keys() == {"largest"}
    assert "mean loss of" in (tmp_path / "b" / "report.html").read_text()
    for wrong, said in (({"a": 3}, "Expected metrics"), ({"a": lambda p, y: p.none}, "fails")):
        with pytest.raises(InputError, match=said):
            fit(linear(), (X, y), epochs=1, metrics=wrong)


def test_a_table_is_predicted_in_its_own_units() -> None:
    X, y = rows()
    table = pd.DataFrame(X, columns=list("abcd")).assign(y=1000.0 + 50.0 * y)
    model = (linear()[0], lambda params, x: x["numeric"] @ params["kernel"] + params["bias"])
    run = fit(model, table, epochs=15)
    assert run.predict(table).ravel() == pytest.approx(table["y"], rel=0.02)
    assert run.metrics["baseline"]["rmse"] == pytest.approx(table["y"].std(), rel=0.2)


def test_advice_is_measured_as_for_ours(tmp_path: Path) -> None:
    model, data = linear(), rows()
    advice = descend.advise(
        data, model=model, loss=absolute, optimizer=optax.adam, advice_budget=0.5, out=tmp_path
    )
    assert 1 <= advice.batch_size <= ROWS
    assert advice.interval[0] <= advice.learning_rate <= advice.interval[1]
    assert {"speed", "noise", "trials"} <= advice.evidence.keys()
    record = json.loads((tmp_path / "advice.json").read_text())
    assert record["own"] == {"model": "own", "loss": "absolute", "optimizer": "adam"}
    assert "a custom model" in (tmp_path / "advice.html").read_text()


@pytest.mark.slow
def test_a_rate_of_its_own_is_settled_and_one_that_is_asked_for_is_found() -> None:
    run = descend.fit(linear(), rows(), optimizer=optax.adam(0.02), epochs=1, advice_budget=0.3)
    assert run.record["settings"]["learning_rate"] == 1.0
    assert run.record["advice"]["evidence"]["given"] == ["learning rate"]
    found = descend.fit(
        linear(), rows(), optimizer=optax.adam, batch_size=16, epochs=1, advice_budget=0.3
    )
    assert found.record["advice"]["evidence"]["given"] == ["batch size"]
    tried = {trial["learning_rate"] for trial in found.record["advice"]["evidence"]["trials"]}
    assert len(tried) > 1
    assert found.record["settings"]["learning_rate"] in tried


def test_a_function_of_the_rate_is_the_transformation_with_that_rate() -> None:
    one = fit(linear(), rows(), optimizer=optax.adam, learning_rate=0.02, warmup=0.0)
    other = fit(linear(), rows(), optimizer=optax.adam(0.02), learning_rate=1.0)
    assert one.params["kernel"] == pytest.approx(other.params["kernel"], abs=1e-5)


@pytest.mark.slow
def test_methods_are_compared_and_a_custom_rule_beside_them(tmp_path: Path) -> None:
    data = rows()
    done = descend.compare(
        data,
        model=linear(),
        optimizer=optax.adam,
        batch_size=16,
        epochs=3,
        seeds=1,
        budget=60.0,
        advice_budget=0.5,
        out=tmp_path / "compare",
    )
    names = {line["method"]["name"] for line in done.table}
    assert {"mini-16-sgd", "mini-16-momentum", "mini-16-own", "stochastic-1-sgd"} <= names
    run = next(one for one in done.record["runs"] if one["method"]["name"] == "mini-16-own")
    trained = fit(
        linear(),
        data,
        optimizer=optax.adam,
        learning_rate=run["learning_rate"],
        averaging=done.record["settings"]["averaging"],
        warmup=done.record["settings"]["warmup"],
        epochs=3,
    )
    assert [line.validation_loss for line in trained.history] == run["history"]["validation_loss"]
    assert "a custom model" in (tmp_path / "compare" / "compare.html").read_text()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda X, y: (X, np.where(np.arange(len(X)) == 7, 1e9, y)), r"'y' holds 1e\+09"),
        (lambda X, y: (X * 1e4, y), r"about .*e\+0.* in size"),
        (lambda X, y: (X, y), r"learning rate 1e\+06"),
    ],
)
@pytest.mark.slow
def test_a_divergence_names_its_cause(change: Any, said: str, tmp_path: Path) -> None:
    X, y = change(*rows(count=4000))
    rate = 1e6 if "learning" in said else 10.0

    def cubed(outputs: Any, y: Any) -> Any:
        return jnp.abs(outputs[:, 0] - y) ** 3

    with pytest.raises(DivergedError, match=r"(?s)kept in.*Probable cause"):
        fit(linear(), (X, y), loss=cubed, learning_rate=rate, out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["result"]["stop_reason"] == "DIVERGED"
    assert re.search(said, record["result"]["cause"])


def test_a_loss_that_is_not_finite_at_the_start_names_the_row() -> None:
    X, y = rows()

    def logarithm(outputs: Any, y: Any) -> Any:
        return jnp.square(outputs[:, 0] - jnp.log(y))

    with pytest.raises(DivergedError, match=r"at the initial weights\. A row with y = -"):
        fit(linear(), (X, y), loss=logarithm)


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, ROWS - 1])
def test_a_training_row_whose_loss_is_not_finite_is_named(place: int) -> None:
    """The validation rows are finite: there is a history when the loss becomes NaN."""
    X, y = rows()
    seen = np.ones((ROWS, 1), bool)
    seen[place] = False  # A sequence that is all padding: 0 / 0.

    def masked(outputs: Any, y: Any) -> Any:
        each = jnp.square(outputs - y["number"]) * y["seen"]
        return each.sum(axis=1) / y["seen"].sum(axis=1)

    data = (X, {"number": y[:, None], "seen": seen})
    with pytest.raises(DivergedError, match=r"row\. A row with y = .*\[False\].*not the cause"):
        fit(
            linear(),
            data,
            loss=masked,
            validation=(X[5:50], {"number": y[5:50, None], "seen": seen[5:50]}),
        )


@pytest.mark.parametrize(("outputs", "labels"), [(3, 4), (1, 3), (2, -1)])
def test_a_class_without_an_output_is_named(outputs: int, labels: int) -> None:
    y = np.arange(ROWS) % labels if labels > 0 else -(np.arange(ROWS) % 2)
    with pytest.raises(DataError, match="Expected classes from 0 to"):
        fit(linear(outputs), (rows()[0], y))


def test_a_rescue_is_told(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"rate 1\.4 was too high.*went on at a lower rate"):
        run = fit(linear(), rows(), learning_rate=1.4, epochs=20)
    assert run.record["result"]["rescues"] > 0
    assert "learning rate 1.4 was too high" in run.record["result"]["cause"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden": (8,)}, "hidden means nothing here: the model is your own"),
        ({"exclude": ["a"]}, "exclude means nothing here: the data is no table"),
        ({"optimizer": optax.sgd(0.1), "clip": 1.0}, "clip means nothing here: put it into"),
        ({"batch_size": 1000}, "^batch_size.{1,9} is larger than the 2.. training rows"),
        ({"epochs": -1}, "^epochs must be"),
        ({"epochz": 3}, "Did you mean epochs"),
        ({"optimizer": 3}, "Expected as optimizer"),
        ({"loss": "cross_entropy"}, "needs y as whole numbers"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(linear(), rows(), **options)


def test_a_custom_loss_needs_a_custom_model() -> None:
    with pytest.raises(SettingsError, match="needs a custom model"):
        descend.advise(rows(), loss=absolute)


def test_what_only_the_program_can_build_is_said(tmp_path: Path) -> None:
    folder = fit(linear(), rows(), epochs=1, out=tmp_path / "run").folder
    with pytest.raises(InputError, match=r"Call\s+descend"):
        descend.resume(folder)
    with pytest.raises(InputError, match=r"Call\s+descend"):
        descend.load_model(folder)


def test_a_run_shows_itself_in_a_notebook() -> None:
    shown = fit(linear(), rows(), epochs=1)._repr_html_()
    assert "validation loss" in shown
    assert "trivial prediction" in shown


def test_a_planned_schedule_has_an_end() -> None:
    run = fit(linear(), rows(), schedule="cosine", epochs=None)
    assert run.history[-1].epoch == 30
    assert jax.tree.leaves(run.params)[0].shape == (1,)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("scale_pos_weight", "class_weight"),
        ("max_steps", "evaluation.update >= 1000"),
        ("loss_weights", "weight beside the loss"),
        ("steps_per_epoch", "islice"),
        ("gradient_accumulation_steps", "larger batch_size"),
        ("mixed_precision", "precision=.bfloat16."),
        ("early_stopping", "larger than the evaluations of a run"),
        ("restore_best_weights", r"evaluation\.params"),
        ("verbose", "quiet=False"),
    ],
)
def test_options_of_other_libraries_are_answered(name: str, answer: str) -> None:
    with pytest.raises(SettingsError, match=f"no option {name}.*{answer}"):
        descend.fit(linear(), rows(), **{name: 1})


@pytest.mark.slow
def test_64_bits_may_be_switched_on_around_a_run() -> None:
    with jax.enable_x64(True):
        model = (lambda key: jnp.zeros((4, 1)), lambda params, x: x @ params)
        run = fit(model, rows(), epochs=3)
        assert run.params.dtype == np.float64
    assert len(run.history) == 4
