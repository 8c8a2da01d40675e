"""The losses of quantiles, of yes-or-no targets and of margins, from the table to the graph."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import descend
from descend.cli.app import app
from descend.data.reading.open_table import open_table
from descend.data.schema.learn import learn_schema
from descend.errors import DataError, SettingsError
from descend.settings import Settings
from descend.training.build import resolve_task


def table(rows=600, seed=0):
    """Targets that hang on `a`: a number, a count, two answers, and two and three classes."""
    random = np.random.default_rng(seed)
    a, noise = random.normal(size=rows), random.normal(size=rows)
    return pd.DataFrame(
        {
            "a": a,
            "b": random.normal(size=rows),
            "number": 10.0 + 3.0 * a + noise,
            "other": -a,
            "count": random.poisson(np.exp(0.5 * a)),
            "rain": (a + 0.3 * noise > 0.8).astype(int),
            "wind": (a < 0.5).astype(int),
            "two": np.where(a > 0, "yes", "no"),
            "three": np.select([a < -0.5, a < 0.5], ["low", "mid"], "top"),
        }
    )


def test_several_columns_of_0_and_1_are_labels():
    """As several labels of a row are in the estimators."""
    found = table()[["a", "b", "rain", "wind"]]
    run = trained("rain,wind", epochs=1)
    assert run.model.settings.loss == "binary_cross_entropy"
    assert {"log_loss", "exact_match"} < run.metrics["model"].keys()
    assert not run.model.schema.target.standardised
    for data, options in (
        (found, {"task": "regression"}),
        (found, {"loss": "squared_error"}),
        (found.assign(wind=found.wind * 2), {}),
    ):
        settings = Settings("rain,wind", **options)
        schema = learn_schema(open_table(data), settings)
        assert schema.target.standardised
        assert resolve_task(settings, schema).loss == "squared_error"
    with pytest.raises(DataError, match="labels, of which a row may have several, are columns of"):
        learn_schema(open_table(found.assign(rain=found.rain == 1)), Settings("rain,wind"))


TARGETS = ["number", "other", "count", "rain", "wind", "two", "three"]


def trained(target, **options):
    names = target.split(",")
    exclude = [name for name in TARGETS if name not in names]
    settings = {"model": "mlp", "hidden": (8,), "epochs": 12, "batch_size": 16, "seed": 0}
    settings |= {"learning_rate": 0.02}
    return descend.train(table(), target=target, exclude=exclude, **{**settings, **options})


def in_onnx(model, path, frame):
    """Outputs of the graph by name."""
    model.export(path)
    session = onnxruntime.InferenceSession(path)
    feed = {one.name: frame[[one.name]].to_numpy(np.float64) for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(None, feed), strict=True))


@pytest.mark.parametrize("model", ["mlp", "tabular"])
@pytest.mark.slow
def test_quantiles_are_columns_in_order_and_hold_their_shares(model, tmp_path):
    hidden = (8,)
    run = trained("number", model=model, hidden=hidden, quantiles=(0.1, 0.5, 0.9))
    assert run.model.settings.loss == "quantile"
    frame = table(2000, seed=1)
    predicted = run.model.predict(frame)
    assert predicted.shape == (2000, 3)
    assert (np.diff(predicted, axis=1) >= 0).all()
    below = (frame[["number"]].to_numpy() <= predicted).mean(axis=0)
    assert below == pytest.approx([0.1, 0.5, 0.9], abs=0.08)
    metrics = run.model.evaluate(frame)
    assert metrics["model"]["below_0.9"] == pytest.approx(below[2])
    assert metrics["model"]["pinball"] < 0.6 * metrics["baseline"]["pinball"]
    assert metrics["baseline"]["below_0.9"] == pytest.approx(0.9, abs=0.05)
    np.testing.assert_allclose(
        in_onnx(run.model, tmp_path / "q.onnx", frame)["prediction"], predicted, rtol=1e-4
    )
    run.model.save(tmp_path / "model.safetensors")
    again = descend.load_model(tmp_path / "model.safetensors")
    assert again.predict(frame).tolist() == predicted.tolist()
    with pytest.raises(SettingsError, match="quantiles, which are bounds"):
        again.predict_interval(frame)


def test_several_targets_have_their_own_quantiles(tmp_path):
    run = trained("number,other", quantiles=(0.25, 0.75))
    frame = table(seed=1)
    predicted = run.model.predict(frame)
    assert predicted.shape == (600, 2, 2)
    assert run.model.prediction_names == (
        *("number_q0.25", "number_q0.75"),
        *("other_q0.25", "other_q0.75"),
    )
    assert predicted[:, 0].mean() == pytest.approx(10.0, abs=1.0)
    assert predicted[:, 1].mean() == pytest.approx(0.0, abs=0.4)
    graph = in_onnx(run.model, tmp_path / "q.onnx", frame)["prediction"]
    np.testing.assert_allclose(graph, predicted.reshape(600, 4), rtol=1e-4, atol=1e-5)


def test_one_quantile_is_one_number():
    assert trained("number", quantiles=0.8, epochs=1).model.predict(table()).shape == (600,)


def test_the_trivial_quantiles_go_by_the_weights():
    frame = pd.DataFrame({"x": np.sin(np.arange(80.0)), "y": np.tile([1.0, 2.0, 3.0, 4.0], 20)})
    frame["w"] = np.where(frame["y"] == 4.0, 6.0, 1.0)
    run = descend.train(
        frame, target="y", weight="w", quantiles=(0.3, 0.9), model="linear", epochs=1,
        learning_rate=0.01, batch_size=8,
    )  # fmt: skip
    assert run.model.schema.target.quantiles == ((3.0, 4.0),)


def test_the_command_line_writes_a_column_for_each_quantile(tmp_path, capsys):
    table()[["a", "b", "number"]].to_csv(tmp_path / "t.csv", index=False)
    options = ["--target", "number", "--loss", "quantile", "--quantiles", "0.1,0.9", "--quiet"]
    options += ["--model", "linear", "--epochs", "2", "--batch-size", "32"]
    options += ["--learning-rate", "0.02", "--out", str(tmp_path / "run")]
    assert app(["train", str(tmp_path / "t.csv"), *options], standalone_mode=False) in (0, None)
    page = (tmp_path / "run" / "report.html").read_text()
    assert "pinball loss" in page
    out = tmp_path / "p.csv"
    app(
        ["predict", str(tmp_path / "run"), str(tmp_path / "t.csv"), "-o", str(out)],
        standalone_mode=False,
    )
    assert out.read_text().splitlines()[0] == '"number_q0.1","number_q0.9"'


@pytest.mark.parametrize("model", ["mlp", "tabular"])
@pytest.mark.slow
def test_answers_of_several_questions_are_probabilities(model, tmp_path):
    run = trained("rain,wind", loss="binary_cross_entropy", model=model)
    frame = table(seed=1)
    predicted = run.model.predict(frame)
    assert predicted.min() >= 0.0
    assert predicted.max() <= 1.0
    metrics = run.model.evaluate(frame)["model"]
    truth = frame[["rain", "wind"]].to_numpy()
    assert metrics["accuracy"] == pytest.approx(((predicted > 0.5) == truth).mean())
    assert metrics["exact_match"] == pytest.approx(((predicted > 0.5) == truth).all(axis=1).mean())
    assert metrics["accuracy"] > 0.9
    graph = in_onnx(run.model, tmp_path / "b.onnx", frame)["prediction"]
    np.testing.assert_allclose(graph, predicted, atol=1e-5)


def test_shares_are_targets_too_and_other_numbers_are_not():
    frame = table()
    frame["share"] = 1 / (1 + np.exp(-frame["a"]))
    run = descend.train(
        frame[["a", "share"]], target="share", loss="binary_cross_entropy", model="linear",
        epochs=20, learning_rate=0.1, batch_size=16,
    )  # fmt: skip
    assert run.model.predict(frame) == pytest.approx(frame["share"].to_numpy(), abs=0.02)
    with pytest.raises(DataError, match="needs 0 or 1, or shares"):
        trained("number", loss="binary_cross_entropy")


@pytest.mark.parametrize("target", ["two", "three"])
def test_the_hinge_loss_gives_classes_and_scores(target, tmp_path):
    run = trained(target, loss="hinge", epochs=20)
    frame = table(seed=1)
    metrics = run.model.evaluate(frame)
    assert metrics["model"]["accuracy"] > 0.93
    assert metrics["model"]["hinge"] < 0.5 * metrics["baseline"]["hinge"]
    assert ("auc" in metrics["model"]) == (target == "two")
    with pytest.raises(SettingsError, match="without probabilities"):
        run.model.predict_proba(frame)
    graph = in_onnx(run.model, tmp_path / "h.onnx", frame)
    assert graph["label"].tolist() == run.model.predict(frame).tolist()
    assert graph["scores"].shape == (600, 2 if target == "two" else 3)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"quantiles": (0.5,), "loss": "huber"}, "quantiles goes with loss=.quantile"),
        ({"quantiles": (0.5, 0.2)}, "quantiles must rise"),
        ({"loss": "hinge", "task": "regression"}, "hinge.* does not fit regression"),
    ],
)
def test_what_does_not_go_together_is_said(options, said):
    with pytest.raises(SettingsError, match=said):
        trained("number", **options)
