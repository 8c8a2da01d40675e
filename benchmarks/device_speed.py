"""How long is an update on the device that is there, beside the peers and the processor?

First a table of microseconds per update: `descend` (whole epochs, evaluation of 1,000 rows
included), JAX by hand, PyTorch (eager, CUDA graph, `torch.compile`) and Keras, the table in the
memory of the device; `descend, rows sent` is the same with the table in the memory of the host. The
last column says what share of the fastest matrix product of the device `descend` reaches. It runs
on whatever JAX takes, a CPU too. Then, where there is an accelerator, its speed against the CPU:

The same program, run once with JAX on the CPU and once with JAX on what it takes by itself (a GPU,
where one is there and `jax[cuda13]` is installed), each in a process of its own, in turns. Rows
come from memory; a table that fits the device stays there. Both begin with the same weights and go
through the rows in the same order, so they should end alike; how far apart their weights are after
an epoch is told, and whether two runs on the device agree to the bit.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.device_peers import PEERS
from benchmarks.measure import Apart, Candidate

CPU, DEVICE, DESCEND, SENT = "CPU", "device", "descend", "descend, rows sent"
HAND = "JAX by hand"
COLUMNS = 54
ROWS_ON_DEVICE, ROWS_ON_CPU = 500_000, 50_000
PEER_NETWORKS: dict[str, tuple[int, ...]] = {
    "54-1024-1024-1": (1024, 1024),
    "54-128-64-1": (128, 64),
}
PEER_SIZES = (32, 128, 1024, 8192, 65536)
PLATFORM = "JAX_PLATFORMS"
NETWORKS: dict[str, tuple[int, ...]] = {
    "linear 90-1": (),
    "mlp 90-128-64-1": (128, 64),
    "mlp 90-2048-2048-1": (2048, 2048),
}
SIZES = (32, 256, 4096, 32768)
FEWEST_ROWS, MOST_UPDATES = 65_536, 4096
"""A part of the epoch is timed at small batch sizes; rates are of rows."""
MOST_EPOCHS = 16
"""Most epochs in a turn, where they are short."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks device_speed", description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--no-save", action="store_true", help="print only")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--sizes", nargs="+", type=int, default=list(PEER_SIZES))
    parser.add_argument("--updates", type=int, default=MOST_UPDATES, help="most in one turn")
    parser.add_argument("--peers-only", action="store_true", help="leave the CPU out")
    options = parser.parse_args(arguments)
    against_peers(
        options.peers,
        options.sizes,
        options.repeats,
        most_updates=options.updates,
        save=not options.no_save,
    )
    if options.peers_only:
        return
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


def against_peers(
    names: Sequence[str],
    sizes: Sequence[int],
    repeats: int,
    *,
    most_updates: int = MOST_UPDATES,
    save: bool,
) -> None:
    """Microseconds per update of `descend` and its peers on the device that is there."""
    columns = (DESCEND, SENT, *names)
    apart = [Apart(name) for name in columns]
    lines: list[list[Any]] = []
    facts: list[dict[str, Any]] = []
    missing: set[str] = set()
    try:
        device, peak = apart[0].told(described), apart[0].told(matrix_product_rate)
        rows = ROWS_ON_CPU if device.startswith("cpu") else ROWS_ON_DEVICE
        for network, hidden in PEER_NETWORKS.items():
            for size in sizes:
                if size > rows // 2:
                    continue
                per_epoch = min(rows // size, most_updates)
                # Several short epochs make a turn, as they make a run.
                epochs = min(MOST_EPOCHS, max(1, most_updates // per_epoch))
                ready, reasons = _prepare(apart, hidden, per_epoch * size, size, epochs)
                missing |= reasons
                seconds = measure.seconds_each(ready, repeats)
                updates = epochs * per_epoch
                found = {
                    name: measure.spread(times).median / updates * 1e6
                    for name, times in seconds.items()
                }
                rate = 6e-3 * _weights(hidden) * size / found[DESCEND]
                cells = [f"{found[n]:,.0f}" if n in found else "" for n in columns]
                by_hand = f"{found[DESCEND] / found[HAND]:.2f}" if HAND in found else ""
                lines.append([network, size, *cells, by_hand, f"{rate / peak:.1%}"])
                facts.append({"network": network, "batch_size": size, "microseconds": found})
                print(lines[-1], flush=True)
    finally:
        for one in apart:
            one.close()
    heads = ["network", "batch", *columns, "descend / by hand", "of the peak"]
    text = f"Microseconds per update on {device}, {rows:,} × {COLUMNS} at most in its memory"
    text += f" (matrix products: {peak:,.0f} GFLOP/s):\n\n" + measure.table(heads, lines)
    text = "\n".join([text, *sorted(missing)])
    measure.record("device_peers", text, {"device": device, "measured": facts}, save=save)


def _prepare(
    apart: Sequence[Apart], hidden: tuple[int, ...], rows: int, size: int, epochs: int
) -> tuple[list[Apart], set[str]]:
    """Those who are ready, and why the others are not; all compile at the same time."""

    def prepare(one: Apart) -> str | None:
        try:
            return one.prepare(functools.partial(peer, one.name, hidden, rows, size, epochs))
        except (EOFError, OSError, RuntimeError) as error:
            return f"its process ended: {error}"

    with ThreadPoolExecutor(len(apart)) as pool:
        answers = list(pool.map(prepare, apart))
    ready = [one for one, why in zip(apart, answers, strict=True) if why is None]
    return ready, {
        f"{one.name}: not measured ({why})"
        for one, why in zip(apart, answers, strict=True)
        if why is not None
    }


def peer(name: str, hidden: tuple[int, ...], rows: int, batch_size: int, epochs: int) -> Candidate:
    """Some epochs of one side, made in its own process, after its first one."""
    from benchmarks.epoch_speed import descend_epochs
    from benchmarks.problems import made_table

    table = made_table(rows, COLUMNS, hidden)
    if name == SENT:
        from descend.training import device_feed

        device_feed.TABLE_SHARE = 0.0
    if name in (DESCEND, SENT):
        run = descend_epochs(table, batch_size, epochs)
        run()
        return Candidate(name, run)
    epoch = PEERS[name](table, batch_size)
    epoch()
    return Candidate(name, lambda: [epoch() for _ in range(epochs)][-1])


def matrix_product_rate() -> float:
    """GFLOP/s of a large float32 matrix product as JAX computes it by default."""
    import jax
    import jax.numpy as jnp

    size = 2048 if jax.default_backend() == "cpu" else 8192
    left = jax.random.normal(jax.random.key(0), (size, size), jnp.float32)
    multiply = jax.jit(jnp.matmul)
    multiply(left, left).block_until_ready()
    found = []
    for _ in range(3):
        started = time.perf_counter()
        multiply(left, left).block_until_ready()
        found.append(time.perf_counter() - started)
    return 2e-9 * size**3 / min(found)


def _weights(hidden: tuple[int, ...]) -> int:
    widths = (COLUMNS, *hidden, 1)
    return sum(before * after for before, after in itertools.pairwise(widths))


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


def epochs(name: str, hidden: tuple[int, ...], rows: int, batch_size: int) -> Candidate:
    """One epoch after another, made in the process that runs it."""
    from benchmarks.epoch_speed import descend_epochs
    from benchmarks.problems import made_table

    table = made_table(rows, hidden=hidden)
    return Candidate(name, descend_epochs(table, batch_size, 1))


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
