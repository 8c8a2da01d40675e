"""One epoch on a table in the device's memory, as each peer does it, for `device_speed`.

Every function gets a problem and a batch size and returns a function that runs one epoch: the
table and the weights stay on the device, every row comes once in a fresh order, a short last batch
is left out. The peers take a GPU where there is one, else the CPU.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from benchmarks import peers
from benchmarks.problems import Problem


def jax_by_hand(problem: Problem, batch_size: int) -> peers.Epoch:
    """What a careful user writes: one program that draws the order, gathers and scans."""
    import jax
    import jax.numpy as jnp

    widths = (problem.x.shape[1], *problem.hidden, 1)
    keys = jax.random.split(jax.random.key(0), len(widths))
    params = [
        (jax.random.normal(key, pair) * (2 / pair[0]) ** 0.5, jnp.zeros(pair[1]))
        for key, pair in zip(keys, itertools.pairwise(widths), strict=False)
    ]
    x, y = jax.device_put((problem.x, problem.y))
    updates = len(problem.x) // batch_size

    def loss(params: Any, x: Any, y: Any) -> Any:
        for kernel, bias in params[:-1]:
            x = jax.nn.relu(x @ kernel + bias)
        kernel, bias = params[-1]
        return 0.5 * jnp.mean(jnp.square(x @ kernel + bias - y))

    def step(state: Any, rows: Any) -> Any:
        params, velocity = state
        value, gradient = jax.value_and_grad(loss)(params, x[rows], y[rows])
        velocity = jax.tree.map(lambda v, g: problem.momentum * v + g, velocity, gradient)
        return (
            jax.tree.map(lambda p, v: p - problem.learning_rate * v, params, velocity),
            velocity,
        ), value

    @jax.jit
    def epoch_of(state: Any, key: Any) -> Any:
        order = jax.random.permutation(key, len(problem.x))[: updates * batch_size]
        return jax.lax.scan(step, state, order.reshape(updates, batch_size))

    state = (params, jax.tree.map(jnp.zeros_like, params))
    numbers = itertools.count()

    def epoch() -> object:
        nonlocal state
        state, losses = epoch_of(state, jax.random.key(next(numbers)))
        return jax.block_until_ready(losses)

    return epoch


def torch_eager(problem: Problem, batch_size: int) -> peers.Epoch:
    """A plain loop over slices of a permuted order."""
    return _torch(problem, batch_size, lambda step, x, y, batch_size: step)


def torch_compiled(problem: Problem, batch_size: int) -> peers.Epoch:
    """The same with the forward and backward pass under `torch.compile`."""
    return _torch(problem, batch_size, lambda step, x, y, batch_size: step, compiled=True)


def torch_graph(problem: Problem, batch_size: int) -> peers.Epoch:
    """The same with one update recorded as a CUDA graph and replayed."""
    return _torch(problem, batch_size, _recorded)


def _torch(
    problem: Problem, batch_size: int, prepare: Callable[..., Any], compiled: bool = False
) -> peers.Epoch:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    x, y = (torch.from_numpy(values).to(device) for values in (problem.x, problem.y))
    layers: list[Any] = []
    for pair in itertools.pairwise((x.shape[1], *problem.hidden, 1)):
        layers += [torch.nn.Linear(*pair), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers[:-1]).to(device)
    forward = torch.compile(network) if compiled else network
    optimizer = torch.optim.SGD(
        network.parameters(), lr=problem.learning_rate, momentum=problem.momentum
    )

    def step(rows: Any) -> Any:
        optimizer.zero_grad()
        loss = 0.5 * torch.nn.functional.mse_loss(forward(x[rows]), y[rows])
        loss.backward()
        optimizer.step()
        return loss.detach()

    run = prepare(step, x, y, batch_size)
    updates = len(x) // batch_size

    def epoch() -> object:
        order = torch.randperm(len(x), device=device)[: updates * batch_size]
        losses = [run(rows) for rows in order.view(updates, batch_size)]
        if device == "cuda":
            torch.cuda.synchronize()
        return losses[-1]

    return epoch


def _recorded(step: Callable[[Any], Any], x: Any, y: Any, batch_size: int) -> Callable[[Any], Any]:
    import torch

    if not torch.cuda.is_available():
        raise ImportError("CUDA graphs need a GPU")
    rows = torch.arange(batch_size, device=x.device)
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(rows)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(rows)

    def replay(chosen: Any) -> Any:
        rows.copy_(chosen)
        graph.replay()
        return loss.clone()

    return replay


PEERS: dict[str, peers.Peer] = {
    "JAX by hand": jax_by_hand,
    "PyTorch eager": torch_eager,
    "PyTorch, CUDA graph": torch_graph,
    "torch.compile": torch_compiled,
    "Keras on JAX": peers.keras_jax,
}
