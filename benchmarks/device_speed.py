"""How much faster is an epoch on an accelerator than on the processor beside it?

The same program, run once with JAX on the CPU and once with JAX on what it takes by itself (a GPU,
where one is there and `jax[cuda13]` is installed), each in a process of its own, in turns. Rows
come from memory; a table that fits the device stays there. Both begin with the same weights and go
through the rows in the same order, so they should end alike; how far apart their weights are after
an epoch is told, and whether two runs on the device agree to the bit.
"""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.measure import Apart, Contestant

CPU, DEVICE = "CPU", "device"
PLATFORM = "JAX_PLATFORMS"
NETWORKS: dict[str, tuple[int, ...]] = {
    "linear 90-1": (),
    "mlp 90-128-64-1": (128, 64),
    "mlp 90-2048-2048-1": (2048, 2048),
}
SIZES = (32, 256, 4096, 32768)
FEWEST_ROWS, MOST_UPDATES = 65_536, 4096
"""A part of the epoch is timed at small batch sizes; rates are of rows."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks device_speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--no-save", action="store_true", help="print only")
    options = parser.parse_args(arguments)
    on_cpu, on_device = _on("cpu"), _on(None)
    try:
        device = on_device.told(described)
        if device.startswith("cpu"):
            print(f"JAX finds no accelerator here, only {device}; nothing to compare.")
            return
        lines, facts = [], []
        for name in options.networks:
            for batch_size in SIZES:
                found = compared(on_cpu, on_device, NETWORKS[name], batch_size, options.repeats)
                rate, ratio = found["rows_per_second"], found["faster"]
                lines.append(
                    [name, batch_size, f"{rate:,.0f}", ratio, found["apart"], found["same_twice"]]
                )
                facts.append(
                    {"network": name, "batch_size": batch_size, **found, "faster": ratio.as_json()}
                )
    finally:
        on_cpu.close()
        on_device.close()
    heads = ["network", "batch", "rows/s, CPU", "device / CPU", "weights apart", "same twice"]
    text = f"Rows per second on {device} against the CPU:\n\n" + measure.table(heads, lines)
    measure.record("device_speed", text, {"rates": facts}, save=not options.no_save)


def compared(
    on_cpu: Apart, on_device: Apart, hidden: tuple[int, ...], batch_size: int, repeats: int
) -> dict[str, Any]:
    """Rates of one network at one batch size, and how far apart the weights are after an epoch."""
    rows = min(max(FEWEST_ROWS, 4 * batch_size), MOST_UPDATES * batch_size)
    for side in (on_cpu, on_device):
        side.prepare(functools.partial(epochs, side.name, hidden, rows, batch_size))
    seconds = measure.seconds_each([on_cpu, on_device], repeats)
    weights = functools.partial(weights_after, hidden, rows, batch_size)
    ours, theirs, again = (side.told(weights) for side in (on_cpu, on_device, on_device))
    return {
        "rows_per_second": rows / measure.spread(seconds[CPU]).median,
        "faster": measure.ratio(seconds[CPU], seconds[DEVICE]),
        "apart": f"{np.abs(ours - theirs).max() / np.abs(ours).max():.1e}",
        "same_twice": "yes" if np.array_equal(theirs, again) else "no",
    }


def _on(platform: str | None) -> Apart:
    """A process whose JAX takes this platform, or the best there is."""
    before = os.environ.pop(PLATFORM, None)
    if platform is not None:
        os.environ[PLATFORM] = platform
    try:
        return Apart(CPU if platform == "cpu" else DEVICE)
    finally:
        os.environ.pop(PLATFORM, None)
        if before is not None:
            os.environ[PLATFORM] = before


def epochs(name: str, hidden: tuple[int, ...], rows: int, batch_size: int) -> Contestant:
    """One epoch after another, made in the process that runs it."""
    from benchmarks.epoch_speed import descend_epochs
    from benchmarks.problems import made_table

    table = made_table(rows, hidden=hidden)
    return Contestant(name, descend_epochs(table, batch_size, 1))


def weights_after(hidden: tuple[int, ...], rows: int, batch_size: int) -> np.ndarray:
    """All weights after the first epoch."""
    import jax

    from benchmarks.epoch_speed import descend_epochs
    from benchmarks.problems import made_table

    params = descend_epochs(made_table(rows, hidden=hidden), batch_size, 1)()
    return np.concatenate([np.asarray(leaf).ravel() for leaf in jax.tree.leaves(params)])


def described() -> str:
    """The device that JAX takes."""
    from descend.training.jax_setup import describe_device

    return describe_device()


if __name__ == "__main__":
    main()
