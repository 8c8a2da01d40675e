"""Which arrays of a model are trained, in which precision, and which keep their values."""

from __future__ import annotations

import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.custom.families import custom_model
from descend.custom.weights import with_trained_weights
from descend.errors import InputError
from descend.training.objective import squared_weights

os.environ.setdefault("KERAS_BACKEND", "jax")
X = np.random.default_rng(0).normal(size=(300, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 1.0
OPTIONS: dict[str, Any] = {"batch_size": 20, "learning_rate": 0.05, "epochs": 12}


def fit(model: Any, **options: Any) -> Any:
    return descend.fit(model, (X, Y), **{**OPTIONS, **options})


def assert_still(found: Any, begun: Any) -> None:
    """Equal but for the rounding of weights that are drawn in another compiled program."""
    np.testing.assert_allclose(found, begun, rtol=1e-6)


def two_layers(kind: Any = jnp.float32) -> Any:
    def init(key: Any) -> Any:
        first, last = jax.random.split(key)
        return {
            "first": {"kernel": jax.random.normal(first, (4, 8), kind), "b": jnp.zeros(8)},
            "last": jax.random.normal(last, (8, 1), kind),
        }

    def apply(params: Any, x: Any) -> Any:
        hidden = jnp.tanh(x.astype(kind) @ params["first"]["kernel"] + params["first"]["b"])
        return hidden.astype(kind) @ params["last"]

    return init, apply


def nnx_model(**options: Any) -> Any:
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.first = nnx.Linear(4, 8, rngs=rngs, **options)
            self.last = nnx.Linear(8, 1, rngs=rngs, **options)

        def __call__(self, x: Any) -> Any:
            return self.last(jnp.tanh(self.first(x)))

    return Net(nnx.Rngs(0))


def linen_model() -> Any:
    linen = pytest.importorskip("flax.linen")
    return linen.Sequential([linen.Dense(8, param_dtype=jnp.bfloat16), jnp.tanh, linen.Dense(1)])


def keras_model() -> Any:
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "tanh", dtype="bfloat16"), keras.layers.Dense(1)]
    return keras.Sequential([keras.Input((4,)), *layers])


def equinox_model() -> Any:
    equinox = pytest.importorskip("equinox")
    return equinox.nn.MLP(4, 1, 8, 1, activation=jnp.tanh, key=jax.random.key(0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [jnp.bfloat16, jnp.float16])
def test_small_steps_are_not_lost_in_16_bits(kind: Any) -> None:
    # A step of 1e-4 is nothing beside 1 in either type; a thousand of them are much.
    model = (lambda key: jnp.ones((4, 1), kind), lambda params, x: x.astype(kind) @ params)
    run = fit(model, optimizer="sgd", learning_rate=1e-3, epochs=30, averaging=False)
    assert run.params.dtype == kind
    assert run.predict(X[:3]).dtype == np.float32
    wide = (lambda key: jnp.ones((4, 1)), lambda params, x: x @ params)
    beside = fit(wide, optimizer="sgd", learning_rate=1e-3, epochs=30, averaging=False)
    assert np.abs(np.asarray(run.params, np.float32) - beside.params).max() < 0.01
    assert np.abs(beside.params - 1).max() > 0.1


def test_small_gradients_are_not_lost_in_float16() -> None:
    # Each row's gradient is about 1e-7, near the least number that float16 holds.
    def loss(outputs: Any, y: Any) -> Any:
        return 1e-6 * jnp.square(outputs[:, 0] - y)

    kind = jnp.float16
    model = (lambda key: jnp.zeros((4, 1), kind), lambda params, x: x.astype(kind) @ params)
    run = fit(model, loss=loss, optimizer=optax.sgd(3e4), learning_rate=1.0, averaging=False)
    expected = np.linalg.lstsq(X, Y, rcond=None)[0]
    assert np.abs(run.params[:, 0].astype(np.float32) - expected).max() < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [
        lambda: two_layers(jnp.bfloat16),
        lambda: two_layers(jnp.float16),
        lambda: nnx_model(param_dtype=jnp.bfloat16),
        linen_model,
        keras_model,
        lambda: jax.tree.map(
            lambda leaf: leaf.astype(jnp.bfloat16) if hasattr(leaf, "astype") else leaf,
            equinox_model(),
        ),
    ],
)
def test_models_of_16_bits_learn_go_on_and_come_back_as_they_were(make: Any, tmp_path: Any) -> None:
    options = {"optimizer": "adam", "learning_rate": 0.02}
    whole = fit(make(), **options)
    kinds = {str(leaf.dtype) for leaf in jax.tree.leaves(whole.params)}
    assert kinds & {"bfloat16", "float16"}
    fit(make(), **options, epochs=5, out=tmp_path / "run")
    more = fit(make(), **options, out=tmp_path / "run", resume=True)
    assert whole.history[-1].validation_loss < 0.2 * whole.history[0].validation_loss
    assert [one.validation_loss for one in more.history] == [
        one.validation_loss for one in whole.history
    ]
    assert more.predict(X[:5]).tolist() == whole.predict(X[:5]).tolist()


@pytest.mark.slow
def test_the_optimizer_keeps_its_state_in_32_bits() -> None:
    seen = []

    def init(params: Any) -> Any:
        seen.extend(leaf.dtype for leaf in jax.tree.leaves(params))
        return optax.EmptyState()

    rule = optax.GradientTransformation(init, lambda g, s, p=None: (g, s))
    fit(two_layers(jnp.bfloat16), optimizer=optax.chain(rule, optax.sgd(0.01)), epochs=1)
    assert set(seen) == {jnp.dtype(jnp.float32)}


@pytest.mark.slow
def test_numbers_that_are_no_floats_stand_still_in_every_form() -> None:
    nnx = pytest.importorskip("flax.nnx")
    linen = pytest.importorskip("flax.linen")

    class OfNnx(nnx.Module):
        def __init__(self, rngs: Any) -> None:
            self.on = nnx.Param(jnp.array([True, False, True, True]))
            self.power = nnx.Param(jnp.array(1))
            self.last = nnx.Linear(4, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            return self.last(jnp.where(self.on[...], x, 0.0) ** self.power[...])

    class OfLinen(linen.Module):
        @linen.compact
        def __call__(self, x: Any) -> Any:
            on = self.param("on", lambda key: jnp.array([True, False, True, True]))
            return linen.Dense(1)(jnp.where(on, x, 0.0))

    for model in (OfNnx(nnx.Rngs(0)), OfLinen()):
        run = fit(model)
        on = run.params["params"]["on"] if "params" in run.params else run.params["on"]
        assert np.asarray(on).tolist() == [True, False, True, True]
        moved = run.predict(X[:5] + np.array([0, 9, 0, 0]))
        assert moved.tolist() == run.predict(X[:5]).tolist()
        assert run.history[-1].validation_loss < run.history[0].validation_loss


MASK = {"first": False, "last": True}


@pytest.mark.parametrize(
    "options",
    [
        {"trainable": MASK},
        {"trainable": lambda params: {"first": {"kernel": False, "b": False}, "last": True}},
        {
            "optimizer": optax.chain(
                optax.sgd(0.05), optax.masked(optax.set_to_zero(), {"first": True, "last": False})
            )
        },
        {
            "optimizer": optax.multi_transform(
                {"still": optax.set_to_zero(), "moves": optax.sgd(0.05)},
                {"first": "still", "last": "moves"},
            )
        },
    ],
)
def test_masked_weights_stand_still(options: dict[str, Any]) -> None:
    init, apply = two_layers()
    begun = init(jax.random.key(0))
    run = fit(
        (init, apply), **{**options, "learning_rate": "auto"} if "optimizer" in options else options
    )
    assert_still(run.params["first"]["kernel"], begun["first"]["kernel"])
    assert run.params["first"]["b"].tolist() == [0.0] * 8
    assert run.params["last"].tolist() != begun["last"].tolist()


@pytest.mark.slow
def test_what_no_gradient_reaches_stands_still_under_l2_and_weight_decay() -> None:
    init, apply = two_layers()

    def stopped(params: Any, x: Any) -> Any:
        return apply({**params, "first": jax.lax.stop_gradient(params["first"])}, x)

    begun = init(jax.random.key(0))
    for options in ({"l2": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1}):
        run = fit((init, stopped), **options)
        assert_still(run.params["first"]["kernel"], begun["first"]["kernel"])
        assert run.params["last"].tolist() != begun["last"].tolist()
    run = fit((init, stopped), l2=0.1, optimizer=optax.sgd(0.05), learning_rate=1.0)
    assert_still(run.params["first"]["kernel"], begun["first"]["kernel"])


@pytest.mark.slow
def test_filters_of_nnx_say_what_is_trained() -> None:
    nnx = pytest.importorskip("flax.nnx")
    model = nnx_model()
    before = np.array(model.first.kernel[...])
    for trainable in (
        nnx.PathContains("last"),
        lambda path, variable: "last" in path,
        {"first": False, "last": True},
    ):
        run = fit(model, trainable=trainable)
        assert run.params["first"]["kernel"].tolist() == before.tolist()
        assert run.history[-1].validation_loss < run.history[0].validation_loss
        assert run.model.first.kernel[...].tolist() == before.tolist()

    class Frozen(nnx.Variable):
        pass

    model.first.kernel = Frozen(model.first.kernel[...])
    run = fit(model)
    assert run.model.first.kernel[...].tolist() == before.tolist()
    with pytest.raises(InputError, match="no weights to train"):
        fit(model, trainable=nnx.LoRAParam)


@pytest.mark.slow
def test_a_filter_spec_of_equinox_says_what_is_trained() -> None:
    equinox = pytest.importorskip("equinox")
    model = equinox_model()
    spec = jax.tree.map(lambda _: False, model)
    spec = equinox.tree_at(lambda tree: tree.layers[-1].weight, spec, replace=True)
    run = fit(model, trainable=spec)
    assert run.model.layers[0].weight.tolist() == model.layers[0].weight.tolist()
    assert run.model.layers[-1].bias.tolist() == model.layers[-1].bias.tolist()
    assert run.model.layers[-1].weight.tolist() != model.layers[-1].weight.tolist()


@pytest.mark.slow
def test_a_run_with_frozen_weights_is_advised_and_goes_on(tmp_path: Any) -> None:
    mine = {"model": two_layers(), "data": (X, Y), "trainable": MASK}
    assert descend.advise(**mine, batch_size=16, advice_budget=1.0).learning_rate > 0
    whole = descend.fit(**mine, **OPTIONS)
    descend.fit(**mine, **{**OPTIONS, "epochs": 4}, out=tmp_path / "run")
    more = descend.fit(**mine, **OPTIONS, out=tmp_path / "run", resume=True)
    assert more.params["last"].tolist() == whole.params["last"].tolist()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"trainable": {"first": False}}, "in the form of the weights"),
        ({"trainable": {"first": 1.0, "last": True}}, "as booleans"),
        ({"trainable": lambda params: False}, "no weights to train"),
    ],
)
def test_what_cannot_be_trained_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(two_layers(), **options)


def test_keras_marks_what_is_trained_itself() -> None:
    with pytest.raises(InputError, match=r"layer\.trainable"):
        fit(keras_model(), trainable=[True])


@pytest.mark.parametrize(
    "options", [{"l2": 0.1}, {"optimizer": "adamw", "weight_decay": 0.1, "learning_rate": 0.01}]
)
def test_a_penalty_that_would_apply_to_nothing_is_refused(options: dict[str, Any]) -> None:
    flat = (lambda key: jnp.zeros(4), lambda params, x: x @ params)
    said = r"applies to arrays of two or more dimensions.*has none: \[4\]"
    with pytest.raises(InputError, match=said):
        fit(flat, **options)


def complex_model() -> Any:
    def init(key: Any) -> Any:
        return {"w": jnp.full((4, 1), 0.1j, jnp.complex64), "b": jnp.zeros(1, jnp.complex64)}

    def apply(params: Any, x: Any) -> Any:
        total = x @ params["w"] + params["b"]
        return jnp.stack([total.real[:, 0], total.imag[:, 0]], axis=1)

    return init, apply


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_complex_weights_learn_in_both_parts(optimizer: str) -> None:
    """The imaginary parts had moved up the loss."""
    random = np.random.default_rng(0)
    X, w = random.normal(size=(200, 4)), random.normal(size=(4, 2))
    data = (X, X @ w + [1.0, -2.0])
    options: dict[str, Any] = {"batch_size": "all", "learning_rate": 0.3, "epochs": 150}
    run = descend.fit(complex_model(), data, validation=data, optimizer=optimizer, **options)
    assert run.params["w"].dtype == np.complex64
    found = run.params["w"][:, 0]
    np.testing.assert_allclose(np.stack([found.real, found.imag], 1), w, atol=0.02)
    np.testing.assert_allclose(run.params["b"], [1.0 - 2.0j], atol=0.02)
    outputs = complex_model()[1](run.params, np.asarray(X, np.float32))
    np.testing.assert_allclose(run.predict(X), outputs, atol=1e-5)


def test_a_penalty_on_complex_weights_counts_both_parts_and_no_biases() -> None:
    model = with_trained_weights(custom_model(complex_model(), None), 0)
    weights = model.init(0)
    assert float(squared_weights(weights)) == pytest.approx(4 * 0.1**2)
    shown = model.shown(weights)
    assert jax.tree.map(jnp.shape, shown) == {"w": (4, 1), "b": (1,)}
    again = with_trained_weights(
        custom_model((lambda key: jnp.asarray(1 + 2j), lambda params, x: x), None), 0
    )
    assert again.shown(again.init(0)) == 1 + 2j
