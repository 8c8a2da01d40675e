"""A layer that is used twice has one set of weights."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.custom.families import custom_model
from descend.types import split_variables
from tests.custom.models import (
    rows,
)


def shared_flax():
    nnx = pytest.importorskip("flax.nnx")

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(4, 4, rngs=rngs)
            self.again = self.first
            self.read = nnx.Linear(4, 4, rngs=rngs)
            self.read.kernel = self.first.kernel
            self.last = nnx.Linear(4, 1, rngs=rngs)

        def __call__(self, x):
            x = jnp.tanh(self.again(jnp.tanh(self.first(x))))
            return self.last(jnp.tanh(self.read(x)))

    net = Net(nnx.Rngs(0))

    def gradient(loss):
        found = nnx.grad(loss)(net)
        # NNX keeps a shared variable under the first of its names in the order of the alphabet.
        return loss(net), [found.again.kernel[...], found.last.kernel[...]]

    return net, gradient, lambda weights: [weights["again"]["kernel"], weights["last"]["kernel"]]


def shared_linen():
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x):
            first = linen.Dense(4)
            return linen.Dense(1)(jnp.tanh(first(jnp.tanh(first(x)))))

    net = Net()
    weights = net.init(jax.random.key(0), jnp.zeros((1, 4)))

    def pick(found):
        found = found.get("params", found)
        return [found["Dense_0"]["kernel"], found["Dense_1"]["kernel"]]

    def gradient(loss):
        value, found = jax.value_and_grad(lambda one: loss(lambda x: net.apply(one, x)))(weights)
        return value, pick(found)

    return (lambda key: weights, net.apply), gradient, pick


def shared_equinox():
    eqx = pytest.importorskip("equinox")

    class Net(eqx.Module):
        shared: eqx.nn.Shared
        last: eqx.nn.Linear

        def __init__(self, key):
            one, other = (eqx.nn.Linear(4, 4, key=part) for part in jax.random.split(key))
            pair = (one, other)
            self.shared = eqx.nn.Shared(pair, lambda two: two[1].weight, lambda two: two[0].weight)
            self.last = eqx.nn.Linear(4, 1, key=key)

        def __call__(self, x):
            one, other = self.shared()
            return self.last(jnp.tanh(other(jnp.tanh(one(x)))))

    net = Net(jax.random.key(0))

    def pick(found):
        return [found.shared.pytree[0].weight, found.last.weight]

    def gradient(loss):
        value, found = eqx.filter_value_and_grad(lambda one: loss(jax.vmap(one)))(net)
        return value, pick(found)

    return net, gradient, pick


def shared_keras():
    keras = pytest.importorskip("keras")
    entry, same = keras.Input((4,)), keras.layers.Dense(4, activation="tanh")
    net = keras.Model(entry, keras.layers.Dense(1)(same(same(entry))))

    def pick(found):
        return [found[0], found[2]]

    def gradient(loss):
        weights = [one.value for one in net.trainable_variables]
        others = [one.value for one in net.non_trainable_variables]

        def value(weights):
            return loss(lambda x: net.stateless_call(weights, others, x)[0])

        value, found = jax.value_and_grad(value)(weights)
        return value, pick(found)

    return net, gradient, pick


@pytest.mark.slow
@pytest.mark.parametrize("make", [shared_flax, shared_linen, shared_equinox, shared_keras])
def test_a_layer_that_is_used_twice_has_one_set_of_weights_and_the_gradient_of_both_uses(make):
    X, y = rows()
    x, y = jnp.asarray(X, jnp.float32), jnp.asarray(y, jnp.float32)
    model, gradient, pick = make()

    def loss(call):
        return jnp.mean(0.5 * (call(x)[:, 0] - y) ** 2)

    expected_loss, expected = gradient(loss)
    custom = custom_model(model, x)
    weights, state = split_variables(custom.init(0))

    def objective(weights):
        if custom.training_apply is None:
            return loss(lambda x: custom.apply(custom.init(0)._replace(params=weights), x))
        return loss(lambda x: custom.training_apply(weights, state, x, jax.random.key(0))[0])

    value, found = jax.value_and_grad(objective)(weights)
    assert value == pytest.approx(float(expected_loss), rel=1e-6)
    for one, other in zip(pick(found), expected, strict=True):
        assert np.asarray(one) == pytest.approx(np.asarray(other), rel=1e-5, abs=1e-6)
