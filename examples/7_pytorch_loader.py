"""Rows from a PyTorch DataLoader, which is gone through once.

Where the rows are more than memory may hold they go to a row store on disk.
"""

from __future__ import annotations

import jax
import torch
from sklearn.datasets import load_digits

import descend


def init(key):
    first, last = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (64, 32)) / 8,
        "last": jax.random.normal(last, (32, 10)),
    }


def apply(params, pixels):
    return jax.nn.relu(pixels @ params["first"]) @ params["last"]


def main():
    digits = load_digits()
    pixels = torch.tensor(digits.data / 16.0)
    target = torch.tensor(digits.target)
    data = torch.utils.data.TensorDataset(pixels[:1500], target[:1500])
    loader = torch.utils.data.DataLoader(data, batch_size=256)
    run = descend.fit(
        (init, apply), loader, optimizer="adam", learning_rate=3e-3, batch_size=32, epochs=20
    )
    found = run.predict(pixels[1500:]).argmax(axis=1)
    accuracy = float((found == digits.target[1500:]).mean())
    print(run)
    print(f"digits read correctly, of those not trained on: {accuracy:.3f}")
    return accuracy


if __name__ == "__main__":
    main()
