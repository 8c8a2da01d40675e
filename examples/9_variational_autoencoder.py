"""A variational autoencoder (Kingma & Welling 2014, arXiv 1312.6114) of handwritten digits.

The model draws a code for each image, so it needs a random key while it is trained: functions of
the form `apply(params, state, x, key, training) -> (outputs, state)`. It has three outputs, which
the loss takes together. The state is empty.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import descend

PIXELS, HIDDEN, CODES = 64, 64, 6


def layer(key, before, after):
    return {"kernel": jax.random.normal(key, (before, after)) / before**0.5, "b": jnp.zeros(after)}


def through(params, values):
    return values @ params["kernel"] + params["b"]


def init(key):
    keys = jax.random.split(key, 4)
    params = {
        "encoder": layer(keys[0], PIXELS, HIDDEN),
        "code": layer(keys[1], HIDDEN, 2 * CODES),
        "decoder": layer(keys[2], CODES, HIDDEN),
        "pixels": layer(keys[3], HIDDEN, PIXELS),
    }
    return params, ()


def decode(params, code):
    return through(params["pixels"], jax.nn.relu(through(params["decoder"], code)))


def apply(params, state, pixels, key, training):
    hidden = jax.nn.relu(through(params["encoder"], pixels))
    mean, log_variance = jnp.split(through(params["code"], hidden), 2, axis=-1)
    code = mean
    if training:
        code = mean + jnp.exp(0.5 * log_variance) * jax.random.normal(key, mean.shape)
    return {"pixels": decode(params, code), "mean": mean, "log_variance": log_variance}, state


def loss(outputs, pixels):
    """The negative evidence lower bound of each image, in nats."""
    error = optax.sigmoid_binary_cross_entropy(outputs["pixels"], pixels).sum(axis=-1)
    mean, log_variance = outputs["mean"], outputs["log_variance"]
    apart = 0.5 * jnp.sum(jnp.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=-1)
    return error + apart


def main():
    pixels = (load_digits().data / 16.0).astype(np.float32)
    training, others = pixels[:1500], pixels[1500:]
    run = descend.fit(
        (init, apply),
        training,
        loss=loss,
        optimizer=optax.adam(2e-3),
        batch_size=50,
        epochs=40,
    )
    params, _ = run.params
    drawn, _ = apply(params, (), others, jax.random.key(1), True)
    bound = float(loss(drawn, others).mean())
    each = training.mean(axis=0).clip(1e-3, 1 - 1e-3)
    alone = float(-(others * np.log(each) + (1 - others) * np.log(1 - each)).sum(axis=1).mean())
    images = jax.nn.sigmoid(decode(params, jax.random.normal(jax.random.key(2), (5, CODES))))
    print(run)
    print(f"nats for a new image, at most: {bound:.2f}; with each pixel by itself: {alone:.2f}")
    print(f"ink of five invented images: {np.round(np.asarray(images).sum(axis=1), 1)}")
    return bound, alone


if __name__ == "__main__":
    main()
