"""A small convolutional network on images: handwritten digits of 8 by 8 pixels.

The model is two JAX functions. Any optimizer of Optax will do; here it is Adam with a rate of its
own, so `descend` finds nothing but what is asked of it.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits

import descend


def init(key):
    first, second, third = jax.random.split(key, 3)
    return {
        "first": 0.3 * jax.random.normal(first, (3, 3, 1, 8)),
        "second": 0.1 * jax.random.normal(second, (3, 3, 8, 16)),
        "last": 0.1 * jax.random.normal(third, (2 * 2 * 16, 10)),
        "bias": jnp.zeros(10),
    }


def apply(params, images):
    """Log-odds of the ten digits for each image `[B, 8, 8]`."""
    values = images[..., None].astype(jnp.float32) / 16.0
    for name in ("first", "second"):
        values = jax.lax.conv_general_dilated(
            values, params[name], (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        values = jax.nn.relu(values)
    return values.reshape(len(values), -1) @ params["last"] + params["bias"]


def main():
    digits = load_digits()
    run = descend.fit(
        (init, apply),
        (digits.images[:1500].astype(np.uint8), digits.target[:1500]),
        optimizer=optax.adam(3e-3),
        batch_size=32,
        epochs=12,
    )
    found = run.predict(digits.images[1500:]).argmax(axis=1)
    accuracy = float((found == digits.target[1500:]).mean())
    print(run)
    print(f"digits read correctly, of those not trained on: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
