"""What do checkpoints and history.csv cost? Their part of the time that training takes.

A run trains for some seconds with the callbacks of `descend train`. Added up are the seconds for
which its thread waits while a checkpoint is copied and handed over, the processor time of the
thread that writes it, and the seconds in which lines are appended to history.csv.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.problems import made_table
from benchmarks.store_speed import setup

NETWORKS = ((128, 64), (512, 512), (2048, 2048))


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks checkpoint_cost", description=__doc__
    )
    parser.add_argument("--seconds", type=float, default=15.0, help="of training")
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    facts = [cost_of(hidden, options.seconds) for hidden in NETWORKS]
    lines = [
        [
            "-".join(map(str, one["hidden"])),
            f"{one['bytes'] / 1e6:.1f}",
            one["saves"],
            f"{one['seconds'] / one['saves']:.1f}",
            f"{100 * one['waited'] / one['seconds']:.2f} %",
            f"{100 * one['writing'] / one['seconds']:.2f} %",
            one["lines"],
            f"{1e6 * one['appending'] / one['lines']:.0f} µs",
            f"{100 * one['appending'] / one['seconds']:.3f} %",
        ]
        for one in facts
    ]
    heads = ["hidden", "MB", "saves", "seconds between", "training waits", "writer's thread"]
    heads += ["history lines", "a line", "their part"]
    text = "Checkpoints of a run, their part of its seconds:\n\n" + measure.table(heads, lines)
    measure.record("checkpoint_cost", text, {"runs": facts}, save=not options.no_save)


def cost_of(hidden: tuple[int, ...], seconds: float) -> dict[str, Any]:
    """Train for some seconds and add up what saving takes."""
    import jax
    import numpy as np

    from descend.data.rows.store import MemoryStore
    from descend.runs import checkpoint
    from descend.runs.folder import create_run
    from descend.runtime.callbacks import Callbacks, SaveCheckpoints, WriteHistory
    from descend.training.loop import fit
    from descend.training.saved_state import save_loop_state
    from descend.training.stopping_state import Limits

    waited = writing = appending = 0.0
    saves = 0

    class Timed(checkpoint.CheckpointWriter):
        def _work(self) -> None:
            nonlocal writing
            super()._work()
            writing = time.thread_time()

    class TimedHistory(WriteHistory):
        def evaluation(self, loop: Any) -> None:
            nonlocal appending
            started = time.perf_counter()
            super().evaluation(loop)
            appending += time.perf_counter() - started

    class TimedSaves(SaveCheckpoints):
        def chunk(self, loop: Any) -> None:
            nonlocal waited, saves
            due = time.perf_counter() >= self._next_save
            jax.block_until_ready(loop.state.params)  # No cost of saving.
            started = time.perf_counter()
            super().chunk(loop)
            if due:
                waited += time.perf_counter() - started
                saves += 1

    made = made_table(100_000, 90)
    x = {"numeric": made.x, "category": np.zeros((len(made.x), 0), np.int32)}
    store = MemoryStore(x, made.y, np.ones(len(made.x), np.float32))
    validation = MemoryStore(
        {name: rows[:2000] for name, rows in x.items()}, made.y[:2000], store.weight[:2000]
    )
    problem = dataclasses.replace(setup(store, validation, hidden), averaging=True)
    fit(
        problem.loop_config(128, 1e-4, limits=Limits(seconds=0.1)), problem.begin()
    )  # Compiled before.
    run = problem.loop_config(128, 1e-4, limits=Limits(patience=10_000, seconds=seconds))
    with tempfile.TemporaryDirectory() as name:
        saver = Timed(Path(name) / "checkpoint")
        with create_run(Path(name) / "run", "run") as folder:
            parts = Callbacks([TimedHistory(folder), TimedSaves(saver)])
            with parts.taking_part({}, folder.path, ()):
                loop, _ = fit(run, problem.begin(), parts)
        lines = len(loop.history)
        size = sum(array.nbytes for array in save_loop_state(loop)[0].values())
    return {
        "hidden": hidden,
        "bytes": size,
        "saves": saves,
        "seconds": loop.seconds,
        "waited": waited,
        "writing": writing,
        "lines": lines,
        "appending": appending,
    }


if __name__ == "__main__":
    main()
