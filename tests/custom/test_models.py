"""Custom models, losses and optimizers: what is trained, and how it comes back."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import descend
from descend.errors import InputError
from tests.custom.models import (
    ROWS,
    equinox_model,
    fit,
    flax_model,
    flax_normalised,
    keras_model,
    linear,
    rows,
)


@pytest.mark.slow
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


@pytest.mark.slow
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


def test_validation_rows_and_several_inputs():
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


def tokens_with_state():
    def init(key):
        rows = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
        return {"embedding": rows, "w": np.ones((3, 1), np.float32)}, {"calls": jnp.zeros(())}

    def apply(params, state, x, key, training):
        return params["embedding"][x].sum(axis=1) @ params["w"], {"calls": state["calls"] + 1}

    return init, apply


def tokens_plain():
    init, apply = tokens_with_state()
    return (
        lambda key: init(key)[0],
        lambda params, x: apply(params, {"calls": 0}, x, None, False)[0],
    )


def tokens_in_equinox():
    eqx = pytest.importorskip("equinox")

    class Model(eqx.Module):
        embedding: eqx.nn.Embedding
        last: eqx.nn.Linear

        def __call__(self, x):
            return self.last(jax.vmap(self.embedding)(x).sum(axis=0))

    keys = jax.random.split(jax.random.key(0))
    return Model(eqx.nn.Embedding(7, 3, key=keys[0]), eqx.nn.Linear(3, 1, key=keys[1]))


@pytest.mark.slow
@pytest.mark.parametrize("make", [tokens_plain, tokens_with_state, tokens_in_equinox])
def test_weights_that_token_ids_index_are_trained_and_exported(make, tmp_path):
    x = np.random.default_rng(1).integers(0, 7, (ROWS, 4)).astype(np.int32)
    y = (x == 3).sum(axis=1).astype(np.float32)
    run = fit(make(), (x, y), epochs=20)
    assert run.metrics["model"]["r2"] > 0.9
    run.export(tmp_path / "model.jax")
    program = jax.export.deserialize((tmp_path / "model.jax").read_bytes())
    np.testing.assert_allclose(program.call(x[:5]), run.predict(x[:5]), rtol=1e-5)


@pytest.mark.slow
def test_what_is_done_with_the_model_of_a_run_stays_done():
    run = fit(flax_normalised(), rows(), epochs=2)
    assert run.model is run.model
    run.model.eval()
    X, _ = rows()
    assert np.asarray(run.model(X)) == pytest.approx(run.predict(X), abs=1e-5)


def test_whole_numbers_among_the_params_stand_still():
    init, apply = linear()
    model = (lambda key: {**init(key), "power": jnp.int32(1)}, apply)
    run = fit(model, rows(), epochs=3, optimizer=optax.adam(0.01), learning_rate=1.0)
    assert run.params["power"] == 1
    assert run.params["kernel"].any()


@pytest.mark.slow
def test_labels_of_optax_have_the_form_of_an_equinox_module():
    equinox = pytest.importorskip("equinox")
    model = equinox_model()
    labels = jax.tree.map(lambda _: "learned", equinox.filter(model, equinox.is_inexact_array))
    labels = equinox.tree_at(
        lambda one: one.layers[0],
        labels,
        replace_fn=lambda layer: jax.tree.map(lambda _: "still", layer),
    )
    # A function of the params: Optax would call labels that are a module.
    rule = optax.multi_transform(
        {"learned": optax.sgd(0.01), "still": optax.set_to_zero()}, lambda params: labels
    )
    run = fit(model, rows(), optimizer=rule, learning_rate=1.0, epochs=2)
    still = np.asarray(model.layers[0].weight)
    assert np.asarray(run.params.layers[0].weight) == pytest.approx(still, abs=1e-6)
    assert (np.asarray(run.params.layers[1].weight) != np.asarray(model.layers[1].weight)).any()


@pytest.mark.slow
def test_several_outputs_have_a_loss_each():
    X, y = rows()
    labels = (y > 1).astype(int)

    def init(key):
        return {"price": jnp.zeros((4, 1)), "kind": jnp.zeros((4, 2)), "bias": jnp.zeros(1)}

    def apply(params, x):
        joined = jnp.concatenate([x["left"], x["right"]], axis=-1)
        return {"price": joined @ params["price"] + params["bias"], "kind": joined @ params["kind"]}

    data = ({"left": X[:, :2], "right": X[:, 2:]}, {"price": y, "kind": labels})
    losses = {"price": "mse", "kind": ("cross_entropy", 0.5)}
    run = fit((init, apply), data, loss=losses)
    found = run.predict(data[0])
    assert found["price"].ravel() == pytest.approx(y, abs=0.2)
    assert found["kind"].sum(axis=1) == pytest.approx(1.0)
    assert (found["kind"].argmax(axis=1) == labels).mean() > 0.8
    for wrong, said in ((data[1]["price"], "same form"), ({"price": y}, "same form")):
        with pytest.raises(InputError, match=said):
            fit((init, apply), (data[0], wrong), loss=losses)
    with pytest.raises(InputError, match="a loss for each"):
        fit((init, apply), data)
