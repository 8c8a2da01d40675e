"""What is learned is what a loop written by hand learns from the same rows in the same order."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import descend
from descend.data.rows.order import HASHED, epoch_rows

os.environ.setdefault("KERAS_BACKEND", "jax")
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(250, 4)).astype(np.float32)
Y = (X @ np.array([1.0, -2.0, 0.5, 0.0], np.float32)).astype(np.float32)
CLASSES = np.digitize(Y, [-1.0, 1.0])
EPOCHS, SIZE, ROWS = 3, 32, 150
TRAINING, HELD_OUT = slice(0, ROWS), slice(ROWS, None)
cross_entropy = optax.losses.softmax_cross_entropy_with_integer_labels

Tree = Any


def some(tree: Tree, rows: Any) -> Tree:
    return jax.tree.map(lambda leaf: leaf[rows], tree)


def largest_difference(one: Tree, other: Tree) -> float:
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in pairs)


def by_hand(
    rule: Any, loss: Callable[..., Any], params: Tree, data: Tree, size: int, rows: int = ROWS
) -> Tree:
    """The weights after `EPOCHS` epochs; the last batch of an epoch is smaller."""
    state = rule.init(params)

    @jax.jit
    def update(params: Tree, state: Tree, batch: Tree) -> tuple[Tree, Tree]:
        slope = jax.grad(lambda params: jnp.mean(loss(params, *batch)))(params)
        direction, state = rule.update(slope, state, params)
        return optax.apply_updates(params, direction), state

    for epoch in range(EPOCHS):
        order = epoch_rows(0, epoch, 0, rows, rows, HASHED)
        for start in range(0, rows, size):
            params, state = update(params, state, some(data, order[start : start + size]))
    return params


def last_of(model: Any, data: Tree, held_out: Tree, size: int = SIZE, **options: Any) -> Any:
    """The evaluations of a run with their weights, and the run."""
    seen: list[tuple[float, Tree]] = []

    def keep(evaluation: descend.Evaluation) -> None:
        seen.append((evaluation.validation_loss, evaluation.params))

    asked = {"epochs": EPOCHS, "seed": 0, "averaging": False, "patience": 1000, **options}
    run = descend.fit(model, data, validation=held_out, batch_size=size, callbacks=[keep], **asked)
    return seen, run


LINEAR = (
    lambda key: {"w": jnp.zeros((4, 1)), "b": jnp.zeros(1)},
    lambda params, x: x @ params["w"] + params["b"],
)
RULES: dict[str, Any] = {
    "schedule": optax.sgd(optax.cosine_decay_schedule(0.1, 12)),
    "warm-up": optax.adam(optax.warmup_cosine_decay_schedule(0.0, 0.1, 4, 14)),
    "clipping": optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(0.1)),
    "accumulation": optax.MultiSteps(optax.sgd(0.1), 3),
    "running mean of the gradient": optax.chain(optax.ema(0.9), optax.sgd(0.1)),
    "mask of the weight decay": optax.adamw(0.05, weight_decay=0.1, mask={"w": True, "b": False}),
    "frozen part": optax.multi_transform(
        {"learn": optax.adam(0.05), "stay": optax.set_to_zero()}, {"w": "learn", "b": "stay"}
    ),
    "hyperparameters in the state": optax.inject_hyperparams(optax.sgd)(
        learning_rate=optax.exponential_decay(0.1, 5, 0.8)
    ),
    "random key in the state": optax.chain(optax.add_noise(0.01, 0.55, 0), optax.sgd(0.1)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", RULES)
def test_an_optimizer_with_a_state_does_what_it_does_by_hand_and_goes_on(
    name: str, tmp_path: Path
) -> None:
    rule = RULES[name]
    data, held_out = (X[TRAINING], Y[TRAINING]), (X[HELD_OUT], Y[HELD_OUT])
    seen, _ = last_of(LINEAR, data, held_out, optimizer=rule)
    if isinstance(rule, optax.MultiSteps):
        rule = rule.gradient_transformation()

    def loss(params: Tree, x: Any, y: Any) -> Any:
        return 0.5 * (LINEAR[1](params, x)[:, 0] - y) ** 2

    expected = by_hand(rule, loss, LINEAR[0](None), data, SIZE)
    assert largest_difference(seen[-1][1], expected) < 1e-6
    asked = {"batch_size": SIZE, "optimizer": rule, "seed": 0, "patience": 1000}
    out = tmp_path / "run"
    descend.fit(LINEAR, data, epochs=2, out=out, **asked)
    more = descend.fit(LINEAR, data, epochs=EPOCHS, out=out, resume=True, **asked)
    whole = descend.fit(LINEAR, data, epochs=EPOCHS, **asked)
    assert largest_difference(more.params, whole.params) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("rate", [0.3, 3.0])
def test_batch_normalization_is_learned_kept_and_put_back_as_by_hand(rate: float) -> None:
    linen = pytest.importorskip("flax.linen")

    class Net(linen.Module):  # type: ignore[misc]
        @linen.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            x = linen.Dense(8)(x)
            x = linen.BatchNorm(use_running_average=not train, momentum=0.9)(x)
            return linen.Dense(3)(linen.relu(x))

    data, held_out = (X[:128], CLASSES[:128]), (X[HELD_OUT], CLASSES[HELD_OUT])
    seen, run = last_of(Net(), data, held_out, size=16, optimizer=optax.sgd(rate))
    variables = seen[0][1]

    @jax.jit
    def update(variables: Tree, x: Any, y: Any) -> Tree:
        def loss(params: Tree) -> Any:
            state = {"batch_stats": variables["batch_stats"]}
            outputs, state = Net().apply(
                {"params": params, **state}, x, train=True, mutable=["batch_stats"]
            )
            return cross_entropy(outputs, y).mean(), state

        slope, state = jax.grad(loss, has_aux=True)(variables["params"])
        params = jax.tree.map(lambda one, of: one - rate * of, variables["params"], slope)
        return {"params": params, **state}

    for epoch in range(EPOCHS):
        order = epoch_rows(0, epoch, 0, 128, 128, HASHED)
        for start in range(0, 128, 16):
            variables = update(variables, *some(data, order[start : start + 16]))
    assert largest_difference(seen[-1][1], variables) < 1e-5
    outputs = Net().apply(variables, held_out[0])
    assert seen[-1][0] == pytest.approx(float(cross_entropy(outputs, held_out[1]).mean()), rel=1e-5)
    best = min(seen, key=lambda one: one[0])[1]
    assert largest_difference(run.params, best) == 0.0
    kept = jax.nn.softmax(Net().apply(best, held_out[0]))
    assert run.predict(held_out[0]) == pytest.approx(np.asarray(kept), abs=1e-6)


@pytest.mark.slow
def test_batch_normalization_of_keras_is_learned_as_keras_learns_it() -> None:
    keras = pytest.importorskip("keras")

    def make() -> Any:
        layers = [keras.layers.Dense(8), keras.layers.BatchNormalization(momentum=0.9)]
        return keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(3)])

    data, held_out = (X[:128], CLASSES[:128]), (X[HELD_OUT], CLASSES[HELD_OUT])
    model, other = make(), make()
    other.set_weights(model.get_weights())
    seen, run = last_of(model, data, held_out, size=16, optimizer=optax.sgd(0.3))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    other.compile(keras.optimizers.SGD(0.3), loss)
    for epoch in range(EPOCHS):
        order = epoch_rows(0, epoch, 0, 128, 128, HASHED)
        for start in range(0, 128, 16):
            other.train_on_batch(*some(data, order[start : start + 16]))
    learned = [np.asarray(one.value) for one in other.trainable_variables]
    assert largest_difference(seen[-1][1], learned) < 1e-5
    outputs = np.asarray(other(held_out[0], training=False))
    assert seen[-1][0] == pytest.approx(float(cross_entropy(outputs, held_out[1]).mean()), rel=1e-4)
    kept = jax.nn.softmax(np.asarray(run.model(held_out[0], training=False)))
    assert run.predict(held_out[0]) == pytest.approx(np.asarray(kept), abs=1e-5)


@pytest.mark.slow
def test_padded_places_count_for_nothing() -> None:
    lengths = RANDOM.integers(2, 8, size=(250, 1))
    mask = np.arange(7) < lengths
    tokens = np.where(mask, RANDOM.integers(1, 9, size=(250, 7)), 0)
    answers = np.where(mask, tokens * 5 % 9, 0)

    def init(key: Any) -> Tree:
        return {"in": 0.1 * jax.random.normal(key, (9, 6)), "out": jnp.ones((6, 9)) / 9}

    def apply(params: Tree, x: Any) -> Any:
        vectors, inside = params["in"][x["tokens"]], x["mask"][..., None]
        mean = (vectors * inside).sum(1, keepdims=True) / inside.sum(1, keepdims=True)
        return (vectors + mean) @ params["out"]

    def loss(outputs: Any, y: Any) -> Any:
        return (cross_entropy(outputs, y["answers"]) * y["mask"]).sum(axis=1)

    whole = ({"tokens": tokens, "mask": mask}, {"answers": answers, "mask": mask})
    data, held_out = some(whole, TRAINING), some(whole, HELD_OUT)
    rule = optax.adam(0.01)
    seen, _ = last_of((init, apply), data, held_out, loss=loss, optimizer=rule)
    start = init(jax.random.key(0))
    expected = by_hand(rule, lambda params, x, y: loss(apply(params, x), y), start, data, SIZE)
    assert largest_difference(seen[-1][1], expected) < 1e-6
    mean = float(loss(apply(expected, held_out[0]), held_out[1]).mean())
    assert seen[-1][0] == pytest.approx(mean, rel=1e-5)


@pytest.mark.slow
def test_two_inputs_and_two_outputs_have_the_weighted_sum_of_their_losses() -> None:
    def init(key: Any) -> Tree:
        return {"price": jnp.zeros((2, 1)), "kind": jnp.zeros((2, 3))}

    def apply(params: Tree, x: Any) -> Any:
        price = x["left"] @ params["price"] + x["right"][:, :1]
        return {"price": price, "kind": x["right"] @ params["kind"]}

    def both(params: Tree, x: Any, y: Any) -> Any:
        outputs = apply(params, x)
        squares = 0.5 * (outputs["price"][:, 0] - y["price"]) ** 2
        return squares + 0.25 * cross_entropy(outputs["kind"], y["kind"])

    whole = ({"left": X[:, :2], "right": X[:, 2:]}, {"price": Y, "kind": CLASSES})
    data, held_out = some(whole, TRAINING), some(whole, HELD_OUT)
    losses = {"price": "mse", "kind": ("cross_entropy", 0.25)}
    rule = optax.sgd(0.1)
    seen, _ = last_of((init, apply), data, held_out, loss=losses, optimizer=rule)
    expected = by_hand(rule, both, init(None), data, SIZE)
    assert largest_difference(seen[-1][1], expected) < 1e-6
    assert seen[-1][0] == pytest.approx(float(both(expected, *held_out).mean()), rel=1e-5)
