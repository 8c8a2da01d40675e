"""Networks as people write them, in Flax and in PyTorch: what `custom_speed` and others train.

A convolution with batch normalization and dropout on images, a small transformer on sequences with
a mask, two inputs with two outputs, a variational autoencoder, a trunk that is frozen under a new
head, and three quantiles at once (in Flax Linen; the others are NNX modules).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TOKENS, LENGTH, WIDTH = 16, 24, 32
PIXELS, HIDDEN, CODES = 64, 64, 6
QUANTILES = np.array([0.05, 0.5, 0.95], np.float32)
CONVOLUTION, TRANSFORMER, TWO_OUTPUTS = "convolution", "transformer", "two outputs"
AUTOENCODER, FROZEN, QUANTILE = "variational autoencoder", "frozen trunk", "quantiles"
ROWS = {
    CONVOLUTION: 1024,
    TRANSFORMER: 1024,
    TWO_OUTPUTS: 32_768,
    AUTOENCODER: 16_384,
    FROZEN: 32_768,
    QUANTILE: 32_768,
}
"""Enough for a run of a second or so: what a run costs besides its updates must not count."""
NETWORKS = tuple(ROWS)
DROPPED = 0.25
HEAD = "head"
"""The part of the network with a frozen trunk that is trained."""


def rows_of(network: str, rows: int | None = None, seed: int = 0) -> tuple[Any, Any]:
    """Random rows: what is in them does not change the speed."""
    rows = rows or ROWS[network]
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size=rows).astype(np.int32)
    if network == CONVOLUTION:
        return random.integers(0, 256, size=(rows, 28, 28)).astype(np.uint8), labels
    if network == AUTOENCODER:
        pixels = random.random(size=(rows, PIXELS)).astype(np.float32)
        return pixels, pixels
    if network == FROZEN:
        return random.normal(size=(rows, PIXELS)).astype(np.float32), labels
    if network == QUANTILE:
        x = random.normal(size=(rows, 8)).astype(np.float32)
        return x, x[:, 0]
    if network == TRANSFORMER:
        tokens = random.integers(0, TOKENS, size=(rows, LENGTH)).astype(np.int32)
        mask = np.arange(LENGTH) < random.integers(4, LENGTH + 1, size=(rows, 1))
        return {"tokens": tokens, "mask": mask}, tokens
    left, right = (random.normal(size=(rows, 32)).astype(np.float32) for _ in range(2))
    return {"left": left, "right": right}, {"kind": labels, "number": left[:, :1]}


def flax_model(network: str, seed: int = 0) -> Any:
    """The network as a Flax module."""
    import jax
    import jax.numpy as jnp
    from flax import linen, nnx

    class Convolution(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            # Padding and momentum as PyTorch has them.
            around = {"strides": 2, "padding": ((1, 1), (1, 1)), "rngs": rngs}
            self.first = nnx.Conv(1, 16, (3, 3), **around)
            self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)
            self.second = nnx.Conv(16, 32, (3, 3), **around)
            self.dropout = nnx.Dropout(DROPPED, rngs=rngs)
            self.last = nnx.Linear(7 * 7 * 32, 10, rngs=rngs)

        def __call__(self, images: Any) -> Any:
            values = images[..., None] / 255.0 - 0.5
            values = nnx.relu(self.norm(self.first(values)))
            values = nnx.relu(self.second(values))
            return self.last(self.dropout(values.reshape(len(values), -1)))

    class Transformer(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.tokens = nnx.Embed(TOKENS, WIDTH, rngs=rngs)
            self.first_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.attention = nnx.MultiHeadAttention(4, WIDTH, decode=False, rngs=rngs)
            self.second_norm = nnx.LayerNorm(WIDTH, rngs=rngs)
            self.wide = nnx.Linear(WIDTH, 2 * WIDTH, rngs=rngs)
            self.narrow = nnx.Linear(2 * WIDTH, WIDTH, rngs=rngs)
            self.last = nnx.Linear(WIDTH, TOKENS, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            values = self.tokens(x["tokens"])
            seen = x["mask"][:, None, None, :]
            values = values + self.attention(self.first_norm(values), mask=seen)
            values = values + self.narrow(nnx.gelu(self.wide(self.second_norm(values))))
            return self.last(values)

    class TwoOutputs(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.left = nnx.Linear(32, 64, rngs=rngs)
            self.right = nnx.Linear(32, 64, rngs=rngs)
            self.kind = nnx.Linear(64, 10, rngs=rngs)
            self.number = nnx.Linear(64, 1, rngs=rngs)

        def __call__(self, x: Any) -> Any:
            hidden = nnx.relu(self.left(x["left"]) + self.right(x["right"]))
            return {"kind": self.kind(hidden), "number": self.number(hidden)}

    class Autoencoder(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.encoder = nnx.Linear(PIXELS, HIDDEN, rngs=rngs)
            self.code = nnx.Linear(HIDDEN, 2 * CODES, rngs=rngs)
            self.decoder = nnx.Linear(CODES, HIDDEN, rngs=rngs)
            self.pixels = nnx.Linear(HIDDEN, PIXELS, rngs=rngs)
            self.rngs = rngs.fork()

        def __call__(self, pixels: Any, training: bool = True) -> Any:
            both = self.code(nnx.relu(self.encoder(pixels)))
            mean, log_variance = jnp.split(both, 2, axis=-1)
            code = mean
            if training:
                drawn = jax.random.normal(self.rngs.noise(), mean.shape)
                code = mean + jnp.exp(0.5 * log_variance) * drawn
            hidden = nnx.relu(self.decoder(code))
            return {"pixels": self.pixels(hidden), "mean": mean, "log_variance": log_variance}

    class Frozen(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.trunk = nnx.List(
                [nnx.Linear(PIXELS, 128, rngs=rngs), nnx.Linear(128, 64, rngs=rngs)]
            )
            self.head = nnx.Linear(64, 10, rngs=rngs)

        def __call__(self, values: Any) -> Any:
            for layer in self.trunk:
                values = nnx.relu(layer(values))
            return self.head(values)

    class Quantiles(linen.Module):
        @linen.compact
        def __call__(self, x: Any, train: bool = False) -> Any:
            x = linen.relu(linen.Dense(32)(x))
            x = linen.Dropout(0.05, deterministic=not train)(x)
            return linen.Dense(len(QUANTILES))(x)

    if network == QUANTILE:
        return Quantiles()
    kinds = (Convolution, Transformer, TwoOutputs, Autoencoder, Frozen)
    return dict(zip(NETWORKS, kinds, strict=False))[network](nnx.Rngs(seed))


def trainable(network: str) -> Any:
    """The filter that says which weights are trained, or None: all."""
    from flax import nnx

    return nnx.PathContains(HEAD) if network == FROZEN else None


def loss(network: str) -> Callable[[Any, Any], Any]:
    """The loss of each row."""
    import jax.numpy as jnp
    import optax

    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    if network in (CONVOLUTION, FROZEN):
        return cross_entropy
    if network == TRANSFORMER:
        return lambda outputs, y: cross_entropy(outputs, y).sum(axis=1)
    if network == AUTOENCODER:

        def bound(outputs: Any, pixels: Any) -> Any:
            error = optax.sigmoid_binary_cross_entropy(outputs["pixels"], pixels).sum(axis=1)
            mean, log_variance = outputs["mean"], outputs["log_variance"]
            return error + 0.5 * jnp.sum(
                jnp.exp(log_variance) + mean**2 - 1.0 - log_variance, axis=1
            )

        return bound
    if network == QUANTILE:

        def pinball(outputs: Any, y: Any) -> Any:
            apart = y[:, None] - outputs
            return jnp.sum(jnp.maximum(QUANTILES * apart, (QUANTILES - 1) * apart), axis=1)

        return pinball
    return lambda outputs, y: (
        cross_entropy(outputs["kind"], y["kind"])
        + 0.5 * jnp.square(outputs["number"] - y["number"]).sum(axis=1)
    )


def torch_network(network: str) -> Any:
    """The same network as a PyTorch module."""
    import torch
    from torch import nn

    class Convolution(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(1, 16, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(16)
            self.second = nn.Conv2d(16, 32, 3, stride=2, padding=1)
            self.dropout = nn.Dropout(DROPPED)
            self.last = nn.Linear(7 * 7 * 32, 10)

        def forward(self, images: Any) -> Any:
            values = images[:, None].float() / 255.0 - 0.5
            values = torch.relu(self.norm(self.first(values)))
            values = torch.relu(self.second(values))
            return self.last(self.dropout(values.flatten(1)))

    class Transformer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(TOKENS, WIDTH)
            self.first_norm, self.second_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.attention = nn.MultiheadAttention(WIDTH, 4, batch_first=True)
            self.wide, self.narrow = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
            self.last = nn.Linear(WIDTH, TOKENS)

        def forward(self, x: Any) -> Any:
            values = self.tokens(x["tokens"])
            normed = self.first_norm(values)
            padding = ~x["mask"]
            seen, _ = self.attention(
                normed, normed, normed, key_padding_mask=padding, need_weights=False
            )
            values = values + seen
            hidden = torch.nn.functional.gelu(self.wide(self.second_norm(values)))
            return self.last(values + self.narrow(hidden))

    class TwoOutputs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.left, self.right = nn.Linear(32, 64), nn.Linear(32, 64)
            self.kind, self.number = nn.Linear(64, 10), nn.Linear(64, 1)

        def forward(self, x: Any) -> Any:
            hidden = torch.relu(self.left(x["left"]) + self.right(x["right"]))
            return {"kind": self.kind(hidden), "number": self.number(hidden)}

    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.code = nn.Linear(PIXELS, HIDDEN), nn.Linear(HIDDEN, 2 * CODES)
            self.decoder, self.pixels = nn.Linear(CODES, HIDDEN), nn.Linear(HIDDEN, PIXELS)

        def forward(self, pixels: Any) -> Any:
            mean, log_variance = self.code(torch.relu(self.encoder(pixels))).chunk(2, dim=1)
            code = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
            hidden = torch.relu(self.decoder(code))
            return {"pixels": self.pixels(hidden), "mean": mean, "log_variance": log_variance}

    class Frozen(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = nn.Sequential(
                nn.Linear(PIXELS, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
            )
            self.trunk.requires_grad_(False)
            self.head = nn.Linear(64, 10)

        def forward(self, values: Any) -> Any:
            return self.head(self.trunk(values))

    class Quantiles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(8, 32), nn.Linear(32, len(QUANTILES))
            self.dropout = nn.Dropout(0.05)

        def forward(self, x: Any) -> Any:
            return self.last(self.dropout(torch.relu(self.first(x))))

    kinds = (Convolution, Transformer, TwoOutputs, Autoencoder, Frozen, Quantiles)
    return dict(zip(NETWORKS, kinds, strict=True))[network]()


def torch_loss(network: str) -> Callable[[Any, Any], Any]:
    """The mean loss of a batch."""
    import torch
    from torch.nn import functional

    if network in (CONVOLUTION, FROZEN):
        return functional.cross_entropy
    if network == AUTOENCODER:

        def bound(outputs: Any, pixels: Any) -> Any:
            error = functional.binary_cross_entropy_with_logits(
                outputs["pixels"], pixels, reduction="sum"
            )
            mean, log_variance = outputs["mean"], outputs["log_variance"]
            apart = 0.5 * (log_variance.exp() + mean**2 - 1.0 - log_variance).sum()
            return (error + apart) / len(pixels)

        return bound
    if network == QUANTILE:
        levels = torch.from_numpy(QUANTILES)

        def pinball(outputs: Any, y: Any) -> Any:
            apart = y[:, None] - outputs
            return torch.maximum(levels * apart, (levels - 1) * apart).sum() / len(y)

        return pinball
    if network == TRANSFORMER:
        return lambda outputs, y: (
            LENGTH * functional.cross_entropy(outputs.flatten(0, 1), y.flatten())
        )
    return lambda outputs, y: (
        functional.cross_entropy(outputs["kind"], y["kind"])
        + 0.5 * functional.mse_loss(outputs["number"], y["number"])
    )
