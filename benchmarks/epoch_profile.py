"""Where does the time of an epoch go? Its parts, each alone.

The linear model and the table of `epoch_speed`, where the arithmetic is small beside the rest. The
parts that one core does while the other computes do not add up: an epoch takes as long as the
training thread, which gathers, or as the device, whichever is longer, and what neither can hide.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import measure
from benchmarks.problems import linear_table

SIZES = (128, 1000)
REPEATS = 9
WHOLE, EPOCHS = "the whole epoch of `fit`, one of ten", 10


def parts(batch_size: int) -> dict[str, Callable[[], object]]:
    """What an epoch is made of, each as a function that does it for one epoch."""
    import jax
    import numpy as np

    from benchmarks.epoch_speed import descend_epochs, training_of
    from descend.data.rows.batches import START, chunks
    from descend.data.rows.order import epoch_rows
    from descend.training.state import copy_state

    problem = linear_table()
    rows = len(problem.x)
    training = training_of(problem)
    run = training.loop_config(batch_size, problem.learning_rate)
    seeds = iter(range(1, 10**6))
    source = chunks(run.store, run.plan, START, buffers=2)
    chunk = next(chunks(run.store, run.plan))
    state = training.begin().state
    rates = np.full(run.plan.updates_per_chunk, problem.learning_rate, np.float32)
    calls = -(-run.plan.updates_per_epoch // run.plan.updates_per_chunk)

    def updates() -> object:
        nonlocal state
        for _ in range(calls):
            state, losses = run.run_chunk(state, chunk.batch, rates, chunk.updates, 0)
        return losses

    return {
        WHOLE: descend_epochs(problem, batch_size, EPOCHS),
        "order of the rows": lambda: epoch_rows(next(seeds), 0, 0, rows, rows),
        "order, gathering, shaping": lambda: [next(source).examples for _ in range(calls)],
        "updates": updates,
        "an evaluation on 1,000 rows": lambda: run.evaluate(state.mean),
        "keeping the best weights": lambda: jax.block_until_ready(copy_state(state).params),
    }


def milliseconds(part: Callable[[], object]) -> float:
    """The median over some calls."""
    import jax

    found = []
    for _ in range(REPEATS + 1):
        begun = time.perf_counter()
        jax.block_until_ready(part())
        found.append((time.perf_counter() - begun) * 1e3)
    return statistics.median(found[1:])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks epoch_profile", description=__doc__)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    found: dict[str, dict[int, float]] = {}
    for size in SIZES:
        for name, part in parts(size).items():
            found.setdefault(name, {})[size] = milliseconds(part) / (EPOCHS if name == WHOLE else 1)
    rows: list[list[Any]] = [
        [name, *(f"{each[size]:.2f}" for size in SIZES)] for name, each in found.items()
    ]
    heads = ["part, alone", *(f"batch size {size}" for size in SIZES)]
    text = "Milliseconds of an epoch, linear:\n\n" + measure.table(heads, rows)
    measure.record("epoch_profile", text, {"measured": found}, save=not options.no_save)


if __name__ == "__main__":
    main()
