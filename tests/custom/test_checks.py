"""Models that cannot be trained are refused with a reason."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from descend.custom.checks import check_rows_alone
from descend.custom.families import custom_model
from descend.errors import InputError
from tests.custom.models import (
    equinox_normalised,
    fit,
    keras_of,
    linear,
    linen_functions,
    rows,
)


def coupled():
    init, apply = linear()
    return init, lambda params, x: apply(params, x - x.mean(axis=0))


def coupled_a_little():
    """Too little for the outputs of random weights to show it."""
    init, apply = linear()
    return init, lambda params, x: apply(params, x + 1e-4 * x.mean(axis=0))


def coupled_by_tokens():
    """Rows of token ids, of which derivatives say nothing."""

    def apply(params, x):
        tokens = params[jnp.clip(x, 0, 9).astype(int)].mean(axis=1)
        return tokens + 1e-4 * tokens.mean(axis=0)

    return lambda key: jnp.zeros((10, 1)), apply


def less_the_largest():
    """A usual step before exponentials, which cancels."""

    def apply(params, x):
        scores = x @ params
        powers = jnp.exp(scores - scores.max())
        return powers / powers.sum(axis=1, keepdims=True)

    return lambda key: jnp.zeros((4, 3)), apply


def deciding():
    init, apply = linear()
    return init, lambda params, x: apply(params, x) if x.mean() > 0 else apply(params, -x)


def linen_as_weights():
    init, apply = linen_functions()
    return init, lambda params, x: apply(params, x, train=False)


def always_noisy():
    init, apply = linear()

    def noisy(params, x):
        values = apply(params, x)
        return values + jax.random.normal(jax.random.key(0), values.shape)

    return init, noisy


def equinox_without_state():
    return equinox_normalised()[0]


def keras_with(**options):
    return lambda: keras_of(pytest.importorskip("keras").layers.Dense(1, **options))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (coupled, "couples the rows of a batch: alone"),
        (coupled_a_little, "the derivatives of a row's outputs by the inputs of other rows"),
        (always_noisy, "draws random numbers when it predicts"),
        (deciding, "decides in Python"),
        (linen_as_weights, "would train the running means"),
        (equinox_without_state, "give \\(module, state\\)"),
        (keras_with(kernel_constraint="non_neg"), "has a constraint"),
        (keras_with(activity_regularizer="l2"), "adds a loss of its own"),
        (lambda: (linear()[0], lambda params, x: (x, params)), "outputs for each of 8 rows"),
        (lambda: linear()[::-1], "init\\(key\\) of the model fails: TypeError.*in this order"),
        (lambda: (lambda: {}, linear()[1]), "init\\(key\\) of the model fails: TypeError"),
        (lambda: (lambda key: {"head": "relu"}, linear()[1]), "hold 'relu'; expected arrays"),
        (
            lambda: (linear()[0], lambda params, x, key: x),
            r"found one of 3 arguments.*net\.apply\(params, None, x\)",
        ),
        (lambda: (linear()[0], lambda params, state, x, key, training: x), "init\\(key\\) -> "),
        (lambda: (linear()[0], lambda params, x: x @ jnp.ones((3, 1))), "The model fails on a few"),
        (lambda: 3, "functions \\(init, apply\\)"),
        (lambda: dict, "functions \\(init, apply\\)"),
    ],
)
def test_what_cannot_be_right_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        fit(make(), rows())


def test_whole_numbers_of_other_rows_are_seen_if_they_change_outputs_only_a_little():
    X = np.random.default_rng(0).integers(0, 10, (100, 5))
    init, apply = coupled_by_tokens()
    with pytest.raises(InputError, match="slightly other outputs when the whole numbers of other"):
        fit((init, apply), (X, X.mean(axis=1)))
    alone = lambda params, x: params[x].mean(axis=1)  # noqa: E731
    assert fit((init, alone), (X, X.mean(axis=1)), epochs=1).metrics


@pytest.mark.slow
def test_what_cancels_does_not_couple_rows():
    X, y = rows()
    fit(less_the_largest(), (X, (y > 1).astype(int)), loss="cross_entropy", epochs=1)


def normalised_over(axes):
    def apply(params, state, x, key, training):
        mean = x.mean(axis=axes) if training else state["mean"]
        centred = (x - mean).reshape(len(x), -1) @ params
        return centred, {"mean": 0.9 * state["mean"] + 0.1 * mean}

    return lambda key: (jnp.zeros((8, 1)), {"mean": jnp.zeros(4)}), apply


def test_batches_of_one_row_are_refused_where_normalization_makes_them_all_alike():
    X = np.random.default_rng(0).normal(size=(50, 2, 4))
    given = custom_model(normalised_over((0,)), X[:3])
    flat = given._replace(training_apply=lambda w, s, x, key: (x[:, 0, :1] - x.mean(0)[0, :1], s))
    with pytest.raises(InputError, match="batch_size=1 under batch normalization"):
        check_rows_alone(flat, X[:3], 0)
    # A mean over the places of a row, as that of images, leaves something of it.
    check_rows_alone(custom_model(normalised_over((0, 1)), X[:3]), X[:3], 0)
    # Rows that are alike, as the first of a sorted table may be, say nothing of the normalization.
    alike = np.repeat(X[:1], 3, axis=0)
    check_rows_alone(custom_model(normalised_over((0, 1)), alike), alike, 0)


@pytest.mark.parametrize("size", [1, 2])
def test_fit_refuses_a_batch_of_one_row_under_batch_normalization(size):
    def apply(params, state, x, key, training):
        mean = x.mean(axis=0) if training else state
        return (x - mean) @ params, 0.9 * state + 0.1 * mean

    model = (lambda key: (jnp.zeros((4, 1)), jnp.zeros(4))), apply
    if size > 1:
        assert np.isfinite(fit(model, rows(), batch_size=size, epochs=1).history[-1].train_loss)
        return
    with pytest.raises(InputError, match="Type batch_size=2 at the least"):
        fit(model, rows(), batch_size=size, epochs=1)
