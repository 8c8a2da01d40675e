"""The ONNX graph against the model it was made from, in ONNX Runtime."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import onnxruntime
import pandas as pd
import pytest

import descend
from descend.cli.app import app
from descend.errors import DataWarning, InputError, SettingsError

ROWS = 160


def table(seed=0, *, rows=ROWS, strange=False):
    """Every kind of column, with values missing in each; `strange` has values never seen."""
    random = np.random.default_rng(seed)
    size = random.normal(1e3, 20.0, rows)
    town = random.choice(np.array(["Ulm", "Bonn", "Żory", "3.0"], object), rows)
    floor = random.choice([1.0, 2.0, 2.5], rows)
    open_ = random.choice(np.array([True, False], object), rows)
    when = pd.Timestamp("1896-02-28 23:59") + pd.to_timedelta(
        random.integers(0, 70_000_000, rows) * 60, unit="s"
    )
    day = (pd.Timestamp("2023-12-25") + pd.to_timedelta(random.integers(0, 90, rows), "D")).date
    clock = np.array(
        [pd.Timestamp(int(one), unit="s").time() for one in random.integers(0, 86400, rows)]
    )
    if strange:
        size[0], town[1], floor[2] = 1e12, "Rom", 7.0
    result = pd.DataFrame(
        {
            "size": size,
            "whole": random.normal(size=rows),
            "town": town,
            "floor": floor,
            "open": open_,
            "when": when.astype("datetime64[us]"),
            "day": day,
            "clock": clock,
        }
    )
    for place, name in enumerate(["size", "town", "floor", "open", "when", "day", "clock"]):
        result.loc[result.index % 13 == place, name] = None
    return result


def targets(kind, rows=ROWS):
    random = np.random.default_rng(1)
    return {
        "number": random.normal(50.0, 9.0, rows),
        "count": random.poisson(4.0, rows).astype(float),
        "two": random.choice(["no", "yes"], rows),
        "three": random.choice([10, 20, 30], rows),
        "truth": random.choice([True, False], rows),
    }[kind]


def feed(session, data):
    """The inputs of a graph from a frame, by the convention that the documentation states."""
    values = {}
    for one in session.get_inputs():
        column = data[one.name]
        if one.type == "tensor(double)":
            read = column.to_numpy(np.float64, na_value=np.nan)
        elif one.type == "tensor(string)":
            read = np.array(["" if pd.isna(value) else str(value) for value in column], object)
        elif one.name == "clock":
            read = np.array(
                [
                    np.iinfo(np.int64).min
                    if pd.isna(value)
                    else 1_000_000 * (value.hour * 3600 + value.minute * 60 + value.second)
                    for value in column
                ]
            )
        else:
            read = pd.to_datetime(column).to_numpy("datetime64[us]").astype(np.int64)
        values[one.name] = read.reshape(-1, 1)
    return values


def agrees(model, path, data):
    model.export(path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    found = dict(
        zip(
            [one.name for one in session.get_outputs()],
            session.run(None, feed(session, data)),
            strict=True,
        )
    )
    if model.schema.task == "classification":
        truth = model.predict_proba(data)
        assert found["probabilities"] == pytest.approx(truth, rel=1e-5, abs=1e-6)
        sure = np.sort(truth, axis=1)[:, -1] - np.sort(truth, axis=1)[:, -2] > 1e-5
        assert found["label"][sure].tolist() == model.predict(data)[sure].tolist()
    else:
        truth = model.predict(data).reshape(len(data), -1)
        assert found["prediction"] == pytest.approx(truth, rel=1e-5)
    return session


def trained(data, target, **options):
    defaults = {
        "target": "y",
        "categorical": ["floor"],
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.02,
        "hidden": (8, 4),
    }
    return descend.train(data.assign(y=target), **{**defaults, **options}).model


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("number", {"model": "linear"}),
        ("three", {"model": "linear", "task": "classification"}),
        ("number", {"model": "mlp", "activation": "gelu"}),
        pytest.param(
            "count",
            {"model": "mlp", "activation": "tanh", "loss": "poisson"},
            marks=pytest.mark.slow,
        ),
        ("truth", {"model": "mlp", "hidden": ()}),
        pytest.param("number", {"members": 1, "activation": "gelu"}, marks=pytest.mark.slow),
        ("number", {"networks": 2, "members": 2}),
        pytest.param("three", {"task": "classification", "networks": 3}, marks=pytest.mark.slow),
        pytest.param("count", {"loss": "poisson", "networks": 2}, marks=pytest.mark.slow),
        pytest.param("count", {"loss": "poisson"}, marks=pytest.mark.slow),
        pytest.param("two", {}, marks=pytest.mark.slow),
        pytest.param("three", {"task": "classification"}, marks=pytest.mark.slow),
    ],
)
def test_the_graph_predicts_as_the_model_does(kind, options, tmp_path):
    made = trained(table(), targets(kind), **options)
    kinds = {column.name: column.kind for column in made.schema.columns}
    assert kinds["when"] == kinds["day"] == kinds["clock"] == "datetime"
    assert kinds["town"] == kinds["floor"] == kinds["open"] == "category"
    session = agrees(made, tmp_path / "model.onnx", table())
    agrees(made, tmp_path / "model.onnx", table(seed=5, strange=True))
    assert {one.name for one in session.get_inputs()} == set(kinds)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [["size", "whole"], ["town", "floor"], ["when"]])
def test_one_kind_of_column_is_enough(columns, tmp_path):
    made = trained(
        table()[columns], targets("number"), categorical=["floor"] * ("floor" in columns)
    )
    agrees(made, tmp_path / "model.onnx", table(seed=2)[columns])


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, 24])
def test_days_that_are_learned_each_and_days_that_training_has_not(hours, tmp_path):
    random = np.random.default_rng(4)
    day = random.choice([*range(12), *range(20, 30)], 600)
    clock = 60 * random.integers(0, hours, 600)
    start = pd.Timestamp("2024-01-01")
    data = pd.DataFrame(
        {"when": start + pd.to_timedelta(1440 * day + clock, "min"), "x": random.normal(size=600)}
    )
    y = 20.0 + data["x"] + random.normal(size=30)[day]
    model = trained(data, y, categorical=[], epochs=9)
    agrees(model, tmp_path / "known.onnx", data)
    other = pd.DataFrame({"when": start + pd.to_timedelta(np.arange(-9, 60), "D"), "x": 0.0})
    agrees(model, tmp_path / "other.onnx", other)
    model.save(tmp_path / "model.safetensors")
    read = descend.load_model(tmp_path / "model.safetensors")
    assert np.array_equal(read.predict(other), model.predict(other))


@pytest.mark.slow
def test_values_that_matter_one_by_one_and_those_that_training_has_not(tmp_path):
    random = np.random.default_rng(6)
    names = np.sort(random.choice(np.arange(1_000, 9_999), 400, replace=False))
    shop = random.integers(0, 400, 4_000)
    data = pd.DataFrame({"shop": names[shop], "x": random.normal(size=4_000)})
    model = trained(
        data, 20.0 + random.normal(size=400)[shop] + data["x"], categorical=[], epochs=3
    )
    assert np.size(model.params["fixed"]["coded"]) == 1
    agrees(model, tmp_path / "known.onnx", data)
    agrees(model, tmp_path / "all.onnx", pd.DataFrame({"shop": np.arange(-9, 11_000), "x": 0.0}))


def codes(*values):
    places = np.random.default_rng(2).integers(0, len(values), ROWS)
    return np.array(values)[places], 10.0 * places


@pytest.mark.parametrize("spelled", ["2", "2.0", "2.00", "2.000"])
def test_a_whole_number_among_text_codes_is_one_category_however_it_is_written(spelled, tmp_path):
    code, y = codes("A1", "2", "3", "B7")
    model = trained(pd.DataFrame({"code": code}), y, categorical=["code"], model="linear")
    session = agrees(model, tmp_path / "m.onnx", pd.DataFrame({"code": ["A1", spelled, "3", "x"]}))
    assert session.get_inputs()[0].type == "tensor(string)"
    apart = pd.DataFrame({"code": ["2", spelled, "2.5", "2.0.0", "+2", "02"]})
    agrees(model, tmp_path / "apart.onnx", apart)


def test_what_is_missing_in_a_table_is_missing_in_the_graph(tmp_path):
    data = table()[["size", "town", "floor", "open"]]
    data["number"] = np.where(data.index % 5 == 0, -999.0, data.index % 7)
    data["born"] = np.where(data.index % 6, "02.03.1999", "01.01.1900")
    data["born"] = np.where(data.index % 4, data["born"], "17.08.2003")
    marks = ["number=-999", "town=Bonn", "floor=2", "born=01.01.1900"]
    model = trained(data, targets("number"), model="linear", missing=marks)
    assert {one.name for one in model.schema.columns if one.missing > 0} == {*data.columns}
    asked = data[:8].copy()
    asked["town"] = ["nan", "None", "Bonn", "Ulm", "n/a", "", "NULL", "3.0"]
    asked["open"] = ["yes", "Unknown", "n.a.", "-", "YES", "NA", "no", "?"]
    asked["floor"] = [1.0, 2.0, 2.5, 2.0, 1.0, 2.0, np.nan, 7.0]
    model.export(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    given = feed(session, asked.drop(columns="born").assign(born=None))
    day = pd.to_datetime(asked["born"], format="%d.%m.%Y").to_numpy("datetime64[us]")
    given["born"] = day.astype(np.int64).reshape(-1, 1)
    found = session.run(None, given)[0].ravel()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        assert found == pytest.approx(model.predict(asked), rel=1e-5)


def test_a_code_in_float32_is_the_one_in_float64(tmp_path):
    code, y = codes(0.1, 0.2, 2.0)
    model = trained(pd.DataFrame({"code": code}), y, categorical=["code"], model="linear")
    narrow = pd.DataFrame({"code": np.array([0.1, 0.2, 2.0], np.float32).astype(np.float64)})
    agrees(model, tmp_path / "m.onnx", narrow)


def test_codes_that_float64_cannot_tell_apart_are_text(tmp_path):
    code, y = codes(2**53, 2**53 + 1, 2**53 + 2)
    model = trained(pd.DataFrame({"code": code}), y, categorical=["code"], model="linear")
    assert len(set(model.predict(pd.DataFrame({"code": 2**53 + np.arange(3)})).tolist())) == 3
    session = agrees(model, tmp_path / "m.onnx", pd.DataFrame({"code": 2**53 + np.arange(3)}))
    assert session.get_inputs()[0].type == "tensor(string)"


@pytest.mark.slow
def test_an_input_of_another_type_is_refused(tmp_path):
    code, y = codes("A1", "2")
    trained(pd.DataFrame({"code": code}), y, categorical=["code"]).export(tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        session.run(None, {"code": np.array([[2.0]])})


def test_several_targets_and_columns_named_like_outputs(tmp_path):
    random = np.random.default_rng(0)
    data = pd.DataFrame(random.normal(size=(80, 2)), columns=["prediction", "label"])
    both = data.assign(a=data["label"] * 2, b=1.0 - data["prediction"])
    made = descend.train(
        both, target=["a", "b"], model="linear", epochs=3, batch_size=8, learning_rate=0.1
    ).model
    made.export(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    found = session.run(["prediction_"], feed(session, data))[0]
    assert found == pytest.approx(made.predict(data), rel=1e-5, abs=1e-6)


@pytest.mark.slow
def test_from_the_command_line(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    made = trained(table()[["size"]], targets("number"), categorical=[])
    made.save(tmp_path / "model.safetensors")
    output = tmp_path / "model.onnx"
    result = CliRunner().invoke(app, ["export", str(tmp_path / "model.safetensors"), str(output)])
    assert result.exit_code == 0
    onnxruntime.InferenceSession(output)


def test_another_ending_is_refused(tmp_path):
    made = trained(table()[["size"]], targets("number"), categorical=[])
    with pytest.raises(SettingsError, match=r"\.onnx"):
        made.export(tmp_path / "model.pb")


def test_without_the_package_the_message_says_what_to_install(tmp_path, monkeypatch):
    made = trained(table()[["size"]], targets("number"), categorical=[])
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InputError, match="pip install onnx"):
        made.export(tmp_path / "model.onnx")
    assert not list(Path(tmp_path).iterdir())
