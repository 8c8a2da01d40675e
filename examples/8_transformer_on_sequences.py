"""A small transformer on sequences of unequal length: how often does each token occur in its own?

The sequences are padded and have a mask. Each place has an answer of its own, so the loss of a row
is a sum over its places. The module is in the shape of Flax NNX's documentation.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import descend

TOKENS, LENGTH, MOST, WIDTH = 6, 10, 4, 32


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs)
        self.second_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
        self.wide = nnx.Linear(WIDTH, 2 * WIDTH, rngs=rngs)
        self.narrow = nnx.Linear(2 * WIDTH, WIDTH, rngs=rngs)
        self.dropout = nnx.Dropout(0.05, rngs=rngs)

    def __call__(self, values, mask):
        seen = mask[:, None, None, :]  # No place looks at padding.
        values = values + self.attention(self.first_norm(values), mask=seen)
        hidden = nnx.gelu(self.wide(self.second_norm(values)))
        return values + self.dropout(self.narrow(hidden))


class Transformer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.tokens = nnx.Embed(TOKENS, WIDTH, rngs=rngs)
        self.blocks = nnx.List([Block(rngs) for _ in range(2)])
        self.last = nnx.Linear(WIDTH, MOST, rngs=rngs)

    def __call__(self, x):
        values = self.tokens(x["tokens"])
        for block in self.blocks:
            values = block(values, x["mask"])
        return self.last(values)


def loss(outputs, y):
    each = optax.softmax_cross_entropy_with_integer_labels(outputs, y["count"])
    return jnp.sum(each * y["mask"], axis=1)


def accuracy(outputs, y):
    return float((outputs.argmax(axis=-1) == y["count"])[y["mask"]].mean())


def sequences(count, seed):
    random = np.random.default_rng(seed)
    tokens = random.integers(0, TOKENS, size=(count, LENGTH)).astype(np.uint8)
    mask = np.arange(LENGTH) < random.integers(4, LENGTH + 1, size=(count, 1))
    alike = (tokens[:, :, None] == tokens[:, None, :]) & mask[:, None, :]
    often = np.minimum(alike.sum(axis=2) - 1, MOST - 1)
    return {"tokens": tokens, "mask": mask}, {"count": np.where(mask, often, 0), "mask": mask}


def main():
    run = descend.fit(
        Transformer(nnx.Rngs(0)),
        sequences(2000, seed=0),
        loss=loss,
        optimizer=optax.adam(3e-3),
        batch_size=64,
        epochs=12,
        metrics={"accuracy": accuracy},
    )
    x, y = sequences(500, seed=1)
    found = accuracy(run.predict(x), y)
    print(run)
    print(f"tokens counted correctly in sequences not trained on: {found:.3f}")
    return found


if __name__ == "__main__":
    main()
