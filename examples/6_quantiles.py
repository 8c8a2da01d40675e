"""Quantile regression: three quantiles of a target at once, as an interval for each row.

The pinball loss of a row is least at the quantile; each output has its own.
"""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

import descend

QUANTILES = np.array([0.05, 0.5, 0.95], np.float32)


class Net(nn.Module):
    """In the shape of Flax Linen's documentation."""

    @nn.compact
    def __call__(self, x, train: bool = False):
        x = nn.relu(nn.Dense(32)(x))
        x = nn.Dropout(0.05, deterministic=not train)(x)
        return nn.Dense(3)(x)


def pinball(outputs, y):
    apart = y[:, None] - outputs
    return jnp.sum(jnp.maximum(QUANTILES * apart, (QUANTILES - 1) * apart), axis=1)


def coverage(outputs, y):
    return float(((outputs[:, 0] <= y) & (y <= outputs[:, 2])).mean())


def rows(count, seed):
    random = np.random.default_rng(seed)
    x = random.uniform(-1, 1, size=(count, 1))
    return x, np.sin(3 * x[:, 0]) + (0.1 + 0.4 * np.abs(x[:, 0])) * random.normal(size=count)


def main():
    run = descend.fit(
        Net(),
        rows(3000, seed=0),
        loss=pinball,
        optimizer="adam",
        learning_rate=5e-3,
        batch_size=32,
        epochs=20,
        metrics={"coverage": coverage},
    )
    x, y = rows(2000, seed=1)
    inside = coverage(run.predict(x), y)
    print(run)
    print(f"of new rows, {inside:.1%} lie between the quantiles 0.05 and 0.95")
    return inside


if __name__ == "__main__":
    main()
