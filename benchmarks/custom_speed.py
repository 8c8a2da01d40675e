"""How fast are custom models? `descend.fit` against hand-written JAX and PyTorch loops.

The networks are those of `custom_networks`, in the kinds of the worked examples. An epoch is all of
it: order, gathering, updates. `descend` also evaluates 256 rows after each epoch, and keeps the
mean of the weights; the others do not. JAX by hand is a `lax.scan` over the batches of a chunk
that NumPy gathers, PyTorch a loop over slices of the permuted rows. All have momentum 0.9 and one
compiled or warm program. A ratio is the mean over turns in which all take part, with its 95 %
interval. Whether the convolution learns as well as in a PyTorch loop is asked by `custom_accuracy`.

Cells that were measured before by the same versions are kept, so the table can be filled in parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.custom_networks import (
    NETWORKS,
    QUANTILE,
    ROWS,
    flax_model,
    loss,
    rows_of,
    torch_loss,
    torch_network,
    trainable,
)
from benchmarks.measure import Apart, Candidate

DESCEND, JAX, TORCH = "descend.fit", "JAX by hand", "PyTorch by hand"
AT_MOST = 1.10
RATE, MOMENTUM = 0.01, 0.9
VALIDATION_ROWS = 256
CHUNK_BYTES = 4 << 20
SIZES = (16, 64, 256)


def descend_epoch(network: str, batch_size: int) -> Callable[[], object]:
    """An epoch of one `fit`, going on from where the last call ended."""
    from descend.custom.problem import CustomParts, custom_problem
    from descend.reporting.progress import make_progress
    from descend.settings import Settings
    from descend.training.jax_setup import set_up
    from descend.training.loop import fit
    from descend.training.stopping_state import Limits

    set_up()
    data, few = rows_of(network), rows_of(network, VALIDATION_ROWS, seed=1)
    own = CustomParts(
        flax_model(network), loss(network), "momentum", data, few, trainable=trainable(network)
    )
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

    x, y = rows_of(network)
    of_row, rule = loss(network), optax.sgd(RATE, momentum=MOMENTUM)
    params, state, forward = by_hand(network, x)

    def mean_loss(params: Any, state: Any, x: Any, y: Any) -> Any:
        outputs, state = forward(params, state, x)
        return jnp.mean(of_row(outputs, y)), state

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


def by_hand(network: str, x: Any) -> tuple[Any, Any, Callable[..., Any]]:
    """Weights, state and `(weights, state, x) -> (outputs, state)`, as a user would write it."""
    import jax
    from flax import nnx

    model = flax_model(network)
    if network == QUANTILE:  # In Linen; the state is the key of the dropout.

        def linen_forward(params: Any, key: Any, x: Any) -> Any:
            key, now = jax.random.split(key)
            return model.apply(params, x, train=True, rngs={"dropout": now}), key

        return model.init(jax.random.key(0), x[:1]), jax.random.key(1), linen_forward

    trained = nnx.All(nnx.Param, trainable(network) or ...)
    structure, params, state = nnx.split(model, trained, ...)

    def forward(params: Any, state: Any, x: Any) -> Any:
        # Copies of the variables, which belong to this trace.
        called = nnx.merge(structure, *jax.tree.map(lambda leaf: leaf, (params, state)))
        return called(x), nnx.split(called, trained, ...)[2]

    return params, state, forward


def _chunk(leaf: Any, chosen: Any, updates: int) -> Any:
    return np.take(leaf, chosen, axis=0).reshape(updates, -1, *leaf.shape[1:])


def torch_epoch(network: str, batch_size: int) -> Callable[[], object]:
    """A loop over slices of the permuted rows."""
    import torch

    torch.manual_seed(0)
    x, y = (_tensors(part) for part in rows_of(network))
    model, of_batch = torch_network(network), torch_loss(network)
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=RATE, momentum=MOMENTUM)
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


def measured(apart: list[Apart], network: str, size: int, repeats: int) -> dict[str, Any]:
    """Seconds of an epoch of each, and how they compare."""
    ready = [
        one
        for one in apart
        if one.prepare(functools.partial(candidate, one.name, network, size)) is None
    ]
    seconds = measure.seconds_each(ready, repeats)
    ratios = {
        name: measure.paired_ratio(seconds[DESCEND], each)
        for name, each in seconds.items()
        if name != DESCEND
    }
    return {
        "network": network,
        "batch_size": size,
        "versions": measure.versions(),
        "repeats": repeats,
        "seconds": {name: measure.spread(each).as_json() for name, each in seconds.items()},
        "ratios": {name: one.as_json() for name, one in ratios.items()},
    }


def report(cells: list[dict[str, Any]]) -> str:
    """The table of all cells."""
    heads = ["network", "batch size", "updates a second", f"time over {JAX}", f"over {TORCH}"]
    lines, above = [], []
    for one in cells:
        network, size, ratios = one["network"], one["batch_size"], one["ratios"]
        rate = ROWS[network] // size / one["seconds"][DESCEND]["median"]
        texts = [str(measure.Ratio(**ratios[name])) for name in (JAX, TORCH) if name in ratios]
        lines.append([network, size, f"{rate:,.0f}", *texts])
        if JAX in ratios and ratios[JAX]["mean"] > AT_MOST:
            sure = "" if ratios[JAX]["low"] > AT_MOST else " (not for certain)"
            above.append(f"{network} at {size}{sure}")
    table = measure.table(heads, lines)
    return f"{table}\n\nAbove {AT_MOST} times JAX by hand: {', '.join(above) or 'none'}."


def kept_cells(names: set[tuple[str, int]]) -> list[dict[str, Any]]:
    """Cells of the last record that are not to be measured again, of the same versions."""
    path = measure.RESULTS / "custom_speed.json"
    cells = json.loads(path.read_text())["speeds"] if path.exists() else []
    return [
        one
        for one in cells
        if one["versions"] == measure.versions()
        and (one["network"], one["batch_size"]) not in names
    ]


def main(arguments: list[str] | None = None) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--networks", nargs="*", choices=NETWORKS, default=NETWORKS)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--repeats", type=int, default=8)
    parser.add_argument("--no-save", action="store_true")
    options = parser.parse_args(arguments)
    names = [(network, size) for network in options.networks for size in options.sizes]
    cells = kept_cells(set(names))
    apart = [Apart(name) for name in MAKERS]
    for network, size in names:
        began = time.monotonic()
        cells.append(measured(apart, network, size, options.repeats))
        print(f"{network} at {size}: {time.monotonic() - began:.0f} s", flush=True)
        cells.sort(key=lambda one: (NETWORKS.index(one["network"]), one["batch_size"]))
        measure.record("custom_speed", report(cells), {"speeds": cells}, save=not options.no_save)
    for one in apart:
        one.close()


if __name__ == "__main__":
    main()
