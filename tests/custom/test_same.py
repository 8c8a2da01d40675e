"""A run goes on with the functions it began with, or says what differs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.errors import DataError, DivergedError

X = np.random.default_rng(0).normal(size=(200, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 1.0


def model(bend: Any = lambda values: values, noise: float = 0.0) -> Any:
    def init(key: Any) -> Any:
        return {"kernel": jnp.zeros((4, 1)), "bias": jnp.zeros(1)}, ()

    def apply(params: Any, state: Any, x: Any, key: Any, training: bool) -> Any:
        if training and noise:
            x = x + noise * jax.random.normal(key, x.shape)
        return bend(x @ params["kernel"] + params["bias"]), state

    return init, apply


def initial_of_two(key: Any) -> Any:
    return {"hidden": jnp.zeros((4, 2)), "kernel": jnp.zeros((2, 1))}


wider = (initial_of_two, lambda params, x: x @ params["hidden"] @ params["kernel"])


def square(outputs: Any, y: Any) -> Any:
    return jnp.square(outputs[:, 0] - y)


def square_in_another_way(outputs: Any, y: Any) -> Any:
    return (outputs[:, 0] - y) ** 2


def other(outputs: Any, y: Any) -> Any:
    return jnp.abs(outputs[:, 0] - y) ** 1.5


square_in_another_way.__name__ = other.__name__ = "square"


def fit(folder: Path, epochs: int = 2, **options: Any) -> Any:
    given = {"model": model(noise=0.1), "loss": square, "optimizer": optax.adam(0.02), **options}
    more = {"batch_size": 16, "epochs": epochs, "out": folder, "learning_rate": 1.0}
    return descend.fit(given.pop("model"), (X, Y), **given, **more)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": model(jnp.tanh, 0.1)}, "validation loss of the saved weights was"),
        ({"loss": other}, "validation loss of the saved weights was"),
        ({"model": model(noise=0.5)}, "what it does while it is trained"),
        ({"optimizer": optax.adam(0.5)}, "the optimizer or its hyperparameters"),
        ({"optimizer": optax.adam(0.02, b1=0.5)}, "the optimizer or its hyperparameters"),
        pytest.param(
            *({"optimizer": optax.adamw(0.02)}, "hyperparameters, such as a weight decay"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            *({"optimizer": optax.sgd(0.02)}, "the optimizer or its hyperparameters"),
            marks=pytest.mark.slow,
        ),
        pytest.param({"model": wider}, r"the model \(its shapes", marks=pytest.mark.slow),
    ],
)
def test_another_function_of_the_same_shapes_is_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    fit(tmp_path / "run")
    with pytest.raises(DataError, match=said):
        fit(tmp_path / "run", epochs=4, resume=True, **change)


def test_the_same_function_in_other_words_goes_on(tmp_path: Path) -> None:
    fit(tmp_path / "run")
    assert (
        fit(tmp_path / "run", epochs=3, resume=True, loss=square_in_another_way).history[-1].epoch
        == 3
    )


def test_a_gradient_that_is_not_finite_names_its_rows() -> None:
    def root(outputs: Any, y: Any) -> Any:
        return jnp.sqrt((outputs[:, 0] - y) ** 2)

    targets = np.where(np.arange(200) % 10 == 0, 0.0, Y)
    with pytest.raises(DivergedError, match=r"not finite for \d+ rows .* y = 0"):
        descend.fit(
            (lambda key: jnp.zeros((4, 1)), lambda params, x: x @ params),
            (X, targets),
            loss=root,
            batch_size=16,
            learning_rate=0.01,
        )


@pytest.mark.slow
def test_a_mean_loss_too_large_before_the_first_update_is_not_blamed_on_the_rate() -> None:
    with pytest.raises(DivergedError, match="whose mean over the rows is too large") as caught:
        descend.fit(
            model(),
            (X, np.full(len(X), 1.5e19)),
            loss="squared_error",
            optimizer="sgd",
            learning_rate=1e-3,
            batch_size=16,
            epochs=1,
        )
    assert "learning rate is not the cause" in str(caught.value)
