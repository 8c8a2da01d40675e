"""Every kind of custom model with everything that can be asked of one."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.commands.landscape import landscape
from descend.commands.report import report
from descend.errors import InputError, SettingsError
from descend.reporting.progress import make_progress
from descend.runs.records import read_kind

os.environ.setdefault("KERAS_BACKEND", "jax")
X = np.random.default_rng(0).normal(size=(240, 4)).astype(np.float32)
Y = (np.sin(X[:, 0]) + X[:, 1]).astype(np.float32)
OPTIONS: dict[str, Any] = {"batch_size": 16, "learning_rate": 0.02, "epochs": 3}

Made = dict[str, Any]


def functions() -> Made:
    def init(key: Any) -> Any:
        return {"kernel": 0.1 * jax.random.normal(key, (4, 1)), "bias": jnp.zeros(1)}

    model = (init, lambda params, x: x @ params["kernel"] + params["bias"])
    return {"model": model, "data": (X, Y)}


def noisy() -> Made:
    def apply(params: Any, state: Any, x: Any, key: Any, training: bool) -> Any:
        if training:
            x = x + 0.1 * jax.random.normal(key, x.shape)
        return x @ params, {"calls": state["calls"] + 1}

    model = (lambda key: (jnp.zeros((4, 1)), {"calls": jnp.int32(0)}), apply)
    return {"model": model, "data": (X, Y)}


def several() -> Made:
    def apply(params: Any, x: Any) -> Any:
        hidden = jnp.tanh(x["left"] @ params["left"] + x["right"] @ params["right"])
        return {"number": hidden @ params["number"], "kind": hidden @ params["kind"]}

    def init(key: Any) -> Any:
        keys = jax.random.split(key, 4)
        shapes = {"left": (2, 6), "right": (2, 6), "number": (6, 1), "kind": (6, 3)}
        return {
            name: 0.4 * jax.random.normal(one, shape)
            for one, (name, shape) in zip(keys, shapes.items(), strict=True)
        }

    inputs = {"left": X[:, :2], "right": X[:, 2:]}
    targets = {"number": Y, "kind": np.digitize(Y, [-0.5, 0.5])}
    losses = {"number": "mse", "kind": ("cross_entropy", 0.5)}
    return {"model": (init, apply), "data": (inputs, targets), "loss": losses}


def nnx_model() -> Made:
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(4, 8, rngs=rngs)
            self.norm = nnx.BatchNorm(8, rngs=rngs)
            self.dropout = nnx.Dropout(0.1, rngs=rngs)
            self.last = nnx.Linear(8, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.last(self.dropout(nnx.relu(self.norm(self.first(x)))))

    return {"model": Net(nnx.Rngs(0)), "data": (X, Y)}


def linen_model() -> Made:
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            x = linen.BatchNorm(use_running_average=not train)(linen.Dense(8)(x))
            return linen.Dense(1)(linen.relu(x))

    return {"model": Net(), "data": (X, Y)}


def equinox_model() -> Made:
    equinox = pytest.importorskip("equinox")
    return {
        "model": equinox.nn.MLP(4, 1, 8, 1, activation=jnp.tanh, key=jax.random.key(0)),
        "data": (X, Y),
        "optimizer": optax.adam,
    }


def keras_model() -> Made:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh"), keras.layers.Dropout(0.1), keras.layers.Dense(1)]
    return {"model": keras.Sequential([keras.Input((4,)), *layers]), "data": (X, Y)}


def narrow() -> Made:
    kind = jnp.bfloat16
    model = (
        lambda key: 0.1 * jax.random.normal(key, (4, 1), kind),
        lambda params, x: x.astype(kind) @ params,
    )
    return {"model": model, "data": (X, Y)}


def frozen() -> Made:
    return {**functions(), "trainable": {"kernel": True, "bias": False}}


KINDS = pytest.mark.parametrize(
    "make",
    [functions, noisy, several, nnx_model, linen_model, equinox_model, keras_model, narrow, frozen],
)


@pytest.mark.slow
@KINDS
def test_a_run_of_every_kind_goes_on_and_has_its_report(
    make: Callable[[], Made], tmp_path: Path
) -> None:
    whole = descend.fit(**make(), **OPTIONS)
    descend.fit(**make(), **{**OPTIONS, "epochs": 1}, out=tmp_path / "run")
    more = descend.fit(**make(), **OPTIONS, out=tmp_path / "run", resume=True)
    assert [one.validation_loss for one in more.history] == [
        one.validation_loss for one in whole.history
    ]
    page = (tmp_path / "run" / "report.html").read_text()
    assert "How it was trained" in page
    assert report([tmp_path / "run"]).read_text() == page
    with pytest.raises(InputError, match=r"descend\.landscape\(data, model=\.\.\.\)"):
        landscape(str(tmp_path / "run"), out=tmp_path / "plane", progress=make_progress("silent"))
    with pytest.raises(InputError, match=r"with predict and export"):
        descend.load_model(tmp_path / "run")


@KINDS
@pytest.mark.slow
def test_every_kind_is_exported_for_jax(make: Callable[[], Made], tmp_path: Path) -> None:
    made = make()
    run = descend.fit(**made, **OPTIONS)
    run.export(tmp_path / "model.jax")
    program = jax.export.deserialize(bytearray((tmp_path / "model.jax").read_bytes()))
    x = made["data"][0]
    for count in (1, 7):
        few = jax.tree.map(lambda leaf, count=count: leaf[:count], x)
        found, expected = program.call(few), run.predict(few)
        jax.tree.map(
            lambda one, other: np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6),
            found,
            expected,
        )


@pytest.mark.slow
@KINDS
def test_every_kind_is_exported_as_onnx_where_jax2onnx_is(
    make: Callable[[], Made], tmp_path: Path
) -> None:
    run = descend.fit(**make(), **OPTIONS)
    try:
        import jax2onnx  # noqa: F401
    except ImportError:
        with pytest.raises(InputError, match="pip install jax2onnx"):
            run.export(tmp_path / "model.onnx")
        return
    onnxruntime = pytest.importorskip("onnxruntime")
    if make is narrow:
        with pytest.raises(InputError, match=r"jax2onnx cannot write.*A name ending in \.jax"):
            run.export(tmp_path / "model.onnx")
        return
    run.export(tmp_path / "model.onnx")
    run.export(tmp_path / "model.onnx")  # Its own file is replaced.
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    x = make()["data"][0]
    arrays = x if isinstance(x, dict) else {"x": x}
    found = session.run(None, {name: values[:5] for name, values in arrays.items()})
    expected = jax.tree.leaves(run.predict(jax.tree.map(lambda leaf: leaf[:5], x)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("make", [noisy, several, nnx_model, keras_model, frozen])
def test_kinds_that_differ_are_advised_and_compared(
    make: Callable[[], Made], tmp_path: Path
) -> None:
    advice = descend.advise(**make(), batch_size=16, advice_budget=0.5, out=tmp_path / "advice")
    assert advice.batch_size == 16
    assert read_kind(tmp_path / "advice" / "advice.json")["advice"]["learning_rate"] > 0
    found = descend.compare(
        **make(), batch_size=16, epochs=2, seeds=1, budget=0.1, one_rate=False, out=tmp_path / "all"
    )
    sizes = {line["method"]["batch_size"] for line in found.table}
    assert 16 in sizes
    # A row by itself has no mean and variance.
    assert (1 in sizes) is not (make is nnx_model)
    assert "compare" in report([tmp_path / "all"]).name


@pytest.mark.slow
@KINDS
def test_every_kind_has_a_plane(make: Callable[[], Made], tmp_path: Path) -> None:
    options = {"batch_size": 16, "learning_rate": 0.02, "advice_budget": 0.3}
    record = descend.landscape(**make(), **options, out=tmp_path / "plane")
    losses = np.array(record["grid"]["loss"])
    assert losses.shape == (25, 25)
    assert np.isfinite(losses).all()
    first = record["paths"][0]
    assert first["losses"][-1] < first["losses"][0]
    assert read_kind(tmp_path / "plane" / "landscape.json")["of"] == "run"
    assert report([tmp_path / "plane"]).name == "landscape.html"


def test_a_plane_needs_known_directions() -> None:
    with pytest.raises(SettingsError, match="directions must be path or random"):
        descend.landscape(**functions(), directions="up")


@pytest.mark.slow
def test_a_model_on_a_table_is_not_exported_and_says_why(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"a": X[:, 0], "y": Y})
    model = (lambda key: jnp.zeros((1, 1)), lambda params, x: x["numeric"] @ params)
    run = descend.fit(model, frame, **OPTIONS)
    with pytest.raises(InputError, match="columns that descend encodes"):
        run.export(tmp_path / "model.jax")
    with pytest.raises(SettingsError, match=r"\.onnx or \.jax"):
        descend.fit(**functions(), **OPTIONS).export(tmp_path / "model.txt")


@pytest.mark.slow
def test_a_model_that_counts_its_rows_is_told_how(tmp_path: Path) -> None:
    init, apply = functions()["model"]
    run = descend.fit(
        (init, lambda params, x: apply(params, x.reshape(len(x), 4))), (X, Y), **OPTIONS
    )
    with pytest.raises(InputError, match=r"x\.shape\[0\] in place of len"):
        run.export(tmp_path / "model.jax")


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "model.jax").write_bytes(json.dumps({"mine": 1}).encode())
    with pytest.raises(InputError, match="no mark of descend"):
        descend.fit(**functions(), **OPTIONS).export(tmp_path / "model.jax")


@pytest.mark.parametrize("command", [descend.advise, descend.compare, descend.landscape])
def test_a_model_and_its_data_come_by_place_as_in_fit(command: Callable[..., Any]) -> None:
    def init(key: Any) -> Any:
        raise ValueError("the model was called")

    with pytest.raises(ValueError, match="the model was called"):
        command((init, lambda params, x: x), (X, Y), batch_size=16, learning_rate=0.1)
    with pytest.raises(SettingsError, match="The model is given twice"):
        command(functions()["model"], (X, Y), model="linear")
    with pytest.raises(SettingsError, match="Expected data"):
        command(model=functions()["model"])
