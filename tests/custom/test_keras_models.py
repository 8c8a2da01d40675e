"""Models of Keras: whose weights they have, and what their layers add."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.custom.families import custom_model
from tests.custom.models import (
    fit,
    keras_model,
    keras_of,
    keras_with_constants,
    rows,
)


@pytest.mark.slow
def test_a_keras_model_is_the_users_again_when_the_run_is_over():
    """Keras uses up the arrays of its variables; those of the run are others."""
    model = keras_with_constants()
    run = fit(model, rows(), epochs=2)
    before = run.predict(rows()[0])
    assert run.model.predict(rows()[0], verbose=0) == pytest.approx(before, abs=1e-4)
    model.compile("sgd", "mse")
    model.fit(*rows(), verbose=0)
    assert run.predict(rows()[0][:7]) == pytest.approx(before[:7], abs=1e-4)


@pytest.mark.slow
def test_a_keras_model_has_the_weights_of_the_run_that_was_asked_last():
    model = keras_with_constants()
    X, y = rows()
    one = fit(model, (X, y), epochs=1)
    assert one.model is model
    other = fit(model, (X, -y), epochs=2)
    for run in (one, other, one):
        assert run.model.predict(X, verbose=0) == pytest.approx(run.predict(X), abs=1e-4)
    model.set_weights([np.zeros_like(values) for values in model.get_weights()])
    assert not any(values.any() for values in one.model.get_weights()), "what the user did stays"


@pytest.mark.slow
def test_keras_regularizers_are_obeyed():
    """L2(s) of Keras is s·|w|², l2 here l2/2·|w|²."""
    keras = pytest.importorskip("keras")
    found = []
    for rule, l2 in ((keras.regularizers.L2(0.25), 0.0), (None, 0.5), (None, 0.0)):
        keras.utils.set_random_seed(0)
        model = keras_of(keras.layers.Dense(1, kernel_regularizer=rule))
        run = fit(model, rows(), l2=l2, epochs=2, averaging=False)
        found.append(np.asarray(run.params[0]))
    assert found[0] == pytest.approx(found[1], abs=1e-5)
    assert np.abs(found[0] - found[2]).max() > 0.1


def test_a_keras_model_whose_call_is_not_told_of_training_is_taken():
    keras = pytest.importorskip("keras")

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = keras.layers.Dense(1)

        def call(self, x):
            return self.inner(x)

    model = Net()
    X, y = rows()
    model(X[:1])
    assert fit(model, (X, y), epochs=3).metrics["model"]["r2"] > 0.5


def spectral_keras():
    layers = pytest.importorskip("keras").layers
    return keras_of(layers.SpectralNormalization(layers.Dense(8)), layers.Dense(1))


@pytest.mark.slow
def test_a_keras_layer_that_assigns_its_weights_predicts_as_it_is_trained():
    X, _ = rows()
    x, model = jnp.asarray(X, jnp.float32), spectral_keras()
    custom = custom_model(model, x[:8])
    variables = custom.init(0)
    # Ten times the kernel has the same normalized kernel.
    larger = [10.0 * variables.params[0], *variables.params[1:]]
    variables = variables._replace(params=larger)
    trained, _ = custom.training_apply(larger, variables.state, x, jax.random.key(0))
    expected = pytest.approx(np.asarray(trained), rel=1e-4, abs=1e-5)
    assert np.asarray(jax.jit(custom.apply)(variables, x)) == expected
    assert np.asarray(custom.rebuilt(variables)(x)) == expected
    assert (np.asarray(variables.params[0]) == np.asarray(larger[0])).all()


@pytest.mark.slow
def test_a_run_of_a_keras_layer_that_assigns_its_weights_learns_what_it_predicts():
    run = fit(spectral_keras(), rows(), epochs=3, learning_rate=0.01)
    assert run.history[-1].validation_loss < 0.5 * run.history[0].validation_loss
    kernel = np.asarray(run.model.trainable_variables[0])
    assert np.linalg.norm(kernel, 2) == pytest.approx(1.0, abs=0.05)
    x = jnp.asarray(rows()[0], jnp.float32)
    assert np.asarray(run.model(x)) == pytest.approx(run.predict(rows()[0]), abs=1e-4)


@pytest.mark.parametrize(
    ("make", "chosen", "said"),
    [
        (lambda losses: "mae", "squared_error", "loss='absolute_error' or loss='squared_error'"),
        (lambda losses: losses.Huber(), "squared_error", "compiled with loss 'Huber'"),
        (lambda losses: losses.MeanSquaredError(), "squared_error", None),
        (lambda losses: losses.mean_squared_error, "squared_error", None),
        (lambda losses: losses.BinaryCrossentropy(), "cross_entropy", None),
        (lambda losses: None, "squared_error", None),
    ],
)
def test_another_loss_than_the_one_that_keras_was_compiled_with_is_said(make, chosen, said):
    keras = pytest.importorskip("keras")
    from descend.custom.keras_models import warn_of_compiled_loss

    model = keras_model()
    model.compile(loss=make(keras.losses))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_compiled_loss(model, chosen)
    assert [said in str(one.message) for one in caught] == [True] * (said is not None)
