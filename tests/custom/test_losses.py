"""Losses by name: what they are for which shapes, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.custom.arrays import facts_of
from descend.custom.checks import check_loss
from descend.custom.losses import Part, named_loss
from descend.errors import DataError, InputError, SettingsError

os.environ.setdefault("KERAS_BACKEND", "jax")
ROWS = 200
X = np.random.default_rng(0).normal(size=(ROWS, 4))
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0]
TWO = (NUMBERS > 0).astype(np.int64)
THREE = np.digitize(NUMBERS, [-1.0, 1.0])


def linear(outputs: int = 1, head: Callable[[Any], Any] = lambda values: values) -> Any:
    def init(key: Any) -> Any:
        return {"kernel": jnp.zeros((4, outputs)), "bias": jnp.zeros(outputs)}

    return init, lambda params, x: head(x @ params["kernel"] + params["bias"])


def fit(model: Any, y: Any, **options: Any) -> Any:
    return descend.fit(
        model, (X, y), **{"batch_size": 20, "learning_rate": 0.1, "epochs": 4, **options}
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("mse", "squared_error"),
        ("MSELoss", "squared_error"),
        ("mean_absolute_error", "absolute_error"),
        ("l1", "absolute_error"),
        ("smooth_l1", "huber"),
        ("auto", "squared_error"),
    ],
)
def test_usual_names_are_known(name: str, meant: str) -> None:
    assert fit(linear(), NUMBERS, loss=name, epochs=1).record["own"]["loss"] == meant


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ("sqared_eror", "Did you mean 'squared_error'"),
        ("hubber", "Did you mean 'huber'"),
        (3, "Expected loss as a name"),
    ],
)
def test_unknown_losses_are_refused_with_the_nearest(loss: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(linear(), NUMBERS, loss=loss)


@pytest.mark.parametrize(
    ("outputs", "y", "options", "said"),
    [
        (1, np.stack([NUMBERS, NUMBERS], 1), {}, r"\['B', 1\] and y is \['B', 2\]"),
        (3, NUMBERS, {}, r"\['B', 3\] and y is \['B'\]"),
        (3, THREE.astype(float), {}, "astype"),
        (3, THREE[:, None].astype(float), {}, "astype"),
        (3, THREE.astype(float), {"loss": "cross_entropy"}, "astype"),
        (3, np.eye(3)[THREE], {}, "classes or numbers"),
        (2, THREE, {}, "found 0 to 2"),
        (1, THREE[:, None], {}, "Give loss='squared_error' where y are numbers"),
        (2, X[:, :2], {"loss": "cross_entropy"}, "add up to 1"),
        (2, X[:, :2], {"loss": "bce"}, "from 0 to 1"),
        (2, TWO, {"loss": "bce"}, "for classes give loss='cross_entropy'"),
    ],
)
def test_shapes_that_do_not_fit_are_named(outputs: int, y: Any, options: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(linear(outputs), y, **options)


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        (lambda outputs, y: list(outputs[:, 0] - y), "found a list"),
        (lambda outputs, y: jnp.ones(len(y)), "no gradient by any of the weights"),
        (lambda outputs, y: (outputs[:, 0] > y).astype(int), "no gradient by any"),
        (lambda outputs, y: jax.lax.stop_gradient(outputs[:, 0] - y) ** 2, "no gradient by any"),
    ],
)
def test_losses_that_nothing_can_be_learned_from_are_refused(loss: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(linear(), NUMBERS, loss=loss)


def test_classes_of_a_sequence_that_come_as_one_hot_are_asked_about() -> None:
    model = linear(4, lambda values: values.reshape(-1, 2, 2))
    with pytest.raises(InputError, match=r"Each place of y \['B', 2, 2\]"):
        fit(model, np.eye(2)[np.stack([TWO, 1 - TWO], 1)])


@pytest.mark.slow
@pytest.mark.parametrize("y", [np.eye(4)[:, :2], np.array([0, 1, 1, 0.0])[:, None]])
def test_targets_of_0_and_1_alone_are_asked_about(y: np.ndarray) -> None:
    part = Part(np.ones(y.shape), y, facts_of(y))
    with pytest.raises(SettingsError, match="holds 0 and 1 alone: are these answers or numbers"):
        named_loss("auto", part)
    assert named_loss("auto", part._replace(same_as_input=True))[1] == "squared_error"
    assert named_loss("auto", part._replace(facts=facts_of(2 * y)))[1] == "squared_error"


@pytest.mark.slow
def test_classes_come_as_codes_columns_or_one_hot() -> None:
    codes = fit(linear(3), THREE)
    assert codes.record["own"]["loss"] == "cross_entropy"
    column = fit(linear(3), THREE[:, None])
    hot = fit(linear(3), np.eye(3)[THREE], loss="cross_entropy")
    assert column.params["kernel"].tolist() == codes.params["kernel"].tolist()
    assert column.metrics == codes.metrics
    pair = [fit(linear(2), y).params["kernel"].tolist() for y in (TWO, TWO == 1)]
    assert pair[0] == pair[1]
    assert hot.params["kernel"] == pytest.approx(codes.params["kernel"], abs=1e-5)
    assert hot.predict(X) == pytest.approx(codes.predict(X), abs=1e-5)
    flat = fit(linear(1, lambda values: values[:, 0]), TWO)
    assert flat.predict(X) == pytest.approx(fit(linear(1), TWO).predict(X), abs=1e-6)


@pytest.mark.slow
def test_questions_of_their_own_are_asked_apart() -> None:
    both = fit(linear(2), np.stack([TWO, 1 - TWO], 1), loss="bce")
    one = fit(linear(1), TWO)
    assert both.predict(X)[:, 0] == pytest.approx(one.predict(X)[:, 1], abs=1e-5)


@pytest.mark.slow
def test_places_of_a_sequence_are_added_up() -> None:
    y = np.stack([TWO, TWO], 1)
    run = fit(linear(4, lambda values: values.reshape(-1, 2, 2)), y, epochs=1)
    losses = run.record["result"]["best_validation_loss"]
    alone = fit(linear(2), TWO, epochs=1).record["result"]["best_validation_loss"]
    assert losses == pytest.approx(2 * alone, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("outputs", "head"), [(1, jax.nn.sigmoid), (3, jax.nn.softmax)])
def test_a_last_layer_that_makes_probabilities_gets_no_second_link(
    outputs: int, head: Callable[[Any], Any]
) -> None:
    y = TWO if outputs == 1 else THREE
    bare, headed = fit(linear(outputs), y), fit(linear(outputs, head), y)
    assert headed.predict(X) == pytest.approx(bare.predict(X), abs=1e-3)
    assert headed.metrics["model"] == pytest.approx(bare.metrics["model"], abs=1e-3)


@pytest.mark.slow
def test_a_last_layer_of_keras_is_known_by_its_name() -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1, "sigmoid")])
    run = fit(model, TWO, epochs=10)
    assert run.metrics["model"]["accuracy"] > 0.9
    assert run.predict(X).max() > 0.9


@pytest.mark.parametrize(
    ("model", "y", "loss", "said"),
    [
        (linear(3, jax.nn.sigmoid), THREE, "auto", "do not add up to 1"),
        (linear(1, jnp.exp), TWO, "poisson", "makes them positive already"),
    ],
)
def test_other_last_layers_are_refused(model: Any, y: Any, loss: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(model, y, loss=loss)


@pytest.mark.parametrize(
    "loss",
    [
        lambda outputs, y: -jax.nn.log_softmax(outputs, axis=0)[:, 0] * y,
        lambda outputs, y: (outputs[:, 0] - y) ** 2 / jnp.var(y),
        lambda outputs, y: jnp.mean((outputs[:, 0] - y) ** 2) * jnp.ones(len(y)),
        lambda outputs, y: jnp.mean((outputs - y) ** 2, axis=1),
        lambda outputs, y: (outputs[:, 0] - y) ** 2 + jnp.mean(outputs),
        lambda outputs, y: jax.nn.logsumexp(outputs @ outputs.T, axis=1) - outputs[:, 0] * y,
        lambda outputs, y: (outputs[:, 0] - y) ** 2 + 1e-6 * jnp.mean(outputs) ** 2,
    ],
)
def test_a_loss_that_couples_rows_is_refused(loss: Any) -> None:
    with pytest.raises(InputError, match="The loss couples the rows"):
        fit(linear(), NUMBERS, loss=loss)


def test_a_loss_with_kinks_and_roots_does_not_couple_rows() -> None:
    def loss(outputs: Any, y: Any) -> Any:
        return jnp.sqrt(jnp.maximum(outputs[:, 0] - y, 0.0)) + jnp.abs(outputs[:, 0] - y)

    check_loss(loss, jnp.array([[0.0], [1.0], [0.0], [2.0]]), jnp.array([0.0, 1.0, 0.5, 2.0]))


def test_a_loss_that_fails_for_a_batch_of_one_row_is_refused_in_one_sentence() -> None:
    def hardest_half(outputs: Any, y: Any) -> Any:
        losses = (outputs[:, 0] - y) ** 2
        return jnp.where(losses >= jax.lax.top_k(losses, len(y) // 2)[0][-1], losses, 0.0)

    with pytest.raises(InputError, match=r"The loss fails on a few rows \(.*1.*\): IndexError"):
        fit(linear(), NUMBERS, loss=hardest_half)


def test_a_loss_that_couples_rows_only_where_outputs_differ_is_refused() -> None:
    def init(key: Any) -> Any:
        return {"w": jnp.zeros((4, 1))}

    def by_spread(outputs: Any, y: Any) -> Any:
        spread = jax.lax.stop_gradient(jnp.var(outputs))
        return jnp.square(outputs[:, 0] - y) / (1.0 + spread)

    with pytest.raises(InputError, match="The loss couples the rows"):
        fit((init, lambda params, x: x @ params["w"]), NUMBERS, loss=by_spread)


@pytest.mark.parametrize(
    ("loss", "said"), [("poisson", "counts of 0 or more"), ("binary_cross_entropy", "from 0 to 1")]
)
def test_targets_that_a_loss_is_not_made_for_are_found_in_any_row(loss: str, said: str) -> None:
    y = np.ones(len(NUMBERS), np.float32)
    y[-1] = -2.0
    with pytest.raises(DataError, match=said):
        fit(linear(), y, loss=loss)


def test_a_loss_must_be_of_each_row() -> None:
    with pytest.raises(InputError, match="a loss for each of 8 rows"):
        fit(linear(), NUMBERS, loss=lambda outputs, y: jnp.mean(jnp.square(outputs[:, 0] - y)))


def test_a_loss_may_use_the_places_of_its_row() -> None:
    y = np.stack([NUMBERS, NUMBERS], 1)
    run = fit(linear(2), y, loss=lambda o, y: jnp.square(o - y).sum(1) / (1 + y.var(axis=1)))
    assert np.isfinite(run.history[-1].validation_loss)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (optax.lbfgs(), "searches along a line"),
        (optax.contrib.sam(optax.sgd(0.1), optax.sgd(0.1)), "gradients at two places"),
        (optax.lookahead(optax.sgd(0.1), 5, 0.5), "averaging=True"),
        (optax.MultiSteps, r"MultiSteps\(1.0\) fails"),
        (optax.GradientTransformation, "fails"),
        (lambda rate: 3, "gives int"),
        (optax.masked(optax.sgd(0.1), {"other": True}), "cannot be used"),
    ],
)
def test_update_rules_that_cannot_be_used_are_refused(rule: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        fit(linear(), NUMBERS, optimizer=rule, learning_rate="auto")


def test_gradients_may_be_accumulated() -> None:
    rule = optax.MultiSteps(optax.sgd(0.1), 4)
    few = {"averaging": False, "learning_rate": 1.0, "warmup": 0.0, "validation": (X, NUMBERS)}
    steps = fit(linear(), NUMBERS, optimizer=rule, batch_size=10, **few)
    whole = fit(linear(), NUMBERS, optimizer=optax.sgd(0.1), batch_size=40, **few)
    assert steps.params["kernel"] == pytest.approx(whole.params["kernel"], abs=1e-4)


def test_a_loss_that_takes_the_target_first_gets_it_first() -> None:
    def right(outputs: Any, y: Any) -> Any:
        return optax.losses.sigmoid_binary_cross_entropy(outputs[:, 0], y)

    def other(y_true: Any, y_pred: Any) -> Any:
        return right(y_pred, y_true)

    found = [fit(linear(), TWO, loss=one).params["kernel"].tolist() for one in (right, other)]
    assert found[0] == found[1]


@pytest.mark.slow
def test_a_loss_of_keras_is_that_of_the_same_name() -> None:
    keras = pytest.importorskip("keras")
    y = TWO[:, None].astype(np.float32)
    model = linear(head=jax.nn.sigmoid)
    found = [
        fit(model, y, loss=one).record["result"]["best_validation_loss"]
        for one in (keras.losses.binary_crossentropy, "binary_cross_entropy")
    ]
    assert found[0] == pytest.approx(found[1], rel=1e-4)


def test_places_that_are_marked_by_negative_classes_are_refused_with_what_to_write() -> None:
    tokens = np.random.default_rng(1).integers(0, 3, (60, 4))
    model = (lambda key: jnp.zeros((3, 3)), lambda params, x: params[x])
    with pytest.raises(DataError, match=r"-100 are not left out.*jnp\.where"):
        descend.fit(model, (tokens, np.where(tokens == 0, -100, tokens)), loss="cross_entropy")
