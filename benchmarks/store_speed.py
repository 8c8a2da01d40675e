"""How fast is an epoch from a store on disk, against the same rows in memory?

Ways to hold one made table: arrays in memory; the store mapped into memory as a whole (it fits the
bound, and the order is uniform); read in windows, as where the store is four times larger than the
memory allowed for it; and the same from the disk itself, the system's cache of its files dropped
before each epoch. All run the same compiled updates.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks import measure
from benchmarks.measure import Candidate

if TYPE_CHECKING:
    from descend.data.rows.store import RowStore
    from descend.data.rows.write_store import Part
    from descend.training.problem import Problem

MEMORY, MAPPED, WINDOWS = "in memory", "store, page cache", "store 4 times the window"
COLD = "the same, cache dropped"
SHAPES = {"mlp 90-128-64-1": (90, (128, 64)), "linear 20-1": (20, ())}
BATCHES = (32, 256, 4096)
TRIES = 40


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks store_speed", description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    lines, facts = [], []
    for name, (columns, hidden) in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            stores, validation = made_stores(Path(folder), options.rows, columns)
            for batch_size in BATCHES:
                candidates = [
                    Candidate(kind, epoch_of(store, validation, hidden, batch_size))
                    for kind, store in stores.items()
                ]
                candidates[-1] = from_disk(candidates[-1], Path(folder) / "cold")
                seconds = measure.seconds_each(candidates, options.repeats)
                ratios = {kind: measure.ratio(seconds[MEMORY], seconds[kind]) for kind in stores}
                rate = options.rows / measure.spread(seconds[MEMORY]).median
                others = (MAPPED, WINDOWS, COLD)
                lines.append([name, batch_size, f"{rate:,.0f}", *(ratios[kind] for kind in others)])
                facts.append(
                    {
                        "model": name,
                        "batch_size": batch_size,
                        "rows_per_second_in_memory": rate,
                        "mapped": ratios[MAPPED].as_json(),
                        "windows": ratios[WINDOWS].as_json(),
                        "windows_cache_dropped": ratios[COLD].as_json(),
                    }
                )
    heads = ["model", "batch", "rows/s in memory", *(MAPPED, WINDOWS, COLD)]
    text = (
        f"An epoch of {options.rows:,} rows; from a store, as a part of the rate in memory:\n\n"
        + measure.table(heads, lines)
    )
    measure.record("store_speed", text, {"rates": facts}, save=not options.no_save)


def made_stores(folder: Path, rows: int, columns: int) -> tuple[dict[str, RowStore], RowStore]:
    """The same rows held in three ways, and a few for validation."""
    from descend.data.rows.mapped_store import open_store
    from descend.data.rows.store import MemoryStore
    from descend.data.rows.windows import even_windows
    from descend.data.rows.write_store import write_store

    random = np.random.default_rng(0)
    x = random.standard_normal((rows, columns), dtype=np.float32)
    none = np.zeros((rows, 0), np.int32)
    table = MemoryStore(
        {"numeric": x, "category": none}, x[:, :1].copy(), np.ones(rows, np.float32)
    )

    def parts() -> Iterator[Part]:
        for start in range(0, rows, 65536):
            yield "training", table.gather(np.arange(start, min(rows, start + 65536)))
        yield "validation", table.gather(np.arange(1000))

    counts = {"training": rows, "validation": 1000}
    for name in ("store", "cold"):
        write_store(folder / name, parts(), key={}, rows=counts, seed=0)
    mapped, validation = open_store(folder / "store")
    windows = even_windows(rows, mapped.header.piece_rows, rows // 4)
    stores = {
        MEMORY: table,
        MAPPED: mapped.resident(),
        WINDOWS: mapped.in_windows(windows),
        # What is mapped into memory stays in the cache, so these are files of their own.
        COLD: open_store(folder / "cold")[0].in_windows(windows),
    }
    return stores, validation.resident()


def from_disk(candidate: Candidate, folder: Path) -> Candidate:
    """The same, after the system has given up its cache of a folder's files."""

    def run() -> object:
        for path in folder.glob("training.*"):
            drop(path)
        return candidate.run()

    return Candidate(candidate.name, run)


def drop(path: Path) -> None:
    """Have the system give up its cache of a file.

    Raises:
        SystemExit: it does not.
    """
    if path.stat().st_size == 0:
        return
    with path.open("rb") as opened:
        for _ in range(TRIES):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            try:
                os.preadv(opened.fileno(), [bytearray(4096)], 0, os.RWF_NOWAIT)
            except BlockingIOError:
                return
            time.sleep(0.05)  # The last epoch announced pages that are still on their way.
    raise SystemExit(f"{path} stays in the cache of the system; measure on another disk (TMPDIR).")


def epoch_of(
    store: RowStore, validation: RowStore, hidden: tuple[int, ...], batch_size: int
) -> Callable[[], object]:
    """A run of one epoch, compiled before; the few validation rows cost next to nothing."""
    from descend.training.loop import fit
    from descend.training.stopping_state import Limits

    problem = setup(store, validation, hidden)
    run = problem.loop_config(batch_size, 1e-4, limits=Limits(patience=99, epochs=1))
    return lambda: fit(run, problem.begin())[0].state.params


def setup(store: RowStore, validation: RowStore, hidden: tuple[int, ...]) -> Problem:
    """Squared error and momentum on rows of numbers; no hidden units are a linear model."""
    from descend.settings import Settings
    from descend.training.losses import LOSSES
    from descend.training.network.models import Inputs, linear, mlp
    from descend.training.optimizers import make_optimizer
    from descend.training.problem import Problem

    columns = validation.gather(np.arange(1)).x["numeric"].shape[1]
    inputs = Inputs(columns, ())
    network = mlp(inputs, [0.0], hidden) if hidden else linear(inputs, [0.0])
    return Problem(
        store=store,
        validation=validation,
        init=network.init,
        apply=network.apply,
        per_example=LOSSES["squared_error"].per_example,
        optimizer=make_optimizer(Settings("y", optimizer="momentum")),
    )


if __name__ == "__main__":
    main()
