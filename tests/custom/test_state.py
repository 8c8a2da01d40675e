"""Batch normalization, dropout and other state that training changes."""

from __future__ import annotations

import jax
import numpy as np
import pytest

import descend
from descend.errors import InputError
from tests.custom.models import (
    ROWS,
    equinox_normalised,
    fit,
    flax_in_evaluation,
    flax_normalised,
    functions_with_state,
    keras_normalised,
    keras_with_constants,
    linen_functions,
    linen_normalised,
    rows,
)

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


def _noting(note):
    """A Linen module that notes something of what it computes."""
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, train=False):
            x = linen.Dense(8)(x)
            x = linen.BatchNorm(use_running_average=not train)(x)
            x = note(self, x)
            return linen.Dense(1)(linen.relu(x))

    return Net()


def _sown(collection):
    def note(module, x):
        module.sow(collection, "hidden", x)
        return x

    return note


NOTED = {
    "intermediates": _sown("intermediates"),
    "a collection of its own": _sown("activations"),
    "perturbations": lambda module, x: module.perturb("hidden", x),
}


@pytest.mark.parametrize("note", NOTED.values(), ids=NOTED)
@pytest.mark.parametrize("pair", [False, True], ids=["module", "functions"])
def test_what_a_linen_module_notes_is_no_state(note, pair):
    X, y = rows()
    plain, noting = _noting(lambda module, x: x), _noting(note)
    if pair:
        plain, noting = (
            (lambda key, one=one: one.init(key, X[:2]), one.apply) for one in (plain, noting)
        )
    expected, found = (fit(one, (X, y), epochs=2) for one in (plain, noting))
    assert set(found.params) == {"params", "batch_stats"}
    assert np.array_equal(found.predict(X), expected.predict(X))


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
