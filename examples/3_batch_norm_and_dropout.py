"""A convolutional network with batch normalization and dropout, as a Flax NNX module.

The module is in the shape of Flax's own documentation; nothing of it is written for `descend`.
"""

from __future__ import annotations

import numpy as np
import optax
from flax import nnx
from sklearn.datasets import load_digits

import descend


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(1, 16, kernel_size=(3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.second = nnx.Conv(16, 32, kernel_size=(3, 3), strides=2, rngs=rngs)
        self.dropout = nnx.Dropout(0.3, rngs=rngs)
        self.last = nnx.Linear(4 * 4 * 32, 10, rngs=rngs)

    def __call__(self, images):
        values = images[..., None] / 16.0
        values = nnx.relu(self.norm(self.first(values)))
        values = nnx.relu(self.second(values))
        return self.last(self.dropout(values.reshape(len(values), -1)))


def main():
    digits = load_digits()
    images = digits.images.astype(np.uint8)
    run = descend.fit(
        Net(nnx.Rngs(0)),
        (images[:1500], digits.target[:1500]),
        optimizer=optax.adam(2e-3),
        batch_size=50,
        epochs=8,
        metrics={"worst digit": worst_digit},
    )
    found = run.predict(images[1500:]).argmax(axis=1)
    accuracy = float((found == digits.target[1500:]).mean())
    print(run)
    print(f"digits read correctly, of those not trained on: {accuracy:.3f}")
    print(f"of the digit read worst, on the validation rows: {run.metrics['model']['worst digit']}")
    return accuracy


def worst_digit(probabilities, digits):
    right = probabilities.argmax(axis=1) == digits
    return min(right[digits == digit].mean() for digit in np.unique(digits))


if __name__ == "__main__":
    main()
