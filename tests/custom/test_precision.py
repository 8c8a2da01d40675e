"""A custom model that computes in 16 bits: what is rounded, and what keeps its 32 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors

import descend
from descend.custom.models import CustomModel
from descend.custom.precision import check_narrow, in_precision, kind_of
from descend.custom.weights import with_trained_weights
from descend.errors import DescendError, InputError, SettingsError
from descend.types import Variables

X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
Y = X @ np.float32([1.0, -2.0, 0.5, 0.0]) + 1.0
WEIGHTS = {"w": jnp.asarray(np.random.default_rng(1).normal(size=(4, 1)), jnp.float32)}
KINDS = [jnp.bfloat16, jnp.float16]


def times_weights(params: Any, x: Any) -> Any:
    return x @ params["w"]


def made(apply: Any = times_weights) -> CustomModel:
    return CustomModel(lambda seed: WEIGHTS, apply, lambda params: params)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_and_rows_are_rounded_and_the_outputs_are_in_full(kind: Any) -> None:
    found = in_precision(made(), kind).apply(WEIGHTS, X)
    expected = jnp.asarray(X, kind) @ WEIGHTS["w"].astype(kind)
    assert found.dtype == jnp.float32
    assert np.array_equal(found, expected.astype(jnp.float32))


@pytest.mark.parametrize("size", [1e-9, 1.0, 1e6])
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_have_32_bits_and_neither_small_nor_large_ones_are_lost(
    kind: Any, size: float
) -> None:
    def total(weights: Any, model: CustomModel) -> Any:
        return size * jnp.sum(model.apply(weights, X))

    found = jax.grad(total)(WEIGHTS, in_precision(made(), kind))["w"]
    expected = jax.grad(total)(WEIGHTS, made())["w"]
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=0.02, atol=0.01 * np.abs(expected).max())


def of_two_layers(first: Any, last: Any) -> CustomModel:
    """Layers of Flax with float32 weights that compute in types of their own."""
    linen = pytest.importorskip("flax.linen")
    net = linen.Sequential([linen.Dense(8, dtype=first), jnp.tanh, linen.Dense(1, dtype=last)])
    weights = net.init(jax.random.key(0), X[:1])
    return CustomModel(lambda seed: weights, net.apply, lambda params: params)


@pytest.mark.parametrize(("size", "last"), [(1e-8, jnp.float32), (1e5, jnp.float16)])
def test_layers_of_float16_have_the_gradients_of_float32_whatever_the_last_layer(
    size: float, last: Any
) -> None:
    def mean(weights: Any, model: CustomModel) -> Any:
        return size * jnp.mean(model.apply(weights, X)[:, 0] * Y)

    model, wide = of_two_layers(jnp.float16, last), of_two_layers(None, None)
    weights = model.init(0)
    found = jax.grad(mean)(weights, with_trained_weights(model, 0, x=X))
    expected = jax.grad(mean)(weights, wide)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert one.dtype == jnp.float32
        np.testing.assert_allclose(one, other, rtol=0.02, atol=0.01 * np.abs(other).max())


def squeezed(params: Any, x: Any) -> Any:
    """A middle layer of small numbers: their gradients are 1000 times those of the outputs."""
    inside = x @ params["w"]
    factor = jnp.eye(4, dtype=inside.dtype)
    return jnp.tanh(inside @ (factor / 1000)) @ (factor * 1000) @ params["last"]


def test_a_gradient_that_overflows_within_the_model_is_tried_again_with_a_smaller_factor() -> None:
    generator = np.random.default_rng(2)
    weights = {
        "w": jnp.asarray(generator.normal(size=(4, 4)), jnp.float32),
        "last": jnp.asarray(generator.normal(size=(4, 1)), jnp.float32),
    }
    model = made(squeezed)._replace(init=lambda seed: weights)

    def mean(weights: Any, model: CustomModel, x: Any) -> Any:
        return jnp.mean(jnp.square(model.apply(weights, x)[:, 0] - 30.0))

    @jax.jit
    def found(weights: Any, x: Any) -> Any:
        return jax.grad(mean)(weights, in_precision(model, jnp.float16), x)

    expected = jax.grad(mean)(weights, model, X[:3])
    for name, one in found(weights, X[:3]).items():
        largest = np.abs(expected[name]).max()
        np.testing.assert_allclose(one, expected[name], rtol=0.02, atol=0.01 * largest)
    # No factor makes numbers finite that are not.
    assert not np.isfinite(found(weights, jnp.full((1, 4), jnp.inf))["w"]).any()
    # The gradient by the rows is there for those who ask.
    by_rows = jax.grad(mean, argnums=2)(weights, in_precision(model, jnp.float16), X[:3])
    expected = jax.grad(mean, argnums=2)(weights, model, X[:3])
    np.testing.assert_allclose(by_rows, expected, atol=0.01 * np.abs(expected).max())


def test_numbers_that_float16_cannot_hold_are_named_as_the_cause() -> None:
    model = (lambda key: jnp.zeros((4, 1)), lambda params, x: (x * 1e5) @ params * 1e-5)
    with pytest.raises(DescendError, match=r"float16, whose largest number is 65,504.*bfloat16"):
        descend.fit(model, (X, Y), precision="float16", batch_size=20, learning_rate=0.1, epochs=1)


def test_layers_of_float16_learn_from_gradients_that_float16_cannot_hold() -> None:
    def loss(outputs: Any, y: Any) -> Any:
        return 1e-7 * jnp.square(outputs[:, 0] - y)

    def apply(params: Any, x: Any) -> Any:
        return (x.astype(jnp.float16) @ params.astype(jnp.float16)).astype(jnp.float32)

    run = descend.fit(
        *((lambda key: jnp.zeros((4, 1)), apply), (X, Y - 1.0)),
        loss=loss,
        optimizer=optax.sgd(1e6),
        **{"batch_size": 20, "epochs": 3, "averaging": False, "warmup": 0.0},
    )
    assert run.history[-1].validation_loss < 1e-4 * run.history[0].validation_loss


def test_whole_numbers_and_the_state_stay_as_they_are() -> None:
    state = {"mean": jnp.float32(1 / 3), "calls": jnp.int32(0)}
    seen = {}

    def training_apply(weights: Any, state: Any, x: Any, key: Any) -> Any:
        seen.update(weights=weights["w"].dtype, mean=state["mean"].dtype, pixels=x.dtype)
        return times_weights(weights, x / 255.0), state

    model = made()._replace(
        init=lambda seed: Variables(WEIGHTS, state), training_apply=training_apply
    )
    narrow = in_precision(model, jnp.bfloat16)
    assert narrow.training_apply is not None
    pixels = jnp.ones((3, 4), jnp.uint8)
    outputs, after = narrow.training_apply(WEIGHTS, state, pixels, jax.random.key(0))
    assert seen == {"weights": jnp.bfloat16, "mean": jnp.float32, "pixels": jnp.uint8}
    assert outputs.dtype == jnp.float32
    assert after == state


def in_32_bits(params: Any, x: Any) -> Any:
    return jax.jit(lambda w, x: x.astype(jnp.float32) @ w.astype(jnp.float32))(params["w"], x)


def test_a_model_that_computes_in_32_bits_all_the_same_is_refused() -> None:
    check_narrow(in_precision(made(), jnp.bfloat16).apply, WEIGHTS, X, jnp.bfloat16)
    summed = made(lambda params, x: jnp.sum(x, axis=1))
    check_narrow(in_precision(summed, jnp.bfloat16).apply, WEIGHTS, X, jnp.bfloat16)
    with pytest.raises(SettingsError, match=r"changes nothing.*in float32.*dtype="):
        check_narrow(in_precision(made(in_32_bits), jnp.bfloat16).apply, WEIGHTS, X, jnp.bfloat16)


@pytest.mark.parametrize("precision", ["16-mixed", "float32", 16, True])
def test_other_words_are_answered_with_those_that_there_are(precision: Any) -> None:
    with pytest.raises(SettingsError, match="Expected precision 'bfloat16' or 'float16'"):
        kind_of(precision, (times_weights, times_weights))


def test_keras_has_a_way_of_its_own_and_tables_none() -> None:
    layer = type("Dense", (), {"__module__": "keras.src.layers"})()
    with pytest.raises(SettingsError, match="set_dtype_policy\\('mixed_float16'\\)"):
        kind_of("float16", layer)
    with pytest.raises(InputError, match="precision= is for custom models"):
        descend.advise((X, Y), model="mlp", precision="bfloat16")


@pytest.mark.slow
def test_a_run_learns_and_goes_on_in_the_precision_in_which_it_began(tmp_path: Path) -> None:
    model = (lambda key: {"w": jnp.zeros((4, 1)), "b": jnp.zeros(1)},
             lambda params, x: x @ params["w"] + params["b"])  # fmt: skip
    options: dict[str, Any] = {"batch_size": 20, "learning_rate": 0.05, "epochs": 6}
    options |= {"precision": "bfloat16", "out": tmp_path / "run"}
    run = descend.fit(model, (X, Y), **options)
    assert {leaf.dtype for leaf in jax.tree.leaves(run.params)} == {np.dtype(np.float32)}
    rounded = run.params["w"].astype(jnp.bfloat16).astype(np.float32)
    assert not np.array_equal(run.params["w"], rounded)
    assert np.abs(run.params["w"][:, 0] - [1.0, -2.0, 0.5, 0.0]).max() < 0.05
    with pytest.raises(SettingsError, match=r"precision was 'bfloat16' .* is None"):
        descend.fit(model, (X, Y), **{**options, "precision": None, "epochs": 8}, resume=True)


def tanh_network(kind: Any = jnp.float32) -> Any:
    def init(key: Any) -> Any:
        first, last = jax.random.split(key)
        made = {
            "w": jax.random.normal(first, (4, 8)) / 2,
            "b": jnp.zeros(8),
            "last": jax.random.normal(last, (8, 1)) / 3,
        }
        return jax.tree.map(lambda one: one.astype(kind), made)

    return init, lambda params, x: jnp.tanh(x @ params["w"] + params["b"]) @ params["last"]


@pytest.mark.parametrize(
    ("weights", "precision"),
    [
        (jnp.float32, "bfloat16"),
        (jnp.float32, "float16"),
        (jnp.bfloat16, None),
        (jnp.float16, None),
    ],
)
def test_a_run_in_16_bits_that_stopped_ends_with_the_bytes_of_one_that_did_not(
    tmp_path: Path, weights: Any, precision: Any
) -> None:
    """Its float32 weights and the scale of its gradients are as they would have been."""
    data = (X if precision else X.astype(weights), Y)
    options: dict[str, Any] = {"batch_size": 16, "learning_rate": 0.01, "optimizer": "adam"}
    options |= {"precision": precision, "epochs": 5, "validation": 0.2}

    def stop(evaluation: Any) -> None:
        if evaluation.line.epoch >= 2:
            evaluation.stop()

    whole = descend.fit(tanh_network(weights), data, **options, out=tmp_path / "whole")
    options["out"] = tmp_path / "stopped"
    stopped = descend.fit(tanh_network(weights), data, **options, callbacks=[stop])
    assert len(stopped.history) == 3
    resumed = descend.fit(tanh_network(weights), data, **options, resume=True)
    files = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "stopped")]
    assert files[0] == files[1]
    told = [[(one.update, one.validation_loss) for one in run.history] for run in (whole, resumed)]
    assert told[0] == told[1]
    for one, other in zip(
        jax.tree.leaves(whole.params), jax.tree.leaves(resumed.params), strict=True
    ):
        assert one.dtype == (jnp.float32 if precision else weights)
        assert np.array_equal(one, other)
    with safetensors.safe_open(tmp_path / "stopped" / "model.safetensors", "numpy") as saved:
        kept = [saved.get_tensor(name) for name in saved.keys()]  # noqa: SIM118
    sizes = {leaf.size for leaf in jax.tree.leaves(whole.params)}
    masters = [one for one in kept if one.size in sizes]
    rounded = [one.astype(weights if precision is None else precision) for one in masters]
    assert all(one.dtype == np.float32 for one in masters)
    assert any(map(lambda a, b: not np.array_equal(a, b.astype(np.float32)), masters, rounded))
