"""A run goes on with the functions it began with, or says what differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.custom.problem import CustomParts, custom_problem
from descend.custom.same_functions import _near, fingerprint_of_functions
from descend.errors import DataError, DivergedError
from descend.reporting.progress import make_progress
from descend.settings import Settings

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


def of_batches(momentum: float) -> Any:
    """A model with a running mean, which is its state."""

    def init(key: Any) -> Any:
        return {"kernel": jnp.zeros((4, 1))}, {"mean": jnp.ones(4)}

    def apply(params: Any, state: Any, x: Any, key: Any, training: bool) -> Any:
        if training:
            state = {"mean": momentum * state["mean"] + (1.0 - momentum) * x.mean(axis=0)}
        return (x - state["mean"]) @ params["kernel"], state

    return init, apply


def clipped(norm: float) -> Any:
    return optax.chain(optax.clip_by_global_norm(norm), optax.sgd(0.02))


def huber(delta: float) -> Any:
    return lambda outputs, y: optax.huber_loss(outputs[:, 0], y, delta=delta)


@pytest.fixture(scope="module")
def figures() -> Any:
    """What the functions of a problem compute, as a record holds it."""

    def measure(loss: Any = square, optimizer: Any = "sgd", like: Any = None) -> Any:
        parts = CustomParts(like or model(), loss, optimizer, (X, Y), 0.2)
        rate = {} if optimizer == "sgd" else {"learning_rate": 1.0}
        settings = Settings(target="y", batch_size=16, **rate)
        made = custom_problem(parts, settings, make_progress("silent"))
        return json.loads(json.dumps(fingerprint_of_functions(made)))

    return measure


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("clip", {"optimizer": clipped(1.0)}, {"optimizer": clipped(50.0)}),
        ("gradients", {"loss": huber(10.0)}, {"loss": huber(20.0)}),
        ("state", {"like": of_batches(0.9)}, {"like": of_batches(0.8)}),
        (
            "epsilon",
            {"optimizer": optax.adam(0.02)},
            {"optimizer": optax.adam(0.02, eps=1e-5)},
        ),
        (
            "accumulation",
            {"optimizer": optax.MultiSteps(optax.sgd(0.02), 4)},
            {"optimizer": optax.MultiSteps(optax.sgd(0.02), 5)},
        ),
        (
            "schedule",
            {"optimizer": optax.sgd(optax.cosine_decay_schedule(0.05, 10_000))},
            {"optimizer": optax.sgd(optax.cosine_decay_schedule(0.05, 20_000))},
        ),
        (
            "not finite",
            {"optimizer": optax.apply_if_finite(optax.sgd(0.02), 3)},
            {"optimizer": optax.apply_if_finite(optax.sgd(0.02), 9)},
        ),
        ("noise", {"like": model(noise=0.001)}, {"like": model(noise=0.002)}),
    ],
)
def test_what_shows_only_elsewhere_or_later_is_recorded(
    figures: Any, name: str, one: Any, other: Any
) -> None:
    first, second = figures(**one), figures(**other)
    assert not _near(first[name], second[name])
    assert _near(first[name], first[name])


def test_a_metric_that_is_another_one_is_warned_of(tmp_path: Path) -> None:
    def largest(predictions: Any, y: Any) -> float:
        return float(np.abs(predictions[:, 0] - y).max())

    fit(tmp_path / "run", metrics={"largest": largest}, validation_sets={"more": (X[:9], Y[:9])})
    with pytest.warns(UserWarning, match="of the saved weights was") as caught:
        fit(
            tmp_path / "run",
            epochs=3,
            resume=True,
            metrics={"largest": lambda predictions, y: 2.0 * largest(predictions, y)},
            validation_sets={"more": (X[9:18], Y[9:18])},
        )
    said = [str(one.message) for one in caught]
    for name in ("largest", "more/loss", "more/largest"):
        assert any(f"{name!r} of the saved weights was" in text for text in said)


@pytest.mark.slow
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
