"""Updates of several processes by themselves, against a plain loop over processes and rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from descend.data.rows.batches import plan_batches
from descend.data.rows.store import MemoryStore
from descend.training.local_updates import plan_between_meetings
from tests.devices import run_on_devices

PROGRAM = """
import jax, jax.numpy as jnp, numpy as np, optax
from descend.training.processes import slices
from descend.training.local_updates import compile_local_chunk
from descend.training.objective import make_objective
from descend.training.chunk_loop import compile_chunk
from descend.training.state import state_at
from descend.training.step import make_step
from descend.types import Batch

# Two devices of one process stand for two processes.
mesh = jax.sharding.Mesh(np.array(jax.devices()), (slices.AXIS,))
slices._mesh = lambda: mesh
UPDATES, ROWS, RATE, MOMENTUM = 7, 4, 0.1, 0.9
random = np.random.default_rng(0)
x = random.normal(size=(UPDATES, ROWS, 2)).astype(np.float32)
y = random.normal(size=(UPDATES, ROWS, 1)).astype(np.float32)
weight = random.integers(1, 3, (UPDATES, ROWS)).astype(np.float32)
weight[-1, 1:] = 0  # The last batch is short: one process has one row, the other has none.
start = np.float32([[0.5], [-0.5]])
objective = make_objective(lambda w, x: x["x"] @ w, lambda found, y: ((found - y) ** 2)[:, 0])
rule = optax.chain(optax.trace(MOMENTUM), optax.scale(-1.0))
rates = np.full(UPDATES, RATE, np.float32)

def ran(every, updates=UPDATES, first=0):
    if every is None:
        program = compile_chunk(make_step(objective, rule, parallel=True), parallel=True)
    else:
        program = compile_local_chunk(make_step(objective, rule), every)
    state = state_at(jnp.asarray(start), rule)._replace(update=first)
    state, losses = program(state, Batch({"x": x}, y, weight), rates, updates, updates * ROWS)
    assert state.update == first + updates
    # What is the same in all is the same.
    parts = [np.asarray(part.data) for part in state.params.addressable_shards]
    assert all((part == parts[0]).all() for part in parts)
    assert np.allclose(state.mean, state.params, atol=1e-6)
    return np.asarray(state.params), np.asarray(losses)[:updates]

def naive(every, updates=UPDATES, first=0):
    w, m, seen = [start.astype(float)] * 2, [np.zeros((2, 1))] * 2, [0, 0]
    for update in range(updates):
        for process in (0, 1):
            part = slice(2 * process, 2 * process + 2)
            own, rows = weight[update, part], np.count_nonzero(weight[update, part])
            error = x[update, part] @ w[process] - y[update, part]
            gradient = 2 * x[update, part].T @ (own[:, None] * error) / max(1, rows)
            m[process] = MOMENTUM * m[process] + gradient
            w[process] = w[process] - RATE * m[process]
            seen[process] += rows
        if (first + update + 1) % every == 0 or update + 1 == updates:
            w = [np.average(w, axis=0, weights=seen)] * 2
            m = [np.average(m, axis=0, weights=seen)] * 2
            seen = [0, 0]
    return w[0]

exact, exact_losses = ran(None)
one, losses = ran(1)
assert np.allclose(one, exact, atol=1e-6), (one, exact)
assert np.allclose(losses, exact_losses, atol=1e-5)
for every, updates, first in ((3, 7, 0), (3, 5, 2), (2, 6, 1), (100, 7, 0)):
    found, expected = ran(every, updates, first)[0], naive(every, updates, first)
    assert np.allclose(found, expected, atol=1e-5), (every, found, expected)
assert not np.allclose(ran(3)[0], exact, atol=1e-4)

# What no process has changed keeps every bit, whatever the numbers of rows.
fixed = np.append(random.normal(size=99), 15).astype(np.float32)
rows = np.float32([[1_000_001, 333]])
meet = lambda values, rows: slices.mean_over_processes(values, rows[0, 0], values)
met = jax.jit(slices.over_processes(meet, (False, True)))(slices.replicate(fixed), rows)
assert (np.asarray(met) == fixed).all()
print("same")
"""


@pytest.mark.slow
def test_weights_and_momentum_meet_as_in_a_plain_loop() -> None:
    assert run_on_devices(PROGRAM, 2) == "same\n"


def test_chunks_end_where_weights_meet() -> None:
    rows = np.zeros(1000, np.float32)
    store = MemoryStore({"numeric": rows[:, None]}, rows, rows + 1)
    plan = plan_batches(store, 10, seed=0, intervals_per_epoch=1)
    assert plan_between_meetings(replace(plan, updates_per_chunk=7), 4).updates_per_chunk == 4
    assert plan_between_meetings(replace(plan, updates_per_chunk=9), 4).updates_per_chunk == 8
    # An evaluation comes first.
    assert plan_between_meetings(plan, 400).updates_per_chunk == 100
