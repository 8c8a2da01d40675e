"""Custom models of every framework, and rows to train them on."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import descend

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


def flax_normalised():
    nnx = pytest.importorskip("flax.nnx")
    keys = nnx.Rngs(0)
    return nnx.Sequential(
        nnx.Linear(4, 16, rngs=keys),
        nnx.BatchNorm(16, rngs=keys),
        nnx.Dropout(0.1, rngs=keys),
        nnx.Linear(16, 1, rngs=keys),
    )


def flax_in_evaluation():
    model = flax_normalised()
    model.eval()
    return model


def linen_normalised():
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train: bool):
            x = linen.BatchNorm(use_running_average=not train)(linen.Dense(16)(x))
            return linen.Dense(1)(linen.Dropout(0.1, deterministic=not train)(x))

    return Net()


def linen_functions():
    net = linen_normalised()
    return lambda key: net.init(key, jnp.zeros((1, 4)), train=False), net.apply


def equinox_normalised():
    equinox = pytest.importorskip("equinox")

    class Net(equinox.Module):
        first: equinox.nn.Linear
        norm: equinox.nn.BatchNorm
        dropout: equinox.nn.Dropout
        last: equinox.nn.Linear

        def __init__(self, key):
            self.first = equinox.nn.Linear(4, 16, key=key)
            self.norm = equinox.nn.BatchNorm(16, axis_name="rows", mode="batch")
            self.dropout = equinox.nn.Dropout(0.1)
            self.last = equinox.nn.Linear(16, 1, key=key)

        def __call__(self, x, state, *, key=None):
            x, state = self.norm(self.first(x), state)
            return self.last(self.dropout(x, key=key)), state

    return equinox.nn.make_with_state(Net)(jax.random.key(0))


def keras_of(*layers):
    keras = pytest.importorskip("keras")
    return keras.Sequential([keras.Input((4,)), *layers])


def keras_normalised():
    keras = pytest.importorskip("keras")
    keras.utils.set_random_seed(0)
    layers = keras.layers
    return keras_of(
        layers.Dense(16), layers.BatchNormalization(), layers.Dropout(0.1), layers.Dense(1)
    )


def functions_with_state():
    def init(key):
        return {"w": jnp.zeros((4, 1)), "b": jnp.zeros(1), "steps": 3}, {"mean": jnp.zeros(4)}

    def apply(params, state, x, key, training):
        mean = 0.9 * state["mean"] + 0.1 * x.mean(axis=0) if training else state["mean"]
        noise = 0.01 * jax.random.normal(key, x.shape) if training else 0.0
        return (x + noise - mean) @ params["w"] + params["b"], {"mean": mean}

    return init, apply


def keras_with_constants():
    layers = pytest.importorskip("keras").layers
    scaling = layers.Normalization()
    scaling.adapt(rows()[0])
    frozen = layers.Dense(8)
    frozen.trainable = False
    return keras_of(scaling, frozen, layers.Dense(1))
