"""Own models, losses and optimizers: what is trained, and what is refused with a reason."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import descend
from descend.errors import InputError

os.environ.setdefault("KERAS_BACKEND", "jax")
ROWS = 300


def rows(seed=0):
    X = np.random.default_rng(seed).normal(size=(ROWS, 4))
    return X, X @ [1.0, -2.0, 0.5, 0.0] + 1.0


def linear():
    def init(key):
        return {"kernel": jnp.zeros((4, 1)), "bias": jnp.zeros(1)}

    return init, lambda params, x: x @ params["kernel"] + params["bias"]


def flax_model():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(4, 16, rngs=rngs)
            self.second = nnx.Linear(16, 1, rngs=rngs)

        def __call__(self, x):
            return self.second(jnp.tanh(self.first(x)))

    return Net(nnx.Rngs(0))


def equinox_model():
    equinox = pytest.importorskip("equinox")
    return equinox.nn.MLP(4, 1, 16, 1, activation=jnp.tanh, key=jax.random.key(0))


def keras_model():
    keras = pytest.importorskip("keras")
    return keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(16, activation="tanh"), keras.layers.Dense(1)]
    )


def fit(model, data, **options):
    defaults = {"batch_size": 16, "learning_rate": 0.05, "epochs": 15}
    return descend.fit(model, data, **{**defaults, **options})


@pytest.mark.parametrize("make", [linear, flax_model, equinox_model, keras_model])
def test_every_kind_of_model_learns_and_comes_back(make):
    X, y = rows()
    run = fit(make(), (X, y))
    predicted = run.predict(X).ravel()
    assert np.mean((predicted - y) ** 2) < 0.1 * np.var(y)
    model, x = run.model, jnp.asarray(X, jnp.float32)
    if make is linear:
        again = model[1](run.params, x)
    else:
        again = jax.vmap(model)(x) if make is equinox_model else model(x)
    assert np.asarray(again).ravel() == pytest.approx(predicted, abs=1e-4)


def test_the_weights_given_stay_as_they_were():
    model = flax_model()
    before = np.array(model.first.kernel[...])
    fit(model, rows(), epochs=2)
    assert (np.asarray(model.first.kernel[...]) == before).all()


def test_an_own_loss_and_an_optimizer_with_its_own_rate():
    X, y = rows()

    def loss(outputs, y):
        return jnp.abs(outputs[:, 0] - y)

    run = descend.fit(
        linear(), (X, y), loss=loss, optimizer=optax.adam(0.02), batch_size=16, epochs=30
    )
    assert run.record["settings"]["learning_rate"] == 1.0
    assert run.params["kernel"].ravel() == pytest.approx([1.0, -2.0, 0.5, 0.0], abs=0.05)


def test_a_row_of_weight_0_counts_for_nothing():
    X, y = rows()
    wrong = np.arange(ROWS) % 3 == 0
    run = fit(linear(), (X, np.where(wrong, 1e3, y), np.where(wrong, 0.0, 1.0)))
    assert run.params["bias"] == pytest.approx([1.0], abs=0.05)


def test_rows_to_judge_by_and_several_inputs():
    X, y = rows()
    init, _ = linear()
    data = ({"left": X[:, :2], "right": X[:, 2:]}, y)

    def apply(params, x):
        joined = jnp.concatenate([x["left"], x["right"]], axis=-1)
        return joined @ params["kernel"] + params["bias"]

    run = fit((init, apply), data, validation=data)
    counts = run.record["data"]["rows"]
    assert counts == {"training": ROWS, "validation": ROWS, "total": 2 * ROWS}
    assert run.predict(data[0]).shape == (ROWS, 1)


def test_a_table_comes_as_numbers_and_codes():
    X, y = rows()
    table = pd.DataFrame(X, columns=list("abcd")).assign(y=y)
    run = fit(
        (linear()[0], lambda params, x: x["numeric"] @ params["kernel"] + params["bias"]), table
    )
    assert run.predict(table).shape == (ROWS, 1)
    assert run.history[-1].validation_loss < 0.01


def coupled():
    init, apply = linear()
    return init, lambda params, x: apply(params, x - x.mean(axis=0))


def flax_normalised():
    nnx = pytest.importorskip("flax.nnx")
    return nnx.Sequential(nnx.Linear(4, 8, rngs=nnx.Rngs(0)), nnx.BatchNorm(8, rngs=nnx.Rngs(0)))


def flax_dropout():
    nnx = pytest.importorskip("flax.nnx")
    return nnx.Sequential(nnx.Linear(4, 1, rngs=nnx.Rngs(0)), nnx.Dropout(0.5, rngs=nnx.Rngs(0)))


def flax_in_evaluation():
    nnx = pytest.importorskip("flax.nnx")
    keys = nnx.Rngs(0)
    net = nnx.Sequential(
        nnx.Linear(4, 8, rngs=keys),
        nnx.BatchNorm(8, rngs=keys),
        nnx.Dropout(0.5, rngs=keys),
        nnx.Linear(8, 1, rngs=keys),
    )
    net.eval()
    return net


def keras_with_constants():
    keras = pytest.importorskip("keras")
    scaling = keras.layers.Normalization()
    scaling.adapt(rows()[0])
    frozen = keras.layers.Dense(8)
    frozen.trainable = False
    return keras.Sequential([keras.Input((4,)), scaling, frozen, keras.layers.Dense(1)])


@pytest.mark.parametrize("make", [flax_in_evaluation, keras_with_constants])
def test_variables_that_no_call_changes_are_constants(make):
    model = make()
    before = [np.array(one) for one in constants_of(model)]
    run = fit(model, rows())
    assert run.metrics["model"]["r2"] > 0.9
    assert all(
        (one == other).all() for one, other in zip(before, constants_of(run.model), strict=True)
    )


def constants_of(model):
    if hasattr(model, "non_trainable_variables"):
        return [np.asarray(one.value) for one in model.non_trainable_variables]
    nnx = pytest.importorskip("flax.nnx")
    return [np.asarray(one) for one in jax.tree.leaves(nnx.state(model, nnx.BatchStat))]


def keras_dropout():
    keras = pytest.importorskip("keras")
    layers = [keras.Input((4,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def equinox_dropout():
    equinox = pytest.importorskip("equinox")
    return equinox.nn.Sequential(
        [equinox.nn.Linear(4, 1, key=jax.random.key(0)), equinox.nn.Dropout(0.5)]
    )


def equinox_normalised():
    equinox = pytest.importorskip("equinox")
    return equinox.nn.BatchNorm(4, axis_name="batch", mode="ema")


def keras_normalised():
    keras = pytest.importorskip("keras")
    return keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization()])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (coupled, "couples the rows"),
        (flax_normalised, "carries state.*BatchStat"),
        (flax_dropout, "carries state.*Rng"),
        (equinox_dropout, "carries state.*Dropout"),
        (equinox_normalised, "carries state"),
        (keras_normalised, "carries state.*moving_mean"),
        (keras_dropout, "carries state.*seed_generator"),
        (lambda: (linear()[0], lambda params, x: (x, params)), "returns more"),
        (lambda: 3, "functions \\(init, apply\\)"),
    ],
)
def test_what_cannot_be_right_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        fit(make(), rows())


def test_a_loss_must_be_of_each_row():
    with pytest.raises(InputError, match="Leave the mean"):
        fit(linear(), rows(), loss=lambda outputs, y: jnp.mean(jnp.square(outputs[:, 0] - y)))
