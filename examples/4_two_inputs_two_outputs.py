"""Two inputs and two outputs: an image and a number in, its digit and its amount of ink out.

Inputs, outputs, targets and losses are mappings; a loss may have a weight.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

import descend


def init(key):
    first, digit, ink = jax.random.split(key, 3)
    return {
        "first": jax.random.normal(first, (65, 32)) / 8.0,
        "digit": jax.random.normal(digit, (32, 10)) / 6.0,
        "ink": jax.random.normal(ink, (32, 1)) / 6.0,
    }


def apply(params, x):
    pixels = x["image"].reshape(len(x["image"]), -1) / 16.0
    values = jnp.concatenate([pixels, x["contrast"][:, None]], axis=1)
    hidden = jax.nn.relu(values @ params["first"])
    return {"digit": hidden @ params["digit"], "ink": hidden @ params["ink"]}


def first(arrays):
    return {name: part[:1500] for name, part in arrays.items()}


def main():
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    x = {"image": images, "contrast": images.std(axis=(1, 2)) / 8.0}
    y = {"digit": digits.target, "ink": images.mean(axis=(1, 2)) - 5.0}
    run = descend.fit(
        (init, apply),
        (
            {name: part[:1500] for name, part in x.items()},
            {k: part[:1500] for k, part in y.items()},
        ),
        loss={"digit": "cross_entropy", "ink": ("mse", 0.5)},
        optimizer="adam",
        learning_rate=3e-3,
        batch_size=32,
        epochs=25,
    )
    found = run.predict({name: part[1500:] for name, part in x.items()})
    accuracy = float((found["digit"].argmax(axis=1) == digits.target[1500:]).mean())
    error = float(np.abs(found["ink"][:, 0] - y["ink"][1500:]).mean())
    print(run)
    print(f"digits read correctly: {accuracy:.3f}; ink off by {error:.3f} on average")
    return accuracy, error


if __name__ == "__main__":
    main()
