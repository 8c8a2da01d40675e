"""How fast are custom models? `descend.fit` against hand-written JAX and PyTorch loops.

Three networks: a convolution with batch normalization and dropout on images, a small transformer
on sequences with a mask, and two inputs with two outputs. An epoch is all of it: order, gathering,
updates. `descend` also evaluates 256 rows after each epoch, and keeps the mean of the weights; the
others do not. JAX by hand is a `lax.scan` over the batches of a chunk that NumPy gathers, PyTorch
a loop over slices of the permuted rows. All have momentum 0.9 and one compiled or warm program.
Whether the convolution learns as well as in a PyTorch loop is asked by `custom_accuracy`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Apart, Candidate

DESCEND, JAX, TORCH = "descend.fit", "JAX by hand", "PyTorch by hand"
AT_MOST = 1.10
RATE, MOMENTUM = 0.01, 0.9
VALIDATION_ROWS = 256
CHUNK_BYTES = 4 << 20
TOKENS, LENGTH, WIDTH = 16, 24, 32
NETWORKS = ("convolution", "transformer", "two outputs")
ROWS = {"convolution": 1024, "transformer": 1024, "two outputs": 32_768}
"""Enough for a run of a second or so: what a run costs besides its updates must not count."""
SIZES = (16, 64, 256)
DROPPED = 0.25


def rows_of(network: str, rows: int | None = None, seed: int = 0) -> tuple[Any, Any]:
    """Random rows: what is in them does not change the speed."""
    rows = rows or ROWS[network]
    random = np.random.default_rng(seed)
    labels = random.integers(0, 10, size=rows).astype(np.int32)
    if network == "convolution":
        return random.integers(0, 256, size=(rows, 28, 28)).astype(np.uint8), labels
    if network == "transformer":
        tokens = random.integers(0, TOKENS, size=(rows, LENGTH)).astype(np.int32)
        mask = np.arange(LENGTH) < random.integers(4, LENGTH + 1, size=(rows, 1))
        return {"tokens": tokens, "mask": mask}, tokens
    left, right = (random.normal(size=(rows, 32)).astype(np.float32) for _ in range(2))
    return {"left": left, "right": right}, {"kind": labels, "number": left[:, :1]}


def flax_model(network: str, seed: int = 0) -> Any:
    """The network as a Flax NNX module."""
    from flax import nnx

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

    kinds = dict(zip(NETWORKS, (Convolution, Transformer, TwoOutputs), strict=True))
    return kinds[network](nnx.Rngs(seed))


def loss(network: str) -> Callable[[Any, Any], Any]:
    """The loss of each row."""
    import jax.numpy as jnp
    import optax

    cross_entropy = optax.softmax_cross_entropy_with_integer_labels
    if network == "convolution":
        return cross_entropy
    if network == "transformer":
        return lambda outputs, y: cross_entropy(outputs, y).sum(axis=1)
    return lambda outputs, y: (
        cross_entropy(outputs["kind"], y["kind"])
        + 0.5 * jnp.square(outputs["number"] - y["number"]).sum(axis=1)
    )


def descend_epoch(network: str, batch_size: int) -> Callable[[], object]:
    """An epoch of one `fit`, going on from where the last call ended."""
    from descend.custom.problem import CustomParts, custom_problem
    from descend.reporting.progress import make_progress
    from descend.settings import Settings
    from descend.training.jax_setup import set_up
    from descend.training.loop import fit
    from descend.training.stopping import Limits

    set_up()
    data, few = rows_of(network), rows_of(network, VALIDATION_ROWS, seed=1)
    own = CustomParts(flax_model(network), loss(network), "momentum", data, few)
    settings = Settings(target="y", batch_size=batch_size, learning_rate=RATE, momentum=MOMENTUM)
    problem = custom_problem(own, settings, make_progress("silent")).setup.problem
    config, loop = problem.loop_config(batch_size, RATE), problem.begin()

    def epoch() -> object:
        nonlocal loop
        limits = Limits(patience=10**9, epochs=loop.position.epoch + EPOCHS)
        loop, _ = fit(dataclasses.replace(config, limits=limits), loop)
        return loop.state.params

    return epoch


EPOCHS = 4
"""Evaluations come after ten updates at the earliest, so several epochs are one run."""


def jax_epoch(network: str, batch_size: int) -> Callable[[], object]:
    """What a careful user writes by hand: a compiled scan over the batches of a chunk."""
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx

    x, y = rows_of(network)
    of_row, rule = loss(network), optax.sgd(RATE, momentum=MOMENTUM)
    structure, params, state = nnx.split(flax_model(network), nnx.Param, ...)

    def mean_loss(params: Any, state: Any, x: Any, y: Any) -> Any:
        # Copies of the variables, which belong to this trace.
        model = nnx.merge(structure, *jax.tree.map(lambda leaf: leaf, (params, state)))
        value = jnp.mean(of_row(model(x), y))
        return value, nnx.split(model, nnx.Param, ...)[2]

    def step(carry: Any, batch: Any) -> Any:
        params, opt_state, state = carry
        found, gradient = jax.value_and_grad(mean_loss, has_aux=True)(params, state, *batch)
        updates, opt_state = rule.update(gradient, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state, found[1]), found[0]

    scan = jax.jit(lambda carry, x, y: jax.lax.scan(step, carry, (x, y)), donate_argnums=0)
    carry = (params, rule.init(params), state)
    random = np.random.default_rng(0)
    leaves = jax.tree.leaves((x, y))
    rows = len(leaves[0])
    row_bytes = sum(leaf[0].nbytes for leaf in leaves)
    whole = rows // batch_size
    updates = max(1, min(whole, CHUNK_BYTES // (row_bytes * batch_size)))

    def epoch() -> object:
        nonlocal carry
        losses = []
        for _ in range(EPOCHS):
            order = random.permutation(rows)
            for start in range(0, whole, updates):
                stop = min(whole, start + updates)
                chosen = order[start * batch_size : stop * batch_size]
                taken = functools.partial(_chunk, chosen=chosen, updates=stop - start)
                carry, values = scan(carry, jax.tree.map(taken, x), jax.tree.map(taken, y))
                losses.append(values)
        return carry, [np.asarray(values) for values in losses]

    return epoch


def _chunk(leaf: Any, chosen: Any, updates: int) -> Any:
    return np.take(leaf, chosen, axis=0).reshape(updates, -1, *leaf.shape[1:])


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

    return dict(zip(NETWORKS, (Convolution, Transformer, TwoOutputs), strict=True))[network]()


def torch_loss(network: str) -> Callable[[Any, Any], Any]:
    """The mean loss of a batch."""
    from torch.nn import functional

    if network == "convolution":
        return functional.cross_entropy
    if network == "transformer":
        return lambda outputs, y: (
            LENGTH * functional.cross_entropy(outputs.flatten(0, 1), y.flatten())
        )
    return lambda outputs, y: (
        functional.cross_entropy(outputs["kind"], y["kind"])
        + 0.5 * functional.mse_loss(outputs["number"], y["number"])
    )


def torch_epoch(network: str, batch_size: int) -> Callable[[], object]:
    """A loop over slices of the permuted rows."""
    import torch

    torch.manual_seed(0)
    x, y = (_tensors(part) for part in rows_of(network))
    model, of_batch = torch_network(network), torch_loss(network)
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=MOMENTUM)
    rows = len(next(iter(y.values())) if isinstance(y, dict) else y)

    def epoch() -> object:
        losses = []
        for _ in range(EPOCHS):
            order = torch.randperm(rows)
            for start in range(0, rows - batch_size + 1, batch_size):
                chosen = order[start : start + batch_size]
                value = of_batch(model(_taken(x, chosen)), _taken(y, chosen))
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                losses.append(value.item())
        return losses

    return epoch


def _tensors(part: Any) -> Any:
    import torch

    if isinstance(part, dict):
        return {name: _tensors(one) for name, one in part.items()}
    tensor = torch.from_numpy(part)
    return tensor.long() if tensor.dtype == torch.int32 else tensor


def _taken(part: Any, chosen: Any) -> Any:
    if isinstance(part, dict):
        return {name: one[chosen] for name, one in part.items()}
    return part[chosen]


MAKERS = {DESCEND: descend_epoch, JAX: jax_epoch, TORCH: torch_epoch}


def candidate(name: str, network: str, batch_size: int) -> Candidate:
    """One side at one batch size, made in its own process."""
    return Candidate(name, MAKERS[name](network, batch_size), EPOCHS)


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args(arguments)
    apart = [Apart(name) for name in MAKERS]
    lines, records = [], []
    for network in options.networks:
        for size in options.sizes:
            ready = [
                one
                for one in apart
                if one.prepare(functools.partial(candidate, one.name, network, size)) is None
            ]
            seconds = measure.seconds_each(ready, options.repeats)
            updates = ROWS[network] // size
            ratios = {
                name: measure.ratio(seconds[DESCEND], each)
                for name, each in seconds.items()
                if name != DESCEND
            }
            rates = [updates / statistics.median(seconds[DESCEND])]
            lines.append([network, size, f"{rates[0]:,.0f}", *map(str, ratios.values())])
            records.append(
                {
                    "network": network,
                    "batch_size": size,
                    "seconds": {name: measure.spread(s).as_json() for name, s in seconds.items()},
                    "ratios": {name: one.as_json() for name, one in ratios.items()},
                }
            )
            print(lines[-1], flush=True)
    for one in apart:
        one.close()
    heads = ["network", "batch size", "updates a second", f"time over {JAX}", f"over {TORCH}"]
    missed = [
        f"{one['network']} at {one['batch_size']}"
        for one in records
        if one["ratios"].get(JAX, {"median": 0.0})["median"] > AT_MOST
    ]
    parts = [measure.table(heads, lines), ""]
    parts.append(f"Above {AT_MOST} times JAX by hand: {', '.join(missed) or 'none'}.")
    facts: dict[str, Any] = {"speeds": records}
    measure.record("custom_speed", "\n".join(parts), facts, save=not options.no_save)


if __name__ == "__main__":
    main()
