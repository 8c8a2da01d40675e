"""Own models, losses and optimizers: what is trained, and what is refused with a reason."""

from __future__ import annotations

import os
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest

import descend
from descend.custom.families import custom_model
from descend.errors import InputError
from descend.types import split_variables

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


NORMALISED = [
    flax_normalised,
    linen_normalised,
    linen_functions,
    equinox_normalised,
    keras_normalised,
    functions_with_state,
]


@pytest.mark.slow
@pytest.mark.parametrize("make", NORMALISED)
def test_dropout_and_batch_normalisation_go_on_to_the_bit(make, tmp_path):
    model = make()
    whole = fit(model, rows(), epochs=6)
    assert whole.metrics["model"]["r2"] > 0.9
    fit(make(), rows(), epochs=3, out=tmp_path / "run")
    more = fit(make(), rows(), epochs=6, out=tmp_path / "run", resume=True)
    pairs = zip(*map(jax.tree.leaves, (whole._weights, more._weights)), strict=True)
    assert all((one == other).all() for one, other in pairs)
    X = rows()[0]
    alone = np.concatenate([whole.predict(X[place : place + 1]) for place in range(5)])
    assert alone == pytest.approx(whole.predict(X)[:5], abs=1e-4), "the running state predicts"


@pytest.mark.slow
def test_running_means_are_those_of_the_framework():
    """One update with a batch of all rows: the running mean is momentum times that of the rows."""
    linen = pytest.importorskip("flax.linen")
    X, y = rows()

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train: bool):
            x = linen.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            return linen.Dense(1)(x)

    run = fit(Net(), (X + 3, y), batch_size="all", epochs=1, validation=(X, y), averaging=False)
    found = run._weights.state["batch_stats"]["BatchNorm_0"]
    updates = run.history[-1].update
    decayed = 0.9**updates
    assert found["mean"] == pytest.approx((1 - decayed) * (X + 3).mean(axis=0), rel=1e-4)
    assert found["var"] == pytest.approx(decayed + (1 - decayed) * X.var(axis=0), rel=1e-3)


@pytest.mark.slow
def test_coupled_rows_are_said_once_and_advised_on(capsys):
    said = []
    run = descend.fit(flax_normalised(), rows(), epochs=2, advice_budget=0.5, learning_rate=0.05)
    assert 1 < run.record["settings"]["batch_size"] < ROWS
    descend.fit(flax_normalised(), rows(), batch_size=16, learning_rate=0.05, epochs=1, quiet=False)
    said = capsys.readouterr().err
    assert said.count("takes the rows of a batch together") == 1


@pytest.mark.slow
def test_rows_of_weight_0_are_refused_where_rows_are_coupled():
    X, y = rows()
    weight = np.arange(ROWS) % 2
    with pytest.raises(InputError, match="weight 0 would change"):
        fit(flax_normalised(), (X, y, weight))


def keras_with_constants():
    layers = pytest.importorskip("keras").layers
    scaling = layers.Normalization()
    scaling.adapt(rows()[0])
    frozen = layers.Dense(8)
    frozen.trainable = False
    return keras_of(scaling, frozen, layers.Dense(1))


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
def test_what_is_done_with_the_model_of_a_run_stays_done():
    run = fit(flax_normalised(), rows(), epochs=2)
    assert run.model is run.model
    run.model.eval()
    X, _ = rows()
    assert np.asarray(run.model(X)) == pytest.approx(run.predict(X), abs=1e-5)


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
        (lambda: (linear()[0], lambda params, x, key: x), "found one of 3 arguments"),
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


@pytest.mark.slow
def test_what_cancels_does_not_couple_rows():
    X, y = rows()
    fit(less_the_largest(), (X, (y > 1).astype(int)), loss="cross_entropy", epochs=1)


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


@pytest.mark.slow
@pytest.mark.parametrize("required", [True, False])
def test_an_nnx_module_may_get_its_streams_in_the_call(required, tmp_path):
    nnx = pytest.importorskip("flax.nnx")

    class Required(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(4, 32, rngs=rngs)
            self.dropout = nnx.Dropout(0.3)
            self.last = nnx.Linear(32, 1, rngs=rngs)

        def __call__(self, x, rngs):
            return self.last(self.dropout(nnx.relu(self.first(x)), rngs=rngs))

    class Optional(Required):
        def __call__(self, x, *, train=False, rngs=None):
            hidden = nnx.relu(self.first(x))
            return self.last(self.dropout(hidden, rngs=rngs) if train else hidden)

    def model():
        return (Required if required else Optional)(nnx.Rngs(0))

    whole = fit(model(), rows(), epochs=4)
    fit(model(), rows(), epochs=2, out=tmp_path / "run")
    more = fit(model(), rows(), epochs=4, out=tmp_path / "run", resume=True)
    x = rows()[0][:5]
    assert more.predict(x).tolist() == whole.predict(x).tolist()
    still = whole.predict(np.concatenate([x, x]))
    assert still[:5].tolist() == still[5:].tolist(), "predictions have no dropout"
    other = fit(model(), rows(), epochs=4, seed=1)
    assert other.predict(x).tolist() != whole.predict(x).tolist()


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
