"""One epoch of mini-batch training, as each peer does it.

Each function gets a problem and a batch size and returns a function that runs one epoch:
every row once in a fresh order, the loss of the updates kept as far as the peer keeps it.
Libraries are imported inside, so that a missing one is reported and the others still run.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.problems import Problem

Epoch = Callable[[], object]
Peer = Callable[[Problem, int], Epoch]

CHUNK_BYTES = 4 << 20
"""Of rows handed to one compiled scan; a whole epoch at once was slower at every batch size."""


def jax_scan(problem: Problem, batch_size: int) -> Epoch:
    """What a careful user writes by hand for this one problem: NumPy gathers, `lax.scan` updates.

    Dispatch is asynchronous, so the next chunk is gathered while the last one is scanned.
    """
    import jax
    import jax.numpy as jnp

    rows, columns = problem.x.shape
    widths = (columns, *problem.hidden, 1)
    keys = jax.random.split(jax.random.key(0), len(widths))
    params = [
        (jax.random.normal(key, (before, after)) * np.sqrt(2 / before), jnp.zeros(after))
        for key, before, after in zip(keys, widths, widths[1:], strict=False)
    ]

    def loss(params: Any, x: Any, y: Any) -> Any:
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = params[-1]
        return 0.5 * jnp.mean(jnp.square(x @ kernel + bias - y))

    def step(state: Any, batch: Any) -> Any:
        params, velocity = state
        value, gradient = jax.value_and_grad(loss)(params, *batch)
        velocity = jax.tree.map(lambda v, g: problem.momentum * v + g, velocity, gradient)
        params = jax.tree.map(lambda p, v: p - problem.learning_rate * v, params, velocity)
        return (params, velocity), value

    scan = jax.jit(lambda state, x, y: jax.lax.scan(step, state, (x, y)), donate_argnums=0)
    state = (params, jax.tree.map(jnp.zeros_like, params))
    random = np.random.default_rng(0)
    updates = max(1, CHUNK_BYTES // (4 * columns * batch_size))
    whole = rows // batch_size * batch_size

    def epoch() -> object:
        nonlocal state
        order = random.permutation(rows)
        cuts = [*range(0, whole, updates * batch_size), whole]
        stretches = [(a, b, batch_size) for a, b in itertools.pairwise(cuts)]
        if whole < rows:
            stretches.append((whole, rows, rows - whole))
        losses = []
        for start, stop, size in stretches:
            chosen = order[start:stop]
            x = np.take(problem.x, chosen, axis=0, mode="clip").reshape(-1, size, columns)
            y = np.take(problem.y, chosen, axis=0, mode="clip").reshape(-1, size, 1)
            state, values = scan(state, x, y)
            losses.append(values)
        return state, [np.asarray(values) for values in losses]

    return epoch


def torch_loader(problem: Problem, batch_size: int) -> Epoch:
    """The loop of the tutorials: a DataLoader that shuffles, an optimizer step for each batch."""
    import torch

    x, y, step = _torch(problem)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(x, y), batch_size=batch_size, shuffle=True
    )

    def epoch() -> object:
        return [step(one, target) for one, target in loader]

    return epoch


def torch_slices(problem: Problem, batch_size: int) -> Epoch:
    """The faster loop: the table permuted once an epoch, batches as slices of it."""
    import torch

    x, y, step = _torch(problem)

    def epoch() -> object:
        order = torch.randperm(len(x))
        parts = zip(x[order].split(batch_size), y[order].split(batch_size), strict=True)
        return [step(one, target) for one, target in parts]

    return epoch


def _torch(problem: Problem) -> tuple[Any, Any, Callable[[Any, Any], Any]]:
    import torch

    widths = (problem.x.shape[1], *problem.hidden, 1)
    layers: list[Any] = []
    for before, after in itertools.pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1])
    optimizer = torch.optim.SGD(
        network.parameters(), lr=problem.learning_rate, momentum=problem.momentum
    )

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss: Any = 0.5 * torch.nn.functional.mse_loss(network(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return torch.from_numpy(problem.x), torch.from_numpy(problem.y), step


def sklearn_mlp(problem: Problem, batch_size: int) -> Epoch:
    """`MLPRegressor.partial_fit`, which makes one epoch of mini-batches."""
    from sklearn.neural_network import MLPRegressor

    model = MLPRegressor(
        hidden_layer_sizes=problem.hidden,
        solver="sgd",
        learning_rate_init=problem.learning_rate,
        momentum=problem.momentum,
        nesterovs_momentum=False,
        batch_size=batch_size,
        alpha=0.0,
    )
    y = problem.y[:, 0]
    return lambda: model.partial_fit(problem.x, y)


def sklearn_sgd(problem: Problem, batch_size: int) -> Epoch:
    """`SGDRegressor.partial_fit`: linear, one row an update whatever the batch size asked for."""
    from sklearn.linear_model import SGDRegressor

    model = SGDRegressor(
        penalty=None, alpha=0.0, learning_rate="constant", eta0=problem.learning_rate
    )
    y = problem.y[:, 0]
    return lambda: model.partial_fit(problem.x, y)


def keras_jax(problem: Problem, batch_size: int) -> Epoch:
    """`Model.fit` of Keras on its JAX backend."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import keras

    layers = [keras.layers.Dense(units, activation="relu") for units in problem.hidden]
    model = keras.Sequential([keras.Input(problem.x.shape[1:]), *layers, keras.layers.Dense(1)])
    model.compile(
        optimizer=keras.optimizers.SGD(problem.learning_rate, momentum=problem.momentum),
        loss="mse",
    )
    return lambda: model.fit(
        problem.x, problem.y, batch_size=batch_size, epochs=1, shuffle=True, verbose=0
    )
