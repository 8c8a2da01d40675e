"""An autoencoder: a network that gives back what it was given, through eight numbers.

X alone is its own target. The loss is our own: the error of an image, with the ink counted more
than the paper.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

import descend

WIDTHS = (64, 32, 8, 32, 64)


def init(key):
    keys = jax.random.split(key, len(WIDTHS) - 1)
    return [
        {"kernel": jax.random.normal(one, (before, after)) / before**0.5, "bias": jnp.zeros(after)}
        for one, before, after in zip(keys, WIDTHS, WIDTHS[1:], strict=False)
    ]


def apply(params, pixels):
    values = pixels
    for place, layer in enumerate(params):
        values = values @ layer["kernel"] + layer["bias"]
        if place in (0, 2):
            values = jnp.tanh(values)
    return values


def loss(outputs, pixels):
    return jnp.mean((1.0 + pixels) * jnp.square(outputs - pixels), axis=-1)


def main():
    pixels = load_digits().data / 16.0
    training, others = pixels[:1500], pixels[1500:]
    run = descend.fit(
        (init, apply),
        training,
        loss=loss,
        optimizer="adam",
        learning_rate=3e-3,
        batch_size=32,
        epochs=40,
    )
    weighted = float(loss(run.predict(others), others).mean())
    straight = PCA(8).fit(training)
    other = float(loss(straight.inverse_transform(straight.transform(others)), others).mean())
    print(run)
    print(f"error of images not trained on: {weighted:.4f}; of principal components: {other:.4f}")
    return weighted, other


if __name__ == "__main__":
    main()
