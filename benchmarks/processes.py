"""Updates per second in 1, 2 and 4 processes, against torch DistributedDataParallel with Gloo.

The network and the table of `epoch_speed`, momentum. Both take turns: for each number of processes
a job of ours, a job of torch's, and again. A job measures all batch sizes; each of its figures is
the median of several repeats, and torch gathers its rows from memory as we do.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SIZES = (128, 1024, 8192, 65536)
WIDE = (1024, 1024)
SECONDS = 0.5
"""Of each figure of torch's."""


def ours(hidden: tuple[int, ...], sizes: Sequence[int], out: Path) -> None:
    """Measure as one of the processes of a job of ours; process 0 writes.

    Seconds per update by `batch size/updates between two averages`, and of several processes those
    of an all-reduce of one number and of the `bytes` of the gradient.
    """
    import jax

    from benchmarks.epoch_speed import training_of
    from benchmarks.problems import made_table
    from descend.runtime.measured_processes import seconds_of_sum
    from descend.runtime.synchrony import seconds_together
    from descend.training.parallel import this_place

    problem, place = training_of(made_table(hidden=hidden)), this_place()
    state = problem.begin().state
    found = {}
    for size in sizes:
        for every in (1, 16):
            repeats = seconds_together(problem, state, size, place, every)
            found[f"{size}/{every}"] = statistics.median(repeats)
    if place.count > 1:
        floats = sum(leaf.size for leaf in jax.tree.leaves(state.params))
        found |= {"little": seconds_of_sum(1), "much": seconds_of_sum(floats), "bytes": 4 * floats}
    if place.first:
        out.write_text(json.dumps(found))


def torchs(
    index: int, count: int, port: int, hidden: tuple[int, ...], sizes: Sequence[int], out: Path
) -> None:
    """Measure as one of the processes of a job of torch's; process 0 writes."""
    import numpy as np
    import torch
    from torch.nn.parallel import DistributedDataParallel

    from benchmarks.problems import made_table

    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    torch.distributed.init_process_group("gloo", rank=index, world_size=count)
    table = made_table(hidden=hidden)
    x, y = torch.from_numpy(table.x), torch.from_numpy(table.y.reshape(-1, 1).copy())
    layers: list[Any] = []
    widths = [x.shape[1], *hidden]
    for before, after in itertools.pairwise(widths):
        layers += [torch.nn.Linear(before, after), torch.nn.ReLU()]
    network = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))
    model = DistributedDataParallel(network) if count > 1 else network
    rule = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    random, found = np.random.default_rng(0), {}
    for size in sizes:
        share = -(-size // count)
        # The same number of updates everywhere: they wait for each other.
        updates = max(4, min(400, 40_000 // share))
        for repeat in range(4):
            started = time.perf_counter()
            for _ in range(updates):
                rows = torch.from_numpy(random.integers(0, len(x), share))
                rule.zero_grad()
                torch.nn.functional.mse_loss(model(x[rows]), y[rows]).backward()
                rule.step()
            if repeat:
                found.setdefault(str(size), []).append((time.perf_counter() - started) / updates)
    if index == 0:
        out.write_text(json.dumps({size: statistics.median(all_) for size, all_ in found.items()}))
    torch.distributed.destroy_process_group()


def job(kind: str, count: int, hidden: tuple[int, ...], sizes: Sequence[int]) -> dict[str, float]:
    """Seconds per update that a job measured."""
    from descend.runtime.launch import free_port

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "found.json"
        asked = [json.dumps(list(hidden)), json.dumps(list(sizes)), str(out)]
        if kind == "ours":
            program = [sys.executable, "-m", "descend", "run", "--processes", str(count)]
            subprocess.run([*program, __file__, "--", "ours", *asked], check=True)
        else:
            port, program = str(free_port()), [sys.executable, __file__, "torchs"]
            started = [
                subprocess.Popen([*program, *asked, str(index), str(count), port])
                for index in range(count)
            ]
            assert not any(one.wait() for one in started)
        found: dict[str, float] = json.loads(out.read_text())
        return found


def main(arguments: list[str]) -> int:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--counts", default="1,2,4")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)))
    parser.add_argument("--wide", action="store_true", help="1024-1024 in place of 128-64.")
    asked = parser.parse_args(arguments)
    sizes = [int(size) for size in asked.sizes.split(",")]
    hidden = WIDE if asked.wide else (128, 64)
    print("processes  batch  updates/s  with --sync-every 16  torch  ours/torch (range)")
    for count in map(int, asked.counts.split(",")):
        turns = [
            (job("ours", count, hidden, sizes), job("torchs", count, hidden, sizes))
            for _ in range(asked.turns)
        ]
        for size in sizes:
            mine = [one[f"{size}/1"] for one, _ in turns]
            seldom = [one[f"{size}/16"] for one, _ in turns]
            other = [one[str(size)] for _, one in turns]
            ratios = sorted(there / here for here, there in zip(mine, other, strict=True))
            figures = (1 / statistics.median(times) for times in (mine, seldom, other))
            print(
                f"{count:9}  {size:5}  " + "  ".join(f"{figure:9.1f}" for figure in figures),
                f" {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    kind, layers, batches, out, *place = sys.argv[1:]
    shape, batch_sizes = tuple(json.loads(layers)), json.loads(batches)
    if kind == "ours":
        ours(shape, batch_sizes, Path(out))
    else:
        torchs(*map(int, place), shape, batch_sizes, Path(out))
