"""Transfer: the trunk of a trained network is frozen, a new head learns from few rows.

In Keras the trunk is marked by `trainable = False`, as in its documentation.
"""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import keras
import numpy as np
from sklearn.datasets import load_digits

import descend

LAYERS = keras.layers


def main():
    keras.utils.set_random_seed(0)
    digits = load_digits()
    pixels, target = digits.data / 16.0, digits.target
    trunk = keras.Sequential(
        [keras.Input((64,)), LAYERS.Dense(64, "relu"), LAYERS.Dense(32, "relu")]
    )
    whole = keras.Sequential([keras.Input((64,)), trunk, LAYERS.Dense(5)])
    options = {"optimizer": "adam", "learning_rate": 3e-3, "batch_size": 16}

    # The trunk learns from the digits 0 to 4, the head from two hundred of the others.
    low = target < 5
    run = descend.fit(whole, (pixels[low], target[low]), epochs=15, **options)
    assert run.model is whole, "which now has the best weights"

    trunk.trainable = False
    before = trunk.get_weights()
    head = keras.Sequential([keras.Input((64,)), trunk, LAYERS.Dense(5, "softmax")])
    others, labels = pixels[~low], target[~low] - 5
    run = descend.fit(head, (others[:200], labels[:200]), epochs=60, **options)
    frozen = all(map(np.array_equal, before, run.model.layers[0].get_weights()))
    accuracy = float((run.predict(others[200:]).argmax(axis=1) == labels[200:]).mean())
    print(run)
    print(f"new digits read correctly: {accuracy:.3f}; the trunk is unchanged: {frozen}")
    return accuracy, frozen


if __name__ == "__main__":
    main()
