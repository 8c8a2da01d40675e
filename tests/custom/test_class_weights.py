"""`class_weight` is the weight of each row by its class, and what cannot be one is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.custom.class_weights import weights_of_classes
from descend.custom.data import custom_rows
from descend.data.rows.store import RowStore
from descend.errors import SettingsError
from descend.settings import Settings

RANDOM = np.random.default_rng(2)
X = RANDOM.normal(size=(90, 3)).astype(np.float32)
Y = np.digitize(X[:, 0] + 0.2 * RANDOM.normal(size=90), [-0.5, 1.2])
W = RANDOM.random(90).astype(np.float32) + 0.5
TABLE = {0: 0.5, 2: 7.0}


def factors(table: dict[int, float], y: Any = Y) -> Any:
    return np.array([table.get(int(code), 1.0) for code in np.ravel(y)])


def both(store: RowStore) -> Any:
    batch = store.gather(np.arange(len(store)))
    return [*batch.x.values(), batch.y, batch.weight]


def rows(data: Any, class_weight: Any = None, validation: Any = 0.2) -> Any:
    found = custom_rows(
        data,
        Settings("y"),
        validation,
        layout=None,
        say=lambda text: None,
        class_weight=class_weight,
    )
    return [*both(found.training), *both(found.validation)]


def balanced(weight: Any) -> Any:
    sums = np.array([weight[code == Y].sum() for code in range(3)])
    return {code: sums.sum() / 3 / sums[code] for code in range(3)}


@pytest.mark.parametrize(
    ("data", "class_weight", "weight"),
    [
        ((X, Y), TABLE, factors(TABLE)),
        ((X, Y[:, None], W), {1: 0.25}, W * factors({1: 0.25})),
        ((X, Y.astype(float), W), [0.5, 1.0, 7.0], W * factors(TABLE)),
        ((X, Y), np.array([2.0]), factors({0: 2.0})),
        ((X, Y), "balanced", factors(balanced(np.ones(90)))),
        ((X, Y, W), "balanced", W * factors(balanced(W))),
        ({"a": X, "y": Y}, TABLE, factors(TABLE)),
        (((X, X[:, 0]), Y == 1), {True: 3.0}, factors({1: 3.0}, Y == 1)),
    ],
)
def test_rows_have_the_weights_of_their_classes(data: Any, class_weight: Any, weight: Any) -> None:
    if isinstance(data, dict):
        expected = ({"a": data["a"]}, data["y"], weight)
    else:
        expected = (*data[:2], weight)
    for one, other in zip(rows(data, class_weight), rows(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_chunks_and_given_validation_rows_have_them_too() -> None:
    chunks = [(X[:40], Y[:40]), (X[40:], Y[40:])]
    held_out = (X[:30], Y[:30])
    found = rows(iter(chunks), TABLE, held_out)
    weight = factors(TABLE)
    expected = rows((X, Y, weight), None, (*held_out, weight[:30]))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_a_run_learns_with_them() -> None:
    """The odds of a constant model are those of the weighted classes."""
    model = (lambda key: jnp.zeros(3), lambda params, x: jnp.broadcast_to(params, (len(x), 3)))
    options: dict[str, Any] = {"batch_size": "all", "optimizer": optax.sgd(1.0), "epochs": 60}
    run = descend.fit(model, (X, Y), validation=(X, Y), class_weight="balanced", **options)
    logits = np.asarray(run.params)
    assert np.abs(logits - logits.mean()).max() < 1e-3
    assert abs(run.history[-1].validation_loss - np.log(3)) < 1e-4


def test_a_run_goes_on_with_the_same_weights_alone(tmp_path: Path) -> None:
    model = (lambda key: jnp.zeros(3), lambda params, x: jnp.broadcast_to(params, (len(x), 3)))

    def fit(class_weight: Any, epochs: int, **more: Any) -> Any:
        return descend.fit(
            model,
            (X, Y),
            batch_size="all",
            learning_rate=0.1,
            class_weight=class_weight,
            epochs=epochs,
            out=tmp_path / "run",
            **more,
        )

    fit(TABLE, 1)
    for other in ({0: 0.5, 2: 8.0}, None, "balanced"):
        with pytest.raises(SettingsError, match=r"class_weight was '0=0.5, 2=7.0' when the run"):
            fit(other, 2, resume=True)
    assert len(fit([0.5, 1.0, 7.0], 2, resume=True).history) == 3


@pytest.mark.parametrize(
    ("data", "class_weight", "said"),
    [
        ((X, Y), {"1": 2.0}, "Expected as class_weight"),
        ((X, Y), {1: -1.0}, "finite and 0 or more"),
        ((X, Y), {1: "2"}, "found {1: '2'}"),
        ((X, Y), "balance", "Expected as class_weight 'balanced'"),
        ((X, Y), {1.5: 2.0}, "Expected as class_weight"),
        ((X, Y), {3: 2.0}, "names the class 3, which y does not hold; found 0, 1, 2"),
        ((X, X[:, 0]), {1: 2.0}, "needs one class code for each row"),
        ((X, np.eye(3)[Y]), {1: 2.0}, "np.argmax"),
        ((X, {"a": Y, "b": Y}), {1: 2.0}, "needs one class code for each row"),
        (X, {1: 2.0}, "needs one class code for each row"),
        (iter([(X, Y)]), "balanced", "an iterator does not allow"),
        ("rows.csv", {1: 2.0}, "weight='COLUMN'"),
    ],
)
def test_what_is_no_weight_of_a_class_is_refused(data: Any, class_weight: Any, said: str) -> None:
    with pytest.raises(descend.InputError, match=re.escape(said)):
        weights_of_classes(class_weight, data, "y")


def test_models_for_tables_have_it_too() -> None:
    with pytest.raises(descend.InputError, match="names the class '7', which"):
        descend.advise((X, Y), model="mlp", class_weight={7: 2.0})
